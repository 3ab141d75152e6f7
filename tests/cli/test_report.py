"""What a run exits with: every mixture of ends."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.cli.report import exit_code_of
from adapter.cli.text import verdict_text
from adapter.core.job import Job
from adapter.core.state import Reason, State
from adapter.core.task import task_from

WELL = {"state": State.SUCCEEDED}
NO_FILES = {"state": State.SUCCEEDED, "collect_problem": "declared outputs are missing: x"}
FAILED = {"state": State.FAILED, "reason": Reason.EXIT_CODE, "exit_code": 3}
KILLED = {"state": State.KILLED, "reason": Reason.KILLED_BY_USER}
LOST = {"state": State.LOST, "reason": Reason.VANISHED}
BEHIND = {"state": State.FAILED, "reason": Reason.DEPENDENCY}


def jobs(*ends: dict[str, Any]) -> list[Job]:
    task = task_from({"command": "true"})
    return [Job(run="k3v5", index=number, task=task, collected=True, **end) for number, end in enumerate(ends, 1)]


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        pytest.param([], 0, id="nothing"),
        pytest.param([WELL, WELL], 0, id="all-well"),
        pytest.param([KILLED, KILLED], 11, id="all-killed"),
        pytest.param([LOST, LOST], 12, id="all-lost"),
        pytest.param([FAILED, FAILED], 10, id="all-failed-the-same-way"),
        pytest.param([NO_FILES, NO_FILES], 10, id="all-without-their-files"),
        pytest.param([WELL, KILLED], 11, id="well-and-killed"),
        pytest.param([WELL, LOST], 12, id="well-and-lost"),
        pytest.param([WELL, FAILED], 10, id="well-and-failed"),
        pytest.param([WELL, NO_FILES], 10, id="well-and-without-files"),
        pytest.param([KILLED, LOST], 10, id="killed-and-lost"),
        pytest.param([KILLED, FAILED], 10, id="killed-and-failed"),
        pytest.param([KILLED, BEHIND], 10, id="killed-and-what-stood-behind-it"),
        pytest.param([KILLED, NO_FILES], 10, id="killed-and-without-files"),
        pytest.param([LOST, FAILED], 10, id="lost-and-failed"),
        pytest.param([WELL, KILLED, LOST, FAILED], 10, id="everything"),
    ],
)
def test_several_tasks_exit_with_what_went_wrong_if_it_is_one_thing(ends: list[dict[str, Any]], code: int) -> None:
    assert exit_code_of(jobs(*ends)) == code


def test_what_is_wrong_with_the_files_of_a_failed_job_is_said_too() -> None:
    (job,) = jobs({**FAILED, "message": "no luck", "collect_problem": "out.txt was here already"})
    assert verdict_text(job) == "failed: exit code 3: no luck / out.txt was here already"


@pytest.mark.parametrize(
    ("end", "code"),
    [
        pytest.param(WELL, 0, id="well"),
        pytest.param({**WELL, "exit_code": 3}, 0, id="an-exit-code-that-it-allows"),
        pytest.param(NO_FILES, 10, id="without-its-files"),
        pytest.param(KILLED, 11, id="killed"),
        pytest.param(LOST, 12, id="lost"),
        pytest.param(FAILED, 3, id="its-own-exit-code"),
        pytest.param({**FAILED, "exit_code": 255}, 255, id="the-largest"),
        pytest.param({"state": State.FAILED, "signal": 9, "exit_code": 137}, 137, id="a-signal"),
        pytest.param(BEHIND, 10, id="it-never-ran"),
        pytest.param({**FAILED, "exit_code": 0}, 10, id="a-failure-with-0"),
        pytest.param({**FAILED, "exit_code": 256}, 10, id="a-shell-would-make-it-0"),
        pytest.param({**FAILED, "exit_code": 512}, 10, id="and-this-one"),
        pytest.param({**FAILED, "exit_code": 300}, 10, id="or-44"),
        pytest.param({**FAILED, "exit_code": -256}, 10, id="below-0"),
        pytest.param({**FAILED, "exit_code": 10**20}, 10, id="far-too-large"),
        pytest.param({"state": State.FAILED, "signal": 128}, 10, id="no-signal-at-all"),
        pytest.param({"state": State.FAILED, "signal": -128}, 10, id="a-signal-below-0"),
    ],
)
def test_a_single_task_exits_as_it_did_and_a_failure_never_with_0(end: dict[str, Any], code: int) -> None:
    assert exit_code_of(jobs(end)) == code
