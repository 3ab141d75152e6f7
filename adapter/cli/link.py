"""Shared SSH connections: ``adapter links``, the hidden command that is the broker, and the terminal it asks on."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapter.cli.options import json_option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from adapter.transports.shared import LinkStatus


def links_dir() -> Path:
    """Return the folder in which this user's processes find the connections they share."""
    from adapter.config.settings import state_dir

    return state_dir() / "links"


@click.command()
@click.option("--close", is_flag=True, help="End them; what is under way has a few seconds. The next command logs in.")
@json_option
def links(close: bool, as_json: bool) -> None:
    r"""List the SSH connections that your adapter processes on this machine share.

    A connection ends by itself once nobody used it for the time of connection.share (10 minutes).

    \b
    Examples:
      adapter links
      adapter links --close
    """
    import asyncio
    from dataclasses import asdict

    from adapter.cli.text import to_json
    from adapter.transports.shared import link_statuses

    found = asyncio.run(link_statuses(links_dir(), close=close))
    if as_json:
        click.echo(to_json([asdict(status) for status in found]))
        return
    for line in _lines(found):
        click.echo(line)
    if not found:
        click.echo("adapter: no shared connection is open", err=True)
    elif close:
        click.echo(f"adapter: {len(found)} told to close", err=True)


def _lines(found: Sequence[LinkStatus]) -> Iterator[str]:
    import time

    from adapter.core.units import format_seconds

    for status in found:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(status.logged_in_at)) if status.logged_in_at else "-"
        work = f"{status.under_way} under way" if status.under_way else f"idle {format_seconds(status.idle_s)}"
        yield f"{status.host}  since {since}  {work}  {status.processes} processes  pid {status.pid}"


@click.command(hidden=True)
@click.argument("socket", type=click.Path(path_type=Path))
def _link(socket: Path) -> None:
    """Own one SSH connection and listen at SOCKET; the settings come on standard input."""
    import logging

    from adapter.transports.broker import run_broker

    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("adapter").setLevel(logging.INFO)
    run_broker(socket, sys.stdin.read())


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
