"""A Docker host that is somewhere else is a `connection`: the job's wrapper runs there, as that machine's user."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from adapter.config.load import load_backend
from adapter.core.backend import backend_from, merge
from adapter.core.state import Reason, State
from adapter.core.task import Input, Output, Step, Task
from adapter.execution.executor import Executor
from adapter.store.sqlite import SqliteStore
from adapter.transports.ssh import SshTransport
from tests.live.conftest import docker_host, ssh_config
from tests.live.containers import IMAGE


@pytest.fixture
def executor(tmp_path: Path) -> Executor:
    """On the far host DOCKER_HOST is not set: the site's file names a program that sets it."""
    tmp_path.chmod(0o755)
    for above in tmp_path.parents:
        if above != Path("/tmp") and above.is_relative_to("/tmp"):
            above.chmod(0o755)
    program = tmp_path / "docker"
    program.write_text(f'#!/bin/sh\nexport DOCKER_HOST={docker_host()}\nexec "$(command -pv docker)" "$@"\n')
    program.chmod(0o755)
    connection = {"kind": "ssh", "host": "target", "config": ssh_config()}
    shipped = load_backend("docker").backend
    changes = {
        "connection": connection, "workspace": f"~/.adapter-live-tests/{tmp_path.name}",
        "programs": {"docker": str(program)},
        "values": {"network": "none"}, "limits": {"poll_seconds": [0.2, 1]},
    }  # fmt: skip
    backend = backend_from(merge(shipped.document, changes), name="docker", lineage=shipped.lineage)
    return Executor(backend, transport=SshTransport(connection), store=SqliteStore.open(tmp_path / "j.sqlite"))


def test_steps_run_in_containers_of_the_far_host_and_their_files_come_back(executor: Executor, tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("three\n")
    task = Task(
        steps=(Step(shell="cat in.txt; id -u; echo made >out.txt; exit 3"),), image=IMAGE,
        inputs=(Input(path=str(source), to="in.txt"),), outputs=(Output(path="out.txt", to=str(tmp_path / "back")),),
    )  # fmt: skip

    async def story() -> None:
        async with executor:
            run = await executor.submit([task, Task(steps=(Step(shell="sleep 600"),), image=IMAGE)])
            while executor.jobs_of(run)[1].state is not State.RUNNING:
                await asyncio.sleep(0.1)
            await executor.kill(run, 2)
            done, killed = await asyncio.wait_for(executor.wait(run), 120)
            assert (done.state, done.reason, done.exit_code) == (State.FAILED, Reason.EXIT_CODE, 3)
            text, _ = await executor.read_log(done)
            assert text.startswith("three\n")
            assert text != "three\n0\n", "it runs as the far user, who is not root"
            assert (tmp_path / "back" / "out.txt").read_text() == "made\n"
            assert killed.state is State.KILLED

    asyncio.run(story())
