"""Beginning a run: hand over, then watch it or leave it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from adapter.cli.background import leave_driver
from adapter.cli.context import open_executor, open_store
from adapter.cli.interrupt import Interrupts
from adapter.cli.runner import Ending, Watch, Watched, tell_detached
from adapter.cli.text import run_with_jobs, to_json
from adapter.core.state import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapter.core.backend import Backend
    from adapter.core.job import Job
    from adapter.core.task import Task


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
