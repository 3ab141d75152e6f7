"""How many jobs a second go through adapter, and how many commands each costs, on a simulated scheduler.

A bare loop that only submits the same scripts is timed in the same run, on a simulated scheduler of its own::

    python -m benchmarks.scale 1000 slurm

The loop starts one submit command for each job, one after the other, and looks at nothing. adapter writes the store
before each submit, keeps the answers, watches the jobs until they have ended, and reads their exit codes.
"""

# ruff: noqa: T201 (a benchmark prints what it measured)
from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter.config.library import library
from adapter.config.load import load_backend
from adapter.core.backend import backend_from, merge
from adapter.core.batch import BatchResult, Command
from adapter.core.job import Job
from adapter.core.library import files_for
from adapter.core.render import placed, render_job
from adapter.core.state import State
from adapter.core.task import Step, Task
from adapter.execution.executor import Executor
from adapter.store.sqlite import SqliteStore
from adapter.testkit.simulator import find_simulator, make_folder, stop
from adapter.transports.local import LocalTransport

if TYPE_CHECKING:
    from adapter.core.backend import Backend

TASK = Task(name="nothing", steps=(Step(argv=("true",)),))


class Counting(LocalTransport):
    """Counts what is run: batches, and the commands in them."""

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__(environment=environment)
        self.batches = self.commands = 0

    async def run_batch(self, commands: Sequence[Command], **options: Any) -> BatchResult:
        """Run it, and count it."""
        self.batches += 1
        self.commands += len(commands)
        return await super().run_batch(commands, **options)


@dataclass
class Fake:
    """A simulated scheduler in a folder of its own."""

    simulator: Path
    folder: Path
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Write it."""
        programs = make_folder(self.simulator, self.folder, {"SLOTS": "4"})
        self.environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}

    def ledger(self) -> list[str]:
        """Return the marks of the jobs that it accepted."""
        lines = (self.folder / "ledger").read_text(encoding="utf-8").splitlines()
        return [line.split()[2] for line in lines if line.startswith("submitted ")]


def bare_loop(backend: Backend, fake: Fake, jobs: int, workspace: Path) -> float:
    """Return the seconds for *jobs* submits, one after the other, and until the last job has ended."""
    began = time.perf_counter()
    for number in range(1, jobs + 1):
        job = placed(Job(run="bareloop00", index=number, task=TASK), str(workspace))
        rendered = render_job(backend, job, str(workspace))
        folder = Path(job.directory or "")
        (folder / "work").mkdir(parents=True)
        (folder / "script").write_text(rendered.script, encoding="utf-8")
        for file in files_for(backend, "job"):
            (folder / f"{file}.sh").write_text(library()[file], encoding="utf-8")
        subprocess.run(
            ["/bin/sh", "-c", rendered.submit], cwd=folder, env=fake.environment, check=True, stdout=subprocess.DEVNULL
        )
    ledger = fake.folder / "ledger"
    while ledger.read_text(encoding="utf-8").count("ended ") < jobs:
        time.sleep(0.05)
    return time.perf_counter() - began


async def by_adapter(backend: Backend, fake: Fake, jobs: int, folder: Path) -> tuple[float, Counting]:
    """Return the seconds for a run of *jobs*, from the first word to the last exit code, and what was run."""
    transport = Counting(fake.environment)
    store = SqliteStore.open(folder / "journal.sqlite")
    async with Executor(backend, transport=transport, store=store) as executor:
        began = time.perf_counter()
        ended = await executor.wait(await executor.submit([TASK] * jobs))
        seconds = time.perf_counter() - began
    wrong = [job for job in ended if job.state is not State.SUCCEEDED]
    if wrong or sorted(fake.ledger()) != sorted(job.token for job in ended):
        raise SystemExit(f"{len(wrong)} of {jobs} jobs did not succeed, or the scheduler saw others: {wrong[:1]}")
    return seconds, transport


def main(jobs: int, name: str) -> None:
    """Measure both and print them, with their ratio."""
    given = load_backend(name).backend
    simulator = find_simulator(given)
    with tempfile.TemporaryDirectory(prefix="adapter-scale-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        document = merge(given.document, {"workspace": str(folder / "jobs"), "limits": {"poll_seconds": [0.5, 5]}})
        backend = backend_from(document, name=given.name, lineage=given.lineage)
        bare, ours = Fake(simulator, folder / "bare"), Fake(simulator, folder / "ours")
        loop_s = bare_loop(backend, bare, jobs, folder / "bare-jobs")
        seconds, transport = asyncio.run(by_adapter(backend, ours, jobs, folder))
        for fake in (bare, ours):
            stop(simulator, fake.folder)
    print(f"{jobs} jobs on a simulated {name}, {os.cpu_count()} processors")
    print(f"bare loop of submits  {loop_s:7.1f} s  {jobs / loop_s:6.1f} jobs/s  1.00 commands a job")
    each = f"{transport.commands / jobs:.2f} commands a job, in {transport.batches} batches"
    print(f"adapter               {seconds:7.1f} s  {jobs / seconds:6.1f} jobs/s  {each}")
    print(f"ratio                 {seconds / loop_s:7.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000, sys.argv[2] if len(sys.argv) > 2 else "slurm")
