"""Like tasks in one submit."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from adapter.config.library import library
from adapter.core.array import element_id, grouped, render_array
from adapter.core.job import Job
from adapter.core.library import commands_text, digest, stage_text, store_of
from adapter.core.receipt import submit_step
from adapter.core.render import placed
from adapter.core.task import task_from

from .samples import shipped, toy

ARRAYS = {
    "limits": {"arrays": True},
    "directives": {
        "prefix": "#TOY",
        "options": {"name": "-n {{ name }}", "cpu": "-c {{ cpu | ceil }}", "token": "-t {{ token }}"},
    },
    "submit": {"job_id_inside": "$TOY_ID.$TOY_INDEX"},
    "array": {
        "option": "-a {{ first }}-{{ last }}",
        "index": "TOY_INDEX",
        "first": 1,
        "job_id": "{{ job_id }}.{{ index }}",
        "max_size": 3,
    },
}


def jobs_of(*documents: dict[str, Any], workspace: str = "/ws") -> list[Job]:
    tasks = [task_from({"command": "true", **document}) for document in documents]
    return [placed(Job(run="r1", index=number, task=each), workspace) for number, each in enumerate(tasks, 1)]


def indexes(groups: list[list[Job]]) -> list[list[int]]:
    return [[job.index for job in group] for group in groups]


def test_like_tasks_go_together_and_others_alone() -> None:
    cpu = {"resources": {"cpu": 4}}
    jobs = jobs_of({"name": "a"}, {"name": "b", "command": "false"}, cpu, {"name": "c", "env": {"A": "b"}}, cpu)
    assert indexes(grouped(toy(**ARRAYS), jobs, "/ws")) == [[1, 2, 4], [3, 5]]


def test_an_array_is_not_larger_than_it_may_be_and_one_alone_is_none() -> None:
    groups = grouped(toy(**ARRAYS), jobs_of(*[{} for _ in range(7)]), "/ws")
    assert indexes(groups) == [[1, 2, 3], [4, 5, 6], [7]]
    assert [job.array.index for job in groups[1] if job.array] == [1, 2, 3]
    assert groups[2][0].array is None


def test_without_leave_nothing_is_put_together() -> None:
    jobs = jobs_of({}, {})
    assert indexes(grouped(toy(**{**ARRAYS, "limits": {}}), jobs, "/ws")) == [[1], [2]]
    assert indexes(grouped(toy(limits={"arrays": True}), jobs, "/ws")) == [[1], [2]]


def test_native_options_make_tasks_unlike() -> None:
    jobs = jobs_of({}, {"native": {"toy": ["-x"]}})
    assert indexes(grouped(toy(**ARRAYS), jobs, "/ws")) == [[1], [2]]


def test_an_element_has_its_own_id() -> None:
    backend = toy(**ARRAYS)
    group = grouped(backend, jobs_of({}, {}), "/ws")[0]
    assert [element_id(backend, job, "77") for job in group] == ["77.1", "77.2"]
    assert element_id(backend, jobs_of({})[0], "77") == "77"


def test_the_array_is_asked_for_beside_what_the_tasks_ask_for() -> None:
    backend = toy(**ARRAYS)
    group = grouped(backend, jobs_of({"name": "one"}, {"name": "two"}), "/ws")[0]
    rendered = render_array(backend, group, "/ws")
    lines = rendered.script.splitlines()
    assert lines[:4] == ["#!/bin/sh", "#TOY -n one", "#TOY -t adapter-r1-1-1", "#TOY -a 1-2"]


def test_each_element_is_read_by_the_shell_that_the_file_names() -> None:
    backend = toy(**ARRAYS, shell="bash -l")
    rendered = render_array(backend, grouped(backend, jobs_of({}, {}), "/ws")[0], "/ws")
    assert rendered.script.splitlines()[-1].startswith('exec /bin/bash -l "$(sed -n ')
    scripts = [text for path, text in rendered.files.items() if not path.endswith("/array")]
    assert len(scripts) == 2
    assert all(text.startswith("#!/bin/bash -l\n") for text in scripts)


def test_where_there_are_no_directives_the_submit_command_asks_for_it() -> None:
    backend = toy(**{**ARRAYS, "directives": None, "submit": {"command": "toy-submit {{ options }} {{ script }}"}})
    rendered = render_array(backend, grouped(backend, jobs_of({}, {}), "/ws")[0], "/ws")
    assert rendered.submit == "toy-submit -a 1-2 /ws/r1/0001-task/script"


@pytest.mark.parametrize("workspace", ["ws", "it's a $ws"])
def test_each_element_runs_its_own_script_once(tmp_path: Path, workspace: str) -> None:
    """The stand-in for the scheduler runs the script once for each index, as an array does."""
    place = tmp_path / workspace
    program = tmp_path / "toy-submit"
    program.write_text('#!/bin/sh\nfor index in 1 2 3; do TOY_ID=9 TOY_INDEX=$index sh "$1"; done\necho 9\n')
    program.chmod(0o700)
    backend = toy(**{**ARRAYS, "submit": {**ARRAYS["submit"], "command": f"{program} {{{{ script }}}}"}})
    jobs = jobs_of(*({"command": f"echo I am {number}; exit {number}"} for number in (1, 2, 3)), workspace=str(place))
    group = grouped(backend, jobs, str(place))[0]
    rendered = render_array(backend, group, str(place))
    wrapper = library()["wrapper"]
    taken = {"wrapper.sh": f"{store_of(str(place))}/{digest(wrapper)}"}
    step = submit_step(group[0], rendered, "END", others=group[1:], library=taken)
    text = commands_text(backend, [step], library()) + stage_text(str(place), [wrapper], "0" * 12) + step.text
    for _ in range(2):  # a second time changes nothing
        done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=False, timeout=30)
        assert done.stdout.splitlines()[0] == "9", done.stderr
    for number, job in enumerate(group, 1):
        folder = Path(str(job.directory))
        assert (folder / "stdout").read_text() == f"I am {number}\n"
        assert f"exit_code {number}\n" in (folder / "exit").read_text()
        assert (folder / "job_id").readlink() == Path(f"submit.1 9.{number}")


def test_slurm_arrays_are_told_their_bounds() -> None:
    backend = shipped("slurm", limits={"arrays": True})
    rendered = render_array(backend, grouped(backend, jobs_of({}, {}, {}), "/ws")[0], "/ws")
    assert "#SBATCH --array=0-2\n" in rendered.script
