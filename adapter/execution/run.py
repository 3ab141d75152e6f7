"""Handles of a run and of its tasks, for code that adds tasks while others run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from adapter.core.event import Event
    from adapter.core.job import Job
    from adapter.core.task import Task


class Driver(Protocol):
    """What a handle needs of its executor; see :class:`adapter.execution.executor.Executor`."""

    async def add(self, run: str, tasks: Iterable[Task], *, force: bool = False) -> list[Job]:
        """Add tasks."""
        ...

    async def close(self, run: str) -> None:
        """Close the run."""
        ...

    async def kill(self, run: str, index: int | None = None) -> None:
        """Kill one task, or all."""
        ...

    async def wait(self, run: str) -> list[Job]:
        """Wait for all tasks."""
        ...

    async def wait_for(self, run: str, index: int) -> Job:
        """Wait for one task."""
        ...

    def events(self, run: str, *, after: int = 0) -> AsyncIterator[Event]:
        """Yield events."""
        ...

    def jobs_of(self, run: str) -> list[Job]:
        """Return the jobs."""
        ...


@dataclass(frozen=True, slots=True)
class Run:
    """A run of an executor. Use it as ``async with``, and it is closed at the end; or call :meth:`close`."""

    executor: Driver
    id: str

    async def add(self, tasks: Iterable[Task], *, force: bool = False) -> list[RunningTask]:
        """Add *tasks*; see :meth:`Executor.add`. Return a handle for each."""
        jobs = await self.executor.add(self.id, tasks, force=force)
        return [RunningTask(self, job.index) for job in jobs]

    async def close(self) -> None:
        """Let nobody add tasks any more."""
        await self.executor.close(self.id)

    async def wait(self) -> list[Job]:
        """Wait until the run is closed and all has ended; see :meth:`Executor.wait`."""
        return await self.executor.wait(self.id)

    async def kill(self) -> None:
        """Ask for all of its tasks to be killed, and close it."""
        await self.executor.kill(self.id)

    def events(self, *, after: int = 0) -> AsyncIterator[Event]:
        """Yield its events after number *after* until it is done; see :meth:`Executor.events`."""
        return self.executor.events(self.id, after=after)

    async def __aenter__(self) -> Run:
        """Return it."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close it."""
        await self.close()


@dataclass(frozen=True, slots=True)
class RunningTask:
    """One task of a run, by its number."""

    run: Run
    index: int

    @property
    def job(self) -> Job:
        """Its last job, as it is known now."""
        jobs = self.run.executor.jobs_of(self.run.id)
        return next(job for job in jobs if job.index == self.index)

    async def wait(self) -> Job:
        """Wait until it has ended and its files are here; return its last job."""
        return await self.run.executor.wait_for(self.run.id, self.index)

    async def kill(self) -> None:
        """Ask for it to be killed."""
        await self.run.executor.kill(self.run.id, self.index)
