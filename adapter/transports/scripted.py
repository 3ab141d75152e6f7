"""A stand-in for a machine: a function from a command to its answer. Public, for your own tests."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from adapter.core.batch import BatchAnswer, BatchResult, Command
from adapter.core.receipt import probe_answer, receipt_answer
from adapter.errors import OutcomeUnknown
from adapter.results import CompletedCommand
from adapter.transports.base import Transport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapter.transports.base import Download, Upload

Answer = CompletedCommand | str | Exception | None
Handler = Callable[[Command], Answer]
Rule = tuple[str, "Answer | Callable[[str], Answer]"]

HOME = "/home/scripted"


@dataclass
class ScriptedTransport(Transport):
    """Asks *handler* for the answer to each command.

    An answer is a text (standard output, exit code 0), a :class:`CompletedCommand`, an exception to raise, or ``None``
    (no output, exit code 0). In place of a function there may be rules, ``(pattern, answer)``: the first whose pattern
    is found in the command answers, and its answer may also be a function of the command's text.

    ``batches`` holds the commands of each batch; ``exit_files`` the exit files by job directory; ``links`` who runs in
    a directory: ``submit.1 7``, the try and what the job took for its id. Submit commands go through receipts, as on a
    real machine.

    >>> transport = ScriptedTransport([("^submit", "job 7 accepted"), ("^status", "7 DONE")])
    >>> silent = ScriptedTransport(lambda command: None)
    """

    handler: Handler | list[Rule] = field(default_factory=list)
    exit_files: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    batches: list[list[Command]] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)
    downloads: list[Download] = field(default_factory=list)
    _receipts: dict[tuple[str | None, int], CompletedCommand] = field(default_factory=dict)

    async def run_batch(
        self,
        commands: Sequence[Command],
        *,
        timeout_s: float,
        begin_within_s: float | None = None,
        prelude: str = "",
        shell: str = "sh -s",
    ) -> BatchResult:
        """Answer each of *commands*."""
        self.batches.append(list(commands))
        try:
            return BatchResult([BatchAnswer(replace(self._step(each), command=each.text)) for each in commands])
        except OutcomeUnknown as error:
            return BatchResult([BatchAnswer(None) for _ in commands], lost=str(error))

    def commands(self, pattern: str = "") -> list[str]:
        """Return every command so far in which *pattern* is found."""
        return [str(each) for batch in self.batches for each in batch if re.search(pattern, str(each), re.MULTILINE)]

    def _step(self, command: Command) -> CompletedCommand:
        match command.action:
            case "submit" | "receipt":
                return self._receipt(command)
            case "probe":
                return _completed(probe_answer(command.jobs, self.exit_files, self.links))
            case "prepare":
                return _completed(f"{HOME}\ncpu 4\nram 8589934592\n")
        return self._answer(command)

    def _receipt(self, command: Command) -> CompletedCommand:
        job = command.jobs[0]
        key = (job.array.directory, job.array.submit_try) if job.array else (job.directory, job.submit_try)
        if command.action == "submit" and key not in self._receipts:
            self._receipts[key] = self._answer(command)
        return receipt_answer(self._receipts.get(key))

    def _answer(self, command: Command) -> CompletedCommand:
        said = self.handler(command) if callable(self.handler) else self._by_rule(str(command))
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, CompletedCommand) else _completed(said or "")

    def _by_rule(self, text: str) -> Answer:
        assert not callable(self.handler)
        for pattern, answer in self.handler:
            if re.search(pattern, text, re.MULTILINE):
                return answer(text) if callable(answer) else answer
        return None

    async def put(self, uploads: Sequence[Upload], *, scratch: str = "") -> None:
        """Keep *uploads* for a test to look at."""
        self.uploads.extend(uploads)

    async def get(self, downloads: Sequence[Download], *, scratch: str = "") -> list[list[str]]:
        """Keep *downloads* for a test to look at; every pattern matches one file of its own name."""
        self.downloads.extend(downloads)
        return [[f"{download.to}/{download.pattern}"] for download in downloads]


def _completed(stdout: str) -> CompletedCommand:
    return CompletedCommand(command="", exit_code=0, stdout=stdout, stderr="")
