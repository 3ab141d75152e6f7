"""docker.yaml against a real Docker daemon: the standard table, and what containers bring besides."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from adapter.core.state import Reason, State
from adapter.core.task import Input, Output, Step, Task
from tests.live.conftest import docker_host, lacking
from tests.live.containers import IMAGE, OTHER, QUIET, SHELLLESS, TOGETHER, Engine, Registry, serving, sh, text_of

if TYPE_CHECKING:
    from adapter.execution.executor import Executor

LAYER = Path(os.environ.get("ADAPTER_LIVE_DIR", "/var/tmp/adapter-live")) / "images" / "tools.tar"


@pytest.fixture
def docker(tmp_path: Path) -> Engine:
    changes = {"values": {**QUIET, "retry_pauses": [0.2, 0.2, 0.2]}, "limits": TOGETHER}
    return Engine(tmp_path, "docker", {"DOCKER_HOST": docker_host()}, changes=changes)


def test_the_standard_table(docker: Engine) -> None:
    docker.table(many=100, not_here={"bad queue", "held", "array", "time used", "memory used"})


def test_steps_have_their_own_images_and_share_their_folder_and_the_volumes(docker: Engine) -> None:
    steps = (
        Step(shell="cat /etc/which; echo work >made; echo volume >/shared/x; ls /unshared"),
        Step(shell="cat /etc/which made /shared/x; echo more >>made", image=OTHER, stdout="second out"),
        Step(argv=("cat", "made"), image=SHELLLESS),
    )
    (job,) = docker.run(Task(steps=steps, image=IMAGE, volumes=("/shared", "/unshared")))
    assert (job.state, job.exit_code) == (State.SUCCEEDED, 0)
    assert text_of(job) == "busybox\nwork\nmore\n"
    assert text_of(job, "work/second out") == "tools\nwork\nvolume\n"
    assert docker.left([job]) == []


def test_what_a_step_writes_belongs_to_who_asked_right_after_the_run(docker: Engine) -> None:
    other = sh("id -u; touch mine", env={})
    own, given = docker.run(sh("id -u; id -g; touch mine")), docker.run(other, values={"user": "1234:1234"})
    assert text_of(own[0]) == f"{os.getuid()}\n{os.getgid()}\n"
    assert Path(str(own[0].directory), "work", "mine").stat().st_uid == os.getuid()
    assert text_of(given[0]).startswith("1234\n")
    assert given[0].exit_code != 0, "the work folder is not that user's"


def test_the_engine_keeps_its_own_environment_whatever_the_task_s_is(docker: Engine) -> None:
    env = {"PATH": "/bin:/nowhere", "HOME": "/tmp", "DOCKER_HOST": "tcp://nowhere:1", "job": "7", "launch_x": "y"}
    (job,) = docker.run(sh('echo "$PATH $HOME $DOCKER_HOST $job $launch_x"', env=env))
    assert text_of(job) == "/bin:/nowhere /tmp tcp://nowhere:1 7 y\n"


def test_inputs_are_there_to_read_only_and_outputs_come_back(docker: Engine, tmp_path: Path) -> None:
    source = tmp_path / 'a, "linked": file'
    source.write_text("linked\n")
    inputs = (
        Input(content="literal\n", to="in.txt"),
        Input(path=str(source), to="sub/link", link=True),
    )
    out, spoilt = ((Output(path="out", to=str(tmp_path / each)),) for each in ("back", "spoilt"))
    spoils = sh("cat in.txt sub/link >out; echo spoilt >in.txt; echo spoilt >sub/link", inputs=inputs, outputs=spoilt)
    (job,) = docker.run(spoils)
    assert job.state is State.FAILED
    assert "Read-only file system" in text_of(job, "stderr")
    assert source.read_text() == "linked\n"
    (good,) = docker.run(sh("cat in.txt sub/link >out", inputs=inputs, outputs=out))
    assert (good.state, good.collect_problem or "") == (State.SUCCEEDED, "")
    assert (tmp_path / "back" / "out").read_text() == "literal\nlinked\n"


def test_a_workspace_and_a_mount_with_hostile_names(docker: Engine, tmp_path: Path) -> None:
    docker.folder = tmp_path / 'it\'s "a, b": $(x)'
    docker.folder.mkdir()
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "file").write_text("more\n")
    (job,) = docker.run(sh("cat /mnt/file; echo x >made; cat made"), values={"mounts": [f"{tmp_path}/more:/mnt:ro"]})
    assert text_of(job) == "more\nx\n"


@pytest.mark.parametrize(
    ("command", "code"), [(("no-such",), 127), (("/etc/which",), 126), (("sh", "-c", "exit 125"), 125)]
)
@pytest.mark.parametrize("init", [True, False])
def test_exit_codes_of_a_command_that_cannot_run_and_of_one_that_looks_like_the_engine_s(
    docker: Engine, command: tuple[str, ...], code: int, init: bool
) -> None:
    (job,) = docker.run(Task(steps=(Step(argv=command),), image=IMAGE), values={"init": init})
    assert (job.state, job.reason, job.exit_code) == (State.FAILED, Reason.EXIT_CODE, code)


def test_what_the_engine_refuses_fails_the_job_with_its_words(docker: Engine) -> None:
    (job,) = docker.run(sh("true", disk_bytes=10**9))
    assert (job.state, job.reason) == (State.FAILED, Reason.LAUNCH_FAILURE)
    assert "--storage-opt is supported only for" in job.message
    (gpu,) = docker.run(Task(steps=(Step(argv=("true",)),), image=IMAGE), values={"extra": ["--gpus=1"]})
    assert (gpu.state, gpu.reason) == (State.FAILED, Reason.LAUNCH_FAILURE)
    assert "could not select device driver" in gpu.message
    assert docker.left([job, gpu]) == []


def test_memory_that_ran_out_is_the_reason_even_if_only_a_child_was_killed(docker: Engine) -> None:
    child = "head -c 300m /dev/zero | tail | wc -c"
    main, hidden, ignored = docker.run(
        sh("tail /dev/zero", ram_limit_bytes=32 << 20),
        sh(child, ram_limit_bytes=32 << 20),
        Task(steps=(Step(shell="kill -9 $$", ignore_error=True), Step(shell="exit 3")), image=IMAGE),
    )
    assert [(job.state, job.reason) for job in (main, hidden)] == [(State.FAILED, Reason.OUT_OF_MEMORY)] * 2
    assert (ignored.reason, ignored.exit_code) == (Reason.EXIT_CODE, 3)


def test_of_several_images_the_first_that_can_be_had_is_used(docker: Engine) -> None:
    (job,) = docker.run(sh("cat /etc/which", ("nosuch:1", "also/nosuch:2", OTHER)), values={"pull": "never"})
    assert (job.state, text_of(job)) == (State.SUCCEEDED, "tools\n")


def test_no_image_at_all_is_the_reason_and_each_is_named(docker: Engine) -> None:
    (job,) = docker.run(sh("touch never", ("nosuch:1", "nosuch:2")), values={"pull": "never"})
    assert (job.state, job.reason, job.exit_code) == (State.FAILED, Reason.IMAGE, 125)
    assert job.message.startswith("nosuch:1: Error")
    assert "No such image: nosuch:1; nosuch:2: Error" in job.message
    assert not Path(str(job.directory), "work", "never").exists()


def test_a_step_whose_image_is_missing_may_be_ignored(docker: Engine) -> None:
    steps = (Step(shell="true", image="nosuch:1", ignore_error=True), Step(shell="echo on; exit 5"))
    (job,) = docker.run(Task(steps=steps, image=IMAGE), values={"pull": "never"})
    assert (job.reason, job.exit_code, text_of(job)) == (Reason.EXIT_CODE, 5, "on\n")


def test_a_busy_registry_is_asked_again_and_the_image_is_fetched(docker: Engine) -> None:
    if not LAYER.exists():
        lacking("the images of the tests are not there")
    registry = Registry(LAYER.read_bytes(), busy=2)
    with serving(registry) as host:
        image = f"{host}/there:1"
        try:
            (job,) = docker.run(sh("cat /etc/which", image))
            asked = len(registry.asked)
            (again,) = docker.run(sh("cat /etc/which", image))
            assert len(registry.asked) == asked, "it is here now"
            docker.run(sh("true", image), values={"pull": "always"})
            assert len(registry.asked) > asked
        finally:
            subprocess.run(
                ["docker", "rmi", "--force", image], env={**os.environ, **docker.env}, capture_output=True, check=False
            )
    assert [(each.state, text_of(each)) for each in (job, again)] == [(State.SUCCEEDED, "tools\n")] * 2


def test_an_image_that_a_registry_does_not_have_is_not_asked_for_again(docker: Engine) -> None:
    registry = Registry(b"", busy=0)
    with serving(registry) as host:
        (job,) = docker.run(sh("true", f"{host}/gone:1"), values={"retry_pauses": [60, 60]}, within_s=40)
    assert (job.state, job.reason) == (State.FAILED, Reason.IMAGE)
    assert "manifest unknown" in job.message
    assert len(set(registry.asked)) == 1


def test_a_registry_that_nobody_answers_for_is_given_up_after_the_last_pause(docker: Engine) -> None:
    (job,) = docker.run(sh("true", "127.0.0.1:1/x:1"), values={"retry_pauses": [0.3, 0.3]})
    assert (job.state, job.reason) == (State.FAILED, Reason.IMAGE)
    assert "connection refused" in job.message


def test_a_container_that_somebody_else_removed_is_no_success(docker: Engine) -> None:
    async def remove(executor: Executor, run: str) -> None:
        docker.say("rm", "--force", await docker.container_of(executor, run))

    (job,) = docker.run(sh("trap 'exit 0' TERM; sleep 60 & wait"), act=remove)
    assert (job.state, job.reason) == (State.KILLED, Reason.KILLED_BY_OTHER)
    assert "somebody removed container" in job.message
    assert docker.left([job]) == []


def test_a_container_that_somebody_else_killed_is_no_success(docker: Engine) -> None:
    async def kill(executor: Executor, run: str) -> None:
        docker.say("kill", await docker.container_of(executor, run))

    (job,) = docker.run(sh("sleep 60", ram_limit_bytes=32 << 20), act=kill)
    assert (job.state, job.reason, job.exit_code) == (State.FAILED, Reason.SIGNAL, 137)


STUBBORN = "trap '' TERM; sleep 60; sleep 60"


@pytest.mark.parametrize("shell", ["sleep 60", STUBBORN], ids=["willing", "stubborn"])
def test_a_killed_job_leaves_no_container(docker: Engine, shell: str) -> None:
    async def kill(executor: Executor, run: str) -> None:
        await docker.container_of(executor, run)
        await executor.kill(run)

    (job,) = docker.run(
        Task(steps=(Step(shell=shell), Step(shell="touch never")), image=IMAGE),
        act=kill,
        kill={"escalate": {"after": "2s"}},
    )
    assert (job.state, job.reason) == (State.KILLED, Reason.KILLED_BY_USER)
    assert docker.left([job]) == []
    assert not Path(str(job.directory), "work", "never").exists()


@pytest.mark.parametrize("shell", ["sleep 60", STUBBORN], ids=["willing", "stubborn"])
def test_a_job_over_its_walltime_leaves_no_container(docker: Engine, shell: str) -> None:
    (job,) = docker.run(sh(shell, walltime_s=2))
    assert (job.state, job.reason) == (State.FAILED, Reason.TIME_LIMIT)
    assert docker.left([job]) == []


def test_a_task_may_end_in_its_own_way_when_it_is_killed(docker: Engine) -> None:
    async def kill(executor: Executor, run: str) -> None:
        await docker.container_of(executor, run)
        await until_it_says(executor, run, "ready\n")
        await executor.kill(run)

    (job,) = docker.run(sh("trap 'sleep 1; echo saved; exit 5' TERM; echo ready; sleep 60 & wait"), act=kill)
    assert (job.state, job.reason) == (State.KILLED, Reason.KILLED_BY_USER)
    assert text_of(job) == "ready\nsaved\n"
    assert docker.left([job]) == []


async def until_it_says(executor: Executor, run: str, words: str) -> None:
    for _ in range(300):
        if text_of(executor.jobs_of(run)[0]) == words:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it never said so")


def test_containers_are_kept_with_their_logs_where_that_is_wanted(docker: Engine) -> None:
    (job,) = docker.run(sh("echo kept; exit 3"), values={"keep": True})
    (line,) = docker.left([job])
    name, status = line.split(" ", 1)
    try:
        assert name == f"{job.token}-1"
        assert status.startswith("Exited (3)")
        assert docker.say("logs", name) == text_of(job) == "kept\n"
    finally:
        docker.say("rm", "--force", name)


def test_the_default_network_and_the_entrypoint(docker: Engine) -> None:
    (job,) = docker.run(sh("ls /sys/class/net | grep -v lo"), values={"network": ""})
    assert (job.state, text_of(job)) == (State.SUCCEEDED, "eth0\n")


def test_a_daemon_that_is_not_there_fails_the_job_and_says_so(docker: Engine) -> None:
    docker.env = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
    (job,) = docker.run(sh("true"))
    assert (job.state, job.reason) == (State.FAILED, Reason.SYSTEM)
    assert "Cannot connect to the Docker daemon" in job.message


def test_a_client_that_dies_leaves_no_container_and_is_no_success(docker: Engine) -> None:
    async def end_client(executor: Executor, run: str) -> None:
        name = docker.say("inspect", "--format", "{{.Name}}", await docker.container_of(executor, run)).strip(" /\n")
        for folder in Path("/proc").glob("[0-9]*"):
            words = (folder / "cmdline").read_bytes().split(b"\0") if folder.exists() else []
            if b"run" in words and name.encode() in words:
                os.kill(int(folder.name), 9)

    (job,) = docker.run(sh("sleep 60"), act=end_client)
    assert (job.state, job.reason) == (State.FAILED, Reason.SYSTEM)
    assert docker.left([job]) == []
