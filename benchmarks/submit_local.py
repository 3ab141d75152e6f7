"""What exactly-once costs at a submit: our submit of jobs to this machine's Slurm against a bare loop of sbatch.

    SLURM_CONF=$(tests/live/services/slurm.sh env acct | cut -d= -f2-) python -m benchmarks.submit_local [--jobs 200]

Both submit held jobs, so that no running job takes the processor from the one or the other; all are killed at the end.
The loop is what a user would write: one sbatch for each job, its answer read. Ours also makes a folder for each job,
writes its script, keeps the answer in a receipt there, and writes the store before and after.
"""

# ruff: noqa: T201, S604 (a benchmark prints what it measured; `shell` is what a task runs)
from __future__ import annotations

import argparse
import asyncio
import subprocess
import tempfile
import time
from pathlib import Path

from adapter.config.load import load_backend
from adapter.core.backend import backend_from, merge
from adapter.core.task import Resources, Step, Task
from adapter.execution.executor import Executor
from adapter.store.sqlite import SqliteStore
from adapter.transports.local import LocalTransport

HELD = ("--hold",)


async def ours(jobs: int, folder: Path) -> float:
    """Return the seconds until all are in the scheduler and the store has their ids."""
    loaded = load_backend("slurm").backend
    document = merge(loaded.document, {"workspace": str(folder / "workspace")})
    backend = backend_from(document, name="slurm", lineage=loaded.lineage)
    task = Task(
        name="no-op", steps=(Step(shell="true"),), native={"slurm": HELD},
        resources=Resources(cpu=1, ram_bytes=50 * 1024**2),
    )  # fmt: skip
    store = SqliteStore.open(folder / "journal.sqlite")
    async with Executor(backend, transport=LocalTransport(), store=store) as executor:
        began = time.monotonic()
        run = await executor.submit([task] * jobs)
        handed_over = await executor.handed_over(run)
        seconds = time.monotonic() - began
        if len({job.job_id for job in handed_over} - {None}) != jobs:
            raise AssertionError("not all jobs were handed over")
        await executor.kill(run)
        await executor.wait(run)
    return seconds


def bare_loop(jobs: int, folder: Path) -> float:
    """Return the seconds that a loop of sbatch in one shell takes."""
    (folder / "script").write_text("#!/bin/sh\ntrue\n")
    command = f"sbatch --parsable --output=/dev/null --mem=50M {HELD[0]} script"
    loop = f"n=0; while [ $n -lt {jobs} ]; do {command} || exit; n=$((n + 1)); done"
    began = time.monotonic()
    told = subprocess.run(["sh", "-c", loop], cwd=folder, capture_output=True, text=True, check=True)
    seconds = time.monotonic() - began
    subprocess.run(["xargs", "scancel"], input=told.stdout, text=True, check=True)
    return seconds


def compare(jobs: int) -> float:
    """Measure the loop, ours, and the loop again; print and return how many times as long ours takes."""
    with tempfile.TemporaryDirectory(prefix="adapter-benchmark-") as name:
        folder = Path(name)
        before = bare_loop(jobs, folder)
        us = asyncio.run(ours(jobs, folder))
        after = bare_loop(jobs, folder)
    loop = (before + after) / 2
    print(f"{jobs} jobs: a bare loop {before:.1f} s and {after:.1f} s, ours {us:.1f} s: {us / loop:.2f} x as long")
    return us / loop


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=200)
    compare(parser.parse_args().jobs)


if __name__ == "__main__":
    main()
