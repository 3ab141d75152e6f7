"""How schedulers read what is written for them: the words of directives, and the letters of a path."""

from __future__ import annotations

import asyncio
import re
import shlex
from dataclasses import replace
from typing import Any

import pytest

from adapter.core.backend import Backend
from adapter.core.render import directive_lines, render_job
from adapter.core.task import task_from
from adapter.errors import ConfigError, RenderError
from adapter.execution.site import Site
from adapter.testkit.shelltext import directive_words
from adapter.testkit.subject import job_of
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
        ("sge", ":"), ("pjm", "%j"), ("nqsv", "%r"), ("cobalt", "$"), ("loadleveler", "$"), ("ccc", "%I"),
        ("hyperqueue", "%"), ("oar", "%jobid%"), ("flux", "{{id}}"), ("slurm", "\\"),
    ],
)  # fmt: skip
def test_a_workspace_that_the_scheduler_would_read_as_its_own_is_refused_at_once(name: str, letters: str) -> None:
    workspace = f"/scratch/a{letters}b"
    site = Site(shipped(name), ScriptedTransport())
    site.workspace = workspace
    with pytest.raises(RenderError, match="would read as its own"):
        render_job(site.backend, job_of(task_from({"command": "true"}), workspace), workspace)

    class Machine(ScriptedTransport):
        def _step(self, command: str) -> Any:
            answer = super()._step(command)
            prepared = command.startswith("# prepare")
            return replace(answer, stdout=f"{workspace}\n") if prepared else answer

    with pytest.raises(ConfigError, match=re.escape(f"the workspace of backend {name} cannot be used")):
        asyncio.run(Site(shipped(name), Machine()).prepare())


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
