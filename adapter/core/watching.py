"""A watch: one script that waits until a command tells something, and ends it. What is told is only a hint."""

from __future__ import annotations

import re
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING

from adapter.core import bounds
from adapter.core.batch import Command

if TYPE_CHECKING:
    from adapter.core.specs import WatchSpec

_ENDS = re.compile(r"(?<=.)\W", re.DOTALL)  # where the id of an array may end within that of an element
GATHER_S = 0.2  # what is told right after the first line belongs to it


@dataclass(frozen=True, slots=True)
class WatchResult:
    """What came of one watch: the job ids that it named, and, if the command ended by itself, what it said."""

    job_ids: frozenset[str]
    ended: str | None = None

    def is_about(self, job_id: str) -> bool:
        """Whether *job_id* was named, or the array that it is an element of."""
        return job_id in self.job_ids or any(job_id[: mark.start()] in self.job_ids for mark in _ENDS.finditer(job_id))


WATCH_PRELUDE = "trap : TERM\n"
"""What stands before the batch of a watch: the end of a watch is a TERM to its whole process group."""


def watch_step(command: str, nonce: str, *, most_s: float) -> Command:
    """Return the command that prints the first lines of *command*, if it tells something within *most_s* seconds.

    It has to run in a session of its own: at the end of a watch all that it started is ended.
    """
    return Command(f"watch {quote(command)} {nonce} {most_s:g} {GATHER_S:g}", "watch", library=("watch",))


def read_watch(spec: WatchSpec, nonce: str, stdout: str) -> WatchResult:
    """Return what the command of :func:`watch_step` printed."""
    match = re.search(rf"^{nonce} ended ([0-9]{{1,3}})$", stdout, re.MULTILINE)
    text = stdout[: match.start()] if match else stdout
    words = f"exit code {match[1]}: {text.strip() or 'nothing'}" if match else None
    return WatchResult(job_ids_told(spec, text), words)


def job_ids_told(spec: WatchSpec, text: str) -> frozenset[str]:
    """Return the job ids that *text* names; a line that fits nothing is noise."""
    rows = spec.grammar.read(text)
    named = (bounds.job_id(row["job_id"]) for row in rows.rows) if rows else ()
    return frozenset(job_id for job_id in named if job_id)
