"""How the library comes to a target: by whom, how often, and in how many round trips."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from adapter.config.library import library
from adapter.config.load import load_backend
from adapter.core.backend import Backend, backend_from, merge
from adapter.core.job import Job
from adapter.core.library import digest
from adapter.core.receipt import SubmitStatus, read_receipt
from adapter.core.render import placed
from adapter.core.task import task_from
from adapter.errors import CompletedCommand
from adapter.execution.scheduler_client import SchedulerClient
from adapter.transports.local import LocalTransport
from tests.core.wrapped import until

WRAPPER = digest(library()["wrapper"])


class Counted(LocalTransport):
    """Keeps what each round trip sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    async def run(self, command: str, *, stdin: str = "", timeout_s: float) -> CompletedCommand:
        self.sent.append(stdin)
        return await super().run(command, stdin=stdin, timeout_s=timeout_s)


def local(workspace: Path) -> Backend:
    document = merge(load_backend("local").backend.document, {"workspace": str(workspace)})
    return backend_from(document, name="local")


def play(workspace: Path, story: Callable[[SchedulerClient, Counted], Awaitable[None]]) -> None:
    async def run() -> None:
        async with Counted() as transport:
            client = SchedulerClient(local(workspace), transport)
            await client.prepare()
            await story(client, transport)

    asyncio.run(run())


def job(client: SchedulerClient, index: int) -> Job:
    task = task_from({"command": "exit 3", "name": f"t{index}"})
    return placed(Job(run="r1", index=index, task=task), client.workspace)


async def submitted(client: SchedulerClient, *jobs: Job) -> set[SubmitStatus]:
    answers = await client.submit([[each] for each in jobs])
    return {read_receipt(each.completed)[0].status for each in answers if each.completed}


def test_the_first_submit_brings_it_and_no_other_does(tmp_path: Path) -> None:
    async def first(client: SchedulerClient, transport: Counted) -> None:
        assert await submitted(client, job(client, 1), job(client, 2)) == {SubmitStatus.ANSWERED}
        assert await submitted(client, job(client, 3)) == {SubmitStatus.ANSWERED}
        assert [library()["wrapper"].rstrip() in text for text in transport.sent] == [False, True, False]
        assert len(transport.sent[-1]) < len(library()["wrapper"]), "the wrapper does not travel with each job"
        ends = [Path(job(client, index).directory or "") / "exit" for index in (1, 2, 3)]
        assert until(lambda: all(end.exists() for end in ends))

    async def later(client: SchedulerClient, transport: Counted) -> None:
        assert await submitted(client, job(client, 4)) == {SubmitStatus.ANSWERED}
        assert [library()["wrapper"].rstrip() in text for text in transport.sent] == [False, False]

    play(tmp_path, first)
    play(tmp_path, later)
    assert [path.name for path in (tmp_path / ".files" / "store").iterdir()] == [WRAPPER]


def test_one_that_was_cleaned_meanwhile_is_brought_again(tmp_path: Path) -> None:
    async def story(client: SchedulerClient, transport: Counted) -> None:
        assert await submitted(client, job(client, 1)) == {SubmitStatus.ANSWERED}
        shutil.rmtree(tmp_path / ".files")
        assert await submitted(client, job(client, 2)) == {SubmitStatus.UNWRITABLE}
        assert await submitted(client, job(client, 2)) == {SubmitStatus.ANSWERED}
        end = Path(job(client, 2).directory or "") / "exit"
        assert until(end.exists)

    play(tmp_path, story)


def test_a_workspace_that_nobody_may_write_into_is_asked_all_the_same(tmp_path: Path) -> None:
    async def story(client: SchedulerClient, transport: Counted) -> None:
        shutil.rmtree(tmp_path)
        tmp_path.write_text("a file in its place")
        assert await submitted(client, job(client, 1)) == {SubmitStatus.UNWRITABLE}
        poll = await client.poll([job(client, 1).but(job_id="1.1")])
        assert poll.problem is None

    play(tmp_path, story)
