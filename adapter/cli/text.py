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
from adapter.store.base import RunSummary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from adapter.core.job import Job
    from adapter.store.base import RunRecord

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
    return in_order(Counter(job.state for job in jobs))


def in_order(seen: Mapping[str, int]) -> dict[str, int]:
    """Return counts by state in the order of a good life; states without jobs are left out."""
    return {str(state): seen[state] for state in _ORDER if seen.get(state)}


def counts_text(run: RunSummary | Iterable[Job]) -> str:
    """Return ``3 succeeded, 1 running``, and that the run is open, if it is."""
    if not isinstance(run, RunSummary):
        return ", ".join(f"{count} {state}" for state, count in counts(run).items())
    words = [f"{count} {state}" for state, count in in_order(run.counts).items()]
    return ", ".join([*words, *(["open"] if run.is_open else [])])


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


def run_rows(runs: Iterable[RunSummary], now: float) -> list[list[str]]:
    """Return a table of *runs*."""
    rows = [["RUN", "NAME", "ON", "BEGAN", "JOBS"]]
    for run in runs:
        began = f"{format_seconds(now - run.created_at)} ago"
        rows.append([run.id, printable(run.name), run.backend, began, counts_text(run)])
    return rows


def run_data(run: RunSummary, *, note: str = "") -> dict[str, Any]:
    """Return a run as plain data; its times are ISO 8601 in UTC. *note*: what a person has to do about it."""
    return {
        "run": run.id,
        "name": run.name,
        "backend": run.backend,
        "created_at": _time(run.created_at),
        "open": run.is_open,
        "done": run.is_done and not run.is_open,
        "counts": in_order(run.counts),
        **({"note": note} if note else {}),
    }


def run_with_jobs(run: RunRecord, jobs: Sequence[Job], *, note: str = "") -> dict[str, Any]:
    """Return a run and its jobs, as they are known here, as plain data."""
    summary = RunSummary(
        id=run.id,
        name=run.name,
        created_at=run.created_at,
        backend=run.backend,
        is_open=run.is_open,
        counts=Counter(str(job.state) for job in jobs),
        is_done=all(is_done(job) for job in jobs),
    )
    return {**run_data(summary, note=note), "jobs": [job_data(job) for job in jobs]}


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
