"""Jobs and runs as text for people and as data for programs."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from adapter.core.state import State
from adapter.core.units import format_bytes, format_seconds
from adapter.execution.job_table import is_done

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from adapter.core.job import Job
    from adapter.execution.journal import RunRecord

_ORDER = (
    State.SUCCEEDED, State.RUNNING, State.SUSPENDED, State.QUEUED, State.HELD, State.WAITING,
    State.FAILED, State.KILLED, State.LOST,
)  # fmt: skip


def printable(text: str) -> str:
    """Return *text* without control characters, which could do things to a terminal; lines and tabs stay."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in {"Cc", "Cf", "Cs"} and c not in "\n\t" else c
        for c in text
    )


def counts(jobs: Iterable[Job]) -> dict[str, int]:
    """Return how many jobs are in each state, in the order of a good life; states without jobs are left out."""
    seen = Counter(job.state for job in jobs)
    return {str(state): seen[state] for state in _ORDER if seen[state]}


def counts_text(jobs: Iterable[Job]) -> str:
    """Return ``3 succeeded, 1 running``."""
    return ", ".join(f"{count} {state}" for state, count in counts(jobs).items())


def elapsed_s(jobs: Sequence[Job], now: float) -> float:
    """Return how long *jobs* have taken together so far, from the first one's creation on."""
    if not jobs:
        return 0.0
    began = min((job.created_at for job in jobs if job.created_at is not None), default=now)
    ends = [job.ended_at for job in jobs]
    return (max(end for end in ends if end is not None) if all(end is not None for end in ends) else now) - began


def job_title(job: Job) -> str:
    """Return its key and its task's name."""
    return f"{job.key} ({printable(job.task.name)})"


def verdict_text(job: Job) -> str:
    """Return how it stands, the message where there is one, and what is wrong with its files."""
    said = "\n".join((job.message, job.collect_problem))
    message = " / ".join(line for line in printable(said).splitlines() if line.strip())
    return f"{job.verdict}: {message}" if message else job.verdict


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return *rows* in columns that line up; the first row is the heading."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def job_rows(jobs: Iterable[Job], now: float) -> list[list[str]]:
    """Return a table of *jobs*."""
    rows = [["JOB", "NAME", "STATE", "TIME", "PEAK RAM", "JOB ID"]]
    for job in jobs:
        why = f": {shortened(printable(job.wait_reason))}" if job.wait_reason else ""
        cells = [job.key, printable(job.task.name), f"{job.verdict}{why}", format_seconds(run_time_s(job, now))]
        rows.append([*cells, format_bytes(job.usage.peak_ram_bytes), job.job_id or "-"])
    return rows


def shortened(text: str, most: int = 60) -> str:
    """Return *text* in one line of at most *most* letters."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def run_time_s(job: Job, now: float) -> float | None:
    """Return how long it has run, ``None`` where it has not, or nobody knows."""
    if job.usage.wall_s is not None:
        return job.usage.wall_s
    return None if job.started_at is None else (job.ended_at or now) - job.started_at


def run_rows(runs: Iterable[tuple[RunRecord, Sequence[Job]]], now: float) -> list[list[str]]:
    """Return a table of *runs*."""
    rows = [["RUN", "NAME", "ON", "BEGAN", "JOBS"]]
    for record, jobs in runs:
        began = f"{format_seconds(now - record.created_at)} ago"
        rows.append([record.id, printable(record.name), record.backend, began, counts_text(jobs)])
    return rows


def run_data(record: RunRecord, jobs: Sequence[Job], *, with_jobs: bool = True, note: str = "") -> dict[str, Any]:
    """Return a run as plain data; its times are ISO 8601 in UTC. *note*: what a person has to do about it."""
    data = {
        "run": record.id,
        "name": record.name,
        "backend": record.backend,
        "created_at": _time(record.created_at),
        "done": all(is_done(job) for job in jobs),
        "counts": counts(jobs),
        **({"note": note} if note else {}),
    }
    return {**data, "jobs": [job_data(job) for job in jobs]} if with_jobs else data


def job_data(job: Job) -> dict[str, Any]:
    """Return a job as plain data. Of its environment only the names: values may be secrets."""
    resources = job.task.resources
    return {
        "job": job.key,
        "run": job.run,
        "index": job.index,
        "attempt": job.attempt,
        "name": job.task.name,
        "state": str(job.state),
        "reason": str(job.reason) if job.reason else None,
        "verdict": job.verdict,
        "message": job.message or None,
        "wait_reason": job.wait_reason or None,
        "job_id": job.job_id,
        "native_state": job.native_state,
        "exit_code": job.exit_code,
        "signal": job.signal,
        "step_codes": list(job.step_codes),
        "directory": job.directory,
        "collected": job.collected,
        "collect_problem": job.collect_problem or None,
        **{name: _time(getattr(job, name)) for name in ("created_at", "submitted_at", "started_at", "ended_at")},
        "usage": asdict(job.usage),
        "resources": {name: value for name, value in asdict(resources).items() if value is not None},
        "env": sorted(job.task.env),
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def to_json(data: Any) -> str:
    """Return *data* as JSON for people and programs."""
    return json.dumps(data, indent=2, ensure_ascii=False)


def as_yaml(document: object) -> str:
    """Return *document* as YAML that people like to read."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes texts of several lines as blocks."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    return yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
