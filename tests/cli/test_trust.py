"""A folder that somebody else wrote runs nothing, whatever is asked, until its user allowed its backend files."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Shell

EVIL = """\
format: 1
name: {name}
extends: {extends}
summary: "looks harmless \\e[2J"
automatic: {{for: images, rank: 0, probe: 'touch {seen}'}}
images: {{docker: '{{{{ name }}}}'}}
version: {{command: 'touch {seen}; echo 1', pattern: '(?P<version>1)'}}
prologue: ['touch {seen}']
functions: {{evil: 'touch {seen}'}}
secrets: {{key: {{command: 'touch {seen}; echo secret'}}}}
submit: {{command: 'touch {seen}; setsid sh {{{{ script }}}} & echo $!', job_id: '(?P<job_id>.+)'}}
monitor: {{command: 'touch {seen}'}}
"""


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    return tmp_path / "seen"


def put(adapter: Shell, seen: Path, name: str = "evil", extends: str = "local") -> Path:
    file = adapter.folder / ".adapter" / f"{name}.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(EVIL.format(name=name, extends=extends, seen=seen))
    return file


def test_a_foreign_folder_does_not_replace_local(adapter: Shell, seen: Path) -> None:
    put(adapter, seen, "local", "local")
    for words in (
        ["run", "--", "true"],
        ["run", "--on", "local", "--", "true"],
        ["submit", "--", "true"],
        ["check", "local", "--no-jobs"],
        ["check", "local", "--quick"],
        ["record", "local"],
        ["simulate", "local", "--", "true"],
        ["render", "--", "true"],
    ):
        done = adapter(*words)
        assert done.returncode == 2, (words, done.stderr)
        assert "adapter: .adapter/local.yaml: is not trusted (it stands before /" in done.stderr, words
        assert "adapter trust .adapter/local.yaml" in done.stderr
    assert not seen.exists()
    assert not (adapter.folder / "captures").exists()


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["validate", ".adapter"], id="validate"),
        pytest.param(["backends", "list"], id="backends list"),
        pytest.param(["backends", "list", "--json"], id="backends list --json"),
        pytest.param(["backends", "show", "evil"], id="backends show"),
        pytest.param(["backends", "explain", "evil"], id="backends explain"),
        pytest.param(["backends", "new", "mine", "--like", "evil"], id="backends new --like"),
        pytest.param(["render", "--on", "evil", "--image", "x", "--", "true"], id="render"),
        pytest.param(["test", "evil"], id="test"),
        pytest.param(["trust"], id="trust, the list"),
        pytest.param(["trust", "evil"], id="trust"),
        pytest.param(["config", "show"], id="config show"),
    ],
)
def test_reading_a_file_that_is_not_trusted_executes_nothing(adapter: Shell, seen: Path, words: list[str]) -> None:
    put(adapter, seen)
    done = adapter(*words)
    assert done.returncode in {0, 1}, done.stderr
    assert "unexpected" not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert not seen.exists()


@pytest.mark.parametrize("command", [["run"], ["render"]], ids=" ".join)
def test_a_probe_of_a_foreign_folder_is_not_run(adapter: Shell, seen: Path, command: list[str]) -> None:
    put(adapter, seen)
    done = adapter(*command, "--image", "alpine", "--", "true")
    assert (done.returncode, seen.exists()) == (2, False)
    assert ".adapter/evil.yaml: is not trusted" in done.stderr


def test_completion_reads_a_foreign_folder_and_offers_no_shell_text(adapter: Shell, seen: Path) -> None:
    put(adapter, seen)
    put(adapter, seen, "$(touch seen)")
    (adapter.folder / ".adapter" / "a;b.yaml").write_text("format: 1\n")
    asked = {"_ADAPTER_COMPLETE": "bash_complete", "COMP_WORDS": "adapter run --on ", "COMP_CWORD": "3"}
    done = subprocess.run(
        adapter.argv([]), env={**adapter.environ, **asked}, cwd=adapter.folder, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    offered = {line.partition(",")[2] for line in done.stdout.splitlines()}
    assert {"evil", "local"} <= offered
    assert not any(character in name for name in offered for character in "$;( ")
    assert not seen.exists()


def test_trust_is_given_listed_and_taken_back(adapter: Shell, seen: Path) -> None:
    file = put(adapter, seen, "mine")
    assert adapter("trust").stdout.split() == ["STATE", "FILE", "not", "trusted", str(file)]
    assert adapter("trust", ".adapter/mine.yaml").stdout == "trusted .adapter/mine.yaml\n"
    assert json.loads(adapter("trust", "--json").stdout) == [{"file": str(file), "state": "trusted"}]
    done = adapter("check", "mine", "--no-jobs")
    assert done.returncode in {0, 5}, done.stderr
    assert seen.exists()
    file.write_text(file.read_text() + "# a change\n")
    assert json.loads(adapter("trust", "--json").stdout) == [{"file": str(file), "state": "changed"}]
    refused = adapter("check", "mine", "--no-jobs")
    assert refused.returncode == 2
    assert "has changed since it was trusted" in refused.stderr
    file.unlink()
    assert json.loads(adapter("trust", "--json").stdout) == [{"file": str(file), "state": "gone"}]
    assert adapter("trust", "--revoke", ".adapter/mine.yaml").stdout == f"revoked {file}\n"
    assert json.loads(adapter("trust", "--json").stdout) == []
    again = adapter("trust", "--revoke", ".adapter/mine.yaml")
    assert (again.returncode, "nothing is allowed for" in again.stderr) == (2, True)


def test_a_name_stands_for_all_files_that_the_folder_gives_it(adapter: Shell, seen: Path) -> None:
    mine = put(adapter, seen, "mine", "base")
    put(adapter, seen, "base")
    assert adapter("trust", "mine").stdout == "trusted .adapter/base.yaml\ntrusted .adapter/mine.yaml\n"
    assert adapter("render", "--on", "mine", "--", "true").stderr == ""
    assert adapter("trust", "--revoke", "mine").stdout == f"revoked {mine}\n"
    needless = adapter("trust", "slurm")
    assert needless.returncode == 2
    assert "backend 'slurm' needs no file of the current folder: it may be used as it is" in needless.stderr


def test_rendering_says_what_is_not_trusted(adapter: Shell, seen: Path) -> None:
    put(adapter, seen)
    done = adapter("render", "--on", "evil", "--image", "x", "--", "true")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("adapter: .adapter/evil.yaml: is not trusted: ")


def test_a_new_backend_is_trusted_by_who_made_it(adapter: Shell) -> None:
    made = adapter("backends", "new", "mine", "--like", "local")
    assert "adapter trust mine;" in made.stdout
    assert adapter("run", "--on", "mine", "--", "echo", "hello").stdout == "hello\n"


def test_a_run_that_has_begun_keeps_its_backend(adapter: Shell) -> None:
    adapter("backends", "new", "mine", "--like", "local")
    run = adapter("submit", "--on", "mine", "--", "echo", "hello").stdout.strip()
    (adapter.folder / ".adapter" / "mine.yaml").write_text("format: 1\nextends: local\nsummary: another\n")
    assert adapter("run", "--on", "mine", "--", "true").returncode == 2
    assert adapter("wait", run).returncode == 0
    assert adapter("logs", run).stdout == "hello\n"


def test_a_default_backend_is_no_file_of_whatever_folder_one_is_in(adapter: Shell, seen: Path) -> None:
    put(adapter, seen)
    config = Path(adapter.environ["HOME"]) / ".config" / "adapter" / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("default_backend: .adapter/evil.yaml\n")
    done = adapter("run", "--", "true")
    assert (done.returncode, seen.exists()) == (2, False)
    assert f"no file '{config.parent}/.adapter/evil.yaml'" in done.stderr
