"""What becomes of a task after an attempt. Pure; called in the transaction that writes the end of the attempt."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapter.core.job import Job

Decision = Callable[["Job"], "Job | None"]
"""Given a job that has just ended, return the next attempt of its task, or ``None``."""


def no_retry(_job: Job) -> Job | None:
    """Every task has one attempt."""
    return None


def next_attempt(job: Job, **changes: object) -> Job:
    """Return a further attempt of the task of *job*, as new: nothing of it was submitted yet."""
    fresh = type(job)(
        run=job.run,
        index=job.index,
        task=job.task,
        attempt=job.attempt + 1,
        files_of=job.files_of,
        replaces=job.replaces,
        created_at=job.ended_at,
    )
    return fresh.but(**changes)
