"""The table: the jobs of one executor as they stand now; what changes is in the journal before anybody hears of it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapter.core.bounds import likeness
from adapter.core.state import Reason
from adapter.execution.lease import this_process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from adapter.core.backend import Backend
    from adapter.core.job import Job
    from adapter.execution.clock import Clock
    from adapter.execution.journal import Journal
    from adapter.execution.scheduler_client import SchedulerClient


TOLD_AT_ONCE, MOST_TOLD = 5, 1000
REQUEUED = "the scheduler put it back into the queue after it had run; it begins anew"


@dataclass(frozen=True, slots=True)
class Event:
    """Something a person may want to see. ``job`` is ``None`` for what concerns the whole backend."""

    at: float
    what: str
    text: str
    job: Job | None = None


class JobTable:
    """The jobs of one executor, and what its submitter, poller and collector share."""

    def __init__(
        self, client: SchedulerClient, journal: Journal, clock: Clock, on_event: Callable[[Event], None] | None
    ) -> None:
        """Begin with no jobs. ``None`` for *on_event* means that nobody listens."""
        self.client = client
        self.journal = journal
        self.clock = clock
        self.jobs: dict[str, Job] = {}
        self.foreign: set[str] = set()  # runs that another live process drives
        self.notes: dict[str, str] = {}  # by run: what keeps its waiting jobs from going on
        self.changed = asyncio.Condition()
        self.owner = this_process()
        self._on_event = on_event
        self._unsaved: dict[str, Job] | None = None
        self._told: dict[tuple[str, str], tuple[int, float]] = {}  # how often the like was told, and when last

    @property
    def backend(self) -> Backend:
        """The backend, with the overlays of the version that was found once it was asked."""
        return self.client.backend

    def mine(self) -> list[Job]:
        """Return the jobs that this process drives."""
        return [job for job in self.jobs.values() if job.run not in self.foreign]

    def driven_elsewhere(self) -> list[Job]:
        """Return the jobs that others have on the same backend: they use the same machine and queue.

        Also those of a process that died: its jobs go on without it.
        """
        return self.journal.submitted_by_others(self.backend.name, self.owner)

    def jobs_of(self, run: str) -> list[Job]:
        """Return the jobs of *run* as they are known now, in order."""
        return sorted((job for job in self.jobs.values() if job.run == run), key=lambda job: job.index)

    async def update(self, *jobs: Job) -> None:
        """Write down *jobs* as they are now, and tell whoever watches."""
        if self.record(*jobs) and self._unsaved is None:
            await self.notify()

    def record(self, *jobs: Job) -> bool:
        """Write down *jobs* as they are now, and return whether anything changed; nobody is woken yet."""
        settled = [_with_end(job, self.clock.now()) for job in jobs if self.jobs.get(job.key) != job]
        for job in settled:
            if job.reason is Reason.REQUEUED and not self._is_known_requeued(job.key):
                self.journal.add_event(self.clock.now(), Reason.REQUEUED, REQUEUED, job)  # running again, it is gone
        if self._unsaved is not None:
            self._unsaved.update((job.key, job) for job in settled)
        elif settled:
            self.journal.save(settled)
        self._now_known(settled)
        return bool(settled)

    async def note(self, text: str) -> None:
        """Keep what holds up the runs that this process drives: the same for all; empty for nothing."""
        runs = {job.run for job in self.mine() if not job.state.is_final}
        changed = {run for run in runs if self.notes.get(run, "") != text}
        if changed:
            self.notes.update(dict.fromkeys(changed, text))
            self.journal.set_note(changed, text)
            await self.notify()

    def _is_known_requeued(self, key: str) -> bool:
        before = self.jobs.get(key)
        return before is not None and before.reason is Reason.REQUEUED

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        """Write what is updated inside in one go: a batch costs one transaction, not one for each of its jobs."""
        self._unsaved = {}
        try:
            yield
        finally:
            unsaved, self._unsaved = self._unsaved, None
            if unsaved:
                self.journal.save(unsaved.values())
                await self.notify()

    async def follow(self, jobs: Iterable[Job]) -> None:
        """Take over how *jobs* stand from the journal: another process wrote them."""
        changed = [job for job in jobs if self.jobs.get(job.key) != job]
        self._now_known(changed)
        if changed:
            await self.notify()

    async def tell(self, what: str, text: str, job: Job | None = None) -> None:
        """Write down that *what* happened and tell whoever listens."""
        now = self.clock.now()
        self.journal.add_event(now, what, text, job)
        self._hear(Event(now, what, text, job))

    async def tell_rarely(self, what: str, text: str, *, at_once: int = TOLD_AT_ONCE) -> None:
        """Tell *text*; after *at_once* times the like of it only after pauses that grow: an outage is no flood."""
        now, alike = self.clock.now(), (what, likeness(text))
        times, last = self._told.get(alike, (0, now))
        pause_s = 0.0 if times < at_once else min(60.0 * 2 ** (times - at_once), 3600.0)
        if now - last < pause_s:
            return
        if now - last > 2 * 3600:  # it was quiet about this meanwhile
            times = 0
        if len(self._told) >= MOST_TOLD:
            self._told.clear()
        self._told[alike] = times + 1, now
        await self.tell(what, text)

    async def notify(self) -> None:
        """Wake whoever waits for a change."""
        async with self.changed:
            self.changed.notify_all()

    def _now_known(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            before = self.jobs.get(job.key)
            self.jobs[job.key] = job
            if before is None or (before.state, before.reason) != (job.state, job.reason):
                self._hear(Event(self.clock.now(), str(job.state), job.verdict, job))

    def _hear(self, event: Event) -> None:
        if self._on_event:
            self._on_event(event)


def is_done(job: Job) -> bool:
    """Whether nothing remains to be done for *job*: it has ended and its files are here."""
    return job.state.is_final and job.collected


def _with_end(job: Job, now: float) -> Job:
    return job.but(ended_at=now) if job.state.is_final and job.ended_at is None else job
