"""One SSH connection for all processes of a user on this machine: a broker in the background owns it.

A process that finds no broker starts one and talks to it over a Unix socket: frames of a length and JSON. A request is
acknowledged before the broker begins it, so that it is always known which ones may have happened. Nobody repeats one.
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from adapter._version import __version__
from adapter.environment import user_environment
from adapter.errors import (
    AuthenticationError,
    CompletedCommand,
    ConnectError,
    OutcomeUnknown,
)
from adapter.transports.base import Download, Transfer, Transport, Upload
from adapter.transports.frames import (
    IDLE_S,
    Lost,
    NoBroker,
    Place,
    Wire,
    error_of,
    idle_seconds,
    links_folder,
    peer_uid,
    place_of,
    settings_of,
    upload_data,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from adapter.transports.ssh import SshTransport

    Prompt = Callable[[str, bool], str | None]

Result = TypeVar("Result")

END_S = 5.0  # for the requests under way once the broker was told to end
START_S = 30.0  # for the broker to listen, on a slow disk


# -- the process that wants something done


class SharedTransport(Transport):
    """Runs commands on the host of a backend's ``connection`` through the one connection of this user and machine.

    ``prompt`` is as for :class:`~adapter.transports.ssh.SshTransport`; it is asked when this process's request is the
    one that needs the login. Where there can be no broker it goes there directly, and ``tell`` hears why.
    """

    def __init__(
        self,
        connection: Mapping[str, Any],
        *,
        folder: Path,
        prompt: Prompt | None = None,
        tell: Callable[[str], None] | None = None,
        on_transfer: Callable[[Transfer], None] | None = None,
    ) -> None:
        """Nothing is opened before the first command."""
        self.host: str = connection["host"]
        self._connection, self._folder = connection, folder
        self._idle_s = idle_seconds(connection) or IDLE_S
        self._prompt, self._tell, self._on_transfer = prompt, tell, on_transfer
        self._opening = asyncio.Lock()
        self._link: _Link | None = None
        self._ending: list[_Link] = []
        self._direct: SshTransport | None = None
        self._refused: AuthenticationError | None = None

    async def run(self, command: str, *, stdin: str = "", timeout_s: float) -> CompletedCommand:
        """Run *command* on the host; see :meth:`adapter.transports.base.Transport.run`."""
        return await self._through(lambda far: far.run(command, stdin=stdin, timeout_s=timeout_s))

    async def put(self, uploads: Sequence[Upload], *, scratch: str = "") -> None:
        """Put files on the host; see :meth:`adapter.transports.base.Transport.put`."""
        await self._through(lambda far: far.put(uploads, scratch=scratch))

    async def get(self, downloads: Sequence[Download], *, scratch: str = "") -> list[list[str]]:
        """Bring files from the host; see :meth:`adapter.transports.base.Transport.get`."""
        return await self._through(lambda far: far.get(downloads, scratch=scratch))

    async def __aenter__(self) -> Self:
        """Nothing is opened before the first command."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what this process has under way; the connection stays for the others."""
        for link in [*self._ending, *([self._link] if self._link else [])]:
            await link.close()
        self._ending, self._link = [], None
        if self._direct is not None:
            await self._direct.__aexit__(kind, error, trace)

    async def _through(self, use: Callable[[_Link | SshTransport], Awaitable[Result]]) -> Result:
        for _ in range(5):
            if self._refused is not None:
                raise self._refused
            far = await self._far()
            try:
                return await use(far)
            except Lost as lost:
                if not lost.ending:
                    raise ConnectError(f"the shared connection to {self.host} was lost; nothing was begun") from lost
            except AuthenticationError as error:
                self._refused = error
                raise
        raise ConnectError(f"the shared connection to {self.host} ends again and again")

    async def _far(self) -> _Link | SshTransport:
        async with self._opening:
            if self._direct is not None:
                return self._direct
            if self._link is not None and self._link.is_over:
                self._ending.append(self._link)  # answers may still come from a broker that ends
                self._link = None
            if self._link is None:
                try:
                    self._link = await self._open()
                except (NoBroker, OSError) as error:
                    return self._go_directly(str(error))
            return self._link

    def _go_directly(self, why: str) -> SshTransport:
        from adapter.transports.ssh import SshTransport  # noqa: PLC0415 (a client of the broker does not pay for it)

        if self._tell is not None:
            self._tell(f"a connection to {self.host} of its own, not a shared one: {why}")
        self._direct = SshTransport(self._connection, prompt=self._prompt, on_transfer=self._on_transfer)
        return self._direct

    async def _open(self) -> _Link:
        place = place_of(self._connection, self._folder)
        for _ in range(3):  # the one found, or just started, may be ending
            link = await self._find(place)
            if link is None:
                async with _locked(place.lock, START_S):
                    link = await self._find(place)
                    if link is None:
                        start = {"settings": settings_of(self._connection), "idle_s": self._idle_s}
                        await asyncio.to_thread(_start_broker, place, json.dumps(start))
                        link = await self._find(place)
            if link is not None:
                return link
        raise NoBroker(f"no broker answers at {place.socket}")

    async def _find(self, place: Place) -> _Link | None:
        """Return a link to the broker at *place*, ``None`` if there is none."""
        wire = await _dial(place.socket)
        if wire is None:
            return None
        try:
            await wire.send({"do": "hello", "version": __version__, "prompt": self._prompt is not None})
            async with asyncio.timeout(START_S):
                hello = await wire.receive()
        except TimeoutError as error:  # an OSError, too
            await wire.close()
            raise NoBroker(f"the broker at {place.socket} does not answer") from error
        except OSError:
            hello = None
        if hello is not None and hello.get("version") == __version__:
            return _Link(wire, self.host, self._prompt, self._on_transfer)
        await wire.close()
        if hello is not None:
            raise NoBroker(
                f"the one there is adapter {hello.get('version')}, this is {__version__}; "
                "`adapter links --close` ends it"
            )
        return None


class _Link:
    """This process's line to the broker; many requests are under way on it at once."""

    def __init__(
        self, wire: Wire, host: str, prompt: Prompt | None, on_transfer: Callable[[Transfer], None] | None
    ) -> None:
        self._wire, self._host, self._prompt, self._on_transfer = wire, host, prompt, on_transfer
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._taken: set[int] = set()
        self._is_ending = False
        self._reading = asyncio.create_task(self._read())

    @property
    def is_over(self) -> bool:
        """Whether nothing can be asked any more."""
        return self._is_ending or self._reading.done()

    async def run(self, command: str, *, stdin: str, timeout_s: float) -> CompletedCommand:
        try:
            return CompletedCommand(**await self._ask("run", command=command, stdin=stdin, timeout_s=timeout_s))
        except Lost as lost:
            if not lost.taken:
                raise
            unknown = f"the shared connection to {self._host} was lost while a command was under way"
            raise OutcomeUnknown(unknown) from lost

    async def put(self, uploads: Sequence[Upload], *, scratch: str) -> None:
        await self._move("put", [upload_data(upload) for upload in uploads], scratch)

    async def get(self, downloads: Sequence[Download], *, scratch: str) -> list[list[str]]:
        here = [{**asdict(download), "to": str(Path(download.to).absolute())} for download in downloads]
        brought: list[list[str]] = await self._move("get", here, scratch)
        return [  # as its asker wrote it, which may be relative
            [str(Path(download.to) / Path(path).relative_to(there["to"])) for path in paths]
            for download, there, paths in zip(downloads, here, brought, strict=True)
        ]

    async def close(self) -> None:
        """Cancel what is under way, and hang up."""
        for number, future in self._asked.items():
            if not future.done():
                self._wire.post({"do": "cancel", "id": number})
                future.set_exception(Lost(taken=number in self._taken, ending=False))
        self._reading.cancel()
        await asyncio.wait({self._reading})
        await self._wire.close()

    async def _move(self, action: str, files: Sequence[Mapping[str, Any]], scratch: str) -> Any:
        try:
            return await self._ask(action, files=files, scratch=scratch)
        except Lost as lost:
            if not lost.taken:
                raise
            raise ConnectError(
                f"the transfer with {self._host} was interrupted: the shared connection was lost"
            ) from lost

    async def _ask(self, action: str, **details: Any) -> Any:
        if self.is_over:
            raise Lost(taken=False, ending=True)
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            with suppress(OSError):  # whoever reads learns it too, and what had been taken before
                await self._wire.send({"do": action, "id": number, **details})
            return await answer
        except asyncio.CancelledError:
            self._wire.post({"do": "cancel", "id": number})
            raise
        finally:
            del self._asked[number]
            self._taken.discard(number)

    async def _read(self) -> None:
        try:
            while frame := await self._wire.receive():
                self._hear(frame)
        finally:
            for number, answer in self._asked.items():
                if not answer.done():
                    answer.set_exception(Lost(taken=number in self._taken, ending=self._is_ending))

    def _hear(self, frame: Mapping[str, Any]) -> None:
        what, number = frame["do"], frame.get("id", 0)
        answer = self._asked.get(number)
        if what == "ending":
            self._is_ending = True
        elif what == "prompt":
            self._wire.post({"do": "answer", "id": number, "answer": self._answer(frame["text"], seen=frame["seen"])})
        elif answer is None or answer.done():
            return  # it was cancelled meanwhile
        elif what == "taken":
            self._taken.add(number)
        elif what == "transfer":
            if self._on_transfer is not None:
                self._on_transfer(Transfer(**frame["transfer"]))
        elif what == "error":
            answer.set_exception(error_of(frame))
        else:
            answer.set_result(frame["result"])

    def _answer(self, text: str, *, seen: bool) -> str | None:
        """Ask the person here, and wait: as in a direct login nothing else goes on meanwhile."""
        try:
            return self._prompt(text, seen) if self._prompt else None
        except Exception:  # noqa: BLE001 (a prompt that fails is nobody who answers; the login must not hang)
            return None


async def _dial(path: Path) -> Wire | None:
    """Return a wire to who listens at *path*, ``None`` if nobody does.

    Raises:
        NoBroker: it is somebody else.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(0)
    try:
        await _connect(sock, path)
    except (FileNotFoundError, ConnectionError):
        sock.close()
        return None
    except BaseException:
        sock.close()
        raise
    if peer_uid(sock) not in {None, os.geteuid()}:
        sock.close()
        raise NoBroker(f"another user listens at {path}")
    return Wire(sock)


async def _connect(sock: socket.socket, path: Path) -> None:
    """Connect at once, or as soon as fewer wait; asyncio would take EAGAIN here for a connection under way."""
    until = time.monotonic() + START_S
    while True:
        try:
            return sock.connect(str(path))
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise NoBroker(f"too many wait for the broker at {path}") from error
            await asyncio.sleep(0.02)


@asynccontextmanager
async def _locked(path: Path, within_s: float) -> AsyncIterator[None]:
    """Hold the lock at *path*: of all processes that find no broker, one starts it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    until = time.monotonic() + within_s
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > until:
                    raise NoBroker(f"another process has held {path} for {within_s:g} s") from error
                await asyncio.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def _start_broker(place: Place, start: str) -> None:
    """Start a broker and return when it listens: its first process ends then, and the broker is nobody's child.

    It reads no module from the current folder (``-P``): a folder called ``adapter`` may lie there.

    Raises:
        NoBroker: it did not start.
    """
    log = os.open(place.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        begun = subprocess.run(
            [sys.executable, "-P", "-m", "adapter", "_link", str(place.socket)],
            input=start.encode(), stdout=log, stderr=log, start_new_session=True, timeout=START_S, check=False,
            env=user_environment(),
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise NoBroker(f"no broker could be started: {error}") from error
    finally:
        os.close(log)
    if begun.returncode != 0:
        words = place.log.read_text(errors="replace").strip().splitlines()
        raise NoBroker(f"no broker could be started: {words[-1] if words else f'exit code {begun.returncode}'}")


# -- looking at the brokers of a folder


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStatus:
    """One broker: since when it is logged in (``None``: it is not), and what it does."""

    name: str
    host: str
    pid: int
    version: str
    logged_in_at: float | None
    under_way: int
    processes: int
    idle_s: float


async def link_statuses(folder: Path, *, close: bool = False) -> list[LinkStatus]:
    """Return what the brokers in *folder* do; with *close*, tell each to end."""
    found = []
    for path in sorted(links_folder(folder).glob("*.sock")):
        with suppress(OSError, NoBroker, TimeoutError):
            async with asyncio.timeout(END_S):
                if status := await _status(path, close=close):
                    found.append(status)
    return found


async def _status(path: Path, *, close: bool) -> LinkStatus | None:
    wire = await _dial(path)
    if wire is None:
        return None
    try:
        await wire.send({"do": "status", "close": close})
        frame = await wire.receive()
    finally:
        await wire.close()
    if frame is None:
        return None
    names = LinkStatus.__dataclass_fields__.keys() - {"name"}  # another version may say more
    return LinkStatus(name=path.stem, **{name: frame["result"].get(name) for name in names})
