"""Commands and files on a far machine, whichever client carries them: one connection, many channels."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager, suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

from adapter.errors import ConnectError, OutcomeUnknown, TransportError
from adapter.results import CompletedCommand
from adapter.transports.channels import Channels
from adapter.transports.ssh_files import Link, put_files
from adapter.transports.ssh_get import get_files

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from adapter.transports.base import Download, Transfer, Upload

    Receiver = Callable[[bytes], None]

CHANNEL_WAITS_S = (0.1, 0.3, 1.0, 3.0)  # a server counts a channel for a moment after its end
MOST_CHANNELS = 6  # sshd allows ten sessions a connection (MaxSessions); some are for others
# A login shell loads what a site's profile sets up (modules, PATH); sh alone runs everywhere,
# also below csh and fish.
LOGIN_SHELL = """sh -c 'command -v bash >/dev/null && exec bash -lc "exec sh -s"; exec sh -lc "exec sh -s"'"""
# The script is the first line, and the rest is for its commands: `read` takes no byte too many,
# which `sh -s` does in some shells.
STREAM_SHELL = """sh -c 'IFS= read -r adapter_step; eval "$adapter_step"'"""


class Refused(Exception):
    """The server opens no further channel; nothing was begun."""


class Lost(Exception):
    """The connection was lost."""


class FarTransport(Link):
    """What both SSH clients have in common; a client implements the three methods at the end.

    ``on_transfer`` hears how far files have come. ``ERRORS`` is what a channel whose connection
    was lost raises.
    """

    ERRORS: ClassVar[tuple[type[Exception], ...]] = (OSError,)

    def __init__(self, connection: Mapping[str, Any], *, on_transfer: Callable[[Transfer], None] | None) -> None:
        """Nothing is opened before the first command."""
        self.host: str = connection["host"]
        self.on_transfer = on_transfer
        self.logins = 0
        self.channels_opened = 0
        self._login_shell = bool(connection.get("login_shell"))
        self._channels = Channels(int(connection.get("max_channels") or MOST_CHANNELS))

    async def run(self, command: str, *, stdin: str = "", timeout_s: float) -> CompletedCommand:
        """Run *command* on the host; see :meth:`adapter.transports.base.Transport.run`."""
        line = LOGIN_SHELL if self._login_shell and command == "sh -s" else command
        out, err = bytearray(), bytearray()

        def completed(code: int = -1) -> CompletedCommand:
            texts = (each.decode("utf-8", "replace") for each in (out, err))
            return CompletedCommand(command=command, exit_code=code, stdout=next(texts), stderr=next(texts))

        try:
            async with self._process(line, harmless=bool(stdin)) as process:
                async with asyncio.timeout(timeout_s):
                    await _converse(process, [stdin.encode()], out.extend, err.extend)
                    return completed(await self._exit_code(process))
        except TimeoutError as error:
            late = f"a command took longer than {timeout_s:g} s on {self.host}"
            raise OutcomeUnknown(late, partial=completed()) from error
        except Lost as error:
            raise OutcomeUnknown(str(error), partial=completed()) from error

    async def stream(
        self, script: str, *, send: Iterable[bytes] = (), receive: Receiver | None = None
    ) -> CompletedCommand:
        """Run *script*; see :meth:`adapter.transports.ssh_files.Link.stream`."""
        mark, err = b"\nadapter-" + secrets.token_hex(8).encode() + b"\n", bytearray()
        begin = f"printf '\\n%s\\n' {mark.decode().strip()}"
        newline = r"adapter_nl=$(printf '\nx'); adapter_nl=${adapter_nl%x}"
        words_of_one_line = script.replace("\n", "'\"$adapter_nl\"'")
        line = f"{newline}; {begin}; {begin} >&2; {words_of_one_line}\n"
        out = _AfterMark(mark, receive or (lambda _: None))
        try:
            async with self._process(STREAM_SHELL, harmless=True) as process:
                await _converse(process, chain([line.encode()], send), out, err.extend)
                code = await self._exit_code(process)
        except Lost as error:
            raise ConnectError(f"a transfer was interrupted: {error}") from error
        words = err.partition(mark)[2] or err
        return CompletedCommand(command=script, exit_code=code, stdout="", stderr=words.decode("utf-8", "replace"))

    async def put(self, uploads: Sequence[Upload], *, scratch: str = "") -> None:
        """Put files on the host; see :meth:`adapter.transports.base.Transport.put`."""
        await put_files(self, uploads, scratch)

    async def get(self, downloads: Sequence[Download], *, scratch: str = "") -> list[list[str]]:
        """Bring files from the host; see :meth:`adapter.transports.base.Transport.get`."""
        return await get_files(self, downloads, scratch)

    @asynccontextmanager
    async def _process(self, line: str, *, harmless: bool) -> AsyncIterator[Any]:
        """Open a channel that runs *line*, and close it at the end.

        *harmless*: a shell that waits for its script does nothing before the script is sent.
        """
        async with self._channels.one():
            process = await self._opened(line, harmless=harmless)
            try:
                yield process
            except TimeoutError:
                raise
            except self.ERRORS as error:
                raise Lost(f"the connection to {self.host} was lost: {error}") from error
            finally:
                await self._close(process)

    async def _opened(self, line: str, *, harmless: bool) -> Any:
        for wait_s in (*CHANNEL_WAITS_S, None):
            try:
                process = await self._open(line)
            except Lost as error:
                lost: type[TransportError] = ConnectError if harmless else OutcomeUnknown
                raise lost(str(error)) from error
            except Refused as error:
                if wait_s is None:
                    raise ConnectError(f"{self.host} refuses another channel: {error}") from error
                await self._channels.fewer()  # nothing was begun: opening it again repeats nothing
                await asyncio.sleep(wait_s)
            else:
                self.channels_opened += 1
                return process
        raise AssertionError("unreachable")

    # -- the client

    async def _open(self, line: str) -> Any:
        """Open a channel, after a login if there is no connection; ``stdin``, ``stdout``, ``stderr`` of it are used.

        Raises:
            Refused: the server opens no further channel.
            Lost: the connection is lost.
        """
        raise NotImplementedError

    async def _exit_code(self, process: Any) -> int:
        """Return the exit code of *process*, which has closed its output.

        Raises:
            Lost: it is not known, because the connection was lost.
        """
        raise NotImplementedError

    async def _close(self, process: Any) -> None:
        """Close the channel, whatever *process* does."""
        raise NotImplementedError


class _AfterMark:
    """Hands on what follows a mark: what start-up files print comes before it."""

    def __init__(self, mark: bytes, receive: Receiver) -> None:
        self._mark, self._receive, self._before = mark, receive, bytearray()
        self._is_after = False

    def __call__(self, block: bytes) -> None:
        if self._is_after:
            return self._receive(block)
        self._before += block
        _, mark, rest = self._before.partition(self._mark)
        self._is_after = bool(mark)
        if rest:
            self._receive(bytes(rest))
        return None


async def _converse(process: Any, send: Iterable[bytes], out: Receiver, err: Receiver) -> None:
    reading = asyncio.gather(_drain(process.stdout, out), _drain(process.stderr, err))
    try:
        with suppress(ConnectionError):  # it ended without reading all: its exit code tells
            for block in send:
                process.stdin.write(block)
                await process.stdin.drain()
            process.stdin.write_eof()
        await reading
    finally:
        reading.cancel()


async def _drain(stream: Any, into: Receiver) -> None:
    while block := await stream.read(1 << 18):
        into(block)
