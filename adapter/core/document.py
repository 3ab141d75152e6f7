"""A document for a service: a YAML structure rendered leaf by leaf into JSON. No JSON is ever glued from text.

A leaf that is one ``{{ expression }}`` keeps the type of its value; any other text is a template, and its values are
not quoted, because no shell reads them. A leaf that is null drops its key, and so is a map or list dropped that is left
empty by that. ``$for: NAME in EXPRESSION`` with ``$item`` makes a list, ``$when: EXPRESSION`` keeps its map only if
it holds.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapter.core.template import Condition, Expression, PlainTemplate
from adapter.errors import RenderError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FOR, ITEM, WHEN = "$for", "$item", "$when"
_LOOP = re.compile(r"^\s*(?P<names>[A-Za-z_]\w*(?:\s*,\s*[A-Za-z_]\w*)*)\s+in\s+(?P<values>.+)$", re.DOTALL)
_ONE_EXPRESSION = re.compile(r"^\{\{((?:(?!\}\}).)*)\}\}$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Document:
    """A structure of templates, compiled."""

    root: Any
    variables: frozenset[str]

    def render(self, values: Mapping[str, Any]) -> str:
        """Return the JSON for *values*.

        Raises:
            RenderError: a value is missing, or is nothing that JSON can hold.
        """
        return json.dumps(self.structure(values), indent=2, ensure_ascii=False) + "\n"

    def structure(self, values: Mapping[str, Any]) -> Any:
        """Return what :meth:`render` writes, as plain maps, lists and values."""
        return _rendered(self.root, values)


def document_from(structure: Any) -> Document:
    """Return the document that *structure*, as it stands in a backend file, describes.

    Raises:
        jinja2.TemplateSyntaxError: a leaf does not compile.
        ValueError: a ``$for`` is not ``NAME in EXPRESSION``, or stands without ``$item``.
    """
    names: set[str] = set()
    return Document(_compiled(structure, names, frozenset()), frozenset(names))


@dataclass(frozen=True, slots=True)
class _Loop:
    names: tuple[str, ...]
    values: Expression
    item: Any


@dataclass(frozen=True, slots=True)
class _Kept:
    condition: Condition
    entry: dict[str, Any]


def loop_in(text: str) -> tuple[tuple[str, ...], str]:
    """Return the names and the expression of a ``$for``.

    Raises:
        ValueError: *text* has another form.
    """
    match = _LOOP.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a loop; write it like 'step in steps' or 'name, value in env | items'")
    return tuple(name.strip() for name in match["names"].split(",")), match["values"]


def expression_in(text: str) -> str | None:
    """Return the expression of a leaf that is nothing but one, or ``None``."""
    match = _ONE_EXPRESSION.match(text.strip())
    return match[1].strip() if match else None


def _compiled(entry: Any, names: set[str], local: frozenset[str]) -> Any:
    match entry:
        case dict() if FOR in entry:
            loop, source = loop_in(entry[FOR])
            values = Expression(source)
            names |= values.variables - local
            return _Loop(loop, values, _compiled(entry[ITEM], names, local | set(loop)))
        case dict():
            inner = {key: _compiled(value, names, local) for key, value in entry.items() if key != WHEN}
            if WHEN not in entry:
                return inner
            condition = Condition(entry[WHEN])
            names |= condition.variables - local
            return _Kept(condition, inner)
        case list():
            return [_compiled(value, names, local) for value in entry]
        case str() if "{{" in entry or "{%" in entry:
            source_text = expression_in(entry)
            leaf = PlainTemplate(entry) if source_text is None else Expression(source_text)
            names |= leaf.variables - local
            return leaf
    return entry


def _rendered(entry: Any, values: Mapping[str, Any]) -> Any:
    match entry:
        case Expression():
            entry = _plain(entry.value(values))
        case PlainTemplate():
            entry = entry.render(values)
        case _Kept():
            entry = _rendered(entry.entry, values) if entry.condition.holds(values) else None
        case _Loop():
            entry = _emptied(entry, [_rendered(entry.item, inner) for inner in _turns(entry, values)])
        case dict():
            pairs = ((key, _rendered(value, values)) for key, value in entry.items())
            entry = _emptied(entry, {key: value for key, value in pairs if value is not None})
        case list():
            items = (_rendered(value, values) for value in entry)
            entry = _emptied(entry, [value for value in items if value is not None])
    return entry


def _emptied(source: Any, rendered: Any) -> Any:
    """Return ``None`` for what became empty, and keep what was written empty."""
    return rendered if rendered or not source else None


def _turns(loop: _Loop, values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for value in loop.values.value(values) or ():
        if len(loop.names) == 1:
            yield {**values, loop.names[0]: value}
        else:
            yield {**values, **dict(zip(loop.names, value, strict=True))}


def _plain(value: Any) -> Any:
    """Return *value* as JSON knows it.

    Raises:
        RenderError: JSON has no such thing.
    """
    match value:
        case str():
            return str(value)
        case None | bool() | int() | float():
            return value
        case dict():
            return {str(key): _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
    if hasattr(value, "__iter__"):  # what a filter such as `map` gives
        return [_plain(inner) for inner in value]
    raise RenderError(f"a {type(value).__name__} cannot stand in a JSON document")
