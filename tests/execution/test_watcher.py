"""Watching is a hint: it makes the next question come sooner, and decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from adapter.core.batch import BatchAnswer, BatchResult, Command
from adapter.core.state import State
from adapter.errors import ConnectError
from adapter.execution.scheduler_client import SchedulerClient
from adapter.store.sqlite import SqliteStore
from adapter.transports.local import LocalTransport
from adapter.transports.scripted import ScriptedTransport

from .stage import START, Slurm, Story, play, said, slurm, tasks

ENDS_AT = START + 500
WATCHED = {"watch": {"command": "squeue-events", "row": r"^(?P<job_id>\d+)$"}, "limits": {"poll_seconds": [1, 300]}}


class Watched(ScriptedTransport):
    """Answers a watch when it is time for it; ``watches`` counts them."""

    def answers(self, scheduler: Slurm, heard: Callable[[int], str | Exception]) -> None:
        self.scheduler, self.heard, self.watches = scheduler, heard, 0

    async def run_batch(self, commands: Sequence[Command], **options: Any) -> BatchResult:
        if commands[0].action != "watch":
            return await super().run_batch(commands, **options)
        self.watches += 1
        answer = self.heard(self.watches)
        if isinstance(answer, Exception):
            raise answer
        while self.scheduler.clock.now() < ENDS_AT + 1:
            await asyncio.sleep(0)
        if self.watches > 1:
            await asyncio.Event().wait()  # nothing more happens
        return BatchResult([BatchAnswer(said(answer))])


def story(store: SqliteStore, heard: Callable[[int], str | Exception] | None) -> tuple[Story, Watched]:
    transport = Watched()
    scheduler = Slurm(transport=transport)
    transport.answers(scheduler, heard or (lambda number: ""))

    def squeue(command: str) -> str:
        state = "RUNNING" if scheduler.clock.now() < ENDS_AT else "COMPLETED"
        if state == "COMPLETED":
            transport.exit_files.update((job["directory"], "exit_code 0\n") for job in scheduler.jobs.values())
        return "".join(f"{job_id}|{state}|0|None|\n" for job_id in scheduler.jobs)

    transport.handler.insert(0, ("^squeue --noheader", squeue))
    backend = slurm(**(WATCHED if heard else {**WATCHED, "watch": None}))
    return play(scheduler, store, tasks(1), backend=backend), transport


def late_s(told: Story) -> float:
    assert [job.state for job in told.jobs] == [State.SUCCEEDED]
    assert told.jobs[0].ended_at is not None
    return told.jobs[0].ended_at - ENDS_AT


def test_a_hint_makes_the_question_come_at_once(store: SqliteStore) -> None:
    told, transport = story(store, lambda number: "welcome\n100\n")
    assert late_s(told) < 15  # with the time for the exit file, which a scheduler's bare word waits for
    assert transport.watches >= 1


@pytest.mark.parametrize(
    "heard",
    [None, lambda number: "99\n", lambda number: "no row at all\n", lambda number: ConnectError("no way there")],
    ids=["no watch", "about others", "noise", "no connection"],
)
def test_without_a_hint_polling_finds_it(store: SqliteStore, heard: Callable[[int], str | Exception] | None) -> None:
    told, _ = story(store, heard)
    assert late_s(told) > 15


def test_a_watch_that_ends_by_itself_is_told_once_and_tried_again_after_a_pause(store: SqliteStore) -> None:
    told, transport = story(store, lambda number: ConnectError("no way there"))
    (words,) = told.said("watch_ended")
    assert words == "the watch command ended (no way there); jobs are still polled"
    assert 5 <= transport.watches <= 12  # a minute apart


def test_a_hint_about_a_job_that_runs_on_changes_nothing(store: SqliteStore) -> None:
    told, _ = story(store, lambda number: "100\n")
    assert [event.kind for event in told.events if event.job] == ["queued", "running", "succeeded"]


def test_the_ends_of_jobs_are_followed_in_a_file_of_the_workspace(tmp_path: Path) -> None:
    async def follow() -> frozenset[str]:
        async with LocalTransport() as transport:
            client = SchedulerClient(slurm(values={"exit_log": True}, version=None, needs=[]), transport)
            client.workspace = str(tmp_path)
            watch = asyncio.create_task(client.watch())
            while not (tmp_path / ".ended").exists():
                await asyncio.sleep(0.02)
            for _ in range(100):  # until it is followed
                with (tmp_path / ".ended").open("a") as file:
                    file.write("12.34\n")
                done, _ = await asyncio.wait({watch}, timeout=0.1)
                if done:
                    break
            return (await watch).job_ids

    assert asyncio.run(follow()) == {"12.34"}


def test_a_watch_of_another_machine_is_not_run() -> None:
    assert slurm(values={"exit_log": True}).watch_command("/w")
    assert slurm().watch_command("/w") == ""
    assert slurm(values={"exit_log": True}, connection={"kind": "ssh", "host": "far"}).watch_command("/w") == ""
