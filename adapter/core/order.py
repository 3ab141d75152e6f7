"""The order of a run's tasks: which jobs a job waits for, by ``after``, and whether it may be handed over. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from adapter.core.job_id import parts
from adapter.core.schema import unknown
from adapter.core.state import Reason, State
from adapter.core.task import Until
from adapter.errors import TaskError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from adapter.core.backend import Backend
    from adapter.core.job import Job
    from adapter.core.task import Task


class Turn(StrEnum):
    """Whether a job may be handed over: ``NOW``, ``LATER`` once others have ended, or ``NEVER``."""

    NOW = "now"
    LATER = "later"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A job's turn. The ids are of jobs that the scheduler itself makes it wait for; ``why`` says why it is never."""

    turn: Turn
    after_succeeded: tuple[str, ...] = ()
    after_ended: tuple[str, ...] = ()
    why: str = ""


def order_problems(tasks: Sequence[Task]) -> Iterator[tuple[int, int, str]]:
    """Yield what is wrong with the order: number of the task, number of its ``after`` entry (both from 0), message."""
    names = {task.name for task in tasks}
    known = True
    for number, task in enumerate(tasks):
        for place, after in enumerate(task.after):
            if after.task not in names:
                known = False
                yield number, place, f"{unknown('task', after.task, names)}"
    if known and (circle := _circle(tasks)):
        number = next(number for number, task in enumerate(tasks) if task.name == circle[0])
        shown = " after ".join([*circle, circle[0]])
        yield number, 0, f"tasks wait for each other in a circle: {shown}"


def check_order(tasks: Sequence[Task]) -> None:
    """Refuse tasks that wait for a task that is not there, or for each other.

    Raises:
        TaskError: the first problem.
    """
    for number, _, message in order_problems(tasks):
        raise TaskError(f"task {tasks[number].name!r}: after: {message}")


def _circle(tasks: Sequence[Task]) -> list[str]:
    """Return names of tasks that wait for each other in a circle, each for the next; empty if there is none."""
    waits: dict[str, set[str]] = {}
    for task in tasks:
        waits.setdefault(task.name, set()).update(after.task for after in task.after)
    while True:
        free = {name for name, others in waits.items() if not others & waits.keys()}
        if not free:
            break
        waits = {name: others for name, others in waits.items() if name not in free}
    if not waits:
        return []
    path = [min(waits)]
    while True:
        following = min(waits[path[-1]] & waits.keys())
        if following in path:
            return path[path.index(following) :]
        path.append(following)


def standing(job: Job, by_name: Mapping[str, Sequence[Job]], backend: Backend) -> Standing:
    """Return the turn of *job*; *by_name* holds the jobs of its run by the names of their tasks.

    A job that has ended counts once its files are here. A living one is left to the scheduler where *backend* has a way
    to say so and the scheduler has the job already; never one whose files are inputs of *job*.
    """
    native: dict[Until, list[str]] = {Until.SUCCEEDED: [], Until.ENDED: []}
    turn = Turn.NOW
    for other in (other for name in job.files_of for other in by_name.get(name, ())):
        if not (other.state.is_final and other.collected):
            turn = Turn.LATER  # its inputs are sent at hand-over, and these are not here yet
    for after in job.task.after:
        for other in by_name.get(after.task, ()):
            if other.state.is_final:
                if after.until is Until.SUCCEEDED and (other.state is not State.SUCCEEDED or other.collect_problem):
                    return Standing(turn=Turn.NEVER, why=f"it waits for task {other.task.name!r}, which {_end(other)}")
                turn = turn if other.collected else Turn.LATER
            elif _is_left_to_scheduler(other, after.until, backend):
                native[after.until].append(parts(backend.submit, other.job_id)[0])
            else:
                turn = Turn.LATER
    return Standing(turn=turn, after_succeeded=tuple(native[Until.SUCCEEDED]), after_ended=tuple(native[Until.ENDED]))


def _is_left_to_scheduler(other: Job, until: Until, backend: Backend) -> bool:
    """Whether the scheduler itself can wait for *other*.

    Never for the success of an array's element: a scheduler was seen to take one cancelled in the queue for a success.
    For any end only where the file says that it is any: some schedulers delete a job that waits for one which they
    removed themselves, or hold it for ever. Never for a job that another cluster knows: a scheduler knows its own.
    """
    if other.job_id is None or not _is_where_we_go(parts(backend.submit, other.job_id)[1], backend):
        return False
    if until is Until.ENDED and not backend.submit.ended_is_any_end:
        return False
    if until is Until.SUCCEEDED and other.array is not None:
        return False
    return _VARIABLES[until] in backend.job_variables


def _is_where_we_go(place: str | None, backend: Backend) -> bool:
    """Whether a job that is handed over now will be known by the same cluster (region, server) as one of *place*."""
    goes_to = backend.submit.goes_to
    return place is None or (goes_to is not None and goes_to.render(backend.values) == place)


def ended_by_order(job: Job, by_name: Mapping[str, Sequence[Job]], backend: Backend) -> Job:
    """Return *job*, or, if the scheduler removed it because a job before it failed, *job* with that as its end.

    Schedulers do so in their own words, or in none: it never ran (there is no exit code), nobody killed it, and what
    it waited for did not succeed.
    """
    never_ran = job.state in {State.FAILED, State.KILLED, State.LOST} and job.exit_code is None and not job.started_at
    if not job.after_succeeded or not never_ran or job.kill_requested_at is not None:
        return job
    its = standing(job, by_name, backend)
    if its.turn is not Turn.NEVER:
        return job
    return job.but(state=State.FAILED, reason=Reason.DEPENDENCY, message=its.why)


def named_jobs(jobs: Iterable[Job]) -> dict[str, list[Job]]:
    """Return *jobs* by the names of their tasks."""
    named: dict[str, list[Job]] = {}
    for job in jobs:
        named.setdefault(job.task.name, []).append(job)
    return named


_VARIABLES = {Until.SUCCEEDED: "after_succeeded", Until.ENDED: "after_ended"}


def _end(job: Job) -> str:
    if job.state is State.SUCCEEDED:
        return f"did not bring its files: {job.collect_problem}"
    return job.verdict if job.state is State.FAILED else f"was {job.verdict}"
