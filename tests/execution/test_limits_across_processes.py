"""Limits are held by all processes of a user together: two real ones, the local backend, a ledger of what ran."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

TASKS = 50
AT_ONCE = 2
TIMEOUT_S = 300


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a backend that runs two jobs at once, however many processes submit."""
    (tmp_path / "backends").mkdir()
    backend = {
        "format": 1, "name": "two", "extends": "local", "workspace": str(tmp_path / "workspace"),
        "limits": {"max_tasks": AT_ONCE, "poll_seconds": [0.05, 0.2]},
    }  # fmt: skip
    (tmp_path / "backends" / "two.yaml").write_text(yaml.safe_dump(backend), encoding="utf-8")
    ledger = tmp_path / "ledger"
    line = f'printf "%s {{}}\\n" $$ >>{ledger}'
    command = f"{line.format('begins')}; sleep 0.05; {line.format('ends')}"
    for name in ("first", "second"):
        document = {"tasks": [{"name": f"{name}-{n}", "command": ["sh", "-c", command]} for n in range(TASKS)]}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return tmp_path


def begin(home: Path, *words: str) -> subprocess.Popen[str]:
    environ = {
        **os.environ, "HOME": str(home), "ADAPTER_STATE": str(home / "state"), "ADAPTER_PATH": str(home / "backends"),
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "adapter", *words], cwd=home, env=environ, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def most_at_once(ledger: list[str]) -> int:
    alive: set[str] = set()
    most = 0
    for line in ledger:
        process, what = line.split()
        (alive.add if what == "begins" else alive.discard)(process)
        most = max(most, len(alive))
    return most


def ledger_of(home: Path) -> list[str]:
    path = home / "ledger"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def ended(process: subprocess.Popen[str]) -> Any:
    out, err = process.communicate(timeout=TIMEOUT_S)
    return process.returncode, out + err


def test_two_processes_hold_one_limit_together(home: Path) -> None:
    processes = [begin(home, "run", f"{name}.yaml", "--on", "two", "--quiet") for name in ("first", "second")]
    for process in processes:
        code, said = ended(process)
        assert code == 0, said
    ledger = ledger_of(home)
    assert len(ledger) == 2 * 2 * TASKS
    assert most_at_once(ledger) == AT_ONCE


def test_the_limit_holds_also_when_one_of_them_is_killed(home: Path) -> None:
    first, second = (begin(home, "run", f"{name}.yaml", "--on", "two", "--quiet") for name in ("first", "second"))
    until = time.monotonic() + TIMEOUT_S
    while len(ledger_of(home)) < 20:
        assert time.monotonic() < until
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    code, said = ended(second)
    assert code == 0, said
    ledger = ledger_of(home)
    assert most_at_once(ledger) <= AT_ONCE
    assert len(ledger) >= 2 * TASKS
    listed = begin(home, "status", "--json", "--no-poll").communicate(timeout=TIMEOUT_S)[0]
    unfinished = [run["run"] for run in json.loads(listed) if not run["done"]]
    assert len(unfinished) == 1
    code, said = ended(begin(home, "wait", *unfinished, "--quiet"))
    assert code == 0, said
    assert len(ledger_of(home)) == 2 * 2 * TASKS  # nothing was lost, nothing ran twice
    assert most_at_once(ledger_of(home)) <= AT_ONCE
