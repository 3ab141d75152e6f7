"""One door to the machine: what a transport is, and what travels through it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapter.core.batch import BatchResult, Command, read_batch, write_batch
from adapter.errors import ConnectError, OutcomeUnknown
from adapter.results import CompletedCommand

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One thing to put on the target at ``target``: the file or folder ``path`` here, or literal ``content``.

    ``link``: a symbolic link to ``path`` instead of a copy, for targets that share this machine's files.
    """

    target: str
    path: str | None = None
    content: bytes | None = None
    link: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """Files to bring from the target: those matching the glob ``pattern`` below ``folder``, into ``to`` here.

    The paths below ``folder`` are kept below ``to``. ``exclude``: globs of paths below ``folder``, or of names, that
    are left out.
    """

    folder: str
    pattern: str
    to: str
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Transfer:
    """How far files have come: ``what`` happens to them (``sending``, ``bringing``), ``done`` and ``size`` in bytes."""

    what: str
    done: int
    size: int


class Transport:
    """Carries batches of commands, and files, to one target. Used as ``async with transport:``.

    A transport to a real machine implements :meth:`run`, :meth:`put` and :meth:`get`; one that stands in for a
    machine implements :meth:`run_batch`. A transport never repeats a command of its own accord.
    """

    async def run_batch(
        self,
        commands: Sequence[Command],
        *,
        timeout_s: float,
        begin_within_s: float | None = None,
        prelude: str = "",
        shell: str = "sh -s",
    ) -> BatchResult:
        """Run *commands* one after the other in one round trip, each alone in a subshell; return all answers.

        A non-zero exit is an answer. *prelude* is shell text that all of them see. A command whose turn comes later
        than *begin_within_s* is not begun. *shell* reads the batch from its standard input.

        Raises:
            ConnectError: nothing happened on the target.
            AuthenticationError: the target does not accept us.
        """
        nonce, texts, lost = f"adapter-{secrets.token_hex(8)}", [each.text for each in commands], ""
        script = prelude + write_batch(texts, nonce, begin_within_s=begin_within_s)
        try:
            completed = await self.run(shell, stdin=script, timeout_s=timeout_s)
        except OutcomeUnknown as error:
            completed = error.partial or CompletedCommand(command=shell, exit_code=-1, stdout="", stderr="")
            lost = str(error)
        result = read_batch(texts, nonce, completed.stdout, completed.stderr, lost=lost)
        if result is None:
            raise ConnectError(f"the target's shell ran nothing (exit code {completed.exit_code}): {completed.words}")
        return result

    async def run(self, command: str, *, stdin: str = "", timeout_s: float) -> CompletedCommand:
        """Run *command* with the target's ``sh``: what :meth:`run_batch` stands on. Nothing else calls it.

        Raises:
            ConnectError: nothing happened on the target.
            AuthenticationError: the target does not accept us.
            OutcomeUnknown: it was sent and the answer was lost, or it took longer than *timeout_s* and was ended.
        """
        raise NotImplementedError

    async def put(self, uploads: Sequence[Upload], *, scratch: str = "") -> None:
        """Put files and folders on the target; each appears under its final name only when it is whole.

        *scratch* is a folder on the target for what a transport keeps there between calls.

        Raises:
            TransportError: one of them could not be put; the message names it.
        """
        raise NotImplementedError

    async def get(self, downloads: Sequence[Download], *, scratch: str = "") -> list[list[str]]:
        """Bring files from the target; return, for each download, the local paths that were written.

        *scratch* is as for :meth:`put`.

        Raises:
            TransportError: one of them could not be brought; the message names it.
        """
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        """Open what has to be opened."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it, and end every process it started that is still running."""
