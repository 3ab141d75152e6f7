"""Runs that another program left open: what the command line says of them, and how they end."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Shell


@pytest.fixture
def left_open(adapter: Shell) -> tuple[Shell, str]:
    """A run whose task has ended, and that nobody closed."""
    run = json.loads(adapter("run", "--json", "--", "true").stdout)["run"]
    path = Path(adapter.environ["ADAPTER_STATE"]) / "journal.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("UPDATE runs SET is_open = 1")
    database.close()
    return adapter, run


def test_status_says_that_a_run_is_open(left_open: tuple[Shell, str]) -> None:
    adapter, run = left_open
    assert "1 succeeded, open" in adapter("status", "--no-poll").stdout
    (data,) = json.loads(adapter("status", "--no-poll", "--json").stdout)
    assert (data["run"], data["open"], data["done"]) == (run, True, False)


def test_who_waits_for_an_open_run_is_told_why(left_open: tuple[Shell, str]) -> None:
    adapter, run = left_open
    done = adapter("wait", run, "--timeout", "2s")
    assert done.returncode == 124
    assert f"run {run} is open: it ends once it is closed, or with adapter kill" in done.stderr


def test_kill_closes_it(left_open: tuple[Shell, str]) -> None:
    adapter, run = left_open
    done = adapter("kill", run)
    assert done.returncode == 0
    assert f"run {run} is closed" in done.stderr
    assert adapter("wait", run).returncode == 0


def test_what_kill_and_check_tell_are_kinds_of_events() -> None:
    from adapter.cli import kill, live
    from adapter.core.event import EventKind

    assert set(kill._TOLD) <= set(EventKind)
    assert set(live._WHAT_EVENTS) <= set(EventKind)
