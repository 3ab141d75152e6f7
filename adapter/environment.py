"""The environment that the user had: this process's own without what Python put there when it started."""

from __future__ import annotations

import os
from pathlib import Path

_COERCED = {"C.UTF-8", "C.utf8", "UTF-8"}  # what Python sets LC_CTYPE to where no locale is set (PEP 538)


def user_environment() -> dict[str, str]:
    """Return the environment for commands of the user: programs behave in it as they do by hand."""
    environment = dict(os.environ)
    if environment.get("LC_CTYPE") in _COERCED:
        began = _at_start()
        if began is not None and (before := began.get("LC_CTYPE")) != environment["LC_CTYPE"]:
            del environment["LC_CTYPE"]
            if before is not None:
                environment["LC_CTYPE"] = before
    return environment


def _at_start() -> dict[str, str] | None:
    """Return the environment that this process was started with (proc(5)); ``None`` where that cannot be told."""
    try:
        lines = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    pairs = (os.fsdecode(line).partition("=") for line in lines)
    return {name: value for name, _, value in pairs if name}
