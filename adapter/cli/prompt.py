"""Asking a person on this process's terminal: passwords, one-time codes, whether a host is trusted."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def terminal_prompt(host: str) -> Callable[[str, bool], str | None] | None:
    """Return what asks on this process's terminal, in the name of *host*; ``None`` if it has none."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return None
    return lambda text, seen: _ask(f"{host}: {text}", seen=seen)


def _ask(text: str, *, seen: bool) -> str | None:
    """Return what is typed on the terminal; ``None`` for Ctrl-C, or where a background job would be stopped by it."""
    from adapter.cli.text import printable

    with open("/dev/tty", "r+b", buffering=0) as terminal:  # noqa: PTH123 (a device)
        if os.tcgetpgrp(terminal.fileno()) != os.getpgrp():
            return None
        sys.stderr.write("\r\x1b[K" if sys.stderr.isatty() else "")  # a status line may be there
        sys.stderr.flush()
        is_main = threading.current_thread() is threading.main_thread()
        before = signal.signal(signal.SIGINT, signal.default_int_handler) if is_main else None
        try:
            return _read_line(terminal.fileno(), printable(text), seen=seen)
        except KeyboardInterrupt:
            return None
        finally:
            if is_main:
                signal.signal(signal.SIGINT, before)


def _read_line(terminal: int, question: str, *, seen: bool) -> str | None:
    """Ask *question* and return the line, without showing it unless *seen*; ``None`` for the end of input."""
    import termios

    before = termios.tcgetattr(terminal)
    quiet = before[:]
    if not seen:
        quiet[3] &= ~termios.ECHO
    try:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, quiet)
        os.write(terminal, question.encode())
        line = os.read(terminal, 4096)
        if not seen:
            os.write(terminal, b"\n")
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
    return line.decode(errors="replace").rstrip("\r\n") if line else None
