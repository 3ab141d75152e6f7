"""The exit file: what a job's own wrapper (``templates/lib/wrapper.sh``) wrote about its end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapter.core import bounds
from adapter.core.job import Usage
from adapter.core.state import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_MESSAGE_LETTERS = 2000
MOST_STEPS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitReport:
    """What the wrapper wrote. ``signal`` is ``None`` unless the last step ended by one (a shell's code above 128).

    ``reason`` is ``None`` unless the wrapper itself ended the task (its walltime) or knows why it ended (its memory,
    its image); ``message`` is what it says to a person then.
    ``step_codes``: the exit code of each step, in order, up to the last that ended by itself; ``None`` for one that did
    not (only seen where lines are missing). Empty in files of earlier versions.
    ``started_at`` and ``ended_at`` are seconds since the epoch by the clock of the machine that ran it.
    """

    exit_code: int
    signal: int | None = None
    reason: Reason | None = None
    message: str = ""
    job_id: str | None = None
    started_at: float | None = None
    ended_at: float | None = None
    usage: Usage = Usage()
    step_codes: tuple[int | None, ...] = ()


def parse_exit_file(text: str) -> ExitReport | None:
    """Return what *text* reports, ``None`` where it holds no exit code.

    An empty or torn file is not an answer, nor is one with a code that no shell gives, or with two codes.
    """
    pairs = [line.strip().split(" ", 1) for line in bounds.lines(text) if " " in line.strip()]
    entries = dict(reversed(pairs))  # the first of a name counts
    codes = {value for name, value in pairs if name == "exit_code"}
    code = bounds.exit_code(codes.pop()) if len(codes) == 1 else None
    if code is None:
        return None
    started, ended = bounds.number(entries.get("started")), bounds.number(entries.get("ended"))
    return ExitReport(
        exit_code=code,
        signal=signal_in(code),
        reason=Reason(entries["reason"]) if entries.get("reason") in set(Reason) else None,
        message=bounds.storable(entries.get("message", "")[:MOST_MESSAGE_LETTERS]),
        job_id=bounds.job_id(entries.get("job_id")),
        started_at=started,
        ended_at=ended,
        usage=Usage(
            wall_s=None if started is None or ended is None else max(0.0, ended - started),
            user_s=_shell_time(entries.get("user")),
            system_s=_shell_time(entries.get("system")),
            peak_ram_bytes=bounds.whole(entries.get("peak_ram_bytes")),
        ),
        step_codes=_step_codes(value for name, value in pairs if name == "step"),
    )


def _step_codes(lines: Iterable[str]) -> tuple[int | None, ...]:
    codes: dict[int, int] = {}
    for line in lines:
        number, _, text = line.partition(" ")
        step, code = bounds.whole(number), bounds.exit_code(text)
        if step is not None and 1 <= step <= MOST_STEPS and code is not None:
            codes.setdefault(step, code)
    return tuple(codes.get(step) for step in range(1, max(codes, default=0) + 1))


def signal_in(exit_code: int) -> int | None:
    """Return the signal in a shell's *exit_code*: POSIX shells report death by signal n as 128+n; 64 is the last.

    >>> signal_in(137), signal_in(3), signal_in(255)
    (9, None, None)
    """
    return exit_code - 128 if 128 < exit_code <= 192 else None


def _shell_time(text: str | None) -> float | None:
    """Return the seconds in ``1m2.50s``, as the ``times`` builtin prints them (POSIX, "times")."""
    match = re.fullmatch(r"([0-9]{1,12})m([0-9]{1,12}(?:[.,][0-9]{1,12})?)s", text or "")
    return int(match[1]) * 60 + float(match[2].replace(",", ".")) if match else None
