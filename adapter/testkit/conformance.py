"""The standard table: small real jobs on a live backend, and whether each ended as it must.

``adapter check`` runs it on a site, our live tests on every scheduler that we can start. The cases are in
:mod:`adapter.testkit.cases`.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from adapter.config.library import library
from adapter.config.secrets import read_secrets
from adapter.core.backend import backend_from, merge
from adapter.core.job import Job
from adapter.core.render import render_job
from adapter.core.template import quote
from adapter.errors import AdapterError, TaskError
from adapter.execution.cleaner import Cleaner, Options
from adapter.execution.clock import RealClock
from adapter.execution.executor import Executor
from adapter.execution.job_table import is_done
from adapter.testkit.case import MANY, WALLTIME_S, Case, Context, NotHereError
from adapter.testkit.cases import MANY_QUICK, cases
from adapter.transports.base import Transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path
    from typing import Any

    from adapter.core.backend import Backend
    from adapter.core.batch import BatchResult, Command

PATIENCE_S, PATIENCE_QUICK_S = 1800.0, 300.0
"""How long a case may take, queueing included, before it counts as failed."""

CLEAN_S = 60.0
_LOOK_S = 0.2
_TELL_S = 1.0


class Verdict(StrEnum):
    """How a case stands. ``NOT_HERE``: the backend says that it has no such thing. ``UNLIKE``: it ended otherwise."""

    OK = "ok"
    NOT_HERE = "not here"
    UNLIKE = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one case. ``why`` says what came instead, or why it was not tried; empty for ``OK``."""

    name: str
    about: str
    verdict: Verdict
    why: str = ""
    seconds: float = 0.0


class Open(Transport):
    """A transport that somebody else opened and closes: several executors may use it."""

    def __init__(self, transport: Transport) -> None:
        """*transport* is open for as long as this is used."""
        self._transport = transport
        self.put, self.get = transport.put, transport.get  # type: ignore[method-assign]

    async def run_batch(self, commands: Sequence[Command], **options: Any) -> BatchResult:
        """Hand it on; see :meth:`adapter.transports.base.Transport.run_batch`."""
        return await self._transport.run_batch(commands, **options)


@dataclass(slots=True)
class _Table:
    """The cases that run now, and what is known of each."""

    tell: Callable[[Outcome], None] | None
    patience_s: float
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    runs: dict[str, tuple[Context, str]] = field(default_factory=dict)  # of the cases under way: their run ids

    def known(self, outcome: Outcome) -> None:
        """Keep *outcome*, and tell whoever listens."""
        self.outcomes[outcome.name] = outcome
        self.runs.pop(outcome.name, None)
        if self.tell:
            self.tell(outcome)


async def run(  # noqa: PLR0913 (each bounds the table in its own way)
    executor: Executor,
    *,
    folder: Path,
    image: str | None = None,
    quick: bool = False,
    walltime_s: int = WALLTIME_S,
    many: int | None = None,
    only: Sequence[str] = (),
    hold: Sequence[str] = (),
    patience_s: float | None = None,
    tell: Callable[[Outcome], None] | None = None,
    under_way: Callable[[Sequence[str]], None] | None = None,
) -> list[Outcome]:
    """Run the table on an entered *executor* and return the outcomes in order.

    *image* is the container image that the tasks get, with ``sh`` in it. *quick* leaves out what takes minutes.
    *walltime_s* is what the walltime case asks for; *many* the number of jobs at once. *only* names the cases to run.
    *hold* are the scheduler's own options that make it hold a job. *folder* is an empty folder here, for the files that
    are brought. *patience_s* is how long a case may take. *tell* hears of each outcome as it is known, *under_way*
    every second which cases are not at their end, and how their jobs stand.

    The jobs and their folders stay: :func:`clean` removes them.
    """
    context = Context(
        executor=executor,
        folder=folder,
        walltime_s=walltime_s,
        many=many or (MANY_QUICK if quick else MANY),
        hold=tuple(hold),
    )
    table = _Table(tell, patience_s or (PATIENCE_QUICK_S if quick else PATIENCE_S))
    chosen = [_in_image(case, image) for case in cases(context) if not only or case.name in only]
    possible = []
    for case in chosen:
        why_not = _why_not(executor.backend, case, quick=quick)
        if why_not is None:
            possible.append(case)
        else:
            table.known(_outcome(case, Verdict.NOT_HERE, why_not))
    teller = asyncio.create_task(_tell_under_way(table, under_way))
    try:
        async with _array_context(context, possible) as arrays:
            await _all([_run_case(arrays if case.as_array else context, case, table) for case in possible])
    finally:
        teller.cancel()
    return [table.outcomes[case.name] for case in chosen]


def names(executor: Executor, folder: Path) -> list[str]:
    """Return the names of all cases, in order."""
    return [case.name for case in cases(Context(executor=executor, folder=folder))]


def _in_image(case: Case, image: str | None) -> Case:
    if case.is_outside:
        return case
    return replace(case, tasks=tuple(replace(task, image=image) for task in case.tasks))


def _why_not(backend: Backend, case: Case, *, quick: bool) -> str | None:
    if quick and case.is_slow:
        return "it takes minutes: left out of a quick check"
    if case.needs and (lacking := case.needs(backend)):
        return lacking
    try:
        for task in case.tasks:
            render_job(backend, Job(run="r", index=1, task=task), "/workspace")
    except TaskError as error:
        return str(error)
    return None


def _outcome(case: Case, verdict: Verdict, why: str = "", seconds: float = 0.0) -> Outcome:
    return Outcome(name=case.name, about=case.about, verdict=verdict, why=why, seconds=seconds)


async def _all(works: Sequence[object]) -> None:
    """Wait for all of *works*; if one breaks off, or we are to stop, none goes on behind our back."""
    running = [asyncio.ensure_future(work) for work in works]  # type: ignore[call-overload]
    try:
        await asyncio.gather(*running)
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@asynccontextmanager
async def _array_context(context: Context, possible: Sequence[Case]) -> AsyncIterator[Context]:
    """Give a context whose executor hands like tasks over together, over the same transport."""
    if not any(case.as_array for case in possible):
        yield context
        return
    plain = context.executor.backend
    document = merge(plain.document, {"limits": {"arrays": True}})
    backend = backend_from(document, name=plain.name, lineage=plain.lineage)
    together = Executor(
        backend,
        transport=Open(context.executor.client.transport),
        store=context.executor.store,
        secrets=read_secrets(backend),
    )
    async with together:
        yield replace(context, executor=together)


async def _tell_under_way(table: _Table, under_way: Callable[[Sequence[str]], None] | None) -> None:
    while under_way:
        await asyncio.sleep(_TELL_S)
        under_way([_standing(name, context, run_id) for name, (context, run_id) in table.runs.items()])


def _standing(name: str, context: Context, run_id: str) -> str:
    states = Counter(str(job.state) for job in context.executor.jobs_of(run_id))
    if len(states) == 1:
        return f"{name} ({next(iter(states))})"
    return f"{name} ({', '.join(f'{count} {state}' for state, count in states.items())})"


async def _run_case(context: Context, case: Case, table: _Table) -> None:
    began = time.monotonic()
    run_id, why = "", None
    try:
        async with asyncio.timeout(table.patience_s):
            run_id = await context.executor.submit(case.tasks, name=case.name)
            table.runs[case.name] = (context, run_id)
            acting = asyncio.create_task(_act(context, case, run_id))
            try:
                jobs = await context.executor.wait(run_id)
            finally:
                acting.cancel()
                await asyncio.gather(acting, return_exceptions=True)
            why = await case.expect(context, jobs)
    except NotHereError as error:
        table.known(_outcome(case, Verdict.NOT_HERE, str(error), time.monotonic() - began))
        return
    except TimeoutError:
        states = Counter(job.verdict for job in context.executor.jobs_of(run_id))
        why = f"not at its end after {table.patience_s:.0f} s: {', '.join(states)}"
    except AdapterError as error:
        why = f"{type(error).__name__}: {error}"
    verdict = Verdict.UNLIKE if why else Verdict.OK
    table.known(_outcome(case, verdict, why or "", time.monotonic() - began))


async def _act(context: Context, case: Case, run_id: str) -> None:
    while case.act and not await case.act(context, context.executor.jobs_of(run_id)):
        await asyncio.sleep(_LOOK_S)


# ---- leaving nothing behind --------------------------------------------------------------------------------------


async def clean(executor: Executor, *, sent: Sequence[bytes] = (), patience_s: float = CLEAN_S) -> list[str]:
    """Kill what lives of the runs in the store of the entered *executor*, and remove the folders of all of them.

    The store holds nothing but these runs. *sent* are contents of files that were sent, which the target may keep.
    Return what is left behind, a line each; waiting for ends takes *patience_s* in all.
    """
    left: list[str] = []
    runs = [run.id for run in executor.store.summaries()]
    try:
        async with asyncio.timeout(patience_s):
            await _end(executor, runs)
    except TimeoutError:
        left += [f"job {job.job_id or job.key} ({job.verdict})" for job in _living(executor, runs)]
    except AdapterError as error:
        left.append(f"jobs could not be ended: {error}")
    for again in (True, False):
        try:
            remaining = [line for run_id in runs for line in await _remove(executor, run_id)]
        except AdapterError as error:
            remaining = [f"folders could not be removed: {error}"]
        if not remaining:
            break
        if again:
            await asyncio.sleep(2)  # a scheduler that still writes into a job's folder
        else:
            left += remaining
    if not left:
        contents = [*sent, *(text.encode() for text in library().values())]
        with suppress(AdapterError):
            await executor.client.ask([_forget(executor.client.workspace, contents)], 60)
    return left


def _living(executor: Executor, runs: Sequence[str]) -> list[Job]:
    return [job for run_id in runs for job in executor.store.jobs(run_id) if not is_done(job)]


async def _end(executor: Executor, runs: Sequence[str]) -> None:
    living = list(dict.fromkeys(job.run for job in _living(executor, runs)))
    for run_id in living:
        if not executor.jobs_of(run_id):
            await executor.adopt(run_id)
        await executor.kill(run_id)
    for run_id in living:
        await executor.wait(run_id)


async def _remove(executor: Executor, run_id: str) -> list[str]:
    cleaner = Cleaner(executor.client, executor.store, RealClock())
    selection, results = await cleaner.folders(run_id, Options(with_failed=True, remove=True))
    lines = [f"{job.directory}: {found.text or found.what}" for job, found in results if found.what not in _GONE]
    return [f"folders of run {run_id}: {selection.why_not}"] if selection.why_not else lines


_GONE = frozenset({"removed", "gone"})


def _forget(workspace: str, sent: Sequence[bytes]) -> str:
    """Return shell text that removes contents from the store unless a job's folder holds them, and empty folders."""
    store = quote(f"{workspace}/.files/store")
    content_names = [hashlib.sha256(content).hexdigest() for content in sent]
    lines = [f"find {store} -name '{name}*' -links 1 -exec rm -f {{}} +" for name in content_names]
    return "\n".join([f"[ -d {store} ] || exit 0", *lines, f"rmdir {store} {quote(workspace + '/.files')} 2>/dev/null"])
