"""What ``check`` and ``record`` share: looking at a live backend, then running the standard table on it."""

from __future__ import annotations

import asyncio
import getpass
import platform
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapter.cli.context import open_transport
from adapter.cli.interrupt import Interrupts
from adapter.cli.text import printable, table
from adapter.config.secrets import read_secrets
from adapter.core.schema import unknown
from adapter.core.units import format_seconds
from adapter.errors import AdapterError, TransportError
from adapter.execution.clock import RealClock
from adapter.execution.executor import Executor
from adapter.execution.preflight import Health, Preflight, is_usable
from adapter.execution.scheduler_client import SchedulerClient
from adapter.store.sqlite import SqliteStore
from adapter.testkit import conformance
from adapter.testkit.case import WALLTIME_S
from adapter.testkit.cases import SENT
from adapter.testkit.conformance import Open, Outcome, Verdict
from adapter.testkit.record import Batch, Known, Recording, learn
from adapter.testkit.scrub import NAMES_STEP, Scrubber, names_in, scrubber

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from adapter.core.backend import Backend
    from adapter.core.event import Event
    from adapter.execution.preflight import Row
    from adapter.transports.base import Transport

_WHAT_EVENTS = frozenset({"unreadable_line", "unknown_state", "unreadable_submit", "monitor_failed", "kill_failed"})
_FIRST_LINE_S, _LONGER = 1.0, 2.0  # of what is under way, where it is no terminal
_MOST_EVENTS = 20
_MOST_SHOWN = 6  # cases under way on one line


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How much is to be tried; the words are those of :func:`adapter.testkit.conformance.run`."""

    quick: bool = False
    image: str | None = None
    only: tuple[str, ...] = ()
    walltime_s: int | None = None
    many: int | None = None
    hold: tuple[str, ...] = ()


@dataclass(slots=True)
class Found:
    """What came of it. ``outcomes`` are those known when it ended; ``left`` is what could not be removed."""

    backend: Backend
    rows: list[Row] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    names: dict[str, list[str]] = field(default_factory=lambda: {"user": [], "host": [], "home": []})
    folders: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    secrets: tuple[str, ...] = ()
    batches: list[Batch] = field(default_factory=list)
    known: list[Known] = field(default_factory=list)
    workspace: str = ""
    seconds: float = 0.0
    tried: bool = False
    interrupted: bool = False

    @property
    def version(self) -> str | None:
        """The scheduler's version, as far as it was found."""
        row = next((row for row in self.rows if row.name == "scheduler version"), None)
        return row.found if row is not None and row.health is Health.OK else None

    @property
    def is_ok(self) -> bool:
        """Whether nothing failed and nothing was left behind."""
        failed = any(outcome.verdict is Verdict.UNLIKE for outcome in self.outcomes)
        return is_usable(self.rows) and not failed and not self.left and not self.interrupted

    def scrubber(self) -> Scrubber:
        """Return what takes the names of people and places out of a text."""
        connection = self.backend.connection
        return scrubber(
            users=[*self.names["user"], _user_here(), str(connection.get("user") or "")],
            hosts=[*self.names["host"], platform.node(), str(connection.get("host") or "")],
            homes=[*self.names["home"], str(Path.home())],
            folders=[self.workspace, *self.folders],
            runs=self.runs,
            secrets=self.secrets,
        )


def _user_here() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name
        return ""


# ---- what a person sees meanwhile --------------------------------------------------------------------------------


class Progress:
    """Prints each row as it is known, and on standard error what is still under way: one line on a terminal."""

    def __init__(self, *, as_json: bool) -> None:
        """Rows are not printed where JSON will be."""
        self._as_json = as_json
        self._is_live = sys.stderr.isatty()
        self._began = time.monotonic()
        self._next_s, self._wait_s = _FIRST_LINE_S, _FIRST_LINE_S
        self._width = 0
        self._is_shown = False

    def begin(self, names: Sequence[str]) -> None:
        """Print the head of the table for cases of these *names*."""
        self._width = max(map(len, names))
        if not self._as_json:
            click.echo(f"\n{'CASE':{self._width}}  {'VERDICT':8}  SECONDS  WHY")

    def tell(self, outcome: Outcome) -> None:
        """Print the row of *outcome*."""
        if self._as_json:
            return
        self.take_away()
        why = " / ".join(line.strip() for line in printable(outcome.why).splitlines() if line.strip())
        row = f"{outcome.name:{self._width}}  {outcome.verdict!s:8}  {outcome.seconds:7.1f}  {why}"
        click.echo(row.rstrip())
        sys.stdout.flush()

    def under_way(self, cases: Sequence[str]) -> None:
        """Show which *cases* are not at their end."""
        passed_s = time.monotonic() - self._began
        if not cases or (not self._is_live and passed_s < self._next_s):
            return
        shown = [*sorted(cases, key=lambda case: "(waiting)" in case)][:_MOST_SHOWN]
        more = f" and {len(cases) - len(shown)} more" if len(cases) > len(shown) else ""
        text = f"adapter: {format_seconds(int(passed_s))}, under way: {', '.join(map(printable, shown))}{more}"
        if self._is_live:
            import shutil

            sys.stderr.write(f"\r\x1b[K{text[: shutil.get_terminal_size().columns - 1]}")
            sys.stderr.flush()
            self._is_shown = True
            return
        self._wait_s *= _LONGER
        self._next_s = passed_s + self._wait_s
        click.echo(text, err=True)

    def take_away(self) -> None:
        """Leave the terminal to something else."""
        if self._is_shown:
            self._is_shown = False
            with suppress(OSError):
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()

    def say(self, text: str) -> None:
        """Print *text* for a person."""
        self.take_away()
        with suppress(OSError):  # the terminal may be gone
            click.echo(f"adapter: {printable(text)}", err=True)


def rows_text(rows: Sequence[Row]) -> str:
    """Return *rows* as a table, and below it what to do about those that are not well."""
    cells = [[row.name, str(row.health), _one_line(row.found)] for row in rows]
    lines = [table([["CHECK", "STATUS", "FOUND"], *cells])]
    lines += [f"{row.name}: {printable(row.fix)}" for row in rows if row.fix and row.health is not Health.OK]
    return "\n".join(lines)


def _one_line(text: str) -> str:
    return " / ".join(line.strip() for line in printable(text).splitlines() if line.strip())


# ---- the live backend --------------------------------------------------------------------------------------------


async def examine(
    backend: Backend, options: Options | None, *, as_json: bool = False, recording: bool = False
) -> Found:
    """Look at *backend*, then run the table as *options* says (``None``: run nothing), and leave nothing behind.

    Raises:
        AdapterError: a secret cannot be had.
        UsageError: ``--only`` names no case, or the backend needs an image.
    """
    if options is not None and "image" in backend.requires and not (options.image or backend.values.get("image")):
        raise click.UsageError(f"backend {backend.name} runs containers only; give the jobs one: --image IMAGE")
    found = Found(backend)
    progress = Progress(as_json=as_json)
    transport = open_transport(backend, progress.say)
    began = time.monotonic()
    try:
        async with transport:
            await _look(found, transport)
            if not as_json:
                click.echo(rows_text(found.rows))
            if options is not None and is_usable(found.rows):
                await _try(found, transport, options, progress, recording=recording)
    finally:
        progress.take_away()
    found.seconds = time.monotonic() - began
    return found


async def _look(found: Found, transport: Transport) -> None:
    backend = found.backend
    found.rows = await Preflight(backend, transport, RealClock(), _other_shells(backend)).check()
    with suppress(TransportError):
        if is_usable(found.rows):
            (said,) = await SchedulerClient(backend, transport).ask([NAMES_STEP], 60)
            found.names = names_in(said.stdout if said else "")
    found.workspace = next((row.found for row in found.rows if row.name == "workspace"), "")


def _other_shells(backend: Backend) -> dict[str, str]:
    """Return the shells of a far host to compare with; on this machine there is only ours."""
    if backend.connection["kind"] == "local":
        return {}
    from adapter.transports.far import LOGIN_SHELL

    return {"with login_shell": LOGIN_SHELL, "without login_shell": "exec sh -s"}


async def _try(found: Found, transport: Transport, options: Options, progress: Progress, *, recording: bool) -> None:
    secrets = read_secrets(found.backend)
    found.secrets = tuple(secrets.values())
    carrier = Recording(transport, time.time) if recording else Open(transport)

    def heard(event: Event) -> None:
        if event.kind.is_state:
            return
        progress.say(event.text)
        if event.kind in _WHAT_EVENTS and event.text not in found.events and len(found.events) < _MOST_EVENTS:
            found.events.append(event.text)

    with tempfile.TemporaryDirectory(prefix="adapter-check-") as folder:
        files = Path(folder) / "files"
        files.mkdir()
        found.folders.append(folder)
        store = SqliteStore.open(Path(folder) / "journal.sqlite")
        executor = Executor(found.backend, transport=carrier, store=store, secrets=secrets, on_event=heard)
        names = conformance.names(executor, files)
        for name in options.only:
            if name not in names:
                raise click.BadParameter(unknown("case", name, names), param_hint="--only")
        progress.begin(options.only or names)
        try:
            async with executor, Interrupts() as interrupts:
                work = _table(found, executor, options, progress, files)
                if await _unless_interrupted(work, interrupts) is None:
                    found.interrupted = True
                    progress.say("interrupted: jobs are killed and their folders removed; again to leave them")
                if recording and not found.interrupted:
                    found.known = await learn(executor)
                    await _learn_hosts(found, executor)
                await _clean(found, executor, progress, interrupts)
                found.backend = executor.backend
        finally:
            found.runs = [run.id for run in store.summaries()]
            store.close()
        if isinstance(carrier, Recording):
            found.batches = carrier.batches


async def _table(found: Found, executor: Executor, options: Options, progress: Progress, files: Path) -> bool:
    """Run the table; ``True`` once it is through."""

    def known(outcome: Outcome) -> None:
        found.outcomes.append(outcome)
        progress.tell(outcome)

    found.tried = True
    found.outcomes = await conformance.run(
        executor,
        folder=files,
        image=options.image,
        quick=options.quick,
        walltime_s=options.walltime_s or WALLTIME_S,
        many=options.many,
        only=options.only,
        hold=options.hold,
        tell=known,
        under_way=progress.under_way,
    )
    return True


async def _learn_hosts(found: Found, executor: Executor) -> None:
    """Learn on which machine a job ran, so that its name can be taken out of what is written."""
    for known in found.known:
        if known.case == "clock":
            with suppress(AdapterError):
                found.names["host"] += (await executor.read_log(known.job, "stderr"))[0].split()[:1]


async def _clean(found: Found, executor: Executor, progress: Progress, interrupts: Interrupts) -> None:
    left = await _unless_interrupted(conformance.clean(executor, sent=SENT), interrupts)
    if left is None:
        found.interrupted = True
        jobs = [job for job in executor.store.jobs() if job.directory]
        left = [f"job {job.job_id or job.key} ({job.verdict}), its folder {job.directory}" for job in jobs]
    found.left = left
    for line in left[:_MOST_EVENTS]:
        progress.say(f"left behind: {line}")


async def _unless_interrupted(work: Coroutine[Any, Any, Any], interrupts: Interrupts) -> Any:
    """Return what *work* returns; ``None`` if a signal came first: then it is stopped."""
    working = asyncio.create_task(work)
    stop = asyncio.create_task(interrupts.next())
    try:
        await asyncio.wait({working, stop}, return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else None
    finally:
        for task in (working, stop):
            task.cancel()
        await asyncio.gather(working, stop, return_exceptions=True)
