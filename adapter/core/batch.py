"""Many commands in one round trip: each is framed by a nonce, so noise around and between them does no harm.

Pure: :mod:`adapter.transports.base` writes batches with it and reads their answers.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from adapter.core import bounds
from adapter.results import CompletedCommand

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from adapter.core.job import Job


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a batch: the ``text`` that the target's ``sh`` runs, and what it is for.

    ``action``: what a stand-in or a recorder may want to know. ``submit``, ``receipt``, ``probe``
    and ``prepare`` are texts of our own; ``version``, ``monitor``, ``result``, ``find``, ``kill``,
    ``harder``, ``log`` and ``watch`` are the backend's commands; empty for anything else.
    ``inner``: the backend's own submit command inside a text of ours. ``jobs``: those it is about.
    ``library``: the files of ``templates/lib``, without ``.sh``, whose functions the text calls.
    """

    text: str
    action: str = ""
    inner: str = ""
    jobs: tuple[Job, ...] = ()
    library: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.inner or self.text


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """What became of one command.

    ``completed`` is ``None`` where there is no whole answer; ``began``: the command may have run.
    """

    completed: CompletedCommand | None
    began: bool = True


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The answers, one for each command, and what the shell said before the first of them.

    ``lost`` says why, if the batch was cut off before its end was seen.
    """

    answers: list[BatchAnswer]
    noise_out: str = ""
    noise_err: str = ""
    lost: str = ""

    @property
    def completed(self) -> list[CompletedCommand | None]:
        """The answers alone."""
        return [answer.completed for answer in self.answers]

    def edited(self, edit: Callable[[str], str]) -> BatchResult:
        """Return the same with every text from the target changed by *edit*."""
        answers = [replace(each, completed=_edited(each.completed, edit)) for each in self.answers]
        return replace(
            self,
            answers=answers,
            noise_out=edit(self.noise_out),
            noise_err=edit(self.noise_err),
            lost=edit(self.lost),
        )


def _edited(done: CompletedCommand | None, edit: Callable[[str], str]) -> CompletedCommand | None:
    return done and replace(done, stdout=edit(done.stdout), stderr=edit(done.stderr))


def write_batch(texts: Sequence[str], nonce: str, *, begin_within_s: float | None = None) -> str:
    """Return one ``sh`` script that runs *texts* one after the other, each alone in a subshell.

    It is one compound command, so a script cut off on its way runs nothing. A command's syntax
    error, ``exit`` or ``cd`` ends with its own subshell, and none can read the script that follows
    it. A command whose turn comes later than *begin_within_s* is not begun: a scheduler that blocks
    does not hold up a whole batch.
    """
    lines = ["{"]
    if begin_within_s is not None:
        lines.append("began=$(date +%s)")
    for number, text in enumerate(texts):
        mark = f"printf '\\n%s %s\\n' {shlex.quote(nonce)}"
        if begin_within_s is not None and number:
            lines.append(f'[ "$(($(date +%s) - began))" -lt {begin_within_s:.0f} ] || exit 0')
        lines += [
            f"{mark} '{number} start'; {mark} '{number} start' >&2",
            f"( eval {shlex.quote(text)} ) </dev/null",
            f"{mark} \"{number} end $?\"; {mark} '{number} end' >&2",
        ]
    return "\n".join([*lines, "exit 0", "}", ""])


def read_batch(texts: Sequence[str], nonce: str, stdout: str, stderr: str, *, lost: str = "") -> BatchResult | None:
    """Return what the script of :func:`write_batch` printed; ``None`` if it did not even begin.

    *lost*: why the end was not seen, if so; then every command without an answer may have run.
    """
    out, err = _unix(stdout), _unix(stderr)
    first = f"\n{nonce} 0 start\n"
    if first not in out and not lost:
        return None
    answers = []
    for number, text in enumerate(texts):
        began = bool(lost) or f"\n{nonce} {number} start\n" in out
        answers.append(BatchAnswer(_answer(number, text, nonce, out, err), began))
    return BatchResult(answers, out.partition(first)[0], err.partition(first)[0], lost)


def _answer(number: int, text: str, nonce: str, stdout: str, stderr: str) -> CompletedCommand | None:
    mark = re.escape(f"{nonce} {number}")
    out = re.search(rf"\n{mark} start\n(.*?)\n{mark} end ([0-9]{{1,3}})\n", stdout, re.DOTALL)
    err = re.search(rf"\n{mark} start\n(.*?)\n{mark} end\n", stderr, re.DOTALL)
    if out is None:
        return None
    complaint = bounds.storable(err[1]) if err else ""
    return CompletedCommand(command=text, exit_code=int(out[2]), stdout=bounds.storable(out[1]), stderr=complaint)


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n")
