"""A home of its own for every test: no configuration, an empty store, the workspace below it."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TIMEOUT_S = 120


@dataclass
class Shell:
    """Runs ``adapter`` as a person would: a process of its own in a folder of its own."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    def __call__(
        self, *words: str, cwd: Path | None = None, timeout_s: float = TIMEOUT_S
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(words), cwd=cwd or self.folder, env=self.environ, text=True, capture_output=True,
            stdin=subprocess.DEVNULL, timeout=timeout_s, check=False,
        )  # fmt: skip

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start ``adapter`` and do not wait."""
        return subprocess.Popen(
            self.argv(words), cwd=self.folder, env=self.environ, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def on_terminal(self, words: Sequence[str], talk: Sequence[tuple[str, bytes]]) -> tuple[str, int]:
        """Run ``adapter`` on a terminal, type each answer once its pattern was seen; return screen and exit code."""
        import pty

        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            os.execve(sys.executable, self.argv(words), self.environ)
        shown, waiting, until = "", list(talk), time.monotonic() + TIMEOUT_S
        while time.monotonic() < until:
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    came = os.read(terminal, 65536)
                except OSError:
                    break
                shown += came.decode(errors="replace")
            if waiting and re.search(waiting[0][0], shown):
                time.sleep(0.3)  # nobody types faster
                os.write(terminal, waiting.pop(0)[1])
        os.close(terminal)
        return shown, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    @property
    def held(self) -> str:
        """Shell text for a task that runs until ``release``: no task ends before a slow machine has looked at it."""
        return f"until [ -e {self.folder}/released ]; do sleep 0.05; done"

    def release(self) -> None:
        """Let the tasks that are held go on."""
        (self.folder / "released").touch()

    @staticmethod
    def argv(words: Sequence[str]) -> list[str]:
        """Return the command line."""
        return [sys.executable, "-P", "-m", "adapter", *words]


@pytest.fixture
def adapter(tmp_path: Path) -> Shell:
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    home.mkdir()
    kept = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "xterm"}
    own = {"HOME": str(home), "ADAPTER_STATE": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(home / ".config")}
    return Shell(work, {**kept, **own})


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Wait for another process to get somewhere."""

    def wait(holds: Callable[[], bool]) -> None:
        end = time.monotonic() + TIMEOUT_S
        while not holds():
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.05)

    return wait
