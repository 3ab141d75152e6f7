"""The table: the jobs of one executor as they stand now; what changes is in the store before anybody hears of it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from adapter.core.bounds import likeness
from adapter.core.event import state_event
from adapter.core.retry import no_retry
from adapter.execution.lease import this_process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from adapter.core.backend import Backend
    from adapter.core.event import Event, EventKind
    from adapter.core.job import Job
    from adapter.core.retry import Decision
    from adapter.execution.clock import Clock
    from adapter.execution.scheduler_client import SchedulerClient
    from adapter.store.base import Store


TOLD_AT_ONCE, MOST_TOLD = 5, 1000


class JobTable:
    """The jobs of one executor, and what its submitter, poller and collector share."""

    def __init__(
        self,
        client: SchedulerClient,
        store: Store,
        clock: Clock,
        on_event: Callable[[Event], None] | None,
        decide: Decision = no_retry,
    ) -> None:
        """Begin with no jobs. ``None`` for *on_event* means that nobody listens; *decide* is what follows an end."""
        self.client = client
        self.store = store
        self.clock = clock
        self.jobs: dict[str, Job] = {}
        self.foreign: set[str] = set()  # runs that another live process drives
        self.notes: dict[str, str] = {}  # by run: what keeps its waiting jobs from going on
        self.changed = asyncio.Condition()
        self.owner = this_process()
        self._on_event = on_event
        self._decide = decide
        self._unsaved: list[Job] | None = None
        self._told: dict[tuple[str, str], tuple[int, float]] = {}  # how often the like was told, and when last

    @property
    def backend(self) -> Backend:
        """The backend, with the overlays of the version that was found once it was asked."""
        return self.client.backend

    def mine(self) -> list[Job]:
        """Return the jobs that this process drives."""
        return [job for job in self.jobs.values() if job.run not in self.foreign]

    def jobs_of(self, run: str) -> list[Job]:
        """Return the jobs of *run* as they are known now, in order: the last attempt of each task."""
        last: dict[int, Job] = {}
        for job in self.jobs.values():
            if job.run == run and (job.index not in last or last[job.index].attempt < job.attempt):
                last[job.index] = job
        return [last[index] for index in sorted(last)]

    async def update(self, *jobs: Job) -> None:
        """Write down *jobs* as they are now, and tell whoever watches."""
        settled = self.settled(jobs)
        if not settled:
            return
        if self._unsaved is not None:
            self._unsaved += settled
            self.jobs.update((job.key, job) for job in settled)
        else:
            await self._save(settled)

    def settled(self, jobs: Iterable[Job]) -> list[Job]:
        """Return those of *jobs* that are news, ends with their time, and the next attempts of what has ended."""
        settled = []
        for job in jobs:
            before = self.jobs.get(job.key)
            if before == job:
                continue
            ended = _with_end(job, self.clock.now())
            settled.append(ended)
            if ended.state.is_final and not (before and before.state.is_final):
                following = self._decide(ended)
                settled += [following] if following else []
        return settled

    async def _save(self, jobs: Sequence[Job]) -> None:
        self.now_stored(jobs, await self.clock.in_thread(self.store.save, jobs, self.clock.now()))
        await self.notify()

    def now_stored(self, jobs: Iterable[Job], events: Iterable[Event]) -> None:
        """Take over *jobs* as they were written down, and tell the *events* of that."""
        self.jobs.update((job.key, job) for job in jobs)
        for event in events:
            self.hear(event)

    async def note(self, text: str) -> None:
        """Keep what holds up the runs that this process drives: the same for all; empty for nothing."""
        runs = {job.run for job in self.mine() if not job.state.is_final}
        changed = {run for run in runs if self.notes.get(run, "") != text}
        if changed:
            self.notes.update(dict.fromkeys(changed, text))
            await self.clock.in_thread(self.store.set_note, changed, text)
            await self.notify()

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        """Write what is updated inside in one go: a batch costs one transaction, not one for each of its jobs."""
        self._unsaved = []
        try:
            yield
        finally:
            unsaved, self._unsaved = self._unsaved, None
            if unsaved:
                await self._save(unsaved)

    async def follow(self, jobs: Iterable[Job]) -> None:
        """Take over how *jobs* stand: another process wrote them."""
        changed = [job for job in jobs if self.jobs.get(job.key) != job]
        for job in changed:
            before = self.jobs.get(job.key)
            self.jobs[job.key] = job
            if before is None or (before.state, before.reason) != (job.state, job.reason):
                self.hear(state_event(job, self.clock.now()))
        if changed:
            await self.notify()

    async def tell(self, kind: EventKind, text: str, job: Job | None = None) -> None:
        """Write down that something happened and tell whoever listens."""
        self.hear(await self.clock.in_thread(self.store.add_event, self.clock.now(), kind, text, job))

    async def tell_rarely(self, kind: EventKind, text: str, *, at_once: int = TOLD_AT_ONCE) -> None:
        """Tell *text*; after *at_once* times the like of it only after pauses that grow: an outage is no flood."""
        now, alike = self.clock.now(), (kind, likeness(text))
        times, last = self._told.get(alike, (0, now))
        pause_s = 0.0 if times < at_once else min(60.0 * 2 ** (times - at_once), 3600.0)
        if now - last < pause_s:
            return
        if now - last > 2 * 3600:  # it was quiet about this meanwhile
            times = 0
        if len(self._told) >= MOST_TOLD:
            self._told.clear()
        self._told[alike] = times + 1, now
        await self.tell(kind, text)

    async def notify(self) -> None:
        """Wake whoever waits for a change."""
        async with self.changed:
            self.changed.notify_all()

    def hear(self, event: Event) -> None:
        """Tell *event* to whoever listens."""
        if self._on_event:
            self._on_event(event)


def is_done(job: Job) -> bool:
    """Whether nothing remains to be done for *job*: it has ended and its files are here."""
    return job.state.is_final and job.collected


def _with_end(job: Job, now: float) -> Job:
    return job.but(ended_at=now) if job.state.is_final and job.ended_at is None else job
