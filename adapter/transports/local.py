"""Commands on this machine, through the ``sh`` library: each ``run`` is one ``sh`` in a session of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import sh

from adapter.environment import user_environment
from adapter.errors import ConnectError, OutcomeUnknown
from adapter.results import CompletedCommand
from adapter.transports.base import Transport
from adapter.transports.files import get_here, put_here, refuse_special

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Any, Self

    from adapter.transports.base import Download, Upload


class LocalTransport(Transport):
    """Runs commands on this machine. What a command leaves running in the background goes on after us."""

    def __init__(self, *, environment: dict[str, str] | None = None) -> None:
        """Take the *environment* of the commands; ``None`` is the one that the user had."""
        self._environment = environment
        self._running: dict[int, Any] = {}

    async def run(self, command: str, *, stdin: str = "", timeout_s: float) -> CompletedCommand:
        """Run *command* with ``sh``; see :meth:`adapter.transports.base.Transport.run`."""
        environment = user_environment() if self._environment is None else self._environment
        try:
            process = sh.Command("/bin/sh")(
                "-c", command, _in=stdin or None, _env=environment, _bg=True, _bg_exc=False, _new_session=True,
                _tty_out=False, _return_cmd=True, _decode_errors="replace", _no_pipe=True,
            )  # fmt: skip
        except OSError as error:
            raise ConnectError(f"cannot start /bin/sh: {error}") from error
        self._running[process.pid] = process
        ended = asyncio.get_running_loop().create_future()
        threading.Thread(target=_wait, args=(process, ended), daemon=True).start()
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(ended)
        except (TimeoutError, asyncio.CancelledError) as error:
            _end_group(process)
            await ended
            if isinstance(error, asyncio.CancelledError):
                raise
            raise OutcomeUnknown(
                f"a command took longer than {timeout_s:g} s and was ended", partial=_completed(command, process)
            ) from error
        finally:
            self._running.pop(process.pid, None)
        return _completed(command, process)

    async def put(self, uploads: Sequence[Upload], *, scratch: str = "") -> None:
        """Copy files on this machine; see :meth:`adapter.transports.base.Transport.put`."""
        await asyncio.to_thread(_put_all, uploads)

    async def get(self, downloads: Sequence[Download], *, scratch: str = "") -> list[list[str]]:
        """Copy files on this machine; see :meth:`adapter.transports.base.Transport.get`."""
        return await asyncio.to_thread(lambda: [get_here(download) for download in downloads])

    async def __aenter__(self) -> Self:
        """There is nothing to open."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the commands that still run."""
        for process in list(self._running.values()):
            _end_group(process)


def _wait(process: Any, ended: asyncio.Future[None]) -> None:
    with suppress(sh.ErrorReturnCode):
        process.wait()
    with suppress(RuntimeError):  # the loop may be closed: nobody waits any more
        ended.get_loop().call_soon_threadsafe(_set, ended)


def _set(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)


def _put_all(uploads: Sequence[Upload]) -> None:
    refuse_special(uploads)
    for upload in uploads:
        put_here(upload)


def _end_group(process: Any) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _completed(command: str, process: Any) -> CompletedCommand:
    return CompletedCommand(
        command=command,
        exit_code=process.exit_code,
        stdout=process.stdout.decode("utf-8", "replace"),
        stderr=process.stderr.decode("utf-8", "replace"),
    )
