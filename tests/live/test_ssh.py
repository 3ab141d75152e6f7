"""A far login node as its users meet it: real OpenSSH servers, a real Slurm behind them, an ordinary user."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from adapter.core.state import Reason, State
from adapter.core.task import Input, Output, Resources, Step, Task
from adapter.execution.executor import Executor
from adapter.store.sqlite import SqliteStore
from adapter.transports.openssh import OpenSshTransport
from adapter.transports.ssh import SshTransport
from benchmarks.ssh_delay import (
    FAR_FOLDER,
    Counting,
    Counts,
    compare,
    connection_through,
    far_backend,
    remove_workspace,
)
from tests.examples.conftest import EXAMPLES, User
from tests.live.clients import CLIENTS, options_of
from tests.live.ssh_site import USER, as_user, jobs_by_comment, ssh_site
from tests.live.ways import WAYS
from tests.live.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from adapter.core.job import Job
    from adapter.results import CompletedCommand
    from tests.live.ssh_site import SshSite

SMALL = Resources(cpu=1, ram_bytes=50 * 1024**2)
HELD = {"slurm": ("--hold",)}
MEGABYTE = 1024**2
COPY = 50 * MEGABYTE
TASKS = 1000


@pytest.fixture(scope="module")
def site() -> SshSite:
    return ssh_site()


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    (tmp_path / "user" / "home").mkdir(parents=True)
    user = User(tmp_path / "user")
    yield user
    user.does("adapter", "links", "--close")


@pytest.fixture
def workspace(site: SshSite, tmp_path: Path) -> Iterator[str]:
    """The name of a workspace in the far user's home; gone afterwards."""
    name = f"{tmp_path.name}-{secrets.token_hex(4)}"
    yield name
    remove_workspace(name)


# --- how often we knock -----------------------------------------------------------------------------------------------


class UntilTheyEnd(Counts):
    """Waits before the first poll until the far user's jobs have ended: all end between two polls, however many."""

    def __init__(self, connection: dict[str, object], run: str, **options: Any) -> None:
        super().__init__(connection, **options)
        self._run = run
        self._ended = False

    async def run(self, command: str, *, stdin: str = "", timeout_s: float) -> CompletedCommand:
        if "# probe" in stdin and not self._ended:
            self._ended = True
            await asyncio.to_thread(let_them_run, self._run)
        return await super().run(command, stdin=stdin, timeout_s=timeout_s)


class AsyncSshUntilTheyEnd(UntilTheyEnd, SshTransport):
    pass


class OpenSshUntilTheyEnd(UntilTheyEnd, OpenSshTransport):
    pass


def let_them_run(name: str) -> None:
    """Release the held jobs called *name* and wait for their end."""
    slurm = WAYS["ssh"].environment
    ids = in_queue(name)
    for at in range(0, len(ids), 100):
        subprocess.run(["scontrol", "release", ",".join(ids[at : at + 100])], env=slurm, check=True)
    until = time.monotonic() + 120
    while in_queue(name):
        assert time.monotonic() < until, "the jobs do not end"
        time.sleep(0.5)


def in_queue(name: str) -> list[str]:
    return subprocess.run(
        ["squeue", "--noheader", "--format=%i", f"--user={USER}", f"--name={name}"],
        env=WAYS["ssh"].environment, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip


async def submit_monitor_collect(count: int, folder: Path, workspace: str, client: str) -> UntilTheyEnd:
    folder.mkdir()
    (folder / "shared").write_text("the same for all\n")
    name = f"trips-{count}-{os.getpid()}"
    tasks = [
        Task(
            name=name, steps=(Step(shell="cat shared >out"),), resources=SMALL, native=HELD,
            inputs=(Input(to="shared", path=str(folder / "shared")),),
            outputs=(Output(path="out", to=str(folder / f"results/{number}")),),
        ) for number in range(count)
    ]  # fmt: skip
    kind = AsyncSshUntilTheyEnd if client == "asyncssh" else OpenSshUntilTheyEnd
    transport = kind(WAYS["ssh"].connection(), name, **options_of(client, {}))
    backend = far_backend(WAYS["ssh"].connection(), f"{workspace}/{count}", limits={"submit_batch": 500})
    store = SqliteStore.open(folder / "journal.sqlite")
    async with Executor(backend, transport=transport, store=store) as executor:
        run = await executor.submit(tasks)
        jobs = await asyncio.wait_for(executor.wait(run), 200)
    assert [(job.exit_code, job.collect_problem) for job in jobs] == [(0, "")] * count
    brought = sorted((folder / "results").glob("*/out"))
    assert len(brought) == count
    assert {path.read_text() for path in brought} == {"the same for all\n"}
    return transport


@pytest.mark.parametrize("client", CLIENTS)
def test_the_number_of_channels_does_not_grow_with_the_number_of_jobs(
    tmp_path: Path, workspace: str, client: str
) -> None:
    transports = {n: asyncio.run(submit_monitor_collect(n, tmp_path / str(n), workspace, client)) for n in (1, 50, 500)}
    assert {n: each.logins for n, each in transports.items()} == {1: 1, 50: 1, 500: 1}
    each_asks = Counter(prepare=1, files=3, submit=1, poll=1, result=1)
    assert {n: each.commands for n, each in transports.items()} == {1: each_asks, 50: each_asks, 500: each_asks}
    # files: what is there? then a channel for them, then keep and place them; pack, then a channel for what was packed
    assert {n: each.channels_opened - each.commands["poll"] for n, each in transports.items()} == {
        1: 8, 50: 8, 500: 8
    }  # fmt: skip


# --- what travels -----------------------------------------------------------------------------------------------------


def test_an_input_that_a_thousand_tasks_share_travels_once_and_is_kept_once(
    site: SshSite, tmp_path: Path, workspace: str
) -> None:
    shared = tmp_path / "shared"
    shared.write_bytes(os.urandom(COPY))
    task = Task(name="shares", steps=(Step(shell="true"),), resources=SMALL, native=HELD,
                inputs=(Input(to="shared", path=str(shared)),))  # fmt: skip

    async def hand_over_and_kill() -> tuple[list[Job], int]:
        async with Wire(site.target_port) as wire:
            # A thousand scripts are 6 MB, and like each other: compressed, as is the default, they are less than 1 MB.
            connection = connection_through(wire, site, tmp_path)
            store = SqliteStore.open(tmp_path / "journal.sqlite")
            backend = far_backend(connection, workspace)
            async with Executor(backend, transport=Counting(connection), store=store) as executor:
                run = await executor.submit([task] * TASKS)
                await asyncio.wait_for(executor.handed_over(run), 120)
                await executor.kill(run)
                jobs = await asyncio.wait_for(executor.wait(run), 60)
            return jobs, wire.bytes_up

    jobs, bytes_up = asyncio.run(hand_over_and_kill())
    assert {(job.state, job.reason) for job in jobs} == {(State.KILLED, Reason.KILLED_BY_USER)}
    assert len({job.job_id for job in jobs}) == TASKS
    assert COPY <= bytes_up < 1.05 * COPY, f"{bytes_up / COPY:.3f} copies were sent"
    kept = as_user(USER, f"cd ~/{FAR_FOLDER}/{workspace} && du -sm . && find . -size +10M -printf '%n %i %m\\n'")
    total, *files = kept.stdout.splitlines()
    assert len(files) == TASKS + 1, "in the store, and in the folder of each"
    assert len(set(files)) == 1, "one file with many names"
    assert files[0].split()[0] == str(TASKS + 1)
    assert files[0].split()[2] == "444", "no task can change what the others read"
    assert int(total.split()[0]) < 50 + 40, "beside it, some small files for each job"


# --- delay ------------------------------------------------------------------------------------------------------------


@pytest.mark.quiet
def test_500_jobs_behind_a_long_wire_take_at_most_half_as_long_again(capsys: pytest.CaptureFixture[str]) -> None:
    """The delays are those of a round trip: 25 and 100 ms are added in each direction."""
    ssh_site()
    with capsys.disabled():
        near, *far = asyncio.run(compare(500, [0.05, 0.2]))
    assert [round(each.round_trip_s * 1000) for each in far] == [50, 200]
    ratios = {each.round_trip_s: each.seconds / near.seconds for each in far}
    assert max(ratios.values()) <= 1.5, ratios
    for each in (near, *far):
        assert each.channels == sum(each.commands.values())
        assert each.commands["prepare"] == 1
        assert each.commands["submit"] == 5
        assert each.commands["result"] <= each.commands["poll"]


# --- a scheduler that nobody has heard of -----------------------------------------------------------------------------


@pytest.fixture
def miniq(workspace: str) -> Iterator[str]:
    """MiniQ in the far user's home, and its daemon; the folder of its commands, which know where the queue is."""
    folder = Path(pwd.getpwnam(USER).pw_dir) / FAR_FOLDER / workspace
    as_user(USER, f"mkdir -p {folder}/queue {folder}/bin")
    shutil.copytree(EXAMPLES / "03-new-scheduler" / "minisched", folder / "minisched")
    for name in ("mq-add", "mq-list", "mq-drop", "mq-daemon"):
        program = folder / "bin" / name
        program.write_text(f'#!/bin/sh\nMINIQ_DIR={folder}/queue exec {folder}/minisched/{name} "$@"\n')
        program.chmod(0o755)
    daemon = subprocess.Popen(
        ["setsid", "su", "-s", "/bin/sh", USER, "-c", f"exec {folder}/bin/mq-daemon 3 2"],
        cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    yield f"{folder}/bin"
    children = subprocess.run(
        ["pgrep", "--parent", str(daemon.pid)], capture_output=True, text=True, check=False
    ).stdout.split()
    subprocess.run(["kill", *children], check=False)
    daemon.wait(10)


def test_the_sysadmins_scheduler_works_over_ssh_with_a_connection_added(
    user: User, site: SshSite, miniq: str, workspace: str
) -> None:
    story = EXAMPLES / "03-new-scheduler"
    backends = user.folder / "home" / ".config" / "adapter" / "backends"
    backends.mkdir(parents=True)
    shutil.copy(story / "miniq.yaml", backends)
    (backends / "far-miniq.yaml").write_text(
        "format: 1\n"
        "name: far-miniq\n"
        "extends: miniq\n"
        f"connection: {{kind: ssh, host: target, config: {site.config}}}\n"
        f"workspace: ~/{FAR_FOLDER}/{workspace}/jobs\n"
        f"programs: {{mq-add: {miniq}/mq-add, mq-list: {miniq}/mq-list, mq-drop: {miniq}/mq-drop,"
        f" mq-daemon: {miniq}/mq-daemon}}\n"
    )
    shutil.copy(story / "jobs.yaml", user.folder)
    assert expect(0, user.does("adapter", "validate", str(backends))).count(": ok") == 2
    said = expect(0, user.does("adapter", "run", "--on", "far-miniq", "--", "sh", "-c", "echo hello; id -un"))
    assert said == f"hello\n{USER}\n"
    expect(3, user.does("adapter", "run", "--on", "far-miniq", "--", "sh", "-c", "exit 3"))
    run = expect(0, user.does("adapter", "submit", "jobs.yaml", "--on", "far-miniq")).strip()
    expect(0, user.does("adapter", "kill", f"{run}.3", f"{run}.4"))
    expect(10, user.does("adapter", "wait", run))
    ended = json.loads(expect(0, user.does("adapter", "status", run, "--no-poll", "--json")))
    assert [(job["state"], job["reason"]) for job in ended["jobs"]] == [
        ("succeeded", None),
        ("failed", "exit_code"),
        ("killed", "killed_by_user"),
        ("killed", "killed_by_user"),
        ("failed", "time_limit"),
        ("failed", "submit_refused"),
        ("succeeded", None),
    ]
    assert [ended["jobs"][index]["exit_code"] for index in (0, 1, 6)] == [0, 3, 0]
    assert (user.folder / "results" / "made.txt").stat().st_size > 0
    notes = as_user(USER, f"cat {miniq}/../queue/[0-9]*/note").stdout.split()
    assert len(notes) == len(set(notes)) == 8, "the queue has seen each job exactly once"


# --- a new user -------------------------------------------------------------------------------------------------------


def expect(code: int, told: subprocess.CompletedProcess[str]) -> str:
    assert told.returncode == code, f"{told.args}\n{told.stdout}\n{told.stderr}"
    return told.stdout


@pytest.fixture
def far_user(user: User, site: SshSite, workspace: str) -> Callable[[str, str], User]:
    """Somebody whose ``ssh HOST`` works, and nothing else is there: no configuration, no state."""

    def with_site(host: str, client: str = "asyncssh") -> User:
        home = user.folder / "home"
        (home / ".ssh").mkdir(mode=0o700)
        # The tests' own file names its keys with whole paths; OpenSSH's client takes it as it is.
        shutil.copy(site.config, home / ".ssh" / "config")
        folder = home / ".config" / "adapter" / "backends"
        folder.mkdir(parents=True)
        text = (EXAMPLES / "06-ssh" / "cluster.yaml").read_text()
        # ssh goes by the home that the password file names, and not by HOME
        more = "" if client == "asyncssh" else f", client: openssh, config: {home}/.ssh/config"
        there = f"host: {host}{more}"
        for before, after in (("host: cluster", there), ("~/adapter-jobs", f"~/{FAR_FOLDER}/{workspace}")):
            assert text.count(before) == 1
            text = text.replace(before, after)
        (folder / "cluster.yaml").write_text(text)
        return user

    return with_site


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("host", ["target", "viajump"])
def test_a_new_user_runs_looks_waits_and_kills(
    far_user: Callable[[str, str], User], site: SshSite, host: str, client: str
) -> None:
    user = far_user(host, client)
    file = user.folder / "home/.config/adapter/backends/cluster.yaml"
    assert expect(0, user.does("adapter", "validate", str(file))).endswith("cluster.yaml: ok\n")
    assert "cluster" in expect(0, user.does("adapter", "backends", "list"))

    (user.folder / "notes.txt").write_text("one\ntwo\n")
    told = user.does(
        "adapter", "run", "--on", "cluster", "--input", "notes.txt", "--output", "*.sum:results",
        "--", "sh", "-c", 'id -un; sha256sum notes.txt >notes.sum; echo "job $SLURM_JOB_ID" >&2; exit 3',
    )  # fmt: skip
    assert expect(3, told) == f"{USER}\n"
    assert re.search(r"^job \d+$", told.stderr, re.MULTILINE)
    assert (user.folder / "results/notes.sum").read_text().endswith("  notes.txt\n")

    lines = "".join(f"echo line {n}; sleep 1; " for n in range(4))
    run = expect(0, user.does("adapter", "submit", "--on", "cluster", "--name", "talks", "--", "sh", "-c", lines))
    run = run.strip()
    assert "talks" in expect(0, user.does("adapter", "status", run))
    assert expect(0, user.does("adapter", "logs", run, "--follow")) == "line 0\nline 1\nline 2\nline 3\n"
    expect(0, user.does("adapter", "wait", run))

    long = expect(0, user.does("adapter", "run", "--detach", "--on", "cluster", "--", "sleep", "600")).strip()
    expect(0, user.does("adapter", "status", long))
    assert "killed by user" in expect(0, user.does("adapter", "kill", long))
    expect(11, user.does("adapter", "wait", long))
    assert not in_queue("sleep"), "nothing of it is left there"
    assert {len(jobs_by_comment(f"adapter-{each}-")) for each in (run, long)} == {1}


@pytest.mark.parametrize("client", CLIENTS)
def test_two_processes_at_once_on_one_run_do_each_job_once(far_user: Callable[[str, str], User], client: str) -> None:
    user = far_user("target", client)
    (user.folder / "tasks.yaml").write_text(
        "format: 1\n"
        "tasks:\n" + "".join(
            f"  - {{name: n{n}, command: sleep 3; echo {n} >{n}.txt, outputs: [{{path: {n}.txt, to: results}}]}}\n"
            for n in range(20)
        )
    )  # fmt: skip
    run = expect(0, user.does("adapter", "submit", "tasks.yaml", "--on", "cluster")).strip()
    adapter = str(Path(sys.executable).parent / "adapter")
    both = [
        subprocess.Popen(
            [adapter, "wait", run], cwd=user.folder, env=user.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        ) for _ in range(2)
    ]  # fmt: skip
    expect(0, user.does("adapter", "status", run))  # and a third that only looks
    said = [each.communicate(timeout=90)[0] for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    ended = json.loads(expect(0, user.does("adapter", "status", run, "--no-poll", "--json")))
    assert {job["state"] for job in ended["jobs"]} == {"succeeded"}
    assert {path.read_text() for path in (user.folder / "results").iterdir()} == {f"{n}\n" for n in range(20)}
    seen = jobs_by_comment(f"adapter-{run}-")
    assert [len(ids) for ids in seen.values()] == [1] * 20
