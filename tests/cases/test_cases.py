"""What real schedulers answer, and what each answer means: every entry of the data files beside this one."""

from __future__ import annotations

import asyncio
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from adapter.config.load import load_backend
from adapter.core.answers import classify
from adapter.core.state import State
from adapter.execution.scheduler_client import SchedulerClient
from adapter.results import CompletedCommand
from adapter.testkit.replay import asked_jobs, player, poll, results, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from adapter.core.answers import Observation
    from adapter.core.backend import Backend

FILES = sorted(Path(__file__).parent.glob("*.yaml"))


def cases_in(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the cases in *file*. A list of ``words`` stands for as many cases, and so does a map of ``each``.

    A word of ``each`` is put where ``WORD`` stands in the answer.
    """
    for entry in yaml.safe_load(file.read_text(encoding="utf-8")):
        case = {"asked": "5", **entry}
        if not {"words", "each"} & case.keys():
            yield case
        for words in case.get("words", ()):
            yield {**case, "id": f"{case['backend']}-{case['means'][0]}-{words}", "stderr": f"{words}\n"}
        for word, means in case.get("each", {}).items():
            filled = case["stdout"].replace("WORD", word)
            yield {**case, "id": f"{case['id']}-{word}", "stdout": filled, "means": means}


CASES = [case for file in FILES for case in cases_in(file)]


@cache
def backend_of(name: str) -> Backend:
    return load_backend(name).backend


def answer_of(case: dict[str, Any]) -> CompletedCommand:
    return CompletedCommand(
        command=case["action"],
        exit_code=case.get("exit_code", 0 if case.get("stdout") and case["action"] != "kill" else 1),
        stdout=case.get("stdout", ""),
        stderr=case.get("stderr", ""),
    )


def readings_of(case: dict[str, Any], seen: Observation | None) -> set[str]:
    """Return the names of what *seen* means: ``failed``, and ``failed/REASON`` where there is one."""
    if seen is None:
        return {"nothing"}
    state, reason = (seen.state, seen.reason) if seen.stuck else verdict(seen, by_result=case["action"] == "result")
    mark = "stuck:" if seen.stuck else ""
    if state is State.KILLED:
        return {f"{mark}killed"}
    return {f"{mark}{state}/{reason}"} if reason in REASONS_THAT_MATTER else {f"{mark}{state}"}


REASONS_THAT_MATTER = {
    "time_limit", "out_of_memory", "dependency", "node_failure", "launch_failure", "system", "preempted", "image",
}  # fmt: skip


def came_from(case: dict[str, Any]) -> tuple[set[str], Observation | None]:
    backend, answer = backend_of(case["backend"]), answer_of(case)
    match case["action"]:
        case "submit" | "words":
            return {classify(backend, answer) or "none"}, None
        case "kill":
            client = SchedulerClient(backend, player(answer))
            (said,) = asyncio.run(client.kill(asked_jobs([case["asked"]]))).values()
            if said is not None and classify(backend, said) == "gone":
                said = None  # done, if the next poll agrees
            return {"done" if said is None else classify(backend, said) or "none"}, None
        case "monitor":
            seen = poll(backend, answer, [case["asked"]])[case["asked"]].observation
        case _:
            seen = results(backend, answer, [case["asked"]]).get(case["asked"])
    return readings_of(case, seen), seen


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_an_answer_of_a_real_scheduler_is_read_as_what_it_means(case: dict[str, Any]) -> None:
    came, seen = came_from(case)
    assert came & set(case["means"])
    if "exit" in case:
        assert seen is not None
        assert (seen.exit_code, seen.signal) == (case["exit"], case.get("signal"))
