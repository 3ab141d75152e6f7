"""Slurm with Apptainer: the rendered jobs run on a real Slurm, with a stand-in that checks how it is called.

Apptainer itself cannot be installed here; ``stand_ins/apptainer`` says what it takes.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from adapter.config.load import load_backend
from adapter.core.backend import backend_from, merge
from adapter.core.job import Job
from adapter.core.render import placed, render_job
from adapter.core.state import Reason, State
from adapter.core.task import Input, Resources, Step, Task
from adapter.execution.executor import Executor
from adapter.store.sqlite import SqliteStore
from adapter.transports.local import LocalTransport
from tests.live.conftest import slurm_conf

if TYPE_CHECKING:
    from collections.abc import Sequence

STAND_INS = Path(__file__).parent / "stand_ins"
HOSTILE = "a  b'c\"d$(touch oops)`touch oops`;e|f>g&h\\i*j~k#l!\té\nsecond line"
SMALL = Resources(cpu=1, ram_bytes=50 * 1024**2)


class Place:
    """A workspace, the notes of the stand-in, and the running of tasks."""

    def __init__(self, folder: Path) -> None:
        self.workspace = folder / "workspace"
        self.notes = folder / "notes"
        self.notes.mkdir()
        self.store = folder / "journal.sqlite"

    def run(
        self, *tasks: Task, values: dict[str, Any] | None = None, act: Any = None, within_s: float = 120
    ) -> Sequence[Job]:
        async def inner() -> Sequence[Job]:
            loaded = load_backend("slurm-apptainer").backend
            changes = {"workspace": str(self.workspace), "result": None, "values": values or {}}
            backend = backend_from(merge(loaded.document, changes), name=loaded.name, lineage=loaded.lineage)
            environment = {
                **os.environ,
                "SLURM_CONF": slurm_conf("nodb"),
                "PATH": f"{STAND_INS}:{os.environ['PATH']}",
                "APPTAINER_STAND_IN": str(self.notes),
            }
            transport = LocalTransport(environment=environment)
            async with Executor(backend, transport=transport, store=SqliteStore.open(self.store)) as executor:
                run = await executor.submit(tasks)
                if act:
                    await act(executor, run)
                return await asyncio.wait_for(executor.wait(run), within_s)

        return asyncio.run(inner())

    def noted(self, file: str) -> list[str]:
        path = self.notes / file
        return path.read_text().splitlines() if path.exists() else []

    @property
    def execs(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.noted("execs")]

    @property
    def kept(self) -> list[str]:
        return sorted(path.name for path in (self.workspace / ".images").iterdir())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def task(shell: str, image: str | tuple[str, ...] | None = "docker://tools:1", **more: Any) -> Task:
    more.setdefault("resources", SMALL)
    return Task(steps=(Step(shell=shell),), image=image, **more)


def stdout_of(job: Job) -> str:
    return Path(str(job.directory), "stdout").read_text()


def test_fifty_tasks_that_start_together_fetch_their_image_once(place: Place) -> None:
    jobs = place.run(*(task(f"exit {n % 2}") for n in range(50)))
    assert [(job.state, job.exit_code) for job in jobs] == [(State.SUCCEEDED, 0), (State.FAILED, 1)] * 25
    assert place.noted("pulls") == ["docker://tools:1"]
    assert len(place.execs) == 50
    (kept,) = place.kept
    assert {each["image"] for each in place.execs} == {str(place.workspace / ".images" / kept)}


def test_a_step_sees_its_folder_and_its_own_environment_and_nothing_else(place: Place) -> None:
    source = place.notes / "in put.txt"
    source.write_text("linked\n")
    own = {"HOSTILE": HOSTILE, "PATH": "/bin:/usr/bin:/nowhere", "HOME": "/tmp", "LD_PRELOAD": "", "name": "x y"}
    one = task(
        'pwd; cat link; echo "$PATH $HOME $name"; printf "%s\\n" "$HOSTILE"; env | cut -d = -f 1 | sort | tr "\\n" " "',
        env=own,
        inputs=(Input(path=str(source), to="link", link=True),),
        volumes=("/shared data",),
    )
    (job,) = place.run(one)
    assert (job.state, job.exit_code) == (State.SUCCEEDED, 0), stdout_of(job)
    folder, linked, some, *hostile, names = stdout_of(job).split("\n")
    assert (folder, linked) == (f"{job.directory}/work", "linked")
    assert some == "/bin:/usr/bin:/nowhere /tmp x y"
    assert "\n".join(hostile) == HOSTILE
    assert {"SLURM_JOB_ID", "SLURM_CPUS_PER_TASK"} <= set(names.split()), "what the scheduler gave arrives"
    assert "LOGNAME" not in names.split()
    (ran,) = place.execs
    assert set(own) <= set(names.split())
    assert ran["--pwd"] == [f"{job.directory}/work"]
    assert sorted(ran["--bind"]) == sorted(
        [
            f"{job.directory}/work:{job.directory}/work",
            f"{source}:{source}:ro",
            f"{job.directory}/volumes/1:/shared data",
        ]
    )
    assert ran["outside"]["HOME"] == os.environ["HOME"], "the program itself has the job's own"
    assert "name" not in ran["outside"]
    assert "SLURM_JOB_ID" in ran["outside"]


@pytest.mark.parametrize(
    "shell",
    [
        pytest.param("trap '' TERM; touch ready; exec tail -f /dev/null", id="ignores-it"),
        pytest.param("trap 'sleep 2; touch done; exit 9' TERM; touch ready; while :; do sleep 0.1; done", id="saves"),
    ],
)
def test_a_kill_is_told_once_the_step_in_its_image_has_ended(place: Place, shell: str) -> None:
    async def kill(executor: Executor, run: str) -> None:
        while not Path(str(executor.jobs_of(run)[0].directory), "work", "ready").exists():
            await asyncio.sleep(0.1)
        await executor.kill(run)

    (job,) = place.run(task(shell), act=kill)
    assert job.state is State.KILLED
    work = Path(str(job.directory), "work")
    assert (work / "done").exists() or "done" not in shell
    inside = [path.parent for path in Path("/proc").glob("[0-9]*/cwd") if _leads_to(path, work)]
    assert inside == []


def _leads_to(link: Path, folder: Path) -> bool:
    try:
        return link.readlink() == folder
    except OSError:
        return False


def test_the_exit_code_and_the_streams_are_those_of_the_command(place: Place) -> None:
    steps = (
        Step(shell="cat; echo out; echo err >&2", stdin="in", stdout="out file"),
        Step(shell="kill -9 $$", ignore_error=True),
        Step(shell="mkdir -p sub; exit 0"),
        Step(shell="pwd; exit 7", workdir="sub"),
    )
    one = Task(steps=steps, image="docker://tools:1", resources=SMALL, inputs=(Input(content="in\n", to="in"),))
    (job,) = place.run(one)
    assert (job.state, job.reason, job.exit_code) == (State.FAILED, Reason.EXIT_CODE, 7)
    assert stdout_of(job) == f"{job.directory}/work/sub\n"
    assert Path(str(job.directory), "work", "out file").read_text() == "in\nout\n"
    assert Path(str(job.directory), "stderr").read_text() == "err\n"


def test_an_image_that_does_not_exist_fails_at_once_and_says_so_and_the_next_one_is_taken(place: Place) -> None:
    alone = task("true", "docker://nosuch:1")
    either = task("true", ("docker://nosuch:2", "oras://there:1"))
    bad, good = place.run(alone, either, values={"retry_pauses": [60, 60, 60]}, within_s=50)
    assert (bad.state, bad.reason) == (State.FAILED, Reason.IMAGE)
    assert bad.message.startswith("docker://nosuch:1: FATAL:")
    assert bad.message.endswith("manifest unknown")
    assert good.state is State.SUCCEEDED
    assert sorted(place.noted("pulls")) == ["docker://nosuch:1", "docker://nosuch:2", "oras://there:1"]


def test_a_registry_that_is_busy_is_asked_again(place: Place) -> None:
    (job,) = place.run(task("true", "docker://busy:1"), values={"retry_pauses": [0.1, 0.1, 0.1]})
    assert job.state is State.SUCCEEDED
    assert place.noted("pulls") == ["docker://busy:1"] * 3


def test_a_lock_whose_holder_is_dead_is_broken_and_the_image_is_fetched_once(place: Place) -> None:
    place.run(task("true"))
    (kept,) = place.kept
    image = place.workspace / ".images" / kept
    image.unlink()
    lock = image.with_name(kept + ".lock")
    lock.mkdir()
    (lock / "sign").write_text("somebody 17\n")
    jobs = place.run(*(task("true") for _ in range(5)), values={"dead_after": 3})
    assert {job.state for job in jobs} == {State.SUCCEEDED}
    assert len(place.noted("pulls")) == 2
    assert place.kept == [kept]


def test_a_file_is_used_as_it_is_and_a_task_without_an_image_runs_as_it_is(place: Place) -> None:
    image = place.notes / "my tool.sif"
    image.write_text("SIF")
    there, missing, plain = place.run(
        task("exit 4", f"file://{image}"), task("true", "file:///nowhere/x.sif"), task("exit 5", None)
    )
    assert (there.exit_code, plain.exit_code) == (4, 5)
    assert (missing.reason, missing.message) == (Reason.IMAGE, "/nowhere/x.sif: no such file")
    assert [each["image"] for each in place.execs] == [str(image)]
    assert not place.noted("pulls")
    assert "in_image" not in Path(str(plain.directory), "script").read_text()


def test_gpus_are_shown_to_the_inside() -> None:
    backend = load_backend("slurm-apptainer").backend
    one = Task(steps=(Step(argv=("true",)),), image="tools:1", resources=Resources(gpu=1))
    script = render_job(backend, placed(Job(run="r", index=1, task=one), "/w"), "/w").script
    assert "#SBATCH --gpus=1\n" in script
    assert (
        "in_image docker://tools:1 --  -- --work=/w/r/0001-task/work --pwd=/w/r/0001-task/work --nv -- true" in script
    )
