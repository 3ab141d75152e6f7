"""Commands on a far machine through the user's own ``ssh``: whatever lets ``ssh HOST`` in works here.

One master connection serves all processes of a user on a machine. A command goes through it or
not at all: the ``ssh`` that carries one never logs in (its ProxyCommand is ``false``), so that a
master that refuses or is gone is not mistaken for a server that does.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shutil
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter.environment import user_environment
from adapter.errors import AuthenticationError, ConfigError, ConnectError
from adapter.transports.askpass import Askpass
from adapter.transports.far import FarTransport, Lost, Refused
from adapter.transports.masters import Place, locked, place_of, tell_master
from adapter.transports.ssh_settings import HostSettings, SettingsError, evaluated, proxy_program
from adapter.transports.ssh_words import login_error, said_by_ssh, settings_error

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from adapter.transports.askpass import Prompt
    from adapter.transports.base import Transfer

CONNECT_TIMEOUT_S = 20.0  # for a server that accepts and never answers; ConnectTimeout wins
ATTEMPT_INTERVAL_S = 2.0  # between two logins: sites ban hasty clients
OPENED_WITHIN_S = 60.0  # longer than a master takes to notice that its server is silent
REFUSED_FOR_S = 5.0  # for processes that begin at the same time, and have nobody to ask
IDLE_S = 600  # a master that nobody uses ends; ControlPersist wins
# Not for programs: a terminal mangles what they read, a command of the user's would run instead.
NOT_OURS = {
    "remotecommand": "none", "sessiontype": "default", "stdinnull": "no",
    "forkafterauthentication": "no", "permitlocalcommand": "no", "tunnel": "no",
}  # fmt: skip
ALWAYS = ("-T", "-o", "ClearAllForwardings=yes", "-o", "EscapeChar=none", "-o", "ForwardX11=no")
_GONE = re.compile(r"Control socket .*does not exist|Control socket connect\(")
_SETTLED = re.compile(r"master session id: |Executing proxy command")


class OpenSshTransport(FarTransport):
    """Runs commands on the host of a backend's ``connection``.

    ``folder`` is where this user's masters are. ``prompt`` is asked for passwords, passphrases and
    second factors (a text, and whether the answer may be seen); ``None``: nobody is there to answer.
    ``tell`` hears what needs no answer. ``options`` go to ``ssh`` (``Port="2222"``).
    """

    def __init__(
        self,
        connection: Mapping[str, Any],
        *,
        folder: Path,
        prompt: Prompt | None = None,
        tell: Callable[[str], None] | None = None,
        on_transfer: Callable[[Transfer], None] | None = None,
        **options: str,
    ) -> None:
        """Nothing is opened before the first command.

        Raises:
            ConfigError: the host would be an option of ``ssh``.
        """
        super().__init__(connection, on_transfer=on_transfer)
        if self.host.startswith("-"):
            raise ConfigError(f"connection.host {self.host!r} begins with a hyphen")
        self._base = _arguments(connection, options)
        self._folder, self._prompt, self._tell = folder, prompt, tell or (lambda _: None)
        self._opening = asyncio.Lock()
        self._settings: HostSettings | None = None
        self._socket: str | None = None
        self._useless = {""}
        self._refused: AuthenticationError | None = None
        self._tried_at = -ATTEMPT_INTERVAL_S
        self._logs = Path()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the master to the others: it ends by itself."""
        if self._logs.name:
            shutil.rmtree(self._logs, ignore_errors=True)
            self._logs = Path()

    # -- a channel

    async def _open(self, line: str) -> _Session:
        for is_last in (False, True):
            was_open = self._socket is not None
            socket = await self._master()
            session = await self._begin(socket, line)
            how = await session.opened()
            if "master session id: " in how:
                return session
            await self._close(session)
            if "session request failed: Session open refused" in how:
                raise Refused("it says that there are too many on this connection (MaxSessions)")
            await self._forget(socket, how)
            if is_last or (was_open and not _GONE.search(how)):
                break
        raise Lost(f"the connection to {self.host} was lost")

    async def _begin(self, socket: str, line: str) -> _Session:
        log = _Log(self._log_path())
        words = [
            "-E", str(log.path), "-S", socket.replace("%", "%%"), *await self._options(),
            "-o", "ControlMaster=no", "-o", "ProxyCommand=false", "-o", "LogLevel=DEBUG2",
            "-o", "BatchMode=yes", "--", self.host, line,
        ]  # fmt: skip
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                "ssh", *words, stdin=pipe, stdout=pipe, stderr=pipe, limit=1 << 18,
                env=user_environment(), start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            log.close()
            raise self._stop(settings_error(self.host, f"cannot run ssh: {error}")) from error
        return _Session(process, log, socket)

    async def _exit_code(self, process: _Session) -> int:
        code, said = await process.ended()
        if code != 255:
            return code
        if found := re.search(r"Received exit status from master (\d+)", said):
            return int(found[1])
        # For a command that died by a signal the master says as little as for one that it lost.
        if "Control master terminated unexpectedly" in said and await tell_master(process.socket, "check"):
            return -1
        raise Lost(f"the connection to {self.host} was lost before the command's end")

    async def _close(self, process: _Session) -> None:
        await process.close()

    # -- the master

    async def _master(self) -> str:
        """Return the socket of a master that lives: the user's own, or ours."""
        async with self._opening:
            if self._refused is not None:
                raise self._refused
            if self._socket is None:
                self._socket = await self._found_or_opened()
            return self._socket

    async def _forget(self, socket: str, said: str) -> None:
        """Take no further command to the master at *socket*, which took none: *said* is why."""
        async with self._opening:
            if self._socket == socket:
                self._socket = None
        if _GONE.search(said):
            return  # it is gone: there may be another one by now
        if socket == str((await self._place()).socket):
            await tell_master(socket, "stop")  # what goes on in it may end
            Path(socket).unlink(missing_ok=True)
        else:
            self._useless.add(socket)

    async def _found_or_opened(self) -> str:
        began, place = time.time(), await self._place()
        settings = await self._evaluated()
        for socket in (settings.first("controlpath"), str(place.socket)):
            if socket not in self._useless and await tell_master(socket, "check"):
                return socket
        async with locked(place, self.host):
            if await tell_master(place.socket, "check"):
                return str(place.socket)
            self._heed_refusal(place, began)
            await asyncio.sleep(max(0.0, self._tried_at + ATTEMPT_INTERVAL_S - time.monotonic()))
            self._tried_at = time.monotonic()
            place.socket.unlink(missing_ok=True)  # left behind by a master that died
            self.logins += 1
            try:
                await self._log_in(place, settings)
            except AuthenticationError as error:
                place.refusal.write_text(str(error))
                self._stop(error)
                raise
            place.refusal.unlink(missing_ok=True)
        return str(place.socket)

    def _heed_refusal(self, place: Place, began: float) -> None:
        """Take the refusal that another process met while this one waited for its own."""
        if self._prompt is None and place.refused_at() > began - REFUSED_FOR_S:
            raise self._stop(AuthenticationError(place.refusal.read_text()))

    async def _log_in(self, place: Place, settings: HostSettings) -> None:
        """Open the master at *place*; it goes to the background once it is logged in."""
        patience_s = float(settings.first("connecttimeout") or CONNECT_TIMEOUT_S)
        idle = settings.first("controlpersist", "no")
        strict = settings.first("stricthostkeychecking", "ask").lower()
        log = _Log(self._log_path())
        words = [
            "-E", str(log.path), "-S", str(place.socket), "-M", "-N", "-f", *await self._options(),
            "-o", f"ControlPersist={IDLE_S if idle in {'no', 'false'} else idle}",
            "-o", f"ConnectTimeout={patience_s:.0f}",
            "-v",  # or what a ProxyCommand says is thrown away, and the key that a host shows is not told
            *([] if settings.first("serveraliveinterval", "0") != "0"
              else ["-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3"]),
            *(["-o", "StrictHostKeyChecking=ask"] if strict in {"no", "off", "false"} else []),
        ]  # fmt: skip
        with ExitStack() as stack:
            stack.callback(log.close)
            # A ProxyCommand may write there for as long as the master lives.
            stderr = stack.enter_context(place.log.open("w+b"))
            environment = user_environment()
            deadline = asyncio.timeout(2 * patience_s)
            is_asking = self._prompt is not None and not settings.is_on("batchmode")
            askpass = Askpass(self._asker(log, deadline, 2 * patience_s), self._tell)
            if is_asking:
                environment |= stack.enter_context(askpass).environment
            else:
                words += ["-o", "BatchMode=yes"]
            # A ProxyCommand may use the terminal, if somebody is there.
            process = await asyncio.create_subprocess_exec(
                "ssh", *words, "--", self.host, stdin=asyncio.subprocess.DEVNULL, stdout=stderr,
                stderr=stderr, env=environment, start_new_session=not is_asking,
            )  # fmt: skip
            askpass.on_no_answer = process.kill
            try:
                async with deadline:
                    await process.wait()
            except TimeoutError as error:
                raise ConnectError(f"cannot reach {self.host}: it does not answer") from error
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            if askpass.unanswered is not None:
                question = askpass.unanswered.strip()
                raise AuthenticationError(f"{self.host} does not let us in: {question!r} was not answered")
            if process.returncode != 0:
                log.read()
                proxy = place.log.read_text(errors="replace") if settings.first("proxycommand") else ""
                raise login_error(self.host, log.text, proxy=proxy, has_asked=is_asking)

    def _asker(self, log: _Log, deadline: asyncio.Timeout, patience_s: float) -> Prompt:
        """Return the prompt, with what the server said before it; the time a person takes does not count."""
        prompt, shown = self._prompt, 0

        def ask(text: str, seen: bool) -> str | None:  # noqa: FBT001 (as the prompt that was handed in)
            nonlocal shown
            log.read()
            before, shown = said_by_ssh(log.text[shown:]), len(log.text)
            try:
                return prompt("\n".join([*before, text]), seen) if prompt else None
            finally:
                with suppress(RuntimeError):  # it is over
                    deadline.reschedule(asyncio.get_running_loop().time() + patience_s)

        return ask

    # -- what ssh is told, and tells

    def _log_path(self) -> Path:
        if not self._logs.name:
            self._logs = Path(tempfile.mkdtemp(prefix="adapter-ssh-"))
        return self._logs / secrets.token_hex(4)

    async def _place(self) -> Place:
        settings = await self._evaluated()
        there = [settings.host, str(settings.port), settings.user]
        way = [settings.first("proxyjump"), settings.first("proxycommand")]
        try:
            return place_of([*self._base, self.host, *there, *way], self._folder)
        except OSError as error:
            raise self._stop(settings_error(self.host, str(error))) from error

    async def _evaluated(self) -> HostSettings:
        if self._settings is None:
            try:
                self._settings = await evaluated(self._base, self.host)
                proxy_program(self._settings)
            except SettingsError as error:
                raise self._stop(settings_error(self.host, str(error))) from error
        return self._settings

    async def _options(self) -> list[str]:
        settings = await self._evaluated()
        changed = [
            word
            for name, value in NOT_OURS.items()
            if name in settings.values and settings.first(name, value).lower() not in {value, "false"}
            for word in ("-o", f"{name}={value}")
        ]
        return [*ALWAYS, *changed, *self._base]

    def _stop(self, error: AuthenticationError) -> AuthenticationError:
        self._refused = error
        return error


class _Log:
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


class _Session:
    """An ``ssh`` that carries one command through the master at *socket*."""

    def __init__(self, process: Process, log: _Log, socket: str) -> None:
        self.stdin, self.stdout, self.stderr = process.stdin, process.stdout, process.stderr
        self.socket = socket
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


def _arguments(connection: Mapping[str, Any], options: Mapping[str, str]) -> list[str]:
    """Return what ``ssh`` is told of *connection*, for the login and for each command."""
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    for option, key in (("-F", "config"), ("-l", "user"), ("-p", "port")):
        if connection.get(key) is not None:
            value = str(connection[key])
            words += [option, _absolute(value) if key == "config" else value]
    if connection.get("known_hosts") is not None:
        file = _absolute(str(connection["known_hosts"])).replace("%", "%%")
        words += ["-o", f'UserKnownHostsFile="{file}"']
    compression = "no" if connection.get("compression") is False else "yes"
    return [*words, "-o", f"Compression={compression}"]


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())
