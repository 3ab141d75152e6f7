"""Whole answers that a grammar reads: lines, records of several lines, JSON; each with places for what is filled in."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import islice, product
from typing import TYPE_CHECKING, Any

from adapter.core.grammars import JsonRows, Lines, Records
from adapter.testkit.simulate.text import Fitting, Slot, filled, fitting, joined

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from adapter.core.grammars import Grammar
    from adapter.testkit.simulate.text import Pieces

_MOST = 3000
_OPEN, _CLOSE, _ROWS, _KEY = "\ue000", "\ue001", "\ue002", "\ue003"  # letters of nobody: they mark places in JSON


@dataclass(frozen=True, slots=True)
class Form:
    """How rows are put together: ``head``, the rows with ``between`` them, ``tail``."""

    head: str = ""
    between: str = "\n"
    tail: str = "\n"


@dataclass(frozen=True, slots=True)
class RowText:
    """One row, and the form of the answer that it stands in."""

    form: Form
    pieces: Pieces

    def answer(self, *rows: Mapping[str, str]) -> str:
        """Return an answer with a row for each of the given values."""
        texts = [filled(self.pieces, values) for values in rows]
        return self.form.head + self.form.between.join(texts) + self.form.tail


def row_texts(grammar: Grammar, wanted: Mapping[str, Pieces]) -> Iterator[RowText]:
    """Yield rows in which *grammar* may read what is *wanted*; the caller tries them.

    Raises:
        ValueError: an expression of the grammar cannot be turned round; it is in the message.
    """
    wanted = {name: pieces for name, pieces in wanted.items() if name in grammar.names}
    match grammar:
        case Lines():
            found = _lines(grammar, wanted)
        case Records():
            found = _records(grammar, wanted)
        case JsonRows():
            found = _json(grammar, wanted)
        case _:
            found = iter(())
    return islice(found, _MOST)


def _lines(grammar: Lines, wanted: Mapping[str, Pieces]) -> Iterator[RowText]:
    for made in fitting(grammar.pattern, wanted):
        yield RowText(Form(), joined(made.pieces + made.later))


def _records(grammar: Records, wanted: Mapping[str, Pieces]) -> Iterator[RowText]:
    begins = [*islice(fitting(grammar.begin, {}), 4)]
    for between in ("\n", ""):
        choices = [
            list(islice(fitting(grammar.fields[name], {}, first=pieces), 24)) for name, pieces in _id_first(wanted)
        ]
        for begin, *parts in product([Fitting(), *begins], *choices):
            pieces: list[str | Slot] = list(begin.pieces)
            for part in parts:
                pieces += [*([between] if pieces else []), *part.pieces]
            for part in parts:
                pieces += [*([between] if part.later else []), *part.later]
            yield RowText(Form(), joined(pieces))


def _id_first(wanted: Mapping[str, Pieces]) -> list[tuple[str, Pieces]]:
    return sorted(wanted.items(), key=lambda item: item[0] != "job_id")


# ---- JSON: JMESPath turned round ---------------------------------------------------------------------------------


def _json(grammar: JsonRows, wanted: Mapping[str, Pieces]) -> Iterator[RowText]:
    names = list(wanted)
    ways = [list(islice(_holding(grammar.fields[name].parsed, _marked(wanted[name])), 8)) for name in names]
    for name, found in zip(names, ways, strict=True):
        if not found:
            raise ValueError(f"the expression of {name} is not simple enough: {grammar.fields[name].expression}")
    if grammar.rows is None:
        wholes: list[Any] = [[_ROWS]]
    else:
        wholes = list(_rows_holding(grammar.rows.parsed))
        if not wholes:
            raise ValueError(f"the expression of rows is not simple enough: {grammar.rows.expression}")
    for whole, *parts in product(wholes, *ways):
        row: Any = None
        for part in parts:
            row = _merged(row, part)
        head, _, tail = json.dumps(whole).partition(json.dumps(_ROWS))
        key = f"{json.dumps(_KEY)}: "
        if head.endswith(key):
            head = head.removesuffix(key)
            row_text = f'"{_OPEN}number{_CLOSE}": ' + json.dumps(row, ensure_ascii=False)
        else:
            row_text = json.dumps(row, ensure_ascii=False)
        yield RowText(Form(head, ", ", tail + "\n"), _unmarked(row_text))


def _marked(pieces: Pieces) -> str:
    return "".join(piece if isinstance(piece, str) else f"{_OPEN}{piece.name}{_CLOSE}" for piece in pieces)


def _unmarked(text: str) -> Pieces:
    parts = re.split(f"{_OPEN}(.*?){_CLOSE}", text)
    return joined(Slot(part) if number % 2 else part for number, part in enumerate(parts))


def _holding(node: Mapping[str, Any], value: Any) -> Iterator[Any]:
    """Yield data in which the expression *node* finds *value*: its paths of names, not its conditions."""
    below = node["children"]
    match node["type"]:
        case "current":
            yield value
        case "field":
            yield {node["value"]: value}
        case "index" if node["value"] >= 0:
            yield [None] * node["value"] + [value]
        case "subexpression" | "index_expression" | "pipe":
            yield from _nested(below, value)
        case "or_expression":
            for side in reversed(below):
                yield from _holding(side, value)
        case "and_expression":
            yield from _holding(below[1], value)
        case "function_expression":
            yield from _argument_holding(node["value"], below, value)


def _nested(nodes: list[Any], value: Any) -> Iterator[Any]:
    if not nodes:
        yield value
        return
    for inner in _nested(nodes[1:], value):
        yield from _holding(nodes[0], inner)


def _argument_holding(function: str, arguments: list[Any], value: Any) -> Iterator[Any]:
    if function in {"not_null", "to_string"}:
        for argument in arguments:
            yield from _holding(argument, value)
    if function == "join" and isinstance(value, str) and arguments[0]["type"] == "literal":
        parts, listed = value.split(arguments[0]["value"]), arguments[1]["children"]
        if len(parts) == len(listed):
            for each in product(*(list(_holding(node, part)) for node, part in zip(listed, parts, strict=True))):
                whole: Any = None
                for one in each:
                    whole = _merged(whole, one)
                yield whole


def _rows_holding(node: Mapping[str, Any]) -> Iterator[Any]:
    if node["type"] == "function_expression" and node["value"] == "values":
        yield from _holding(node["children"][0], {_KEY: _ROWS})
    elif node["type"] == "function_expression" and node["value"] == "not_null":
        yield from _rows_holding(node["children"][0])
    else:
        yield from _holding(node, [_ROWS])


def _merged(one: Any, other: Any) -> Any:
    if isinstance(one, dict) and isinstance(other, dict):
        return {**one, **{key: _merged(one.get(key), value) for key, value in other.items()}}
    if isinstance(one, list) and isinstance(other, list):
        longest = max(len(one), len(other))
        pairs = zip(one + [None] * (longest - len(one)), other + [None] * (longest - len(other)), strict=True)
        return [_merged(left, right) for left, right in pairs]
    return one if other is None else other
