"""What is no mistake in a file, and is probably not meant: told when a file is validated, and never in the way."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

from adapter.core.schema import Finding, KeyPath, dotted
from adapter.core.task import RESOURCE_FIELDS, parse_resource
from adapter.core.template import needs_target
from adapter.core.units import format_bytes, format_seconds
from adapter.core.validate_task import target_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_READ_BY_CODE = frozenset({*RESOURCE_FIELDS, "image", "count_times"})
_NO_TEMPLATES = frozenset({
    "errors", "states", "reasons", "row", "record", "fields", "pattern", "needs", "programs", "connection", "extends",
})  # fmt: skip
_RELATIVE = re.compile(r"(?:^|(?<=[\s;|&(=]))\./[\w./-]*\w")
_MOVES = re.compile(r"\bcd\b")
_COMMANDS: tuple[KeyPath, ...] = tuple(
    (*above, "command")
    for above in (
        *((name,) for name in ("submit", "monitor", "result", "find", "watch", "kill", "version")),
        ("kill", "escalate"),
        ("logs", "stdout"),
        ("logs", "stderr"),
    )
)


def unused_values(document: Mapping[str, Any]) -> list[str]:
    """Return the names under ``values`` of a merged backend *document* that nothing in it uses."""
    used = "\n".join(_texts({key: part for key, part in document.items() if key not in {"values", "name", "summary"}}))
    return [name for name in document.get("values") or {} if not re.search(rf"\b{re.escape(name)}\b", used)]


def _texts(value: Any) -> Iterator[str]:
    """Return the texts in *value* that may be templates: not the patterns and words that answers are read with."""
    if isinstance(value, dict):
        for key, part in value.items():
            if key == "document":
                yield json.dumps(part)
            elif key not in _NO_TEMPLATES:
                yield key
                yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, str):
        yield value


def backend_advice(document: Mapping[str, Any], own: Mapping[str, Any], stem: str) -> list[Finding]:
    """Return what is odd in a merged backend *document*; *own* is what its last file says, *stem* that file's name."""
    return [
        *_name(own, stem),
        *(() if document.get("abstract") else _values(document, own)),
        *_defaults(document),
        *_commands(own),
    ]


def _name(own: Mapping[str, Any], stem: str) -> Iterator[Finding]:
    name = own.get("name")
    if isinstance(name, str) and name != stem:
        sentence = f"the name is {name!r}, and the file is found as {stem!r} (--on {stem}); give both the same"
        yield Finding(path=("name",), message=sentence)


def _values(document: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[Finding]:
    for name in unused_values(document):
        if name in (own.get("values") or {}) and name not in _READ_BY_CODE:
            sentence = f"the value {name!r} is used by no template; it is misspelt, or can go"
            yield Finding(path=("values", name), message=sentence, at_key=True)


def _defaults(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Defaults that are over the cap of every queue: a task that asks for nothing would be refused."""
    queues = [queue for queue in document.get("queues") or () if isinstance(queue, dict)]
    for name, written in (document.get("defaults") or {}).items():
        caps = [(queue["name"], (queue.get("max") or {}).get(name)) for queue in queues if queue.get("over") != "clamp"]
        if not queues or len(caps) < len(queues) or any(cap is None for _, cap in caps):
            continue
        try:
            value = parse_resource(name, written)
            largest = max(parse_resource(name, cap) for _, cap in caps)
        except (ValueError, TypeError):
            continue  # refused on its own
        if value > largest:
            sentence = (
                f"defaults.{name} is {_shown(name, value)}, and no queue allows more than {_shown(name, largest)}: "
                f"a task that asks for no {name} is refused"
            )
            yield Finding(path=("defaults", name), message=sentence)


def _shown(name: str, value: float) -> str:
    field = RESOURCE_FIELDS[name]
    if field.endswith("_bytes"):
        return format_bytes(int(value))
    return format_seconds(value) if field.endswith("_s") else f"{value:g}"


def _commands(own: Mapping[str, Any]) -> Iterator[Finding]:
    for path in _COMMANDS:
        text = _at(own, path)
        for match in _RELATIVE.finditer(text if isinstance(text, str) else ""):
            if _MOVES.search(text, 0, match.start()):
                continue
            line = text.count("\n", 0, match.start()) + 1
            place = (line, match.start() - text.rfind("\n", 0, match.start()))
            sentence = (
                f"{dotted(path)} runs {match[0]}, and nothing is sent to where commands start; "
                "write its whole path on the target"
            )
            yield Finding(path=path, message=sentence, place=place)


def _at(document: Any, path: KeyPath) -> Any:
    for part in path:
        document = document.get(part) if isinstance(document, dict) else None
    return document


def task_advice(document: Mapping[str, Any], is_file: Callable[[str], bool]) -> list[Finding]:
    """Return what is odd in one plain task; *is_file* tells whether a relative path is a file beside the task file."""
    return [*_workdir(document), *_unsent(document, is_file), *_unfilled(document)]


def _workdir(document: Mapping[str, Any]) -> Iterator[Finding]:
    folder = document.get("workdir")
    if isinstance(folder, str) and needs_target(folder):
        sentence = f"workdir {folder!r} is understood on this machine only; for another one, write the whole path"
        yield Finding(path=("workdir",), message=sentence)


def _unsent(document: Mapping[str, Any], is_file: Callable[[str], bool]) -> Iterator[Finding]:
    """Files ``./x`` of a command that lie here and are not sent: the work folder starts empty."""
    if document.get("workdir"):
        return
    sent = {target_of(entry).rstrip("/") for entry in document.get("inputs") or () if entry is not None}
    told: set[str] = set()
    for path, step in _steps(document):
        for word in _words(step):
            file = word.removeprefix("./")
            parts = file.split("/")
            above = {"/".join(parts[:count]) for count in range(1, len(parts) + 1)}
            if not word.startswith("./") or not file or file in told or ".." in parts or above & sent:
                continue
            if is_file(file):
                told.add(file)
                yield Finding(path=path, message=f"{word} lies here and is not sent to the job: add it to `inputs`")


_FILLED = re.compile(r"{{ *(?:name|index) *}}")


def _unfilled(document: Mapping[str, Any]) -> Iterator[Finding]:
    """What only the folder of an output is filled with, elsewhere in the task."""
    outputs = [
        {key: value for key, value in output.items() if key != "to"} if isinstance(output, dict) else output
        for output in document.get("outputs") or ()
    ]
    for key, value in {**document, "outputs": outputs}.items():
        if found := _FILLED.search(str(value)):
            yield Finding(
                path=(key,), message=f"{found[0]} stays as it is here: it is filled in only in `to` of outputs"
            )


def _steps(document: Mapping[str, Any]) -> Iterator[tuple[KeyPath, Any]]:
    if "command" in document:
        yield ("command",), document["command"]
    yield from ((("steps", index), step) for index, step in enumerate(document.get("steps") or ()))


def _words(step: Any) -> list[str]:
    match step:
        case str():
            return _shell_words(step)
        case list():
            return [str(word) for word in step]
        case {"argv": list() as argv}:
            return [str(word) for word in argv]
        case {"shell": str() as text}:
            return _shell_words(text)
    return []


def _shell_words(text: str) -> list[str]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        return list(lexer)
    except ValueError:
        return []
