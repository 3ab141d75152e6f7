"""What errors carry as evidence: a problem in a file, and a command that ran to its end."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake in a file.

    ``file`` is as the user wrote it; ``line`` and ``column`` count from 1. ``file`` is ``None`` for a document that
    came from memory, ``line`` is ``None`` where the file could not be read at all. ``path`` is the dotted key path.
    """

    message: str
    file: str | None = None
    line: int | None = None
    column: int | None = None
    path: str = ""

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        return f"{where}: {self.message}" if where else self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedCommand:
    """A command that ran to its end: what it was, its exit code and what it printed.

    ``exit_code`` is negative for death by that signal. Bytes that are not UTF-8 appear as U+FFFD.
    """

    command: str
    exit_code: int
    stdout: str
    stderr: str

    @property
    def words(self) -> str:
        """What it said, short enough for a message: standard error first, standard output if that is empty."""
        lines = (self.stderr.strip() or self.stdout.strip())[:10_000].splitlines()[:6]
        return " / ".join(line.strip()[:500] for line in lines)
