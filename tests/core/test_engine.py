"""Steps in containers of an engine that does not answer, or is named with options: whole jobs with a stand-in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from adapter.core.backend import merge
from adapter.core.state import Reason

from .samples import shipped_document
from .wrapped import SHELLS, Place

DOCKER = {key: value for key, value in shipped_document("docker").items() if key in {"images", "values", "launch"}}
STAND_IN = """#!/bin/sh
echo "$*" >>"$ENGINE_NOTES"
[ "$1" != --context ] || shift 2
case $1 in
    image) echo 'Error: No such image' >&2; exit 1 ;;
    pull) exec sleep 60 ;;
esac
"""


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(STAND_IN)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("ENGINE_NOTES", str(tmp_path / "notes"))
    return tmp_path / "notes"


def job(folder: Path, values: dict[str, Any]) -> Place:
    task = {"command": "true", "image": "tools:1"}
    return Place(folder / "job", task, **merge(DOCKER, {"values": values}))


@pytest.mark.parametrize("shell", SHELLS)
def test_a_registry_that_hangs_is_given_up_with_words(tmp_path: Path, notes: Path, shell: str) -> None:
    here = job(tmp_path, {"pull_timeout": 1, "launcher_options": ["--context", "far away"]})
    assert here.run(shell) == 125
    assert here.report
    assert here.report.reason is Reason.IMAGE
    assert here.report.message == "tools:1: given up after 1 s without an answer"
    assert notes.read_text().splitlines() == [
        "--context far away image inspect tools:1",
        "--context far away pull --quiet tools:1",
    ]
