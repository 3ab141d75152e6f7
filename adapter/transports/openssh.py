"""Commands on a far machine through the user's own ``ssh``: whatever lets ``ssh HOST`` in works here.

One master connection serves all processes of a user on a machine. A command goes through it or
not at all: the ``ssh`` that carries one never logs in (its ProxyCommand is ``false``), so that a
master that refuses or is gone is not mistaken for a server that does.
"""

from __future__ import annotations

import asyncio
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
from adapter.transports.ssh_session import Log, Session
from adapter.transports.ssh_settings import HostSettings, SettingsError, evaluated, proxy_program
from adapter.transports.ssh_words import login_error, said_by_ssh, settings_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from adapter.transports.askpass import Prompt
    from adapter.transports.base import Transfer

CONNECT_TIMEOUT_S = 20.0  # for a server that accepts and never answers; ConnectTimeout wins
ATTEMPT_INTERVAL_S = 2.0  # between two logins: sites ban hasty clients
REFUSED_FOR_S = 5.0  # for processes that begin at the same time, and have nobody to ask
IDLE_S = 600  # a master that nobody uses ends; ControlPersist wins
# Not for programs: a terminal mangles what they read, a command of the user's would run instead.
NOT_OURS = {
    "remotecommand": "none", "sessiontype": "default", "stdinnull": "no",
    "forkafterauthentication": "no", "permitlocalcommand": "no", "tunnel": "no",
}  # fmt: skip
ALWAYS = ("-T", "-o", "ClearAllForwardings=yes", "-o", "EscapeChar=none", "-o", "ForwardX11=no")
_GONE = re.compile(r"Control socket .*does not exist|Control socket connect\(")


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

    async def _open(self, line: str) -> Session:
        for is_last in (False, True):
            was_open = self._socket is not None
            try:
                socket = await self._master()
                session = await self._begin(socket, line)
            except OSError as error:  # no room for a file, no process more
                raise ConnectError(f"cannot use ssh here: {error}") from error
            how = await self._heard(session)
            if "master session id: " in how:
                return session
            if "session request failed: Session open refused" in how:
                raise Refused("it says that there are too many on this connection (MaxSessions)")
            await self._forget(socket, how)
            if is_last or (was_open and not _GONE.search(how)):
                break
        raise Lost(f"the connection to {self.host} was lost")

    async def _begin(self, socket: str, line: str) -> Session:
        log = Log(self._log_path())
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
        except BaseException:
            log.close()
            raise
        return Session(process, log, socket)

    async def _heard(self, session: Session) -> str:
        """Return what *session* says of its beginning; it is closed unless the master took the command."""
        how = ""
        try:
            how = await session.opened()
        finally:
            if "master session id: " not in how:
                await session.close()
        return how

    async def _exit_code(self, process: Session) -> int:
        code, said = await process.ended()
        if code != 255:
            return code
        if found := re.search(r"Received exit status from master (\d+)", said):
            return int(found[1])
        # For a command that died by a signal the master says as little as for one that it lost.
        is_alive = "Control master terminated unexpectedly" in said and process.has_same_master()
        if is_alive and await tell_master(process.socket, "check"):
            return -1
        raise Lost(f"the connection to {self.host} was lost before the command's end")

    async def _close(self, process: Session) -> None:
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
        is_asking = self._prompt is not None and not settings.is_on("batchmode")
        environment, deadline = user_environment(), asyncio.timeout(2 * patience_s)
        with ExitStack() as stack:
            log = Log(self._log_path())
            stack.callback(log.close)
            # A ProxyCommand may write there for as long as the master lives.
            stderr = stack.enter_context(place.log.open("w+b"))
            askpass = Askpass(self._asker(log, deadline, 2 * patience_s), self._tell)
            if is_asking:
                environment |= stack.enter_context(askpass).environment
            else:  # the ssh of a jump host is not told BatchMode, and would ask in a window
                environment["SSH_ASKPASS_REQUIRE"] = "never"
            words = ["-E", str(log.path), "-S", str(place.socket), "-M", "-N", "-f"]
            words += [*await self._options(), "-o", f"ConnectTimeout={patience_s:.0f}", *_for_a_master(settings)]
            words += [] if is_asking else ["-o", "BatchMode=yes"]
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
            log.read()
        if askpass.unanswered is not None:
            question = askpass.unanswered.strip()
            raise AuthenticationError(f"{self.host} does not let us in: {question!r} was not answered")
        if process.returncode != 0:
            proxy = place.log.read_text(errors="replace")
            raise login_error(self.host, log.text, proxy=proxy, has_asked=is_asking)

    def _asker(self, log: Log, deadline: asyncio.Timeout, patience_s: float) -> Prompt:
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


def _for_a_master(settings: HostSettings) -> list[str]:
    idle = settings.first("controlpersist", "no")
    # With -v, because what a ProxyCommand says is thrown away else, and the host's key is not shown.
    words = ["-v", "-o", f"ControlPersist={IDLE_S if idle in {'no', 'false'} else idle}"]
    if settings.first("serveraliveinterval", "0") == "0":
        words += ["-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3"]
    if settings.first("stricthostkeychecking", "ask").lower() in {"no", "off", "false"}:
        words += ["-o", "StrictHostKeyChecking=ask"]
    return words
