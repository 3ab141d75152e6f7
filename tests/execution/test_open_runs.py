"""Open runs: tasks are added while earlier ones run; events are read by number, from any process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapter.core.event import Event, EventKind
from adapter.core.job import Job
from adapter.core.retry import next_attempt
from adapter.core.state import State
from adapter.core.task import After, Output, Step, Task
from adapter.errors import StoreError, TaskError
from adapter.execution.executor import Executor
from adapter.store.sqlite import SqliteStore

from .stage import Slurm, slurm, until


def executor_of(scheduler: Slurm, store: SqliteStore, **options: Any) -> Executor:
    return Executor(slurm(), transport=scheduler.transport, store=store, clock=scheduler.clock, **options)


def task(name: str, **changes: Any) -> Task:
    return Task(name=name, steps=(Step(argv=("true",)),), **changes)


def test_two_coroutines_add_tasks_while_earlier_ones_run(store: SqliteStore) -> None:
    scheduler = Slurm()

    async def story() -> list[Job]:
        async with executor_of(scheduler, store) as executor, asyncio.timeout(60):
            run = await executor.open_run("growing")
            (first,) = await run.add([task("first")])
            await until(executor, run.id, lambda jobs: jobs[0].state is State.RUNNING)

            async def more(who: str) -> None:
                for number in range(5):
                    await run.add([task(f"{who}{number}", after=(After(task="first"),))])
                    await asyncio.sleep(0)

            await asyncio.gather(more("a"), more("b"))
            assert (await first.wait()).state is State.SUCCEEDED
            await run.close()
            return await run.wait()

    jobs = asyncio.run(story())
    assert [job.index for job in jobs] == list(range(1, 12))
    assert {job.task.name for job in jobs} == {"first", *(f"{who}{n}" for who in "ab" for n in range(5))}
    assert {job.state for job in jobs} == {State.SUCCEEDED}
    assert len(scheduler.jobs) == 11


def test_a_run_ends_only_once_it_is_closed(store: SqliteStore) -> None:
    async def story() -> None:
        async with executor_of(Slurm(), store) as executor, asyncio.timeout(60):
            run = await executor.open_run("open")
            (one,) = await run.add([task("one")])
            await one.wait()
            waiter = asyncio.create_task(run.wait())
            for _ in range(20):
                await asyncio.sleep(0)
            assert not waiter.done()
            await run.close()
            assert [job.state for job in await waiter] == [State.SUCCEEDED]
            with pytest.raises(StoreError, match=f"run {run.id} is closed; no task can be added to it"):
                await run.add([task("late")])

    asyncio.run(story())


def test_what_is_wrong_with_an_added_task_is_said_and_nothing_is_added(store: SqliteStore, tmp_path: Path) -> None:
    async def story() -> None:
        async with executor_of(Slurm(), store) as executor, asyncio.timeout(60):
            run = await executor.open_run("open")
            output = Output(path="x.txt", to=str(tmp_path / "out"))
            await run.add([task("one", outputs=(output,))])
            with pytest.raises(TaskError, match="both write"):
                await run.add([task("fine"), task("two", outputs=(output,))])
            with pytest.raises(TaskError, match="after: unknown task 'nosuch'"):
                await run.add([task("three", after=(After(task="nosuch"),))])
            assert [job.task.name for job in store.jobs(run.id)] == ["one"]

    asyncio.run(story())


def test_tasks_that_another_process_added_are_run_by_the_one_that_drives(store: SqliteStore) -> None:
    other = SqliteStore.open(store.path)

    async def story() -> list[Job]:
        scheduler = Slurm()
        async with executor_of(scheduler, store) as executor, asyncio.timeout(60):
            run = await executor.open_run("shared")
            await run.add([task("mine")])
            helper = executor_of(Slurm(), other)  # not entered: it drives nothing
            await helper.add(run.id, [task("theirs", after=(After(task="mine"),))])
            await helper.close(run.id)
            jobs = await run.wait()
            assert len(scheduler.jobs) == 2
            return jobs

    assert [(job.task.name, job.state) for job in asyncio.run(story())] == [
        ("mine", State.SUCCEEDED), ("theirs", State.SUCCEEDED),
    ]  # fmt: skip
    other.close()


def test_two_processes_that_add_at_once_do_not_take_one_number(store: SqliteStore) -> None:
    other = SqliteStore.open(store.path)

    async def story() -> str:
        first, second = executor_of(Slurm(), store), executor_of(Slurm(), other)
        run = await first.open_run("busy")
        await asyncio.gather(
            *(who.add(run.id, [task(f"{name}{n}")]) for n in range(10) for who, name in ((first, "a"), (second, "b")))
        )
        return run.id

    jobs = store.jobs(asyncio.run(story()))
    assert [job.index for job in jobs] == list(range(1, 21))
    assert len({job.task.name for job in jobs}) == 20
    other.close()


def test_killing_a_whole_run_closes_it(store: SqliteStore) -> None:
    async def story() -> list[Job]:
        async with executor_of(Slurm(path=["RUNNING|0|None"]), store) as executor, asyncio.timeout(60):
            run = await executor.open_run("open")
            await run.add([task("one")])
            await run.kill()
            return await run.wait()

    assert [job.state for job in asyncio.run(story())] == [State.KILLED]


READER = """
import sys, time
from adapter.store.sqlite import SqliteStore
store, run, after = SqliteStore.open(sys.argv[1]), sys.argv[2], 0
while not (store.summary(run).is_done and not store.is_open(run) and not store.events(run, after=after)):
    for event in store.events(run, after=after, most=3):
        after = event.number
        print(event.number, event.kind, event.index, flush=True)
    time.sleep(0.01)
"""


def test_a_second_process_reads_each_event_once(tmp_path: Path) -> None:
    from adapter.config.load import load_backend
    from adapter.core.backend import backend_from, merge
    from adapter.transports.local import LocalTransport

    store = SqliteStore.open(tmp_path / "journal.sqlite")
    loaded = load_backend("local").backend
    document = merge(loaded.document, {"workspace": str(tmp_path / "workspace")})
    backend = backend_from(document, name="local", lineage=loaded.lineage)

    async def story() -> tuple[str, str, list[Event]]:
        async with Executor(backend, transport=LocalTransport(), store=store) as executor, asyncio.timeout(120):
            run = await executor.open_run("watched")
            reader = await asyncio.create_subprocess_exec(
                sys.executable, "-c", READER, str(store.path), run.id, stdout=subprocess.PIPE
            )
            for number in range(6):
                await run.add([Task(name=f"t{number}", steps=(Step(shell=f"exit {number % 2}"),))])
                await asyncio.sleep(0.05)
            await run.close()
            seen = [event async for event in run.events()]
            return run.id, (await reader.communicate())[0].decode(), seen

    run, printed, seen = asyncio.run(story())
    written = [f"{event.number} {event.kind} {event.index}" for event in store.events(run)]
    assert printed.splitlines() == written
    assert [event.number for event in seen] == [event.number for event in store.events(run)]
    for index in range(1, 7):
        states = [event.kind for event in seen if event.index == index and event.kind.is_state]
        assert states[0] is EventKind.WAITING
        assert states[-1] is (EventKind.SUCCEEDED if index % 2 else EventKind.FAILED)
    store.close()


def test_events_go_on_behind_a_number(store: SqliteStore) -> None:
    async def story() -> None:
        async with executor_of(Slurm(), store) as executor, asyncio.timeout(60):
            run = await executor.submit([task("one")])
            first = [event async for event in executor.events(run)]
            assert [event.kind for event in first] == ["waiting", "queued", "running", "succeeded"]
            rest = [event async for event in executor.events(run, after=first[1].number or 0)]
            assert rest == first[2:]

    asyncio.run(story())


def test_what_was_read_before_replaces_nothing_that_the_loop_has_done_since(store: SqliteStore) -> None:
    async def story() -> list[Job]:
        async with executor_of(Slurm(), store) as executor, asyncio.timeout(60):
            run = await executor.open_run("open")
            (first,) = await run.add([task("one")])
            waiting = store.jobs(run.id)
            await first.wait()
            executor._take_new(waiting)  # as a reader would that was slow to come back from its thread
            assert await executor.adopt(run.id)
            await run.close()
            return await run.wait()

    assert [(job.state, job.attempt) for job in asyncio.run(story())] == [(State.SUCCEEDED, 1)]


def test_a_kill_is_also_for_a_task_that_was_added_before_the_run_was_closed(store: SqliteStore) -> None:
    other = SqliteStore.open(store.path)

    async def story() -> list[Job]:
        async with executor_of(Slurm(path=["RUNNING|0|None"]), store) as executor, asyncio.timeout(60):
            run = await executor.open_run("open")
            await run.add([task("mine")])
            await until(executor, run.id, lambda jobs: jobs[0].state is State.RUNNING)
            store.request_kill(run.id, None, 0.0)  # answered before the loop hears of the other task
            await until(executor, run.id, lambda jobs: jobs[0].kill_requested_at is not None)
            await executor_of(Slurm(), other).add(run.id, [task("theirs")])
            await run.close()
            return await run.wait()

    assert [job.state for job in asyncio.run(story())] == [State.KILLED, State.KILLED]
    other.close()


# -- what follows an attempt


def again_if_failed(job: Job) -> Job | None:
    return next_attempt(job) if job.state is State.FAILED and job.attempt < 3 else None


def test_another_attempt_is_decided_in_the_transaction_of_the_verdict(store: SqliteStore) -> None:
    scheduler = Slurm(paths={1: ["RUNNING|0|None", "FAILED|256|NonZeroExitCode"]}, leaves={1: "exit_code 1\n"})
    written: list[set[tuple[int, str]]] = []
    save = store.save

    def watched(jobs: Any, at: float) -> list[Event]:
        given = list(jobs)
        written.append({(job.attempt, str(job.state)) for job in given})
        return save(given, at)

    store.save = watched  # type: ignore[method-assign]

    async def story() -> list[Job]:
        async with executor_of(scheduler, store, decide=again_if_failed) as executor, asyncio.timeout(60):
            return await executor.wait(await executor.submit([task("unsure"), task("sure")]))

    jobs = asyncio.run(story())
    assert [(job.attempt, job.state) for job in jobs] == [(3, State.FAILED), (1, State.SUCCEEDED)]
    run = jobs[0].run
    assert [(job.attempt, job.state) for job in store.attempts(run, 1)] == [
        (1, State.FAILED), (2, State.FAILED), (3, State.FAILED),
    ]  # fmt: skip
    assert len({job.job_id for job in store.attempts(run, 1)}) == 3
    for attempt in (1, 2):
        together = next(each for each in written if (attempt, "failed") in each)
        assert (attempt + 1, "waiting") in together


# -- the event loop


class Threads:
    """A store that remembers which threads its methods were called in."""

    def __init__(self, store: SqliteStore) -> None:
        self._store, self.threads = store, set[int]()
        self.path = store.path

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._store, name)

        def noted(*args: Any, **options: Any) -> Any:
            self.threads.add(threading.get_ident())
            return method(*args, **options)

        return noted


def test_the_store_is_never_asked_in_the_thread_of_the_event_loop(tmp_path: Path) -> None:
    from adapter.config.load import load_backend
    from adapter.core.backend import backend_from, merge
    from adapter.transports.local import LocalTransport

    store = Threads(SqliteStore.open(tmp_path / "journal.sqlite"))
    loaded = load_backend("local").backend
    changes = {"workspace": str(tmp_path / "workspace"), "limits": {"max_tasks": 2}}
    backend = backend_from(merge(loaded.document, changes), name="local", lineage=loaded.lineage)

    async def story() -> int:
        async with Executor(backend, transport=LocalTransport(), store=store) as executor, asyncio.timeout(120):  # type: ignore[arg-type]
            run = await executor.open_run("busy")
            await run.add([Task(name=f"t{n}", steps=(Step(shell="sleep 0.2; exit 0"),)) for n in range(4)])
            await run.add([Task(name="long", steps=(Step(shell="sleep 60"),))])
            await executor.kill(run.id, 5)
            await run.close()
            await run.wait()
            assert [event async for event in run.events()]
        return threading.get_ident()

    own = asyncio.run(story())
    assert store.threads
    assert own not in store.threads
