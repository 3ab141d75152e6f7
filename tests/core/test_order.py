"""Tasks that wait for others: who may be handed over, who never."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.core.backend import backend_from
from adapter.core.job import Element, Job
from adapter.core.order import Turn, check_order, ended_by_order, order_problems, standing
from adapter.core.schema import without_nulls
from adapter.core.state import Reason, State
from adapter.core.task import Task, task_from
from adapter.errors import TaskError

from .samples import job_of, shipped, toy

NATIVE = toy(
    submit={
        "command": "toy-submit {{ options }} {{ script }}",
        "options": {
            "after_succeeded": "--ok={{ after_succeeded | join(',') }}",
            "after_ended": "--any={{ after_ended | join(',') }}",
        },
        "ended_is_any_end": True,
    }
)


def task(name: str, *after: Any) -> Task:
    return task_from({"command": "true", "name": name, "after": list(after)})


def other(name: str = "first", **changes: Any) -> Job:
    return job_of({"command": "true", "name": name}, **{"job_id": "7", **changes})


def turn(backend: Any, *others: Job, after: Any = "first") -> tuple[Turn, tuple[str, ...], tuple[str, ...]]:
    named: dict[str, list[Job]] = {}
    for each in others:
        named.setdefault(each.task.name, []).append(each)
    its = standing(job_of({"command": "true", "after": [after]}), named, backend)
    return its.turn, its.after_succeeded, its.after_ended


ENDED = {"task": "first", "until": "ended"}
WELL = {"state": State.SUCCEEDED, "collected": True}
BADLY = {"state": State.FAILED, "reason": Reason.EXIT_CODE, "exit_code": 3, "collected": True}


@pytest.mark.parametrize(
    ("changes", "after", "expected"),
    [
        pytest.param({"state": State.RUNNING}, "first", Turn.LATER, id="it-still-runs"),
        pytest.param(WELL, "first", Turn.NOW, id="it-succeeded"),
        pytest.param({**WELL, "collected": False}, "first", Turn.LATER, id="its-files-are-not-here-yet"),
        pytest.param(BADLY, "first", Turn.NEVER, id="it-failed"),
        pytest.param(BADLY, ENDED, Turn.NOW, id="it-failed-and-only-had-to-end"),
        pytest.param(
            {**WELL, "collect_problem": "out.txt is missing"}, "first", Turn.NEVER, id="its-files-are-missing"
        ),
        pytest.param({"state": State.LOST, "collected": True}, "first", Turn.NEVER, id="it-was-lost"),
    ],
)
def test_a_job_waits_here_where_the_scheduler_cannot(changes: dict[str, Any], after: Any, expected: Turn) -> None:
    assert turn(toy(), other(**changes), after=after) == (expected, (), ())


def test_a_living_job_is_left_to_a_scheduler_that_can_wait() -> None:
    assert turn(NATIVE, other(state=State.QUEUED)) == (Turn.NOW, ("7",), ())
    assert turn(NATIVE, other(state=State.RUNNING), after=ENDED) == (Turn.NOW, (), ("7",))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"state": State.RUNNING}, Turn.LATER, id="it-runs"),
        pytest.param({**WELL, "collected": False}, Turn.LATER, id="its-files-are-on-their-way"),
        pytest.param(WELL, Turn.NOW, id="its-files-are-here"),
    ],
)
@pytest.mark.parametrize("backend", [toy(), NATIVE], ids=["waits-here", "could-wait-itself"])
def test_a_job_that_takes_the_files_of_one_far_before_it_waits_until_they_are_here(
    backend: Any, changes: dict[str, Any], expected: Turn
) -> None:
    job = job_of({"command": "true", "after": ["middle"]}, files_of=("first",))
    named = {"first": [other(**changes)], "middle": [other("middle", **WELL)]}
    assert standing(job, named, backend).turn is expected


def test_a_job_that_takes_no_files_of_the_one_before_it_is_left_to_the_scheduler() -> None:
    job = job_of({"command": "true", "after": ["first", "middle"]}, files_of=("middle",))
    named = {"first": [other(state=State.RUNNING)], "middle": [other("middle", **WELL)]}
    its = standing(job, named, NATIVE)
    assert (its.turn, its.after_succeeded) == (Turn.NOW, ("7",))


def test_any_end_is_left_only_to_a_scheduler_that_is_said_to_take_it_for_any() -> None:
    document = {**NATIVE.document, "submit": {**NATIVE.document["submit"], "ended_is_any_end": None}}
    silent = backend_from(without_nulls(document))
    assert turn(silent, other(state=State.QUEUED), after=ENDED) == (Turn.LATER, (), ())
    assert turn(silent, other(state=State.QUEUED)) == (Turn.NOW, ("7",), ())


@pytest.mark.parametrize(
    ("name", "is_left"),
    [("slurm", True), ("lsf", True), ("torque", True), ("flux", True), ("pbs", False), ("sge", False), ("oar", False)],
)
def test_a_shipped_backend_leaves_any_end_to_its_scheduler_only_where_that_was_seen(name: str, is_left: bool) -> None:
    expected = (Turn.NOW, (), ("7",)) if is_left else (Turn.LATER, (), ())
    assert turn(shipped(name), other(state=State.QUEUED), after=ENDED) == expected


def test_a_job_that_another_cluster_may_know_is_waited_for_here() -> None:
    slurm = shipped("slurm")
    assert turn(slurm, other(state=State.QUEUED, job_id="7")) == (Turn.NOW, ("7",), ())
    assert turn(slurm, other(state=State.QUEUED, job_id="7;far")) == (Turn.LATER, (), ())
    assert turn(slurm, other(state=State.QUEUED, job_id="7;far"), after=ENDED) == (Turn.LATER, (), ())
    both = shipped("slurm", values={"clusters": "near,far"})
    assert turn(both, other(state=State.QUEUED, job_id="7;far")) == (Turn.LATER, (), ())


def test_a_job_on_the_one_cluster_to_which_all_go_is_left_to_it() -> None:
    far = shipped("slurm", values={"clusters": "far"})
    assert turn(far, other(state=State.QUEUED, job_id="7;far")) == (Turn.NOW, ("7",), ())


def test_a_job_that_the_scheduler_does_not_have_yet_is_waited_for_here() -> None:
    assert turn(NATIVE, other(state=State.WAITING, job_id=None)) == (Turn.LATER, (), ())


def test_the_success_of_an_element_of_an_array_is_waited_for_here() -> None:
    place = Element(directory="/d", token="t", submit_try=1, index=0, size=2)
    assert turn(NATIVE, other(state=State.RUNNING, array=place)) == (Turn.LATER, (), ())
    assert turn(NATIVE, other(state=State.RUNNING, array=place), after=ENDED) == (Turn.NOW, (), ("7",))


def test_all_tasks_of_a_name_are_waited_for() -> None:
    assert turn(NATIVE, other(**WELL), other(state=State.RUNNING, job_id="8")) == (Turn.NOW, ("8",), ())
    assert turn(toy(), other(**WELL), other(state=State.RUNNING, job_id="8")) == (Turn.LATER, (), ())


@pytest.mark.parametrize(
    ("end", "words"),
    [
        pytest.param(BADLY, "failed: exit code 3", id="failed"),
        pytest.param(
            {"state": State.KILLED, "reason": Reason.KILLED_BY_USER}, "was killed: killed by user", id="killed"
        ),
    ],
)
def test_why_it_never_runs_is_said(end: dict[str, Any], words: str) -> None:
    its = standing(job_of({"command": "true", "after": ["first"]}), {"first": [other(**end)]}, toy())
    assert its.why == f"it waits for task 'first', which {words}"


@pytest.mark.parametrize(
    ("tasks", "problem"),
    [
        pytest.param([task("a", "nosuch")], (0, 0, "unknown task 'nosuch'; known: a"), id="a-task-that-is-not-there"),
        pytest.param(
            [task("align"), task("b", "allign")], (1, 0, "unknown task 'allign'; did you mean 'align'?"), id="nearest"
        ),
        pytest.param([task("a", "a")], (0, 0, "tasks wait for each other in a circle: a after a"), id="itself"),
        pytest.param(
            [task("a", "b"), task("b", "c"), task("c", "a"), task("d", "a")],
            (0, 0, "tasks wait for each other in a circle: a after b after c after a"),
            id="a-circle",
        ),
    ],
)
def test_an_order_that_cannot_be_is_refused(tasks: list[Task], problem: tuple[int, int, str]) -> None:
    assert list(order_problems(tasks)) == [problem]
    with pytest.raises(TaskError):
        check_order(tasks)


def test_a_diamond_is_no_circle() -> None:
    assert list(order_problems([task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c")])) == []


FAILED_FIRST = {"first": [other(**BADLY)]}
WAITED = {"job_id": "8", "after_succeeded": ("7",)}


def end_of(named: dict[str, list[Job]], **changes: Any) -> tuple[State, Reason | None]:
    job = ended_by_order(job_of({"command": "true", "after": ["first"]}, **{**WAITED, **changes}), named, NATIVE)
    return job.state, job.reason


@pytest.mark.parametrize(
    "end",
    [
        {"state": State.KILLED, "reason": Reason.KILLED_BY_OTHER},
        {"state": State.FAILED},
        {"state": State.LOST, "reason": Reason.VANISHED},
    ],
)
def test_a_job_that_a_scheduler_removed_for_the_failure_of_another_failed_for_that(end: dict[str, Any]) -> None:
    assert end_of(FAILED_FIRST, **end) == (State.FAILED, Reason.DEPENDENCY)


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        pytest.param({"state": State.FAILED, "exit_code": 3}, (State.FAILED, None), id="it-ran"),
        pytest.param({"state": State.KILLED, "started_at": 1.0}, (State.KILLED, None), id="it-was-seen-running"),
        pytest.param({"state": State.KILLED, "kill_requested_at": 1.0}, (State.KILLED, None), id="we-killed-it"),
        pytest.param({"state": State.RUNNING}, (State.RUNNING, None), id="it-has-not-ended"),
    ],
)
def test_any_other_end_stays_as_it_is(end: dict[str, Any], expected: tuple[State, Reason | None]) -> None:
    assert end_of(FAILED_FIRST, **end) == expected


def test_where_what_it_waited_for_went_well_its_end_is_its_own() -> None:
    assert end_of({"first": [other(**WELL)]}, state=State.LOST) == (State.LOST, None)
