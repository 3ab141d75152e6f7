"""The broker: a process in the background that owns one SSH connection and does what its guests ask for."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import json
import logging
import os
import signal
import socket
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter._version import __version__
from adapter.errors import (
    AuthenticationError,
    OutcomeUnknown,
    TransportError,
)
from adapter.transports.base import Download
from adapter.transports.frames import (
    Place,
    Wire,
    error_frame,
    upload_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from adapter.transports.base import Transfer

    Prompt = Callable[[str, bool], str | None]

_log = logging.getLogger(__name__)

ANSWER_S = 300.0  # for a person to answer; the server's patience is shorter as a rule
END_S = 5.0  # for the requests under way once the broker was told to end
LOOK_S = 10.0  # between two looks whether the socket is still there
REFUSAL_S = 30.0  # nobody who cannot be asked logs in so soon after a refusal: sites ban hasty clients


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
            answer = {"do": "error", **error_frame(error)}
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
            return await far.put([upload_of(data) for data in frame["files"]], scratch=frame["scratch"])
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
            async with asyncio.timeout(END_S):
                await asyncio.wrap_future(closing)
        self._ssh_loop.call_soon_threadsafe(self._ssh_loop.stop)


def _far_transport(broker: Broker, settings: Mapping[str, Any]) -> Any:
    """Return the broker's SSH transport: it asks who wants the login, and remembers refusals for the next broker."""
    from adapter.transports.ssh import SshTransport  # noqa: PLC0415 (only the broker pays for it)
    from adapter.transports.ssh_settings import SettingsError  # noqa: PLC0415

    class _Far(SshTransport):
        logged_in_at: float | None = None

        def __init__(self) -> None:
            super().__init__(settings, on_transfer=self._tell_asker)

        def _tell_asker(self, transfer: Transfer) -> None:
            asker = _REQUEST.get()
            frame = {"do": "transfer", "id": asker.number, "transfer": asdict(transfer)}
            broker.loop.call_soon_threadsafe(asker.guest.wire.post, frame)

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
                if not isinstance(error.__cause__, SettingsError):  # a mistake here is put right at once
                    _keep_refusal(broker.place.refusal, str(error))
                raise
            broker.place.refusal.unlink(missing_ok=True)
            self.logged_in_at = time.time()
            _log.info("logged in to %s", self.host)
            return opened

    return _Far()


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
