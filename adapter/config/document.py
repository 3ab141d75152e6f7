"""One YAML or JSON file as plain data, with the line and column of every key and value.

Scalars are read as YAML 1.2 reads them: ``1:30:00``, ``yes``, ``on`` and ``2024-01-01`` are texts, as they look.
Keys are always texts, as in JSON (``exit_codes: {0: running}``).
"""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from adapter.core.schema import KeyPath
from adapter.errors import ConfigError
from adapter.results import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from importlib.resources.abc import Traversable

    from adapter.core.schema import Finding

MOST_BYTES = 50_000_000  # of a file of tasks, which may hold a hundred thousand of them
MOST_FILE_BYTES = 1 << 20  # of any other file
MOST_BACKEND_BYTES = 1 << 18  # the largest that comes with this package has 20 kB; reading takes 10 s for 1 MiB
_MOST_DEPTH = 100
_SPARE_COPIES = 10_000  # values that aliases may add to a file beyond ten times what is written in it
_MOST_COPIES = 1_000_000


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a key and its value stand, lines and columns from 1. A list's entry has no key: both are its value's.

    ``begin`` and ``end`` bound the value in the file's text, in characters from 0.
    """

    key_line: int
    key_column: int
    line: int
    column: int
    begin: int
    end: int
    style: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A file's ``data``, the ``marks`` of its key paths, and how scalars that are no texts were written (``words``)."""

    file: str
    data: Any
    marks: Mapping[KeyPath, Mark]
    text: str = field(default="", repr=False)
    words: Mapping[KeyPath, str] = field(default_factory=dict, repr=False)
    first_line: int = 1

    def problem(self, finding: Finding, *, path: KeyPath | None = None) -> Problem:
        """Return *finding* with its place in this file; *path* replaces the finding's own."""
        where = finding.path if path is None else path
        line, column = self.position(where, place=finding.place, at_key=finding.at_key)
        shown = ".".join(map(str, finding.path))
        return Problem(message=finding.message, file=self.file, line=line, column=column, path=shown)

    def position(self, path: KeyPath, *, place: tuple[int, int] | None = None, at_key: bool = False) -> tuple[int, int]:
        """Return line and column of *path*, or of what is nearest above it; *place* is a position inside its text."""
        line, column = self._position(path, place, at_key=at_key)
        return line + self.first_line - 1, column

    def _position(self, path: KeyPath, place: tuple[int, int] | None, *, at_key: bool) -> tuple[int, int]:
        exact = path in self.marks
        while path not in self.marks and path:
            path = path[:-1]
        mark = self.marks.get(path)
        if mark is None:
            return 1, 1
        if place is not None and exact:
            return self._inside(mark, self._text_at(path), place) or (mark.line, mark.column)
        return (mark.key_line, mark.key_column) if at_key or not exact else (mark.line, mark.column)

    def _text_at(self, path: KeyPath) -> str:
        value = self.data
        for part in path:
            value = value[part]
        return value if isinstance(value, str) else ""

    def _inside(self, mark: Mark, text: str, place: tuple[int, int]) -> tuple[int, int] | None:
        """Return where the character of *text* at *place* was written: YAML changes white space and quotes, only."""
        line, column = place
        lines = text.splitlines(keepends=True)
        if line > len(lines):
            return None
        offset = sum(len(before) for before in lines[: line - 1]) + column - 1
        ink = sum(not character.isspace() for character in text[:offset])
        for index in _ink(self.text, mark):
            if ink == 0:
                return self.text.count("\n", 0, index) + 1, index - self.text.rfind("\n", 0, index)
            ink -= 1
        return None


def _ink(text: str, mark: Mark) -> Iterator[int]:
    """The places of a scalar's characters in *text*, without white space and without what YAML adds around them."""
    index, end = mark.begin, mark.end
    if mark.style in {"|", ">"}:
        index = text.find("\n", index) + 1
    elif mark.style is not None:
        index, end = index + 1, end - 1
    if mark.style == '"' and "\\" in text[index:end]:
        return  # an escape may stand for anything
    while index < end:
        if mark.style == "'" and text.startswith("''", index):
            index += 1
        if not text[index].isspace():
            yield index
        index += 1


def read_file(place: Traversable, shown: str, *, most: int = MOST_FILE_BYTES, pipe: bool = False) -> bytes:
    """Return what is in the regular file *place*, which *shown* names in messages; nothing else is opened.

    A folder that somebody else wrote may hold a pipe (to open it waits for ever), a device, or a file without end.
    With *pipe*, its user named a pipe on purpose. ``/dev/null`` is an empty file.

    Raises:
        ConfigError: it is no regular file, or larger than *most* bytes.
        OSError: it cannot be opened or read.
    """
    if isinstance(place, Path):
        if str(place) == os.devnull:
            return b""
        _refuse_irregular(place.stat().st_mode, shown, pipe=pipe)
        descriptor = os.open(place, os.O_RDONLY | os.O_NOCTTY | (0 if pipe else os.O_NONBLOCK))
        with os.fdopen(descriptor, "rb") as file:
            _refuse_irregular(os.fstat(descriptor).st_mode, shown, pipe=pipe)  # it may be another one by now
            content = file.read(most + 1)
    else:
        with place.open("rb") as inside:
            content = inside.read(most + 1)
    _refuse_size(len(content), shown, most)
    return content


def _refuse_irregular(mode: int, shown: str, *, pipe: bool) -> None:
    if stat.S_ISDIR(mode):
        raise ConfigError([Problem(message="is a folder, not a file", file=shown)])
    if not (stat.S_ISREG(mode) or (pipe and stat.S_ISFIFO(mode))):
        raise ConfigError([Problem(message="is not a regular file (a pipe, a socket or a device)", file=shown)])


def _refuse_size(size: int, shown: str, most: int) -> None:
    if size > most:
        shown_most = (
            f"{most // 10**6} MB" if most >= 10**7 else f"{most >> 20} MiB" if most >> 20 else f"{most >> 10} KiB"
        )
        raise ConfigError([Problem(message=f"the file is larger than {shown_most}", file=shown)])


def parse(content: bytes | str, file: str) -> Document:
    """Return the document in *content*; *file* is how its problems name it.

    Raises:
        ConfigError: it is no text, no YAML, or empty; the problem says where.
    """
    text = content if isinstance(content, str) else _decoded(content, file)
    if file.endswith(".json"):
        text = text.replace("\t", " ")  # JSON may be indented with tabs and holds no others
    if not text.strip():
        raise ConfigError([Problem(message="the file is empty", file=file, line=1, column=1)])
    try:
        node = _compose(text)
        if node is None:
            raise _problem("the file holds nothing but comments", None, file)
        reader = _Reader(file)
        data = reader.read(node, (), None)
    except yaml.MarkedYAMLError as error:
        raise _unreadable(error, text, file) from error
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        raise ConfigError(
            [
                Problem(
                    message=f"the character U+{ord(text[error.position]):04X} cannot stand in YAML",
                    file=file,
                    line=before.count("\n") + 1,
                    column=len(before) - before.rfind("\n"),
                )
            ]
        ) from error
    except RecursionError:
        raise ConfigError([Problem(message="the file is nested too deeply", file=file, line=1, column=1)]) from None
    return Document(file, data, reader.marks, text, reader.words)


def _compose(text: str) -> yaml.Node | None:
    try:
        _refuse_depth(text)  # libyaml's composer recurses in C: a deep file would end the process
        return _FastLoader(text).get_single_node()  # type: ignore[no-any-return]
    except yaml.YAMLError:
        return _Loader(text).get_single_node()  # for its words, and for what libyaml is too strict about


def _refuse_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_FastLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MOST_DEPTH:
            raise RecursionError


def parse_json_line(line: str, file: str, number: int) -> Document:
    """Return the document in one *line* of JSON, the file's line *number*.

    Raises:
        ConfigError: it is no JSON.
    """
    try:
        json.loads(line)
    except ValueError as error:
        column, what = (error.colno, error.msg) if isinstance(error, json.JSONDecodeError) else (1, str(error))
        problem = Problem(message=f"no JSON: {what[:1].lower()}{what[1:]}", file=file, line=number, column=column)
        raise ConfigError([problem]) from error
    return replace(parse(line.replace("\t", " "), file), first_line=number)


def _decoded(content: bytes, file: str) -> str:
    _refuse_size(len(content), file, MOST_BYTES)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        what = f"the byte 0x{content[error.start]:02X} is not UTF-8; save the file as UTF-8"
        raise ConfigError([Problem(message=what, file=file, line=line, column=column)]) from error


def _problem(message: str, mark: yaml.Mark | None, file: str) -> ConfigError:
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    return ConfigError([Problem(message=message, file=file, line=line, column=column)])


def _unreadable(error: yaml.MarkedYAMLError, text: str, file: str) -> ConfigError:
    mark = error.problem_mark or error.context_mark
    if mark is not None and text[mark.index : mark.index + 1] == "\t":
        return _problem("a tab stands where YAML wants spaces; indent with spaces", mark, file)
    context = f", {error.context}" if error.context and error.context_mark else ""
    return _problem(f"no YAML: {error.problem}{context}", mark, file)


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2's core schema, and ``<<`` for merging."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML fills it)


class _FastLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # chosen by what is installed
    """The same on libyaml, where PyYAML was built with it: ten times as fast, with less to say about what is wrong."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


_CORE_SCHEMA = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    "merge": ("<<", ["<"]),
}
for _name, (_pattern, _starts) in _CORE_SCHEMA.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"(?:{_pattern})$"), _starts)


def _boolean(text: str) -> bool:
    return text.lower() == "true"


def _number(text: str) -> int:
    return int(text, 0) if text.startswith(("0o", "0x")) else int(text)


def _decimal(text: str) -> float:
    return float(text.replace(".inf", "inf").replace(".Inf", "inf").replace(".INF", "inf").replace(".nan", "nan"))


_TAG = "tag:yaml.org,2002:"
_SCALARS: dict[str, Callable[[str], Any]] = {
    f"{_TAG}null": lambda _: None,
    f"{_TAG}bool": _boolean,
    f"{_TAG}int": _number,
    f"{_TAG}float": _decimal,
    f"{_TAG}str": str,
    f"{_TAG}merge": str,
}


def _joined_surrogates(text: str) -> str:
    """JSON writes a character beyond U+FFFF as two escapes, which YAML reads as two halves."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


class _Reader:
    """Turns YAML nodes into plain data, noting where everything stands."""

    def __init__(self, file: str) -> None:
        self.marks: dict[KeyPath, Mark] = {}
        self.words: dict[KeyPath, str] = {}
        self._file = file
        self._above: set[int] = set()
        self._seen: set[int] = set()
        self._copies = 0

    def read(self, node: yaml.Node, path: KeyPath, key: yaml.Node | None) -> Any:
        """Return the data of *node*, which stands at *path* under *key* (``None`` for an entry of a list)."""
        self._guard(node)
        start, at = node.start_mark, (key or node).start_mark
        self.marks[path] = Mark(
            at.line + 1,
            at.column + 1,
            start.line + 1,
            start.column + 1,
            start.index,
            node.end_mark.index,
            (node.style or None) if isinstance(node, yaml.ScalarNode) else None,
        )
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if node.tag not in {f"{_TAG}map", f"{_TAG}seq"}:
            raise self._foreign_tag(node)
        self._above.add(id(node))
        data: Any
        if isinstance(node, yaml.SequenceNode):
            data = [self.read(item, (*path, index), None) for index, item in enumerate(node.value)]
        else:
            data = {name: self.read(value, (*path, name), key) for name, (key, value) in self._entries(node).items()}
        self._above.discard(id(node))
        return data

    def _guard(self, node: yaml.Node) -> None:
        """Refuse an alias that contains itself, and aliases that blow a small file up."""
        if id(node) in self._above:
            raise _problem("an alias contains itself", node.start_mark, self._file)
        if id(node) in self._seen:
            self._count_copies(1 + len(node.value) // 100 if isinstance(node, yaml.ScalarNode) else 1, node)
        self._seen.add(id(node))

    def _count_copies(self, count: int, node: yaml.Node) -> None:
        self._copies += count
        if self._copies > min(_SPARE_COPIES + 10 * len(self._seen), _MOST_COPIES):
            raise _problem("aliases make this file too large", node.start_mark, self._file)

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        construct = _SCALARS.get(node.tag)
        if construct is None:
            raise self._foreign_tag(node)
        try:
            value = construct(node.value)
        except ValueError as error:
            raise _problem(f"{node.value[:40]!r} cannot be read: {error}", node.start_mark, self._file) from error
        if isinstance(value, str):
            return _joined_surrogates(value)
        self.words[path] = node.value
        return value

    def _foreign_tag(self, node: yaml.Node) -> ConfigError:
        shown = node.tag.replace(_TAG, "!!")
        return _problem(f"the tag {shown} is not used here; write plain YAML", node.start_mark, self._file)

    def _entries(self, node: yaml.Node) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Return key and value nodes by name: a map's own, and those of its ``<<`` maps that it lacks."""
        if not isinstance(node, yaml.MappingNode):
            raise _problem("<< takes a map, or a list of maps", node.start_mark, self._file)
        entries: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merged: list[yaml.Node] = []
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _problem("a key must be a text", key.start_mark, self._file)
            if key.tag == f"{_TAG}merge":
                merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
                continue
            name = _joined_surrogates(key.value)
            if name in entries:
                line = entries[name][0].start_mark.line + 1
                raise _problem(f"duplicate key {name!r}; it stands in line {line} already", key.start_mark, self._file)
            entries[name] = (key, value)
        maps = [entries]
        for below in merged:
            self._guard(below)
            self._above.add(id(below))
            maps.append(self._entries(below))
            self._above.discard(id(below))
            self._count_copies(len(maps[-1]), below)
        return {name: pair for each in reversed(maps) for name, pair in each.items()}
