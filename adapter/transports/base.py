"""One door to the machine: what a transport is, and the two things that travel through it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from adapter.errors import CompletedCommand


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


@runtime_checkable
class Transport(Protocol):
    """Carries command lines and files to one target. Used as ``async with transport:``.

    A transport never repeats a command of its own accord.
    """

    async def run(self, command: str, *, stdin: str = "", timeout_s: float) -> CompletedCommand:
        """Run *command* with the target's ``sh`` and return its answer; a non-zero exit is an answer.

        Raises:
            ConnectError: nothing happened on the target.
            AuthenticationError: the target does not accept us.
            OutcomeUnknown: it was sent and the answer was lost, or it took longer than *timeout_s* and was ended.
        """
        ...

    async def put(self, uploads: Sequence[Upload], *, scratch: str = "") -> None:
        """Put files and folders on the target; each appears under its final name only when it is whole.

        *scratch* is a folder on the target for what a transport keeps there between calls.

        Raises:
            TransportError: one of them could not be put; the message names it.
        """
        ...

    async def get(self, downloads: Sequence[Download], *, scratch: str = "") -> list[list[str]]:
        """Bring files from the target; return, for each download, the local paths that were written.

        *scratch* is as for :meth:`put`.

        Raises:
            TransportError: one of them could not be brought; the message names it.
        """
        ...

    async def __aenter__(self) -> Self:
        """Open what has to be opened."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it, and end every process it started that is still running."""
        ...
