"""A transport that executes nothing: it keeps what would have been run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from adapter.core.batch import answered, commands_in
from adapter.core.receipt import handed_over
from adapter.errors import CompletedCommand

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from adapter.transports.base import Download, Upload


@dataclass
class DryRunTransport:
    """Keeps every command line in ``commands`` (a submit step as the scheduler's own command) and answers nothing."""

    commands: list[str] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)
    downloads: list[Download] = field(default_factory=list)

    async def run(self, command: str, *, stdin: str = "", timeout_s: float) -> CompletedCommand:
        """Keep what *command* would run; the answer is empty and its exit code 0."""
        framed = commands_in(stdin) or [command]
        self.commands.extend(handed_over(each) or each for each in framed)
        empty = [CompletedCommand(command=each, exit_code=0, stdout="", stderr="") for each in framed]
        stdout, stderr = answered(stdin, empty)
        return CompletedCommand(command=command, exit_code=0, stdout=stdout, stderr=stderr)

    async def put(self, uploads: Sequence[Upload], *, scratch: str = "") -> None:
        """Keep *uploads*."""
        self.uploads.extend(uploads)

    async def get(self, downloads: Sequence[Download], *, scratch: str = "") -> list[list[str]]:
        """Keep *downloads*; nothing is brought."""
        self.downloads.extend(downloads)
        return [[] for _ in downloads]

    async def __aenter__(self) -> Self:
        """There is nothing to open."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """There is nothing to close."""
