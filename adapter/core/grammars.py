"""From an answer's text to rows of named texts: by lines, by records of several lines, or by JMESPath from JSON."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import jmespath
from jmespath.exceptions import JMESPathError

from adapter.core import bounds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jmespath.parser import ParsedResult

Row = dict[str, str | None]

MOST_LINE_LETTERS = 1 << 13
"""In a line: patterns are tried at each letter, so the time that they take may grow with the square of its length."""
MOST_RECORD_LETTERS = 1 << 18
_DECODER = bounds.decoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What a text holds. ``next`` names the page that follows, ``None`` after the last one."""

    rows: tuple[Row, ...] = ()
    unreadable: tuple[str, ...] = ()
    next: str | None = None


class Grammar(Protocol):
    """How one command's answers are read."""

    @property
    def names(self) -> frozenset[str]:
        """The fields that it reads."""

    def read(self, text: str) -> Rows | None:
        """Return what *text* holds; ``None`` if it cannot be an answer at all."""


@dataclass(frozen=True, slots=True)
class Lines:
    """One line is one row: the groups of ``pattern``."""

    pattern: re.Pattern[str]

    @property
    def names(self) -> frozenset[str]:
        """The named groups."""
        return frozenset(self.pattern.groupindex)

    def read(self, text: str) -> Rows | None:
        """Empty lines are nothing. One that the pattern does not fit, or whose id can be no id, is unreadable."""
        rows, unreadable = [], []
        for line in _written(text):
            match = self.pattern.search(line) if len(line) <= MOST_LINE_LETTERS else None
            if match and _is_about_a_job(row := match.groupdict()):
                rows.append(row)
            else:
                unreadable.append(line)
        return Rows(rows=tuple(rows), unreadable=tuple(unreadable))


@dataclass(frozen=True, slots=True)
class Records:
    """A record of several lines is one row: it begins where ``begin`` matches; each field has a pattern of its own."""

    begin: re.Pattern[str]
    fields: Mapping[str, re.Pattern[str]]

    @property
    def names(self) -> frozenset[str]:
        """The fields."""
        return frozenset(self.fields)

    def read(self, text: str) -> Rows | None:
        """What stands before the first record is not looked at; a record without a job id is unreadable.

        Where no record begins at all, every line is unreadable.
        """
        starts = [match.start() for match in self.begin.finditer(text)]
        if not starts:
            return Rows(unreadable=tuple(_written(text)))
        pieces = [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
        rows, unreadable = [], []
        for piece in pieces:
            row = self._row(piece) if len(piece) <= MOST_RECORD_LETTERS else {}
            if _is_about_a_job(row):
                rows.append(row)
            else:
                unreadable.append(piece.strip())
        return Rows(rows=tuple(rows), unreadable=tuple(unreadable))

    def _row(self, piece: str) -> Row:
        return {name: _first_group(pattern, piece) for name, pattern in self.fields.items()}


def _written(text: str) -> list[str]:
    """Return the lines of *text* that hold something."""
    return [line for line in bounds.lines(text) if line.strip()]


def _is_about_a_job(row: Row) -> bool:
    return bounds.job_id(row.get("job_id")) is not None


def _first_group(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.search(text)
    if match is None:
        return None
    return next((group for group in match.groups() if group is not None), None) if match.re.groups else match[0]


@dataclass(frozen=True, slots=True)
class JsonRows:
    """JSON, read by JMESPath: ``rows`` gives the list, ``fields`` are asked of each entry, ``next`` of the whole."""

    fields: Mapping[str, ParsedResult]
    rows: ParsedResult | None = None
    next: ParsedResult | None = None

    @property
    def names(self) -> frozenset[str]:
        """The fields."""
        return frozenset(self.fields)

    def read(self, text: str) -> Rows | None:
        """Words around the JSON are unreadable lines. Text without JSON is no answer, except nothing at all.

        Neither is an answer in which ``rows`` is not there: it is something else, an error most likely.
        """
        found = _documents(text)
        if found is None:
            return None
        documents, noise = found
        if not documents:
            return None if text.strip() else Rows()
        whole: Any = documents[0] if len(documents) == 1 else documents
        entries = _search(self.rows, whole) if self.rows else whole if isinstance(whole, list) else [whole]
        if not isinstance(entries, list):
            return None
        rows, unreadable = [], noise
        for entry in entries:
            row = {name: _text(_search(expression, entry)) for name, expression in self.fields.items()}
            if _is_about_a_job(row):
                rows.append(row)
            else:
                unreadable.append(bounds.json_dump(entry))
        following = _text(_search(self.next, whole)) if self.next else None
        return Rows(rows=tuple(rows), unreadable=tuple(unreadable), next=following or None)


def json_text(expression: ParsedResult, text: str) -> str | None:
    """Return what *expression* finds in the JSON *text*, as text; ``None`` if there is no JSON or no such thing."""
    documents, _ = _documents(text) or ([], [])
    return _text(_search(expression, documents[0] if len(documents) == 1 else documents)) if documents else None


def _documents(text: str) -> tuple[list[Any], list[str]] | None:
    """Return the JSON documents in *text*, each starting at the beginning of a line, and the other lines.

    ``None`` if one of them breaks off or is damaged: what it would have said is not known.
    """
    try:
        return [_DECODER.decode(text)], []
    except ValueError:
        pass
    except RecursionError:
        return None
    documents, noise = [], []
    at = 0
    while at < len(text):
        end = text.find("\n", at) + 1 or len(text)
        line = text[at:end].strip()
        if line.startswith(("{", "[")):
            start = at + text[at:end].index(line[0])
            try:
                document, stop = _DECODER.raw_decode(text, start)
            except RecursionError:
                return None
            except json.JSONDecodeError as error:
                if text[start + 1 : error.pos].strip():
                    return None
                noise.append(line)  # "[INFO] ..." only looks like the beginning of one
            else:
                documents.append(document)
                end = stop
        elif line:
            noise.append(line)
        at = end
    return documents, noise


def _search(expression: ParsedResult, value: Any) -> Any:
    try:
        return expression.search(value)
    except (JMESPathError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return None  # a function asked for a text and got a number, say


def _text(value: Any) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer():
            return str(int(value))
        case str() | int() | float():
            return bounds.storable(str(value))
    return bounds.json_dump(value)


def grammar_from(spec: Mapping[str, Any]) -> Grammar | None:
    """Return the grammar that a query of a backend file describes; ``None`` if it reads nothing."""
    if "json" in spec:
        return json_rows(spec["json"])
    if "record" in spec:
        fields = {name: re.compile(pattern, re.MULTILINE) for name, pattern in spec["fields"].items()}
        return Records(re.compile(spec["record"], re.MULTILINE), fields)
    return Lines(re.compile(spec["row"])) if "row" in spec else None


def json_rows(expressions: Mapping[str, str]) -> JsonRows:
    """Return the grammar for the JMESPath *expressions*, by name."""
    compiled = {name: jmespath.compile(text) for name, text in expressions.items()}
    return JsonRows(rows=compiled.pop("rows", None), next=compiled.pop("next", None), fields=compiled)
