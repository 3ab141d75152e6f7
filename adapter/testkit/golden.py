"""Goldens: texts that somebody read before they were kept, compared with what is rendered now."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import TYPE_CHECKING

from adapter.core.array import as_array, element_id, render_array
from adapter.core.job import Job
from adapter.core.render import placed, render_command, render_job
from adapter.core.task import Resources, Step, Task
from adapter.testkit.subject import Subject, is_shell

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from adapter.core.backend import Backend

ANY_LINES = "..."
"""A line of a golden that stands for any number of lines."""
_RUN, _WORKSPACE = "RUN", "/WORKSPACE"


def more(backend: Backend) -> str:
    """Return what ``adapter render`` cannot show of one task: two jobs at once, jobs that wait, an array, patience."""
    return "".join(
        f"==== {title}\n{text.rstrip()}\n\n" for title, text in (*_sections(backend), *_in_versions(backend))
    )


def _sections(backend: Backend) -> Iterator[tuple[str, str]]:
    values = {**backend.values, "workspace": _WORKSPACE, "run": _RUN, "job_directory": f"{_WORKSPACE}/RUN/J"}
    known = {**values, "job_id": "ID-1", "job_ids": ["ID-1", "ID-2"], "tokens": ["TOKEN-1", "TOKEN-2"]}
    known["qualifier"] = "PLACE" if backend.submit.has_qualifier else None
    kill = {"kill": backend.kill, "kill harder": backend.kill.harder}
    asked = {"monitor": backend.monitor, "result": backend.result, "find": backend.find}
    for name, spec in (asked | kill).items():
        if spec is None or not {"job_ids", "tokens", "next"} & spec.variables:
            continue
        of = "of two jobs" if spec.takes_many else "of a second page" if "next" in spec.variables else "of two tokens"
        yield f"{name} {of}", render_command(spec, {**known, "next": "PAGE-2" if "next" in spec.variables else None})
    yield from _waiting(backend)
    if backend.array is not None:
        yield from _array(backend)
    yield "bounds", "\n".join(_bounds(backend))


def _in_versions(backend: Backend) -> Iterator[tuple[str, str]]:
    """What is written otherwise for other versions."""
    now = "".join(f"{title}\n{text}\n" for title, text in _sections(backend)).splitlines()
    for words, variant in Subject(backend).variants()[1:]:
        then = "".join(f"{title}\n{text}\n" for title, text in _sections(variant)).splitlines()
        lines = [line for line in difflib.ndiff(now, then) if line.startswith(("+ ", "- "))]
        yield f"what is otherwise{words}", "\n".join(lines) or "nothing of this"


def _job(backend: Backend, index: int) -> Job:
    image = f"{next(iter(backend.images))}://image" if "image" in backend.requires and backend.images else None
    task = Task(steps=(Step(argv=("true",)),), name=f"task{index}", resources=Resources(), image=image)
    return placed(Job(run=_RUN, index=index, task=task), _WORKSPACE)


def _waiting(backend: Backend) -> Iterator[tuple[str, str]]:
    """The lines that are other ones where a job waits for others."""
    alone = _written(backend, _job(backend, 1)).splitlines()
    for names in (("after_succeeded",), ("after_ended",), ("after_succeeded", "after_ended")):
        waits = {name: (f"{name[6:]}-1", f"{name[6:]}-2") for name in names}
        if not set(names) <= backend.job_variables:
            continue
        text = _written(backend, _job(backend, 1).but(**waits)).splitlines()
        lines = [line for line in text if line not in alone]
        yield f"a job that waits ({' and '.join(names)})", "\n".join(lines)


def _written(backend: Backend, job: Job) -> str:
    rendered = render_job(backend, job, _WORKSPACE)
    return f"{rendered.script}\n{rendered.submit}"


def _array(backend: Backend) -> Iterator[tuple[str, str]]:
    assert backend.array is not None
    jobs = as_array([_job(backend, index) for index in (1, 2, 3)], backend.array)
    rendered = render_array(backend, jobs, _WORKSPACE)
    yield "an array of three: submit", rendered.submit
    if is_shell(backend):
        yield "an array of three: script", rendered.script
    else:
        alone = _written(backend, _job(backend, 1)).splitlines()
        lines = [line for line in rendered.script.splitlines() if line not in alone]
        yield "an array of three: lines of the document", "\n".join(lines)
    answer = "ID[]" if "[]" in backend.document["array"]["job_id"] else "ID"
    yield (
        f"an array of three: ids, where submit answered {answer}",
        "\n".join(element_id(backend, job, answer) for job in jobs),
    )
    spec = replace(backend.array)
    yield "an array: sizes", f"{spec.min_size} to {spec.max_size}"


def _bounds(backend: Backend) -> Iterator[str]:
    for name, spec in (("monitor", backend.monitor), ("result", backend.result)):
        if spec is not None and spec.takes_many:
            yield f"{name} asks about at most {spec.max_ids} jobs at once"
    if backend.kill.takes_many:
        yield f"kill ends at most {backend.kill.max_ids} jobs at once"
    if backend.kill.harder is not None:
        yield f"kill is repeated harder after {backend.kill.escalate_after_s:g} s"
    yield f"a job that no answer shows is lost after {backend.monitor.gone_after_s:g} s"
    yield f"a job that ran may {'' if backend.monitor.requeues else 'not '}be queued again"
    capacity = ", ".join(f"{name}: {value}" for name, value in sorted(backend.limits.capacity.items()))
    if capacity:
        yield f"jobs run at once as long as they fit: {capacity}"


def difference(wanted: str, came: str) -> str | None:
    """Return in words where *came* leaves the golden *wanted*, ``None`` if it fits. ``...`` is any lines."""
    mine, its = wanted.splitlines(), came.splitlines()
    pieces = _pieces(mine)
    if len(pieces) == 1:
        return _first_difference(mine, its, 0, 0) if wanted != came else None
    (_, first), *between, (last_at, last) = pieces
    if why := _first_difference(first, its[: len(first)], 0, 0):
        return why
    at = len(first)
    for line, piece in between:
        found = next((start for start in range(at, len(its) + 1) if its[start : start + len(piece)] == piece), None)
        if found is None:
            return _not_found(piece, line, its[at:])
        at = found + len(piece)
    if len(its) - at < len(last):
        return f"expected {len(last)} lines from line {last_at + 1} on, came {len(its) - at}"
    return _first_difference(last, its[len(its) - len(last) :], last_at, len(its) - len(last))


def _pieces(lines: Sequence[str]) -> list[tuple[int, list[str]]]:
    """Return what stands between the lines of any lines, each with the place of its first line."""
    pieces: list[tuple[int, list[str]]] = [(0, [])]
    for number, line in enumerate(lines):
        if line == ANY_LINES:
            pieces.append((number + 1, []))
        else:
            pieces[-1][1].append(line)
    return pieces


def _not_found(piece: Sequence[str], line: int, its: Sequence[str]) -> str:
    """Which line of *piece* is the first that stands nowhere as expected."""
    fits = 0
    for start in range(len(its)):
        same = 0
        while same < len(piece) and start + same < len(its) and its[start + same] == piece[same]:
            same += 1
        fits = max(fits, same)
    return f"line {line + fits + 1}: {piece[fits]!r} does not stand where it is expected"


def _first_difference(mine: Sequence[str], its: Sequence[str], my_start: int, its_start: int) -> str | None:
    for number, (one, other) in enumerate(zip(mine, its, strict=False)):
        if one != other:
            return f"line {my_start + number + 1}: expected {one!r}, came {other!r}"
    if len(mine) != len(its):
        return f"expected {len(mine)} lines, came {len(its)}"
    return "it differs at the end of a line" if (my_start, its_start) == (0, 0) and list(mine) != list(its) else None
