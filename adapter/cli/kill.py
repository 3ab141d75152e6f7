"""``adapter kill``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from adapter.cli.options import complete_run, quiet_option

if TYPE_CHECKING:
    from collections.abc import Collection

    from adapter.core.event import Event
    from adapter.store.base import RunRecord
from adapter.store.sqlite import SqliteStore

READ_S = 1.0
_TOLD = frozenset(("kill_failed", "kill_waits", "backend_down", "find_failed", "monitor_failed", "submit_waits"))


@click.command()
@click.argument("targets", nargs=-1, required=True, metavar="RUN|RUN.INDEX...", shell_complete=complete_run)
@quiet_option
def kill(targets: tuple[str, ...], quiet: bool) -> None:
    r"""End the jobs of runs, or single jobs, and wait until they are gone. A job that has ended already is fine.

    A run to which tasks may still be added is closed.

    \b
    Examples:
      adapter kill k3v5
      adapter kill k3v5.2 k3v5.7
    """
    import asyncio

    from adapter.cli.context import find_target, job_at, open_store

    store = open_store()
    asked: dict[str, tuple[RunRecord, set[int]]] = {}
    for target in targets:
        record, index = find_target(store, target)
        if index is None and record.is_open:
            store.close_run(record.id)
            click.echo(f"run {record.id} is closed: no task can be added any more", err=True)
        jobs = store.jobs(record.id)
        indexes = {job.index for job in jobs} if index is None else {job_at(record, jobs, index).index}
        asked.setdefault(record.id, (record, set()))[1].update(indexes)
    asyncio.run(_kill_all(store, list(asked.values()), quiet=quiet))


async def _kill_all(store: SqliteStore, asked: Collection[tuple[RunRecord, set[int]]], *, quiet: bool) -> None:
    import asyncio

    await asyncio.gather(*(_kill(store, record, indexes, quiet=quiet) for record, indexes in asked))


async def _kill(store: SqliteStore, record: RunRecord, indexes: set[int], *, quiet: bool) -> None:
    """Ask, and go on with the run (or watch who does) until the jobs have ended."""
    import asyncio

    from adapter.cli.context import backend_of, open_executor

    def say(text: str) -> None:
        if not quiet:
            click.echo(text)

    jobs = store.jobs(record.id)
    alive = {job.index for job in jobs if job.index in indexes and not job.state.is_final}
    for job in jobs:
        if job.index in indexes - alive:
            say(f"{job.key} had ended: {job.verdict}")
    if not alive:
        return
    tell = _Teller()
    async with open_executor(backend_of(record), store, tell.on_event) as executor:
        tell.read(store, record.id)  # what was said before we asked
        await executor.adopt(record.id)
        for index in [None] if alive == {job.index for job in jobs} else sorted(alive):
            await executor.kill(record.id, index)
        reader = asyncio.create_task(tell.follow(store, record.id))
        try:
            async for now in executor.watch(record.id):
                for job in now:
                    if job.index in alive and job.state.is_final:
                        alive.discard(job.index)
                        say(f"{job.key} {job.verdict}")
                if not alive:
                    return
        finally:
            reader.cancel()


class _Teller:
    """Says why a kill takes time, also where another process drives the run and writes it into the store."""

    def __init__(self) -> None:
        self._last = 0
        self._said: set[int | None] = set()

    def on_event(self, event: Event) -> None:
        """Say that a kill was refused, or that nobody can be asked."""
        self._tell(event)

    async def follow(self, store: SqliteStore, run: str) -> None:
        """Say what is written down about *run* from now on."""
        import asyncio

        while True:
            await asyncio.sleep(READ_S)
            for event in self.read(store, run):
                self._tell(event)

    def read(self, store: SqliteStore, run: str) -> list[Event]:
        """Return what was written down about *run* since it was last read."""
        events = store.events(run, after=self._last)
        self._last = max([self._last, *(event.number or 0 for event in events)])
        return events

    def _tell(self, event: Event) -> None:
        from adapter.cli.text import printable

        if event.kind in _TOLD and event.number not in self._said:
            self._said.add(event.number)
            click.echo(f"adapter: {printable(event.text)}", err=True)
