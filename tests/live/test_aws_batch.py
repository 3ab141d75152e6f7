"""AWS Batch through the real aws command, against moto, whose jobs are real containers."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from adapter.config.load import load_backend
from adapter.core.backend import Backend, backend_from, merge
from adapter.core.state import Reason, State
from adapter.core.task import After, Resources, Step, Task
from adapter.execution.executor import Executor
from adapter.store.sqlite import SqliteStore
from adapter.transports.local import LocalTransport
from tests.live.conftest import moto

if TYPE_CHECKING:
    from pathlib import Path

    from adapter.core.job import Job

HOSTILE = "a  b'c\"d$(touch oops)`x`;|&\\é"
# moto tells exit codes in list-jobs only; AWS tells them in describe-jobs, so the shipped file does not ask for lists.
EXIT_CODES = {
    "command": "for s in SUCCEEDED FAILED; do cloud batch list-jobs --job-queue q1 --job-status $s || exit; done",
    "json": {"rows": "[].jobSummaryList[]", "job_id": "jobId", "state": "status", "exit_code": "container.exitCode"},
}


def shell(name: str, line: str, **rest: object) -> Task:
    return Task(name=name, steps=(Step(argv=("sh", "-c", line)),), image="busybox:local", **rest)  # type: ignore[arg-type]


TASKS = {
    "succeeds": Task(
        name="succeeds",
        image="busybox:local",
        steps=(Step(argv=("sh", "-c", 'printf "%s\\n" "$1" "$TEXT"', "sh", HOSTILE)),),
        env={"TEXT": HOSTILE},
    ),
    "fails": shell("fails", "exit 3"),
    "killed": shell("killed", "sleep 300"),
    "two steps": Task(
        name="two steps",
        image="busybox:local",
        steps=(Step(shell="echo one >/tmp/file"), Step(shell="cat /tmp/file; exit 4")),
    ),
    "after success": shell("after success", "true", after=(After(task="succeeds"),)),
    "after failure": shell("after failure", "true", after=(After(task="fails"),)),
    "no such queue": shell("no such queue", "true", resources=Resources(queue="nosuch")),
}

REGION = "us-east-1"


def backend(folder: Path, **changes: object) -> Backend:
    loaded = load_backend("aws-batch")
    mine = {
        "workspace": str(folder / "workspace"), "defaults": {"queue": "q1", "ram": "64 MiB"}, "result": EXIT_CODES,
        "limits": {"poll_seconds": [0.5, 1]}, "values": {"region": REGION},
    }  # fmt: skip
    document = merge(merge(loaded.backend.document, mine), changes)
    return backend_from(document, name="aws-batch", lineage=loaded.backend.lineage)


def executor(folder: Path, **changes: object) -> Executor:
    transport = LocalTransport(environment={**os.environ, **moto()})
    return Executor(backend(folder, **changes), transport=transport, store=SqliteStore.open(folder / "journal.sqlite"))


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Job, str]]:
    """The jobs of the table at their end, each with its log."""

    async def story() -> dict[str, tuple[Job, str]]:
        async with executor(tmp_path_factory.mktemp("aws-batch")) as live:
            run = await live.submit(list(TASKS.values()))
            at = list(TASKS).index("killed")
            killed = False
            async for jobs in live.watch(run):
                if jobs[at].state is State.RUNNING and not killed:
                    killed = True
                    await live.kill(run, at + 1)
            jobs = live.jobs_of(run)
            logs = {}
            for name, job in zip(TASKS, jobs, strict=True):
                has_log = name in ("succeeds", "two steps")
                logs[name] = (job, (await live.read_log(job, "stdout"))[0] if has_log else "")
            return logs

    return asyncio.run(asyncio.wait_for(story(), 120))


@pytest.mark.parametrize(
    ("name", "state", "reason", "exit_code"),
    [
        pytest.param("succeeds", State.SUCCEEDED, None, 0, id="exit 0"),
        pytest.param("fails", State.FAILED, Reason.EXIT_CODE, 3, id="exit 3"),
        pytest.param("killed", State.KILLED, Reason.KILLED_BY_USER, 137, id="killed while running"),
        pytest.param("two steps", State.FAILED, Reason.EXIT_CODE, 4, id="two steps in one container"),
        pytest.param("after success", State.SUCCEEDED, None, 0, id="after a success"),
        # AWS says "Dependent Job failed" besides, which is the reason "dependency"; moto says nothing.
        pytest.param("after failure", State.FAILED, Reason.DEPENDENCY, None, id="after a failure"),
        pytest.param("no such queue", State.FAILED, Reason.SUBMIT_REFUSED, None, id="a refused submit"),
    ],
)
def test_a_job_ends_as_it_must(
    ended: dict[str, tuple[Job, str]], name: str, state: State, reason: Reason | None, exit_code: int | None
) -> None:
    job, _ = ended[name]

    assert (job.state, job.reason, job.exit_code) == (state, reason, exit_code), job.message


def test_the_scheduler_itself_waits_for_another_job(ended: dict[str, tuple[Job, str]]) -> None:
    assert ended["succeeds"][0].job_id == f"{ended['after success'][0].after_succeeded[0]};{REGION}"


def test_words_and_variables_arrive_as_they_were(ended: dict[str, tuple[Job, str]]) -> None:
    assert ended["succeeds"][1].splitlines()[:2] == [HOSTILE, HOSTILE]


def test_the_second_step_sees_what_the_first_left(ended: dict[str, tuple[Job, str]]) -> None:
    assert ended["two steps"][1] == "one\n"


def test_a_refusal_is_told_in_the_schedulers_words(ended: dict[str, tuple[Job, str]]) -> None:
    assert "Job queue nosuch does not exist" in ended["no such queue"][0].message


def test_like_tasks_are_one_array_and_are_found_by_its_mark(tmp_path: Path) -> None:
    async def story() -> tuple[list[Job], tuple[dict[str, str], bool]]:
        async with executor(tmp_path, limits={"arrays": True}) as live:
            run = await live.submit([shell(f"element {number}", "exit 5") for number in range(3)])
            jobs = await live.wait(run)
            return jobs, await live.client.find(jobs)

    jobs, (found, sure) = asyncio.run(asyncio.wait_for(story(), 60))

    array = (jobs[0].job_id or "").partition(":")[0]
    assert [job.job_id for job in jobs] == [f"{array}:{number};{REGION}" for number in range(3)]
    assert [(job.state, job.exit_code) for job in jobs] == [(State.FAILED, 5)] * 3
    assert (found, sure) == ({job.key: job.job_id for job in jobs}, True)
