"""The words for where a job stands (:class:`State`) and why (:class:`Reason`)."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a job stands. ``UNKNOWN`` is for an answer that we cannot read; no job is ever stored as unknown."""

    WAITING = "waiting"  # in our store, not yet handed to the scheduler
    QUEUED = "queued"
    HELD = "held"
    RUNNING = "running"
    SUSPENDED = "suspended"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    KILLED = "killed"
    LOST = "lost"
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        """Whether no later state can follow."""
        return self in _FINAL

    @property
    def has_started(self) -> bool:
        """Whether the task's own commands may have begun."""
        return self in _STARTED


_FINAL = frozenset({State.SUCCEEDED, State.FAILED, State.KILLED, State.LOST})
_STARTED = frozenset({State.RUNNING, State.SUSPENDED})


class Reason(StrEnum):
    """Why a job stands where it stands. A backend file's ``states`` may use these words after a slash."""

    EXIT_CODE = "exit_code"
    SIGNAL = "signal"
    OUT_OF_MEMORY = "out_of_memory"
    TIME_LIMIT = "time_limit"
    PREEMPTED = "preempted"
    NODE_FAILURE = "node_failure"
    DEPENDENCY = "dependency"
    LAUNCH_FAILURE = "launch_failure"
    SYSTEM = "system"
    SUBMIT_REFUSED = "submit_refused"
    SUBMIT_UNKNOWN = "submit_unknown"
    WORKSPACE = "workspace"
    IMAGE = "image"
    KILLED_BY_USER = "killed_by_user"
    KILLED_BY_OTHER = "killed_by_other"
    VANISHED = "vanished"
    REQUEUED = "requeued"
