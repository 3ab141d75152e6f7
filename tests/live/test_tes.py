"""tes.yaml against a real TES server (Funnel, its tasks are containers of the tests' own Docker), with a password."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapter.config.load import load_backend
from adapter.config.secrets import read_secrets
from adapter.core.job import Job
from adapter.core.state import Reason, State
from adapter.core.task import Task, task_from
from adapter.errors import AuthenticationError
from adapter.execution.executor import Executor
from adapter.store.sqlite import SqliteStore
from adapter.testkit import conformance
from adapter.testkit.conformance import Verdict
from adapter.transports.local import LocalTransport
from tests.live.conftest import funnel
from tests.live.proxy import Proxy, counting

IMAGE, OTHER_IMAGE = "busybox:local", "tools:local"
NOT_HERE = {"walltime", "memory"}  # TES has no word for the first, and cannot tell the second
NOT_MEANT = {"shared workspace"}  # the work folder in the containers is the server's own
MUST_PASS = {
    "exit 0", "exit 3", "exit 200", "signal", "command not found", "kill at once", "kill running", "kill finished",
    "unknown id", "arguments", "environment", "name", "stdout and stderr", "work folder", "inputs and outputs",
    "standard input", "steps", "steps stop", "after success", "after failure", "many at once",
}  # fmt: skip
MANY = 200
GENTLE = {"max_tasks": 50, "poll_seconds": [1, 5]}  # the server has no queue: it starts all that it has at once


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server may use too: it runs as root and takes files from a few places only."""
    made = Path("/var/tmp") / f"adapter-live-tes-{os.getpid()}-{secrets.token_hex(3)}"
    made.mkdir(mode=0o700)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with counting(funnel().url) as running:
        yield running


@asynccontextmanager
async def on_funnel(folder: Path, url: str, **over: Any) -> AsyncIterator[Executor]:
    """An executor as a person would have it: a site file, and the password in a file of its own."""
    site = folder / "site.yaml"
    document = {
        "format": 1,
        "name": "site",
        "extends": "tes",
        "workspace": str(folder / "ws"),
        "values": {"url": url, "user": funnel().user, "image_shell": True},
        "secrets": {"password": {"env": None, "file": str(funnel().password_file)}},
        **over,
    }
    site.write_text(yaml.safe_dump(document), encoding="utf-8")
    backend = load_backend(str(site)).backend
    store = SqliteStore.open(folder / "journal.sqlite")
    executor = Executor(backend, transport=LocalTransport(), store=store, secrets=read_secrets(backend))
    try:
        async with executor, asyncio.timeout(300):
            yield executor
    finally:
        store.close()


def test_the_standard_table(folder: Path, proxy: Proxy) -> None:
    files = folder / "files"
    files.mkdir()

    async def story() -> list[conformance.Outcome]:
        async with on_funnel(folder, proxy.url) as executor:
            only = [name for name in conformance.names(executor, files) if name not in NOT_MEANT]
            return await conformance.run(executor, folder=files, image=IMAGE, many=100, only=only)

    outcomes = asyncio.run(story())
    assert [f"{one.name}: {one.why}" for one in outcomes if one.verdict is Verdict.UNLIKE] == []
    by_verdict = {verdict: {one.name for one in outcomes if one.verdict is verdict} for verdict in Verdict}
    assert by_verdict[Verdict.OK] >= MUST_PASS
    assert by_verdict[Verdict.NOT_HERE] >= NOT_HERE


def whole_task(folder: Path) -> Task:
    (folder / "here" / "tree" / "below").mkdir(parents=True)
    (folder / "here" / "tree" / "below" / "leaf").write_text("leaf\n")
    (folder / "here" / "file.bin").write_bytes(bytes(range(256)) * 100)
    back = str(folder / "back")
    return task_from(
        {
            "name": "all of it",
            "image": IMAGE,
            "volumes": ["/shared"],
            "env": {"GREETING": "good  day"},
            "steps": [
                {"shell": 'cat literal tree/below/leaf >a.txt; cat file.bin >copy.bin; echo "$GREETING" >/shared/g'},
                {
                    "shell": "cat /etc/which /shared/g >b.txt; mkdir -p made/deep; cp a.txt made/deep",
                    "image": OTHER_IMAGE,
                },
                {"argv": ["sort", "-r"], "stdin": "a.txt", "stdout": "sorted.txt"},
            ],
            "inputs": [
                {"content": "literal\n", "to": "literal"},
                {"path": str(folder / "here" / "file.bin"), "to": "file.bin"},
                {"path": str(folder / "here" / "tree"), "to": "tree", "folder": True},
                {"url": f"file://{folder}/here/tree/below/leaf", "to": "fetched"},
            ],
            "outputs": [
                {"path": "*.txt", "to": back},
                {"path": "copy.bin", "to": back},
                {"path": "made/", "to": back},
                {"path": "perhaps.log", "to": back, "optional": True},
                {"path": "fetched", "url": f"file://{folder}/there/fetched"},
            ],
        }
    )


def test_files_folders_volumes_and_two_images(folder: Path, proxy: Proxy) -> None:
    async def story() -> Job:
        async with on_funnel(folder, proxy.url) as executor:
            return (await executor.wait(await executor.submit([whole_task(folder)])))[0]

    job = asyncio.run(story())
    assert (job.state, job.collect_problem) == (State.SUCCEEDED, ""), job.collect_problem or job.message
    back = {str(path.relative_to(folder / "back")): path.read_bytes() for path in (folder / "back").rglob("*.*")}
    assert back == {
        "a.txt": b"literal\nleaf\n",
        "b.txt": b"tools\ngood  day\n",
        "sorted.txt": b"literal\nleaf\n",
        "copy.bin": bytes(range(256)) * 100,
        "made/deep/a.txt": b"literal\nleaf\n",
    }
    assert (folder / "there" / "fetched").read_text() == "leaf\n"


def test_how_tasks_end_that_do_not_succeed(folder: Path, proxy: Proxy) -> None:
    tasks = [
        {"name": "second step", "image": IMAGE, "steps": ["true", "exit 7", "true"]},
        {"name": "no input", "image": IMAGE, "command": "true", "inputs": [{"url": "file:///var/tmp/none", "to": "x"}]},
        {"name": "no image", "image": "no-such-image:local", "command": "true"},
        {"name": "cancelled by another", "image": IMAGE, "command": "sleep 600"},
    ]

    async def story() -> list[Job]:
        async with on_funnel(folder, proxy.url) as executor:
            run = await executor.submit([task_from(task) for task in tasks])
            async for jobs in executor.watch(run):
                if jobs[3].state is State.RUNNING:
                    break
            curl = ["curl", "-sS", "-f", "-K", funnel().curl_config, "-X", "POST"]
            subprocess.run([*curl, f"{funnel().url}/tasks/{jobs[3].job_id}:cancel"], check=True, capture_output=True)
            return await executor.wait(run)

    step, file, image, cancelled = asyncio.run(story())
    assert (step.state, step.reason, step.exit_code) == (State.FAILED, Reason.EXIT_CODE, 7)
    assert (file.state, file.reason, file.exit_code) == (State.FAILED, Reason.SYSTEM, None)
    assert "no such file or directory" in file.message
    assert (image.state, image.exit_code) == (State.FAILED, 125)  # what `docker run` ends with
    assert (cancelled.state, cancelled.reason) == (State.KILLED, Reason.KILLED_BY_OTHER)


def test_many_tasks_are_polled_by_one_listing(folder: Path, proxy: Proxy) -> None:
    polls = 0

    async def story() -> list[Job]:
        nonlocal polls
        async with on_funnel(folder, proxy.url, limits=GENTLE) as executor:
            site, asked = executor.client, executor.client.poll

            async def counted(jobs: Any) -> Any:
                nonlocal polls
                polls += 1
                return await asked(jobs)

            site.poll = counted  # type: ignore[method-assign]
            tasks = [task_from({"name": f"t{n}", "image": IMAGE, "command": ["true"]}) for n in range(MANY)]
            return await executor.wait(await executor.submit(tasks))

    jobs = asyncio.run(story())
    assert {(job.state, job.exit_code) for job in jobs} == {(State.SUCCEEDED, 0)}
    assert len({job.job_id for job in jobs}) == MANY
    lists = proxy.those("GET", "/tasks")
    assert polls > 0
    assert len(lists) == polls
    assert {request.query["tag_value"][0] for request in lists} == {jobs[0].run}
    assert len(proxy.those("POST", "/tasks")) == MANY
    assert len(proxy.requests) == 2 * MANY + polls  # and one question about each that ended


def test_a_wrong_password_stops_everything(folder: Path, proxy: Proxy) -> None:
    (folder / "wrong").write_text("not this\n")
    wrong = {"password": {"env": None, "file": str(folder / "wrong")}}

    async def story() -> None:
        async with on_funnel(folder, proxy.url, secrets=wrong) as executor:
            await executor.wait(await executor.submit([task_from({"image": IMAGE, "command": "true"})]))

    with pytest.raises(AuthenticationError, match="HTTP status 401"):
        asyncio.run(story())
    assert len(proxy.those("POST", "/tasks")) == 1


def test_the_example(folder: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "07-tes" / "run.sh"
    environ = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(folder),
        "ADAPTER_STATE": str(folder / "state"), "XDG_CONFIG_HOME": str(folder / "config"),
    }  # fmt: skip
    words = [funnel().url, funnel().user, str(funnel().password_file), IMAGE, str(folder / "ws")]
    told = subprocess.run([example, *words], cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.endswith("fails failed on purpose\n")
