"""podman.yaml against a real Podman, as root: the standard table, and what differs from Docker."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from adapter.config.library import library
from adapter.core.job import Job
from adapter.core.library import files_for
from adapter.core.render import placed, render_job
from adapter.core.state import Reason, State
from adapter.core.task import Step, Task
from tests.live.conftest import podman_conf
from tests.live.containers import IMAGE, OTHER, QUIET, SHELLLESS, TOGETHER, Engine, sh, text_of

if TYPE_CHECKING:
    from adapter.execution.executor import Executor

ORDINARY = "jobu"


@pytest.fixture
def podman(tmp_path: Path) -> Engine:
    changes = {"values": {**QUIET, "retry_pauses": [0.2, 0.2]}, "limits": TOGETHER}
    return Engine(tmp_path, "podman", {"CONTAINERS_CONF": podman_conf()}, program="podman", changes=changes)


def test_the_standard_table(podman: Engine) -> None:
    podman.table(many=100, not_here={"bad queue", "held", "array", "time used", "memory used"})


def test_steps_have_their_own_images_and_share_their_folder_and_the_volumes(podman: Engine) -> None:
    steps = (
        Step(shell="cat /etc/which; echo work >made; echo volume >/shared/x"),
        Step(shell="cat /etc/which made /shared/x", image=("nosuch:1", OTHER), stdout="second out"),
        Step(argv=("cat", "made"), image=SHELLLESS),
    )
    (job,) = podman.run(Task(steps=steps, image=IMAGE, volumes=("/shared",)), values={"pull": "never"})
    assert (job.state, job.exit_code) == (State.SUCCEEDED, 0)
    assert text_of(job) == "busybox\nwork\n"
    assert text_of(job, "work/second out") == "tools\nwork\nvolume\n"
    assert podman.left([job]) == []


def test_what_podman_refuses_is_the_reason_in_its_words(podman: Engine) -> None:
    (option,) = podman.run(sh("true"), values={"extra": ["--no-such-option"]})
    (image,) = podman.run(sh("true", "nosuch:1"), values={"pull": "never"})
    (registry,) = podman.run(sh("true", "127.0.0.1:1/x:1"))
    assert (option.reason, option.message) == (Reason.LAUNCH_FAILURE, "Error: unknown flag: --no-such-option")
    assert (image.reason, registry.reason) == (Reason.IMAGE, Reason.IMAGE)
    assert "nosuch:1: Error" in image.message
    assert "connection refused" in registry.message


@pytest.mark.parametrize(("command", "code"), [(("no-such",), 127), (("sh", "-c", "exit 125"), 125)])
@pytest.mark.parametrize("init", [True, False])
def test_exit_codes_of_a_command_that_cannot_run_and_of_one_that_looks_like_the_engine_s(
    podman: Engine, command: tuple[str, ...], code: int, init: bool
) -> None:
    (job,) = podman.run(Task(steps=(Step(argv=command),), image=IMAGE), values={"init": init})
    assert (job.state, job.reason, job.exit_code) == (State.FAILED, Reason.EXIT_CODE, code)


def test_a_container_that_somebody_else_removed_is_no_success(podman: Engine) -> None:
    async def remove(executor: Executor, run: str) -> None:
        podman.say("rm", "--force", "--time", "0", await podman.container_of(executor, run))

    (job,) = podman.run(sh("sleep 60"), act=remove)
    assert (job.state, job.reason) == (State.KILLED, Reason.KILLED_BY_OTHER)


@pytest.mark.parametrize("shell", ["sleep 60", "trap '' TERM; sleep 60; sleep 60"], ids=["willing", "stubborn"])
def test_a_killed_job_and_one_over_its_walltime_leave_no_container(podman: Engine, shell: str) -> None:
    async def kill(executor: Executor, run: str) -> None:
        await podman.container_of(executor, run)
        await executor.kill(run, 1)

    killed, late = podman.run(sh(shell), sh(shell, walltime_s=4), act=kill, kill={"escalate": {"after": "2s"}})
    assert (killed.state, killed.reason) == (State.KILLED, Reason.KILLED_BY_USER)
    assert (late.state, late.reason) == (State.FAILED, Reason.TIME_LIMIT)
    assert podman.left([killed, late]) == []


def test_without_root_files_belong_to_the_user_and_limits_that_would_be_ignored_are_refused(tmp_path: Path) -> None:
    env = {"CONTAINERS_CONF": podman_conf(), "PATH": os.environ["PATH"]}
    user = pwd.getpwnam(ORDINARY)
    folder = Path(user.pw_dir) / f".adapter-live-podman-{os.getpid()}"
    as_user = ["setpriv", f"--reuid={ORDINARY}", f"--regid={ORDINARY}", "--init-groups", "env", "-i"]
    backend = Engine(tmp_path, "podman", {}).loaded(values=QUIET)

    def ran(number: int, task: Task) -> Path:
        """The job's directory, once its script has run as that user."""
        job = placed(Job(run=folder.name[1:], index=number, task=task), str(folder))
        directory = Path(str(job.directory))
        (directory / "work").mkdir(parents=True)
        (directory / "script").write_text(render_job(backend, job, str(folder)).script)
        for name in files_for(backend, "job"):
            (directory / f"{name}.sh").write_text(library()[name])
        subprocess.run(["chown", "-R", ORDINARY, str(folder)], check=True)
        words = [*as_user, f"HOME={user.pw_dir}", *(f"{key}={value}" for key, value in env.items())]
        subprocess.run([*words, "setsid", "--wait", "sh", str(directory / "script")], check=False, cwd="/", timeout=60)
        return directory

    try:
        own = ran(1, sh("id -u; touch mine; exit 3"))
        assert ((own / "stdout").read_text(), (own / "stderr").read_text()) == (f"{user.pw_uid}\n", "")
        assert "exit_code 3\n" in (own / "exit").read_text()
        assert (own / "work" / "mine").stat().st_uid == user.pw_uid
        limited = (ran(2, sh("true", ram_limit_bytes=64 << 20)) / "exit").read_text()
        if Path("/sys/fs/cgroup/cgroup.controllers").exists():
            assert "exit_code 0\n" in limited
        else:
            assert "reason launch_failure\nmessage without root, podman bounds containers only where" in limited
    finally:
        subprocess.run(["rm", "-rf", str(folder)], check=True)
