"""``adapter kill``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from adapter.cli.options import complete_run, quiet_option

if TYPE_CHECKING:
    from collections.abc import Collection

    from adapter.execution.book import Event
    from adapter.execution.journal import Journal, RunRecord


@click.command()
@click.argument("targets", nargs=-1, required=True, metavar="RUN|RUN.INDEX...", shell_complete=complete_run)
@quiet_option
def kill(targets: tuple[str, ...], quiet: bool) -> None:
    r"""End the jobs of runs, or single jobs, and wait until they are gone. A job that has ended already is fine.

    \b
    Examples:
      adapter kill k3v5
      adapter kill k3v5.2 k3v5.7
    """
    import asyncio

    from adapter.cli.open import find_target, job_at, open_journal

    journal = open_journal()
    asked: dict[str, tuple[RunRecord, set[int]]] = {}
    for target in targets:
        record, index = find_target(journal, target)
        jobs = journal.jobs(record.id)
        indexes = {job.index for job in jobs} if index is None else {job_at(record, jobs, index).index}
        asked.setdefault(record.id, (record, set()))[1].update(indexes)
    asyncio.run(_kill_all(journal, list(asked.values()), quiet=quiet))


async def _kill_all(journal: Journal, asked: Collection[tuple[RunRecord, set[int]]], *, quiet: bool) -> None:
    import asyncio

    await asyncio.gather(*(_kill(journal, record, indexes, quiet=quiet) for record, indexes in asked))


async def _kill(journal: Journal, record: RunRecord, indexes: set[int], *, quiet: bool) -> None:
    """Ask, and go on with the run (or watch who does) until the jobs have ended."""
    from adapter.cli.open import backend_of, open_executor

    def say(text: str) -> None:
        if not quiet:
            click.echo(text)

    jobs = journal.jobs(record.id)
    alive = {job.index for job in jobs if job.index in indexes and not job.state.is_final}
    for job in jobs:
        if job.index in indexes - alive:
            say(f"{job.key} had ended: {job.verdict}")
    if not alive:
        return
    async with open_executor(backend_of(record), journal, _tell) as executor:
        executor.adopt(record.id)
        for index in [None] if alive == {job.index for job in jobs} else sorted(alive):
            executor.kill(record.id, index)
        async for now in executor.watch(record.id):
            for job in now:
                if job.index in alive and job.state.is_final:
                    alive.discard(job.index)
                    say(f"{job.key} {job.verdict}")
            if not alive:
                return


def _tell(event: Event) -> None:
    """Say that a kill was refused, or that nobody can be asked."""
    from adapter.cli.text import printable

    if event.what in {"kill_failed", "site_down"}:
        click.echo(f"adapter: {printable(event.text)}", err=True)
