"""The scripts of all shipped backends, as a person and shellcheck read them, and as shells run them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from adapter.config.load import load_backend
from adapter.core.array import as_array, render_array
from adapter.core.exit_file import ExitReport, parse_exit_file
from adapter.core.job import Job
from adapter.core.render import placed, render_job
from adapter.core.task import task_from
from adapter.core.template import Template
from tests.core.wrapped import SHELLS

if TYPE_CHECKING:
    from adapter.core.backend import Backend

TEMPLATES = Path(__file__).parents[2] / "templates"
ENGINE = """#!/bin/sh
# Takes what the wrapper asks of an engine, writes it down, and runs the command that stands behind the image.
echo "$@" >>"$RECORD"
case $1 in
    run)
        while [ "$1" != tools:1 ]; do
            [ "$1" != --cidfile ] || echo 1 >"$2"
            shift
        done
        shift
        "$@"
        echo $? >"$RECORD.code"
        exit "$(cat "$RECORD.code")" ;;
    inspect) echo "state: exited $(cat "$RECORD.code") false" ;;
esac
"""


@cache
def backend_of(name: str) -> Backend:
    return load_backend(name).backend


@cache
def shell_backends() -> list[str]:
    documents = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in TEMPLATES.glob("*.yaml")}
    concrete = sorted(name for name, document in documents.items() if not document.get("abstract"))
    return [name for name in concrete if isinstance(backend_of(name).script, Template)]


def job_for(name: str, workspace: str, *, index: int = 1, image: bool = False) -> Job:
    backend = backend_of(name)
    document = {
        "name": "two steps",
        "steps": [
            {"argv": ["sh", "-c", "echo first; exit 3"], "ignore_error": True, "env": {"ONE": "1 & 2"}},
            {"shell": 'echo "$TWO" "$PWD"; exit 5', "workdir": "."},
            "echo never",
        ],
        "env": {"TWO": "it's $two"},
        "image": "tools:1" if image or "image" in backend.requires else None,
    }
    task = task_from({key: value for key, value in document.items() if value is not None})
    return placed(Job(run="r1", index=index, task=task), workspace)


def variants() -> list[tuple[str, bool]]:
    return [
        (name, image) for name in shell_backends() for image in sorted({False, backend_of(name).launch is not None})
    ]


# What shellcheck may not say of a rendered script, and why.
ALLOWED = {
    "SC1091": "the library is not where the sample says that it is",
    "SC2016": "the dollar of the sample's value must not be expanded",
    "SC2046": "options that a program prints, or none",
    "SC2329": "what the library calls: steps, stop_launched, launch_exec",
    "SC2086": "words: fields of /proc, which are numbers, and an id that a scheduler made",
}


def test_shellcheck_finds_nothing_in_what_any_backend_renders(tmp_path: Path) -> None:
    for name, image in variants():
        backend = backend_of(name)
        job = job_for(name, "/ws", image=image)
        scripts = {f"{name}-{image}": render_job(backend, job, "/ws").script}
        if backend.array is not None and not image:
            elements = as_array([job_for(name, "/ws", index=index) for index in (1, 2, 3)], backend.array)
            rendered = render_array(backend, elements, "/ws")
            scripts |= {
                f"{name}-array": rendered.script,
                f"{name}-element": rendered.files["/ws/r1/0001-two-steps/element"],
            }
        for file, script in scripts.items():
            (tmp_path / file).write_text(script, encoding="utf-8")
    shellcheck = Path(sysconfig.get_path("scripts")) / "shellcheck"
    scripts_here = sorted(tmp_path.iterdir())
    assert len(scripts_here) > 25
    done = subprocess.run(
        [shellcheck, "--shell=sh", "--severity=info", f"--exclude={','.join(ALLOWED)}", *scripts_here],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("name", "image"), variants())
def test_every_script_runs_its_steps_and_writes_how_each_ended(
    tmp_path: Path, name: str, image: bool, shell: str
) -> None:
    if image and name not in {"docker", "podman"}:
        pytest.skip("tests/core/test_apptainer.py has a stand-in for the program")
    job = job_for(name, str(tmp_path), image=image)
    folder = Path(job.directory or "")
    (folder / "work").mkdir(parents=True)
    for file in (TEMPLATES / "lib").glob("*.sh"):
        shutil.copy(file, folder)
    for program in ("docker", "podman"):
        (tmp_path / program).write_text(ENGINE)
        (tmp_path / program).chmod(0o755)
    (folder / "script").write_text(render_job(backend_of(name), job, str(tmp_path)).script, encoding="utf-8")
    done = subprocess.run(
        [*shell.split(), str(folder / "script")],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "RECORD": str(tmp_path / "record")},
        capture_output=True, text=True, check=False, timeout=60, start_new_session=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 5, done.stderr
    report = parse_exit_file((folder / "exit").read_text(encoding="utf-8"))
    assert isinstance(report, ExitReport)
    assert (report.exit_code, report.step_codes) == (5, (3, 5))
    assert (folder / "stdout").read_text() == f"first\nit's $two {folder}/work\n"
    assert ((tmp_path / "record").exists()) is (name in {"docker", "podman"})


def test_a_script_is_what_a_person_would_write() -> None:
    task = task_from({"command": {"argv": ["./x"]}, "name": "x", "resources": {"cpu": 4}})
    job = placed(Job(run="RUN", index=1, task=task), "/ws")
    assert (
        render_job(backend_of("slurm"), job, "/ws").script
        == """\
#!/bin/sh
#SBATCH --job-name=x
#SBATCH --comment=adapter-RUN-1-1
#SBATCH --output=/ws/RUN/0001-x/scheduler.log
#SBATCH --cpus-per-task=4
# run RUN, attempt 1: x

job=/ws/RUN/0001-x
id=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}
cd "$job" || exit 73
. /ws/RUN/0001-x/wrapper.sh

steps() {
    cd /ws/RUN/0001-x/work || return

    begin_step 1 # of 1
    ./x || step_failed || return
}

run_job "$job" 1 "$id" steps=1 count_times end_processes \\
    stdin=/dev/null stdout=/ws/RUN/0001-x/stdout stderr=/ws/RUN/0001-x/stderr
"""
    )


@pytest.mark.parametrize("name", shell_backends())
def test_no_script_is_longer_than_thirty_lines(name: str) -> None:
    backend = backend_of(name)
    image = {"image": "tools:1"} if "image" in backend.requires else {}
    resources = {"cpu": 4} if backend.is_supported("cpu") else {}
    task = task_from({"command": {"argv": ["./x"]}, "resources": resources, **image})
    script = render_job(backend, placed(Job(run="RUN", index=1, task=task), "/ws"), "/ws").script
    assert len(script.splitlines()) <= 30, script
