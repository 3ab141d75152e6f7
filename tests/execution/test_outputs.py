"""Outputs come here: no two tasks write one file in silence, no file of the user is lost, no input is stale."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from adapter.core.job import Job
from adapter.core.state import Reason, State
from adapter.core.task import Task, task_from
from adapter.errors import TaskError, TransportError
from adapter.execution.executor import Executor
from adapter.store.sqlite import SqliteStore
from adapter.transports.files import get_here
from adapter.transports.scripted import ScriptedTransport

from .stage import Slurm, Story, slurm


@dataclass
class Machine(ScriptedTransport):
    """Brings the files in ``root/INDEX`` as those of the job INDEX; remembers what it was sent, by target."""

    root: Path = field(default=Path("/nowhere"))
    sent: dict[str, list[str]] = field(default_factory=dict)
    breaks: int = 0

    async def get(self, downloads: Any, **where: Any) -> list[list[str]]:
        brought = [get_here(replace(each, folder=str(self.root / _index(each.folder)))) for each in downloads]
        if self.breaks:
            self.breaks -= 1
            raise TransportError("the connection broke")
        return brought

    async def put(self, uploads: Any, **where: Any) -> None:
        for upload in uploads:
            if not Path(upload.path).exists():
                raise TransportError(f"cannot put {upload.path} at {upload.target}: No such file or directory")
            self.sent[_index(upload.target)] = sorted(path.name for path in Path(upload.path).rglob("*.txt"))


def _index(folder: str) -> str:
    """Return the index of the job whose folder it is, or the folder itself: a folder of the task's own choice."""
    found = re.search(r"/(\d{4})-", folder)
    return found[1].lstrip("0") if found else folder


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(root=tmp_path / "machine")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def writes(machine: Machine, index: int, **files: str) -> None:
    folder = machine.root / str(index)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)


def task(name: str, *outputs: Any, **document: Any) -> Task:
    return task_from({"command": "true", "name": name, "outputs": list(outputs), **document})


def run(machine: Machine, store: SqliteStore, *tasks: Task, force: bool = False) -> Story:
    async def story() -> Story:
        slurm_here = Slurm(transport=machine)
        executor = Executor(slurm(), transport=machine, store=store, clock=slurm_here.clock)
        async with executor, asyncio.timeout(20):
            its = await executor.submit(tasks, force=force)
            return Story(await executor.wait(its), [], its)

    return asyncio.run(story())


def texts(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_two_tasks_that_name_one_file_are_refused_before_anything_is_written_down(
    machine: Machine, store: SqliteStore, here: Path
) -> None:
    with pytest.raises(TaskError, match=r"task 'b' \(number 2\) and task 'a' \(number 1\) both write [^.]*/out\.txt; "):
        run(machine, store, task("a", "out.txt"), task("b", "./out.txt"))
    assert store.summaries() == []


def test_two_files_that_only_a_pattern_shows_are_both_kept_and_it_is_said(
    machine: Machine, store: SqliteStore, here: Path
) -> None:
    writes(machine, 1, out="of a", own="x")
    writes(machine, 2, out="of b")
    story = run(machine, store, task("a", "*.txt"), task("b", "*.txt"))
    beside = f"out.{story.run}.2.txt"
    assert texts(here) == {"out.txt": "of a", "own.txt": "x", beside: "of b"}
    assert [job.state for job in story.jobs] == [State.SUCCEEDED] * 2
    assert [job.collect_problem for job in story.jobs] == [
        "",
        f"{here}/out.txt was brought by task 'a' (job {story.run}.1); what this task brought is {here}/{beside}",
    ]


@pytest.mark.parametrize("force", [False, True])
def test_two_files_of_one_content_are_two_files(
    machine: Machine, store: SqliteStore, here: Path, *, force: bool
) -> None:
    for index in (1, 2, 3):
        writes(machine, index, out="the same")
    story = run(machine, store, *(task(name, "*.txt") for name in "abc"), force=force)
    assert len(texts(here)) == 3
    assert [bool(job.collect_problem) for job in story.jobs] == [False, True, True]


def test_what_two_tasks_bring_in_folders_is_kept_too(machine: Machine, store: SqliteStore, here: Path) -> None:
    for index in (1, 2):
        writes(machine, index, out=str(index))
        (machine.root / str(index)).rename(machine.root / "moving")
        (machine.root / str(index)).mkdir()
        (machine.root / "moving").rename(machine.root / str(index) / "results")
    story = run(machine, store, task("a", "results/"), task("b", "results/"))
    assert texts(here) == {"results/out.txt": "1", f"results/out.{story.run}.2.txt": "2"}


def test_folders_by_name_keep_tasks_apart(machine: Machine, store: SqliteStore, here: Path) -> None:
    output = {"path": "out.txt", "to": "results/{{ name }}-{{ index }}"}
    for index in (1, 2, 3):
        writes(machine, index, out=str(index))
    story = run(machine, store, task("a", output), task("../b", output), task("a", output))
    assert texts(here) == {
        "results/a-1/out.txt": "1",
        "results/.._b-2/out.txt": "2",
        "results/a-3/out.txt": "3",
    }
    assert not any(job.collect_problem for job in story.jobs)


def test_a_file_that_is_here_is_refused_before_anything_runs_and_force_replaces_it(
    machine: Machine, store: SqliteStore, here: Path
) -> None:
    (here / "out.txt").write_text("mine")
    writes(machine, 1, out="new")
    with pytest.raises(TaskError, match=r"out\.txt \(task 'a'\) is an output and is here already; .*--force"):
        run(machine, store, task("a", "out.txt"))
    assert store.summaries() == []
    assert run(machine, store, task("a", "out.txt"), force=True).jobs[0].collect_problem == ""
    assert texts(here) == {"out.txt": "new"}


@pytest.mark.parametrize("to", ["out", "out/of/{{ name }}"])
def test_a_file_that_is_here_where_a_folder_is_needed_is_refused_before_anything_runs(
    machine: Machine, store: SqliteStore, here: Path, to: str
) -> None:
    (here / "out").write_text("mine")
    with pytest.raises(TaskError, match=r"/out is no folder, so outputs cannot come to .*/out.* \(task 'a'\)"):
        run(machine, store, task("a", {"path": "*.txt", "to": to}), force=True)
    assert store.summaries() == []


def test_a_file_that_only_a_pattern_shows_is_kept_and_force_replaces_it(
    machine: Machine, store: SqliteStore, here: Path
) -> None:
    (here / "out.txt").write_text("mine")
    writes(machine, 1, out="new")
    story = run(machine, store, task("a", "*.txt"))
    assert texts(here) == {"out.txt": "mine", f"out.{story.run}.1.txt": "new"}
    assert "was here already and stays" in story.jobs[0].collect_problem
    assert run(machine, store, task("a", "*.txt"), force=True).jobs[0].collect_problem == ""
    assert texts(here)["out.txt"] == "new"


def test_a_task_that_works_on_a_file_in_place_may_name_it(machine: Machine, store: SqliteStore, here: Path) -> None:
    (here / "out.txt").write_text("mine")
    assert run(machine, store, task("a", "out.txt", workdir=str(here))).jobs[0].state is State.SUCCEEDED


def test_many_files_beside_others_are_told_in_short(machine: Machine, store: SqliteStore, here: Path) -> None:
    names = {f"f{number}": "x" for number in range(9)}
    writes(machine, 1, **names)
    writes(machine, 2, **names)
    problem = run(machine, store, task("a", "*.txt"), task("b", "*.txt")).jobs[1].collect_problem
    assert problem.count("was brought by") == 3
    assert problem.endswith("; and 6 more files are beside others of their name")


def test_files_of_one_folder_that_tasks_share_are_one_file(machine: Machine, store: SqliteStore, here: Path) -> None:
    shared = machine.root / "shared"
    shared.mkdir(parents=True)
    (shared / "log.txt").write_text("x")
    story = run(machine, store, *(task(name, "*.txt", workdir=str(shared)) for name in "ab"))
    assert (texts(here), [job.collect_problem for job in story.jobs]) == ({"log.txt": "x"}, ["", ""])


@pytest.mark.parametrize("noted", [True, False], ids=["noted-in-the-store", "not-even-that"])
def test_files_that_came_before_the_process_died_are_no_strangers(
    machine: Machine, store: SqliteStore, here: Path, *, noted: bool
) -> None:
    writes(machine, 1, out="of a")
    writes(machine, 2, out="of b")
    story = run(machine, store, task("a", "*.txt"), task("b", "*.txt"))
    before = texts(here)
    store.save(
        (job.but(collected=False, collect_problem="") for job in story.jobs), 0.0
    )  # as if it died just before that
    if not noted:
        with sqlite3.connect(store.path) as database:
            database.execute("DELETE FROM brought")

    async def again() -> list[Job]:
        executor = Executor(slurm(), transport=machine, store=store, clock=Slurm(transport=machine).clock)
        async with executor, asyncio.timeout(20):
            await executor.adopt(story.run)
            return await executor.wait(story.run)

    jobs = asyncio.run(again())
    assert [job.collect_problem for job in jobs] == [job.collect_problem for job in story.jobs]
    assert texts(here) == before


def test_another_attempt_of_a_task_replaces_what_the_first_one_brought(
    machine: Machine, store: SqliteStore, here: Path
) -> None:
    writes(machine, 1, out="first")
    story = run(machine, store, task("a", "out.txt"))
    writes(machine, 1, out="second")
    second = story.jobs[0].but(attempt=2, collected=False)
    store.save([second.but(directory=f"{second.directory}.2")], 0.0)

    async def again() -> list[Job]:
        executor = Executor(slurm(), transport=machine, store=store, clock=Slurm(transport=machine).clock)
        async with executor, asyncio.timeout(20):
            await executor.adopt(story.run)
            return await executor.wait(story.run)

    assert [job.collect_problem for job in asyncio.run(again())] == [""]
    assert texts(here) == {"out.txt": "second"}


def test_files_that_could_not_all_be_brought_at_once_are_no_strangers_when_they_are_brought_one_by_one(
    machine: Machine, store: SqliteStore, here: Path
) -> None:
    writes(machine, 1, out="a")
    machine.breaks = 1
    assert run(machine, store, task("a", "out.txt")).jobs[0].collect_problem == ""
    assert texts(here) == {"out.txt": "a"}


def test_a_folder_that_is_work_folder_and_place_at_once_is_not_brought_into_itself(
    machine: Machine, store: SqliteStore, here: Path
) -> None:
    (here / "sub").mkdir()
    (here / "sub" / "a.txt").write_text("a")
    outputs = ["**/*", {"path": "sub", "to": "."}]
    story = run(machine, store, *(task(name, *outputs, workdir=str(here)) for name in "ab"))
    assert (texts(here), [job.collect_problem for job in story.jobs]) == ({"sub/a.txt": "a"}, ["", ""])
    assert list(store.brought(story.run)) == [f"{here}/sub/a.txt"]


# -- a gather step


def gather(*after: str, reads: str = "results", until: str = "succeeded") -> Task:
    waits = [{"task": name, "until": until} for name in after]
    return task("sum", inputs=[reads], after=waits)


@pytest.mark.parametrize("until", ["succeeded", "ended"])
def test_a_task_gets_the_files_of_those_before_it_where_the_scheduler_could_wait_itself(
    machine: Machine, store: SqliteStore, here: Path, until: str
) -> None:
    (here / "results").mkdir()
    (here / "results" / "stale.txt").write_text("old")
    parts = [task("part", {"path": f"p{index}.txt", "to": "results"}) for index in (1, 2)]
    for index in (1, 2):
        writes(machine, index, **{f"p{index}": "x"})
    story = run(machine, store, *parts, gather("part", until=until))
    assert [job.state for job in story.jobs] == [State.SUCCEEDED] * 3
    assert machine.sent["3"] == ["p1.txt", "p2.txt", "stale.txt"]


def test_a_task_gets_the_file_of_one_far_before_it(machine: Machine, store: SqliteStore, here: Path) -> None:
    writes(machine, 1, p="x")
    between = task("between", after=["part"])
    story = run(machine, store, task("part", "*.txt"), between, gather("between", reads="p.txt"))
    assert [job.state for job in story.jobs] == [State.SUCCEEDED] * 3
    assert story.jobs[2].after_succeeded == (), "the other one ended before, because this one waited for the file"


def test_a_task_that_takes_no_file_of_those_before_it_is_left_to_the_scheduler(
    machine: Machine, store: SqliteStore, here: Path
) -> None:
    (here / "other").mkdir()
    writes(machine, 1, p="x")
    story = run(machine, store, task("part", {"path": "p.txt", "to": "results"}), gather("part", reads="other"))
    assert story.jobs[1].after_succeeded == (story.jobs[0].job_id,)


def test_a_file_that_did_not_come_after_all_fails_the_task_that_takes_it_by_its_name(
    machine: Machine, store: SqliteStore, here: Path
) -> None:
    writes(machine, 1, other="x")
    story = run(machine, store, task("part", "*.txt"), gather("part", reads="p.txt"))
    assert (story.jobs[1].state, story.jobs[1].reason) == (State.FAILED, Reason.WORKSPACE)
    assert f"{here}/p.txt" in story.jobs[1].message


def test_a_folder_that_only_comes_later_is_known_as_one_when_it_is_sent(
    machine: Machine, store: SqliteStore, here: Path
) -> None:
    writes(machine, 1, p="x")
    story = run(machine, store, task("part", {"path": "p.txt", "to": "results"}), gather("part"))
    assert story.jobs[1].task.inputs[0].folder


def test_the_paths_of_tasks_from_code_hold_wherever_the_run_is_taken_over(
    machine: Machine, store: SqliteStore, here: Path
) -> None:
    (here / "in").mkdir()
    story = run(machine, store, task("a", "*.txt", inputs=["in"]))
    kept = store.jobs(story.run)[0].task
    assert (kept.inputs[0].path, kept.outputs[0].to) == (f"{here}/in", str(here))
