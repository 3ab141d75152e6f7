"""The executor: submits, polls, kills and collects the jobs of one backend, and writes the journal first.

One loop does everything in turn; what it does is in :mod:`adapter.execution.submitter`,
:mod:`adapter.execution.poller` and :mod:`adapter.execution.collector`. Kill this process at any instant: the journal
and the job directories hold all there is to know.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from adapter.core.job import Job
from adapter.core.render import render_job
from adapter.core.requirements import with_defaults
from adapter.core.state import Reason, State
from adapter.errors import (
    AuthenticationError,
    ConnectError,
    JournalError,
    OutcomeUnknown,
    TransportError,
)
from adapter.execution.abandoned import Abandoned
from adapter.execution.clock import RealClock, backoff
from adapter.execution.collector import Collector
from adapter.execution.job_table import JobTable, is_done
from adapter.execution.journal import RunRecord
from adapter.execution.lease import OWNED_FOR_S, is_alive
from adapter.execution.logs import Logs
from adapter.execution.poller import Poller
from adapter.execution.prepare import prepared
from adapter.execution.scheduler_client import SchedulerClient
from adapter.execution.submitter import Submitter
from adapter.execution.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from adapter.core.backend import Backend
    from adapter.core.task import Task
    from adapter.execution.clock import Clock
    from adapter.execution.job_table import Event
    from adapter.execution.journal import Journal
    from adapter.transports.base import Transport

_LOOK_S = 0.5  # how often to look whether another process wants something


class Executor:
    """Submits, polls, kills and collects on one backend. Use it as ``async with Executor(...) as executor``.

    ``on_event`` is called with every :class:`Event`; a change of a job's state is one (``what`` is the state).
    """

    def __init__(  # noqa: PLR0913 (each is a part that somebody else makes)
        self,
        backend: Backend,
        *,
        transport: Transport,
        journal: Journal,
        secrets: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        """Nothing is asked or started yet: entering does. *secrets* are the texts of the backend's ``secrets``."""
        self._table = JobTable(
            SchedulerClient(backend, transport, secrets=secrets), journal, clock or RealClock(), on_event
        )
        self._submitter, self._poller = Submitter(self._table), Poller(self._table)
        self._collector = Collector(self._table)
        self._abandoned = Abandoned(self._table.client, journal, self._table.clock)
        self._wake = asyncio.Event()
        self._watcher = Watcher(self._table, self._hurry)
        self._loop: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._prepared = False
        self.is_down = False  # whether the machine could not be asked the last time
        self._not_sized: list[str] = []  # keys of jobs not yet compared with what the machine has
        self._waits = backoff()
        self._owned_until = 0.0
        self._answered_kills: dict[str, int] = {}

    @property
    def backend(self) -> Backend:
        """The backend, with the overlays of the version that was found once it was asked."""
        return self._table.backend

    @property
    def client(self) -> SchedulerClient:
        """The backend over its transport."""
        return self._table.client

    @property
    def journal(self) -> Journal:
        """The journal that everything is written to."""
        return self._table.journal

    @property
    def jobs(self) -> Mapping[str, Job]:
        """The jobs as they are known now, by key."""
        return self._table.jobs

    async def __aenter__(self) -> Self:
        """Open the transport and start to work."""
        await self.client.transport.__aenter__()
        self._loop = asyncio.create_task(self._work(), name="adapter executor")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and leave the jobs where they are: any later executor goes on with them."""
        for task in filter(None, (self._loop, self._watcher.task)):
            while not task.done():  # what it waits for may take a cancellation for its own
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await asyncio.wait({task}, timeout=1)
        for run in {job.run for job in self.jobs.values()} - self._table.foreign:
            self.journal.release(run, self._table.owner)
        await self.client.transport.__aexit__(kind, error, trace)

    # -- what users call

    async def submit(self, tasks: Iterable[Task], *, name: str = "", force: bool = False) -> str:
        """Take *tasks* as one run, written down before anything leaves this process, and return the run's id.

        With *force*, outputs may replace files that are here already; otherwise those stay.

        Raises:
            TaskError: a task cannot be run on this backend, two would write one file here, or one would replace a
                file; nothing is written down then.
        """
        run, now = new_run_id(), self._table.clock.now()
        jobs = [
            Job(run=run, index=number, task=task, created_at=now, files_of=files_of, replaces=force)
            for number, (task, files_of) in enumerate(prepared(tasks, force=force), 1)
        ]
        for job in jobs:
            render_job(self.backend, job, "/workspace")
        record = RunRecord(
            id=run, name=name or jobs[0].task.name, created_at=now, backend=self.backend.name,
            document=self.backend.document, lineage=self.backend.lineage,
        )  # fmt: skip
        self.journal.add_run(record, jobs)
        self._claim(run)
        self._take(jobs)
        return run

    def adopt(self, run: str) -> bool:
        """Go on with *run* from the journal; ``False`` if another live process does: then it is only watched."""
        mine = self._claim(run)
        self._take(self.journal.jobs(run))
        return mine

    def kill(self, run: str, index: int | None = None) -> None:
        """Ask for the job *index* of *run*, or all its jobs, to be killed; whoever drives the run does it."""
        self.journal.request_kill(run, index, self._table.clock.now())
        self._wake.set()

    async def wait(self, run: str) -> list[Job]:
        """Wait until every job of *run* has ended and its files are here; return them in order.

        Raises:
            AdapterError: work had to stop (refused authentication, an unusable workspace); the journal keeps it all.
        """
        async for _ in self.watch(run):
            pass
        return self.jobs_of(run)

    async def watch(self, run: str) -> AsyncIterator[list[Job]]:
        """Yield the jobs of *run* whenever one of them changed, until all have ended and their files are here."""
        seen: list[Job] | None = None
        while True:
            jobs = self.jobs_of(run)
            if jobs != seen:
                seen = jobs
                yield jobs
            if all(is_done(job) for job in jobs):
                return
            if self._failure:
                raise self._failure
            async with self._table.changed:
                if self.jobs_of(run) == seen and not self._failure:
                    await self._table.changed.wait()

    async def handed_over(self, run: str) -> list[Job]:
        """Wait until no job of *run* could be handed over right now, and return the jobs.

        Raises:
            AdapterError: work had to stop; the jobs stay in the journal.
        """
        async with self._table.changed:
            await self._table.changed.wait_for(lambda: self._failure or self._is_handed_over(run))
        if self._failure:
            raise self._failure
        return self.jobs_of(run)

    def _is_handed_over(self, run: str) -> bool:
        jobs = self.jobs_of(run)
        if any(job.submit_began and job.job_id is None and not job.state.is_final for job in jobs):
            return False
        return self._submitter.is_full or all(job.state is not State.WAITING for job in jobs)

    async def look(self, run: str) -> bool:
        """Ask once about the jobs of *run* and bring what ended, for an executor that was not entered.

        Nothing is submitted or killed. ``False`` if another live process drives the run: then nothing is asked.

        Raises:
            TransportError: the target cannot be asked.
        """
        if not self.adopt(run):
            return False
        try:
            async with self.client.transport:
                await self._prepare()
                jobs = [job for job in self.jobs_of(run) if job.job_id is not None and not job.state.is_final]
                if jobs:
                    await self._poller.ask(jobs)
                await self._collector.collect()
        finally:
            self.journal.release(run, self._table.owner)
        return True

    def note(self, run: str) -> str:
        """Return what keeps the waiting jobs of *run* from going on; empty if nothing does, or nobody knows."""
        return self.journal.note(run) if run in self._table.foreign else self._table.notes.get(run, "")

    def jobs_of(self, run: str) -> list[Job]:
        """Return the jobs of *run* as they are known now, in order."""
        return self._table.jobs_of(run)

    async def read_log(
        self, job: Job, stream: str = "stdout", *, offset: int = 0, lines: int | None = None
    ) -> tuple[str, int]:
        """Return what *job* wrote to *stream* from byte *offset* on, or its last *lines*, and the size in bytes.

        Raises:
            TransportError: there is no such file (yet).
        """
        await self._prepare()
        return await Logs(self.client).read(job, stream, offset=offset, lines=lines)

    async def read_bytes(
        self, job: Job, offsets: Mapping[str, int], *, most: int = 1 << 20
    ) -> dict[str, tuple[bytes, int]]:
        """Return what *job* wrote to each stream from its offset in *offsets* on: up to *most* bytes, and the size.

        A stream that is not there (yet) is left out. All streams are read in one ``run``.

        Raises:
            TransportError: the target cannot be asked.
        """
        await self._prepare()
        return await Logs(self.client).read_bytes(job, offsets, most=most)

    # -- the loop

    async def _work(self) -> None:
        try:
            while True:
                self._wake.clear()
                await self._pause(await self._turn())
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 (handed to whoever waits)
            self._failure = error
            await self._table.notify()

    def _hurry(self) -> None:
        self._poller.hurry()
        self._wake.set()

    async def _pause(self, seconds: float) -> None:
        waker = asyncio.create_task(self._wake.wait())
        sleeper = asyncio.create_task(self._table.clock.sleep(seconds))
        try:
            await asyncio.wait({waker, sleeper}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waker.cancel()
            sleeper.cancel()
            await asyncio.gather(waker, sleeper, return_exceptions=True)

    async def _turn(self) -> float:
        """Do all that can be done now; return for how many seconds there is nothing to do."""
        now = self._table.clock.now()
        self._renew(now)
        await self._follow_foreign()
        self._read_kill_requests(now)
        await self._poller.drop(now)
        if all(is_done(job) for job in self._table.mine()):
            return _LOOK_S if self._table.foreign else 3600
        try:
            await self._prepare()
            await self._refuse_too_large()
            await self._poller.kill(now)
            await self._submitter.resolve(now)
            submit_again_s = await self._submitter.submit(now)
            if self._submitter.is_full:
                await self._table.notify()
            if self._submitter.is_kept_out:
                await self._abandoned.look(now)
            more = submit_again_s == 0 and self._submitter.has_more(self._table.clock.now())
            poll_again_s = await self._poller.poll(self._table.clock.now(), more_to_submit=more)
            await self._collector.collect()
            self._watcher.listen(self._table.clock.now())
        except AuthenticationError:
            raise
        except TransportError as error:
            self.is_down = True
            wait_s = next(self._waits)
            await self._table.tell_rarely("site_down", f"{self.backend.name}: {error}; trying again in {wait_s:.0f} s")
            if not self._prepared and (wait_s > 30 or not isinstance(error, ConnectError | OutcomeUnknown)):
                raise
            return wait_s
        self._waits, self.is_down = backoff(), False
        return max(0.0, min(submit_again_s, poll_again_s, _LOOK_S))

    async def _prepare(self) -> None:
        if not self._prepared:
            await self.client.prepare()
            self._prepared = True

    async def _refuse_too_large(self) -> None:
        """End the jobs that would wait for ever, and all behind them: they ask for more than the whole machine has."""
        new = [self.jobs[key] for key in self._not_sized]
        self._not_sized = [job.key for job in new if job.run in self._table.foreign]
        for job in new:
            if job.run not in self._table.foreign and job.state is State.WAITING and not job.submit_began:
                asked = with_defaults(self.backend, job.task).resources.asked()
                over = [(name, cap) for name, cap in self.client.capacity.items() if asked.get(name, 0) > cap]
                for name, cap in over[:1]:
                    message = f"it asks for {name} {asked[name]:g}; the machine has {cap:g} in all"
                    await self._table.update(job.but(state=State.FAILED, reason=Reason.SUBMIT_REFUSED, message=message))

    # -- whose run it is

    def _claim(self, run: str) -> bool:
        mine = self.journal.claim(run, self._table.owner, self._table.clock.now(), OWNED_FOR_S, is_alive)
        (self._table.foreign.discard if mine else self._table.foreign.add)(run)
        return mine

    def _renew(self, now: float) -> None:
        if now < self._owned_until - OWNED_FOR_S / 2:
            return
        for run in {job.run for job in self._table.mine() if not is_done(job)}:
            if not self._claim(run):
                raise JournalError(f"another process took over run {run}; this one stops")
        self._owned_until = now + OWNED_FOR_S

    async def _follow_foreign(self) -> None:
        for run in sorted(self._table.foreign):
            self._claim(run)
            await self._table.follow(self.journal.jobs(run))

    def _take(self, jobs: Sequence[Job]) -> None:
        self._table.jobs.update((job.key, job) for job in jobs)
        self._not_sized += [job.key for job in jobs]
        self._submitter.is_full = False
        self._wake.set()

    def _read_kill_requests(self, now: float) -> None:
        for run in {job.run for job in self._table.mine() if not job.state.is_final}:
            asked = self.journal.kill_requests(run)
            for index in asked[self._answered_kills.get(run, 0) :]:
                for job in self.jobs_of(run):
                    if index in {None, job.index} and not job.state.is_final:
                        self._table.jobs[job.key] = job.but(kill_requested_at=job.kill_requested_at or now)
            self._answered_kills[run] = len(asked)


def new_run_id() -> str:
    """Return an id for a run: 50 random bits in letters and digits that are not mistaken for each other."""
    return "".join(secrets.choice("0123456789abcdefghjkmnpqrstvwxyz") for _ in range(10))
