"""What the tests of the core share: shipped backends without any loader, and small jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from adapter.core.backend import Backend, backend_from, merge
from adapter.core.job import Job
from adapter.core.task import task_from

TEMPLATES = Path(__file__).parents[2] / "templates"


def shipped_document(name: str) -> dict[str, Any]:
    return yaml.safe_load((TEMPLATES / f"{name}.yaml").read_text(encoding="utf-8"))


def shipped(name: str, **over: Any) -> Backend:
    """The shipped backend *name* with *over* laid over it."""
    document = merge(merge(shipped_document("batch"), shipped_document(name)), over)
    return backend_from(document, name=name, lineage=(name, "batch"))


TOY = {
    "name": "toy",
    "workspace": "/toy",
    "submit": {"command": "toy-submit {{ script }}", "job_id": r"^(?P<job_id>\d+)$", "job_id_inside": "$TOY_ID"},
    "monitor": {
        "command": "toy-list {{ job_ids | words }}",
        "row": r"^(?P<job_id>\d+) (?P<state>\w+)$",
        "states": {"queued": ["Q"], "running": ["R"], "succeeded": ["D"], "failed": ["F"], "killed": ["K"]},
    },
    "kill": {"command": "toy-kill {{ job_ids | words }}"},
}


def toy(**over: Any) -> Backend:
    """A small batch scheduler; *over* is laid over its document."""
    document = merge(merge(shipped_document("batch"), TOY), over)
    return backend_from(document, name="toy", lineage=("toy", "batch"))


def job_of(task: dict[str, Any] | None = None, **changes: Any) -> Job:
    """A job of *task* (``true`` if none is given)."""
    return Job(run="r1", index=1, task=task_from(task or {"command": "true"})).but(**changes)
