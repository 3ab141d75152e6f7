"""``adapter status``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from adapter.cli.options import complete_run, json_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapter.core.job import Job
    from adapter.store.base import RunRecord, RunSummary
from adapter.store.sqlite import SqliteStore

MOST_RUNS = 20


@click.command()
@click.argument("target", required=False, metavar="[RUN|RUN.INDEX]", shell_complete=complete_run)
@click.option("--no-poll", is_flag=True, help="Read only the store; ask no scheduler.")
@click.option("--all", "show_all", is_flag=True, help=f"All runs, not only the last {MOST_RUNS}.")
@json_option
def status(target: str | None, no_poll: bool, show_all: bool, as_json: bool) -> None:
    r"""Show the last runs, the jobs of a run, or one job.

    Jobs of runs that no process drives are asked about once; nothing is handed over (that is what wait does).

    \b
    Examples:
      adapter status
      adapter status k3v5 --json
      adapter status k3v5.7
    """
    import asyncio

    from adapter.cli.context import find_target, open_store

    store = open_store()
    if target is None:
        most = None if show_all else MOST_RUNS
        if not no_poll:
            asyncio.run(look_at(store, [run.id for run in store.summaries(most=most)]))
        _show_runs(store, store.summaries(most=most), as_json=as_json)
        return
    record, index = find_target(store, target)
    if not no_poll:
        asyncio.run(look_at(store, [record.id]))
    _show_run(store, record, index, as_json=as_json)


async def look_at(store: SqliteStore, runs: Sequence[str]) -> None:
    """Ask once about the unfinished ones of *runs*; one that cannot be asked about disturbs no other."""
    import asyncio

    from adapter.cli.context import backend_of, open_executor
    from adapter.errors import AdapterError

    async def look(run: str) -> None:
        try:
            await open_executor(backend_of(store.find_run(run)), store).look(run)
        except AdapterError as error:
            click.echo(f"adapter: run {run}: {error}; this is what was known before", err=True)

    unfinished = set(store.unfinished_runs())
    await asyncio.gather(*(look(run) for run in runs if run in unfinished))


def _show_runs(store: SqliteStore, runs: Sequence[RunSummary], *, as_json: bool) -> None:
    import time

    from adapter.cli.text import printable, run_data, run_rows, table, to_json

    if as_json:
        click.echo(to_json([run_data(run, note=note_of(store, run)) for run in runs]))
    elif runs:
        click.echo(table(run_rows(runs, time.time())))
        for run in runs:
            if note := note_of(store, run):
                click.echo(f"\nrun {run.id}: {printable(note)}")
    else:
        click.echo("adapter: no runs yet; begin one: adapter run -- echo hello", err=True)


def _show_run(store: SqliteStore, record: RunRecord, index: int | None, *, as_json: bool) -> None:
    import time

    from adapter.cli.context import job_at
    from adapter.cli.text import counts_text, job_data, job_rows, printable, run_with_jobs, table, to_json
    from adapter.core.waiting import with_reasons

    jobs, summary = with_reasons(store.jobs(record.id), store.note(record.id)), store.summary(record.id)
    if index is not None:
        job = job_at(record, jobs, index)
        click.echo(to_json(job_data(job)) if as_json else _details(store, job))
    elif as_json:
        click.echo(to_json(run_with_jobs(record, jobs, note=note_of(store, summary))))
    else:
        click.echo(f"run {record.id} ({printable(record.name)}) on {record.backend}: {counts_text(summary)}\n")
        click.echo(table(job_rows(jobs, time.time())))
        for line in requeue_lines(store, record.id):
            click.echo(line)
        if note := note_of(store, summary):
            click.echo(f"\n{printable(note)}")


def requeue_lines(store: SqliteStore, run: str) -> list[str]:
    """Return a line for each job of *run* that its scheduler put back into the queue after it had run."""
    from collections import Counter

    from adapter.core.event import EventKind

    times = Counter(event.index for event in store.events(run) if event.kind is EventKind.REQUEUED)
    return [
        f"{run}.{index} was put back into the queue by its scheduler and began anew"
        + (f", {count} times" if count > 1 else "")
        for index, count in times.items()
    ]


def note_of(store: SqliteStore, run: RunSummary) -> str:
    """Return what a person has to do about *run*: tasks wait to be handed over, and no process does it."""
    import time

    from adapter.core.state import State
    from adapter.execution.lease import is_alive

    waiting = run.counts.get(State.WAITING, 0)
    if not waiting or store.driver(run.id, time.time(), is_alive) is not None:
        return ""
    why = store.note(run.id)
    what = (
        f"no process hands over the {waiting} waiting tasks" if waiting > 1 else "no process hands over the last task"
    )
    return f"{f'{why}; ' if why else ''}{what}: adapter wait {run.id}"


def _details(store: SqliteStore, job: Job) -> str:
    import time

    from adapter.cli.text import job_data, job_title, printable, run_time_s, verdict_text
    from adapter.core.units import format_bytes, format_seconds

    data = job_data(job)
    facts = {
        "job": job_title(job),
        "state": verdict_text(job),
        "waits": job.wait_reason,
        "job id": job.job_id,
        "exit code": job.exit_code,
        "folder": job.directory,
        **{name.removesuffix("_at"): data[name] for name in ("created_at", "submitted_at", "started_at", "ended_at")},
        "ran for": format_seconds(run_time_s(job, time.time())),
        "peak ram": format_bytes(job.usage.peak_ram_bytes),
        "env": ", ".join(data["env"]),
    }
    lines = [f"{name:<11}{printable(str(value))}" for name, value in facts.items() if value not in {None, "", "-"}]
    events = [each.text for each in store.events(job.run) if each.index == job.index and not each.kind.is_state]
    return "\n".join([*lines, *(f"event      {printable(text)}" for text in events)])
