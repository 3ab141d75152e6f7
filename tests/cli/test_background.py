"""The process that goes on with a run in the background: how it ends, and how one learns of it."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Shell

    Until = Callable[[Callable[[], object]], None]

NARROW = "format: 1\nname: narrow\nextends: local\nlimits: {max_tasks: 1}\n"


def processes_of(run: str) -> list[int]:
    """Return the processes that have *run* on their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if run.encode() in words and b"adapter" in words:
            found.append(int(path.parent.name))
    return found


def submit_more_than_fits(adapter: Shell, first: str) -> str:
    (adapter.folder / "narrow.yaml").write_text(NARROW)
    (adapter.folder / "tasks.yaml").write_text(
        f"tasks: [{{command: {first}}}, {{command: 'true'}}, {{command: 'true'}}]\n"
    )
    return adapter("submit", "tasks.yaml", "--on", "./narrow.yaml").stdout.strip()


def the_driver(run: str, adapter: Shell, until: Until) -> int:
    """Return the process that drives *run*, once it listens to signals."""
    store = adapter.folder.parent / "state" / "journal.sqlite"
    assert store.exists()
    until(lambda: processes_of(run))
    [pid] = processes_of(run)
    caught = 1 << (signal.SIGTERM - 1)

    def listens() -> bool:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        mask = next(line for line in lines if line.startswith("SigCgt:")).split()[1]
        return bool(int(mask, 16) & caught)

    until(listens)
    return pid


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda which: which.name)
def test_a_signal_ends_it_with_no_successor_and_status_says_so_until_somebody_goes_on(
    adapter: Shell, until: Until, which: signal.Signals
) -> None:
    run = submit_more_than_fits(adapter, "sleep 3")
    pid = the_driver(run, adapter, until)
    os.kill(pid, which)
    until(lambda: pid not in processes_of(run))
    time.sleep(0.5)  # a successor would take its time to start
    assert processes_of(run) == []

    left = f"no process hands over the 2 waiting tasks: adapter wait {run}"
    note = f"its background process was ended by {which.name}; {left}"
    assert note in adapter("status", run, "--no-poll").stdout
    assert f"run {run}: {note}" in adapter("status", "--no-poll").stdout
    assert json.loads(adapter("status", run, "--no-poll", "--json").stdout)["note"] == note
    assert json.loads(adapter("status", "--no-poll", "--json").stdout)[0]["note"] == note

    assert adapter("wait", run).returncode == 0
    assert "background" not in adapter("status", run).stdout
    assert "note" not in json.loads(adapter("status", run, "--json").stdout)


def test_a_process_that_was_killed_without_a_word_is_missed_all_the_same(adapter: Shell, until: Until) -> None:
    run = submit_more_than_fits(adapter, "sleep 3")
    pid = the_driver(run, adapter, until)
    assert "note" not in json.loads(adapter("status", run, "--no-poll", "--json").stdout), "it is being driven"
    os.kill(pid, signal.SIGKILL)
    until(lambda: pid not in processes_of(run))
    note = json.loads(adapter("status", run, "--no-poll", "--json").stdout)["note"]
    assert note.endswith(f"no process hands over the 2 waiting tasks: adapter wait {run}")


def test_a_machine_that_stays_away_is_given_up_with_a_message_and_a_note(adapter: Shell) -> None:
    far = "format: 1\nname: far\nextends: local\nconnection: {kind: ssh, host: 127.0.0.1, port: 9}\n"
    (adapter.folder / "far.yaml").write_text(far)
    started = adapter.begin("run", "--on", "./far.yaml", "--", "true")
    assert started.stderr is not None
    line = ""
    while "trying again" not in line:
        line = started.stderr.readline()
    started.kill()
    started.communicate()
    run = json.loads(adapter("status", "--no-poll", "--json").stdout)[0]["run"]

    done = adapter("wait", run, "--give-up", "2s", "--background")
    assert done.returncode == 4
    assert "adapter: given up: no answer for 2s" in done.stderr
    shown = adapter("status", run, "--no-poll").stdout
    left = f"no process hands over the last task: adapter wait {run}"
    assert f"its background process has given up: no answer for 2s; {left}" in shown


def test_a_background_process_that_cannot_go_on_says_why_in_status(adapter: Shell, until: Until) -> None:
    run = submit_more_than_fits(adapter, "sleep 2")
    os.kill(the_driver(run, adapter, until), signal.SIGKILL)
    until(lambda: not processes_of(run))
    workspace = Path(json.loads(adapter("status", f"{run}.1", "--no-poll", "--json").stdout)["directory"]).parents[1]
    workspace.rename(workspace.with_name("moved"))
    workspace.write_text("in the way")
    assert adapter("wait", run, "--background").returncode == 4
    assert "its background process stopped: cannot use the workspace" in adapter("status", run, "--no-poll").stdout


INTERRUPTS_ITSELF = "import os, signal; signal.signal(2, signal.SIG_DFL); os.kill(os.getpid(), 2)"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        pytest.param("exit 130", 130, id="its own exit code"),
        pytest.param(f"exec {sys.executable} -c '{INTERRUPTS_ITSELF}'", 130, id="SIGINT, as at a walltime"),
    ],
)
def test_a_task_that_ends_as_ctrl_c_ends_programs_is_no_ctrl_c_of_ours(adapter: Shell, command: str, code: int) -> None:
    done = adapter("run", "--", "sh", "-c", command)
    assert done.returncode == code
    assert "detached" not in done.stderr
    assert "failed" in done.stderr
    run = json.loads(adapter("status", "--no-poll", "--json").stdout)[0]
    assert run["done"] is True
    again = adapter("wait", run["run"])
    assert (again.returncode, "detached" in again.stderr) == (code, False)
