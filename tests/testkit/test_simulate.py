"""The simulated Slurm answers as the real one was recorded, passes the table of real ones, and fails as ordered."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from click.testing import CliRunner

from adapter.cli.main import cli
from adapter.config.load import load_backend
from adapter.core.backend import backend_from, merge
from adapter.core.state import Reason, State
from adapter.core.task import Resources, Step, Task
from adapter.errors import ConfigError
from adapter.execution.executor import Executor
from adapter.store.sqlite import SqliteStore
from adapter.testkit import conformance
from adapter.testkit.simulator import find_simulator, make_folder, stop
from adapter.transports.local import LocalTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from adapter.core.backend import Backend
    from adapter.core.job import Job

ROOT = Path(__file__).parents[2]
SLURM = load_backend("slurm").backend
SIMULATOR = find_simulator(SLURM)
QUICK = {"SLOTS": "8", "KILL_WAIT": "2", "MINUTE": "1", "REQUEUE": "1"}
"""Settings under which nothing takes longer than a test has time for."""


@dataclass
class Fake:
    """A simulated Slurm in a folder of its own, and a backend that talks to it."""

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

    def call(self, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a line of shell with the simulator's programs on the PATH."""
        return subprocess.run(
            ["sh", "-c", line], cwd=self.folder, env={**self.environment, **environment}, text=True,
            capture_output=True, check=False, timeout=20,
        )  # fmt: skip

    def said(self, line: str) -> str:
        """Return what a line printed that must succeed."""
        done = self.call(line)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def states(self) -> list[str]:
        """Return id, state, wait status and reason of all jobs."""
        columns = "JobArrayID:|,State:|,exit_code:|,Reason:|"
        rows = self.said(f"squeue -h -r --states=all -O '{columns}'").splitlines()
        return sorted(row.removesuffix("|") for row in rows)

    def until(self, *rows: str) -> None:
        """Wait until squeue shows these jobs."""
        ends_at = time.monotonic() + 15
        while self.states() != list(rows):
            assert time.monotonic() < ends_at, self.states()
            time.sleep(0.1)


def fake(folder: Path, changes: dict[str, object] | None = None, **settings: str) -> Fake:
    programs = make_folder(SIMULATOR, folder / "scheduler", QUICK | settings)
    limits = {"limits": {"poll_seconds": [0.1, 0.5]}}
    document = merge(merge(SLURM.document, {"workspace": str(folder / "jobs"), **limits}), changes or {})
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "SBATCH_"))}
    environment = {**kept, "PATH": f"{programs}:{os.environ['PATH']}"}
    return Fake(folder / "scheduler", backend_from(document, name="slurm", lineage=SLURM.lineage), environment)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Fake]]:
    """Makes the simulated Slurm of a test, which is ended with it; whoever runs its jobs met no error."""
    yield lambda changes=None, **settings: fake(tmp_path, changes, **settings)
    end(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fake]:
    """A simulated Slurm in which no job has to run, for several tests."""
    folder = tmp_path_factory.mktemp("shared")
    yield fake(folder, SLOTS="0")
    end(folder)


def end(folder: Path) -> None:
    stop(SIMULATOR, folder / "scheduler")
    errors = folder / "scheduler" / "errors"
    assert not errors.exists() or errors.read_text() == ""


def sh(line: str) -> Task:
    return Task(name="small", steps=(Step(shell=line),))


# ---- what takes long, and mostly waits ---------------------------------------------------------------------------

Outcomes = dict[str, conformance.Outcome]


async def table(one: Fake, folder: Path) -> Outcomes:
    (folder / "files").mkdir()
    async with one.executor(folder) as executor:
        bounds = {"walltime_s": 2, "many": 10, "hold": ["--hold"], "patience_s": 60}
        outcomes = await asyncio.wait_for(conformance.run(executor, folder=folder / "files", **bounds), 120)  # type: ignore[arg-type]
    return {outcome.name: outcome for outcome in outcomes}


def run_table(folder: Path) -> Outcomes:
    return asyncio.run(table(fake(folder, SLOTS="24"), folder))


def run_with_faults(jobs: int, faults: str) -> Callable[[Path], tuple[list[Job], Counter[tuple[str, str]]]]:
    def run(folder: Path) -> tuple[list[Job], Counter[tuple[str, str]]]:
        one = fake(folder, FAULTS=faults)
        return one.run(folder, [sh(f"exit {number % 2}") for number in range(jobs)], within_s=100), one.ledger

    return run


LONG: dict[str, Callable[[Path], Any]] = {
    "table": run_table,
    "every fifth": run_with_faults(12, "*:/5:down,sbatch:/3:after-timeout"),
    "all kinds": run_with_faults(
        6,
        "sbatch:1:empty,sbatch:3:kill,sbatch:4:after-kill,sbatch:5:after-zero,sbatch:6:busy,"
        "squeue:2:empty,squeue:3:cut,squeue:4:zero,squeue:6:kill",
    ),
}


@pytest.fixture(scope="module", autouse=True)
def long(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Callable[[str], Any]]:
    """Returns what became of one of ``LONG``. Where there is only this process, they run beside the other tests."""
    started: dict[str, Future[Any]] = {}
    folders: list[Path] = []

    def start(name: str) -> Future[Any]:
        if name not in started:
            folders.append(tmp_path_factory.mktemp(name.replace(" ", "-")))
            started[name] = pool.submit(LONG[name], folders[-1])
        return started[name]

    with ThreadPoolExecutor(len(LONG)) as pool:
        if worker_id == "master":
            for name in LONG:
                start(name)
        yield lambda name: start(name).result(timeout=120)
    for folder in folders:
        end(folder)


# ---- which backends have one -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["slurm", "slurm-apptainer"])
def test_a_backend_has_the_simulator_of_what_it_extends(name: str) -> None:
    assert find_simulator(load_backend(name).backend) == ROOT / "templates" / "simulators" / "slurm"


@pytest.mark.parametrize("name", ["lsf", "docker"])
def test_a_backend_without_a_simulator_says_which_have_one(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^backend {name} has no simulator; slurm has one$"):
        find_simulator(load_backend(name).backend)


# ---- as the real one was recorded --------------------------------------------------------------------------------

RECORDED = {
    "submit-bad-partition": "sbatch -p nosuch --wrap true",
    "submit-bad-option": "sbatch --nosuchopt --wrap true",
    "submit-bad-time": "sbatch -t abc --wrap true",
    "submit-array-too-large": "sbatch --array=1-20000 --wrap true",
    "submit-too-much-memory": "sbatch --mem=900G --wrap true",
    "submit-dos-script": r"printf '#!/bin/sh\r\ntrue\r\n' >dos; sbatch dos",
    "submit-down": "touch down; sbatch --wrap true",
    "monitor-unknown": "squeue -h -t all -j 9999999",
    "monitor-down": "touch down; squeue",
    "find-nothing": "squeue --me -h -O Comment:",
    "find-down": "touch down; squeue --me",
    "kill-unknown": "scancel 9999999",
    "result-not-there-yet": "sacct -n -P -j 9999999",
    "version": "sbatch --version",
}


@pytest.mark.parametrize("name", RECORDED)
def test_a_call_is_answered_as_the_real_slurm_answered_it(name: str, shared: Fake) -> None:
    capture = yaml.safe_load((ROOT / "tests/captures/slurm" / f"{name}.yaml").read_text(encoding="utf-8"))
    done = shared.call(RECORDED[name])
    (shared.folder / "down").unlink(missing_ok=True)
    expected = (capture["exit_code"], capture["stdout"], capture["stderr"])
    assert (done.returncode, done.stdout, done.stderr) == expected


def test_without_accounting_sacct_says_so(make: Callable[..., Fake]) -> None:
    done = make(ACCOUNTING="0").call("sacct -j 3")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "Slurm accounting storage is disabled\n")


def test_jobs_end_in_the_states_and_with_the_reasons_of_the_real_one(make: Callable[..., Fake]) -> None:
    one = make()
    one.said("for line in 'exit 0' 'exit 3' 'exit 137' 'kill -9 $$' 'exit 1'; do sbatch --wrap \"$line\"; done")
    one.said("sbatch -D /nonexistent -o none/x --wrap true")
    one.until(
        "1|COMPLETED|0|None", "2|FAILED|768|NonZeroExitCode", "3|FAILED|35072|NonZeroExitCode",
        "4|FAILED|9|JobLaunchFailure", "5|FAILED|256|NonZeroExitCode", "6|FAILED|53|JobLaunchFailure",
    )  # fmt: skip
    time.sleep(0.3)  # accounting is late
    assert one.said("sacct -nPX -o JobID,State,ExitCode").splitlines() == [
        "1|COMPLETED|0:0", "2|FAILED|3:0", "3|FAILED|9:0", "4|FAILED|0:9", "5|FAILED|1:0", "6|FAILED|0:53",
    ]  # fmt: skip


def test_a_job_waits_for_the_reason_that_it_has(make: Callable[..., Fake]) -> None:
    one = make(SLOTS="1")
    for given in ("", "", "", "--hold", "-b now+1hour", "-p down", "-p short -t 60:00", "-c 2", "-N 2"):
        one.said(f"sbatch {given} --wrap 'sleep 60'")
    one.said("sbatch -d afterok:1 --wrap true")
    assert one.states() == sorted([
        "1|RUNNING|0|None", "2|PENDING|0|Resources", "3|PENDING|0|Priority", "4|PENDING|0|JobHeldUser",
        "5|PENDING|0|BeginTime", "6|PENDING|0|PartitionDown", "7|PENDING|0|PartitionTimeLimit",
        "8|PENDING|0|PartitionConfig", "9|PENDING|0|PartitionConfig", "10|PENDING|0|Dependency",
    ])  # fmt: skip
    one.said("scancel 1 3 4")
    one.until(*sorted([
        "1|CANCELLED|15|None", "2|RUNNING|0|None", "3|CANCELLED|0|Priority", "4|CANCELLED|0|JobHeldUser",
        "5|PENDING|0|BeginTime", "6|PENDING|0|PartitionDown", "7|PENDING|0|PartitionTimeLimit",
        "8|PENDING|0|PartitionConfig", "9|PENDING|0|PartitionConfig", "10|PENDING|0|DependencyNeverSatisfied",
    ]))  # fmt: skip


def test_dependencies_are_met_or_never_will_be(make: Callable[..., Fake]) -> None:
    one = make()
    one.said("sbatch --wrap 'sleep 0.5'; sbatch --array=0-1 --wrap 'sleep 0.5; exit $SLURM_ARRAY_TASK_ID'")
    for given in ("afterok:1", "afterok:2", "afterok:2_0", "afterany:2:1", "afternotok:2_1", "afterok:999"):
        one.said(f"sbatch -d {given} -J {given} --wrap true")
    one.said("sbatch -d afternotok:1 --kill-on-invalid-dep=yes -J 'kill on invalid' --wrap true")

    def seen() -> dict[str, str]:
        rows = one.said("squeue -h -t all -o '%j|%T|%r'").splitlines()
        return dict(row.split("|", 1) for row in rows if not row.startswith("wrap"))

    wanted = dict.fromkeys(
        ["afterok:1", "afterok:2_0", "afterany:2:1", "afternotok:2_1", "afterok:999"], "COMPLETED|None"
    )
    never = "DependencyNeverSatisfied"
    wanted |= {"afterok:2": f"PENDING|{never}", "kill on invalid": f"CANCELLED|{never}"}
    ends_at = time.monotonic() + 15
    while seen() != wanted:
        assert time.monotonic() < ends_at, seen()
        time.sleep(0.1)


def test_an_array_is_one_row_while_it_waits_and_has_an_id_for_each_element(make: Callable[..., Fake]) -> None:
    one = make()
    one.said("sbatch -H --array=0-3,7%2 --wrap 'echo $SLURM_ARRAY_JOB_ID $SLURM_ARRAY_TASK_ID $SLURM_JOB_ID; sleep 2'")
    assert one.said("squeue -h -o '%i %T'") == "1_[0-3,7%2] PENDING"
    assert one.said("squeue -h -r -o %i").split() == ["1_0", "1_1", "1_2", "1_3", "1_7"]
    assert one.said("squeue -h -j 1_2 -o %i") == "1_2"
    one.said("scancel 1_1 1_7; scontrol release 1")
    assert one.said("squeue -h -o '%i %T'").splitlines() == ["1_[3%2] PENDING", "1_0 RUNNING", "1_2 RUNNING"]
    rows = [f"1_{task}|{end}|0|None" for task, end in {0: "COMPLETED", 2: "COMPLETED", 3: "COMPLETED"}.items()]
    one.until(*sorted([*rows, "1_1|CANCELLED|0|JobHeldUser", "1_7|CANCELLED|0|JobHeldUser"]))
    logs = [(one.folder / f"slurm-1_{task}.out").read_text() for task in (0, 2, 3)]
    assert logs == ["1 0 2\n", "1 2 3\n", "1 3 1\n"]


def test_a_job_sees_what_slurm_sets_and_what_its_submit_had(make: Callable[..., Fake]) -> None:
    one = make()
    one.call("sbatch -n 2 -c 3 --mem=100M -J 'a b' --wrap 'env; echo $*'", MINE="x  'y", SLURM_ARRAY_JOB_ID="9")
    one.until("1|COMPLETED|0|None")
    seen = dict(line.split("=", 1) for line in (one.folder / "slurm-1.out").read_text().splitlines() if "=" in line)
    wanted = {"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "a b", "SLURM_NTASKS": "2", "SLURM_CPUS_PER_TASK": "3"}
    wanted |= {"SLURM_CPUS_ON_NODE": "6", "SLURM_MEM_PER_NODE": "100", "MINE": "x  'y", "SLURM_ARRAY_JOB_ID": "9"}
    assert wanted.items() <= seen.items()


def test_a_directive_is_read_as_sbatch_reads_it(make: Callable[..., Fake]) -> None:
    one = make()
    lines = ["#!/bin/sh", r"""#SBATCH --job-name='a \'b'" c" # --parsable""", "true", "#SBATCH --hold"]
    (one.folder / "script").write_text("\n".join(lines) + "\n")
    assert one.said("sbatch script; squeue -h -t all -o '%j'").splitlines() == ["Submitted batch job 1", "a 'b c"]


def test_jobs_pass_through_configuring_completing_and_suspended(make: Callable[..., Fake]) -> None:
    one = make(CONFIGURE="1.2", COMPLETE="1.2")
    one.said("sbatch --wrap 'sleep 1; exit 2'")
    one.until("1|CONFIGURING|0|None")
    one.until("1|RUNNING|0|None")
    one.said("scontrol suspend 1")
    assert one.states() == ["1|SUSPENDED|0|None"]
    one.said("scontrol resume 1")
    one.until("1|RUNNING|0|None")
    one.until("1|COMPLETING|512|NonZeroExitCode")
    one.until("1|FAILED|512|NonZeroExitCode")


def test_a_job_over_its_time_is_told_then_ended_then_killed(make: Callable[..., Fake]) -> None:
    one = make(KILL_WAIT="1")
    line = 'trap "echo warned" USR1; trap "echo term" TERM; while :; do sleep 0.1; done'
    one.said(f"sbatch -t 0:02 --signal=B:USR1@1 --wrap '{line}'")
    one.until("1|COMPLETING|15|TimeLimit")
    one.until("1|TIMEOUT|15|TimeLimit")
    log = (one.folder / "slurm-1.out").read_text()
    assert [word for word in log.split() if word in ("warned", "term")] == ["warned", "term"]
    assert re.search(
        r"^slurmstepd: error: \*\*\* JOB 1 ON node1 CANCELLED AT \S+ DUE TO TIME LIMIT \*\*\*$", log, re.MULTILINE
    )
    time.sleep(0.3)  # accounting is late
    assert one.said("sacct -nP -o JobID,State,ExitCode").splitlines() == ["1|TIMEOUT|0:0", "1.batch|CANCELLED|0:15"]


def test_a_job_over_its_memory_is_out_of_it(make: Callable[..., Fake]) -> None:
    one = make()
    one.said("sbatch --mem=64M --wrap 'head -c 300000000 /dev/zero | tail >/dev/null; exit 0'")
    one.until("1|OUT_OF_MEMORY|253|OutOfMemory")
    time.sleep(0.3)
    assert one.said("sacct -nPX -o State,ExitCode") == "OUT_OF_MEMORY|0:125"


@pytest.mark.parametrize(
    ("order", "row"),
    [
        pytest.param("NODE_FAIL", "1|NODE_FAIL|0|NodeDown", id="node failure"),
        pytest.param("PREEMPTED", "1|PREEMPTED|15|None", id="preempted"),
    ],
)
def test_an_end_that_only_slurm_decides_on_can_be_ordered(order: str, row: str, make: Callable[..., Fake]) -> None:
    one = make()
    one.said("sbatch --wrap 'sleep 60'")
    one.said(f"{sys.executable} {SIMULATOR} end {one.folder} 1 {order}")
    one.until(row)


def test_a_requeued_job_keeps_its_id_and_runs_again(make: Callable[..., Fake]) -> None:
    one = make(REQUEUE="2")
    one.said("sbatch --wrap '[ $SLURM_RESTART_COUNT ] || sleep 60'")
    one.until("1|RUNNING|0|None")
    one.said("scontrol requeue 1")
    one.until("1|PENDING|0|BeginTime")
    one.until("1|COMPLETED|0|None")


def test_an_id_has_its_cluster_where_one_was_named(make: Callable[..., Fake]) -> None:
    one = make(CLUSTER="big")
    assert one.said("sbatch --parsable -M big --wrap true") == "1;big"
    assert one.said("squeue -M big -h -t all -O 'JobID:;,Cluster:'") == "1;big"
    done = one.call("squeue -M nope")
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, "squeue: error: No cluster 'nope' known by database.")


def test_a_step_of_a_job_runs_once_for_each_rank(make: Callable[..., Fake]) -> None:
    one = make()
    one.said("sbatch -n 2 --wrap 'srun sh -c \"echo rank \\$SLURM_PROCID; exit 5\"'")
    one.until("1|FAILED|1280|NonZeroExitCode")
    lines = (one.folder / "slurm-1.out").read_text().splitlines()
    assert sorted(lines)[:2] == ["rank 0", "rank 1"]
    assert sum(line.endswith("Exited with exit code 5") for line in lines) == 2


# ---- through the executor ----------------------------------------------------------------------------------------


def test_many_like_tasks_are_one_submit_and_run_as_the_elements_of_an_array(
    tmp_path: Path, make: Callable[..., Fake]
) -> None:
    one = make({"limits": {"arrays": True}})
    jobs = one.run(tmp_path, [sh(f"exit {number}") for number in range(5)])
    assert [job.exit_code for job in jobs] == list(range(5))
    assert [what for what, _ in one.ledger.elements()].count("submitted") == 1
    assert [what for what, _ in one.ledger.elements()].count("started") == 5


def test_a_limit_of_submitted_jobs_is_waited_for(tmp_path: Path, make: Callable[..., Fake]) -> None:
    one = make(MAX_SUBMIT="2")
    jobs = one.run(tmp_path, [sh("sleep 0.2") for _ in range(4)])
    assert [job.state for job in jobs] == [State.SUCCEEDED] * 4
    assert one.ledger == once(jobs)


def test_a_limit_that_never_passes_refuses_a_job(tmp_path: Path, make: Callable[..., Fake]) -> None:
    task = Task(name="long", steps=(Step(shell="true"),), resources=Resources(walltime_s=7200))
    (job,) = make(MAX_WALL="3600").run(tmp_path, [task])
    assert (job.state, job.reason) == (State.FAILED, Reason.SUBMIT_REFUSED)
    assert "QOSMaxWallDurationPerJobLimit" in job.message


# ---- faults ------------------------------------------------------------------------------------------------------


def once(jobs: list[Job]) -> Counter[tuple[str, str]]:
    """Return the ledger in which each job was submitted, started and ended once."""
    return Counter({(what, job.token): 1 for job in jobs for what in ("submitted", "started", "ended")})


@pytest.mark.parametrize(
    ("how", "code", "out", "err", "rows"),
    [
        pytest.param("down", 1, "", "Unable to contact slurm controller (connect failure)", 0, id="down"),
        pytest.param("timeout", 1, "", "Socket timed out on send/recv operation", 0, id="timeout"),
        pytest.param("after-timeout", 1, "", "Socket timed out on send/recv operation", 1, id="timeout, with effect"),
        pytest.param("zero", 0, "", "Unable to contact slurm controller (connect failure)", 0, id="exit code 0"),
        pytest.param("refuse", 1, "", "Invalid account or account/partition combination specified", 0, id="refused"),
        pytest.param("kill", -9, "", "", 0, id="killed"),
        pytest.param("after-kill", -9, "", "", 1, id="killed, with effect"),
        pytest.param("empty", 0, "", "", 1, id="empty"),
        pytest.param("cut", 0, "cut", "", 1, id="cut"),
    ],
)
def test_the_second_call_fails_as_ordered(how: str, code: int, out: str, err: str, rows: int, shared: Fake) -> None:
    (shared.folder / "settings").write_text(f"SLOTS=0\nFAULTS=sbatch:2:{how}\n", encoding="utf-8")
    submit = "exec sbatch --parsable --wrap true"
    first = int(shared.said(submit))
    done = shared.call(submit)
    whole = f"{first + 1}\n"
    assert (done.returncode, done.stdout) == (code, whole[: len(whole) * 2 // 3] if out else "")
    assert done.stderr.strip() == (f"sbatch: error: Batch job submission failed: {err}" if err else "")
    assert int(shared.said(submit)) == first + rows + 1


def test_a_call_that_hangs_answers_nothing(make: Callable[..., Fake]) -> None:
    one = make(FAULTS="sbatch:1:hang,squeue:1-:after-hang")
    for line in ("sbatch --wrap true", "squeue"):
        assert one.call(f"timeout -s KILL 0.7 {line} >out; wc -c <out").stdout == "0\n"
    assert one.said("sbatch --parsable --wrap true") == "1"


def test_a_job_that_vanishes_is_lost_and_no_other(tmp_path: Path, make: Callable[..., Fake]) -> None:
    one = make({"monitor": {"absent": {"gone_after": "1s"}}}, LOSE="1")
    (job,) = one.run(tmp_path, [sh("exit 0")])
    assert (job.state, job.reason) == (State.LOST, Reason.VANISHED)
    (one.folder / "settings").write_text("LOSE=0\n", encoding="utf-8")
    (tmp_path / "again").mkdir()
    (job,) = one.run(tmp_path / "again", [sh("exit 0")])
    assert job.state is State.SUCCEEDED


def test_a_scheduler_that_is_down_for_a_while_fails_no_job(tmp_path: Path, make: Callable[..., Fake]) -> None:
    one = make()
    down = one.folder / "down"

    async def story() -> list[Job]:
        async with one.executor(tmp_path) as executor:
            run = await executor.submit([sh("sleep 1; exit 3")])
            while executor.jobs_of(run)[0].job_id is None:
                await asyncio.sleep(0.1)
            down.touch()
            await asyncio.sleep(1.5)
            down.unlink()
            return await asyncio.wait_for(executor.wait(run), 60)

    (job,) = asyncio.run(story())
    assert (job.state, job.exit_code) == (State.FAILED, 3)


def test_noise_and_unheard_of_states_disturb_no_job(tmp_path: Path, make: Callable[..., Fake]) -> None:
    jobs = make(NOISE="1", UNKNOWN="0.5").run(tmp_path, [sh(f"sleep 0.5; exit {number}") for number in range(6)])
    assert [job.exit_code for job in jobs] == list(range(6))


def test_a_refusal_in_the_words_of_a_permanent_error_fails_the_job(tmp_path: Path, make: Callable[..., Fake]) -> None:
    one = make(FAULTS="sbatch:1-:refuse")
    (job,) = one.run(tmp_path, [sh("exit 0")])
    assert (job.state, job.reason) == (State.FAILED, Reason.SUBMIT_REFUSED)
    assert one.ledger == Counter()


def test_a_job_that_was_killed_without_its_wrapper_s_word_is_told_by_the_scheduler(
    tmp_path: Path, make: Callable[..., Fake]
) -> None:
    (job,) = make().run(tmp_path, [sh("kill -9 $PPID $$")])
    assert (job.state, job.reason, job.signal) == (State.FAILED, Reason.SIGNAL, 9)


# ---- the machine -------------------------------------------------------------------------------------------------


def test_only_as_many_jobs_run_at_once_as_there_are_slots(make: Callable[..., Fake]) -> None:
    one = make(SLOTS="2")
    one.said("for n in 1 2 3 4 5 6; do sbatch --wrap 'sleep 0.3'; done")
    one.until(*(f"{number}|COMPLETED|0|None" for number in range(1, 7)))
    running = most = 0
    for line in (one.folder / "ledger").read_text(encoding="utf-8").splitlines():
        running += {"started": 1, "ended": -1}.get(line.split()[0], 0)
        most = max(most, running)
    assert most == 2


def test_a_job_waits_at_least_as_long_as_is_set_and_then_starts_although_nobody_asks(make: Callable[..., Fake]) -> None:
    one = make(START="1")
    began = time.time()
    one.said("sbatch --wrap 'date +%s.%N'")
    ends_at = time.monotonic() + 20
    while not one.ledger["ended", "-"]:
        assert time.monotonic() < ends_at
        time.sleep(0.1)
    assert float((one.folder / "slurm-1.out").read_text()) >= began + 1


def test_many_processes_submit_at_once_and_each_job_runs_once(make: Callable[..., Fake]) -> None:
    one = make()
    submit = "sbatch --parsable --comment=$$-$n --wrap true"
    loops = [
        subprocess.Popen(
            ["sh", "-c", f"for n in 1 2 3 4 5; do {submit}; squeue -h >/dev/null; done"],
            cwd=one.folder, env=one.environment, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(6)
    ]  # fmt: skip
    ids = sorted(int(word) for loop in loops for word in loop.communicate()[0].split())
    assert ids == list(range(1, 31))
    one.until(*sorted(f"{number}|COMPLETED|0|None" for number in ids))
    assert len(one.ledger) == 90
    assert set(one.ledger.values()) == {1}


def test_calls_that_are_killed_at_any_moment_leave_a_state_that_can_be_read(make: Callable[..., Fake]) -> None:
    one = make()
    submit = ["sbatch", "--parsable", "--hold", "--wrap", "true"]
    for moment in range(12):
        call = subprocess.Popen(submit, cwd=one.folder, env=one.environment, stdout=subprocess.DEVNULL)
        time.sleep(0.01 * moment)
        call.send_signal(signal.SIGKILL)
        call.wait()
    known = one.states()
    assert {row.split("|", 1)[1] for row in known} <= {"PENDING|0|JobHeldUser"}
    assert int(one.said("sbatch --parsable --hold --wrap true")) == len(known) + 1


def test_a_job_whose_keeper_was_killed_has_lost_its_node(make: Callable[..., Fake]) -> None:
    one = make()
    one.said("sbatch --wrap 'echo $PPID; sleep 60'")
    log = one.folder / "slurm-1.out"
    ends_at = time.monotonic() + 10
    while not log.exists() or not log.read_text():
        assert time.monotonic() < ends_at
        time.sleep(0.05)
    os.kill(int(log.read_text()), signal.SIGKILL)
    one.until("1|NODE_FAIL|0|NodeDown")


def test_a_program_costs_little_more_than_a_python_that_starts(make: Callable[..., Fake]) -> None:
    one = make()

    def best(command: list[str]) -> float:
        times = []
        for _ in range(15):
            began = time.perf_counter()
            subprocess.run(command, env=one.environment, capture_output=True, check=True)
            times.append(time.perf_counter() - began)
        return min(times)

    call = ["squeue", "--me", "--noheader", "--states=all", "--Format=ArrayJobID:|,Comment:|"]
    best(call)  # compiles it
    assert best(call) < best([os.path.realpath(sys.executable), "-SE", "-c", "pass"]) + 0.02


def test_a_call_that_slurm_does_not_know_is_refused(make: Callable[..., Fake]) -> None:
    said = make().call("squeue --nonsense")
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr == "squeue: unrecognized option '--nonsense'\nTry \"squeue --help\" for more information\n"


# ---- the command -------------------------------------------------------------------------------------------------


def test_a_command_runs_with_the_simulator_on_its_path_and_its_exit_code_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ADAPTER_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    inner = [sys.executable, "-m", "adapter", "run", "--on", "slurm", "--", "sh", "-c", "echo hello; exit 3"]
    ran = CliRunner().invoke(cli, ["simulate", "slurm", "--", *inner], standalone_mode=False)
    assert ran.return_value == 3
    assert capfd.readouterr().out == "hello\n"


def test_a_folder_is_written_with_its_variables_and_the_line_for_the_path(tmp_path: Path) -> None:
    folder = tmp_path / "fake"
    made = CliRunner().invoke(cli, ["simulate", "slurm", "--into", str(folder), "--set", "SLOTS=3"])
    assert made.output.splitlines()[-1] == f"PATH={folder}/bin:$PATH"
    assert "SLOTS=3\n" in (folder / "settings").read_text(encoding="utf-8")
    assert re.search(r"^  FAULTS= +what fails", (folder / "README").read_text(encoding="utf-8"), re.MULTILINE)
    again = CliRunner().invoke(cli, ["simulate", "slurm", "--into", str(folder)])
    assert (again.exit_code, "is not empty" in again.output) == (2, True)


def test_the_help_of_a_simulator_tells_its_variables() -> None:
    plain, slurm = (CliRunner().invoke(cli, ["simulate", *name, "--help"]) for name in ([], ["slurm"]))
    assert (plain.exit_code, slurm.exit_code) == (0, 0)
    assert "KILL_WAIT=5" in slurm.output
    assert "KILL_WAIT" not in plain.output


def test_a_backend_without_a_simulator_ends_with_2(tmp_path: Path) -> None:
    made = CliRunner().invoke(cli, ["simulate", "local", "--", "true"])
    assert (made.exit_code, "backend local has no simulator; slurm has one" in made.output) == (2, True)


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        pytest.param("SLOT=3", "'SLOT' is no variable of the simulator", id="an unknown one"),
        pytest.param("DELAY=often", "DELAY=often: a number is wanted", id="no number"),
        pytest.param("FAULTS=sbatch:x:down", "FAULTS=sbatch:x:down: PROGRAM:WHEN:HOW", id="no time"),
        pytest.param("FAULTS=sbatch:1:vanish", "PROGRAM:WHEN:HOW", id="no such fault"),
        pytest.param("FAULTS=bsub:1:down", "PROGRAM:WHEN:HOW", id="no such program"),
        pytest.param("SLOTS", "write NAME=VALUE", id="no value"),
    ],
)
def test_a_variable_that_is_none_is_refused(tmp_path: Path, setting: str, why: str) -> None:
    made = CliRunner().invoke(cli, ["simulate", "slurm", "--into", str(tmp_path / "fake"), "--set", setting])
    assert made.exit_code == 2
    assert why in made.output
    assert not (tmp_path / "fake").exists()


# ---- what ran meanwhile ------------------------------------------------------------------------------------------


def test_the_simulated_scheduler_passes_the_table_of_the_real_one(long: Callable[[str], Outcomes]) -> None:
    outcomes = long("table")
    assert {name: outcome.why for name, outcome in outcomes.items() if outcome.verdict != "ok"} == {}
    assert len(outcomes) >= 35


@pytest.mark.parametrize(
    ("name", "count"),
    [
        pytest.param("every fifth", 12, id="where every fifth command fails"),
        pytest.param("all kinds", 6, id="whatever is wrong with an answer"),
    ],
)
def test_nothing_is_lost_or_doubled(
    name: str, count: int, long: Callable[[str], tuple[list[Job], Counter[tuple[str, str]]]]
) -> None:
    jobs, ledger = long(name)
    assert [job.exit_code for job in jobs] == [number % 2 for number in range(count)]
    assert ledger == once(jobs)
