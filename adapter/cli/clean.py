"""``adapter clean``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from adapter.cli.options import SECONDS, complete_run, json_option

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from adapter.core.clean import Found
    from adapter.core.job import Job
    from adapter.execution.cleaner import Cleaner, Options
    from adapter.store.base import RunRecord
from adapter.store.sqlite import SqliteStore

_SAID_NO = 5  # as documented: a command ran there and said no
_BAD = ("refused", "failed", "unknown")


@dataclass(slots=True)
class Outcome:
    """What was found, or removed, on all backends; ``exit_code`` is the worst that happened."""

    folders: list[tuple[Job, Found]] = field(default_factory=list)
    kept: list[Job] = field(default_factory=list)
    left_alone: list[tuple[str, str]] = field(default_factory=list)
    store: list[tuple[str, str, Found]] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    exit_code: int = 0

    def worse(self, exit_code: int) -> None:
        """Take over *exit_code* unless something came before."""
        self.exit_code = self.exit_code or exit_code


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN...]", shell_complete=complete_run)
@click.option("--older-than", "older_than_s", type=SECONDS, help="Only runs that ended so long ago, like 7d or 36h.")
@click.option("--all-finished", is_flag=True, help="All runs whose jobs have all ended and are collected.")
@click.option(
    "--failed", "with_failed", is_flag=True, help="Also the folders of jobs that failed or were killed or lost."
)
@click.option("--store", "with_store", is_flag=True, help="Also sent files that no job's folder holds any more.")
@click.option("--yes", "remove", is_flag=True, help="Remove. Without it nothing is removed, only listed.")
@json_option
def clean(
    runs: tuple[str, ...],
    all_finished: bool,
    with_store: bool,
    as_json: bool,
    **chosen_options: Any,
) -> int:
    r"""Remove what finished runs left on the target; without --yes only list it, with sizes.

    A job's folder holds its script, its work folder, stdout, stderr and exit file. The run stays in the store;
    outputs that were brought here, and a --workdir of your own, are not touched. Kept are the folders of jobs that went
    wrong (unless --failed), and whole runs with a job that has not ended or is not collected.

    \b
    Examples:
      adapter clean k3v5
      adapter clean --older-than 7d --store --yes
      adapter clean --all-finished --failed --yes
    """
    import asyncio

    from adapter.cli.context import open_store
    from adapter.execution.cleaner import Options

    if not (runs or all_finished or with_store or chosen_options["older_than_s"] is not None):
        raise click.UsageError("say what: RUN..., --older-than TIME, --all-finished or --store")
    if runs and all_finished:
        raise click.UsageError("either RUN... or --all-finished, not both")
    store = open_store()
    records = (
        list({record.id: record for record in map(store.find_run, runs)}.values())
        if runs
        else [store.find_run(run.id) for run in store.summaries()]
    )
    options = Options(**chosen_options)
    chosen = records if runs or all_finished or options.older_than_s is not None else []
    outcome = asyncio.run(_clean_all(store, records, {record.id for record in chosen}, options, with_store=with_store))
    _show_json(outcome, options) if as_json else _show(outcome, options, named=bool(runs))
    return outcome.exit_code


async def _clean_all(
    store: SqliteStore, records: Sequence[RunRecord], chosen: set[str], options: Options, *, with_store: bool
) -> Outcome:
    """Go to each backend once; one that cannot be asked disturbs no other."""
    import json

    from adapter.errors import AdapterError

    backends: dict[str, list[RunRecord]] = {}
    for record in records:
        backends.setdefault(json.dumps([record.backend, record.document], sort_keys=True), []).append(record)
    outcome = Outcome()
    for members in backends.values():
        runs = [record for record in members if record.id in chosen and _has_folder(store, record)]
        if not runs and not with_store:
            continue
        try:
            await _clean_one(store, members[0], runs, options, outcome, with_store=with_store)
        except AdapterError as error:
            outcome.problems.append((members[0].backend, str(error)))
            outcome.worse(error.exit_code)
    if any(found.what in _BAD for _, found in outcome.folders) or any(f.what in _BAD for _, _, f in outcome.store):
        outcome.worse(_SAID_NO)
    return outcome


def _has_folder(store: SqliteStore, record: RunRecord) -> bool:
    return any(job.directory is not None or not job.state.is_final for job in store.jobs(record.id))


async def _clean_one(
    store: SqliteStore,
    first: RunRecord,
    runs: Sequence[RunRecord],
    options: Options,
    outcome: Outcome,
    *,
    with_store: bool,
) -> None:
    from adapter.cli.context import backend_of, open_executor
    from adapter.execution.cleaner import Cleaner
    from adapter.execution.clock import RealClock

    backend = backend_of(first)
    site = open_executor(backend, store).client
    async with site.transport:
        cleaner = Cleaner(site, store, RealClock())
        sent = await cleaner.store() if with_store else None
        await _folders(cleaner, runs, options, outcome)
        if sent is not None and options.remove:
            emptied = await cleaner.empty_store(sent)
            outcome.store += [(backend.name, name, found) for name, found in emptied.items()]
        elif sent is not None:
            from adapter.core.clean import Found

            sizes = {**sent.unlinked, **sent.left_behind}
            outcome.store += [(backend.name, name, Found("found", size)) for name, size in sizes.items()]


async def _folders(cleaner: Cleaner, runs: Sequence[RunRecord], options: Options, outcome: Outcome) -> None:
    for record in runs:
        selection, folders = await cleaner.folders(record.id, options)
        outcome.folders += folders
        outcome.kept += selection.kept
        if selection.why_not:
            outcome.left_alone.append((record.id, selection.why_not))


# -- telling


def _show(outcome: Outcome, options: Options, *, named: bool) -> None:
    from adapter.cli.text import printable, table

    rows = [["JOB", "NAME", "STATE", "SIZE", "FOLDER"]]
    rows += [_row(job, found) for job, found in outcome.folders if found.what not in _BAD]
    rows += [["-", "store", "-", _size(f), printable(name)] for _, name, f in outcome.store if f.what not in _BAD]
    if len(rows) > 1:
        click.echo(table(rows))
    for job in outcome.kept:
        click.echo(f"kept: {job.key} ({printable(job.task.name)}) {job.verdict}; --failed takes it as well")
    for run, why in outcome.left_alone:
        if named or options.remove:
            click.echo(f"left alone: run {run}: {printable(why)}")
    for text in _bad_lines(outcome):
        click.echo(f"adapter: {printable(text)}", err=True)
    click.echo(_sum(outcome, options))


def _row(job: Job, found: Found) -> list[str]:
    from adapter.cli.text import printable

    size = "(is gone)" if found.what == "gone" else _size(found)
    return [job.key, printable(job.task.name), job.verdict, size, printable(job.directory or "-")]


def _size(found: Found) -> str:
    from adapter.core.units import format_bytes

    return format_bytes(found.size_bytes)


def _bad_lines(outcome: Outcome) -> Iterable[str]:
    for job, found in outcome.folders:
        if found.what in _BAD:
            yield f"{job.key}: {found.what}: {job.directory}: {found.text}"
    for backend, name, found in outcome.store:
        if found.what in _BAD:
            yield f"store of {backend}: {found.what}: {name}: {found.text}"
    for backend, text in outcome.problems:
        yield f"backend {backend}: {text}; nothing more was done there"


def _sum(outcome: Outcome, options: Options) -> str:
    from adapter.core.units import format_bytes

    done = [found for _, found in outcome.folders if found.what in {"found", "removed"}]
    stored = [found for _, _, found in outcome.store if found.what in {"found", "removed"}]
    size = format_bytes(sum(found.size_bytes for found in [*done, *stored]))
    what = f"{len(done)} folders" + (f" and {len(stored)} files of the store" if stored else "") + f", {size}"
    return f"removed {what}" if options.remove else f"would remove {what}; nothing was removed, --yes removes it"


def _show_json(outcome: Outcome, options: Options) -> None:
    from adapter.cli.text import to_json

    click.echo(to_json(_data(outcome, options)))


def _data(outcome: Outcome, options: Options) -> dict[str, Any]:
    def told(found: Found) -> dict[str, Any]:
        return {"result": found.what, "size_bytes": found.size_bytes, "text": found.text or None}

    return {
        "dry_run": not options.remove,
        "folders": [
            {"job": job.key, "run": job.run, "state": str(job.state), "directory": job.directory, **told(found)}
            for job, found in outcome.folders
        ],
        "kept": [{"job": job.key, "verdict": job.verdict, "directory": job.directory} for job in outcome.kept],
        "left_alone": [{"run": run, "why": why} for run, why in outcome.left_alone],
        "store": [{"backend": backend, "name": name, **told(found)} for backend, name, found in outcome.store],
        "problems": [{"backend": backend, "error": text} for backend, text in outcome.problems],
    }
