"""The standard table on a real Kubernetes (``make test-live-kubernetes`` builds and starts it)."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from adapter.config.load import load_backend
from adapter.core.backend import Backend, backend_from, merge
from adapter.core.state import Reason, State
from adapter.core.task import Resources, Step, Task
from adapter.execution.executor import Executor
from adapter.store.sqlite import SqliteStore
from adapter.testkit import conformance
from adapter.testkit.conformance import Outcome, Verdict
from adapter.transports.local import LocalTransport
from tests.live.conftest import answers, environment

if TYPE_CHECKING:
    from pathlib import Path

    from adapter.core.job import Job

# No registry, no network of pods: the image is on the node, and containers use the node's own network.
VALUES = {"image_pull_policy": "Never", "host_network": True, "grace_seconds": 2}
# What Kubernetes, or this template, does not have; the table says so.
NOT_HERE = {
    "bad queue", "held", "inputs and outputs", "shared workspace", "standard input", "memory used", "time used",
    "stdout and stderr", "clock",
}  # fmt: skip
UNLIKE = {"array"}  # 1.20 has no arrays that outlive a failure

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def kubeconfig() -> dict[str, str]:
    env = environment("kubernetes.sh")
    answers("kubernetes.sh", ["kubectl", "get", "nodes"], env)
    return {**os.environ, **env}


def backend(folder: Path) -> Backend:
    loaded = load_backend("kubernetes").backend
    mine = {"workspace": str(folder / "workspace"), "values": VALUES, "limits": {"poll_seconds": [0.5, 2]}}
    return backend_from(merge(loaded.document, mine), name="kubernetes", lineage=loaded.lineage)


def executor(folder: Path, env: dict[str, str]) -> Executor:
    store = SqliteStore.open(folder / "journal.sqlite")
    return Executor(backend(folder), transport=LocalTransport(environment=env), store=store)


@pytest.fixture(scope="module")
def table(kubeconfig: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Outcome]]:
    async def run() -> list[Outcome]:
        folder = tmp_path_factory.mktemp("kubernetes")
        files = tmp_path_factory.mktemp("files")
        async with executor(folder, kubeconfig) as live:
            return await conformance.run(live, folder=files, image="busybox:local", walltime_s=10, many=20)

    outcomes = asyncio.run(asyncio.wait_for(run(), 900))
    yield {outcome.name: outcome for outcome in outcomes}
    subprocess.run(
        ["kubectl", "delete", "jobs", "--all", "--wait=false"], env=kubeconfig, check=True, stdout=subprocess.DEVNULL
    )


def test_the_server_tells_by_itself_that_something_happened(kubeconfig: dict[str, str], tmp_path: Path) -> None:
    async def listen() -> tuple[str | None, set[str]]:
        told: set[str] = set()
        async with executor(tmp_path, kubeconfig) as live, asyncio.timeout(120):
            run = await live.submit([Task(steps=(Step(shell="sleep 5"),), image="busybox:local")])
            while not told:
                told |= (await live.client.watch()).job_ids
            return (await live.wait(run))[0].job_id, told

    job_id, told = asyncio.run(listen())
    assert job_id in told


def test_the_table_passes_but_for_what_kubernetes_does_not_have(table: dict[str, Outcome]) -> None:
    wrong = {name: outcome.why for name, outcome in table.items() if outcome.verdict is Verdict.UNLIKE}
    missing = {name for name, outcome in table.items() if outcome.verdict is Verdict.NOT_HERE}

    assert len(table) > 20
    assert wrong.keys() <= UNLIKE, wrong
    assert missing - UNLIKE == NOT_HERE


SECOND_MISSING = (Step(argv=("true",)), Step(argv=("true",), image="nosuch:img"))
CASES = {
    "no such image": Task(steps=(Step(argv=("true",)),), image="nosuch:img"),
    "image of a later step": Task(steps=SECOND_MISSING, image="busybox:local"),
    "too large": Task(steps=(Step(argv=("true",)),), image="busybox:local", resources=Resources(cpu=500)),
    "both streams": Task(steps=(Step(shell="echo out; echo err >&2"),), image="busybox:local"),
    "first of two fails": Task(steps=(Step(shell="echo one; exit 4"), Step(shell="echo two")), image="busybox:local"),
}


def test_what_the_table_does_not_try(kubeconfig: dict[str, str], tmp_path: Path) -> None:
    async def story() -> tuple[dict[str, Job], dict[str, State], dict[str, str]]:
        seen: dict[str, State] = {}
        async with executor(tmp_path, kubeconfig) as live:
            run = await live.submit(list(CASES.values()))
            at = list(CASES).index("too large")
            async for jobs in live.watch(run):
                others = [job for number, job in enumerate(jobs) if number != at]
                if all(job.state.is_final for job in others) and "too large" not in seen:
                    seen["too large"] = jobs[at].state
                    await live.kill(run, at + 1)
            ended = dict(zip(CASES, live.jobs_of(run), strict=True))
            names = ("both streams", "first of two fails")
            return ended, seen, {name: (await live.read_log(ended[name], "stdout"))[0] for name in names}

    jobs, seen, logs = asyncio.run(asyncio.wait_for(story(), 300))

    assert (jobs["no such image"].state, jobs["no such image"].reason) == (State.FAILED, Reason.IMAGE)
    assert "ErrImageNeverPull" in jobs["no such image"].message
    assert (jobs["image of a later step"].state, jobs["image of a later step"].reason) == (State.FAILED, Reason.IMAGE)
    assert seen["too large"] is State.QUEUED
    assert jobs["too large"].state is State.KILLED
    assert sorted(logs["both streams"].splitlines()) == ["err", "out"]
    assert (jobs["first of two fails"].exit_code, logs["first of two fails"]) == (4, "one\n")
    left = subprocess.run(
        ["kubectl", "get", "jobs", "--output=name"], env=kubeconfig, capture_output=True, text=True, check=True
    )
    assert f"job.batch/{jobs['no such image'].job_id}" not in left.stdout.split()
