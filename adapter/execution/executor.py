"""The executor: submits, polls, kills and collects the jobs of one backend, and writes the store first.

One loop does everything in turn; what it does is in :mod:`adapter.execution.submitter`,
:mod:`adapter.execution.poller` and :mod:`adapter.execution.collector`. Kill this process at any instant: the store
and the job directories hold all there is to know.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from adapter.core.event import EventKind
from adapter.core.job import Job
from adapter.core.render import render_job
from adapter.core.requirements import with_defaults
from adapter.core.retry import no_retry
from adapter.core.state import Reason, State
from adapter.errors import (
    AuthenticationError,
    ConnectError,
    OutcomeUnknown,
    StoreError,
    TransportError,
)
from adapter.execution.abandoned import Abandoned
from adapter.execution.clock import RealClock, backoff
from adapter.execution.collector import Collector
from adapter.execution.job_table import JobTable, is_done
from adapter.execution.lease import OWNED_FOR_S, is_alive
from adapter.execution.logs import Logs
from adapter.execution.poller import Poller
from adapter.execution.prepare import prepared
from adapter.execution.run import Run
from adapter.execution.scheduler_client import SchedulerClient
from adapter.execution.submitter import Submitter
from adapter.execution.watcher import Watcher
from adapter.store.base import RunRecord

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from adapter.core.backend import Backend
    from adapter.core.event import Event
    from adapter.core.retry import Decision
    from adapter.core.task import Task
    from adapter.execution.clock import Clock
    from adapter.store.base import Store
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
        store: Store,
        secrets: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        on_event: Callable[[Event], None] | None = None,
        decide: Decision = no_retry,
    ) -> None:
        """Nothing is asked or started yet: entering does. *secrets* are the texts of the backend's ``secrets``.

        *decide* is what follows the end of an attempt; see :mod:`adapter.core.retry`.
        """
        client = SchedulerClient(backend, transport, secrets=secrets)
        self._table = JobTable(client, store, clock or RealClock(), on_event, decide)
        self._submitter, self._poller = Submitter(self._table), Poller(self._table)
        self._collector = Collector(self._table)
        self._abandoned = Abandoned(self._table.client, store, self._table.clock)
        self._wake = asyncio.Event()
        self._adding = asyncio.Lock()
        self._watcher = Watcher(self._table, self._hurry)
        self._loop: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._prepared = False
        self.is_down = False  # whether the machine could not be asked the last time
        self._not_sized: list[str] = []  # keys of jobs not yet compared with what the machine has
        self._waits = backoff()
        self._owned_until = 0.0
        self._answered_kills: dict[str, int] = {}
        self._open: set[str] = set()  # runs to which tasks may still be added
        self._changes: dict[str, int] = {}  # by run of others: the last change that was read

    @property
    def backend(self) -> Backend:
        """The backend, with the overlays of the version that was found once it was asked."""
        return self._table.backend

    @property
    def client(self) -> SchedulerClient:
        """The backend over its transport."""
        return self._table.client

    @property
    def store(self) -> Store:
        """The store that everything is written to."""
        return self._table.store

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
        for run in ({job.run for job in self.jobs.values()} | self._open) - self._table.foreign:
            await self._table.clock.in_thread(self.store.release, run, self._table.owner)
        await self.client.transport.__aexit__(kind, error, trace)

    # -- what users call

    async def submit(self, tasks: Iterable[Task], *, name: str = "", force: bool = False) -> str:
        """Take *tasks* as one closed run, written down before anything leaves this process; return the run's id.

        With *force*, outputs may replace files that are here already; otherwise those stay.

        Raises:
            TaskError: a task cannot be run on this backend, two would write one file here, or one would replace a
                file; nothing is written down then.
        """
        run, given = new_run_id(), list(tasks)
        jobs = await self._table.clock.in_thread(self._checked, run, given, (), force)
        await self._begin(run, name or jobs[0].task.name, jobs, is_open=False)
        return run

    async def open_run(self, name: str) -> Run:
        """Begin a run to which tasks are added later; it ends once it was closed and all of its tasks have ended."""
        run = new_run_id()
        await self._begin(run, name, [], is_open=True)
        return Run(self, run)

    def run(self, run: str) -> Run:
        """Return the handle of the run with the id *run*, which this executor opened, submitted or adopted."""
        return Run(self, run)

    async def add(self, run: str, tasks: Iterable[Task], *, force: bool = False) -> list[Job]:
        """Add *tasks* to the open *run*, which may go on in any process; return their jobs.

        They may come after tasks that were added before.

        Raises:
            TaskError: as for :meth:`submit`; none of them is added then.
            StoreError: the run is closed, or there is none.
        """
        given, added = list(tasks), False
        async with self._adding:  # one at a time: a later call sees the tasks of an earlier one
            while not added:  # another process may add tasks at the same time: then all is looked at again
                before = await self._table.clock.in_thread(self.store.jobs, run)
                jobs = await self._table.clock.in_thread(self._checked, run, given, [job.task for job in before], force)
                added = await self._table.clock.in_thread(self.store.add_tasks, run, jobs)
        if run in self._open and run not in self._table.foreign:
            self._take_new(jobs)
        await self._table.notify()
        return jobs

    async def close(self, run: str) -> None:
        """Let nobody add tasks to *run* any more."""
        await self._table.clock.in_thread(self.store.close_run, run)
        self._wake.set()  # the loop learns of it, and of the tasks that others had added before

    def _checked(self, run: str, tasks: Sequence[Task], before: Sequence[Task], force: bool) -> list[Job]:  # noqa: FBT001 (called through to_thread)
        now = self._table.clock.now()
        new = prepared(tasks, before=before, force=force)
        jobs = [
            Job(run=run, index=number, task=task, created_at=now, files_of=files_of, replaces=force)
            for number, (task, files_of) in enumerate(new, len(before) + 1)
        ]
        for job in jobs:
            render_job(self.backend, job, "/workspace")
        return jobs

    async def _begin(self, run: str, name: str, jobs: list[Job], *, is_open: bool) -> None:
        record = RunRecord(
            id=run, name=name, created_at=self._table.clock.now(), backend=self.backend.name, is_open=is_open,
            document=self.backend.document, lineage=self.backend.lineage,
        )  # fmt: skip
        await self._table.clock.in_thread(self.store.add_run, record, jobs)
        if is_open:
            self._open.add(run)
        await self._claim(run)
        self._take(jobs)

    async def adopt(self, run: str) -> bool:
        """Go on with *run* from the store; ``False`` if another live process does: then it is only watched."""
        was_driven = run not in self._table.foreign and bool(self.jobs_of(run))
        mine = await self._claimed(run)
        is_open = await self._table.clock.in_thread(self.store.is_open, run)
        jobs = await self._table.clock.in_thread(self.store.jobs, run)
        if is_open:
            self._open.add(run)
        if mine and was_driven:  # the loop went on meanwhile: what it knows is newer than what was read
            self._take_new(jobs)
        else:
            self._take(jobs)
        # Only now: the loop may not act on jobs as they were before another process wrote them.
        self._now_driven(run, mine=mine)
        self._wake.set()
        return mine

    async def kill(self, run: str, index: int | None = None) -> None:
        """Ask for the task *index* of *run*, or all of it, to be killed; whoever drives the run does it.

        A run that is killed as a whole is closed.
        """
        if index is None:
            await self.close(run)  # first: a task that is added after the request would live
        await self._table.clock.in_thread(self.store.request_kill, run, index, self._table.clock.now())
        self._wake.set()

    async def wait(self, run: str) -> list[Job]:
        """Wait until *run* is closed, every job of it has ended and its files are here; return the jobs in order.

        Raises:
            AdapterError: work had to stop (refused authentication, an unusable workspace); the store keeps it all.
        """
        async for _ in self.watch(run):
            pass
        return self.jobs_of(run)

    async def wait_for(self, run: str, index: int) -> Job:
        """Wait until the task *index* of *run* has ended and its files are here; return its last job.

        Raises:
            AdapterError: as for :meth:`wait`.
        """
        async for jobs in self.watch(run):
            for job in jobs:
                if job.index == index and is_done(job):
                    return job
        raise StoreError(f"there is no task {index} in run {run}")

    async def events(self, run: str, *, after: int = 0) -> AsyncIterator[Event]:
        """Yield the events of *run* after number *after*, in order, none twice, until the run is done.

        They come from the store: whichever process drives the run, and however often this is asked.
        """
        while True:
            done = run not in self._open and all(map(is_done, self.jobs_of(run)))
            for event in await self._table.clock.in_thread(self.store.events, run, after=after):
                after = event.number or after
                yield event
            if done:
                return
            if self._failure:
                raise self._failure
            await self._changed_within(_LOOK_S)

    async def _changed_within(self, seconds: float) -> None:
        """Return once something changed here, or *seconds* later: others write events, too."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._table.changed:
                await self._table.changed.wait()

    async def watch(self, run: str) -> AsyncIterator[list[Job]]:
        """Yield the jobs of *run* whenever one changed, until it is closed, all have ended and their files are here."""
        seen: list[Job] | None = None
        while True:
            jobs, is_open = self.jobs_of(run), run in self._open
            if jobs != seen:
                seen = jobs
                yield jobs
            if not is_open and all(is_done(job) for job in jobs):
                return
            if self._failure:
                raise self._failure
            async with self._table.changed:
                same = self.jobs_of(run) == seen and (run in self._open) == is_open
                if same and not self._failure:
                    await self._table.changed.wait()

    async def handed_over(self, run: str) -> list[Job]:
        """Wait until no job of *run* could be handed over right now, and return the jobs.

        Raises:
            AdapterError: work had to stop; the jobs stay in the store.
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
        if not await self.adopt(run):
            return False
        try:
            async with self.client.transport:
                await self._prepare()
                jobs = [job for job in self.jobs_of(run) if job.job_id is not None and not job.state.is_final]
                if jobs:
                    await self._poller.ask(jobs)
                await self._collector.collect()
        finally:
            await self._table.clock.in_thread(self.store.release, run, self._table.owner)
        return True

    def note(self, run: str) -> str:
        """Return what keeps the waiting jobs of *run* from going on; empty if nothing does, or nobody knows."""
        return self._table.notes.get(run, "")

    def is_open(self, run: str) -> bool:
        """Whether tasks may still be added to *run*, as far as is known here."""
        return run in self._open

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
        await self._renew(now)
        await self._follow_foreign()
        await self._follow_open()
        await self._read_kill_requests(now)
        await self._poller.drop(now)
        if all(is_done(job) for job in self._table.mine()):
            return _LOOK_S if self._table.foreign or self._open else 3600
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
            await self._table.tell_rarely(
                EventKind.BACKEND_DOWN, f"{self.backend.name}: {error}; trying again in {wait_s:.0f} s"
            )
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

    async def _claim(self, run: str) -> bool:
        mine = await self._claimed(run)
        self._now_driven(run, mine=mine)
        return mine

    async def _claimed(self, run: str) -> bool:
        table, now = self._table, self._table.clock.now()
        return await table.clock.in_thread(self.store.claim, run, table.owner, now, OWNED_FOR_S, is_alive)

    def _now_driven(self, run: str, *, mine: bool) -> None:
        (self._table.foreign.discard if mine else self._table.foreign.add)(run)

    async def _renew(self, now: float) -> None:
        if now < self._owned_until - OWNED_FOR_S / 2:
            return
        unfinished = {job.run for job in self._table.mine() if not is_done(job)}
        for run in unfinished | (self._open - self._table.foreign):
            if not await self._claim(run):
                raise StoreError(f"another process took over run {run}; this one stops")
        self._owned_until = now + OWNED_FOR_S

    async def _follow_foreign(self) -> None:
        for run in sorted(self._table.foreign):
            await self._claim(run)
            jobs, last = await self._table.clock.in_thread(self.store.changes, run, self._changes.get(run, 0))
            self._changes[run] = last
            self._table.notes[run] = await self._table.clock.in_thread(self.store.note, run)
            await self._table.follow(jobs)

    async def _follow_open(self) -> None:
        """Learn of tasks that others added to open runs, and that somebody closed them."""
        for run in sorted(self._open):
            is_open = await self._table.clock.in_thread(self.store.is_open, run)
            # After that: whoever closes a run has added all of its tasks before.
            jobs, last = await self._table.clock.in_thread(self.store.changes, run, self._changes.get(run, 0))
            self._changes[run] = last
            if run in self._table.foreign:
                await self._table.follow(jobs)
            else:
                self._take_new(jobs)
            if not is_open:
                self._open.discard(run)
                await self._table.notify()

    def _take_new(self, jobs: Sequence[Job]) -> None:
        """Take those of *jobs* that are not known: of a known one, what was read may be old by now."""
        self._take([job for job in jobs if job.key not in self._table.jobs])

    def _take(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        for run in {job.run for job in jobs}:
            self._answered_kills.pop(run, None)  # a kill that was asked for before is meant for these, too
        self._table.jobs.update((job.key, job) for job in jobs)
        self._not_sized += [job.key for job in jobs]
        self._submitter.is_full = False
        self._wake.set()

    async def _read_kill_requests(self, now: float) -> None:
        for run in {job.run for job in self._table.mine() if not job.state.is_final}:
            asked = await self._table.clock.in_thread(self.store.kill_requests, run)
            for index in asked[self._answered_kills.get(run, 0) :]:
                for job in self.jobs_of(run):
                    if index in {None, job.index} and not job.state.is_final:
                        self._table.jobs[job.key] = job.but(kill_requested_at=job.kill_requested_at or now)
            self._answered_kills[run] = len(asked)


def new_run_id() -> str:
    """Return an id for a run: 50 random bits in letters and digits that are not mistaken for each other."""
    return "".join(secrets.choice("0123456789abcdefghjkmnpqrstvwxyz") for _ in range(10))
