"""Whether a task file makes sense, and the plain tasks in it. Its form is checked before, by a schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from adapter.core.backend import merge
from adapter.core.schema import Finding, KeyPath
from adapter.core.task import Input, Output, check_inside, task_from
from adapter.errors import TaskError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_STREAMS = ("stdin", "stdout", "stderr")


def documents_in(document: Mapping[str, Any]) -> list[tuple[KeyPath, dict[str, Any]]]:
    """Return each task in a task file with the path where it stands; a set's ``defaults`` are laid under each task."""
    if "tasks" not in document:
        return [((), {key: value for key, value in document.items() if key != "format"})]
    defaults = document.get("defaults") or {}
    return [
        (("tasks", index), with_defaults(defaults, task))
        for index, task in enumerate(document["tasks"] or ())
        if isinstance(task, dict)
    ]


def with_defaults(defaults: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
    """Return *task* laid over *defaults*; its own ``steps`` or ``command`` replace those of the defaults."""
    kept = dict(defaults)
    if task.get("steps") is not None or task.get("command") is not None:
        kept.pop("steps", None)
        kept.pop("command", None)
    return merge(kept, task)


def task_problems_in(document: Mapping[str, Any]) -> list[Finding]:
    """Return everything in one plain task *document* that makes no sense."""
    found = [finding for check in _CHECKS for finding in check(document)]
    return found or list(_whole(document))


def _steps(document: Mapping[str, Any]) -> Iterator[Finding]:
    if "steps" in document and "command" in document:
        yield Finding(path=("command",), message="command and steps stand together; keep one of them", at_key=True)
    if "steps" not in document and "command" not in document:
        yield Finding(
            path=(),
            message="the task lacks `command` or `steps`",
            missing=("steps", "command"),
            at_key=True,
        )
    for path, step in _written_steps(document):
        if not isinstance(step, dict):
            continue
        if ("argv" in step) == ("shell" in step):
            both = "both argv and shell" if "argv" in step else "neither argv nor shell"
            sentence = f"the step has {both}; write argv (a list of words) or shell (a text)"
            yield Finding(path=path, message=sentence, at_key=True)
        for key in _STREAMS:
            yield from _inside((*path, key), step.get(key), key)


def _written_steps(document: Mapping[str, Any]) -> Iterator[tuple[KeyPath, Any]]:
    if "command" in document:
        yield ("command",), document["command"]
    for index, step in enumerate(document.get("steps") or ()):
        yield ("steps", index), step


def _streams(document: Mapping[str, Any]) -> Iterator[Finding]:
    for key in _STREAMS:
        yield from _inside((key,), document.get(key), key)


def _inputs(document: Mapping[str, Any]) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, entry in enumerate(document.get("inputs") or ()):
        if entry is None:
            continue
        path = ("inputs", index)
        target = target_of(entry)
        own = isinstance(entry, dict) and "to" in entry
        wrong = list(_tried((*path, "to") if own else path, lambda entry=entry: Input(**filled(entry))))  # type: ignore[misc]
        yield from wrong
        if not wrong and target in first:
            sentence = f"two inputs go to {target!r}, this one and inputs[{first[target]}]; set `to` on one"
            yield Finding(path=(*path, "to") if own else path, message=sentence)
        first.setdefault(target, index)


def target_of(entry: str | Mapping[str, Any]) -> str:
    """Return where in the work folder an input goes: its ``to``, else the last part of its path."""
    written = {"path": entry} if isinstance(entry, str) else entry
    return str(written.get("to") or str(written.get("path", "")).rstrip("/").rpartition("/")[2])


def filled(entry: str | Mapping[str, Any]) -> dict[str, Any]:
    """Return an input in its long form."""
    written = {"path": entry} if isinstance(entry, str) else dict(entry)
    return {**written, "to": target_of(entry)}


def _outputs(document: Mapping[str, Any]) -> Iterator[Finding]:
    for index, entry in enumerate(document.get("outputs") or ()):
        path = ("outputs", index)
        if isinstance(entry, str):
            yield from _tried(path, lambda entry=entry: Output(path=entry))  # type: ignore[misc]
        elif isinstance(entry, dict) and "path" in entry:
            yield from _tried((*path, "path"), lambda entry=entry: Output(path=entry["path"]))  # type: ignore[misc]
            yield from _tried((*path, "to"), lambda entry=entry: Output(**{**entry, "path": "-"}))  # type: ignore[misc]


def _whole(document: Mapping[str, Any]) -> Iterator[Finding]:
    """What only shows once the task is made: asked last, because it tells one mistake at a time."""
    if any(None in (document.get(key) or ()) for key in ("steps", "inputs", "outputs")) or any(
        isinstance(entry, dict) and "path" not in entry for entry in document.get("outputs") or ()
    ):
        return  # an entry of the wrong form was taken out: there is no task to make
    path = ("name",) if "name" in document else ()
    yield from _tried(path, lambda: task_from(document))


def _inside(path: KeyPath, value: object, what: str) -> Iterator[Finding]:
    if isinstance(value, str):
        yield from _tried(path, lambda: check_inside(value, f"{what} {value!r}"))


def _tried(path: KeyPath, make: Callable[[], object]) -> Iterator[Finding]:
    try:
        make()
    except TaskError as error:
        yield Finding(path=path, message=str(error))


_CHECKS = (_steps, _streams, _inputs, _outputs)
