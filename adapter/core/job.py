"""A job: one submission of a task to a scheduler, as the store keeps it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from adapter.core.state import Reason, State
from adapter.errors import JobError, JobFailed, JobKilled, JobLost

if TYPE_CHECKING:
    from adapter.core.task import Task


OUR_MARK = "adapter-"
"""How the token of every job begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a job used, ``None`` where nothing could tell: wall and CPU in seconds, memory in bytes."""

    wall_s: float | None = None
    user_s: float | None = None
    system_s: float | None = None
    cpu_s: float | None = None
    peak_ram_bytes: int | None = None

    def or_else(self, other: Usage) -> Usage:
        """Return this usage with what it lacks taken from *other*.

        No CPU seconds at all are what a sampler says that never came by: any count is better than that.
        """
        names = self.__slots__
        both = Usage(**{n: getattr(other, n) if getattr(self, n) is None else getattr(self, n) for n in names})
        if both.cpu_s == 0:
            is_counted = bool(both.user_s or both.system_s)
            both = replace(both, cpu_s=other.cpu_s or (None if is_counted else 0.0))
        return both


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """A job's place in an array: the leader's folder on the target, its mark and its try, and where this one counts."""

    directory: str
    token: str
    submit_try: int
    index: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One submission of a task.

    Times are seconds since the epoch on this machine, ``None`` for "not yet". ``job_id`` is the scheduler's name for
    it, ``None`` until it is known. ``left_since`` is when the scheduler was first seen without it, or with its end;
    ``exit_seen_at`` when its exit file was first seen. ``submit_try`` counts how often handing it over was
    begun anew after it was certain that the try before had made no job. ``collected`` is whether its files are here.
    ``array`` is its place in an array, ``None`` for a job that was handed over by itself.
    ``after_succeeded`` and ``after_ended`` are the ids of the jobs that the scheduler itself makes it wait for.
    ``wait_reason`` says why it does not run yet, in the scheduler's words or ours; empty where nobody says.
    ``files_of`` are the names of the tasks before it whose files here are inputs of it. ``replaces`` is whether the
    files that it brings may replace what was here before. ``step_codes`` are the exit codes of its steps, as far as
    its wrapper told them; ``None`` for one that did not end by itself.
    """

    run: str
    index: int
    task: Task
    attempt: int = 1
    state: State = State.WAITING
    reason: Reason | None = None
    message: str = ""
    wait_reason: str = ""
    job_id: str | None = None
    directory: str | None = None
    submit_try: int = 1
    submit_began: bool = False
    exit_code: int | None = None
    signal: int | None = None
    usage: Usage = field(default_factory=Usage)
    step_codes: tuple[int | None, ...] = ()
    native_state: str | None = None
    array: Element | None = None
    after_succeeded: tuple[str, ...] = ()
    after_ended: tuple[str, ...] = ()
    files_of: tuple[str, ...] = ()
    replaces: bool = False
    created_at: float | None = None
    submitted_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    left_since: float | None = None
    exit_seen_at: float | None = None
    kill_requested_at: float | None = None
    kill_sent_at: float | None = None
    kill_escalated_at: float | None = None
    collected: bool = False
    collect_problem: str = ""

    @property
    def key(self) -> str:
        """Our own name for it, unique in the store: ``RUN.INDEX``, and ``RUN.INDEX.ATTEMPT`` from the second on."""
        return f"{self.run}.{self.index}" + (f".{self.attempt}" if self.attempt > 1 else "")

    @property
    def token(self) -> str:
        """Our unique mark on it, in letters that every scheduler accepts in a comment, name, label or tag."""
        return f"{OUR_MARK}{self.run}-{self.index}-{self.attempt}"

    @property
    def folder_name(self) -> str:
        """The name of its directory: the index sorts, the task's name tells a person which."""
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", self.task.name).strip("-.")[:40] or "task"
        return f"{self.index:04d}-{slug}" + (f".{self.attempt}" if self.attempt > 1 else "")

    def but(self, **changes: Any) -> Job:
        """Return this job with *changes*."""
        return replace(self, **changes)

    @property
    def verdict(self) -> str:
        """How it stands, in a few words: ``succeeded``, ``failed: exit code 3``, ``running``."""
        if self.reason is Reason.EXIT_CODE and self.exit_code is not None:
            return f"{self.state}: exit code {self.exit_code}"
        if self.reason is Reason.SIGNAL and self.signal is not None:
            return f"{self.state}: signal {self.signal}"
        return f"{self.state}: {self.reason.replace('_', ' ')}" if self.reason else str(self.state)

    def raise_unless_succeeded(self) -> None:
        """Raise the error that fits a job that ended badly; one that has not ended raises nothing.

        Raises:
            JobFailed: it failed.
            JobKilled: it was killed.
            JobLost: nothing is known about its end.
        """
        if error := _ERRORS.get(self.state):
            text = f"job {self.key} ({self.task.name}) {self.verdict}" + (f": {self.message}" if self.message else "")
            raise error(text, job=self)


_ERRORS: dict[State, type[JobError]] = {State.FAILED: JobFailed, State.KILLED: JobKilled, State.LOST: JobLost}
