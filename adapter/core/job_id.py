"""Job ids that say which cluster, region or server knows them: ``123;cluster``. Commands take the two parts apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adapter.core.specs import SubmitSpec

_BETWEEN = ";"


def whole_id(row: Mapping[str, str | None]) -> str:
    """Return the id that a *row* of an answer names, with its qualifier behind it if it names one.

    >>> whole_id({"job_id": "123", "qualifier": "east"}), whole_id({"job_id": "123", "qualifier": None})
    ('123;east', '123')
    """
    job_id, qualifier = ((row.get(name) or "").strip() for name in ("job_id", "qualifier"))
    return f"{job_id}{_BETWEEN}{qualifier}" if qualifier else job_id


def parts(submit: SubmitSpec, job_id: str | None) -> tuple[str, str | None]:
    """Return *job_id* as the commands take it, and its qualifier; ``None`` where its submit answered none."""
    if not submit.has_qualifier:
        return job_id or "", None
    bare, _, qualifier = (job_id or "").partition(_BETWEEN)
    return bare, qualifier or None


def id_values(submit: SubmitSpec, job_ids: Sequence[str | None]) -> dict[str, Any]:
    """Return what a command may use about *job_ids*, all of which have the same qualifier."""
    both = [parts(submit, job_id) for job_id in job_ids]
    return {"job_ids": [bare for bare, _ in both], "job_id": both[0][0], "qualifier": both[0][1]}
