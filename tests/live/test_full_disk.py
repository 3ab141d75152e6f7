"""A full disk under the job directories: a real, tiny file system (needs root to mount it)."""

from __future__ import annotations

import asyncio
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from adapter.config.load import load_backend
from adapter.core.backend import backend_from, merge
from adapter.core.state import State
from adapter.core.task import Resources, Step, Task
from adapter.execution.executor import Executor
from adapter.store.sqlite import SqliteStore
from adapter.transports.local import LocalTransport
from tests.live.conftest import lacking

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from adapter.core.job import Job

FILL = "cat /dev/zero >fill"


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        lacking("mounting a small file system needs root")
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        lacking(f"cannot mount a small file system: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def run(
    folder: Path, tasks: list[Task], disk: Path, during: Callable[[Executor, str], Awaitable[None]] | None = None
) -> list[Job]:
    loaded = load_backend("local").backend
    document = merge(loaded.document, {"workspace": str(disk / "workspace"), "limits": {"max_tasks": 1}})
    backend = backend_from(document, name="local", lineage=loaded.lineage)

    async def go() -> list[Job]:
        store = SqliteStore.open(folder / "journal.sqlite")
        async with Executor(backend, transport=LocalTransport(), store=store) as executor, asyncio.timeout(180):
            run = await executor.submit(tasks)
            if during is not None:
                await during(executor, run)
            return await executor.wait(run)

    return asyncio.run(go())


def task(name: str, shell: str) -> Task:
    return Task(name=name, steps=(Step(shell=shell),), resources=Resources(cpu=0.1))


def test_a_job_that_fills_its_disk_still_reports_its_exit_code(tmp_path: Path, tiny_disk: Path) -> None:
    jobs = run(tmp_path, [task("fills", f"{FILL}; exit 7")], tiny_disk)
    assert [(job.state, job.exit_code) for job in jobs] == [(State.FAILED, 7)]


def test_a_job_whose_directory_cannot_be_written_waits_for_room_and_says_why(tmp_path: Path, tiny_disk: Path) -> None:
    said: list[str] = []

    async def make_room(executor: Executor, run: str) -> None:
        async for jobs in executor.watch(run):
            if jobs[2].wait_reason:
                said.append(jobs[2].wait_reason)
                break
        for fill in (tiny_disk / "workspace").rglob("fill"):
            fill.unlink()

    jobs = run(
        tmp_path,
        [task("before", "exit 0"), task("fills", f"{FILL}; exit 0"), task("after", "exit 0")],
        tiny_disk,
        make_room,
    )
    assert [job.state for job in jobs] == [State.SUCCEEDED] * 3
    assert "No space left on device" in said[0]
    assert str(tiny_disk) in said[0]
