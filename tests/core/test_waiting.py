"""Why a job does not run yet: the scheduler's reason, ours, or the task that it comes after."""

from __future__ import annotations

from adapter.core.job import Job
from adapter.core.state import State
from adapter.core.task import task_from
from adapter.core.waiting import reasons, with_reasons

NOTE = "limit of 8 jobs at once on cluster"


def job(index: int, name: str, state: State = State.WAITING, **changes: object) -> Job:
    after = changes.pop("after", [])
    task = task_from({"name": name, "command": "true", "after": after})
    return Job(run="r1", index=index, task=task, state=state).but(**changes)


def whys(*jobs: Job) -> list[str]:
    return [each.wait_reason for each in with_reasons(jobs, NOTE)]


def test_a_job_waits_for_what_holds_up_its_run() -> None:
    assert whys(job(1, "a")) == [NOTE]


def test_a_task_that_comes_after_another_waits_for_that_one_by_name() -> None:
    first = job(1, "part", State.RUNNING)
    assert whys(first, job(2, "gather", after=["part"])) == ["", "for task 'part'"]


def test_once_the_task_before_has_ended_and_its_files_are_here_it_waits_as_the_others_do() -> None:
    ended = job(1, "part", State.SUCCEEDED, collected=True)
    assert whys(ended, job(2, "gather", after=["part"])) == ["", NOTE]


def test_a_task_before_whose_files_are_still_on_their_way_is_waited_for() -> None:
    assert whys(job(1, "part", State.SUCCEEDED), job(2, "gather", after=["part"]))[1] == "for task 'part'"


def test_the_scheduler_s_reason_is_shown_for_a_job_that_it_has() -> None:
    queued = job(1, "a", State.QUEUED, job_id="7", submit_began=True, wait_reason="PartitionTimeLimit")
    assert whys(queued) == ["PartitionTimeLimit"]


def test_a_job_that_runs_or_has_ended_waits_for_nothing() -> None:
    assert whys(job(1, "a", State.RUNNING), job(2, "b", State.FAILED)) == ["", ""]


def test_reasons_are_counted_the_most_common_first() -> None:
    jobs = [job(n, f"t{n}") for n in (1, 2, 3)]
    jobs += [job(4, "x", State.QUEUED, wait_reason="Priority"), job(5, "y", State.RUNNING)]
    assert reasons(jobs, NOTE) == [(NOTE, 3), ("Priority", 1)]
