"""The folder of a simulated scheduler: its programs, its plan, its variables, and what it keeps."""

from __future__ import annotations

import os
import pprint
import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from adapter.errors import ConfigError
from adapter.testkit.simulate.stand_in import PREFIX, SETTINGS, Scheduler

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adapter.testkit.simulate.plan import Plan

MEANINGS = {
    "SLOTS": "how many jobs run at once; the others wait",
    "DELAY": "seconds that every command takes longer",
    "START": "seconds that a job waits at least before it starts",
    "HELD": "seconds that a new job is held, where the backend has a word for that; then it waits",
    "FORGET": "seconds after its end for which a job is still shown",
    "KILL_WAIT": "seconds between SIGTERM and SIGKILL for a job that is killed or over its walltime",
    "FAIL": "share of commands (0 to 1) that only answer an error; nothing happened then",
    "FAIL_AFTER": "share of submits (0 to 1) that are accepted, but answer an error",
    "FAIL_AS": "the class of those errors, in the backend's own words: transient, limit, auth, permanent",
    "DOWN": "FROM:FOR, seconds since the folder was made in which nothing answers; so does a file `down` in it",
    "LOSE": "share of jobs (0 to 1) that vanish after they were accepted, and never run",
    "UNKNOWN": "share of jobs (0 to 1) that are shown, until they end, in a state that the backend file does not name",
    "NOISE": "1: a line of noise before every answer, on both streams",
}
_STAND_IN = """\
#!{python} -SE
import sys
sys.path.insert(0, {folder!r})
from plan import PLAN
from stand_in import main
sys.exit(main({folder!r}, {program!r}, PLAN))
"""


def make_folder(plan: Plan, folder: Path, settings: Mapping[str, str] | None = None) -> Path:
    """Write a simulated scheduler into *folder*, which is made; return the folder that belongs on the ``PATH``.

    Raises:
        ConfigError: there is something in it, it cannot be written, or a setting is none.
    """
    settings = settings or {}
    folder = folder.absolute()
    for name, value in settings.items():
        if name not in SETTINGS:
            raise ConfigError(f"{name!r} is no variable of the simulator; there are {', '.join(SETTINGS)}")
        _check_value(name, value)
    try:
        if folder.exists() and any(folder.iterdir()):
            raise ConfigError(f"{folder} is not empty; name a folder that is not there yet")
        for name in ("bin", "jobs", "slots", "scripts", "waiting"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        _write_files(plan, folder, settings)
    except OSError as error:
        raise ConfigError(f"cannot write {folder}: {error.strerror}") from error
    return folder / "bin"


def stop(plan: Plan, folder: Path, within_s: float = 10.0) -> None:
    """End all jobs of the simulated scheduler in *folder*, and wait until its workers are gone."""
    Scheduler(str(folder.absolute()), plan.data).stop(within_s)


def _check_value(name: str, value: str) -> None:
    if name == "FAIL_AS":
        return
    parts = value.split(":") if name == "DOWN" else [value]
    try:
        numbers = [float(part) for part in parts]
    except ValueError as error:
        raise ConfigError(f"{name}={value}: a number is wanted: {MEANINGS[name]}") from error
    if min(numbers) < 0 or len(numbers) > 2:
        raise ConfigError(f"{name}={value}: {MEANINGS[name]}")


def _write_files(plan: Plan, folder: Path, settings: Mapping[str, str]) -> None:
    source = resources.files("adapter.testkit.simulate").joinpath("stand_in.py").read_text(encoding="utf-8")
    (folder / "stand_in.py").write_text(source, encoding="utf-8")
    (folder / "plan.py").write_text(
        f"PLAN = {pprint.pformat(plan.data, width=120, sort_dicts=False)}\n", encoding="utf-8"
    )
    lines = [f"{name}={settings.get(name, value)}\n" for name, value in SETTINGS.items()]
    (folder / "settings").write_text("".join(lines), encoding="utf-8")
    (folder / "README").write_text(_readme(plan, folder), encoding="utf-8")
    for name in ("born", "ledger", "queue"):
        (folder / name).touch()
    python = os.path.realpath(sys.executable)
    for program in plan.programs:
        file = folder / "bin" / program
        file.write_text(_STAND_IN.format(python=python, folder=str(folder), program=program), encoding="utf-8")
        file.chmod(0o755)


def _readme(plan: Plan, folder: Path) -> str:
    variables = "\n".join(f"  {name:<11}{MEANINGS[name]}" for name in SETTINGS)
    notes = "".join(f"  {note}\n" for note in plan.notes) or "  nothing\n"
    return f"""\
A simulated scheduler, made from the backend file of {plan.data["name"]!r} by `adapter simulate`.

Use it:

  PATH={folder}/bin:$PATH

Its programs are stand-ins: {", ".join(plan.programs)}. They answer as the backend file says that a scheduler answers,
and run the jobs on this machine, with your rights. Of what is asked for, only the walltime,
the dependencies and the size of an array mean anything.

Variables, in the file `settings` as NAME=value, or in the environment as {PREFIX}NAME:

{variables}

`ledger` has a line for each job when it was accepted, when it started and when it ended. `jobs` has a file for each.

What it does not answer, because the backend file does not tell how:

{notes}"""
