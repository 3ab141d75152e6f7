"""docker-swarm.yaml against a real Swarm of one node."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from adapter.core.state import Reason, State
from adapter.core.task import Resources, Step, Task
from adapter.errors import UnsupportedResource
from tests.live.conftest import docker_host
from tests.live.containers import IMAGE, OTHER, Engine, sh, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapter.core.job import Job
    from adapter.execution.executor import Executor


@pytest.fixture
def swarm(tmp_path: Path) -> Engine:
    changes = {"limits": {"poll_seconds": [0.2, 1], "max_tasks": 8}}
    return Engine(tmp_path, "docker-swarm", {"DOCKER_HOST": docker_host()}, changes=changes)


def left_of(swarm: Engine, jobs: Sequence[Job], *, within_s: float = 15) -> list[str]:
    """Return services and containers of *jobs* that stay: the Swarm removes them in its own time."""
    end = time.monotonic() + within_s
    while True:
        runs = {job.run for job in jobs}
        services = [
            name
            for run in runs
            for name in swarm.say(
                "service", "ls", "--filter", f"label=adapter.run={run}", "--format", "{{.Name}}"
            ).split()
        ]
        names = {job.token for job in jobs}
        containers = [
            name for name in swarm.say("ps", "--all", "--format", "{{.Names}}").split() if name.split(".")[0] in names
        ]
        if not services + containers or time.monotonic() > end:
            return services + containers
        time.sleep(0.2)


def test_the_standard_table(swarm: Engine) -> None:
    swarm.table(many=100, not_here={"bad queue", "held", "array"})


def test_a_step_writes_as_who_asked_and_volumes_and_another_workdir_are_there(swarm: Engine, tmp_path: Path) -> None:
    elsewhere = tmp_path / 'else, "where"'
    elsewhere.mkdir()
    one = sh("id -u; pwd; echo x >/shared/x; cat /shared/x; touch mine", volumes=("/shared",), workdir=str(elsewhere))
    (job,) = swarm.run(one)
    assert (job.state, text_of(job)) == (State.SUCCEEDED, f"{os.getuid()}\n{elsewhere}\nx\n")
    assert (elsewhere / "mine").stat().st_uid == os.getuid()
    assert left_of(swarm, [job]) == []


def test_an_image_that_is_nowhere_is_the_reason(swarm: Engine) -> None:
    (job,) = swarm.run(sh("true", "nosuch:local"))
    try:
        assert (job.state, job.reason) == (State.FAILED, Reason.IMAGE)
        assert "No such image: nosuch:local" in job.message
    finally:
        swarm.say("service", "rm", str(job.job_id))


def test_a_task_whose_steps_have_different_images_is_refused(swarm: Engine) -> None:
    with pytest.raises(UnsupportedResource, match="runs all steps of a task in one image"):
        swarm.run(Task(steps=(Step(shell="true"), Step(shell="true", image=OTHER)), image=IMAGE))


@pytest.mark.parametrize(
    ("changes", "resources"),
    [
        pytest.param({"values": {"constraints": ["node.labels.nosuch==1"]}}, Resources(), id="constraint"),
        pytest.param({}, Resources(cpu=999), id="reservation"),
    ],
)
def test_what_no_node_can_take_stays_queued_and_can_be_killed(
    swarm: Engine, changes: dict[str, Any], resources: Resources
) -> None:
    seen: list[State] = []

    async def wait_and_kill(executor: Executor, run: str) -> None:
        for _ in range(20):
            await asyncio.sleep(0.2)
            seen.append(executor.jobs_of(run)[0].state)
        await executor.kill(run)

    (job,) = swarm.run(
        Task(steps=(Step(shell="true"),), image=IMAGE, resources=resources), act=wait_and_kill, **changes
    )
    assert seen[-1] is State.QUEUED
    assert State.RUNNING not in seen
    assert (job.state, job.reason) == (State.KILLED, Reason.KILLED_BY_USER)
    assert left_of(swarm, [job]) == []


def test_the_engine_tells_by_itself_that_something_happened(swarm: Engine) -> None:
    told: list[str] = []

    async def listen(executor: Executor, run: str) -> None:
        async with asyncio.timeout(60):
            while not told:
                told.extend((await executor.client.watch()).job_ids)
        await executor.kill(run)

    (job,) = swarm.run(sh("sleep 60"), act=listen)
    assert job.job_id in told


def test_limits_hold_inside(swarm: Engine) -> None:
    (job,) = swarm.run(sh("head -c 300m /dev/zero | tail | wc -c", ram_limit_bytes=32 << 20, cpu_limit=0.5))
    assert (job.state, job.reason) == (State.FAILED, Reason.OUT_OF_MEMORY)
    assert 0 < (job.usage.peak_ram_bytes or 0) <= 32 << 20


@pytest.mark.parametrize("shell", ["sleep 60", "trap '' TERM; sleep 60; sleep 60"], ids=["willing", "stubborn"])
def test_a_killed_service_takes_its_container_with_it(swarm: Engine, shell: str) -> None:
    async def kill(executor: Executor, run: str) -> None:
        await until_running(executor, run)
        await executor.kill(run)

    (job,) = swarm.run(sh(shell), act=kill)
    assert (job.state, job.reason) == (State.KILLED, Reason.KILLED_BY_USER)
    assert left_of(swarm, [job], within_s=30) == []


def test_a_service_that_somebody_else_removed_is_no_success(swarm: Engine) -> None:
    async def remove(executor: Executor, run: str) -> None:
        swarm.say("service", "rm", str(await until_running(executor, run)))

    (job,) = swarm.run(sh("trap 'exit 0' TERM; sleep 60 & wait"), act=remove)
    assert job.state is not State.SUCCEEDED


async def until_running(executor: Executor, run: str) -> str | None:
    for _ in range(300):
        job = executor.jobs_of(run)[0]
        if job.state is State.RUNNING:
            return job.job_id
        await asyncio.sleep(0.1)
    raise AssertionError("it never ran")
