"""One ``ssh`` that carries one command through a master, and what it says meanwhile about its own work."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from pathlib import Path

OPENED_WITHIN_S = 60.0  # longer than a master takes to notice that its server is silent
_SETTLED = re.compile(r"master session id: |Executing proxy command")


class Log:
    """What one ``ssh`` says about its own work, read while it goes on, apart from what a command prints."""

    def __init__(self, path: Path) -> None:
        self.path, self.text, self.settled = path, "", asyncio.Event()
        os.mkfifo(path, 0o600)
        # Open for both, so that ssh does not wait for a reader, and its end is not seen too early.
        self._file = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        asyncio.get_running_loop().add_reader(self._file, self.read)

    def read(self) -> None:
        """Take what is there."""
        with suppress(BlockingIOError):
            while block := os.read(self._file, 1 << 16):
                self.text += block.decode(errors="replace")
        if _SETTLED.search(self.text):
            self.settled.set()

    def close(self) -> None:
        """Read no more, and remove it."""
        asyncio.get_running_loop().remove_reader(self._file)
        os.close(self._file)
        self.path.unlink(missing_ok=True)


class Session:
    """An ``ssh`` that carries one command through the master at *socket*."""

    def __init__(self, process: Process, log: Log, socket: str) -> None:
        self.stdin, self.stdout, self.stderr = process.stdin, process.stdout, process.stderr
        self.socket, self._master = socket, _identity(socket)
        self._process, self._log = process, log

    async def opened(self) -> str:
        """Return what it says once it is known whether the master takes the command."""
        waits = [asyncio.create_task(each) for each in (self._log.settled.wait(), self._process.wait())]
        try:
            await asyncio.wait(waits, timeout=OPENED_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        self._log.read()
        return self._log.text

    def has_same_master(self) -> bool:
        """Whether no other master has taken the place of the one that it uses."""
        return self._master is not None and self._master == _identity(self.socket)

    async def ended(self) -> tuple[int, str]:
        """Return its exit code, and what it said."""
        code = await self._process.wait()
        self._log.read()
        return code, self._log.text

    async def close(self) -> None:
        """End it, and with it the channel."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        self._log.close()


def _identity(socket: str) -> tuple[int, int] | None:
    """Return what tells a socket from one that was made at the same path later; ``None`` if there is none."""
    try:
        found = os.stat(socket)  # noqa: PTH116 (a text)
    except OSError:
        return None
    return found.st_ino, found.st_ctime_ns
