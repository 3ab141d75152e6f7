"""Events: what happened, in the order in which it was written down."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from adapter.core.state import State

if TYPE_CHECKING:
    from adapter.core.job import Job


class EventKind(StrEnum):
    """What an event is about. The first nine are the states: the job changed to that state."""

    WAITING = "waiting"
    QUEUED = "queued"
    HELD = "held"
    RUNNING = "running"
    SUSPENDED = "suspended"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    KILLED = "killed"
    LOST = "lost"

    REQUEUED = "requeued"  # the scheduler put a job that had run back into its queue
    CLEANED = "cleaned"  # a job's folder on the target was removed
    BACKEND_DOWN = "backend_down"  # the machine could not be asked
    SUBMIT_WAITS = "submit_waits"
    SMALLER_ARRAY = "smaller_array"
    UNREADABLE_SUBMIT = "unreadable_submit"
    FIND_FAILED = "find_failed"
    MONITOR_FAILED = "monitor_failed"
    UNREADABLE_LINE = "unreadable_line"
    UNKNOWN_STATE = "unknown_state"
    WATCH_ENDED = "watch_ended"
    KILL_WAITS = "kill_waits"
    KILL_FAILED = "kill_failed"

    @property
    def is_state(self) -> bool:
        """Whether the event is a change of a job's state."""
        return self in _STATES


_STATES = frozenset(map(str, State))


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened at ``at``, in seconds since the epoch, with ``text`` for a person.

    ``number`` runs through the whole store: a later event has a higher one; ``None`` for an event that is not stored.
    ``run``, ``index`` and ``attempt`` say which job it is about, ``None`` for the whole backend. ``job`` is the job as
    it was then; ``None`` for an event that was read from the store.
    """

    at: float
    kind: EventKind
    text: str
    number: int | None = None
    run: str | None = None
    index: int | None = None
    attempt: int | None = None
    job: Job | None = None


REQUEUED = "the scheduler put it back into the queue after it had run; it begins anew"


def state_event(job: Job, at: float) -> Event:
    """Return the event that *job* has come to its state."""
    return Event(
        at=at,
        kind=EventKind(job.state),
        text=job.verdict,
        run=job.run,
        index=job.index,
        attempt=job.attempt,
        job=job,
    )
