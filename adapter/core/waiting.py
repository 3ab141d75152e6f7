"""Why a job does not run yet, for a person. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from adapter.core.order import named_jobs
from adapter.core.state import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adapter.core.job import Job

_NOT_YET = frozenset({State.WAITING, State.QUEUED, State.HELD, State.SUSPENDED})


def why_waiting(job: Job, by_name: Mapping[str, Sequence[Job]], note: str = "") -> str:
    """Return why *job* does not run yet; empty where nobody knows, or where it does not wait.

    What is known of the job itself comes first: the scheduler's reason, or an uncertain submit. *by_name* holds the
    jobs of its run by the names of their tasks; *note* says what keeps the whole run from going on.
    """
    if job.state not in _NOT_YET:
        return ""
    if job.wait_reason or job.state is not State.WAITING or job.submit_began:
        return job.wait_reason
    for after in job.task.after:
        if any(not (other.state.is_final and other.collected) for other in by_name.get(after.task, ())):
            return f"for task {after.task!r}"
    return note


def with_reasons(jobs: Sequence[Job], note: str = "") -> list[Job]:
    """Return the *jobs* of a run, each with why it waits in ``wait_reason``."""
    by_name = named_jobs(jobs)
    return [job.but(wait_reason=why_waiting(job, by_name, note)) for job in jobs]


def reasons(jobs: Sequence[Job], note: str = "") -> list[tuple[str, int]]:
    """Return why the waiting ones of the *jobs* of a run wait, and how many for that, the most common reason first."""
    pending = [job for job in jobs if job.state in _NOT_YET]
    by_name = named_jobs(jobs) if any(job.task.after for job in pending) else {}
    return Counter(why for job in pending if (why := why_waiting(job, by_name, note))).most_common()
