"""``adapter check`` and ``adapter record`` as processes, on every scheduler that this machine can run."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.live.conftest import gridengine, oar, slurm_conf, spooler, ssh_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

TIMEOUT_S = 900  # far more than it takes: the machine may be busy
MANY = 20
FAR_USER = "jobu"  # OAR takes no jobs from root

# Every case, in the order of the table, and what it must come to where nothing else is said below.
CASES = {
    "exit 0": "ok", "exit 3": "ok", "exit 200": "ok", "signal": "ok", "walltime": "ok", "memory": "ok",
    "command not found": "ok", "kill at once": "ok", "kill running": "ok", "kill finished": "ok", "unknown id": "ok",
    "find": "ok", "bad queue": "ok", "held": "ok", "arguments": "ok", "environment": "ok",
    "environment of a step": "ok", "name": "ok", "stdout and stderr": "ok", "work folder": "ok",
    "inputs and outputs": "ok", "shared workspace": "ok", "standard input": "ok", "steps": "ok", "steps stop": "ok",
    "after success": "ok", "after failure": "ok", "after any end": "ok",
    "after a removed task": "ok", "after a killed task": "ok", "clock": "ok", "time used": "ok",
    "memory used": "ok", "many at once": "ok", "array": "ok",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A scheduler, how it is reached, and what it cannot do: the case, and words of the reason that must be told."""

    environment: Callable[[], Mapping[str, str]]
    not_here: Mapping[str, str]
    options: tuple[str, ...] = ()
    is_far: bool = False
    document: dict[str, Any] = field(default_factory=dict)


def slurm_environment() -> Mapping[str, str]:
    return {"SLURM_CONF": slurm_conf("acct")}


def oar_environment() -> Mapping[str, str]:
    oar()
    return {}


SITES = {
    "slurm": Site(environment=slurm_environment, options=("--hold-option=--hold",), not_here={}),
    "sge": Site(
        environment=gridengine,
        options=("--hold-option=-h",),
        not_here={
            "memory": "nothing says that memory was why",  # h_vmem bounds each process: an allocation fails
            "memory used": "not told",  # ru_maxrss is off by 1024 in this version
        },
    ),
    "oar": Site(
        environment=oar_environment,
        options=("--hold-option=--hold",),
        is_far=True,
        not_here={
            "memory": "no way to ask for ram",
            "memory used": "not told",
            "array": "the backend has no `array`",
        },
    ),
    "task-spooler": Site(
        environment=spooler,
        options=("--walltime", "20s"),
        not_here={
            "memory": "nothing says that memory was why",
            "memory used": "not told",
            "bad queue": "no way to ask for queue",
            "held": "--hold-option",
            "array": "the backend has no `array`",
        },
    ),
    "at": Site(
        environment=spooler,
        options=("--walltime", "20s"),
        not_here={
            "memory": "nothing says that memory was why",
            "memory used": "not told",
            "held": "--hold-option",
            "array": "the backend has no `array`",
        },
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One finished ``adapter check``: its exit code, what it printed, and where its report and its workspace are."""

    exit_code: int
    stdout: str
    stderr: str
    report: Path
    workspace: str

    @property
    def told(self) -> dict[str, Any]:
        assert self.stdout, self.stderr
        told: dict[str, Any] = json.loads(self.stdout)
        return told


def command(*words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "adapter", *words]


def site_file(folder: Path, name: str) -> tuple[Path, str]:
    """Write a site's own file, as a sysadmin would; return it and the workspace."""
    site, workspace = SITES[name], str(folder / "workspace")
    document: dict[str, Any] = {"format": 1, "name": "site", "extends": name}
    if site.is_far:
        workspace = f"/home/{FAR_USER}/.adapter-live-tests/{folder.name}"
        # Its own connection: a shared one would outlive the test.
        document["connection"] = {"kind": "ssh", "host": "target", "config": ssh_config()}
    file = folder / "site.yaml"
    file.write_text(json.dumps({**document, "workspace": workspace}))
    return file, workspace


def environment_of(folder: Path, name: str) -> dict[str, str]:
    return {**os.environ, **SITES[name].environment(), "ADAPTER_STATE": str(folder / "state")}


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Checked]]:
    """All schedulers at once, each by a process of its own."""
    folders = {name: tmp_path_factory.mktemp(f"check-{name}") for name in SITES}
    files = {name: site_file(folder, name) for name, folder in folders.items()}
    environments = {name: environment_of(folder, name) for name, folder in folders.items()}
    running = {}
    for name, site in SITES.items():
        words = ["check", str(files[name][0]), "--json", "--report", "report.md", "--many", str(MANY), *site.options]
        running[name] = subprocess.Popen(
            command(*words), cwd=folders[name], env=environments[name], text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    found = {}
    for name, process in running.items():
        stdout, stderr = process.communicate(timeout=TIMEOUT_S)
        (folders[name] / "check.json").write_text(stdout)
        found[name] = Checked(
            exit_code=process.returncode,
            stdout=stdout,
            stderr=stderr,
            report=folders[name] / "report.md",
            workspace=files[name][1],
        )
    yield found
    for name in SITES:
        shutil.rmtree(files[name][1], ignore_errors=True)  # a far one is in the far user's home


@pytest.mark.parametrize("name", SITES)
def test_every_case_comes_to_what_this_scheduler_can_do(checked: dict[str, Checked], name: str) -> None:
    told = checked[name].told
    expected = {**CASES, **dict.fromkeys(SITES[name].not_here, "not here")}
    assert {case["name"]: case["verdict"] for case in told["cases"]} == expected, told["cases"]
    assert (checked[name].exit_code, told["ok"], told["usable"]) == (0, True, True)


@pytest.mark.parametrize("name", SITES)
def test_what_is_not_here_says_why(checked: dict[str, Checked], name: str) -> None:
    why = {case["name"]: case["why"] for case in checked[name].told["cases"] if case["why"]}
    assert why.keys() == SITES[name].not_here.keys()
    assert [case for case, words in SITES[name].not_here.items() if words not in why[case]] == []


@pytest.mark.parametrize("name", SITES)
def test_nothing_is_left_on_the_target(checked: dict[str, Checked], name: str) -> None:
    assert checked[name].told["left_behind"] == []
    workspace = Path(checked[name].workspace)
    assert [entry.name for entry in workspace.iterdir() if not entry.name.startswith(".")] == []
    left = [str(path) for path in workspace.rglob("*") if not path.is_dir()]
    assert left == []


@pytest.mark.parametrize("name", SITES)
def test_nothing_was_seen_that_nobody_can_read(checked: dict[str, Checked], name: str) -> None:
    unreadable = [
        text for text in checked[name].told["also_seen"] if "fits no pattern" in text or "does not name" in text
    ]
    assert unreadable == []


@pytest.mark.parametrize("name", SITES)
def test_the_report_has_every_case_and_no_names(checked: dict[str, Checked], name: str) -> None:
    report = checked[name].report.read_text()
    assert [case for case in CASES if f"| {case} |" not in report] == []
    for word in (FAR_USER, checked[name].workspace, str(Path.home()), f" {platform.node()} "):
        assert word not in report


def test_what_is_recorded_is_replayed_green(checked: dict[str, Checked], tmp_path: Path) -> None:
    assert checked  # not beside the others: task-spooler has four slots
    file, _ = site_file(tmp_path, "task-spooler")
    cases = ("exit 0", "exit 3", "signal", "kill running", "find", "kill finished")
    only = [word for case in cases for word in ("--only", case)]
    environment = environment_of(tmp_path, "task-spooler")
    recorded = subprocess.run(
        command("record", str(file), "--to", "recorded", *only), cwd=tmp_path, env=environment,
        text=True, capture_output=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert recorded.returncode == 0, recorded.stdout + recorded.stderr
    actions = {path.name.split("-")[1] for path in (tmp_path / "recorded").iterdir()}
    assert actions == {"version", "submit", "monitor", "find", "kill"}
    tested = subprocess.run(
        command("test", str(file), "--captures", "recorded", "--json"), cwd=tmp_path, env=environment,
        text=True, capture_output=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    (report,) = json.loads(tested.stdout)
    captures = {row["name"]: row["result"] for row in report["rows"] if Path(row["name"]).parent == Path("recorded")}
    assert len(captures) == len(list((tmp_path / "recorded").iterdir()))
    assert set(captures.values()) == {"ok"}, [row for row in report["rows"] if row["result"] == "failed"]
