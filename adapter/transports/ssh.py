"""Commands on a far machine through one SSH connection, with asyncssh. Keys, agent, jumps: as ``~/.ssh/config`` says.

A command is repeated by nobody here. What certainly did not happen is a ConnectError, what may have is OutcomeUnknown.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh
from asyncssh.constants import OPEN_CONNECT_FAILED

from adapter.errors import AuthenticationError, CompletedCommand, ConnectError, OutcomeUnknown, TransportError
from adapter.transports.base import Transport
from adapter.transports.channels import Channels
from adapter.transports.ssh_files import put_files
from adapter.transports.ssh_get import get_files
from adapter.transports.ssh_keys import HostKeys, UserKeys, user_keys
from adapter.transports.ssh_settings import (
    Hop,
    HostSettings,
    SettingsError,
    agent_path,
    connection_options,
    hops_of,
    proxy_command,
    read_settings,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from adapter.transports.base import Download, Transfer, Upload

CONNECT_TIMEOUT_S = 20.0  # for a server that accepts and never answers; ConnectTimeout in ~/.ssh/config wins
ATTEMPT_INTERVAL_S = 2.0  # between two logins: sites ban hasty clients
# The scripts of a batch are much alike: compressed, they are a tenth. A site on a fast network may turn it off.
COMPRESSION = ("zlib@openssh.com", "zlib", "none")
CHANNEL_WAITS_S = (0.1, 0.3, 1.0, 3.0)  # a server counts a channel for a moment after its end
MOST_CHANNELS = 6  # sshd allows ten sessions a connection (MaxSessions); some are for others
MOST_HOPS = 8  # jump hosts that lead to each other in a circle are a mistake
MOST_PASSWORDS = 3
# A login shell loads what a site's profile sets up (modules, PATH); sh alone runs everywhere, also below csh and fish.
LOGIN_SHELL = """sh -c 'command -v bash >/dev/null && exec bash -lc "exec sh -s"; exec sh -lc "exec sh -s"'"""


class SshTransport(Transport):
    """Runs commands on the host of a backend's ``connection``.

    ``prompt`` is asked for passwords, passphrases and second factors (a text, and whether the answer may be seen);
    ``None`` means that nobody is there to answer. ``on_transfer`` hears how far files have come. ``options`` go to
    asyncssh as they are, except for ``config`` (``None``: no file is read) and ``known_hosts`` (a file).
    """

    def __init__(
        self,
        connection: Mapping[str, Any],
        *,
        prompt: Callable[[str, bool], str | None] | None = None,
        on_transfer: Callable[[Transfer], None] | None = None,
        **options: Any,
    ) -> None:
        """Nothing is opened before the first command."""
        self.host: str = connection["host"]
        self._login_shell = bool(connection.get("login_shell"))
        self._connection_keys = {name: value for name, value in connection.items() if value is not None}
        self._options = options
        self._asyncssh_options: dict[str, Any] = {
            "keepalive_interval": 15,
            "keepalive_count_max": 3,
            **({} if connection.get("compression") is False else {"compression_algs": COMPRESSION}),
            **{name: value for name, value in options.items() if name not in {"config", "known_hosts", "port"}},
        }
        self._prompt = prompt
        self.on_transfer = on_transfer
        self._connection: asyncssh.SSHClientConnection | None = None
        self._opening = asyncio.Lock()
        self._channels = Channels(int(connection.get("max_channels") or MOST_CHANNELS))
        self._refused: AuthenticationError | None = None
        self._without_sftp: tuple[asyncssh.SSHClientConnection, str] | None = None
        self._tried_at = -ATTEMPT_INTERVAL_S
        self.logins = 0
        self.channels_opened = 0

    # -- the door

    async def run(self, command: str, *, stdin: str = "", timeout_s: float) -> CompletedCommand:
        """Run *command* on the host; see :meth:`adapter.transports.base.Transport.run`."""
        line = LOGIN_SHELL if self._login_shell and command == "sh -s" else command
        async with self._channels.one():
            process = await self._open(line, harmless=bool(stdin))
            collected: tuple[list[bytes], list[bytes]] = ([], [])
            work = asyncio.create_task(_converse(process, stdin.encode(), collected))
            try:
                async with asyncio.timeout(timeout_s):
                    await work
            except TimeoutError as error:
                partial = _completed(command, process, collected)
                late = f"a command took longer than {timeout_s:g} s on {self.host}"
                raise OutcomeUnknown(late, partial=partial) from error
            except (asyncssh.Error, OSError) as error:
                partial = _completed(command, process, collected)
                raise OutcomeUnknown(f"the connection to {self.host} was lost: {error}", partial=partial) from error
            finally:
                process.close()
        if process.exit_status is None and process.exit_signal is None:
            partial = _completed(command, process, collected)
            raise OutcomeUnknown(f"the connection to {self.host} was lost before the command's end", partial=partial)
        return _completed(command, process, collected)

    async def put(self, uploads: Sequence[Upload], *, scratch: str = "") -> None:
        """Put files on the host; see :meth:`adapter.transports.base.Transport.put`."""
        await put_files(self, uploads, scratch)

    async def get(self, downloads: Sequence[Download], *, scratch: str = "") -> list[list[str]]:
        """Bring files from the host; see :meth:`adapter.transports.base.Transport.get`."""
        return await get_files(self, downloads, scratch)

    @asynccontextmanager
    async def sftp(self) -> AsyncIterator[asyncssh.SFTPClient]:
        """Open a channel for files.

        Raises:
            ConnectError: it cannot be opened.
            TransportError: the server does not serve files.
        """
        async with self._channels.one():
            client = await self._opened(self._start_sftp, harmless=True)
            async with client:
                yield client

    async def __aenter__(self) -> Self:
        """Nothing is opened before the first command."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            with suppress(asyncssh.Error, OSError, TimeoutError):
                async with asyncio.timeout(5):
                    await self._connection.wait_closed()
            self._connection = None

    # -- the connection

    async def _open(self, line: str, *, harmless: bool) -> Any:
        """Open a channel. *harmless*: a shell that waits for its script does nothing before the script is sent."""
        return await self._opened(lambda connection: connection.create_process(line, encoding=None), harmless=harmless)

    async def _opened(
        self, open_it: Callable[[asyncssh.SSHClientConnection], Awaitable[Any]], *, harmless: bool
    ) -> Any:
        for wait_s in (*CHANNEL_WAITS_S, None):
            connection = await self._connected()
            try:
                opened = await open_it(connection)
            except (asyncssh.Error, OSError) as error:
                refused = isinstance(error, asyncssh.ChannelOpenError)
                if not refused or connection.is_closed():  # asyncssh says "refused" of a lost connection, too
                    self._connection = None
                    lost = ConnectError if harmless else OutcomeUnknown
                    raise lost(f"the connection to {self.host} was lost: {error}") from error
                if wait_s is None:
                    raise ConnectError(f"{self.host} refuses another channel: {error}") from error
                await self._channels.fewer()  # nothing was begun: opening it again repeats nothing
                await asyncio.sleep(wait_s)
            else:
                self.channels_opened += 1
                return opened
        raise AssertionError("unreachable")

    async def _start_sftp(self, connection: asyncssh.SSHClientConnection) -> asyncssh.SFTPClient:
        if self._without_sftp and self._without_sftp[0] is connection:
            raise TransportError(self._without_sftp[1])
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                return await connection.start_sftp_client()
        except (asyncssh.SFTPError, asyncssh.ChannelOpenError, TimeoutError) as error:
            if connection.is_closed() or getattr(error, "code", None) == OPEN_CONNECT_FAILED:
                raise
            noisy = isinstance(error, asyncssh.SFTPBadMessage | TimeoutError)
            why = "something else than SFTP comes back" if noisy else f"its SFTP does not start ({error})"
            words = (
                f"files cannot travel to or from {self.host}: {why}. Does a start-up file of the login shell there "
                "(.bashrc, .cshrc) print something? It must be silent where nobody looks: "
                "`[ -t 1 ] || return` at its top"
            )
            self._without_sftp = (connection, words)
            raise TransportError(words) from error

    async def _connected(self) -> asyncssh.SSHClientConnection:
        async with self._opening:
            if self._refused is not None:
                raise self._refused
            if self._connection is None or self._connection.is_closed():
                await asyncio.sleep(max(0.0, self._tried_at + ATTEMPT_INTERVAL_S - time.monotonic()))
                self._tried_at = time.monotonic()
                self._connection = await self._login()
            return self._connection

    async def _login(self) -> asyncssh.SSHClientConnection:
        self.logins += 1
        given = {**self._connection_keys, **self._options}
        first = Hop(self.host, given.get("user"), given.get("port"))
        try:
            return await self._reach(first, hops=MOST_HOPS)
        except (SettingsError, OSError) as error:  # what the network does is a ConnectError already
            raise self._stop(f"the SSH set-up for {self.host} is wrong: {error}") from error

    async def _reach(
        self, hop: Hop, *, through: asyncssh.SSHClientConnection | None = None, hops: int
    ) -> asyncssh.SSHClientConnection:
        """Log in at *hop*, by the jump hosts of its settings unless *through* says which way."""
        config = self._options.get("config", self._connection_keys.get("config", ""))
        settings = await read_settings(hop.host, user=hop.user, port=hop.port, config=config)
        if hops == 0:
            raise SettingsError(f"its jump hosts lead on and on: {hop.host} jumps to {settings.first('proxyjump')}")
        for jump in hops_of(settings.first("proxyjump")) if through is None else ():
            following = await self._reach(jump, through=through, hops=hops - 1)
            following.set_tunnel(through)  # it is closed with the one that goes through it
            through = following
        try:
            connection = await self._log_in(hop, settings, through)
        except BaseException:
            if through is not None:
                through.close()
            raise
        if through is not None:
            connection.set_tunnel(through)
        return connection

    async def _log_in(
        self, hop: Hop, settings: HostSettings, through: asyncssh.SSHClientConnection | None
    ) -> asyncssh.SSHClientConnection:
        if hop.host == self.host and "host_key_alias" in self._options:
            alias = self._options["host_key_alias"]
            settings = HostSettings(hop.host, {**settings.values, "hostkeyalias": [alias]})
        patience_s = float(settings.first("connecttimeout") or CONNECT_TIMEOUT_S)
        is_target = hop.host == self.host
        name = self.host if is_target else f"{hop.host}, the jump host before {self.host}"
        files = self._options.get("known_hosts", self._connection_keys.get("known_hosts") if is_target else None)
        host_keys = HostKeys(settings, None if files is None else [files])
        keys, agent = UserKeys(), self._options.get("agent_path", agent_path(settings))
        with tempfile.NamedTemporaryFile(prefix="adapter-proxy-") as words:
            try:
                async with asyncio.timeout(patience_s) as timeout:
                    ask = None if settings.is_on("batchmode") else self._asker(timeout, patience_s)
                    prompts = int(settings.first("numberofpasswordprompts", str(MOST_PASSWORDS)))
                    options = {
                        **connection_options(settings),
                        "tunnel": through,
                        "proxy_command": proxy_command(settings, words.name) if through is None else None,
                        "known_hosts": host_keys.match,
                        "host_key_alias": settings.first("hostkeyalias") or None,
                        "server_host_key_algs": host_keys.algorithms() or "default",
                        "connect_timeout": None,
                        "agent_path": None,  # its keys are among ours
                        **self._asyncssh_options,
                    }
                    if options.get("client_keys", ()) == ():
                        passphrase = (lambda file: ask(f"Passphrase of {file}: ", False)) if ask else None  # noqa: FBT003
                        keys = await user_keys(settings, agent, passphrase)
                        options["client_keys"] = keys.pairs or None
                    return await asyncssh.connect(
                        settings.host, settings.port, config=None,
                        client_factory=lambda: _Client(ask, host_keys, prompts), **options,
                    )  # fmt: skip
            except asyncssh.HostKeyNotVerifiable as error:
                raise self._stop(host_keys.verdict(name, error.reason)) from error
            except asyncssh.DisconnectError as error:
                # sshd ends with a protocol error what tried too many keys of an agent: trying again gets one banned
                if not isinstance(error, asyncssh.PermissionDenied) and "authentication fail" not in error.reason:
                    raise ConnectError(f"cannot reach {name}: {error}{_said(words.name)}") from error
                raise self._stop(
                    f"{name} does not let us in: {error.reason}{keys.about_skipped()}. Try `ssh {hop.host}`; "
                    "no further attempt is made, so that the site does not ban you"
                ) from error
            except (asyncssh.KeyImportError, ValueError) as error:
                raise SettingsError(str(error)) from error
            except (asyncssh.Error, OSError, TimeoutError) as error:
                why = str(error) or "it does not answer"
                raise ConnectError(f"cannot reach {name}: {why}{_said(words.name)}") from error
            finally:
                keys.close()

    def _asker(self, timeout: asyncio.Timeout, patience_s: float) -> Callable[[str, bool], str | None] | None:
        """Return the prompt, such that the time a person takes does not count."""
        prompt, loop = self._prompt, asyncio.get_running_loop()
        if prompt is None:
            return None

        def wait(seconds: float | None) -> None:
            with suppress(RuntimeError):  # it is over
                timeout.reschedule(None if seconds is None else loop.time() + seconds)

        def ask(text: str, seen: bool) -> str | None:  # noqa: FBT001 (as the prompt that was handed in)
            loop.call_soon_threadsafe(wait, None)
            try:
                return prompt(text, seen)
            finally:
                loop.call_soon_threadsafe(wait, patience_s)

        return ask

    def _stop(self, message: str) -> AuthenticationError:
        self._refused = AuthenticationError(message)
        return self._refused


class _Client(asyncssh.SSHClient):
    """Answers what a server asks while we log in."""

    def __init__(
        self, prompt: Callable[[str, bool], str | None] | None, host_keys: HostKeys, most_passwords: int
    ) -> None:
        self._prompt, self._host_keys, self._most_passwords = prompt, host_keys, most_passwords
        self._asked = self._passwords = 0

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Decide about a key that is not known. A changed one gets no password, as with ssh."""
        accepted = self._host_keys.accepts(key)
        if self._host_keys.has_accepted_change:
            self._prompt = None
        return accepted

    def password_auth_requested(self) -> str | None:
        """Ask for the password, three times at most."""
        self._passwords += 1
        return self._ask("Password: ", seen=False) if self._passwords <= self._most_passwords else None

    def kbdint_auth_requested(self) -> str | None:
        """Take part in keyboard-interactive authentication only where somebody can answer."""
        return "" if self._prompt else None

    def kbdint_challenge_received(
        self,
        name: str,
        instructions: str,
        lang: str,
        prompts: Sequence[tuple[str, bool]],
    ) -> list[str] | None:
        """Ask what the server wants to know: a password, a second factor."""
        answers = [self._ask(f"{instructions}{text}", seen=seen) for text, seen in prompts]
        return None if None in answers else [answer or "" for answer in answers]

    def _ask(self, text: str, *, seen: bool) -> str | None:
        self._asked += 1
        return self._prompt(text, seen) if self._prompt and self._asked <= 6 else None


def _said(words: str) -> str:
    """Return what the ProxyCommand said, as the end of a message."""
    lines = Path(words).read_text(errors="replace").splitlines()[-3:]
    return f" (its ProxyCommand says: {' / '.join(lines)})" if lines else ""


async def _converse(process: Any, stdin: bytes, collected: tuple[list[bytes], list[bytes]]) -> None:
    readers = [_drain(process.stdout, collected[0]), _drain(process.stderr, collected[1])]
    reading = asyncio.gather(*readers)
    try:
        with suppress(BrokenPipeError):  # it ended without reading all: its exit code tells
            process.stdin.write(stdin)
            await process.stdin.drain()
            process.stdin.write_eof()
        await reading
        await process.wait_closed()
    finally:
        reading.cancel()


async def _drain(stream: Any, into: list[bytes]) -> None:
    while chunk := await stream.read(1 << 16):
        into.append(chunk)


def _completed(command: str, process: Any, collected: tuple[list[bytes], list[bytes]]) -> CompletedCommand:
    code = process.exit_status if process.exit_status is not None else -1
    out, err = (b"".join(chunks).decode("utf-8", "replace") for chunks in collected)
    return CompletedCommand(command=command, exit_code=code, stdout=out, stderr=err)
