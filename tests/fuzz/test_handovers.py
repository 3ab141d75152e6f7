"""No second submit: a job that the scheduler has is never handed over again, however its answers are spoilt.

A fake scheduler takes the job; what it then says, to the submit and to whoever looks for the job, is spoilt.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from adapter.core import bounds
from adapter.core.answers import classify
from adapter.core.batch import BatchAnswer, BatchResult, Command
from adapter.core.state import State
from adapter.core.task import task_from
from adapter.errors import AdapterError
from adapter.execution.executor import Executor
from adapter.results import CompletedCommand
from adapter.store.sqlite import SqliteStore
from adapter.transports.scripted import ScriptedTransport
from tests.execution.stage import START, Clock

from . import mutations
from .seeds import Seed, backends, seeds

CASES = 10  # for each backend
LOOKED_FOR_S = 40.0  # two looks, and what would follow them

# What leaves nothing that a good answer could not be: a row less, or the token of somebody else, is no fault to notice.
NOTICEABLE: tuple[mutations.Mutation, ...] = (
    mutations.row_cut, mutations.sprinkled, mutations.odd_value, mutations.giant_line,
    mutations.wrong_encoding, mutations.nested, mutations.other_page, mutations.truncated,
)  # fmt: skip
SPOILS_SUBMIT: tuple[mutations.Mutation, ...] = (*mutations.HONEST, mutations.flipped)


def submits_of(name: str) -> list[Seed]:
    return [seed for seed in seeds(name) if seed.capture.action == "submit" and seed.capture.expect.get("job_id")]


def finds_of(name: str) -> list[Seed]:
    return [seed for seed in seeds(name) if seed.capture.action == "find" and seed.capture.expect.get("found")]


@dataclass
class Scheduler(ScriptedTransport):
    """Takes every job that is handed over, and counts them. What it says is ``submit``, and ``find`` of the token."""

    submit: CompletedCommand = CompletedCommand(command="", exit_code=0, stdout="", stderr="")
    find: Callable[[str], CompletedCommand] | None = None
    loses_an_answer: bool = False
    token: str = ""
    taken: int = 0

    async def run_batch(self, commands: Sequence[Command], **options: Any) -> BatchResult:
        before = self.taken
        result = await super().run_batch(commands, **options)
        if self.loses_an_answer and self.taken > before == 0:
            return BatchResult([BatchAnswer(None) for _ in commands], lost="the connection was lost")
        return result

    def _answer(self, command: Command) -> CompletedCommand:
        if command.action == "submit":
            self.taken += 1
            return self.submit
        return self.find(self.token) if self.find else CompletedCommand(command="", exit_code=1, stdout="", stderr="?")


@pytest.mark.parametrize("name", backends())
def test_a_job_that_the_scheduler_has_is_not_handed_over_again(name: str, tmp_path: Path) -> None:
    random = Random(f"handovers of {name}")
    for number in range(CASES):
        scheduler, words = case(random, name)
        # a store of its own: what another case left behind would use the room of a machine
        with closing(SqliteStore.open(tmp_path / f"store-{number}.sqlite")) as store:
            job_ids = asyncio.run(driven(name, scheduler, store))
        find = scheduler.find(scheduler.token).stdout if scheduler.find else None
        said = scheduler.submit.exit_code, scheduler.submit.stdout, scheduler.submit.stderr
        shown = f"case {number}: {words}\nsubmit said {said!r:.2000}\nfind said {find!r:.2000}"
        assert scheduler.taken == 1, shown
        assert all(job_id is None or bounds.job_id(job_id) == job_id for job_id in job_ids), shown


async def driven(name: str, scheduler: Scheduler, store: SqliteStore) -> list[str | None]:
    """Submit one task, and go on until its id is known, or for long enough to be handed over again."""
    backend = seeds(name)[0].backend
    clock = Clock()
    image = {"image": f"{next(iter(backend.images))}://image"} if "image" in backend.requires else {}
    secrets = dict.fromkeys(backend.secrets, "a-secret")
    async with Executor(backend, transport=scheduler, store=store, clock=clock, secrets=secrets) as executor:
        run = await executor.submit([task_from({"command": "true", **image})])
        scheduler.token = executor.jobs_of(run)[0].token
        stopped = asyncio.create_task(executor.wait(run))
        while clock.now() - START < LOOKED_FOR_S and executor.jobs_of(run)[0].job_id is None and not stopped.done():
            await asyncio.sleep(0)
        stopped.cancel()
        with suppress(AdapterError, asyncio.CancelledError):  # whoever waits is told that work had to stop
            await stopped
        assert executor.jobs_of(run)[0].state is not State.SUCCEEDED
        return [job.job_id for job in executor.jobs_of(run)]


def case(random: Random, name: str) -> tuple[Scheduler, str]:
    """Return a scheduler whose every answer is spoilt, and words for whoever has to look into it."""
    submit, words = spoilt_submit(random, random.choice(submits_of(name)))
    scheduler = Scheduler(submit=submit, loses_an_answer=random.random() < 0.2)
    finds = finds_of(name)
    if not finds:
        return scheduler, words
    seed = random.choice(finds)
    mutation, chance = NOTICEABLE[-1], 0
    for _ in range(100):
        mutation, chance = random.choice(NOTICEABLE), random.getrandbits(32)
        if is_noticeable(seed, spoilt_find(seed, mutation, chance, _TOKEN)):
            break
    scheduler.find = lambda token: spoilt_find(seed, mutation, chance, token)
    return scheduler, f"{words}; {seed.capture.file}, {mutation.__name__}"


_TOKEN = "adapter-0000000000-1-1"


def spoilt_submit(random: Random, seed: Seed) -> tuple[CompletedCommand, str]:
    for _ in range(100):
        mutation = random.choice(SPOILS_SUBMIT)
        stdout = bounds.storable(mutation(random, seed.capture.stdout))
        answer = seed.answer(stdout, bounds.storable(seed.capture.stderr), random.choice((0, 0, 0, 1, 137, 153, 255)))
        if classify(seed.backend, answer) in {
            None,
            "transient",
        }:  # the other classes are refusals: there is no job then
            return answer, f"{seed.capture.file}, {mutation.__name__}"
    return seed.capture.completed, seed.capture.file


def spoilt_find(seed: Seed, mutation: mutations.Mutation, chance: int, token: str) -> CompletedCommand:
    """Return what a look for *token* is answered, the same each time."""
    answer = with_token(seed, token)
    return seed.answer(bounds.storable(mutation(Random(chance), answer)), seed.capture.stderr, seed.capture.exit_code)


def with_token(seed: Seed, token: str) -> str:
    """Return what the scheduler would say if its jobs were that one."""
    return seed.capture.stdout.replace(next(iter(seed.capture.expect["found"])), token)


def is_noticeable(seed: Seed, answer: CompletedCommand) -> bool:
    """Whether the answer is not simply a good one that does not show the job."""
    if _TOKEN in answer.stdout:
        return True
    words = (word.rstrip("\"',;|]}") for word in re.findall(r"adapter-\S*", answer.stdout))
    if any(_TOKEN.startswith(word) and word != "adapter-" for word in words):
        return True  # its name is cut
    assert seed.backend.find is not None
    assert seed.backend.find.grammar is not None
    read = seed.backend.find.grammar.read(answer.stdout)
    if read is None or not read.rows:
        return read is None or bool(read.unreadable)
    return any("adapter-" in line for line in read.unreadable)
