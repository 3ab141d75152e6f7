"""Commands on a far machine through one SSH connection, with asyncssh. Keys, agent, jumps: as ``~/.ssh/config`` says.

A command is repeated by nobody here. What certainly did not happen is a ConnectError, what may have is OutcomeUnknown.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh

from adapter.errors import AuthenticationError, ConnectError
from adapter.transports.far import FarTransport, Lost, Refused
from adapter.transports.ssh_keys import HostKeys, UserKeys, user_keys
from adapter.transports.ssh_options import (
    OTHER_CLIENT,
    Hop,
    agent_path,
    connection_options,
    hops_of,
    proxy_command,
    read_settings,
)
from adapter.transports.ssh_settings import HostSettings, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from adapter.transports.base import Transfer

CONNECT_TIMEOUT_S = 20.0  # for a server that accepts and never answers; ConnectTimeout in ~/.ssh/config wins
ATTEMPT_INTERVAL_S = 2.0  # between two logins: sites ban hasty clients
# The scripts of a batch are much alike: compressed, they are a tenth. A site on a fast network may turn it off.
COMPRESSION = ("zlib@openssh.com", "zlib", "none")
MOST_HOPS = 8  # jump hosts that lead to each other in a circle are a mistake
MOST_PASSWORDS = 3


class SshTransport(FarTransport):
    """Runs commands on the host of a backend's ``connection``.

    ``prompt`` is asked for passwords, passphrases and second factors (a text, and whether the answer may be seen);
    ``None`` means that nobody is there to answer. ``on_transfer`` hears how far files have come. ``options`` go to
    asyncssh as they are, except for ``config`` (``None``: no file is read) and ``known_hosts`` (a file).
    """

    ERRORS = (asyncssh.Error, OSError)

    def __init__(
        self,
        connection: Mapping[str, Any],
        *,
        prompt: Callable[[str, bool], str | None] | None = None,
        on_transfer: Callable[[Transfer], None] | None = None,
        **options: Any,
    ) -> None:
        """Nothing is opened before the first command."""
        super().__init__(connection, on_transfer=on_transfer)
        self._connection_keys = {name: value for name, value in connection.items() if value is not None}
        self._options = options
        self._asyncssh_options: dict[str, Any] = {
            "keepalive_interval": 15,
            "keepalive_count_max": 3,
            **({} if connection.get("compression") is False else {"compression_algs": COMPRESSION}),
            **{name: value for name, value in options.items() if name not in {"config", "known_hosts", "port"}},
        }
        self._prompt = prompt
        self._connection: asyncssh.SSHClientConnection | None = None
        self._opening = asyncio.Lock()
        self._refused: AuthenticationError | None = None
        self._tried_at = -ATTEMPT_INTERVAL_S

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

    async def _open(self, line: str) -> Any:
        connection = await self._connected()
        try:
            return await connection.create_process(line, encoding=None)
        except (asyncssh.Error, OSError) as error:
            # asyncssh says "refused" of a lost connection, too
            if isinstance(error, asyncssh.ChannelOpenError) and not connection.is_closed():
                raise Refused(str(error)) from error
            self._connection = None
            raise Lost(f"the connection to {self.host} was lost: {error}") from error

    async def _exit_code(self, process: Any) -> int:
        with suppress(asyncssh.Error, OSError):
            await process.wait_closed()
        if process.exit_status is None and process.exit_signal is None:
            raise Lost(f"the connection to {self.host} was lost before the command's end")
        return process.exit_status if process.exit_status is not None else -1

    async def _close(self, process: Any) -> None:
        process.close()

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
                    "no further attempt is made, so that the site does not ban you. "
                    f"If that works, {OTHER_CLIENT}"
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
