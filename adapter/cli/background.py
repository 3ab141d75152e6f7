"""Leaving a process behind that drives a run after this one has gone."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from adapter.config.settings import state_dir
from adapter.environment import user_environment

if TYPE_CHECKING:
    from pathlib import Path


GIVE_UP = "1d"  # a machine that stays away longer is not coming back tonight: a person has to know


def leave_driver(run: str) -> Path:
    """Start ``adapter wait RUN`` in a session of its own, and return the file that takes what it says.

    It reads no module from the current folder (``-P``): a folder called ``adapter`` may lie there.
    """
    folder = state_dir() / "background"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = folder / f"{run}.log"
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        subprocess.Popen(
            [sys.executable, "-P", "-m", "adapter", "wait", run, "--quiet", "--background", "--give-up", GIVE_UP],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
            env=user_environment(),
        )
    finally:
        os.close(descriptor)
    return log
