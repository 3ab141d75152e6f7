"""Whose run it is, and going on with what another process left behind."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapter.core.job import Job
from adapter.core.render import placed
from adapter.core.state import Reason, State
from adapter.execution.executor import Executor
from adapter.execution.lease import is_alive, this_process
from adapter.store.base import RunRecord
from adapter.store.sqlite import SqliteStore

from .stage import START, Slurm, said, slurm, tasks

HOME = "/home/scripted"


def owner(pid: int) -> str:
    started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return f"{socket.gethostname()}:{pid}:{started}"


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """Another process, as alive as any."""
    process = subprocess.Popen(["sleep", "100"])
    yield process
    process.kill()
    process.wait()


def left_behind(store: SqliteStore, *jobs: Job) -> str:
    """A run as a process that died left it."""
    backend = slurm()
    store.add_run(
        RunRecord(
            id="r1", name="n", created_at=START, backend="slurm", document=backend.document, lineage=backend.lineage
        ),
        jobs,
    )
    return "r1"


def job(index: int = 1, **changes: object) -> Job:
    return placed(Job(run="r1", index=index, task=tasks()[0]), HOME).but(**changes)


def executor_of(scheduler: Slurm, store: SqliteStore) -> Executor:
    return Executor(slurm(), transport=scheduler.transport, store=store, clock=scheduler.clock)


def go_on(scheduler: Slurm, store: SqliteStore) -> list[Job]:
    async def story() -> list[Job]:
        async with executor_of(scheduler, store) as executor, asyncio.timeout(20):
            assert await executor.adopt("r1")
            return await executor.wait("r1")

    return asyncio.run(story())


def test_a_job_that_was_never_handed_over_is_handed_over_now(store: SqliteStore) -> None:
    left_behind(store, job())
    scheduler = Slurm()
    assert [each.state for each in go_on(scheduler, store)] == [State.SUCCEEDED]
    assert len(scheduler.submitted) == 1


def test_a_job_whose_intent_was_written_but_that_never_left_is_handed_over_once(store: SqliteStore) -> None:
    left_behind(store, job(submit_began=True))
    scheduler = Slurm()
    assert [each.state for each in go_on(scheduler, store)] == [State.SUCCEEDED]
    assert len(scheduler.submitted) == 1


def test_a_job_with_a_receipt_is_never_handed_over_again(store: SqliteStore) -> None:
    left_behind(store, job(submit_began=True))
    scheduler = Slurm()
    directory = job().directory
    assert directory
    scheduler.transport._receipts[directory, 1] = said(scheduler.make(directory, "r1", 1))
    (after,) = go_on(scheduler, store)
    assert (after.state, after.job_id) == (State.SUCCEEDED, "100")
    assert scheduler.submitted == []


def test_a_job_with_a_receipt_of_a_refusal_fails_with_its_words(store: SqliteStore) -> None:
    left_behind(store, job(submit_began=True))
    scheduler = Slurm()
    directory = job().directory
    assert directory
    scheduler.transport._receipts[directory, 1] = said("", "sbatch: error: invalid partition specified: x\n", 1)
    (after,) = go_on(scheduler, store)
    assert (after.state, after.reason) == (State.FAILED, Reason.SUBMIT_REFUSED)
    assert scheduler.submitted == []


@pytest.mark.parametrize("made", [True, False], ids=["the-scheduler-has-it", "the-scheduler-never-got-it"])
@pytest.mark.parametrize(("code", "waits_s"), [(76, 0), (75, 60)], ids=["interrupted", "begun-by-somebody"])
def test_a_submit_that_died_between_the_scheduler_s_yes_and_the_receipt_makes_exactly_one_job(
    store: SqliteStore, made: bool, code: int, waits_s: float
) -> None:
    left_behind(store, job(submit_began=True))
    scheduler = Slurm()
    directory = job().directory
    assert directory
    if made:
        scheduler.make(directory, "r1", 1)
    receipt = scheduler.transport._receipt
    scheduler.transport._receipt = lambda command: (  # type: ignore[method-assign]
        said(code=code) if command.jobs[0].submit_try == 1 else receipt(command)
    )
    (after,) = go_on(scheduler, store)
    assert after.state is State.SUCCEEDED
    assert len(scheduler.jobs) == 1
    assert len(scheduler.submitted) == (0 if made else 1)
    assert scheduler.clock.now() - START >= waits_s


def test_a_job_that_the_scheduler_has_is_only_asked_about(store: SqliteStore) -> None:
    scheduler = Slurm()
    scheduler.make(job().directory or "", "r1", 1)
    left_behind(store, job(submit_began=True, job_id="100", state=State.QUEUED))
    assert [each.state for each in go_on(scheduler, store)] == [State.SUCCEEDED]
    assert scheduler.submitted == []


def test_an_ended_job_whose_files_are_not_here_is_only_collected(store: SqliteStore) -> None:
    with_outputs = placed(Job(run="r1", index=1, task=tasks(1, outputs=["x"])[0]), HOME)
    left_behind(store, with_outputs.but(submit_began=True, job_id="100", state=State.SUCCEEDED))
    scheduler = Slurm()
    (after,) = go_on(scheduler, store)
    assert after.collected
    assert [download.pattern for download in scheduler.transport.downloads] == ["x"]
    assert scheduler.transport.commands("^sbatch --parsable|^squeue") == []


def test_an_executor_that_stops_leaves_its_run_to_the_next(store: SqliteStore) -> None:
    scheduler = Slurm(path=["RUNNING|0|None"])

    async def first() -> str:
        async with executor_of(scheduler, store) as executor, asyncio.timeout(20):
            run = await executor.submit(tasks(3))
            await executor.handed_over(run)
            return run

    run = asyncio.run(first())
    scheduler.path = ["COMPLETED|0|None"]

    async def second() -> list[Job]:
        async with executor_of(scheduler, store) as executor, asyncio.timeout(20):
            assert await executor.adopt(run)
            return await executor.wait(run)

    assert [each.state for each in asyncio.run(second())] == [State.SUCCEEDED] * 3
    assert len(scheduler.submitted) == 3


def test_a_run_that_another_live_process_drives_is_only_watched(
    store: SqliteStore, other: subprocess.Popen[bytes]
) -> None:
    left_behind(store, job(submit_began=True, job_id="100", state=State.QUEUED))
    assert store.claim("r1", owner(other.pid), START, 1e9, is_alive)
    scheduler = Slurm()
    seen: list[State] = []

    async def story() -> None:
        async with executor_of(scheduler, store) as executor, asyncio.timeout(20):
            assert not await executor.adopt("r1")
            async for jobs in executor.watch("r1"):
                seen.append(jobs[0].state)
                following = {State.QUEUED: State.RUNNING, State.RUNNING: State.SUCCEEDED}
                if jobs[0].state in following:  # the other process goes on
                    state = following[jobs[0].state]
                    store.save([jobs[0].but(state=state, collected=state.is_final)], 0.0)

    asyncio.run(story())
    assert seen == [State.QUEUED, State.RUNNING, State.SUCCEEDED]
    assert scheduler.transport.batches == []


def test_a_run_is_taken_over_once_the_process_that_drove_it_is_dead(
    store: SqliteStore, other: subprocess.Popen[bytes]
) -> None:
    scheduler = Slurm()
    scheduler.make(job().directory or "", "r1", 1)
    left_behind(store, job(submit_began=True, job_id="100", state=State.QUEUED))
    assert store.claim("r1", owner(other.pid), START, 1e9, is_alive)

    async def story() -> list[Job]:
        async with executor_of(scheduler, store) as executor, asyncio.timeout(20):
            assert not await executor.adopt("r1")
            for _ in range(50):
                await asyncio.sleep(0)
            assert scheduler.transport.batches == []
            other.kill()
            other.wait()
            return await executor.wait("r1")

    assert [each.state for each in asyncio.run(story())] == [State.SUCCEEDED]


def test_a_run_driven_on_another_machine_is_taken_over_when_its_time_is_over(store: SqliteStore) -> None:
    scheduler = Slurm()
    scheduler.make(job().directory or "", "r1", 1)
    left_behind(store, job(submit_began=True, job_id="100", state=State.QUEUED))
    assert store.claim("r1", "another-host:1:1", START, 30, is_alive)

    async def story() -> list[Job]:
        async with executor_of(scheduler, store) as executor, asyncio.timeout(20):
            assert not await executor.adopt("r1")
            return await executor.wait("r1")

    assert [each.state for each in asyncio.run(story())] == [State.SUCCEEDED]
    asked = scheduler.clock.now() - START
    assert asked >= 30


def test_a_process_whose_run_was_taken_away_stops(store: SqliteStore, other: subprocess.Popen[bytes]) -> None:
    scheduler = Slurm(path=["RUNNING|0|None"])

    async def story() -> None:
        async with executor_of(scheduler, store) as executor, asyncio.timeout(20):
            run = await executor.submit(tasks())
            await executor.handed_over(run)
            store._db.execute("UPDATE runs SET owner = ?, owned_until = 1e12", (owner(other.pid),))
            await executor.wait(run)

    with pytest.raises(Exception, match="another process took over run"):
        asyncio.run(story())


def test_a_process_of_the_same_number_that_started_later_is_not_the_owner(other: subprocess.Popen[bytes]) -> None:
    assert this_process() == owner(os.getpid())
    assert is_alive(owner(other.pid))
    assert not is_alive(f"{socket.gethostname()}:{other.pid}:1")
    assert is_alive("another-host:1:1")


def with_two_jobs_of_another(
    store: SqliteStore, other: subprocess.Popen[bytes], scheduler: Slurm, *, alive: bool
) -> None:
    """Run five tasks under a limit of three jobs, beside two jobs of another process."""
    left_behind(store, *(job(n, state=State.RUNNING, job_id=str(900 + n), submit_began=True) for n in (1, 2)))
    store.claim("r1", owner(other.pid), START, 300, is_alive)
    if not alive:
        other.kill()
        other.wait()

    async def go() -> None:
        backend = slurm(limits={"max_tasks": 3})
        async with Executor(backend, transport=scheduler.transport, store=store, clock=scheduler.clock) as executor:
            async with asyncio.timeout(20):
                await executor.wait(await executor.submit(tasks(5)))

    asyncio.run(go())


def test_what_another_live_process_has_on_the_backend_counts_for_max_tasks(
    store: SqliteStore, other: subprocess.Popen[bytes]
) -> None:
    scheduler = Slurm()
    with_two_jobs_of_another(store, other, scheduler, alive=True)
    assert scheduler.most_at_once == 1
    assert [each.state for each in store.jobs("r1")] == [State.RUNNING] * 2


def test_jobs_of_a_dead_process_count_until_they_end(store: SqliteStore, other: subprocess.Popen[bytes]) -> None:
    scheduler = Slurm(jobs={
        str(900 + n): {"index": n + 5, "token": f"adapter-r1-{n}-1", "polls": 0, "killed": False,
                       "directory": job(n).directory} for n in (1, 2)
    }, paths={6: ["RUNNING|0|None"], 7: ["RUNNING|0|None"]})  # fmt: skip
    with_two_jobs_of_another(store, other, scheduler, alive=False)
    assert scheduler.most_at_once == 3  # two of the dead process, and one of ours
    assert [each.state for each in store.jobs("r1")] == [State.RUNNING] * 2


def test_the_room_of_jobs_that_nobody_drives_comes_back_once_they_have_ended(
    store: SqliteStore, other: subprocess.Popen[bytes]
) -> None:
    scheduler = Slurm(path=["PENDING|0|None", *["RUNNING|0|None"] * 40, "COMPLETED|0|None"])
    with_two_jobs_of_another(store, other, scheduler, alive=False)  # the scheduler knows 901 and 902 no more
    assert scheduler.most_at_once == 3
    assert [each.state for each in store.jobs("r1")] == [State.LOST] * 2
    assert not any(each.collected for each in store.jobs("r1"))  # that is for whoever goes on with the run


def test_an_uncertain_submit_of_a_dead_process_gives_its_room_back_once_it_is_known_not_to_exist(
    store: SqliteStore, other: subprocess.Popen[bytes]
) -> None:
    left_behind(store, job(1, submit_began=True))
    store.claim("r1", owner(other.pid), START, 300, is_alive)
    other.kill()
    other.wait()
    scheduler = Slurm()

    async def go() -> list[Job]:
        backend = slurm(limits={"max_tasks": 1})
        async with Executor(backend, transport=scheduler.transport, store=store, clock=scheduler.clock) as executor:
            async with asyncio.timeout(20):
                return await executor.wait(await executor.submit(tasks(1)))

    assert [each.state for each in asyncio.run(go())] == [State.SUCCEEDED]
    assert [(each.state, each.submit_began) for each in store.jobs("r1")] == [(State.WAITING, False)]
