"""An answer that shows no job: what it takes to believe it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

import pytest

from adapter.core.state import State
from adapter.results import CompletedCommand
from adapter.store.sqlite import SqliteStore

from .stage import Slurm, play, said, tasks

HISTORY_OFF = said("", "squeue: this cluster is not configured to show that\n", 0)


def test_words_on_standard_error_beside_an_empty_answer_end_no_job(store: SqliteStore) -> None:
    story = play(Slurm(monitor=[HISTORY_OFF] * 40), store, tasks(1))
    assert [job.state for job in story.jobs] == [State.SUCCEEDED]
    assert "not configured to show that" in story.said("monitor_failed")[0]


def test_a_job_that_left_its_exit_file_ends_though_the_scheduler_only_says_odd_words(store: SqliteStore) -> None:
    scheduler = Slurm(path=[None], leaves={1: "exit_code 3\n"})

    def odd(command: str) -> CompletedCommand:
        scheduler.squeue(command)
        return HISTORY_OFF

    scheduler.transport.handler.insert(0, ("^squeue --noheader", odd))
    story = play(scheduler, store, tasks(1))
    assert [(job.state, job.exit_code) for job in story.jobs] == [(State.FAILED, 3)]


def test_words_that_stood_beside_good_rows_before_are_noise_when_there_are_none(store: SqliteStore) -> None:
    scheduler = Slurm(path=["RUNNING|0|None", None])

    def chatty(command: str) -> CompletedCommand:
        shown = scheduler.squeue(command)
        return said(shown if isinstance(shown, str) else "", "squeue: a newer version is there\n", 0)

    scheduler.transport.handler.insert(0, ("^squeue --noheader", chatty))
    story = play(scheduler, store, tasks(1))
    assert [job.state for job in story.jobs] == [State.LOST]


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(said("slurmctld: the listing is not to be had\n"), id="an error text with exit code 0"),
        pytest.param(said("<html>\n<body>Sign in</body></html>\n"), id="html"),
        pytest.param(said("7|other|\n8|adap"), id="a row that breaks off"),
        pytest.param(said("", "an odd thing happened\n"), id="words on standard error alone"),
    ],
)
def test_a_look_that_nobody_can_read_is_no_reason_to_hand_a_job_over_again(
    store: SqliteStore, look: CompletedCommand
) -> None:
    def made_after_all(scheduler: Slurm, directory: str, run: str, index: int) -> CompletedCommand:
        scheduler.make(directory, run, index)
        return said("", "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n", 1)

    scheduler = Slurm(refusals={1: [made_after_all]})
    listing, looks = dict(scheduler.transport.handler)["^squeue --me"], []

    def odd_at_first(command: str) -> object:
        looks.append(command)
        return look if len(looks) < 5 else listing(command)  # type: ignore[operator]

    scheduler.transport.handler.insert(0, ("^squeue --me", odd_at_first))
    story = play(scheduler, store, tasks(1))
    assert [job.state for job in story.jobs] == [State.SUCCEEDED]
    assert len(scheduler.submitted) == 1


def chatty(scheduler: Slurm, before: str, after: str, *, on: tuple[str, ...]) -> None:
    """Let the commands that begin so say more than their answer; ``@`` is another number each time."""
    answers, count = list(scheduler.transport.handler), itertools.count(11)
    for start in on:
        answer: Any = next(found for pattern, found in answers if re.search(pattern, start))

        def say(command: str, answer: Any = answer) -> CompletedCommand:
            own = answer(command) if callable(answer) else answer
            own = said(own) if isinstance(own, str) else own
            number = str(next(count))
            stdout, stderr = before.replace("@", number) + own.stdout, own.stderr + after.replace("@", number)
            return said(stdout, stderr, own.exit_code)

        scheduler.transport.handler.insert(0, (f"^{start}", say))


EVERYWHERE = ("sbatch --version", "squeue --me", "squeue --noheader")
BANNERS = [
    pytest.param("", "bash: warning: setlocale: LC_ALL: cannot change locale (de_DE)\n", id="locale"),
    pytest.param("Welcome, it is 12:@\n", "", id="another-each-time"),
]


@pytest.mark.parametrize(("before", "after"), BANNERS)
def test_what_every_command_says_is_no_reason_to_look_for_a_job_for_ever(
    store: SqliteStore, before: str, after: str
) -> None:
    scheduler = Slurm(refusals={1: [said("", "the hook of the site failed\n", 1)]})
    chatty(scheduler, before, after, on=EVERYWHERE)
    story = play(scheduler, store, tasks(1))
    assert [job.state for job in story.jobs] == [State.SUCCEEDED]
    assert len(scheduler.submitted) == 2


@pytest.mark.parametrize(("before", "after"), BANNERS)
def test_what_every_command_says_is_no_row_of_a_job_that_is_gone_and_is_told_once(
    store: SqliteStore, before: str, after: str
) -> None:
    scheduler = Slurm(path=[None])
    chatty(scheduler, before, after, on=EVERYWHERE)
    story = play(scheduler, store, tasks(1))
    assert [job.state for job in story.jobs] == [State.LOST]
    assert len(story.said("unreadable_line")) <= 1


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda row: row[:7], id="a-cut-row"),
        pytest.param(lambda row: "  ".join(row.split("|")), id="another-form"),
    ],
)
def test_a_row_that_nobody_can_read_is_not_the_absence_of_its_job_beside_good_rows(
    store: SqliteStore, spoil: Callable[[str], str]
) -> None:
    scheduler = Slurm(path=["RUNNING|0|None"] * 100 + ["COMPLETED|0|None"])
    squeue = scheduler.squeue

    def spoilt(command: str) -> Any:
        rows = squeue(command)
        assert isinstance(rows, str)
        return "".join(f"{spoil(row) if row.startswith('101|') else row}\n" for row in rows.splitlines())

    scheduler.transport.handler.insert(0, ("^squeue --noheader", spoilt))
    story = play(scheduler, store, tasks(2))
    assert [job.state for job in story.jobs] == [State.SUCCEEDED] * 2
    assert len(story.said("unreadable_line")) == 2  # running, and completed


def test_an_outage_of_hours_is_told_now_and_then(store: SqliteStore) -> None:
    story = play(Slurm(monitor=[said("", "what a day\n", 1)] * 300), store, tasks(1))
    assert [job.state for job in story.jobs] == [State.SUCCEEDED]
    assert 5 <= len(story.said("monitor_failed")) <= 15
