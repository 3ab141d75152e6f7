"""How schedulers read what is written for them: the words of directives, and the letters of a path."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapter.config.load import load_backend
from adapter.core.backend import Backend
from adapter.core.batch import Command
from adapter.core.render import directive_lines, render_job
from adapter.core.task import task_from
from adapter.core.template import quote
from adapter.errors import ConfigError, RenderError, UnsupportedResource
from adapter.execution.scheduler_client import SchedulerClient
from adapter.testkit.shelltext import directive_words
from adapter.testkit.subject import is_shell, job_of
from adapter.transports.scripted import ScriptedTransport
from tests.core.samples import shipped, toy

NAMES = ["it's", "'''", '"""x', "a\\b", "a\\", "$(x) `y`", "#1", "a b\tc", "é 名;|&<>()", "--", "-x=y", ""]


@pytest.mark.parametrize("dialect", ["shell", "doubled", "backslash"])
@pytest.mark.parametrize("name", NAMES)
def test_a_word_arrives_as_it_is_in_every_dialect(dialect: str, name: str) -> None:
    backend = toy(directives={"prefix": "#Q", "quote": dialect, "options": {"name": "--name {{ name }}"}})
    line = directive_lines(backend, {"name": name or "", "native": ["--other=" + name]}).splitlines()
    words = [directive_words(each.removeprefix("#Q "), dialect) for each in line]
    assert words == ([["--name", name]] if name else []) + [["--other=" + name]]


@pytest.mark.parametrize(
    ("line", "dialect", "words"),
    [
        pytest.param(r"--a='b\\c'", "doubled", [r"--a=b\c"], id="slurm-backslash-in-quotes"),
        pytest.param(r"--a='b\c'", "doubled", ["--a=bc"], id="slurm-backslash-not-doubled"),
        pytest.param("--a='it'\"'\"'s' # b", "doubled", ["--a=it's"], id="slurm-comment"),
        pytest.param(r"--a=it\'s\ \"b\"", "backslash", ['--a=it\'s "b"'], id="flux-backslashes"),
    ],
)
def test_a_reader_of_a_dialect_reads_as_the_scheduler_does(line: str, dialect: str, words: list[str]) -> None:
    assert directive_words(line, dialect) == words


@pytest.mark.parametrize(
    ("line", "dialect"),
    [
        pytest.param("--job-name='it'\"'\"'s'", "backslash", id="flux-three-quotes-in-a-row"),
        pytest.param("'a", "backslash", id="flux-open-quote"),
        pytest.param("'a", "doubled", id="slurm-open-quote"),
        pytest.param("'a\\'", "doubled", id="slurm-escaped-quote"),
    ],
)
def test_what_a_scheduler_cannot_read_is_an_error(line: str, dialect: str) -> None:
    with pytest.raises(ValueError, match="quot"):
        directive_words(line, dialect)


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("pbs", "^"), ("pbs", ":"), ("torque", "$"), ("torque", ":"), ("moab", "$"), ("lsf", "%J"), ("sge", "$"),
        ("sge", ":"), ("sge", ","), ("pjm", "%j"), ("nqsv", "%r"), ("cobalt", "$"), ("loadleveler", "$"), ("ccc", "%I"),
        ("hyperqueue", "%"), ("oar", "%jobid%"), ("flux", "{{id}}"), ("slurm", "\\"),
    ],
)  # fmt: skip
def test_a_workspace_that_the_scheduler_would_read_as_its_own_is_refused_at_once(name: str, letters: str) -> None:
    workspace = f"/scratch/a{letters}b"
    client = SchedulerClient(shipped(name), ScriptedTransport())
    client.workspace = workspace
    with pytest.raises(RenderError, match="would read as its own"):
        render_job(client.backend, job_of(task_from({"command": "true"}), workspace), workspace)

    class Machine(ScriptedTransport):
        def _step(self, command: Command) -> Any:
            answer = super()._step(command)
            return replace(answer, stdout=f"{workspace}\n") if command.action == "prepare" else answer

    with pytest.raises(ConfigError, match=re.escape(f"the workspace of backend {name} cannot be used")):
        asyncio.run(SchedulerClient(shipped(name), Machine()).prepare())


def test_a_percent_sign_in_a_workspace_is_no_job_id_for_slurm() -> None:
    workspace = "/scratch/100%j"
    script = render_job(shipped("slurm"), job_of(task_from({"command": "true"}), workspace), workspace).script
    assert "#SBATCH --output=/scratch/100%%j/" in script


# ---- Flux --------------------------------------------------------------------------------------------------------


def submit_of(backend: Backend, **document: Any) -> list[str]:
    rendered = render_job(backend, job_of(task_from({"command": "true", **document})), "/scratch/adapter")
    return shlex.split(rendered.submit.partition("$(")[2].partition(") ||")[0])


@pytest.mark.parametrize(
    ("resources", "command"),
    [
        pytest.param({}, ["flux", "submit"], id="nothing-asked"),
        pytest.param({"cpu": 2, "gpu": 1}, ["flux", "submit"], id="one-process"),
        pytest.param({"nodes": 1}, ["flux", "submit"], id="one-node"),
        pytest.param({"nodes": 2}, ["flux", "batch"], id="two-nodes"),
        pytest.param({"ranks": 4}, ["flux", "batch"], id="four-ranks"),
    ],
)
def test_a_task_of_one_process_is_no_instance_of_its_own_on_flux(resources: dict[str, Any], command: list[str]) -> None:
    assert submit_of(shipped("flux"), resources=resources)[:2] == command


@pytest.mark.parametrize("name", ["it's", "'''", 'a "b"'])
def test_a_task_of_any_name_can_be_handed_over_to_flux(name: str) -> None:
    assert f"--job-name={name}:adapter-k7f3q9z2wx-1-1" in submit_of(shipped("flux"), name=name)


# ---- what a task holds is no directive ----------------------------------------------------------------------------

PREFIXES = ("#$", "#SBATCH", "#PBS", "#BSUB", "#MSUB", "#PJM", "#COBALT", "#HQ", "#OAR", "# @", "#CONDOR", "#LL")
SHIPPED = sorted((Path(__file__).parents[2] / "templates").glob("*.yaml"))
CONCRETE = [path.stem for path in SHIPPED if "\nabstract: true" not in path.read_text(encoding="utf-8")]
SCRIPTED = [name for name in CONCRETE if is_shell(load_backend(name).backend)]


@pytest.mark.parametrize("name", SCRIPTED)
def test_no_line_of_a_value_begins_as_a_directive_does(name: str) -> None:
    """Grid Engine reads them anywhere in a script, and the last one counts (seen on 8.1.9)."""
    text = "".join(f"\n{prefix} -N one.of.a.value\n  {prefix} -N two.of.a.value" for prefix in PREFIXES)
    task = task_from({"command": ["sh", "-c", text], "env": {"TEXT": text}, "image": "alpine"})
    try:
        script = render_job(load_backend(name).backend, job_of(task), "/scratch/adapter").script
    except UnsupportedResource:
        script = render_job(load_backend(name).backend, job_of(replace(task, image=None)), "/scratch/adapter").script
    assert "two.of.a.value" in script
    assert not [line for line in script.splitlines() if line.lstrip().startswith("#") and "of.a.value" in line]


@pytest.mark.parametrize("text", ["one\n#$ -N two\n\t# @ x\n\n'#SBATCH'\n #", "\n#", "#\n#'\n#", "a\n \n#b\r\n#"])
def test_a_text_of_lines_that_look_like_directives_arrives_as_it_is(text: str) -> None:
    answer = subprocess.run(["sh", "-c", f"printf %s {quote(text)}"], capture_output=True, check=True)
    assert answer.stdout == text.encode()


@pytest.mark.parametrize("name", ["flux:", "@", "@queue", "$", "SBATCH"])
def test_a_name_does_not_begin_the_comment_of_the_script(name: str) -> None:
    script = render_job(shipped("sge"), job_of(task_from({"command": "true", "name": name})), "/scratch/adapter").script
    assert not [line for line in script.splitlines() if line.lstrip("#'\" ").startswith(name)]


def test_grid_engine_reads_no_directives_in_the_script() -> None:
    """A quote in a #$ line is lost and a # ends it (seen), so every option stands on the command line."""
    task = task_from({"command": "true", "resources": {"queue": 'it\'s "#1"'}, "native": {"sge": ["-A=a'b"]}})
    rendered = render_job(shipped("sge"), job_of(task, "/scratch/it's #1"), "/scratch/it's #1")
    words = shlex.split(rendered.submit)
    assert words[:4] == ["qsub", "-terse", "-C", ""]
    assert {'it\'s "#1"', "-A=a'b", "/scratch/it's #1/k7f3q9z2wx/0001-task/scheduler.log"} <= set(words)
    assert "#$" not in rendered.script


def test_flux_reads_no_directives_in_the_script() -> None:
    """RFC 36: `flux batch` takes `flux:` behind any letters that are no word, in any line of its file."""
    task = task_from({"command": "true", "resources": {"nodes": 2}})
    job = job_of(task, "/scratch/it's")
    words = shlex.split(
        render_job(shipped("flux"), job, "/scratch/it's").submit.partition("$(")[2].partition(") ||")[0]
    )
    assert words[-3:] == [f"--cwd={job.directory}", "--wrap", "exec ./script"]


@pytest.mark.parametrize("letter", list(" '\"$`\\#(;&"))
def test_oar_refuses_a_workspace_that_its_node_would_act_upon(letter: str) -> None:
    """Its node reads the command as text for a shell; a directory with a quote in it made a node Suspected (seen)."""
    workspace = f"/scratch/a{letter}b"
    with pytest.raises(RenderError, match="would read as its own"):
        render_job(shipped("oar"), job_of(task_from({"command": "true"}), workspace), workspace)
