"""A process that runs twenty jobs and is killed with SIGKILL at one named point.

``python -m tests.crash.victim FOLDER BACKEND POINT``.
The points are set by a transport and a store that wrap the real ones; the product knows nothing of them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from adapter.execution.executor import Executor
from adapter.store.sqlite import SqliteStore
from adapter.transports.base import Transport
from adapter.transports.local import LocalTransport
from adapter.transports.openssh import OpenSshTransport
from adapter.transports.ssh import SshTransport
from tests.crash.story import backend_for, tasks_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from adapter.core.backend import Backend
    from adapter.core.event import Event
    from adapter.core.job import Job
    from adapter.results import CompletedCommand
    from adapter.transports.base import Download

POINTS = {
    "intent_written": "the run is in the store, nothing has left the process",
    "before_submit": "the jobs are marked as leaving, the submit batch has not been sent",
    "inside_submit": "the submit batch is half done on the target",
    "after_submit": "the scheduler has all jobs, the store has no job id",
    "receipts_half_stored": "half of the job ids are in the store",
    "before_first_poll": "all job ids are in the store",
    "after_monitor": "the monitor answered, the store has not heard of it",
    "after_result": "accounting or the exit files were read, the verdicts are not written",
    "verdicts_half_stored": "a poll's verdicts are just being written",
    "before_collect": "all jobs have ended, nothing has been brought back",
    "inside_collect": "some of the files have been brought back",
    "after_collect": "all files have arrived, none is in its place",
    "files_in_place": "all files are in their places, the store does not say so",
    "answer_lost": "the target's shell dies between the scheduler's yes and the receipt, and we with it",
}


def die() -> None:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


class Dying(Transport):
    """Dies at the points that have to do with the target; the class behind it is a real transport."""

    _story: Path
    _point: str

    async def run(self, command: str, *, stdin: str = "", timeout_s: float) -> CompletedCommand:
        submits, polls = "# submit /" in stdin, "# probe" in stdin
        if (submits and self._point == "before_submit") or (polls and self._point == "before_first_poll"):
            die()
        if submits and self._point == "inside_submit":
            running = asyncio.create_task(super().run(command, stdin=stdin, timeout_s=timeout_s))
            done = "script" if "/array <<" in stdin else "submit.1/exit_code"  # an array has one answer, at the end
            while len(list(self._story.glob(f"workspace/*/*/{done}"))) < 5:
                await asyncio.sleep(0.002)
            die()
            await running
        if submits and self._point == "answer_lost":
            asyncio.get_running_loop().call_later(0.5, die)  # the shell dies by its own hand: story.LOSING_SUBMIT
        completed = await super().run(command, stdin=stdin, timeout_s=timeout_s)
        if submits and self._point == "after_submit":
            die()
        if (polls and self._point == "after_monitor") or ("--parsable2" in stdin and self._point == "after_result"):
            die()
        return completed

    async def get(self, downloads: Sequence[Download], *, scratch: str = "") -> list[list[str]]:
        if self._point == "before_collect":
            die()
        if self._point == "inside_collect":
            await super().get(downloads[: len(downloads) // 2], scratch=scratch)
            die()
        brought = await super().get(downloads, scratch=scratch)
        if self._point == "after_collect":
            die()
        return brought


class DyingLocal(Dying, LocalTransport):
    pass


class DyingAsyncSsh(Dying, SshTransport):
    pass


class DyingOpenSsh(Dying, OpenSshTransport):
    pass


def dying(backend: Backend, folder: Path, point: str) -> Dying:
    client = backend.connection.get("client")
    transport: Dying
    if client is None:
        transport = DyingLocal()
    elif client == "openssh":
        transport = DyingOpenSsh(backend.connection, folder=folder / "private" / "links")
    else:
        transport = DyingAsyncSsh(backend.connection)
    transport._story, transport._point = folder, point
    return transport


class DyingStore(SqliteStore):
    """Dies at the points that have to do with the store."""

    point = ""

    def add_run(self, run: object, jobs: Iterable[Job]) -> None:
        super().add_run(run, jobs)  # type: ignore[arg-type]
        if self.point == "intent_written":
            die()

    def add_brought(self, files: object) -> None:
        if self.point == "files_in_place":
            die()
        super().add_brought(files)  # type: ignore[arg-type]

    def save(self, jobs: Iterable[Job], at: float) -> list[Event]:
        jobs = list(jobs)
        if self.point == "receipts_half_stored" and any(job.job_id for job in jobs):
            numbers = [job.index for job in jobs]
            if max(numbers) >= 10:
                die()
        if self.point in {"verdicts_half_stored", "after_result"} and any(job.state.is_final for job in jobs):
            if self.point == "verdicts_half_stored":
                super().save(jobs[: len(jobs) // 2], at)
            die()
        return super().save(jobs, at)


async def main(folder: Path, backend_name: str, point: str) -> None:
    store = DyingStore.open(folder / "journal.sqlite")
    store.point = point
    backend = backend_for(backend_name, folder, losing_answers=point == "answer_lost")
    transport = dying(backend, folder, point)
    async with Executor(backend, transport=transport, store=store) as executor:
        run = await executor.submit(tasks_for(folder), name="crash")
        await executor.wait(run)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
