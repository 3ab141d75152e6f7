"""Simulated schedulers: made from a backend file alone, they pass the table that real ones pass, and bear faults."""

from __future__ import annotations

import asyncio
import functools
import os
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from adapter.cli.main import cli
from adapter.config.load import list_backends, load_backend
from adapter.core.backend import backend_from, merge
from adapter.core.state import Reason, State
from adapter.core.task import Step, Task
from adapter.errors import CannotSimulate
from adapter.execution.executor import Executor
from adapter.store.sqlite import SqliteStore
from adapter.testkit import conformance
from adapter.testkit.simulate.folder import make_folder, stop
from adapter.testkit.simulate.plan import make_plan
from adapter.testkit.simulate.text import Slot, filled, fitting, number_in
from adapter.transports.local import LocalTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from adapter.core.backend import Backend
    from adapter.core.job import Job
    from adapter.testkit.simulate.plan import Plan

TABLE = "slurm"
"""The backend that goes through the whole table; the others go through a few cases of it."""

FEW = ("exit 3", "kill running", "kill finished", "unknown id", "stdout and stderr", "find")
WITH_ARRAYS = ("pbs", "torque")

NOT_AS_REAL = {
    "memory": "memory is not enforced",
    "memory used": "memory is not measured",
    "bad queue": "any queue is taken",
    "held": "no option that holds a job is known",
}
"""The cases in which the simulated scheduler is not as the real one, and why."""

SIMULATED = (
    "ccc", "cobalt", "flux", "htcondor", "hyperqueue", "loadleveler", "lsf", "nqsv", "oar", "pbs", "pjm", "slurm",
    "torque",
)  # fmt: skip

SIMULATED_WITH_IMAGES = ("lsf-apptainer", "slurm-apptainer")
"""The same, whose jobs start containers: the scheduler is simulated, the containers are not."""

DOCUMENTS = "its jobs are documents for a service"
NO_PROGRAM = "its submit command does not call"
CANNOT = {
    "at": "its submit command gives no program the script",  # it writes a text around it, which names the script
    "aws-batch": DOCUMENTS,
    "azure-batch": DOCUMENTS,
    "docker": NO_PROGRAM,
    "docker-swarm": "no job id was found that all its patterns read",
    "google-batch": DOCUMENTS,
    "kubernetes": DOCUMENTS,
    "local": NO_PROGRAM,
    "moab": "no job id was found that all its patterns read",  # each field wants to stand in the same line as the id
    "nomad": DOCUMENTS,
    "podman": NO_PROGRAM,
    "sge": "no answer was found that its monitor command",  # awk makes a line of XML whose form the file does not tell
    "ssh-process": NO_PROGRAM,
    "task-spooler": "no answer was found that its monitor command",  # one call has to answer monitor and find
    "tes": DOCUMENTS,
}
"""The shipped backends that cannot be simulated, and what is said of each."""


@dataclass
class Fake:
    """A simulated scheduler in a folder of its own, and a backend that talks to it."""

    plan: Plan
    folder: Path
    backend: Backend
    environment: dict[str, str]

    @property
    def ledger(self) -> Counter[tuple[str, str]]:
        """How often each mark was submitted, started and ended."""
        lines = (self.folder / "ledger").read_text(encoding="utf-8").splitlines()
        return Counter((line.split()[0], line.split()[2]) for line in lines)

    def executor(self, folder: Path) -> Executor:
        store = SqliteStore.open(folder / "journal.sqlite")
        return Executor(self.backend, transport=LocalTransport(environment=self.environment), store=store)

    def run(self, folder: Path, tasks: list[Task], within_s: float = 60) -> list[Job]:
        async def whole() -> list[Job]:
            async with self.executor(folder) as executor:
                return await asyncio.wait_for(executor.wait(await executor.submit(tasks)), within_s)

        return asyncio.run(whole())


@functools.cache
def plan_of(name: str) -> Plan:
    return make_plan(load_backend(name).backend)


def fake(name: str, folder: Path, changes: dict[str, object] | None = None, **settings: str) -> Fake:
    backend, plan = load_backend(name).backend, plan_of(name)
    programs = make_folder(plan, folder / "scheduler", {"SLOTS": "8", "KILL_WAIT": "2", **settings})
    limits = {"limits": {"poll_seconds": [0.1, 0.5]}}
    document = merge(merge(backend.document, {"workspace": str(folder / "jobs"), **limits}), changes or {})
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    return Fake(plan, folder / "scheduler", backend_from(document, name=name, lineage=backend.lineage), environment)


@pytest.fixture
def fakes(tmp_path: Path) -> Iterator[list[Fake]]:
    """The simulated schedulers of a test: what is put here is ended with it."""
    made: list[Fake] = []
    yield made
    for one in made:
        stop(one.plan, one.folder)


def sh(line: str) -> Task:
    return Task(name="small", steps=(Step(shell=line),))


async def table(one: Fake, folder: Path, **bounds: object) -> dict[str, conformance.Outcome]:
    (folder / "files").mkdir()
    async with one.executor(folder) as executor:
        outcomes = await asyncio.wait_for(
            conformance.run(executor, folder=folder / "files", patience_s=60, **bounds),  # type: ignore[arg-type]
            120,
        )
    return {outcome.name: outcome for outcome in outcomes}


# ---- the standard table ------------------------------------------------------------------------------------------


def test_every_shipped_backend_is_simulated_or_said_not_to_be() -> None:
    shipped = {entry.name for entry in list_backends() if not entry.abstract and "templates" in entry.file}
    simulated = {*SIMULATED, *SIMULATED_WITH_IMAGES}
    assert simulated | CANNOT.keys() == shipped
    assert not simulated & CANNOT.keys()


@pytest.mark.parametrize("name", SIMULATED_WITH_IMAGES)
def test_a_scheduler_whose_jobs_start_containers_is_simulated(name: str) -> None:
    assert {"monitor", "find"} <= make_plan(load_backend(name).backend).data["queries"].keys()


@pytest.mark.parametrize("name", sorted(CANNOT))
def test_what_cannot_be_simulated_says_why(name: str) -> None:
    with pytest.raises(CannotSimulate) as error:
        make_plan(load_backend(name).backend)
    assert f"backend {name} cannot be simulated: {CANNOT[name]}" in str(error.value)


def test_the_simulated_scheduler_passes_the_table_of_the_real_one(tmp_path: Path, fakes: list[Fake]) -> None:
    fakes.append(one := fake(TABLE, tmp_path, SLOTS="24"))
    outcomes = asyncio.run(table(one, tmp_path, walltime_s=2, many=10))
    unlike = {name: outcome.why for name, outcome in outcomes.items() if outcome.verdict != "ok"}
    assert unlike.keys() == NOT_AS_REAL.keys(), unlike
    assert {outcomes[name].verdict.value for name in NOT_AS_REAL} == {"not here"}
    assert len(outcomes) - len(unlike) >= 25


@pytest.mark.parametrize("name", sorted({*SIMULATED} - {TABLE}))
def test_other_simulated_schedulers_pass_a_few_of_its_cases(name: str, tmp_path: Path, fakes: list[Fake]) -> None:
    fakes.append(one := fake(name, tmp_path))
    few = (*FEW, "array") if name in WITH_ARRAYS else FEW
    outcomes = asyncio.run(table(one, tmp_path, only=few))
    assert {case: (outcome.verdict.value, outcome.why) for case, outcome in outcomes.items()} == dict.fromkeys(
        few, ("ok", "")
    )


def test_where_the_file_does_not_tell_enough_arrays_are_refused_and_their_tasks_run_one_by_one(
    tmp_path: Path, fakes: list[Fake]
) -> None:
    fakes.append(one := fake("htcondor", tmp_path, {"limits": {"arrays": True}}))
    assert any("arrays are refused" in note for note in one.plan.notes)
    jobs = one.run(tmp_path, [sh("exit 0"), sh("exit 0")])
    assert [job.state for job in jobs] == [State.SUCCEEDED] * 2
    assert one.ledger == Counter({(what, job.token): 1 for job in jobs for what in ("submitted", "started", "ended")})


def test_many_like_tasks_are_one_submit_and_run_as_the_elements_of_an_array(tmp_path: Path, fakes: list[Fake]) -> None:
    fakes.append(one := fake(TABLE, tmp_path, {"limits": {"arrays": True}}))
    jobs = one.run(tmp_path, [sh(f"exit {number}") for number in range(5)])
    assert [job.exit_code for job in jobs] == list(range(5))
    assert [what for what, _ in one.ledger.elements()].count("submitted") == 1
    assert [what for what, _ in one.ledger.elements()].count("started") == 5


# ---- faults ------------------------------------------------------------------------------------------------------


def test_nothing_is_lost_or_doubled_where_every_fifth_command_fails(tmp_path: Path, fakes: list[Fake]) -> None:
    fakes.append(one := fake(TABLE, tmp_path, FAIL="0.2", FAIL_AFTER="0.1"))
    jobs = one.run(tmp_path, [sh(f"exit {number % 2}") for number in range(12)], within_s=100)
    assert [job.exit_code for job in jobs] == [number % 2 for number in range(12)]
    assert one.ledger == Counter({(what, job.token): 1 for job in jobs for what in ("submitted", "started", "ended")})


def test_a_job_that_vanishes_is_lost_and_no_other(tmp_path: Path, fakes: list[Fake]) -> None:
    fakes.append(one := fake(TABLE, tmp_path, {"monitor": {"absent": {"gone_after": "1s"}}}, LOSE="1"))
    (job,) = one.run(tmp_path, [sh("exit 0")])
    assert (job.state, job.reason) == (State.LOST, Reason.VANISHED)
    (one.folder / "settings").write_text("LOSE=0\n", encoding="utf-8")
    (tmp_path / "again").mkdir()
    (job,) = one.run(tmp_path / "again", [sh("exit 0")])
    assert job.state is State.SUCCEEDED


def test_a_scheduler_that_is_down_for_a_while_fails_no_job(tmp_path: Path, fakes: list[Fake]) -> None:
    fakes.append(one := fake(TABLE, tmp_path))
    down = one.folder / "down"

    async def story() -> list[Job]:
        async with one.executor(tmp_path) as executor:
            run = await executor.submit([sh("sleep 1; exit 3")])
            while executor.jobs_of(run)[0].job_id is None:
                await asyncio.sleep(0.1)
            down.touch()
            await asyncio.sleep(2)
            down.unlink()
            return await asyncio.wait_for(executor.wait(run), 60)

    (job,) = asyncio.run(story())
    assert (job.state, job.exit_code) == (State.FAILED, 3)


def test_noise_and_unheard_of_states_disturb_no_job(tmp_path: Path, fakes: list[Fake]) -> None:
    fakes.append(one := fake(TABLE, tmp_path, NOISE="1", UNKNOWN="0.5"))
    jobs = one.run(tmp_path, [sh(f"sleep 0.5; exit {number}") for number in range(6)])
    assert [job.exit_code for job in jobs] == list(range(6))


def test_a_refusal_in_the_words_of_a_permanent_error_fails_the_job(tmp_path: Path, fakes: list[Fake]) -> None:
    fakes.append(one := fake(TABLE, tmp_path, FAIL="1", FAIL_AS="permanent"))
    (job,) = one.run(tmp_path, [sh("exit 0")])
    assert (job.state, job.reason) == (State.FAILED, Reason.SUBMIT_REFUSED)
    assert one.ledger == Counter()


def test_a_job_that_was_killed_without_its_wrapper_s_word_is_told_by_the_scheduler(
    tmp_path: Path, fakes: list[Fake]
) -> None:
    fakes.append(one := fake(TABLE, tmp_path))
    (job,) = one.run(tmp_path, [sh("kill -9 $PPID $$")])
    assert (job.state, job.reason, job.signal) == (State.FAILED, Reason.SIGNAL, 9)


# ---- the machine -------------------------------------------------------------------------------------------------


def test_only_as_many_jobs_run_at_once_as_there_are_slots(tmp_path: Path, fakes: list[Fake]) -> None:
    fakes.append(one := fake(TABLE, tmp_path, SLOTS="2"))
    one.run(tmp_path, [sh("sleep 0.3") for _ in range(6)])
    running = most = 0
    for line in (one.folder / "ledger").read_text(encoding="utf-8").splitlines():
        running += {"started": 1, "ended": -1}.get(line.split()[0], 0)
        most = max(most, running)
    assert most == 2


def test_a_stand_in_costs_little_more_than_a_python_that_starts(tmp_path: Path, fakes: list[Fake]) -> None:
    fakes.append(one := fake(TABLE, tmp_path))
    call = ["squeue", *next(c["exact"] for c in one.plan.data["calls"] if c["action"] == "find")]

    def best(command: list[str]) -> float:
        times = []
        for _ in range(15):
            began = time.perf_counter()
            subprocess.run(command, env=one.environment, capture_output=True, check=True)
            times.append(time.perf_counter() - began)
        return min(times)

    best(call)  # compiles it
    assert best(call) < best([os.path.realpath(sys.executable), "-SE", "-c", "pass"]) + 0.02


def test_a_call_that_no_command_makes_is_refused(tmp_path: Path, fakes: list[Fake]) -> None:
    fakes.append(one := fake(TABLE, tmp_path))
    said = subprocess.run(["squeue", "--nonsense"], env=one.environment, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (64, "")
    assert "the simulator knows no such call: --nonsense" in said.stderr


# ---- the command -------------------------------------------------------------------------------------------------


def test_a_command_runs_with_the_fake_on_its_path_and_its_exit_code_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ADAPTER_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    inner = [sys.executable, "-m", "adapter", "run", "--on", TABLE, "--", "sh", "-c", "echo hello; exit 3"]
    ran = CliRunner().invoke(cli, ["simulate", TABLE, "--", *inner], standalone_mode=False)
    assert ran.return_value == 3
    assert capfd.readouterr().out == "hello\n"


def test_a_folder_is_written_with_its_variables_and_the_line_for_the_path(tmp_path: Path) -> None:
    folder = tmp_path / "fake"
    made = CliRunner().invoke(cli, ["simulate", TABLE, "--into", str(folder), "--set", "SLOTS=3"])
    assert made.output.splitlines()[-1] == f"PATH={folder}/bin:$PATH"
    assert "SLOTS=3\n" in (folder / "settings").read_text(encoding="utf-8")
    assert re.search(r"^  FAIL_AFTER +share of submits", (folder / "README").read_text(encoding="utf-8"), re.MULTILINE)
    again = CliRunner().invoke(cli, ["simulate", TABLE, "--into", str(folder)])
    assert (again.exit_code, "is not empty" in again.output) == (2, True)


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        pytest.param("SLOT=3", "'SLOT' is no variable of the simulator", id="an unknown one"),
        pytest.param("FAIL=often", "FAIL=often: a number is wanted", id="no number"),
        pytest.param("DOWN=1:2:3", "DOWN=1:2:3: FROM:FOR", id="too many numbers"),
        pytest.param("FAIL", "write NAME=VALUE", id="no value"),
    ],
)
def test_a_variable_that_is_none_is_refused(tmp_path: Path, setting: str, why: str) -> None:
    made = CliRunner().invoke(cli, ["simulate", TABLE, "--into", str(tmp_path / "fake"), "--set", setting])
    assert made.exit_code == 2
    assert why in made.output
    assert not (tmp_path / "fake").exists()


# ---- text for a pattern ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "wanted", "text"),
    [
        pytest.param(r"^(?P<id>\d+) (?P<state>\w+)$", {"id": "7", "state": "RUN"}, "7 RUN", id="groups"),
        pytest.param(r"^(?P<id>\d+)(?:;\S+)?$", {"id": "7"}, "7", id="an optional part is left out"),
        pytest.param(
            r"^(?P<id>\d+)(?: code (?P<code>\d+))?$", {"id": "7", "code": "3"}, "7 code 3", id="unless wanted"
        ),
        pytest.param(r"^(?:yes|no (?P<id>\d+))$", {"id": "7"}, "no 7", id="the branch with the group"),
        pytest.param(r"^(?P<id>\d+)\|[^|]*\|[A-Z]{3}\|", {"id": "7"}, "7||AAA|", id="classes and repeats"),
        pytest.param(r"(?x) ^ (?P<id> \d+ ) \s # a comment", {"id": "7"}, "7 ", id="verbose"),
    ],
)
def test_a_text_is_made_that_a_pattern_reads(pattern: str, wanted: dict[str, str], text: str) -> None:
    compiled = re.compile(pattern)
    made = next(fitting(compiled, {name: (value,) for name, value in wanted.items()}))
    assert filled(made.pieces, {}) == text
    found = compiled.search(text)
    assert found is not None
    assert wanted.items() <= found.groupdict().items()


def test_what_a_look_ahead_wants_comes_later() -> None:
    made = [*fitting(re.compile(r"a(?=.*b)"), {})]
    assert ("a",) in [each.pieces for each in made]
    assert any(filled(each.later, {}).endswith("b") for each in made)


def test_a_number_finds_its_place_in_a_job_id() -> None:
    pattern = re.compile(r"^(?P<job_id>\d+(?:\[\])?\.[\w.-]+)$")
    assert next(number_in(pattern, "job_id")) == (Slot("number"), ".0")
