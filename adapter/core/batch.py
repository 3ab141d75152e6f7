"""Many commands in one ``run``: each is framed by a nonce, so that noise around and between them does no harm."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from adapter.core import bounds
from adapter.errors import CompletedCommand

if TYPE_CHECKING:
    from collections.abc import Sequence


def frame(commands: Sequence[str], nonce: str, *, begin_within_s: float | None = None) -> str:
    """Return one ``sh`` script that runs *commands* one after the other, each alone in a subshell.

    It is one compound command, so a script cut off on its way runs nothing. A command's syntax error, ``exit``
    or ``cd`` ends with its own subshell, and none can read the script that follows it. A command whose turn comes
    later than *begin_within_s* is not begun: a scheduler that blocks does not hold up a whole batch.
    """
    lines = ["{"]
    if begin_within_s is not None:
        lines.append("began=$(date +%s)")
    for number, command in enumerate(commands):
        mark = f"printf '\\n%s %s\\n' {shlex.quote(nonce)}"
        if begin_within_s is not None and number:
            lines.append(f'[ "$(($(date +%s) - began))" -lt {begin_within_s:.0f} ] || exit 0')
        lines += [
            f"{mark} '{number} start'; {mark} '{number} start' >&2",
            f"( eval {shlex.quote(command)} ) </dev/null",
            f"{mark} \"{number} end $?\"; {mark} '{number} end' >&2",
        ]
    return "\n".join([*lines, "exit 0", "}", ""])


def commands_in(script: str) -> list[str]:
    """Return the commands that :func:`frame` put into *script*: what a stand-in for a machine answers one by one."""
    return [
        shlex.split(quoted)[0]
        for quoted in re.findall(r"^\( eval (.*?) \) </dev/null$", script, re.DOTALL | re.MULTILINE)
    ]


def answered(script: str, answers: Sequence[CompletedCommand]) -> tuple[str, str]:
    """Return the standard output and error that a machine would print for *script*, given each command's answer."""
    nonce = re.search(r"^printf '\\n%s %s\\n' (\S+) '0 start'", script, re.MULTILINE)
    name = nonce[1] if nonce else ""
    out = "".join(f"\n{name} {n} start\n{a.stdout}\n{name} {n} end {a.exit_code}\n" for n, a in enumerate(answers))
    err = "".join(f"\n{name} {n} start\n{a.stderr}\n{name} {n} end\n" for n, a in enumerate(answers))
    return out, err


def unframe(commands: Sequence[str], nonce: str, stdout: str, stderr: str) -> list[CompletedCommand | None]:
    """Return each command's answer from what :func:`frame`'s script printed; ``None`` where the answer is not whole.

    A ``None`` for a command whose start was seen means that it may have happened.
    """
    return [_answer(number, command, nonce, stdout, stderr) for number, command in enumerate(commands)]


def began(number: int, nonce: str, stdout: str) -> bool:
    """Whether the command *number* was reached."""
    return f"\n{nonce} {number} start\n" in _unix(stdout)


def _answer(number: int, command: str, nonce: str, stdout: str, stderr: str) -> CompletedCommand | None:
    mark = re.escape(f"{nonce} {number}")
    out = re.search(rf"\n{mark} start\n(.*?)\n{mark} end ([0-9]{{1,3}})\n", _unix(stdout), re.DOTALL)
    err = re.search(rf"\n{mark} start\n(.*?)\n{mark} end\n", _unix(stderr), re.DOTALL)
    if out is None:
        return None
    said, complaint = bounds.storable(out[1]), bounds.storable(err[1]) if err else ""
    return CompletedCommand(command=command, exit_code=int(out[2]), stdout=said, stderr=complaint)


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n")
