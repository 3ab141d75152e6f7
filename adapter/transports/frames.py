"""What travels between the processes that share an SSH connection and its broker, and where they meet."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import socket
import stat
import struct
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter.core.units import recorded_seconds
from adapter.errors import (
    AuthenticationError,
    CompletedCommand,
    ConfigError,
    ConnectError,
    OutcomeUnknown,
    TransportError,
)
from adapter.transports.base import Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Prompt = Callable[[str, bool], str | None]

IDLE_S = 600.0  # the default of connection.share
SOCKET_PATH_BYTES = 103  # macOS takes 103, Linux 107: unix(7)
_LENGTH = struct.Struct(">Q")


# -- where the broker of a connection is


@dataclass(frozen=True, slots=True)
class Place:
    """The files of one connection's broker, in a folder that only its user may enter."""

    folder: Path
    name: str

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.folder / f"{self.name}.sock"

    @property
    def lock(self) -> Path:
        """Held by whoever starts one."""
        return self.folder / f"{self.name}.lock"

    @property
    def log(self) -> Path:
        """What the last one said."""
        return self.folder / f"{self.name}.log"

    @property
    def refusal(self) -> Path:
        """When the site refused us last, and its words."""
        return self.folder / f"{self.name}.refused"


def place_of(connection: Mapping[str, Any], folder: Path) -> Place:
    """Return the place of the broker for *connection*; its folder is made if it is not there.

    Raises:
        OSError: the folder cannot be made, or others may write to it.
    """
    # The machine is part of the name: a home folder may be shared by many, and a socket works on one.
    identity = [socket.gethostname(), str(Path.home()), settings_of(connection)]
    name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    return Place(_private(links_folder(folder)), name)


def links_folder(folder: Path) -> Path:
    """Return *folder*, or a short one in its stead where the path of a socket in it would be too long."""
    folder = folder.absolute()
    if len(os.fsencode(folder / f"{'0' * 16}.sock.new")) <= SOCKET_PATH_BYTES:
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


def settings_of(connection: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides about the SSH connection, in one form: the broker has a working folder of its own."""
    kept = {key: value for key, value in connection.items() if value is not None and key != "share"}
    for name in {"config", "known_hosts"} & kept.keys():
        kept[name] = kept[name] if str(kept[name]).startswith("~") else str(Path(kept[name]).absolute())
    return kept


def idle_seconds(connection: Mapping[str, Any]) -> float | None:
    """Return for how long a shared connection stays without work; ``None``: it is not to be shared.

    Raises:
        ConfigError: ``connection.share`` is no length of time.
    """
    share = connection.get("share")
    if share is None or isinstance(share, bool):
        return None if share is False else IDLE_S
    try:
        return float(recorded_seconds(share)) or None
    except ValueError as error:
        raise ConfigError(f"connection.share is true, false or a length of time: {error}") from error


# -- frames


class Wire:
    """Frames over a socket. Reading and writing fail apart, so that what had arrived is read to its end."""

    def __init__(self, sock: socket.socket) -> None:
        """Take *sock*, which is closed by :meth:`close`."""
        sock.settimeout(0)
        self._socket = sock
        self._writing = asyncio.Lock()
        self._sends: set[asyncio.Task[None]] = set()

    async def send(self, frame: Mapping[str, Any]) -> None:
        """Send *frame*; whoever is cancelled meanwhile leaves no half of it behind.

        Raises:
            OSError: nobody takes it.
        """
        await asyncio.shield(self.post(frame))

    def post(self, frame: Mapping[str, Any]) -> asyncio.Task[None]:
        """Begin to send *frame*, after those before it."""
        task = asyncio.create_task(self._send(json.dumps(frame).encode()))
        self._sends.add(task)
        task.add_done_callback(self._sent)
        return task

    async def receive(self) -> dict[str, Any] | None:
        """Return the next frame; ``None`` at the end."""
        head = await self._exactly(_LENGTH.size)
        body = await self._exactly(_LENGTH.unpack(head)[0]) if head else b""
        return json.loads(body) if body else None

    async def close(self, *, within_s: float = 1.0) -> None:
        """Close, after what was to be sent. Nobody may be receiving any more."""
        if self._sends:
            _, late = await asyncio.wait(self._sends, timeout=within_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        self._socket.close()

    def peer_uid(self) -> int | None:
        """Return the user at the other end; ``None`` where the system does not tell."""
        return peer_uid(self._socket)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sends.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits for it gets it; a posted frame may be lost with its reader

    async def _send(self, body: bytes) -> None:
        async with self._writing:
            await asyncio.get_running_loop().sock_sendall(self._socket, _LENGTH.pack(len(body)) + body)

    async def _exactly(self, size: int) -> bytes:
        loop, data = asyncio.get_running_loop(), bytearray()
        while len(data) < size:
            try:
                chunk = await loop.sock_recv(self._socket, min(1 << 20, size - len(data)))
            except OSError:
                return b""
            if not chunk:
                return b""
            data += chunk
        return bytes(data)


def peer_uid(sock: socket.socket) -> int | None:
    """Return who is at the other end of *sock*; ``None`` where the system does not tell."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:  # not Linux: the folder keeps others out
        return None
    ucred = struct.Struct("3i")
    return int(ucred.unpack(sock.getsockopt(socket.SOL_SOCKET, option, ucred.size))[1])


# -- errors on their way


class Lost(Exception):
    """The broker is gone. ``taken``: it had begun the request; ``ending``: it had said that it begins nothing more."""

    def __init__(self, *, taken: bool, ending: bool) -> None:
        super().__init__("the shared connection's broker is gone")
        self.taken, self.ending = taken, ending


class NoBroker(Exception):
    """There is none, and none can be started; the text says why."""


_PLAIN_ERRORS = {kind.__name__: kind for kind in (TransportError, ConnectError, AuthenticationError)}


def error_frame(error: TransportError) -> dict[str, Any]:
    """Return *error* as it travels."""
    partial = error.partial if isinstance(error, OutcomeUnknown) else None
    return {"error": type(error).__name__, "text": str(error), "partial": asdict(partial) if partial else None}


def error_of(frame: Mapping[str, Any]) -> TransportError:
    """Return the error in *frame*, of the class that it had over there."""
    if frame["error"] == OutcomeUnknown.__name__:
        partial = frame.get("partial")
        return OutcomeUnknown(frame["text"], partial=CompletedCommand(**partial) if partial else None)
    return _PLAIN_ERRORS.get(frame["error"], TransportError)(frame["text"])


def upload_data(upload: Upload) -> dict[str, Any]:
    """Return *upload* as it travels; its path is absolute, for a process that stands in another folder."""
    path = None if upload.path is None else str(Path(upload.path).absolute())
    content = None if upload.content is None else base64.b64encode(upload.content).decode()
    return {"target": upload.target, "path": path, "content": content, "link": upload.link}


def upload_of(data: Mapping[str, Any]) -> Upload:
    """Return the upload in *data*."""
    content = None if data["content"] is None else base64.b64decode(data["content"])
    return Upload(target=data["target"], path=data["path"], content=content, link=data["link"])
