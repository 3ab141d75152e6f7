"""The master connections of ``client: openssh``: where they are, and which of them live.

All processes of a user on a machine find the master of a connection in one folder, which nobody
else may enter; whoever finds none opens it under a lock.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import re
import socket
import stat
import tempfile
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adapter.environment import user_environment
from adapter.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

SOCKET_PATH_BYTES = 103  # macOS takes 103, Linux 107: unix(7)
_OF_SSH = ".0123456789abcdef"  # what ssh adds to the path while it makes the socket
ASKED_WITHIN_S = 10.0
LOGIN_WITHIN_S = 600.0  # another process asks a person meanwhile


@dataclass(frozen=True, slots=True)
class Place:
    """The files of one connection's master."""

    folder: Path
    name: str

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.folder / f"{self.name}.sock"

    @property
    def lock(self) -> Path:
        """Held by whoever opens it; says which host it is for."""
        return self.folder / f"{self.name}.lock"

    @property
    def log(self) -> Path:
        """What ``ssh`` said when it was opened."""
        return self.folder / f"{self.name}.log"

    @property
    def refusal(self) -> Path:
        """The words of the last refusal."""
        return self.folder / f"{self.name}.refused"

    def refused_at(self) -> float:
        """Return when that was, in seconds since 1970; 0 if the last login was not refused."""
        try:
            return self.refusal.stat().st_mtime
        except OSError:
            return 0.0


def place_of(identity: Sequence[str], folder: Path) -> Place:
    """Return the place of the master of the connection *identity*; its folder is made if it is not there.

    Raises:
        OSError: the folder cannot be made, or is somebody else's.
    """
    # The machine is part of the name: a home folder may be shared by many, a socket works on one.
    text = json.dumps([socket.gethostname(), *identity])
    return Place(_private(_short(folder)), hashlib.sha256(text.encode()).hexdigest()[:16])


def _short(folder: Path) -> Path:
    """Return *folder*, or one in its stead where a socket's path would be too long, or odd for ssh."""
    folder = folder.absolute()
    length = len(os.fsencode(folder / f"{'0' * 16}.sock{_OF_SSH}"))
    if length <= SOCKET_PATH_BYTES and re.fullmatch(r"[\w./+-]+", str(folder), re.ASCII):
        return folder
    mark = hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]
    return Path(tempfile.gettempdir()) / f"adapter-links-{os.geteuid()}-{mark}"


def _private(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise PermissionError(f"{folder} is not a folder of ours")
    if stat.S_IMODE(status.st_mode) & 0o077:
        folder.chmod(0o700)
    return folder


@asynccontextmanager
async def locked(place: Place, host: str) -> AsyncIterator[None]:
    """Hold the lock of *place*: of all processes that find no master, one logs in.

    Raises:
        ConnectError: another process holds it for too long.
    """
    descriptor = os.open(place.lock, os.O_RDWR | os.O_CREAT, 0o600)
    until = time.monotonic() + LOGIN_WITHIN_S
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > until:
                    raise ConnectError(f"another process still logs in at {host}") from error
                await asyncio.sleep(0.05)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, host.encode(), 0)
        yield
    finally:
        os.close(descriptor)


async def tell_master(path: Path | str, what: str) -> str | None:
    """Have ``ssh -O`` tell the master at *path* something, and return its words; ``None`` if there is none."""
    if not os.path.exists(path):  # noqa: PTH110 (a text)
        return None
    # The host is not looked at: the socket alone says which master is meant.
    words = ["ssh", "-F", "none", "-S", str(path).replace("%", "%%"), "-O", what, "--", "master"]
    try:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT, env=user_environment(),
        )  # fmt: skip
    except OSError:
        return None
    try:
        async with asyncio.timeout(ASKED_WITHIN_S):
            said, _ = await process.communicate()
    except TimeoutError:  # it is stopped, or hangs
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return said.decode(errors="replace").strip() if process.returncode == 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Master:
    """A master that lives: for which host, the process that has it, and since when (seconds since 1970)."""

    host: str
    pid: int
    since: float


async def masters(folder: Path, *, close: bool = False) -> list[Master]:
    """Return the masters in *folder* that live; with *close*, end each."""
    found = []
    for path in sorted(_short(folder).glob("*.sock")):
        said = await tell_master(path, "check")
        pid = re.search(r"pid=(\d+)", said or "")
        with suppress(OSError):  # it may end meanwhile
            since, host = path.stat().st_mtime, path.with_suffix(".lock").read_text()
            if pid:
                found.append(Master(host=host, pid=int(pid[1]), since=since))
        if close:
            await tell_master(path, "exit")
    return found
