"""Which process drives a run: the one that claimed it, as long as it lives."""

from __future__ import annotations

import os
import socket
from pathlib import Path

OWNED_FOR_S = 300.0  # how long a run stays its owner's without a sign of life, for processes on other machines


def this_process() -> str:
    """Return this process's mark: machine, process id and when it started, so that a reused id is another process."""
    return f"{socket.gethostname()}:{os.getpid()}:{process_start(os.getpid())}"


def is_alive(owner: str) -> bool:
    """Whether the process *owner* may still be there: one on another machine counts as alive until its time is over."""
    host, pid, started = owner.rsplit(":", 2)
    return host != socket.gethostname() or process_start(int(pid)) == started


def process_start(pid: int) -> str:
    """Return when *pid* started, in the kernel's ticks (proc(5), stat field 22); empty where that cannot be told.

    One that has ended and that nobody has waited for (state Z) is gone, too.
    """
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return "" if after_name[0] in "ZX" else after_name[19]
    except (OSError, IndexError):
        return ""
