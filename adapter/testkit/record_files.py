"""What was recorded, as capture files: YAML for people to look through, each replayed before it is handed out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapter.errors import AdapterError
from adapter.testkit.capture import Capture, parse_capture
from adapter.testkit.replay import replay

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from adapter.core.backend import Backend
    from adapter.testkit.record import Record
    from adapter.testkit.scrub import Scrubber

PREFIX = "recorded-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One capture as a file: its name, its text, and the differences that came when it was replayed."""

    name: str
    text: str
    capture: Capture
    differences: tuple[str, ...] = ()


def written(
    backend: Backend, records: Sequence[Record], *, source: str, scrub: Scrubber, version: str | None = None
) -> list[Written]:
    """Return *records* as files, each replayed. *version* is the scheduler's, ``None`` if it did not say."""
    files = []
    numbers: dict[str, int] = {}
    for record in records:
        number = numbers[record.action] = numbers.get(record.action, 0) + 1
        name = f"{PREFIX}{record.action}-{number:02}.yaml"
        text = scrub(as_capture(record, source, version))
        try:
            capture = parse_capture(text, name)
            differences = replay(backend, capture)
        except AdapterError as error:
            raise AdapterError(f"{name} would not be a capture: {error}") from error
        files.append(Written(name=name, text=text, capture=capture, differences=tuple(differences)))
    return files


def as_capture(record: Record, source: str, version: str | None = None) -> str:
    """Return the text of a capture; *source* says where it comes from, *version* of which scheduler's version."""
    said = record.completed
    lines = [
        "# Recorded by `adapter record`. Look through it: nothing in it may tell of people or places.",
        *(f"# {note}" for note in record.notes),
        f"about: {_scalar(record.about)}",
        f"source: {_scalar(source)}",
        *([f"version: {_scalar(version)}"] if version else []),
        f"action: {record.action}",
        *([f"asked: {_flow(list(record.asked))}"] if record.asked else []),
        f"exit_code: {said.exit_code}",
        f"stdout: {as_block(said.stdout)}",
        f"stderr: {as_block(said.stderr)}",
        "expect:",
        *(f"  {line}" for line in _expect_lines(record.expect)),
    ]
    return "\n".join(lines) + "\n"


def _expect_lines(expect: Mapping[str, Any]) -> Iterable[str]:
    for key, value in expect.items():
        if isinstance(value, Mapping) and value and all(isinstance(each, Mapping) for each in value.values()):
            yield f"{key}:"
            yield from (f"  {_flow(name)}: {_flow(each)}" for name, each in value.items())
        else:
            yield f"{key}: {_flow(value)}"


def _flow(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str):
        return value if re.fullmatch(r"[a-z][a-z_]*", value) and value not in _WORDS_OF_YAML else _scalar(value)
    return json.dumps(value)


_WORDS_OF_YAML = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def _scalar(text: str) -> str:
    """Return *text* in double quotes, as YAML reads them: JSON's pairs for a far character would be two there."""
    letters = (f"\\U{ord(each):08x}" if ord(each) > 0xFFFF else json.dumps(each)[1:-1] for each in text)
    return f'"{"".join(letters)}"'


def as_block(text: str) -> str:
    """Return *text* as a block where YAML keeps it as it is, else as one quoted line."""
    lines = text.split("\n")
    is_plain = all(line == line.rstrip() and line.isprintable() for line in lines)
    if not text or not is_plain or lines[0].startswith(" ") or not lines[0] or text.endswith("\n\n"):
        return _scalar(text)
    head = "|" if text.endswith("\n") else "|-"
    body = lines[:-1] if text.endswith("\n") else lines
    return "\n".join([head, *(f"  {line}" if line else "" for line in body)])
