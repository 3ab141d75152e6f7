"""What is in the repository, and what a source distribution would carry."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILT = (".whl", ".tar", ".gz", ".zip", ".so", ".pyc", ".sif", ".deb", ".exe")


def test_no_built_file_is_tracked() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    assert "pyproject.toml" in tracked
    assert [name for name in tracked if name.endswith(BUILT)] == []


def test_every_pattern_of_the_source_distribution_is_anchored() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert [pattern for pattern in patterns if not pattern.startswith("/")] == []
    assert [pattern for pattern in patterns if not (ROOT / pattern.lstrip("/")).exists()] == []
