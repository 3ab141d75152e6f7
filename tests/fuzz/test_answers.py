"""Ninety thousand spoilt answers of schedulers: none raises, none makes a success, none takes long.

Each backend has a share of its own, and a source of chance of its own: what fails here fails again.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from random import Random

import pytest

from adapter.core import bounds
from adapter.core.answers import classify, is_no_answer, parse_job_id, parse_query, parse_tokens
from adapter.core.backend import version_matches
from adapter.core.grammars import json_text
from adapter.core.job import Job
from adapter.core.lifecycle import Evidence, Patience, advance
from adapter.core.specs import LogSpec, QuerySpec
from adapter.core.state import State
from adapter.core.task import Step, Task
from adapter.core.watching import WatchResult, job_ids_told, read_watch
from adapter.errors import OutputError
from adapter.results import CompletedCommand

from .mutations import ALL, HONEST
from .seeds import Seed, backends, seeds

ANSWERS = 100_000
NAMES = backends()
SHARE = -(-ANSWERS // len(NAMES))
SLOW_S = 1.0  # one answer; this machine takes a thousandth of it
TASK = Task(steps=(Step(argv=("true",)),))


@pytest.mark.parametrize("name", NAMES)
def test_no_spoilt_answer_raises_or_makes_a_success(name: str) -> None:
    random = Random(f"answers of {name}")
    mine = seeds(name)
    for number in range(SHARE):
        seed = mine[number % len(mine)]
        mutations = [random.choice(ALL) for _ in range(random.choice((1, 1, 1, 2, 3)))]
        answer = spoilt(random, seed, mutations)
        began = time.process_time()
        try:
            READERS[seed.capture.action](seed, answer, all(each in HONEST for each in mutations))
        except Exception as error:
            error.add_note(shown(number, seed, mutations, answer))
            raise
        assert time.process_time() - began < SLOW_S, shown(number, seed, mutations, answer)


def spoilt(random: Random, seed: Seed, mutations: list[Callable[[Random, str], str]]) -> CompletedCommand:
    stdout, stderr, exit_code = seed.capture.stdout, seed.capture.stderr, seed.capture.exit_code
    for mutation in mutations:
        if random.random() < 0.8 or not stderr:
            stdout = mutation(random, stdout)
        else:
            stderr = mutation(random, stderr)
    if random.random() < 0.2:
        exit_code = random.choice((0, 1, 2, 127, 137, 153, 255, -9, 1000))
    return seed.answer(bounds.storable(stdout), bounds.storable(stderr), exit_code)


def shown(number: int, seed: Seed, mutations: list[Callable[[Random, str], str]], answer: CompletedCommand) -> str:
    names = ", ".join(each.__name__ for each in mutations)
    texts = f"stdout {answer.stdout[:2000]!r}, stderr {answer.stderr[:500]!r}"
    return f"answer {number}, {seed.capture.file} ({names}), exit code {answer.exit_code}: {texts}"


# ---- what is asked of each ---------------------------------------------------------------------------------------


def read_submit(seed: Seed, answer: CompletedCommand, honest: bool) -> None:
    classify(seed.backend, answer)
    try:
        job_id = parse_job_id(seed.backend.submit.job_id, answer)
    except OutputError:
        return
    assert_is_an_id(job_id)


def read_monitor(seed: Seed, answer: CompletedCommand, honest: bool) -> None:
    read_query(seed.backend.monitor, seed, answer, honest=honest)


def read_result(seed: Seed, answer: CompletedCommand, honest: bool) -> None:
    assert seed.backend.result is not None
    read_query(seed.backend.result, seed, answer, honest=honest)


def read_query(spec: QuerySpec, seed: Seed, answer: CompletedCommand, *, honest: bool) -> None:
    asked = seed.capture.asked
    is_no_answer(spec, seed.backend, answer)
    read = parse_query(spec, seed.backend, answer, asked)
    for job_id in asked:
        seen = read.observations.get(job_id) if read else None
        job = Job(run="fuzz", index=1, task=TASK, job_id=job_id, state=State.RUNNING, directory="/fuzz")
        evidence = Evidence(answered=read is not None, observation=seen)
        ended = advance(advance(job, evidence, 1000.0, Patience()), evidence, 2000.0, Patience())
        if ended.state is State.SUCCEEDED:
            assert ended.exit_code == 0
            assert spec.exit_codes or all(part in answer.stdout for part in re.findall(r"[^\W_]+", job_id))
            if honest:
                assert said_to_succeed(seed, job_id)
    for one, seen in read.observations.items() if read and not spec.exit_codes else ():
        assert_is_an_id(one)
        assert seen.exit_code is None or 0 <= seen.exit_code <= 255
        amounts = [getattr(seen.usage, name) for name in seen.usage.__slots__]
        assert all(amount is None or 0 <= amount < 1e30 for amount in amounts)


def said_to_succeed(seed: Seed, job_id: str) -> bool:
    """Whether the answer, as it was, said that the job succeeded: written by hand in the capture."""
    return bool(seed.capture.jobs.get(job_id, {}).get("state") == "succeeded")


def read_find(seed: Seed, answer: CompletedCommand, honest: bool) -> None:
    assert seed.backend.find is not None
    found = parse_tokens(seed.backend.find, seed.backend, answer)
    for job_ids in found[0].values() if found else ():
        for job_id in job_ids:
            assert_is_an_id(job_id)


def read_kill(seed: Seed, answer: CompletedCommand, honest: bool) -> None:
    classify(seed.backend, answer)
    assert len(answer.words) < 10_000


def read_version(seed: Seed, answer: CompletedCommand, honest: bool) -> None:
    pattern = seed.backend.version_pattern
    assert pattern is not None
    if match := pattern.search(answer.stdout + answer.stderr):
        for condition, _ in seed.backend.overlays or (("< 21.08", {}),):
            version_matches(match["version"], condition)


def read_watched(seed: Seed, answer: CompletedCommand, honest: bool) -> None:
    assert seed.backend.watch is not None
    for job_id in job_ids_told(seed.backend.watch, answer.stdout):
        assert_is_an_id(job_id)
    told = read_watch(seed.backend.watch, "nonce", f"{answer.stdout}\nnonce ended {answer.exit_code}\n")
    assert isinstance(told, WatchResult)
    told.is_about("7[3].server")


def read_log(seed: Seed, answer: CompletedCommand, honest: bool) -> None:
    for spec in seed.backend.logs.values():
        if isinstance(spec, LogSpec) and spec.text is not None:
            text = json_text(spec.text, answer.stdout)
            assert (text or "").encode().decode() == (text or "")


READERS: dict[str, Callable[[Seed, CompletedCommand, bool], None]] = {
    "submit": read_submit, "monitor": read_monitor, "result": read_result, "find": read_find, "kill": read_kill,
    "version": read_version, "watch": read_watched, "log": read_log,
}  # fmt: skip


def assert_is_an_id(job_id: str) -> None:
    assert re.fullmatch(r"[^\s\x00-\x1f\x7f-\x9f\ud800-\udfff-][^\s\x00-\x1f\x7f-\x9f\ud800-\udfff]{0,255}", job_id)
