"""A job's own output, copied to ours as it grows: byte by byte what the job wrote."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from adapter.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from adapter.execution.executor import Executor

STREAMS = ("stdout", "stderr")
_SOONEST_S, _LATEST_S, _SLOWER = 0.1, 2.0, 1.5
_MOST_FAILURES = 5


def write_bytes(stream: str, data: bytes) -> None:
    """Write *data* to our own standard output or error at once."""
    target = (sys.stderr if stream == "stderr" else sys.stdout).buffer
    target.write(data)
    target.flush()


async def follow(
    executor: Executor,
    run: str,
    index: int,
    *,
    ended: asyncio.Future[Any],
    write: Callable[[str, bytes], None] = write_bytes,
    streams: Sequence[str] = STREAMS,
    offset: int = 0,
) -> None:
    """Copy what job *index* of *run* writes from byte *offset* on, until it has *ended* and all of it was copied."""
    offsets = dict.fromkeys(streams, offset)
    wait_s, failures = _SOONEST_S, 0
    while True:
        job = next(job for job in executor.jobs_of(run) if job.index == index)
        is_last_look = job.state.is_final
        came = False
        if job.job_id is not None:
            try:
                came = await copy(executor, run, index, offsets, write)
                failures = 0
            except TransportError:
                failures += 1
        if is_last_look and not came and (not failures or failures >= _MOST_FAILURES):
            return
        wait_s = _SOONEST_S if came or failures else min(wait_s * _SLOWER, _LATEST_S)
        if ended.done() and (came or failures):
            await asyncio.sleep(0.2 * failures)
        elif not came:
            await asyncio.wait({ended}, timeout=wait_s)


async def copy(
    executor: Executor, run: str, index: int, offsets: dict[str, int], write: Callable[[str, bytes], None]
) -> bool:
    """Write what is new in each stream since *offsets* and move them on; return whether there was anything."""
    job = next(job for job in executor.jobs_of(run) if job.index == index)
    came = False
    for stream, (data, size) in (await executor.read_bytes(job, offsets)).items():
        if size < offsets[stream]:
            offsets[stream] = 0  # the job was started anew
            came = True
        elif data:
            offsets[stream] += len(data)
            write(stream, data)
            came = True
    return came
