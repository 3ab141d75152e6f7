"""Jobs as plain documents, and back."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from adapter.core.job import Element, Job, Usage
from adapter.core.state import Reason, State
from adapter.core.task import Task, task_document, task_from

if TYPE_CHECKING:
    from collections.abc import Mapping

_TUPLES = ("after_succeeded", "after_ended", "files_of", "step_codes")


def job_record(job: Job, *, with_task: bool = True) -> dict[str, Any]:
    """Return *job* as a plain document; :func:`job_from_record` reads it back.

    *with_task*: whether its task is in it.
    """
    own = {item.name for item in fields(job)} - {"task", "usage", "array"}
    record = {name: getattr(job, name) for name in own}
    record["usage"] = asdict(job.usage)
    record["array"] = asdict(job.array) if job.array else None
    if with_task:
        record["task"] = task_document(job.task)
    return record


def job_from_record(record: Mapping[str, Any], task: Task | None = None) -> Job:
    """Return the job in *record*; *task* is its task where the record has none."""
    reason = record["reason"]
    own = record.get("task")
    return Job(
        **{
            **record,
            **{name: tuple(record.get(name, ())) for name in _TUPLES},
            "task": task if own is None else task_from(own),
            "usage": Usage(**record["usage"]),
            "state": State(record["state"]),
            "reason": Reason(reason) if reason else None,
            "array": Element(**record["array"]) if record.get("array") else None,
        }
    )
