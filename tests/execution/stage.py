"""A stage for the executor: a clock that needs no time, and a Slurm of fifty lines behind a ScriptedTransport."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from adapter.core.backend import Backend, backend_from, merge
from adapter.core.event import Event
from adapter.core.job import Job
from adapter.core.task import Task, task_from
from adapter.execution.executor import Executor
from adapter.results import CompletedCommand
from adapter.store.sqlite import SqliteStore
from adapter.transports.scripted import ScriptedTransport

TEMPLATES = Path(__file__).parents[2] / "templates"
START = 1_000_000.0


class Clock:
    """Time passes only where somebody sleeps, and then at once."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        for _ in range(4):  # whoever wakes the sleeper comes first
            await asyncio.sleep(0)
        self.time += seconds

    async def in_thread(self, work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return work(*args, **options)  # no time passes


def slurm(**over: Any) -> Backend:
    batch, own = (
        yaml.safe_load((TEMPLATES / f"{name}.yaml").read_text(encoding="utf-8")) for name in ("batch", "slurm")
    )
    return backend_from(merge(merge(batch, own), over), name="slurm", lineage=("slurm", "batch"))


def said(stdout: str = "", stderr: str = "", code: int = 0) -> CompletedCommand:
    return CompletedCommand(command="", exit_code=code, stdout=stdout, stderr=stderr)


def batches_of(transport: ScriptedTransport) -> list[list[str]]:
    """Return the commands of each batch, as text."""
    return [[str(command) for command in batch] for batch in transport.batches]


UNKNOWN_ID = said("", "slurm_load_jobs error: Invalid job id specified\n", 1)
TIMED_OUT = said("", "slurm_load_jobs error: Socket timed out on send/recv operation\n", 1)
NO_ACCOUNTING = said("", "Slurm accounting storage is disabled\n", 1)
WELL = ["PENDING|0|None", "RUNNING|0|None", "COMPLETED|0|None"]
ENDLESS = ["PENDING|0|None", "RUNNING|0|None"]


@dataclass
class Slurm:
    """Every job shows its ``path``, a row a poll, the last one for ever; ``None`` is a poll that does not show it.

    ``refusals``: what the first submits of a task (by its index) are answered instead. ``monitor`` and ``kills``: the
    same for the first questions and kills. ``leaves``: the exit file that a task leaves once it ended or is gone; one
    that completed leaves an exit code 0 if nothing is said.
    """

    path: Sequence[str | None] = tuple(WELL)
    paths: dict[int, Sequence[str | None]] = field(default_factory=dict)
    refusals: dict[int, list[Any]] = field(default_factory=dict)
    monitor: list[CompletedCommand] = field(default_factory=list)
    kills: list[CompletedCommand] = field(default_factory=list)
    leaves: dict[int, str] = field(default_factory=dict)
    accounting: CompletedCommand | Callable[[str], str] = field(default_factory=lambda: NO_ACCOUNTING)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    submitted: list[tuple[float, int]] = field(default_factory=list)
    most_at_once: int = 0
    clock: Clock = field(default_factory=Clock)
    transport: ScriptedTransport = field(default_factory=ScriptedTransport)

    def __post_init__(self) -> None:
        self.transport.handler += [
            ("^sbatch --version", "slurm-wlm 22.05.8"),
            ("^sbatch", self.sbatch),
            ("^squeue --me", lambda command: "".join(f"{key}|{job['token']}|\n" for key, job in self.jobs.items())),
            ("^squeue", self.squeue),
            ("^sacct", lambda command: self.accounting(command) if callable(self.accounting) else self.accounting),
            ("^scancel", self.scancel),
        ]

    def sbatch(self, command: str) -> CompletedCommand | str:
        found = re.search(r"(\S*/(\w+)/(\d{4})-[^/]*)/script", command)
        assert found, command
        index = int(found[3])
        self.submitted.append((self.clock.now(), index))
        if self.refusals.get(index):
            refusal = self.refusals[index].pop(0)
            if callable(refusal):
                refusal = refusal(self, found[1], found[2], index)
            if isinstance(refusal, Exception):
                raise refusal
            return refusal
        return self.make(found[1], found[2], index)

    def make(self, directory: str, run: str, index: int) -> str:
        job_id = str(100 + len(self.jobs))
        self.jobs[job_id] = {
            "index": index,
            "token": f"adapter-{run}-{index}-1",
            "directory": directory,
            "polls": 0,
            "killed": False,
        }
        return f"{job_id}\n"

    def row(self, job_id: str) -> str | None:
        job = self.jobs[job_id]
        path = self.paths.get(job["index"], self.path)
        row = path[min(job["polls"], len(path) - 1)]
        if job["killed"] and row is not None and row.split("|")[0] in {"PENDING", "RUNNING"}:
            return "CANCELLED|15|None"
        return row

    def squeue(self, command: str) -> CompletedCommand | str:
        alive = [key for key in self.jobs if (self.row(key) or "").split("|")[0] in {"PENDING", "RUNNING"}]
        self.most_at_once = max(self.most_at_once, len(alive))
        if self.monitor:
            return self.monitor.pop(0)
        shown = []
        for job_id in re.search(r"--jobs='?([\d,]+)", command)[1].split(","):  # type: ignore[index]
            row = self.row(job_id) if job_id in self.jobs else None
            if job_id in self.jobs:
                job = self.jobs[job_id]
                job["polls"] += 1
                left = (row or "").startswith("COMPLETED|0|") and "exit_code 0\n"  # as every wrapper does
                left = self.leaves.get(job["index"], left)
                if left and (row is None or row.split("|")[0] not in {"PENDING", "RUNNING"}):
                    self.transport.exit_files[job["directory"]] = left
            if row is not None:
                shown.append(f"{job_id}|{row}|\n")
        return "".join(shown) or UNKNOWN_ID

    def scancel(self, command: str) -> CompletedCommand | str:
        if self.kills:
            return self.kills.pop(0)
        for job_id in re.findall(r"\b\d+\b", command):
            self.jobs[job_id]["killed"] = True
        return ""


def tasks(count: int = 1, **document: Any) -> list[Task]:
    return [task_from({"command": "true", "name": f"t{number}", **document}) for number in range(1, count + 1)]


@dataclass
class Story:
    """What happened, from the first submit to the end."""

    jobs: list[Job]
    events: list[Event]
    run: str

    def said(self, what: str) -> list[str]:
        return [event.text for event in self.events if event.kind == what]


def play(
    scheduler: Slurm,
    store: SqliteStore,
    tasks: Sequence[Task],
    backend: Backend | None = None,
    during: Callable[[Executor, str], Awaitable[None]] | None = None,
) -> Story:
    """Submit *tasks* and wait for their end; *during* runs right after the submit."""
    events: list[Event] = []

    async def story() -> Story:
        executor = Executor(
            backend or slurm(),
            transport=scheduler.transport,
            store=store,
            clock=scheduler.clock,
            on_event=events.append,
        )
        async with executor, asyncio.timeout(20):
            run = await executor.submit(tasks)
            if during:
                await during(executor, run)
            return Story(await executor.wait(run), events, run)

    return asyncio.run(story())


async def until(executor: Executor, run: str, holds: Callable[[list[Job]], bool]) -> list[Job]:
    """Wait until something holds for the jobs of *run*."""
    async for jobs in executor.watch(run):
        if holds(jobs):
            return jobs
    raise AssertionError("it ended before that")
