"""What a job took for its own id: a hint, which counts only where the scheduler has it under the job's token."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.core.state import Reason, State
from adapter.store.sqlite import SqliteStore

from .stage import UNKNOWN_ID, WELL, Slurm, Story, play, said, slurm, tasks

OUTER = "900_1"  # the array's element in which adapter itself was called
BUSY = said("", "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n", 1)
ENDED_WELL = "exit_code 0\nreason \njob_id 900_1\n"


def lost_answer(scheduler: Slurm, directory: str, run: str, index: int) -> Any:
    """The job is made, and nobody hears its id; the job itself believes that it is OUTER."""
    scheduler.make(directory, run, index)
    scheduler.transport.links[directory] = f"submit.1 {OUTER}"
    return BUSY


def begun_and_forgotten(scheduler: Slurm, directory: str, run: str, index: int) -> Any:
    """The job ran, and the scheduler shows it no more by the time that anybody looks."""
    scheduler.transport.links[directory] = f"submit.1 {OUTER}"
    return BUSY


def assert_the_outer_job_is_left_alone(scheduler: Slurm) -> None:
    assert scheduler.transport.commands(OUTER) == []


def test_an_outer_job_s_id_is_not_taken_where_the_scheduler_has_another_under_the_token(store: SqliteStore) -> None:
    scheduler = Slurm(refusals={1: [lost_answer]})
    story = play(scheduler, store, tasks())
    assert (story.jobs[0].job_id, story.jobs[0].state) == ("100", State.SUCCEEDED)
    assert len(scheduler.submitted) == 1
    assert_the_outer_job_is_left_alone(scheduler)


def test_a_kill_ends_the_inner_job_and_not_the_outer_one(store: SqliteStore) -> None:
    scheduler = Slurm(path=["RUNNING|0|None"], refusals={1: [lost_answer]})

    async def kill(executor: Any, run: str) -> None:
        await executor.handed_over(run)
        await executor.kill(run)

    story = play(scheduler, store, tasks(), during=kill)
    assert story.jobs[0].state is State.KILLED
    assert scheduler.transport.commands("^scancel") == ["scancel 100"]


@pytest.mark.parametrize(
    ("leaves", "state", "reason"),
    [
        pytest.param(ENDED_WELL, State.SUCCEEDED, None, id="with an exit file"),
        pytest.param(None, State.LOST, Reason.VANISHED, id="without one"),
    ],
)
def test_a_job_that_ran_and_is_no_longer_there_ends_by_its_exit_file_and_is_not_repeated(
    store: SqliteStore, leaves: str | None, state: State, reason: Reason | None
) -> None:
    scheduler = Slurm()

    def ran(*about: Any) -> Any:
        if leaves:
            scheduler.transport.exit_files[about[1]] = leaves
        return begun_and_forgotten(*about)

    scheduler.refusals = {1: [ran]}
    story = play(scheduler, store, tasks())
    assert (story.jobs[0].state, story.jobs[0].reason, story.jobs[0].job_id) == (state, reason, None)
    assert len(scheduler.submitted) == 1
    assert_the_outer_job_is_left_alone(scheduler)


@pytest.mark.parametrize("link", ["submit.1 unknown", "submit.1 ", None])
@pytest.mark.parametrize("find", [pytest.param({}, id="find"), pytest.param({"find": None}, id="no find")])
def test_a_job_that_ran_without_knowing_its_id_is_not_handed_over_again(
    store: SqliteStore, link: str | None, find: dict[str, Any]
) -> None:
    def ran(scheduler: Slurm, directory: str, run: str, index: int) -> Any:
        if link is not None:
            scheduler.transport.links[directory] = link
        scheduler.transport.exit_files[directory] = "exit_code 3\n"
        return said("", "something went wrong\n", 1)

    scheduler = Slurm(refusals={1: [ran]})
    story = play(scheduler, store, tasks(), backend=slurm(**find))
    assert [(job.state, job.exit_code) for job in story.jobs] == [(State.FAILED, 3)]
    assert len(scheduler.submitted) == 1


def second_try(scheduler: Slurm, store: SqliteStore, link: str, find: Any = None) -> Story:
    """The first try was answered by nothing, and the second has the id 100; then *link* is in the directory."""
    scheduler.refusals = {1: [BUSY, lambda *about: accepted(scheduler, link, *about[1:])]}
    if find is not None:
        scheduler.transport.handler.insert(0, ("^squeue --me", find))
    return play(scheduler, store, tasks())


def accepted(scheduler: Slurm, link: str, directory: str, run: str, index: int) -> Any:
    scheduler.transport.links[directory] = link
    return said(scheduler.make(directory, run, index))


def test_an_id_from_inside_that_the_scheduler_does_not_confirm_replaces_no_receipt(store: SqliteStore) -> None:
    scheduler = Slurm()
    story = second_try(scheduler, store, f"submit.2 {OUTER}")
    assert (story.jobs[0].job_id, story.jobs[0].state) == ("100", State.SUCCEEDED)
    assert_the_outer_job_is_left_alone(scheduler)


def test_an_earlier_try_that_lives_after_all_is_followed_once_the_scheduler_confirms_it(store: SqliteStore) -> None:
    scheduler = Slurm()
    both: list[str] = []

    def find(command: str) -> str:
        token = next((job["token"] for job in scheduler.jobs.values()), None)
        if token and not both:
            both.append(scheduler.make(scheduler.jobs["100"]["directory"], "r", 1).strip())
        return f"{both[0]}|{token}|\n100|{token}|\n" if token else ""

    scheduler.paths = {1: WELL}
    story = second_try(scheduler, store, "submit.1 101", find)
    assert (story.jobs[0].job_id, story.jobs[0].state) == ("101", State.SUCCEEDED)


def test_while_the_scheduler_cannot_say_which_try_runs_no_end_is_believed(store: SqliteStore) -> None:
    scheduler = Slurm(path=["FAILED|19200|NonZeroExitCode"])  # 75: the second submission finds its folder taken
    answers = ["", "", said("", "slurm_load_jobs error: Socket timed out on send/recv operation\n", 1)]

    def find(command: str) -> Any:
        if answers:
            return answers.pop(0)
        token = scheduler.jobs["100"]["token"]
        if "101" not in scheduler.jobs:
            scheduler.make(scheduler.jobs["100"]["directory"], "r", 7)
            scheduler.paths = {7: WELL}
        return f"101|{token}|\n100|{token}|\n"

    story = second_try(scheduler, store, "submit.1 101", find)
    assert (story.jobs[0].job_id, story.jobs[0].state) == ("101", State.SUCCEEDED)
    assert answers == []


def test_where_there_is_no_find_an_id_that_no_outer_job_can_have_given_counts(store: SqliteStore) -> None:
    def lost(scheduler: Slurm, directory: str, run: str, index: int) -> Any:
        scheduler.transport.links[directory] = f"submit.1 {scheduler.make(directory, run, index).strip()}"
        return BUSY

    story = play(Slurm(refusals={1: [lost]}), store, tasks(), slurm(find=None))
    assert (story.jobs[0].job_id, story.jobs[0].state) == ("100", State.SUCCEEDED)


def test_where_there_is_no_find_and_the_variable_is_handed_on_the_id_does_not_count(store: SqliteStore) -> None:
    scheduler = Slurm(refusals={1: [begun_and_forgotten]}, monitor=[UNKNOWN_ID])
    story = play(scheduler, store, tasks(), slurm(find=None, submit={"environment": {"SLURM_*": "keep"}}))
    assert (story.jobs[0].state, story.jobs[0].reason) == (State.LOST, Reason.SUBMIT_UNKNOWN)
    assert_the_outer_job_is_left_alone(scheduler)
