"""What a person sees of files on their way, on a terminal and in a log."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter.cli.display import Lines, Live, Silent, StatusLine
from adapter.cli.runner import Watch
from adapter.cli.status import requeue_lines
from adapter.core.event import Event, EventKind, state_event
from adapter.core.job import Job
from adapter.core.state import Reason, State
from adapter.core.task import task_from
from adapter.store.sqlite import SqliteStore
from adapter.transports.base import Transfer

HALF, WHOLE = Transfer("sending", 1 << 30, 2 << 30), Transfer("sending", 2 << 30, 2 << 30)
JOB = Job(run="k7f3q9z2wx", index=1, task=task_from({"command": "true"}), created_at=0.0)


class Ticks:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_log_has_a_line_now_and_then_and_none_for_what_takes_a_moment(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(clock := Ticks())
    for at in (100.0, 101.0, 101.5):
        clock.now = at
        lines.move(HALF)
    lines.move(WHOLE)
    assert capsys.readouterr().err == ""
    for at in range(200, 215):
        clock.now = float(at)
        lines.move(HALF)
    assert capsys.readouterr().err == "adapter: sending files, 50% of 2.0 GiB\n" * 2


def test_the_status_line_says_it_while_it_lasts(capsys: pytest.CaptureFixture[str]) -> None:
    line = StatusLine(clock := Ticks())
    line.move(HALF)
    line.show([JOB])
    assert "k7f3q9z2wx.1 sending files, 50% of 2.0 GiB" in capsys.readouterr().err
    line.move(WHOLE)
    line.show([JOB])
    assert "files" not in capsys.readouterr().err
    line.move(HALF)
    clock.now += 10  # nothing was heard for long
    line.show([JOB])
    assert "files" not in capsys.readouterr().err


def test_files_that_come_after_the_end_of_the_task_are_seen(capsys: pytest.CaptureFixture[str]) -> None:
    line = StatusLine(Ticks())
    line.move(Transfer("bringing", 1 << 20, 4 << 20))
    line.show([JOB.but(state=State.SUCCEEDED, ended_at=1.0)])
    assert "bringing files, 25% of 4.0 MiB" in capsys.readouterr().err


def test_the_live_lines_hold_it_too() -> None:
    live = Live("a run")
    live.move(Transfer("bringing", 0, 3 << 20))
    assert "  bringing files, 0% of 3.0 MiB" in live._picture().plain.splitlines()


def test_who_wants_silence_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    Silent().move(HALF)
    assert capsys.readouterr().err == ""


def test_a_job_that_went_back_to_the_queue_is_told_and_shown_afterwards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    back = JOB.but(state=State.QUEUED, reason=Reason.REQUEUED)
    said = "the scheduler put it back into the queue after it had run; it begins anew"
    Watch().on_event(state_event(back, 0.0))
    Watch().on_event(Event(at=0.0, kind=EventKind.REQUEUED, text=said, job=back))
    Watch().on_event(state_event(JOB.but(state=State.RUNNING), 0.0))
    assert capsys.readouterr().err == f"adapter: k7f3q9z2wx.1: {said}\n"
    store = SqliteStore.open(tmp_path / "journal.sqlite")
    for at in (1.0, 2.0):
        store.add_event(at, EventKind.REQUEUED, said, JOB)
    store.add_event(3.0, EventKind.REQUEUED, said, JOB.but(index=2))
    assert requeue_lines(store, JOB.run) == [
        "k7f3q9z2wx.1 was put back into the queue by its scheduler and began anew, 2 times",
        "k7f3q9z2wx.2 was put back into the queue by its scheduler and began anew",
    ]
    store.close()
