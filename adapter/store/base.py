"""The protocol of a store. Every method is one transaction: a killed process leaves all of it or nothing.

All methods block, and may be called from any thread. Code in an event loop calls them in another thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from adapter.core.event import Event, EventKind
    from adapter.core.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run: which backend it uses (the merged document), and when it began.

    ``is_open``: tasks may still be added.
    """

    id: str
    name: str
    created_at: float
    backend: str
    document: Mapping[str, Any]
    lineage: tuple[str, ...]
    is_open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One run in a list: ``counts`` are its tasks by the state of their last attempt; ``is_done``: nothing remains."""

    id: str
    name: str
    created_at: float
    backend: str
    is_open: bool
    counts: Mapping[str, int]
    is_done: bool


class Usage(Protocol):
    """What other processes use of a backend at the moment of a decision."""

    @property
    def others(self) -> Sequence[Job]:
        """The submitted jobs that others drive, or that nobody drives."""
        ...

    def submits_between(self, since: float, until: float) -> int:
        """Return how many jobs all processes submitted after *since*, and not after *until*."""
        ...


class Store(Protocol):
    """Where runs, tasks, jobs, events, leases and slots are kept. Any number of processes share one."""

    def close(self) -> None:
        """Close it; what was written stays."""
        ...

    # -- runs

    def add_run(self, run: RunRecord, jobs: Iterable[Job] = ()) -> None:
        """Write down *run* with the first *jobs* of its tasks."""
        ...

    def add_tasks(self, run: str, jobs: Iterable[Job]) -> bool:
        """Write down the first *jobs* of further tasks of an open run; ``False`` if one of the numbers is taken.

        Raises:
            StoreError: there is no such run, or it is closed.
        """
        ...

    def close_run(self, run: str) -> None:
        """Let nobody add tasks to *run* any more."""
        ...

    def is_open(self, run: str) -> bool:
        """Whether tasks may still be added to *run*."""
        ...

    def summaries(self, *, most: int | None = None) -> list[RunSummary]:
        """Return the newest runs first: *most* of them, ``None`` for all."""
        ...

    def find_run(self, start: str) -> RunRecord:
        """Return the run whose id begins with *start*, or whose name is *start* (the newest of that name).

        Raises:
            StoreError: there is none, or more than one id begins so.
        """
        ...

    def summary(self, run: str) -> RunSummary:
        """Return the run with the id *run*.

        Raises:
            StoreError: there is none.
        """
        ...

    def has_run(self, name: str) -> bool:
        """Whether there is a run with the id or the name *name*."""
        ...

    def unfinished_runs(self) -> list[str]:
        """Return the ids of runs with a job that has not ended or whose files are not here yet."""
        ...

    def set_note(self, runs: Iterable[str], text: str) -> None:
        """Keep what holds up *runs*, for whoever asks; empty for nothing."""
        ...

    def note(self, run: str) -> str:
        """Return what holds up *run*; empty if nothing does, or nobody knows."""
        ...

    # -- leases

    def claim(self, run: str, owner: str, now: float, for_s: float, is_alive: Callable[[str], bool]) -> bool:
        """Make *owner* the one process that drives *run* until *now* + *for_s*; ``False`` if another one does.

        A former owner counts no more once its time is over or *is_alive* says that its process is gone.
        """
        ...

    def release(self, run: str, owner: str) -> None:
        """Let another process drive *run*."""
        ...

    def driver(self, run: str, now: float, is_alive: Callable[[str], bool]) -> str | None:
        """Return the live process that drives *run*; ``None``: there is none."""
        ...

    def abandoned_runs(self, backend: str, is_alive: Callable[[str], bool]) -> list[str]:
        """Return the runs on *backend* that have submitted jobs and that no live process drives."""
        ...

    # -- jobs

    def save(self, jobs: Iterable[Job], at: float) -> list[Event]:
        """Write down *jobs* as they stand now, and return an event for each change of a state.

        A job may come several times: what it went through meanwhile.
        """
        ...

    def take_slots(
        self, backend: str, owner: str, at: float, decide: Callable[[Usage], tuple[list[Job], int]]
    ) -> list[Event]:
        """Write down the intent to submit: what is free is looked at, and taken, in one transaction.

        *decide* is given what others use; it returns the jobs to write down, and how many submits they are.
        """
        ...

    def used_by_others(self, backend: str, owner: str) -> list[Job]:
        """Return the jobs on *backend* that were submitted, have not ended, and that *owner* does not drive.

        Also those of a process that died: its jobs go on without it.
        """
        ...

    def jobs(self, run: str | None = None) -> list[Job]:
        """Return the jobs of *run*, or all, in order: the last attempt of each task."""
        ...

    def attempts(self, run: str, index: int) -> list[Job]:
        """Return all jobs of the task *index* of *run*, the first attempt first."""
        ...

    def changes(self, run: str, after: int) -> tuple[list[Job], int]:
        """Return the jobs of *run* that were written after change number *after*, and the number of the last one."""
        ...

    # -- files

    def add_brought(self, files: Iterable[tuple[Job, Mapping[str, str]]]) -> None:
        """Write down which files here each job brought: by their paths, each with its path on the target."""
        ...

    def brought(self, run: str) -> dict[str, tuple[int, str]]:
        """Return the files here that jobs of *run* brought: by path, the task's number and the path on the target."""
        ...

    def mark_cleaned(self, jobs: Iterable[Job], at: float, text: str) -> None:
        """Write down that the folders of *jobs* on the target are gone: they have no directory from now on."""
        ...

    def cleaned_at(self, job: Job) -> float | None:
        """Return when the folder of *job* on the target was removed; ``None``: it was not."""
        ...

    # -- requests and events

    def request_kill(self, run: str, index: int | None, at: float) -> None:
        """Ask whoever drives *run* to kill the task *index*, or all of its tasks."""
        ...

    def kill_requests(self, run: str) -> list[int | None]:
        """Return the numbers of the tasks of *run* that somebody asked to kill; ``None`` stands for all of them."""
        ...

    def add_event(self, at: float, kind: EventKind, text: str, job: Job | None = None) -> Event:
        """Write down that something happened; ``None`` for *job* means the whole backend."""
        ...

    def events(self, run: str | None = None, *, after: int = 0, most: int | None = None) -> list[Event]:
        """Return the events of *run* (``None``: of everything) after number *after*, in order; *most* of them."""
        ...
