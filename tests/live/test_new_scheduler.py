"""The story of a new scheduler ends with a check on the live one: the file is the one of the page."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.docs.test_new_scheduler import follow
from tests.live.conftest import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOT_HERE = {"walltime", "memory", "bad queue", "held", "array", "memory used"}
"""What a quick check of this file cannot try: no long case, no memory, no queues, nothing that holds, no arrays."""


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A task spooler of our own, with four slots."""
    if shutil.which("tsp") is None:
        lacking("task spooler is not installed (no tsp)")
    own = {
        **os.environ,
        "TS_SOCKET": str(tmp_path / "socket"),
        "TMPDIR": str(tmp_path),
        "HOME": str(tmp_path),
        "ADAPTER_STATE": str(tmp_path / "state"),
    }
    subprocess.run(["tsp", "-S", "4"], env=own, check=True)
    yield own
    subprocess.run(["tsp", "-K"], env=own, check=True)


def test_the_file_of_the_page_passes_the_quick_check_on_the_live_scheduler(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADAPTER_STATE", environment["ADAPTER_STATE"])
    follow(tmp_path)
    command = [sys.executable, "-m", "adapter", "check", "spooler", "--quick", "--json"]
    began = time.monotonic()
    checked = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    print(f"adapter check --quick took {time.monotonic() - began:.0f} s")  # noqa: T201 (the exercise is a timed one)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    cases = {case["name"]: case["verdict"] for case in json.loads(checked.stdout)["cases"]}
    assert {name for name, verdict in cases.items() if verdict == "not here"} == NOT_HERE
    assert {name for name, verdict in cases.items() if verdict != "not here"} >= {
        "exit 3", "signal", "kill running", "find", "environment", "inputs and outputs", "after failure", "many at once"
    }  # fmt: skip
    assert set(cases.values()) == {"ok", "not here"}
