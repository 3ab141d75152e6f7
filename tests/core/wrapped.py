"""Running a job's script as a scheduler runs it: by a real shell, in a session of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapter.core.exit_file import ExitReport, parse_exit_file
from adapter.core.render import render_job

from .samples import TEMPLATES, job_of, toy

SHELLS = ["dash", "bash", "busybox sh"]
Process = subprocess.Popen[bytes]


class Place:
    """A job's directory, and the running of its script in it."""

    def __init__(self, directory: Path, task: dict[str, Any], **over: Any) -> None:
        self.directory = directory
        (directory / "work").mkdir(parents=True)
        self.job = job_of(task, directory=str(directory))
        for file in (TEMPLATES / "lib").glob("*.sh"):
            shutil.copy(file, directory)
        self.script = directory / "script"
        self.script.write_text(render_job(toy(**over), self.job, "/ws").script, encoding="utf-8")

    def start(self, shell: str = "sh", job_id: str = "7", **more: Any) -> Process:
        more.setdefault("start_new_session", True)
        return subprocess.Popen(
            [*shell.split(), str(self.script)],
            env={**os.environ, "TOY_ID": job_id},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **more,
        )

    def run(self, shell: str = "sh", job_id: str = "7") -> int:
        process = self.start(shell, job_id)
        process.communicate(timeout=30)
        assert until(lambda: not session(process.pid)), session(process.pid)
        return process.returncode

    def read(self, name: str) -> str:
        return (self.directory / name).read_text(encoding="utf-8")

    @property
    def report(self) -> ExitReport | None:
        path = self.directory / "exit"
        return parse_exit_file(path.read_text(encoding="utf-8")) if path.exists() else None


def until(holds: Callable[[], object], within_s: float = 10) -> bool:
    """Wait for other processes: there is no event that they would send."""
    end = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def session(leader: int) -> list[str]:
    """The command lines of the processes that live in the session of *leader*."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader and fields[0] not in "ZX":
                found.append((stat.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
        except (OSError, IndexError):
            continue
    return found
