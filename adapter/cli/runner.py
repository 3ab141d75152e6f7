"""Beginning runs, and driving them to their end with somebody watching: behind ``run``, ``submit`` and ``wait``."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

import click

from adapter.cli.background import leave_driver
from adapter.cli.context import backend_of, open_executor, open_store
from adapter.cli.display import Display, StatusLine, display_for
from adapter.cli.interrupt import Interrupts
from adapter.cli.output import follow, write_bytes
from adapter.cli.report import exit_code_of, failure_lines, summary
from adapter.cli.text import printable, run_with_jobs, to_json
from adapter.core.state import State
from adapter.core.units import format_seconds
from adapter.core.waiting import reasons
from adapter.errors import AdapterError, TransportError
from adapter.execution.lease import is_alive

if TYPE_CHECKING:
    import signal
    from collections.abc import Sequence

    from adapter.core.backend import Backend
    from adapter.core.event import Event
    from adapter.core.job import Job
    from adapter.core.task import Task
    from adapter.execution.executor import Executor
    from adapter.store.base import RunRecord
    from adapter.store.sqlite import SqliteStore
    from adapter.transports.base import Transfer

LOOK_S = 0.2
TIMED_OUT = 124
INTERRUPTED = 130


class Ending(Enum):
    """How watching ended."""

    DONE = "done"
    DETACHED = "detached"
    TIMED_OUT = "timed out"
    GAVE_UP = "gave up"


@dataclass
class Watched:
    """One run that is driven or watched here."""

    record: RunRecord
    executor: Executor
    waiter: asyncio.Task[list[Job]] = field(init=False)
    down_since: float | None = None  # in the loop's time

    @property
    def jobs(self) -> list[Job]:
        """Its jobs, as they are known now."""
        return self.executor.jobs_of(self.record.id)

    @property
    def waits(self) -> list[str]:
        """Why its jobs wait, in lines for a person, the most common reason first."""
        jobs = self.jobs
        why = reasons(jobs, self.executor.note(self.record.id))
        return [printable(text) if len(jobs) == 1 else f"{count} wait: {printable(text)}" for text, count in why]

    def down_s(self, now: float) -> float:
        """Return for how long its machine could not be asked."""
        if not self.executor.is_down:
            self.down_since = None
        elif self.down_since is None:
            self.down_since = now
        return 0.0 if self.down_since is None else now - self.down_since


class Watch:
    """Shows how runs get on until all have ended, time is over, or somebody wants to go.

    ``give_up_s``: stop once a machine could not be asked for so long; ``None`` is never. Afterwards, ``ending`` says
    how it ended, and ``signal`` which one it was where a signal ended it.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        as_json: bool = False,
        timeout_s: float | None = None,
        give_up_s: float | None = None,
    ) -> None:
        self._quiet, self._as_json, self._timeout_s, self._give_up_s = quiet, as_json, timeout_s, give_up_s
        self.ending = Ending.DONE
        self.signal: signal.Signals | None = None
        self._display: Display | None = None
        self._last_byte = b"\n"
        self._streamed: set[str] = set()

    def on_event(self, event: Event) -> None:
        """Show what is no mere change of a job's state: something waits, is down, or cannot be read."""
        if event.kind.is_state:
            return
        about = f"{event.job.key}: " if event.job else ""
        self._say(f"{about}{printable(event.text)}")

    def on_transfer(self, transfer: Transfer) -> None:
        """Show how far files are on their way."""
        if self._display is not None:
            self._display.move(transfer)

    async def until_done(self, runs: Sequence[Watched], interrupts: Interrupts) -> int:
        """Watch *runs*, which are entered executors, to their end and return the exit code."""
        jobs = [job for run in runs for job in run.jobs]
        title = ", ".join(f"{run.record.id} on {run.record.backend}" for run in runs)
        self._display = display_for(jobs, title=title, quiet=self._quiet)
        for run in runs:
            if run.executor.is_open(run.record.id):
                self._say(f"run {run.record.id} is open: it ends once it is closed, or with adapter kill")
            run.waiter = asyncio.create_task(run.executor.wait(run.record.id))
        streams = self._streams(runs) if len(jobs) == 1 and not self._as_json else set()
        try:
            self.ending = await self._loop(runs, streams, interrupts)
        finally:
            with suppress(OSError):
                self._display.pause()
            for task in {*(run.waiter for run in runs), *streams}:
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task
        return await self._told(runs, self.ending)

    def _streams(self, runs: Sequence[Watched]) -> set[asyncio.Task[None]]:
        run = next(run for run in runs if run.jobs)
        job = run.jobs[0]
        self._streamed.add(job.key)
        task = follow(run.executor, run.record.id, job.index, ended=run.waiter, write=self._write)
        return {asyncio.create_task(task)}

    def _write(self, stream: str, data: bytes) -> None:
        if isinstance(self._display, StatusLine):
            self._display.pause()
            self._display.is_over = True
        self._last_byte = data[-1:]
        write_bytes(stream, data)

    def _say(self, line: str) -> None:
        if self._display is None:
            if not self._quiet:
                click.echo(f"adapter: {line}", err=True)
            return
        if self._last_byte != b"\n" and not self._quiet:
            click.echo("", err=True)
            self._last_byte = b"\n"
        self._display.say(line)

    async def _loop(self, runs: Sequence[Watched], streams: set[asyncio.Task[None]], interrupts: Interrupts) -> Ending:
        assert self._display is not None
        loop = asyncio.get_running_loop()
        until = None if self._timeout_s is None else loop.time() + self._timeout_s
        interrupt = asyncio.create_task(interrupts.next())
        work: set[asyncio.Task[Any]] = {*(run.waiter for run in runs), *streams}
        try:
            while any(not task.done() for task in work):
                waits = [line for run in runs for line in run.waits]
                self._display.show([job for run in runs for job in run.jobs], waits)
                pending = {task for task in work if not task.done()}
                await asyncio.wait({*pending, interrupt}, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                for task in work:
                    if task.done():
                        task.result()  # what stopped the work stops us
                if interrupt.done():
                    with suppress(OSError):  # the terminal may be gone
                        self._display.pause()
                    choice = await interrupts.choice(interrupt.result())
                    if choice == "detach":
                        self.signal = interrupt.result()
                        return Ending.DETACHED
                    if choice == "kill":
                        for run in runs:
                            await run.executor.kill(run.record.id)
                    interrupt = asyncio.create_task(interrupts.next())
                if until is not None and loop.time() >= until:
                    return Ending.TIMED_OUT
                if self._give_up_s is not None and max(run.down_s(loop.time()) for run in runs) >= self._give_up_s:
                    return Ending.GAVE_UP
        finally:
            interrupt.cancel()
        return Ending.DONE

    def gave_up(self) -> str:
        """Say that the machine stays away."""
        return f"given up: no answer for {format_seconds(self._give_up_s)}"

    async def _told(self, runs: Sequence[Watched], ending: Ending) -> int:
        jobs = [job for run in runs for job in run.jobs]
        if self._as_json:
            data = [run_with_jobs(run.record, run.jobs) for run in runs]
            click.echo(to_json(data[0] if len(data) == 1 else data))
        if ending is Ending.TIMED_OUT:
            for run in runs:
                self._say(f"time is over; run {run.record.id} goes on: adapter wait {run.record.id}")
            return TIMED_OUT
        if ending is Ending.GAVE_UP:
            self._say(self.gave_up())
            return TransportError.exit_code
        if ending is Ending.DETACHED:
            return INTERRUPTED
        for run in runs:
            if run.jobs:
                self._say(summary(run.jobs))
            with_stderr = not {job.key for job in run.jobs} <= self._streamed
            lines = failure_lines(run.executor, run.jobs, with_stderr=with_stderr, with_verdict=self._quiet)
            for line in await lines:
                click.echo(line if line.startswith(" ") else f"adapter: {line}", err=True)
        return exit_code_of(jobs)


async def watch_runs(
    store: SqliteStore, records: Sequence[RunRecord], watch: Watch, *, in_background: bool = False
) -> int:
    """Go on with *records* from the store, each on its own backend, and return the exit code."""
    runs = []
    async with Interrupts() as interrupts:
        async with AsyncExitStack() as stack:
            for record in records:
                executor = open_executor(backend_of(record), store, watch.on_event, watch.on_transfer)
                runs.append(Watched(record, await stack.enter_async_context(executor)))
                await executor.adopt(record.id)
            code = await watch.until_done(runs, interrupts)
        if watch.ending is Ending.DETACHED and not in_background:
            for run in runs:
                tell_detached(store, run.record.id, run.jobs)
    return code


async def drive_in_background(store: SqliteStore, records: Sequence[RunRecord], watch: Watch) -> int:
    """Do what :func:`watch_runs` does, leave nobody behind, and note in the store why it ended before the runs did.

    What ends a process in the background has to end the work: it would come back for ever.
    """

    def note(text: str) -> None:
        store.set_note([record.id for record in records], text)

    note("")
    try:
        code = await watch_runs(store, records, watch, in_background=True)
    except AdapterError as error:
        note(f"its background process stopped: {error}")
        raise
    if watch.ending is Ending.DETACHED and watch.signal is not None:
        note(f"its background process was ended by {watch.signal.name}")
    elif watch.ending is Ending.GAVE_UP:
        note(f"its background process has {watch.gave_up()}")
    return code


async def start(
    backend: Backend, tasks: Sequence[Task], name: str, *, force: bool, detach: bool, as_json: bool, quiet: bool
) -> int:
    """Run *tasks* on *backend* and return the exit code; with *detach*, return once they are handed over."""
    store = open_store()
    watch = Watch(quiet=quiet, as_json=as_json)
    async with Interrupts() as interrupts:
        async with open_executor(backend, store, watch.on_event, watch.on_transfer) as executor:
            run = await executor.submit(tasks, name=name, force=force)
            record = store.find_run(run)
            if not detach:
                if len(tasks) > 1 and not quiet:
                    click.echo(f"adapter: run {run}: {len(tasks)} tasks on {backend.name}", err=True)
                code = await watch.until_done([Watched(record, executor)], interrupts)
            else:
                await executor.handed_over(run)
        jobs = executor.jobs_of(run)
        if not detach:
            if watch.ending is Ending.DETACHED:
                tell_detached(store, run, jobs)
            return code
    click.echo(to_json(run_with_jobs(record, jobs)) if as_json else run)
    _say_handed_over(run, jobs, quiet=quiet)
    return 0


def _say_handed_over(run: str, jobs: Sequence[Job], *, quiet: bool) -> None:
    """Say what is left to do, and leave a process behind that does it."""
    waiting = sum(job.state is State.WAITING for job in jobs)
    log = leave_driver(run) if waiting else None
    if quiet:
        return
    if log:
        text = f"{len(jobs) - waiting} of {len(jobs)} tasks are handed over; a background process does the rest"
        click.echo(f"adapter: {text} (its log: {log})", err=True)
    click.echo(f"adapter: next: adapter status {run}", err=True)


def tell_detached(store: SqliteStore, run: str, jobs: Sequence[Job]) -> None:
    """Say that *run* goes on without us, and leave a process behind if somebody has to hand over the rest."""
    waiting = sum(job.state is State.WAITING for job in jobs)
    if waiting and store.driver(run, time.time(), is_alive) is None:
        log = leave_driver(run)
        text = f"{waiting} of {len(jobs)} tasks wait for room; a background process hands them over"
        with suppress(OSError):
            click.echo(f"adapter: {text} (its log: {log})", err=True)
    with suppress(OSError):  # the terminal may be gone
        click.echo(f"adapter: detached; run {run} goes on: adapter wait {run}", err=True)
