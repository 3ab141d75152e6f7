"""What is in the repository, and what a source distribution would carry."""

from __future__ import annotations

import re
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILT = (".whl", ".tar", ".gz", ".zip", ".so", ".pyc", ".sif", ".deb", ".exe")


def test_no_built_file_is_tracked() -> None:
    tracked = tracked_files()
    assert ROOT / "pyproject.toml" in tracked
    assert [path for path in tracked if path.name.endswith(BUILT)] == []


def test_every_pattern_of_the_source_distribution_is_anchored() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert [pattern for pattern in patterns if not pattern.startswith("/")] == []
    assert [pattern for pattern in patterns if not (ROOT / pattern.lstrip("/")).exists()] == []


def test_shellcheck_finds_nothing_in_any_shell_script() -> None:
    begins = re.compile(rb"#!\S*(?:/| )(?:ba)?sh\b|# shellcheck shell=sh\b")
    scripts = [path for path in tracked_files() if begins.match(first_bytes(path))]
    assert ROOT / "tests/live/services/up" in scripts
    assert {*(ROOT / "templates/lib").iterdir()} <= {*scripts}
    shellcheck = Path(sysconfig.get_path("scripts")) / "shellcheck"
    done = subprocess.run(
        [shellcheck, "-x", "-P", "SCRIPTDIR", "--severity=warning", *scripts],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("", "")


def tracked_files() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(60)
