"""No second submit: a job that the scheduler has is never handed over again, however its answers are spoilt.

A fake scheduler takes the job; what it then says, to the submit and to whoever looks for the job, is spoilt.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from adapter.core import checked
from adapter.core.parse import classify
from adapter.core.rows import Lines, Records
from adapter.core.state import State
from adapter.core.task import task_from
from adapter.errors import CompletedCommand, OutcomeUnknown
from adapter.execution.executor import Executor
from adapter.execution.journal import Journal
from adapter.transports.scripted import ScriptedTransport
from tests.execution.stage import START, Clock

from . import mutations
from .seeds import Seed, backends, seeds

CASES = 24  # for each backend
LOOKED_FOR_S = 40.0  # two looks, and what would follow them
LEAST_TURNS = 400

# What leaves nothing that a good answer could not be: a row less, or the token of somebody else, is no fault to notice.
NOTICEABLE: tuple[mutations.Mutation, ...] = (
    mutations.row_cut, mutations.sprinkled, mutations.longer_number, mutations.odd_value, mutations.giant_line,
    mutations.wrong_encoding, mutations.nested, mutations.other_page, mutations.truncated,
)  # fmt: skip
SPOILS_SUBMIT: tuple[mutations.Mutation, ...] = (*mutations.HONEST, mutations.flipped)


def submits_of(name: str) -> list[Seed]:
    return [seed for seed in seeds(name) if seed.capture.action == "submit" and seed.capture.expect.get("job_id")]


def finds_of(name: str) -> list[Seed]:
    return [seed for seed in seeds(name) if seed.capture.action == "find" and seed.capture.expect.get("found")]


NAMES = [name for name in backends() if submits_of(name)]


@dataclass
class Scheduler:
    """Takes every job that is handed over, and counts them; ``answers`` are what it says, spoilt or not."""

    submit: CompletedCommand | Exception
    find: Callable[[str], CompletedCommand]
    taken: int = 0
    token: str = ""
    asked: list[str] = field(default_factory=list)

    def says(self, command: str) -> CompletedCommand:
        if "/script" in command:
            self.taken += 1
            if isinstance(self.submit, Exception):
                raise self.submit
            return self.submit
        self.asked.append(command)
        return self.find(self.token)


@pytest.mark.parametrize("name", NAMES)
def test_a_job_that_the_scheduler_has_is_not_handed_over_again(name: str, tmp_path: Path) -> None:
    random = Random(f"handovers of {name}")
    journal = Journal.open(tmp_path / "journal.sqlite")
    try:
        for number in range(CASES):
            submit, find, words = case(random, name)
            scheduler = Scheduler(submit=submit, find=find)
            job_ids = asyncio.run(driven(name, scheduler, journal))
            said = submit if isinstance(submit, Exception) else (submit.exit_code, submit.stdout, submit.stderr)
            shown = f"case {number}: {words}\nsubmit said {said!r}\nfind said {find(scheduler.token).stdout!r}"
            assert scheduler.taken == 1, shown
            assert all(job_id is None or checked.job_id(job_id) == job_id for job_id in job_ids), shown
    finally:
        journal.close()


async def driven(name: str, scheduler: Scheduler, journal: Journal) -> list[str | None]:
    """Submit one task, and go on until its id is known, or for long enough to be handed over again."""
    backend = seeds(name)[0].backend
    transport = ScriptedTransport([("", scheduler.says)])
    clock = Clock()
    image = {"image": f"{next(iter(backend.images))}://image"} if "image" in backend.requires else {}
    secrets = dict.fromkeys(backend.secrets, "a-secret")
    async with Executor(backend, transport=transport, journal=journal, clock=clock, secrets=secrets) as executor:
        run = await executor.submit([task_from({"command": "true", **image})])
        scheduler.token = executor.jobs_of(run)[0].token
        turns = 0
        while clock.now() - START < LOOKED_FOR_S or turns < LEAST_TURNS:
            await asyncio.sleep(0)
            turns += 1
            job = executor.jobs_of(run)[0]
            if job.job_id is not None or job.state.is_final:
                break
            assert turns < 1_000_000, "time stands still"
        assert executor.jobs_of(run)[0].state is not State.SUCCEEDED
        return [job.job_id for job in executor.jobs_of(run)]


def case(random: Random, name: str) -> tuple[CompletedCommand | Exception, Callable[[str], CompletedCommand], str]:
    """Return what the submit and every look are answered, and words for whoever has to look into it."""
    submit, submit_words = spoilt_submit(random, random.choice(submits_of(name)))
    finds = finds_of(name)
    if not finds:
        return submit, lambda _: CompletedCommand(command="", exit_code=0, stdout="", stderr=""), submit_words
    seed = random.choice(finds)
    for _ in range(100):
        mutation, chance = random.choice(NOTICEABLE), random.getrandbits(32)
        if is_noticeable(seed, spoilt_find(seed, mutation, chance, _TOKEN)):
            break
    words = f"{submit_words}; {seed.capture.file}, {mutation.__name__}"
    return submit, lambda token: spoilt_find(seed, mutation, chance, token), words


_TOKEN = "adapter-0000000000-1-1"


def spoilt_submit(random: Random, seed: Seed) -> tuple[CompletedCommand | Exception, str]:
    if random.random() < 0.2:
        return OutcomeUnknown("the connection was lost"), "the answer was lost"
    for _ in range(100):
        mutation = random.choice(SPOILS_SUBMIT)
        exit_code = random.choice((0, 0, 0, 1, 137, 153, 255))
        stdout = checked.storable(mutation(random, seed.capture.stdout))
        answer = seed.answer(stdout, checked.storable(seed.capture.stderr), exit_code)
        if classify(seed.backend, answer) in {
            None,
            "transient",
        }:  # the other classes are refusals: there is no job then
            break
    return answer, f"{seed.capture.file}, {mutation.__name__}"


def spoilt_find(seed: Seed, mutation: mutations.Mutation, chance: int, token: str) -> CompletedCommand:
    """Return what a look for *token* is answered, the same each time."""
    answer = with_token(seed, token)
    return seed.answer(checked.storable(mutation(Random(chance), answer)), seed.capture.stderr, seed.capture.exit_code)


def with_token(seed: Seed, token: str) -> str:
    """Return what the scheduler would say if its jobs were that one."""
    return seed.capture.stdout.replace(next(iter(seed.capture.expect["found"])), token)


def is_noticeable(seed: Seed, answer: CompletedCommand) -> bool:
    """Whether the answer is not simply a good one that does not show the job."""
    whole = with_token(seed, _TOKEN)
    if not answer.stdout.strip() or _TOKEN in answer.stdout:
        return bool(answer.stdout.strip())
    if any(
        _TOKEN.startswith(word) and word != "adapter-" for word in re.findall(r"adapter-\w+(?:-\d+)?-?", answer.stdout)
    ):
        return True
    assert seed.backend.find is not None
    if isinstance(seed.backend.find.grammar, Lines | Records):
        return not set(filter(str.strip, answer.stdout.split("\n"))) <= set(whole.split("\n"))
    try:
        json.loads(answer.stdout)
    except (ValueError, RecursionError):
        return True
    return False
