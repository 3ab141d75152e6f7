"""Why something waits is shown: in `status`, in `--json`, and while a run is watched."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Shell

TIMEOUT_S = 60


@pytest.fixture
def one(adapter: Shell) -> Shell:
    """A backend that runs one job at a time."""
    folder = adapter.folder / "backends"
    folder.mkdir()
    document = {"format": 1, "name": "one", "extends": "local", "limits": {"max_tasks": 1, "poll_seconds": [0.1, 0.3]}}
    (folder / "one.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    adapter.environ["ADAPTER_PATH"] = str(folder)
    tasks = [
        {"name": "long", "command": ["sleep", "600"]},
        {"name": "next", "command": ["true"]},
        {"name": "gather", "command": ["true"], "after": ["long"]},
    ]
    (adapter.folder / "tasks.yaml").write_text(yaml.safe_dump({"tasks": tasks}), encoding="utf-8")
    return adapter


@pytest.fixture
def running(one: Shell) -> Iterator[tuple[Shell, dict[str, Any], list[str]]]:
    """A run of which the first task runs for long; what `status --json` says of it, and what the run printed."""
    process = one.begin("run", "tasks.yaml", "--on", "one")
    until = time.monotonic() + TIMEOUT_S
    shown: dict[str, Any] = {}
    said: list[str] = []
    while time.monotonic() < until:
        runs = json.loads(one("status", "--json", "--no-poll").stdout or "[]")
        shown = json.loads(one("status", runs[0]["run"], "--json", "--no-poll").stdout) if runs else {}
        if shown and shown["jobs"][0]["state"] == "running" and shown["jobs"][1]["wait_reason"]:
            break
        time.sleep(0.2)
    try:
        yield one, shown, said
    finally:
        if shown:
            one("kill", shown["run"], "--quiet")
        process.send_signal(signal.SIGTERM)
        said += process.communicate(timeout=TIMEOUT_S)[1].splitlines()


def test_status_says_why_each_job_waits(running: tuple[Shell, dict[str, Any], list[str]]) -> None:
    adapter, shown, _ = running
    limit = "limit of 1 jobs at once on one"
    assert [job["wait_reason"] for job in shown["jobs"]] == [None, limit, "for task 'long'"]
    table = adapter("status", shown["run"], "--no-poll").stdout
    assert f"waiting: {limit}" in table
    assert "waiting: for task 'long'" in table
    assert "waits      for task 'long'" in adapter("status", f"{shown['run']}.3", "--no-poll").stdout


@pytest.mark.parametrize("is_driven", [True, False], ids=["by another process", "by kill itself"])
def test_kill_says_why_it_waits_whoever_drives_the_run(one: Shell, is_driven: bool) -> None:
    refusing = {
        "format": 1,
        "name": "refusing",
        "extends": "local",
        "kill": {"command": "echo no way: {{ job_id }} >&2; exit 1"},
    }
    (one.folder / "backends" / "refusing.yaml").write_text(yaml.safe_dump(refusing), encoding="utf-8")
    run = one("submit", "--on", "refusing", "--", "sh", "-c", one.held).stdout.split()[0]
    driver = one.begin("wait", run) if is_driven else None
    until = time.monotonic() + TIMEOUT_S
    while driver and time.monotonic() < until:
        if json.loads(one("status", run, "--json", "--no-poll").stdout)["jobs"][0]["state"] == "running":
            break
        time.sleep(0.2)
    kill = one.begin("kill", run)
    try:
        assert kill.stderr is not None
        assert "no way" in kill.stderr.readline()
        one.release()
        assert kill.wait(TIMEOUT_S) == 0
    finally:
        one.release()
        kill.kill()
        if driver:
            driver.wait(TIMEOUT_S)
