"""One SSH connection for all processes of a user on this machine: a broker in the background owns it.

A process that finds no broker starts one and talks to it over a Unix socket: frames of a length and JSON. A request is
acknowledged before the broker begins it, so that it is always known which ones may have happened. Nobody repeats one.
"""

from __future__ import annotations

import asyncio
import base64
import contextvars
import fcntl
import hashlib
import itertools
import json
import logging
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from adapter._version import __version__
from adapter.core.units import parse_seconds
from adapter.errors import (
    AuthenticationError,
    CompletedCommand,
    ConfigError,
    ConnectError,
    OutcomeUnknown,
    TransportError,
)
from adapter.transports.base import Download, Upload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from adapter.transports.ssh import SshTransport

    Prompt = Callable[[str, bool], str | None]

Result = TypeVar("Result")
_log = logging.getLogger(__name__)

IDLE_S = 600.0  # the default of connection.share
REFUSAL_S = 30.0  # nobody who cannot be asked logs in so soon after a refusal: sites ban hasty clients
START_S = 30.0  # for the broker to listen, on a slow disk
END_S = 5.0  # for the requests under way once the broker was told to end
LOOK_S = 10.0  # between two looks whether the socket is still there
ANSWER_S = 300.0  # for a person to answer; the server's patience is shorter as a rule
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
    identity = [socket.gethostname(), str(Path.home()), _settings_of(connection)]
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


def _settings_of(connection: Mapping[str, Any]) -> dict[str, Any]:
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
        return float(parse_seconds(share)) or None
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
        return _peer_uid(self._socket)

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


def _peer_uid(sock: socket.socket) -> int | None:
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:  # not Linux: the folder keeps others out
        return None
    ucred = struct.Struct("3i")
    return int(ucred.unpack(sock.getsockopt(socket.SOL_SOCKET, option, ucred.size))[1])


# -- errors on their way


class _Lost(Exception):
    """The broker is gone. ``taken``: it had begun the request; ``ending``: it had said that it begins nothing more."""

    def __init__(self, *, taken: bool, ending: bool) -> None:
        super().__init__("the shared connection's broker is gone")
        self.taken, self.ending = taken, ending


class _NoBroker(Exception):
    """There is none, and none can be started; the text says why."""


_PLAIN_ERRORS = {kind.__name__: kind for kind in (TransportError, ConnectError, AuthenticationError)}


def _error_frame(error: TransportError) -> dict[str, Any]:
    partial = error.partial if isinstance(error, OutcomeUnknown) else None
    return {"error": type(error).__name__, "text": str(error), "partial": asdict(partial) if partial else None}


def _error_of(frame: Mapping[str, Any]) -> TransportError:
    if frame["error"] == OutcomeUnknown.__name__:
        partial = frame.get("partial")
        return OutcomeUnknown(frame["text"], partial=CompletedCommand(**partial) if partial else None)
    return _PLAIN_ERRORS.get(frame["error"], TransportError)(frame["text"])


# -- the process that wants something done


class SharedTransport:
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
    ) -> None:
        """Nothing is opened before the first command."""
        self.host: str = connection["host"]
        self._connection, self._folder = connection, folder
        self._idle_s = idle_seconds(connection) or IDLE_S
        self._prompt, self._tell = prompt, tell
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
            except _Lost as lost:
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
                except (_NoBroker, OSError) as error:
                    return self._go_directly(str(error))
            return self._link

    def _go_directly(self, why: str) -> SshTransport:
        from adapter.transports.ssh import SshTransport  # noqa: PLC0415 (a client of the broker does not pay for it)

        if self._tell is not None:
            self._tell(f"a connection to {self.host} of its own, not a shared one: {why}")
        self._direct = SshTransport(self._connection, prompt=self._prompt)
        return self._direct

    async def _open(self) -> _Link:
        place = place_of(self._connection, self._folder)
        for _ in range(3):  # the one found, or just started, may be ending
            link = await self._find(place)
            if link is None:
                async with _locked(place.lock, START_S):
                    link = await self._find(place)
                    if link is None:
                        start = {"settings": _settings_of(self._connection), "idle_s": self._idle_s}
                        await asyncio.to_thread(_start_broker, place, json.dumps(start))
                        link = await self._find(place)
            if link is not None:
                return link
        raise _NoBroker(f"no broker answers at {place.socket}")

    async def _find(self, place: Place) -> _Link | None:
        """Return a link to the broker at *place*, ``None`` if there is none."""
        wire = await _dial(place.socket)
        if wire is None:
            return None
        try:
            await wire.send({"do": "hello", "version": __version__, "prompt": self._prompt is not None})
            hello = await asyncio.wait_for(wire.receive(), START_S)
        except OSError:
            hello = None
        except TimeoutError as error:
            await wire.close()
            raise _NoBroker(f"the broker at {place.socket} does not answer") from error
        if hello is not None and hello.get("version") == __version__:
            return _Link(wire, self.host, self._prompt)
        await wire.close()
        if hello is not None:
            raise _NoBroker(
                f"the one there is adapter {hello.get('version')}, this is {__version__}; "
                "`adapter links --close` ends it"
            )
        return None


class _Link:
    """This process's line to the broker; many requests are under way on it at once."""

    def __init__(self, wire: Wire, host: str, prompt: Prompt | None) -> None:
        self._wire, self._host, self._prompt = wire, host, prompt
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
        except _Lost as lost:
            if not lost.taken:
                raise
            unknown = f"the shared connection to {self._host} was lost while a command was under way"
            raise OutcomeUnknown(unknown) from lost

    async def put(self, uploads: Sequence[Upload], *, scratch: str) -> None:
        await self._move("put", [_upload_data(upload) for upload in uploads], scratch)

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
                future.set_exception(_Lost(taken=number in self._taken, ending=False))
        self._reading.cancel()
        await asyncio.wait({self._reading})
        await self._wire.close()

    async def _move(self, action: str, files: Sequence[Mapping[str, Any]], scratch: str) -> Any:
        try:
            return await self._ask(action, files=files, scratch=scratch)
        except _Lost as lost:
            if not lost.taken:
                raise
            raise ConnectError(
                f"the transfer with {self._host} was interrupted: the shared connection was lost"
            ) from lost

    async def _ask(self, action: str, **details: Any) -> Any:
        if self.is_over:
            raise _Lost(taken=False, ending=True)
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
                    answer.set_exception(_Lost(taken=number in self._taken, ending=self._is_ending))

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
        elif what == "error":
            answer.set_exception(_error_of(frame))
        else:
            answer.set_result(frame["result"])

    def _answer(self, text: str, *, seen: bool) -> str | None:
        """Ask the person here, and wait: as in a direct login nothing else goes on meanwhile."""
        try:
            return self._prompt(text, seen) if self._prompt else None
        except Exception:  # noqa: BLE001 (a prompt that fails is nobody who answers; the login must not hang)
            return None


def _upload_data(upload: Upload) -> dict[str, Any]:
    path = None if upload.path is None else str(Path(upload.path).absolute())
    content = None if upload.content is None else base64.b64encode(upload.content).decode()
    return {"target": upload.target, "path": path, "content": content, "link": upload.link}


def _upload_of(data: Mapping[str, Any]) -> Upload:
    content = None if data["content"] is None else base64.b64decode(data["content"])
    return Upload(target=data["target"], path=data["path"], content=content, link=data["link"])


async def _dial(path: Path) -> Wire | None:
    """Return a wire to who listens at *path*, ``None`` if nobody does.

    Raises:
        _NoBroker: it is somebody else.
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
    if _peer_uid(sock) not in {None, os.geteuid()}:
        sock.close()
        raise _NoBroker(f"another user listens at {path}")
    return Wire(sock)


async def _connect(sock: socket.socket, path: Path) -> None:
    """Connect at once, or as soon as fewer wait; asyncio would take EAGAIN here for a connection under way."""
    until = time.monotonic() + START_S
    while True:
        try:
            return sock.connect(str(path))
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise _NoBroker(f"too many wait for the broker at {path}") from error
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
                    raise _NoBroker(f"another process has held {path} for {within_s:g} s") from error
                await asyncio.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def _start_broker(place: Place, start: str) -> None:
    """Start a broker and return when it listens: its first process ends then, and the broker is nobody's child.

    It reads no module from the current folder (``-P``): a folder called ``adapter`` may lie there.

    Raises:
        _NoBroker: it did not start.
    """
    log = os.open(place.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        begun = subprocess.run(
            [sys.executable, "-P", "-m", "adapter", "_link", str(place.socket)],
            input=start.encode(), stdout=log, stderr=log, start_new_session=True, timeout=START_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise _NoBroker(f"no broker could be started: {error}") from error
    finally:
        os.close(log)
    if begun.returncode != 0:
        words = place.log.read_text(errors="replace").strip().splitlines()
        raise _NoBroker(f"no broker could be started: {words[-1] if words else f'exit code {begun.returncode}'}")


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
        with suppress(OSError, _NoBroker, TimeoutError):
            if status := await asyncio.wait_for(_status(path, close=close), END_S):
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


# -- the broker


@dataclass(eq=False, slots=True)
class _Guest:
    """A process that is connected, and the questions it has not answered."""

    wire: Wire
    has_prompt: bool = False
    is_client: bool = False
    asked: dict[int, asyncio.Future[str | None]] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class _Request:
    """Something to be done for a guest."""

    guest: _Guest
    number: int
    frame: Mapping[str, Any]
    task: asyncio.Task[None] | None = None
    is_cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    begun_at: float = field(default_factory=time.monotonic)


_REQUEST: contextvars.ContextVar[_Request] = contextvars.ContextVar("request")


class Broker:
    """Owns one SSH connection and does what its guests ask for, until nobody asked for long.

    The connection has a thread of its own: it waits while a person is asked, and the guests must not.
    """

    def __init__(self, place: Place, settings: Mapping[str, Any], *, idle_s: float) -> None:
        """Nothing is opened yet."""
        self.place, self.host, self.idle_s = place, str(settings["host"]), idle_s
        self._settings = settings
        self._ending = asyncio.Event()
        self._guests: set[_Guest] = set()
        self._under_way: set[_Request] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)
        self._timer: asyncio.TimerHandle | None = None
        self._idle_since = time.monotonic()

    async def serve(self, listener: socket.socket) -> None:
        """Answer at *listener* until it is time to end."""
        self.loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self.loop.add_signal_handler(each, self._ending.set)
        self._ssh_loop = asyncio.new_event_loop()
        threading.Thread(target=self._ssh_loop.run_forever, name="ssh", daemon=True).start()
        self._far = _far_transport(self, self._settings)
        self._identity = self.place.socket.stat().st_ino
        self._rest()
        self._look()
        accepting = self._begin(self._accept(listener))
        accepting.add_done_callback(lambda _: self._ending.set())
        await self._ending.wait()
        if self._is_found():  # gone before we are: whoever finds no socket starts the next broker
            self.place.socket.unlink(missing_ok=True)
        accepting.cancel()
        await asyncio.wait({accepting})
        listener.close()
        await self._end()

    async def ask(self, asker: _Request, text: str, *, seen: bool) -> str | None:
        """Return what a person answers: who wants the login first, and if that one is gone, others who wait for it."""
        tried: set[_Guest] = set()
        while not asker.is_cancelled.is_set():
            waiting = sorted(self._under_way - {asker}, key=lambda request: request.begun_at)
            there = [request.guest for request in (asker, *waiting) if request.guest in self._guests - tried]
            guest = next((guest for guest in there if guest.has_prompt), None)
            if guest is None:
                break
            is_answered, answer = await self._ask_guest(guest, asker, text, seen=seen)
            if is_answered:
                return answer
            tried.add(guest)
        return None

    def somebody_answers(self) -> bool:
        """Whether one of those who wait can be asked."""
        return any(request.guest.has_prompt and request.guest in self._guests for request in set(self._under_way))

    async def _ask_guest(self, guest: _Guest, asker: _Request, text: str, *, seen: bool) -> tuple[bool, str | None]:
        number = next(self._numbers)
        answer = guest.asked[number] = self.loop.create_future()
        cancelled = asyncio.create_task(asker.is_cancelled.wait())
        try:
            await guest.wire.send({"do": "prompt", "id": number, "text": text, "seen": seen})
            await asyncio.wait({answer, cancelled}, timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            return False, None
        finally:
            cancelled.cancel()
            del guest.asked[number]
        if answer.cancelled():  # the guest has gone
            return False, None
        return True, answer.result() if answer.done() else None

    # -- guests

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            sock, _ = await self.loop.sock_accept(listener)
            wire = Wire(sock)
            if wire.peer_uid() in {None, os.geteuid()}:
                self._begin(self._attend(_Guest(wire)))
            else:
                _log.warning("refused user %s", wire.peer_uid())
                await wire.close()

    def _begin(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _attend(self, guest: _Guest) -> None:
        self._guests.add(guest)
        try:
            while frame := await guest.wire.receive():
                self._hear(guest, frame)
        finally:
            self._guests.discard(guest)
            for answer in guest.asked.values():
                answer.cancel()
            await guest.wire.close()

    def _hear(self, guest: _Guest, frame: Mapping[str, Any]) -> None:
        what = frame["do"]
        if what == "hello":
            guest.has_prompt, guest.is_client = bool(frame["prompt"]), True
            guest.wire.post({"do": "hello", "version": __version__, "pid": os.getpid()})
        elif what == "status":
            guest.wire.post({"do": "result", "result": self._status()})
            if frame["close"]:
                self._ending.set()
        elif what == "cancel":
            self._cancel(guest, frame["id"])
        elif what == "answer":
            answer = guest.asked.get(frame["id"])
            if answer is not None and not answer.done():
                answer.set_result(frame["answer"])
        elif not self._ending.is_set():  # else it is not taken, and its asker hears that we end
            request = _Request(guest, frame["id"], frame)
            self._under_way.add(request)
            self._stir()
            request.task = self._begin(self._perform(request))

    def _cancel(self, guest: _Guest, number: int) -> None:
        for request in self._under_way:
            if request.guest is guest and request.number == number and request.task is not None:
                request.task.cancel()
                self.loop.call_soon(request.is_cancelled.set)  # after the cancel: the thread may wait for an answer

    def _status(self) -> dict[str, Any]:
        return {
            "host": self.host,
            "pid": os.getpid(),
            "version": __version__,
            "logged_in_at": self._far.logged_in_at,
            "under_way": len(self._under_way),
            "processes": sum(guest.is_client for guest in self._guests),
            "idle_s": 0.0 if self._under_way else time.monotonic() - self._idle_since,
        }

    # -- requests

    async def _perform(self, request: _Request) -> None:
        send = request.guest.wire.send
        try:
            await send({"do": "taken", "id": request.number})  # before it begins: who hears nothing knows it did not
            answer = {"do": "result", "result": await self._done(request)}
        except TransportError as error:
            answer = {"do": "error", **_error_frame(error)}
            if isinstance(error, AuthenticationError):  # a later attempt, by a person, begins anew
                self._ending.set()
        except OSError:
            return  # the asker was gone before anything began
        finally:
            self._under_way.discard(request)
            if not self._under_way:
                self._rest()
        with suppress(OSError):  # the asker is gone; what it wanted is done all the same
            await send({**answer, "id": request.number})

    async def _done(self, request: _Request) -> Any:
        work = asyncio.run_coroutine_threadsafe(self._in_thread(request), self._ssh_loop)
        try:
            return await asyncio.wrap_future(work)
        except (TransportError, asyncio.CancelledError):
            raise
        except Exception as error:
            _log.exception("a request failed")
            unexpected = f"unexpected {type(error).__name__} in the broker: {error}"
            raise (OutcomeUnknown if request.frame["do"] == "run" else TransportError)(unexpected) from error

    async def _in_thread(self, request: _Request) -> Any:
        _REQUEST.set(request)
        frame, far = request.frame, self._far
        if frame["do"] == "run":
            return asdict(await far.run(frame["command"], stdin=frame["stdin"], timeout_s=frame["timeout_s"]))
        if frame["do"] == "put":
            return await far.put([_upload_of(data) for data in frame["files"]], scratch=frame["scratch"])
        return await far.get([Download(**data) for data in frame["files"]], scratch=frame["scratch"])

    # -- the end

    def _is_found(self) -> bool:
        """Whether the socket is still the one at its place."""
        with suppress(OSError):
            return self.place.socket.stat().st_ino == self._identity
        return False

    def _look(self) -> None:
        """End when nobody can come any more: the folder was removed."""
        if not self._is_found() and not self._guests:
            self._ending.set()
        self.loop.call_later(LOOK_S, self._look)

    def _stir(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _rest(self) -> None:
        self._stir()
        self._idle_since = time.monotonic()
        self._timer = self.loop.call_later(self.idle_s, self._ending.set)

    async def _end(self) -> None:
        """Begin nothing more, give what is under way a moment, and close."""
        _log.info("ending, %s under way", len(self._under_way))
        for guest in self._guests:
            guest.wire.post({"do": "ending"})
        if works := {request.task for request in self._under_way if request.task}:
            await asyncio.wait(works, timeout=END_S)
        late, tasks = set(self._under_way), set(self._tasks)
        for task in tasks:
            task.cancel()
        for request in late:
            self.loop.call_soon(request.is_cancelled.set)  # after the cancel, as in _cancel
        if tasks:
            await asyncio.wait(tasks, timeout=END_S)
        closing = asyncio.run_coroutine_threadsafe(self._far.__aexit__(None, None, None), self._ssh_loop)
        with suppress(Exception):
            await asyncio.wait_for(asyncio.wrap_future(closing), END_S)
        self._ssh_loop.call_soon_threadsafe(self._ssh_loop.stop)


def _far_transport(broker: Broker, settings: Mapping[str, Any]) -> Any:
    """Return the broker's SSH transport: it asks who wants the login, and remembers refusals for the next broker."""
    from adapter.transports.ssh import SshTransport  # noqa: PLC0415 (only the broker pays for it)

    class _Far(SshTransport):
        logged_in_at: float | None = None

        async def _login(self) -> Any:
            asker = _REQUEST.get()
            self._prompt = None
            if broker.somebody_answers():
                self._prompt = lambda text, seen: asyncio.run_coroutine_threadsafe(
                    broker.ask(asker, text, seen=seen),
                    broker.loop,
                ).result()
            elif words := _recent_refusal(broker.place.refusal):
                raise self._stop(words)
            try:
                opened = await super()._login()
            except AuthenticationError as error:
                _keep_refusal(broker.place.refusal, str(error))
                raise
            broker.place.refusal.unlink(missing_ok=True)
            self.logged_in_at = time.time()
            _log.info("logged in to %s", self.host)
            return opened

    return _Far(settings)


def _keep_refusal(path: Path, words: str) -> None:
    with suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"at": time.time(), "words": words}, file)


def _recent_refusal(path: Path) -> str | None:
    try:
        refusal = json.loads(path.read_text())
        ago_s, words = time.time() - refusal["at"], refusal["words"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return f"{words} (refused {ago_s:.0f} s ago; not tried again yet)" if 0 <= ago_s < REFUSAL_S else None


def run_broker(path: Path, start: str) -> None:
    """Listen at *path*, leave a broker behind in the background and return in the first process.

    Raises:
        OSError: nobody can listen there.
    """
    given, place = json.loads(start), Place(path.parent, path.stem)
    listener = _listen(path)
    if os.fork():
        listener.close()
        return
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir("/")
        asyncio.run(Broker(place, given["settings"], idle_s=given["idle_s"]).serve(listener))
    except Exception:  # noqa: BLE001 (the log of a process that nobody waits for)
        _log.exception("the broker failed")
    finally:
        logging.shutdown()
        os._exit(0)  # not the way that the first process goes back


def _listen(path: Path) -> socket.socket:
    """Return a socket that listens at *path*; the path is there only from then on."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        sock.bind(str(new))
    finally:
        os.umask(before)
    sock.listen(128)
    new.rename(path)
    sock.settimeout(0)
    return sock
