"""A stand-in for a machine: answers by rules, and keeps what was asked. Public, for your own tests."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from adapter.core.batch import answered, commands_in
from adapter.core.receipt import handed_over, step_kind
from adapter.errors import CompletedCommand

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from adapter.transports.base import Download, Upload

    Answer = CompletedCommand | str | Exception | Callable[[str], "CompletedCommand | str"]

HOME = "/home/scripted"


@dataclass
class ScriptedTransport:
    """Answers each command by the first rule whose pattern is found in it.

    An answer is a text (standard output, exit code 0), a :class:`CompletedCommand`, an exception to raise, or a
    function of the command that gives a text or a CompletedCommand. A command without a rule prints nothing and exits
    with 0. ``runs`` holds the commands of each ``run``, one list a call; ``exit_files`` the exit files by job
    directory; ``links`` who runs in a directory: ``submit.1 7``, the try and what the job took for its id. Submit
    commands go through the same receipts as on a real machine.

    >>> transport = ScriptedTransport([("^submit", "job 7 accepted"), ("^status", "7 DONE")])
    """

    rules: list[tuple[str, Answer]] = field(default_factory=list)
    exit_files: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    runs: list[list[str]] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)
    downloads: list[Download] = field(default_factory=list)
    _receipts: dict[tuple[str, str], CompletedCommand] = field(default_factory=dict)

    async def run(self, command: str, *, stdin: str = "", timeout_s: float) -> CompletedCommand:
        """Answer the framed commands in *stdin*, or *command* itself where there is no frame."""
        framed = commands_in(stdin)
        self.runs.append([handed_over(each) or each for each in framed or [command]])
        if not framed:
            return self._answer(command)
        stdout, stderr = answered(stdin, [self._step(each) for each in framed])
        return CompletedCommand(command=command, exit_code=0, stdout=stdout, stderr=stderr)

    def commands(self, pattern: str = "") -> list[str]:
        """Return every command so far in which *pattern* is found."""
        return [command for run in self.runs for command in run if re.search(pattern, command, re.MULTILINE)]

    def _step(self, command: str) -> CompletedCommand:
        kind, where = step_kind(command)
        if kind in {"submit", "receipt"}:
            return self._receipt(command, (where[0], where[1]), may_submit=kind == "submit")
        if kind == "probe":
            return CompletedCommand(command=command, exit_code=0, stdout=self._probe(command), stderr="")
        if command.startswith("# prepare"):
            return CompletedCommand(command=command, exit_code=0, stdout=f"{HOME}\ncpu 4\nram 8589934592\n", stderr="")
        return self._answer(command)

    def _receipt(self, command: str, key: tuple[str, str], *, may_submit: bool) -> CompletedCommand:
        if key not in self._receipts:
            if not may_submit:
                return CompletedCommand(command=command, exit_code=77, stdout="", stderr="")
            self._receipts[key] = self._answer(handed_over(command))
        own = self._receipts[key]
        return CompletedCommand(
            command=command, exit_code=0, stdout=f"{own.stdout}\nreceipt {own.exit_code}\n", stderr=own.stderr
        )

    def _probe(self, command: str) -> str:
        asked = re.findall(r"^if \[ -(?:f (.+)/exit|h (.+)/job_id) \]; then .*?@\D*(\d+)", command, re.MULTILINE)
        said = []
        for exit_folder, link_folder, number in asked:
            texts, before = (self.exit_files, "=") if exit_folder else (self.links, "by ")
            (directory,) = shlex.split(exit_folder or link_folder)
            lines = texts[directory].split("\n") if directory in texts else []
            said += [f"@{number}\n", *(f"{before}{line}\n" for line in lines)] if lines else []
        return "".join(said)

    def _answer(self, command: str) -> CompletedCommand:
        for pattern, answer in self.rules:
            if re.search(pattern, command, re.MULTILINE):
                said = answer(command) if callable(answer) else answer
                if isinstance(said, Exception):
                    raise said
                if isinstance(said, str):
                    return CompletedCommand(command=command, exit_code=0, stdout=said, stderr="")
                return said
        return CompletedCommand(command=command, exit_code=0, stdout="", stderr="")

    async def put(self, uploads: Sequence[Upload], *, scratch: str = "") -> None:
        """Keep *uploads* for a test to look at."""
        self.uploads.extend(uploads)

    async def get(self, downloads: Sequence[Download], *, scratch: str = "") -> list[list[str]]:
        """Keep *downloads* for a test to look at; every pattern matches one file of its own name."""
        self.downloads.extend(downloads)
        return [[f"{download.to}/{download.pattern}"] for download in downloads]

    async def __aenter__(self) -> Self:
        """There is nothing to open."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """There is nothing to close."""
