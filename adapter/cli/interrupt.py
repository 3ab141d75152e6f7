"""Ctrl-C and its relatives: noticed between two awaits, and asked about on a terminal."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Choice = Literal["detach", "kill", "continue"]
_CHOICES: dict[str, Choice] = {"d": "detach", "k": "kill", "c": "continue"}
_ECHO_S = 0.05
QUESTION = "\nadapter: interrupted. [d]etach (jobs go on), [k]ill them, or [c]ontinue? "


def _is_on_terminal() -> bool:
    """Whether a person can be asked here, and Ctrl-C reaches us: a process behind ``&`` is not in the foreground."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    with suppress(OSError):  # a terminal that is not ours
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    return False


class Interrupts:
    """Collects signals while it is entered; outside, they do what they always do."""

    def __init__(self) -> None:
        self._signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
        self._last_at = float("-inf")

    async def __aenter__(self) -> Self:
        """Begin to listen."""
        for each in SIGNALS:
            with suppress(ValueError, RuntimeError):  # not in the main thread: its owner listens
                asyncio.get_running_loop().add_signal_handler(each, self._heard, each)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no more."""
        for each in SIGNALS:
            with suppress(ValueError, RuntimeError):
                asyncio.get_running_loop().remove_signal_handler(each)

    def _heard(self, which: signal.Signals) -> None:
        """Take echoes as one: a child between fork and exec shares our handler, and a terminal signals it as well."""
        now = asyncio.get_running_loop().time()
        if now - self._last_at >= _ECHO_S:
            self._signals.put_nowait(which)
        self._last_at = now

    async def next(self) -> signal.Signals:
        """Return the next signal."""
        return await self._signals.get()

    async def choice(self, first: signal.Signals) -> Choice:
        """Return what to do about *first*: what a person says, or to detach where nobody can be asked."""
        if first is not signal.SIGINT or not _is_on_terminal():
            return "detach"
        while True:
            click.echo(QUESTION, err=True, nl=False)
            answer = await self._answer()
            if answer is None:
                with suppress(OSError):  # the terminal may be gone
                    click.echo("", err=True)
                return "detach"
            if answer.strip().lower()[:1] in _CHOICES:
                return _CHOICES[answer.strip().lower()[:1]]

    async def _answer(self) -> str | None:
        """Return the line that is typed; ``None`` for the end of input or another signal."""
        loop = asyncio.get_running_loop()
        line: asyncio.Future[str] = loop.create_future()
        stdin = sys.stdin.fileno()

        def read() -> None:
            if not line.done():
                line.set_result(os.read(stdin, 1000).decode(errors="replace"))

        loop.add_reader(stdin, read)
        again = asyncio.create_task(self.next())
        both: set[asyncio.Future[Any]] = {line, again}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            return (line.result() or None) if line.done() and not again.done() else None
        finally:
            loop.remove_reader(stdin)
            again.cancel()
            line.cancel()
