"""``adapter logs``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from adapter.cli.options import complete_run

if TYPE_CHECKING:
    from adapter.core.job import Job
    from adapter.execution.executor import Executor
    from adapter.store.base import RunRecord
from adapter.store.sqlite import SqliteStore


@click.command()
@click.argument("job", metavar="RUN.INDEX", shell_complete=complete_run)
@click.option("--stderr", "stream", flag_value="stderr", help="What it wrote to standard error.")
@click.option(
    "--stdout", "stream", flag_value="stdout", default=True, help="What it wrote to standard output (default)."
)
@click.option("--scheduler", "stream", flag_value="scheduler_log", help="What the scheduler itself wrote about it.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended.")
@click.option("-n", "--lines", type=click.IntRange(min=0), help="Only the last lines.")
def logs(job: str, stream: str, follow: bool, lines: int | None) -> None:
    r"""Show what a job wrote, byte by byte.

    \b
    Examples:
      adapter logs k3v5.3 --stderr
      adapter logs k3v5 --follow
      adapter logs k3v5.3 -n 20
    """
    import asyncio
    from datetime import UTC, datetime

    from adapter.cli.context import find_job, open_store
    from adapter.errors import StoreError

    store = open_store()
    record, found = find_job(store, job)
    if follow and not found.state.is_final:
        asyncio.run(_follow(store, record, found, stream, lines))
        return
    if found.job_id is None:
        why = f": {found.message}" if found.message else ""
        raise StoreError(f"job {found.key} has written nothing: it was never handed over ({found.verdict}{why})")
    if found.directory is None and (cleaned_at := store.cleaned_at(found)) is not None:
        on = datetime.fromtimestamp(cleaned_at, UTC).isoformat(sep=" ", timespec="seconds")
        raise StoreError(f"job {found.key} was cleaned on {on}: what it wrote is gone ({found.verdict})")
    asyncio.run(_show(store, record, found, stream, lines))


async def _show(store: SqliteStore, record: RunRecord, job: Job, stream: str, lines: int | None) -> None:
    from adapter.cli.context import backend_of, open_executor

    executor = open_executor(backend_of(record), store)
    async with executor.client.transport:
        await _write_all(executor, job, stream, lines)


async def _write_all(executor: Executor, job: Job, stream: str, lines: int | None) -> int:
    """Write all of *stream*, or its last *lines*; return up to which byte."""
    from adapter.cli.output import write_bytes
    from adapter.errors import TransportError

    if lines is not None:
        text, size = await executor.read_log(job, stream, lines=lines)
        write_bytes("stdout", text.encode())
        return size
    offset = 0
    while True:
        brought = await executor.read_bytes(job, {stream: offset})
        if stream not in brought:
            raise TransportError(f"job {job.key} has no {stream} yet ({job.verdict})")
        data, _ = brought[stream]
        if not data:
            return offset
        write_bytes("stdout", data)
        offset += len(data)


async def _follow(store: SqliteStore, record: RunRecord, job: Job, stream: str, lines: int | None) -> None:
    """Go on with the run while its job is followed: somebody has to ask the scheduler."""
    import asyncio

    from adapter.cli.context import backend_of, open_executor
    from adapter.cli.output import follow, write_bytes
    from adapter.errors import TransportError

    async with open_executor(backend_of(record), store) as executor:
        await executor.adopt(record.id)
        offset = 0
        if lines is not None and job.job_id is not None:
            try:
                offset = await _write_all(executor, job, stream, lines)
            except TransportError:
                offset = 0
        ended = asyncio.create_task(executor.wait(record.id))
        try:
            await follow(
                executor, record.id, job.index, ended=ended, streams=[stream], offset=offset,
                write=lambda _stream, data: write_bytes("stdout", data),
            )  # fmt: skip
        finally:
            ended.cancel()
