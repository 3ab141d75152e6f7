"""The standard table on this machine's own processes: what is sound passes, what lies is caught, nothing is left."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from adapter.config.load import load_backend
from adapter.core.backend import backend_from, merge
from adapter.core.state import State
from adapter.execution.executor import Executor
from adapter.store.sqlite import SqliteStore
from adapter.testkit import conformance
from adapter.testkit.conformance import Verdict
from adapter.testkit.expectations import id_unlike
from adapter.transports.local import LocalTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from adapter.testkit.conformance import Outcome

ONE_BY_ONE = 'for token in {{ tokens | words }}; do echo "9.9 $token"; done'


@asynccontextmanager
async def on_this_machine(folder: Path, **changes: Any) -> AsyncIterator[Executor]:
    loaded = load_backend("local").backend
    document = merge(loaded.document, {"workspace": str(folder / "workspace"), **changes})
    backend = backend_from(document, name="mine", lineage=loaded.lineage)
    store = SqliteStore.open(folder / "journal.sqlite")
    try:
        async with Executor(backend, transport=LocalTransport(), store=store) as executor:
            yield executor
    finally:
        store.close()


def outcomes_of(
    folder: Path, *only: str, patience_s: float = 60, **changes: Any
) -> tuple[dict[str, Outcome], list[str]]:
    """Run the cases *only* on a backend with *changes*; return their outcomes, and what cleaning left behind."""
    files = folder / "files"
    files.mkdir()

    async def story() -> tuple[dict[str, Outcome], list[str]]:
        async with on_this_machine(folder, **changes) as executor:
            found = await conformance.run(executor, folder=files, only=only, quick=True, patience_s=patience_s)
            return {one.name: one for one in found}, await conformance.clean(executor, patience_s=5)

    return asyncio.run(story())


def test_a_sound_backend_passes_and_nothing_is_left(tmp_path: Path) -> None:
    only = ("exit 0", "exit 3", "signal", "find", "kill running", "inputs and outputs", "shared workspace", "clock")
    found, left = outcomes_of(tmp_path, *only)
    assert {name: (str(one.verdict), one.why) for name, one in found.items()} == dict.fromkeys(only, ("ok", ""))
    assert left == []
    assert list((tmp_path / "workspace").iterdir()) == []


def test_what_waits_for_an_end_runs_whatever_became_of_the_other(tmp_path: Path) -> None:
    only = ("after a removed task", "after a killed task")
    found, left = outcomes_of(tmp_path, *only)
    assert {name: (str(one.verdict), one.why) for name, one in found.items()} == dict.fromkeys(only, ("ok", ""))
    assert left == []


def test_a_launcher_is_looked_for_where_a_job_runs(tmp_path: Path) -> None:
    images = {"images": {"docker": "{{ name }}"}}
    for number, (program, verdict) in enumerate([("sh", Verdict.OK), ("no-such-boxer", Verdict.UNLIKE)]):
        (folder := tmp_path / str(number)).mkdir()
        launch = {"launch": {"program": program, "command": "{{ argv | words }}"}}
        outcomes, _ = outcomes_of(folder, "launcher", **images, **launch)
        assert outcomes["launcher"].verdict is verdict


def test_what_is_left_out_says_why(tmp_path: Path) -> None:
    found, _ = outcomes_of(tmp_path, "walltime", "bad queue", "held", "array")
    assert {one.verdict for one in found.values()} == {Verdict.NOT_HERE}
    assert found["walltime"].why == "it takes minutes: left out of a quick check"
    assert "no way to ask for queue" in found["bad queue"].why
    assert "--hold-option" in found["held"].why
    assert "no `array`" in found["array"].why


@pytest.mark.parametrize(
    ("case", "changes", "words"),
    [
        pytest.param(
            "stdout and stderr", {"logs": {"stdout": "{{ stderr }}"}}, "expected 'out\\n' on stdout", id="streams-mixed"
        ),
        pytest.param("environment of a step", {"prologue": ["export LEFT=1"]}, "none 1", id="environment-leaks"),
        pytest.param("find", {"find": {"command": ONE_BY_ONE}}, "a token that no job has was found", id="find-lies"),
        pytest.param(
            "find", {"find": {"command": "echo no; exit 1"}}, "the answer of `find` is no good one", id="find-fails"
        ),
        pytest.param(
            "kill finished",
            {"kill": {"command": "echo no >&2; exit 1", "escalate": None}},
            "the kill command said: no",
            id="kill-refuses",
        ),
        pytest.param(
            "unknown id",
            {"monitor": {"command": "for j in {{ job_ids | words }}; do case $j in 99?????.*) echo $j R;; esac; done"}},
            "is said to be running",
            id="monitor-invents",
        ),
        pytest.param("work folder", {"prologue": ["echo x >there"]}, "expected succeeded", id="folder-not-fresh"),
        pytest.param("arguments", {"prologue": ["echo module loaded"]}, "module loaded", id="noise-in-the-output"),
        pytest.param("exit 3", {"prologue": ["trap 'exit 0' EXIT"]}, "came succeeded", id="exit-code-lost"),
    ],
)  # fmt: skip
def test_a_backend_that_does_otherwise_is_caught(
    tmp_path: Path, case: str, changes: dict[str, Any], words: str
) -> None:
    found, _ = outcomes_of(tmp_path, case, **changes)
    assert found[case].verdict is Verdict.UNLIKE
    assert words in found[case].why


def test_a_job_that_cannot_be_killed_is_left_behind_by_name(tmp_path: Path) -> None:
    found, left = outcomes_of(tmp_path, "kill running", patience_s=3, kill={"command": ":", "escalate": None})
    try:
        assert found["kill running"].why.startswith("not at its end after 3 s: running")
        assert any("running" in line and line.startswith("job ") for line in left)
        assert any("has not ended" in line for line in left)
    finally:
        for line in left:
            pid = line.removeprefix("job ").partition(".")[0]
            if line.startswith("job ") and pid.isdigit():
                with suppress(ProcessLookupError):
                    os.killpg(int(pid), signal.SIGKILL)


def test_a_check_that_is_stopped_leaves_nothing_once_it_is_cleaned(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()

    async def story() -> tuple[list[str], list[State]]:
        async with on_this_machine(tmp_path) as executor:
            running = asyncio.create_task(conformance.run(executor, folder=files, only=["walltime"], walltime_s=600))
            while not any(job.state is State.RUNNING for job in executor.jobs.values()):
                await asyncio.sleep(0.05)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            left = await conformance.clean(executor)
            return left, [job.state for job in executor.jobs.values()]

    assert asyncio.run(story()) == ([], [State.KILLED])
    assert list((tmp_path / "workspace").iterdir()) == []


def test_who_watches_hears_each_outcome_and_what_is_under_way(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    told: list[str] = []
    under_way: list[str] = []

    async def story() -> None:
        async with on_this_machine(tmp_path) as executor:
            await conformance.run(
                executor,
                folder=files,
                only=["walltime", "array"],
                walltime_s=3,
                tell=lambda outcome: told.append(outcome.name),
                under_way=under_way.extend,
            )
            await conformance.clean(executor)

    asyncio.run(story())
    assert told == ["array", "walltime"]
    assert "walltime (running)" in under_way


@pytest.mark.parametrize(
    ("job_id", "unlike"),
    [("5", "9999995"), ("12.34", "9999912.34"), ("1234567", "9999999"), ("job", "boj"), ("12_3", "9999912_3")],
)
def test_an_id_that_no_job_has_is_of_the_same_form(job_id: str, unlike: str) -> None:
    assert id_unlike(job_id) == unlike
