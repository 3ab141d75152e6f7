"""What a case of the standard table is, and what those who write one share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from adapter.core.job import Job
from adapter.core.render import job_values

if TYPE_CHECKING:
    from pathlib import Path

    from adapter.core.backend import Backend
    from adapter.core.task import Task
    from adapter.execution.executor import Executor

MANY = 100
WALLTIME_S = 60  # the least that some schedulers accept
MOST_SKEW_S = 60  # between the clock that a job sees and the target's
LEAF, LITERAL = "leaf\n", "literal\n"
TOUCHED = 30_000_000  # bytes that a task keeps in memory, so that a peak can be seen
SHOWS_WITHIN_S = 60  # what one machine wrote, another sees: caches of network file systems
WORK, UNSEEN = "the job's folder", 66


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the cases may use: the executor, a folder of ours for files, and the limits to ask for.

    ``hold`` are options of the scheduler's own that make it hold a job; none if nobody named them.
    """

    executor: Executor
    folder: Path
    walltime_s: int = WALLTIME_S
    many: int = MANY
    hold: tuple[str, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)  # what was seen meanwhile, by job key


Expectation = Callable[[Context, list[Job]], Awaitable[str | None]]
Action = Callable[[Context, list[Job]], Awaitable[bool]]
Need = Callable[["Backend"], str | None]


class NotHereError(Exception):
    """The backend does not do this, in a way that is no mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Tasks, what is done with their jobs while they live, and what must be true at the end (``None``: it is).

    ``needs`` says why a backend cannot have it, ``None`` if it can. ``as_array``: its tasks are handed over in one
    submit. ``is_slow``: it takes a minute or more wherever it runs. ``is_outside``: its tasks get no image.
    """

    name: str
    about: str
    tasks: tuple[Task, ...]
    expect: Expectation
    act: Action | None = None
    needs: Need | None = None
    as_array: bool = False
    is_slow: bool = False
    is_outside: bool = False


def work_folder(context: Context, job: Job) -> str:
    """Return the folder on the target in which *job* runs."""
    site = context.executor.client
    return str(job_values(site.backend, job, site.workspace)["work_directory"])


def shown(job: Job) -> str:
    """Return how *job* ended, in words."""
    parts = [job.verdict]
    if job.exit_code is not None:
        parts.append(f"exit code {job.exit_code}")
    return ", ".join(part for part in (*parts, job.message, job.collect_problem) if part)
