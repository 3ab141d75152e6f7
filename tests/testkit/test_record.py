"""What is recorded: the scheduler's own answers, what they must mean by other means, and nobody's name."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from adapter.core.answers import Observation
from adapter.core.batch import BatchResult, Command
from adapter.core.job import Job
from adapter.core.state import Reason, State
from adapter.core.task import Step, Task
from adapter.results import CompletedCommand
from adapter.testkit import conformance
from adapter.testkit.record import (
    Batch,
    Known,
    Reader,
    Record,
    Recording,
    expected_of,
    learn,
)
from adapter.testkit.record_files import as_block, as_capture, written
from adapter.testkit.scrub import Scrubber, scrubber
from adapter.transports.local import LocalTransport
from tests.testkit.samples import toy
from tests.testkit.test_conformance import on_this_machine

TASK = Task(name="check", steps=(Step(argv=("true",)),))
BATCH = Batch(began_at=100.0, ended_at=101.0, answers=())


def said(stdout: str = "", stderr: str = "", code: int = 0) -> CompletedCommand:
    return CompletedCommand(command="", exit_code=code, stdout=stdout, stderr=stderr)


def known(case: str = "exit 3", **rest: Any) -> Known:
    state, reason = rest.pop("state", State.FAILED), rest.pop("reason", Reason.EXIT_CODE)
    job_id, index = rest.pop("job_id", "7"), rest.pop("index", 1)
    job = Job(run="k3v5k3v5k3", index=index, task=TASK, job_id=job_id, state=state, reason=reason,
              directory=f"/ws/k3v5k3v5k3/{index:04d}-check")  # fmt: skip
    life = {"started_at": 50.0, "ended_at": 60.0, "exit_code": 3, **rest}
    return Known(case=case, job=job, **life)


def seen(state: State, **rest: Any) -> Observation:
    return Observation(job_id="7", state=state, native_state="X", **rest)


# -- what an answer must mean


def test_the_task_s_own_exit_code_is_expected_and_not_what_was_read() -> None:
    expect, note = expected_of(known(), seen(State.SUCCEEDED, exit_code=0), BATCH, by_result=False)
    assert expect == {"state": "failed", "exit_code": 3}
    assert "CONTRADICTED: the answer is read as succeeded" in note


def test_an_end_that_agrees_is_no_contradiction() -> None:
    expect, note = expected_of(known(), seen(State.FAILED, exit_code=3), BATCH, by_result=False)
    assert (expect, "CONTRADICTED" in note) == ({"state": "failed", "exit_code": 3}, False)


def test_an_exit_code_that_is_read_wrongly_is_a_contradiction() -> None:
    expect, note = expected_of(known(), seen(State.FAILED, exit_code=768), BATCH, by_result=False)
    assert expect["exit_code"] == 3
    assert "CONTRADICTED: the answer is read as exit code 768" in note


def test_a_job_that_certainly_ran_is_expected_to_be_running() -> None:
    expect, note = expected_of(known(started_at=90.0, ended_at=120.0), seen(State.QUEUED), BATCH, by_result=False)
    assert expect == {"state": "running"}
    assert "CONTRADICTED" in note


def test_a_job_that_certainly_had_not_begun_may_not_be_running() -> None:
    expect, _ = expected_of(known(started_at=110.0, ended_at=120.0), seen(State.RUNNING), BATCH, by_result=False)
    assert expect == {"state": "queued"}


def test_what_nothing_else_tells_is_for_a_person_to_confirm() -> None:
    expect, note = expected_of(
        known(started_at=None, ended_at=None, exit_code=None), seen(State.RUNNING), BATCH, by_result=False
    )
    assert expect == {"state": "running"}
    assert "confirm it" in note


def test_a_killed_job_may_be_told_as_failed_and_not_as_a_success() -> None:
    job = known("kill running", state=State.KILLED, reason=Reason.KILLED_BY_USER, exit_code=None)
    assert expected_of(job, seen(State.FAILED, signal=9), BATCH, by_result=True)[0] == {"state": "failed"}
    expect, note = expected_of(job, seen(State.SUCCEEDED, exit_code=0), BATCH, by_result=True)
    assert expect == {"state": "killed"}
    assert "CONTRADICTED" in note


# -- which command an answer belongs to


SEVEN, EIGHT = known(), known("exit 0", job_id="8", index=2)


def commands_of(*pairs: tuple[Command, CompletedCommand]) -> list[Record]:
    batch = Batch(began_at=100.0, ended_at=101.0, answers=pairs)
    return Reader(toy(), [SEVEN, EIGHT]).records([batch])


def about(action: str, *them: Known) -> Command:
    return Command(f"toy-{action}", action, jobs=tuple(each.job for each in them))


def test_what_each_command_was_for_decides_what_is_kept() -> None:
    records = commands_of(
        (about("monitor", SEVEN, EIGHT), said("7|D|3|\n8|R||\n")),
        (about("kill", EIGHT), said("", "no such job\n", 1)),
        (about("version"), said("toy 2.1\n")),
        (Command("ls /somewhere"), said("not ours\n")),
        (about("probe", SEVEN), said("@0\n")),
        (about("monitor", known(index=9)), said("9|R||\n")),
    )
    assert [(record.action, record.asked) for record in records] == [
        ("version", ()), ("monitor", ("7", "8")), ("kill", ("8",)),
    ]  # fmt: skip
    assert records[0].expect == {"version": "2.1"}
    assert records[2].expect == {"done": True}


def test_lines_about_other_people_s_jobs_are_left_out() -> None:
    (record,) = commands_of((about("monitor", SEVEN), said("7|D|3|\n99|R||\n12|Q||\n")))
    assert record.completed.stdout == "7|D|3|\n"
    assert "2 lines about other jobs were left out here" in record.notes


def test_like_answers_are_kept_once() -> None:
    answer = (about("monitor", SEVEN), said("7|D|3|0:10\n"))
    later = (about("monitor", SEVEN), said("7|D|3|0:25\n"))
    assert len(commands_of(answer, later)) == 1
    assert len(commands_of(answer, (about("monitor", SEVEN), said("", "try again later\n", 1)))) == 2


def test_a_transport_that_records_hands_everything_on() -> None:
    async def story() -> tuple[BatchResult, list[Batch]]:
        async with LocalTransport() as inner:
            carrier = Recording(inner, lambda: 1.0)
            result = await carrier.run_batch([Command("echo one"), Command("echo two >&2; exit 3")], timeout_s=10)
            return result, carrier.batches

    result, (batch,) = asyncio.run(story())
    assert [each and each.exit_code for each in result.completed] == [0, 3]
    assert [(command.text, answer.stdout, answer.stderr, answer.exit_code) for command, answer in batch.answers] == [
        ("echo one", "one\n", "", 0), ("echo two >&2; exit 3", "", "two\n", 3),
    ]  # fmt: skip


# -- names


SCRUB = scrubber(
    users=["alice"], hosts=["login1.cluster.example.org"], homes=["/home/alice"],
    folders=["/scratch/alice/ws"], runs=["k3v5k3v5k3"], secrets=["hunter22"],
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("job 7 of alice on login1", "job 7 of userx on hostxx"),
        ("/home/alice/x /scratch/alice/ws/y", "/home/user/x /home/user/.adapter/y"),
        ("login1.cluster.example.org", "hostxx.example"),
        ("malice and alice2 stay", "malice and alice2 stay"),
        ("adapter-k3v5k3v5k3-1-1", "adapter-run0000001-1-1"),
        ("adapter-zzzzzzzzzz-4-1 zzzzzzzzzz", "adapter-other00001-4-1 other00001"),
        ("alice@example.org from 10.1.2.3", "user@host.example from 192.0.2.1"),
        ("version 8.1.9 at 127.0.0.1", "version 8.1.9 at 127.0.0.1"),
        ("token hunter22", "token [secret]"),
    ],
)
def test_names_are_taken_out(text: str, scrubbed: str) -> None:
    assert SCRUB(text) == scrubbed


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_any_answer_comes_back_from_the_file_as_it_was(text: str) -> None:
    assert yaml.safe_load(f"stdout: {as_block(text)}\n")["stdout"] == text


def test_a_file_is_a_capture_and_says_how_it_is_known() -> None:
    record = Record("submit", "Taken: exit 0", said("accepted 7\n"), {"job_id": "7"}, notes=["the id that the job saw"])
    (file,) = written(toy(), [record], source="toy 2.1, recorded", scrub=Scrubber({}, {}))
    assert (file.name, file.differences) == ("recorded-submit-01.yaml", ())
    assert "# the id that the job saw\n" in file.text
    assert file.capture.version is None


def test_a_file_names_the_version_that_gave_the_answer() -> None:
    record = Record("submit", "Taken: exit 0", said("accepted 7\n"), {"job_id": "7"})
    (file,) = written(toy(), [record], source="toy 2.1", scrub=Scrubber({}, {}), version="2.1")
    assert (file.capture.version, file.differences) == ("2.1", ())


def test_a_wrong_backend_does_not_replay() -> None:
    record = Record("monitor", "x", said("7|D|0|\n"), {"jobs": {"7": {"state": "failed", "exit_code": 3}}}, ("7",))
    (file,) = written(toy(), [record], source="toy", scrub=Scrubber({}, {}))
    assert any("expected" in text for text in file.differences)
    assert yaml.safe_load(as_capture(record, "toy"))["expect"] == {"jobs": {"7": {"state": "failed", "exit_code": 3}}}


# -- for real


def test_a_live_run_is_recorded_and_replays(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()

    async def story() -> list[Record]:
        async with on_this_machine(
            tmp_path, version={"command": "echo v 1.5", "pattern": r"v (?P<version>[\d.]+)"}
        ) as e:
            carrier = Recording(e.client.transport, lambda: 0.0)
            e.client.transport = carrier
            await conformance.run(e, folder=files, only=["exit 3", "kill running"], quick=True)
            them = await learn(e)
            await conformance.clean(e)
            return Reader(e.backend, them).records(carrier.batches)

    records = asyncio.run(story())
    assert {record.action for record in records} >= {"submit", "monitor", "kill"}
    assert all(record.asked for record in records if record.action in {"monitor", "kill"})
    submits = [record for record in records if record.action == "submit"]
    assert any("the id that the job itself saw" in record.notes for record in submits)
    assert all(record.completed.stdout.strip() == record.expect["job_id"] for record in submits)
