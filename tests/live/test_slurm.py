"""The table that every scheduler has to pass, on a real Slurm: with accounting, without, and over SSH."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from adapter.core.state import Reason, State
from adapter.core.task import Output, Resources, Step, Task
from adapter.execution.executor import Executor
from adapter.store.sqlite import SqliteStore
from tests.crash.story import assert_nothing_lost_or_doubled, crash, survive
from tests.crash.victim import POINTS
from tests.live.conftest import slurm_conf
from tests.live.ways import WAYS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from adapter.core.job import Job
    from tests.live.ways import Way

SMALL = Resources(cpu=1, ram_bytes=50 * 1024**2)


def task(name: str, shell: str, *native: str, resources: Resources = SMALL, **rest: object) -> Task:
    return Task(name=name, steps=(Step(shell=shell),), native={"slurm": native}, resources=resources, **rest)  # type: ignore[arg-type]


TABLE: dict[str, Task] = {
    "exit_0": task("exit 0", "echo out; echo err >&2"),
    "exit_3": task("exit 3", "exit 3"),
    "exit_200": task("exit 200", "exit 200"),
    "signal": task("signal", "kill -9 $$"),
    "wrapper_killed": task("wrapper killed", "kill -9 $PPID $$"),
    "allowed": task("allowed", "exit 3", allowed_exit_codes=(0, 3)),
    "time_limit": task("time limit", "sleep 600", resources=Resources(cpu=1, ram_bytes=50 * 1024**2, walltime_s=60)),
    "out_of_memory": task("out of memory", "head -c 300m /dev/zero | tail >/dev/null"),
    "held": task("held", "true", "--hold"),
    "killed_queued": task("killed queued", "true", "--begin=now+1hour"),
    "killed_running": task("killed running", "trap 'exit 0' TERM; sleep 600 & wait"),
    "killed_stubborn": task("killed stubborn", "trap '' TERM; sleep 600; sleep 600"),
    "cancelled_by_other": task("cancelled by other", "sleep 600"),
    "dependency": task("dependency", "true", "--dependency=afterok:FAILING"),
    "bad_partition": task("bad partition", "true", resources=Resources(queue="nosuch")),
    "hostile_name": task("a 'b\" $(touch x) `e` | & \\ ; é", "true"),
    "missing_output": task("missing output", "true", outputs=(Output(path="nothing.txt", to="."),)),
}
HELD, QUEUED = {"held"}, {"killed_queued"}
KILLED_BY_US = ("held", "killed_queued", "killed_running", "killed_stubborn")


async def run_table(way: Way, folder: Path) -> dict[str, list[Job]]:
    """Run the whole table at once; return the states that each job went through, the last one whole."""
    environment = way.environment
    failing = subprocess.run(
        ["sbatch", "--parsable", "--output=/dev/null", "--wrap", "exit 1"],
        env=environment, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    tasks = [
        task(each.name, each.steps[0].shell or "", *(o.replace("FAILING", failing) for o in each.native["slurm"]))
        if name == "dependency" else each
        for name, each in TABLE.items()
    ]  # fmt: skip
    seen: dict[str, list[Job]] = {name: [] for name in TABLE}
    store = SqliteStore.open(folder / "journal.sqlite")
    async with Executor(way.backend(folder), transport=way.transport(), store=store) as executor:
        run = await executor.submit(tasks)
        acted = False
        async for jobs in executor.watch(run):
            for name, job in zip(TABLE, jobs, strict=True):
                seen[name].append(job)
            now = {name: job.state for name, job in zip(TABLE, jobs, strict=True)}
            running = ("killed_running", "killed_stubborn", "cancelled_by_other")
            if not acted and all(now[name] is State.RUNNING for name in running) and now["held"] is State.HELD:
                acted = True
                for name in KILLED_BY_US:
                    await executor.kill(run, list(TABLE).index(name) + 1)
                job_id = jobs[list(TABLE).index("cancelled_by_other")].job_id
                subprocess.run(["scancel", str(job_id)], env=environment, check=True)
        seen["exit_0"].append(executor.jobs_of(run)[0])
        out, _ = await executor.read_log(executor.jobs_of(run)[0], "stdout")
        err, _ = await executor.read_log(executor.jobs_of(run)[0], "stderr")
        assert (out, err) == ("out\n", "err\n")
    return seen


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[Job]]]:
    """The tables of all ways, run at the same time: they mostly wait for a walltime."""

    async def together() -> list[dict[str, list[Job]]]:
        runs = (run_table(way, tmp_path_factory.mktemp(name)) for name, way in WAYS.items())
        return await asyncio.wait_for(asyncio.gather(*runs), 400)

    return dict(zip(WAYS, asyncio.run(together()), strict=True))


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize(
    ("name", "state", "reason", "exit_code", "signal_number"),
    [
        pytest.param("exit_0", State.SUCCEEDED, None, 0, None, id="exit 0"),
        pytest.param("exit_3", State.FAILED, Reason.EXIT_CODE, 3, None, id="exit 3"),
        pytest.param(
            "exit_200", State.FAILED, Reason.EXIT_CODE, 200, None, id="an exit code that accounting gets wrong"
        ),
        pytest.param("signal", State.FAILED, Reason.SIGNAL, 137, 9, id="a signal"),
        pytest.param("wrapper_killed", State.FAILED, Reason.SIGNAL, 137, 9, id="a signal that leaves no exit file"),
        pytest.param("allowed", State.SUCCEEDED, None, 3, None, id="an allowed exit code"),
        pytest.param("held", State.KILLED, Reason.KILLED_BY_USER, None, None, id="killed while held"),
        pytest.param("killed_queued", State.KILLED, Reason.KILLED_BY_USER, None, None, id="killed while queued"),
        pytest.param(
            "cancelled_by_other", State.KILLED, Reason.KILLED_BY_OTHER, 143, 15, id="cancelled by someone else"
        ),
        pytest.param("dependency", State.FAILED, Reason.DEPENDENCY, None, None, id="a dependency never satisfied"),
        pytest.param("bad_partition", State.FAILED, Reason.SUBMIT_REFUSED, None, None, id="a refused submit"),
        pytest.param("hostile_name", State.SUCCEEDED, None, 0, None, id="a hostile name"),
        pytest.param("missing_output", State.SUCCEEDED, None, 0, None, id="a missing output"),
    ],
)
def test_a_job_ends_as_it_did(
    tables: dict[str, dict[str, list[Job]]], way: str, name: str, state: State, reason: Reason | None,
    exit_code: int | None, signal_number: int | None,
) -> None:  # fmt: skip
    job = tables[way][name][-1]
    assert (job.state, job.reason, job.exit_code, job.signal) == (state, reason, exit_code, signal_number)


@pytest.mark.parametrize("way", list(WAYS))
def test_a_job_over_its_walltime_failed_for_that(tables: dict[str, dict[str, list[Job]]], way: str) -> None:
    job = tables[way]["time_limit"][-1]
    assert (job.state, job.reason) == (State.FAILED, Reason.TIME_LIMIT)


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("name", ["killed_running", "killed_stubborn"])
def test_a_running_job_that_we_kill_is_killed_even_if_it_handles_the_signal(
    tables: dict[str, dict[str, list[Job]]], way: str, name: str
) -> None:
    job = tables[way][name][-1]
    assert (job.state, job.reason) == (State.KILLED, Reason.KILLED_BY_USER)


@pytest.mark.parametrize("way", [name for name, way in WAYS.items() if way.cluster == "acct"])
def test_out_of_memory_is_recognised_where_the_machine_enforces_it(
    tables: dict[str, dict[str, list[Job]]], way: str
) -> None:
    job = tables[way]["out_of_memory"][-1]
    assert (job.state, job.reason) == (State.FAILED, Reason.OUT_OF_MEMORY)


@pytest.mark.parametrize("way", list(WAYS))
def test_a_held_job_is_shown_as_held(tables: dict[str, dict[str, list[Job]]], way: str) -> None:
    assert State.HELD in {job.state for job in tables[way]["held"]}


@pytest.mark.parametrize("way", list(WAYS))
def test_a_refusal_carries_the_schedulers_own_words(tables: dict[str, dict[str, list[Job]]], way: str) -> None:
    assert "invalid partition specified: nosuch" in tables[way]["bad_partition"][-1].message


@pytest.mark.parametrize("way", list(WAYS))
def test_a_missing_output_is_said(tables: dict[str, dict[str, list[Job]]], way: str) -> None:
    assert tables[way]["missing_output"][-1].collect_problem == "declared outputs are missing: nothing.txt"


def test_with_accounting_the_peak_of_memory_is_known(tables: dict[str, dict[str, list[Job]]]) -> None:
    assert (tables["acct"]["killed_running"][-1].usage.peak_ram_bytes or 0) > 0


@pytest.mark.parametrize("name", ["acct", "nodb", "ssh"])
def test_200_jobs_travel_in_a_handful_of_batches(name: str, tmp_path: Path) -> None:
    way = WAYS[name]
    transport = way.transport()

    async def burst() -> list[Job]:
        store = SqliteStore.open(tmp_path / "journal.sqlite")
        async with Executor(way.backend(tmp_path), transport=transport, store=store) as executor:
            run = await executor.submit([task(f"burst {n}", f"exit {n % 2}") for n in range(200)])
            return await asyncio.wait_for(executor.wait(run), 180)

    jobs = asyncio.run(burst())
    assert [job.exit_code for job in jobs] == [0, 1] * 100
    polls, submits = transport.count("# probe"), transport.count("# submit /")
    assert submits == 2
    assert sum(run.count("squeue --noheader --array --states=all --Format=") for run in transport.runs) == polls
    results = transport.count("sacct")
    assert results <= polls if way.cluster == "acct" else results == 0
    assert len(transport.runs) == 1 + submits + polls + results, "prepare, submits, polls, accounting: nothing else"


@pytest.mark.parametrize("cluster", ["acct", "nodb"])
def test_a_job_that_ended_and_was_purged_while_nobody_looked_is_judged_by_its_exit_file(
    cluster: str, tmp_path: Path
) -> None:
    way = WAYS[cluster]
    environment = way.environment

    async def begin() -> tuple[str, list[Job]]:
        transport = way.transport()
        store = SqliteStore.open(tmp_path / "journal.sqlite")
        async with Executor(way.backend(tmp_path), transport=transport, store=store) as executor:
            run = await executor.submit([task("three", "exit 3"), task("zero", "exit 0")])
            return run, await executor.handed_over(run)

    async def finish(run: str) -> list[Job]:
        transport = way.transport()
        store = SqliteStore.open(tmp_path / "journal.sqlite")
        async with Executor(way.backend(tmp_path), transport=transport, store=store) as executor:
            await executor.adopt(run)
            return await asyncio.wait_for(executor.wait(run), 120)

    run, jobs = asyncio.run(begin())
    ids = [str(job.job_id) for job in jobs]
    until = time.monotonic() + 150
    while time.monotonic() < until:
        listed = subprocess.run(
            ["squeue", "--noheader", "--states=all", "--format=%i"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        if not set(ids) & set(listed):
            break
        time.sleep(1)
    assert not set(ids) & set(listed), "the scheduler still remembers the jobs"
    ended = asyncio.run(finish(run))
    assert [(job.state, job.exit_code) for job in ended] == [(State.FAILED, 3), (State.SUCCEEDED, 0)]


def test_where_the_exit_log_is_on_the_end_of_a_job_is_told_without_asking_the_scheduler(tmp_path: Path) -> None:
    way = WAYS["acct"]
    backend = way.backend(tmp_path, values={"exit_log": True}, limits={"poll_seconds": [1, 60]})

    async def listen() -> tuple[Job, set[str]]:
        told: set[str] = set()
        store = SqliteStore.open(tmp_path / "journal.sqlite")
        async with Executor(backend, transport=way.transport(), store=store) as executor, asyncio.timeout(90):
            run = await executor.submit([task("watched", "sleep 3; exit 3")])
            await executor.handed_over(run)
            while not told:
                told |= (await executor.client.watch()).job_ids
            return (await executor.wait(run))[0], told

    job, told = asyncio.run(listen())
    assert (job.state, job.exit_code) == (State.FAILED, 3)
    assert told == {job.job_id}


def test_a_scheduler_that_hangs_for_a_while_fails_no_job(tmp_path: Path) -> None:
    conf = slurm_conf("nodb")
    controller = next(
        int(folder.name)
        for folder in Path("/proc").glob("[0-9]*")
        if f"slurmctld\0-D\0-f\0{conf}" in _command_line(folder)
    )
    said: list[str] = []

    async def hang() -> list[Job]:
        store = SqliteStore.open(tmp_path / "journal.sqlite")
        transport, backend = WAYS["nodb"].transport(), WAYS["nodb"].backend(tmp_path)
        async with Executor(
            backend, transport=transport, store=store, on_event=lambda e: said.append(e.kind)
        ) as executor:
            run = await executor.submit([task(f"through {n}", "sleep 3; exit 4") for n in range(5)])
            await executor.handed_over(run)
            os.kill(controller, signal.SIGSTOP)
            try:
                async with asyncio.timeout(90):
                    while "monitor_failed" not in said:
                        await asyncio.sleep(0.2)
            finally:
                os.kill(controller, signal.SIGCONT)
            return await asyncio.wait_for(executor.wait(run), 120)

    jobs = asyncio.run(hang())
    assert [(job.state, job.exit_code) for job in jobs] == [(State.FAILED, 4)] * 5


def test_a_munge_that_is_away_for_15_seconds_fails_nothing(tmp_path: Path) -> None:
    key = f"{Path(slurm_conf('nodb')).parent}/munge/key"
    munged = [int(p.name) for p in Path("/proc").glob("[0-9]*") if f"--key-file={key}" in _command_line(p)]
    assert munged
    events: list[str] = []

    async def go() -> list[Job]:
        transport, backend = WAYS["nodb"].transport(), WAYS["nodb"].backend(tmp_path)
        store = SqliteStore.open(tmp_path / "journal.sqlite")
        async with Executor(
            backend, transport=transport, store=store, on_event=lambda e: events.append(e.kind)
        ) as executor:
            first = await executor.submit([task(f"before {n}", "sleep 2; exit 4") for n in range(3)])
            await executor.handed_over(first)
            for process in munged:
                os.kill(process, signal.SIGSTOP)
            try:
                second = await executor.submit([task(f"during {n}", "exit 5") for n in range(5)])
                await asyncio.sleep(15)
            finally:
                for process in munged:
                    os.kill(process, signal.SIGCONT)
            async with asyncio.timeout(240):
                return [*await executor.wait(first), *await executor.wait(second)]

    jobs = asyncio.run(go())
    assert [(job.state, job.exit_code) for job in jobs] == [(State.FAILED, 4)] * 3 + [(State.FAILED, 5)] * 5
    assert len({job.job_id for job in jobs}) == 8


def in_accounting(tmp_path: Path, *tasks: Task) -> tuple[list[Job], list[str]]:
    """Run *tasks* on the cluster whose limits are enforced; return how they ended, and what was told of submits."""
    told: list[str] = []

    async def go() -> list[Job]:
        transport, backend = WAYS["acct"].transport(), WAYS["acct"].backend(tmp_path)
        store = SqliteStore.open(tmp_path / "journal.sqlite")
        async with Executor(
            backend, transport=transport, store=store,
            on_event=lambda e: told.append(e.text) if e.kind == "submit_waits" else None,
        ) as executor, asyncio.timeout(240):  # fmt: skip
            return await executor.wait(await executor.submit(tasks))

    return asyncio.run(go()), told


def test_a_limit_that_never_passes_refuses_a_job_at_once(tmp_path: Path) -> None:
    long = Resources(cpu=1, ram_bytes=50 * 1024**2, walltime_s=7200)
    (job,), told = in_accounting(tmp_path, task("too long", "true", "--qos=brief", resources=long))
    assert (job.state, job.reason) == (State.FAILED, Reason.SUBMIT_REFUSED)
    assert "QOSMaxWallDurationPerJobLimit" in job.message
    assert told == []


def test_a_limit_of_submitted_jobs_is_waited_for_and_said(tmp_path: Path) -> None:
    jobs, told = in_accounting(tmp_path, *(task(f"one of {n}", "sleep 1", "--qos=few") for n in range(5)))
    assert [job.state for job in jobs] == [State.SUCCEEDED] * 5
    assert any("QOSMaxSubmitJobPerUserLimit" in text for text in told)


def _command_line(folder: Path) -> str:
    try:
        return (folder / "cmdline").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


ARRAY_POINTS = [
    "before_submit",
    "inside_submit",
    "after_submit",
    "receipts_half_stored",
    "answer_lost",
    "after_monitor",
]


@pytest.mark.parametrize(
    ("point", "backend"),
    [*((point, "slurm") for point in POINTS), *((point, "slurm+arrays") for point in ARRAY_POINTS)],
)
def test_after_a_kill_at_any_point_the_scheduler_has_seen_each_job_exactly_once(
    point: str, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CONF", slurm_conf("acct"))
    crash(tmp_path, backend, point)
    jobs = survive(tmp_path, backend)
    assert all((job.array is not None) == ("arrays" in backend) for job in jobs)
    assert_nothing_lost_or_doubled(tmp_path, jobs)
    assert _jobs_in_accounting(jobs) == sorted(str(job.job_id) for job in jobs)


def _jobs_in_accounting(jobs: Sequence[Job]) -> list[str]:
    """Every job id that Slurm's database has under one of the tokens: the scheduler's own count."""
    tokens = {job.token for job in jobs}
    until, ids = time.monotonic() + 20, []
    while time.monotonic() < until and len(ids) < len(jobs):
        rows = subprocess.run(
            ["sacct", "--allusers", "--noheader", "--parsable2", "--allocations", "--starttime=now-1hour",
             "--format=JobID,Comment"], capture_output=True, text=True, check=True,
        ).stdout.splitlines()  # fmt: skip
        ids = sorted(row.split("|")[0] for row in rows if row.split("|")[1] in tokens)
        time.sleep(0.2)
    return ids


def test_a_site_that_names_its_clusters_asks_and_kills_where_the_job_is(tmp_path: Path) -> None:
    way = WAYS["acct"]
    backend = way.backend(tmp_path, values={"clusters": "acct"})

    async def both() -> tuple[list[Job], tuple[dict[str, str], bool]]:
        store = SqliteStore.open(tmp_path / "journal.sqlite")
        async with Executor(backend, transport=way.transport(), store=store) as executor, asyncio.timeout(120):
            run = await executor.submit([task("ends", "exit 3"), task("is killed", "sleep 600")])
            async for jobs in executor.watch(run):
                if jobs[0].state.is_final and jobs[1].state is State.RUNNING:
                    break
            found = await executor.client.find([job.but(job_id=None) for job in executor.jobs_of(run)])
            await executor.kill(run, 2)
            return await executor.wait(run), found

    jobs, (found, is_complete) = asyncio.run(both())
    assert (jobs[0].state, jobs[0].exit_code) == (State.FAILED, 3)
    assert jobs[1].state is State.KILLED
    assert all(str(job.job_id).endswith(";acct") for job in jobs)
    assert (found, is_complete) == ({job.key: job.job_id for job in jobs}, True)
    left = subprocess.run(
        ["squeue", "--noheader", "--format=%T", f"--jobs={str(jobs[1].job_id).partition(';')[0]}"],
        env=way.environment, capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    assert left in {"", "COMPLETING"}


# ---- adapter, called from inside a job ---------------------------------------------------------------------------


@dataclass
class Inside:
    """A job of the user's own in which a shell script runs adapter; what it printed is in ``scheduler.log``."""

    folder: Path
    environment: dict[str, str]
    job_id: str = ""

    def submit(self, script: str, *options: str) -> None:
        """Hand over *script*, in which ``adapter`` and ``$SITE``, a backend file, are known."""
        site = self.folder / "site.yaml"
        site.write_text(
            f"format: 1\nname: site\nextends: slurm\nworkspace: {self.folder}/workspace\n", encoding="utf-8"
        )
        state = f"export XDG_STATE_HOME={self.folder}/state XDG_CONFIG_HOME={self.folder}/config SITE={site}"
        program = f'adapter() {{ {sys.executable} -m adapter "$@"; }}'
        path = self.folder / "outer.sh"
        path.write_text(f"#!/bin/bash\n{state}\n{program}\ncd {self.folder}\n{script}\n", encoding="utf-8")
        self.job_id = self._ask(
            "sbatch",
            "--parsable",
            f"--output={self.folder}/scheduler.log",
            f"--chdir={Path.cwd()}",
            *options,
            str(path),
        ).strip()

    def _ask(self, *command: str) -> str:
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout

    def state(self) -> str:
        """The state of the outer job (of its element), as Slurm shows it."""
        return self._ask(
            "squeue", "--noheader", "--array", "--states=all", "--format=%T", f"--jobs={self.job_id}"
        ).strip()

    def wait_for(self, name: str, within_s: float = 120) -> str:
        """Return the text of the file *name* once it is there."""
        path, end = self.folder / name, time.monotonic() + within_s
        while not path.exists():
            assert time.monotonic() < end, (self.folder / "scheduler.log").read_text(encoding="utf-8")
            time.sleep(0.2)
        return path.read_text(encoding="utf-8")

    def cancel(self) -> None:
        """End the outer job."""
        subprocess.run(["scancel", self.job_id], env=self.environment, check=False)


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Inside]:
    job = Inside(tmp_path, {**os.environ, "SLURM_CONF": slurm_conf("acct")})
    yield job
    job.cancel()


LOSES_THE_ANSWER = """\
#!/bin/sh
case $* in *--version*) exec /usr/bin/sbatch "$@" ;; esac
/usr/bin/sbatch "$@" >/dev/null || exit
echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2
exit 1
"""
KILLS_ITS_INNER_JOB = """
run=$(adapter run --on "$SITE" -q --detach --ram '50 MiB' -- sleep 600)
until adapter status "$run" --json | grep -q '"running"'; do sleep 0.5; done
adapter status "$run" --json >running
adapter kill -q "$run"
adapter status "$run" --json >killed.part
mv killed.part killed
sleep 600
"""


@pytest.mark.parametrize("is_lost", [False, True], ids=["with its receipt", "whose receipt is lost"])
def test_an_array_element_kills_the_job_that_it_submitted_and_not_itself(inside: Inside, is_lost: bool) -> None:
    path = ""
    if is_lost:
        (inside.folder / "bin").mkdir()
        stand_in = inside.folder / "bin" / "sbatch"
        stand_in.write_text(LOSES_THE_ANSWER, encoding="utf-8")
        stand_in.chmod(0o755)
        path = f"PATH={inside.folder}/bin:$PATH"
    inside.submit(f"{path}\n{KILLS_ITS_INNER_JOB}", "--array=1", "--mem=400M")
    killed = json.loads(inside.wait_for("killed"))["jobs"][0]
    assert killed["state"] == "killed"
    assert killed["job_id"].isdigit()
    assert killed["job_id"] != inside.job_id
    time.sleep(2)  # what was cancelled would show by now
    assert inside.state() == "RUNNING"
    left = subprocess.run(
        ["squeue", "--noheader", "--format=%T", f"--jobs={killed['job_id']}"],
        env=inside.environment, capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    assert left == "", "the inner job is still there"


def test_a_job_with_srun_runs_where_it_is_submitted_from_an_allocation(inside: Inside) -> None:
    inside.submit(
        "adapter run --on \"$SITE\" -q --ram '50 MiB' -- srun --ntasks=1 sh -c"
        " 'echo $SLURM_MEM_PER_NODE ${SLURM_ARRAY_JOB_ID-none}' >out 2>err\n"
        "echo $? >code.part\nmv code.part code",
        "--array=1", "--mem-per-cpu=200M", "--ntasks=2",
    )  # fmt: skip
    code = inside.wait_for("code").strip()
    out, err = ((inside.folder / name).read_text(encoding="utf-8") for name in ("out", "err"))
    assert (code, out) == ("0", "50 none\n"), err
