"""Whether a document has the form that a JSON Schema asks for, said in our own words. Pure: the schema is handed in."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator, FormatChecker

from adapter.core import units
from adapter.core.other_words import REMOVED, meant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

ValidationError = Any  # jsonschema types each of its fields as perhaps unset; on an error that it yields, all are set
KeyPath = tuple[str | int, ...]
_UNITS = {"amount-of-memory": units.parse_bytes, "length-of-time": units.parse_seconds}
_FORMATS = FormatChecker(formats=())


def _check_format(name: str, parse: Callable[[Any], object]) -> None:
    @_FORMATS.checks(name, raises=ValueError)
    def has_unit(value: object) -> bool:
        if not isinstance(value, bool) and isinstance(value, str | int | float):  # else its type is wrong
            parse(value)
        return True


for _name, _parse in _UNITS.items():
    _check_format(_name, _parse)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One mistake in a document, before anyone knows in which file it stands.

    ``place`` is line and column (from 1) inside the text at ``path``; ``None`` means the whole value. ``at_key`` means
    that the key itself is wrong. ``missing`` are the keys one of which ``path`` lacks. ``kind`` is the error's family.
    """

    path: KeyPath
    message: str
    place: tuple[int, int] | None = None
    at_key: bool = False
    missing: tuple[str, ...] = ()
    kind: str = "form"


def dotted(path: Iterable[str | int]) -> str:
    """Return *path* as people write it: ``queues[0].max``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'monitor'?`` for the known word nearest to *word*, or nothing if none is near."""
    near = difflib.get_close_matches(word, sorted(map(str, known)), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def unknown(what: str, word: str, known: Iterable[str]) -> str:
    """Return the sentence for an unknown word: with the one that is meant or near, or with all if there is none."""
    names = sorted(known)
    if ours := meant(word, names):
        return f"unknown {what} {word!r}; did you mean {ours!r}?"
    listed = f"; known: {', '.join(names)}" if names else ""
    return f"unknown {what} {word!r}{nearest(word, names) or listed}"


def form_findings(document: object, schema: Mapping[str, Any]) -> list[Finding]:
    """Return everything in *document* that does not have the form of *schema*, each once."""
    errors: Iterable[Any] = Draft202012Validator(schema, format_checker=_FORMATS).iter_errors(document)
    return list(dict.fromkeys(finding for error in errors for finding in _of(error, ())))


def _of(error: ValidationError, base: KeyPath) -> Iterator[Finding]:
    path = (*base, *error.relative_path)
    if "propertyNames" in error.relative_schema_path:
        message = _choice(error) if error.validator == "enum" else _pattern(error)
        yield Finding(path=(*path, error.instance), message=message, at_key=True)
        return
    match error.validator:
        case "additionalProperties":
            yield from _unknown_keys(error, path)
        case "required":
            for key in error.validator_value:
                if key not in error.instance:
                    where = f" in {dotted(path)}" if path else ""
                    yield Finding(path=path, message=f"missing key {key!r}{where}", missing=(key,), at_key=True)
        case "anyOf" | "oneOf":
            yield from _branches(error, path)
        case _:
            say = _SENTENCES.get(str(error.validator))
            yield Finding(path=path, message=_named(path, say(error) if say else str(error.message)))


def _named(path: KeyPath, sentence: str) -> str:
    return f"{dotted(path)}: {sentence}" if path else sentence


def _unknown_keys(error: ValidationError, path: KeyPath) -> Iterator[Finding]:
    known = error.schema.get("properties", {})
    for key in error.instance:
        if key not in known:
            removed = REMOVED.get(dotted((*path, key)))
            message = f"the key {key!r} is gone: {removed}" if removed else unknown("key", key, known)
            yield Finding(path=(*path, key), message=message, at_key=True)


def _branches(error: ValidationError, path: KeyPath) -> Iterator[Finding]:
    """Speak of the branch that the writer meant: the one whose type fits what was written."""
    by_branch: dict[Any, list[ValidationError]] = {}
    for inner in error.context or ():
        by_branch.setdefault(inner.relative_schema_path[0], []).append(inner)
    meant = [
        inner
        for inner in by_branch.values()
        if not any(one.validator == "type" and not one.relative_path for one in inner)
    ]
    if meant:
        for inner in meant[0]:
            yield from _of(inner, path)
        return
    types = [word for inner in by_branch.values() for one in inner for word in _types(one) if not one.relative_path]
    yield Finding(path=path, message=_named(path, f"found {found(error.instance)}, expected {_either(types)}"))


def _types(error: ValidationError) -> list[str]:
    value = error.validator_value if error.validator == "type" else []
    return [value] if isinstance(value, str) else list(value)


_TYPE_NAMES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a map",
}


def _either(types: Sequence[str]) -> str:
    names = list(dict.fromkeys(_TYPE_NAMES[name] for name in types if name in _TYPE_NAMES))
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 2 else names)


def found(value: object) -> str:
    """Return what *value* is, in a few words."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return f"the text {value!r}" if len(value) <= 40 else "a long text"
        case int() | float():
            return f"the number {value}"
        case list():
            return "a list"
    return "a map"


def _pattern(error: ValidationError) -> str:
    return f"{error.instance!r} is not {error.schema.get('title', 'what is expected')}"


def _choice(error: ValidationError) -> str:
    values = error.validator_value if error.validator == "enum" else [error.validator_value]
    words = [str(value) for value in values if value is not None]
    near = nearest(error.instance, words) if isinstance(error.instance, str) else ""
    return f"found {found(error.instance)}, expected {'one of ' if len(words) > 1 else ''}{', '.join(words)}{near}"


_SENTENCES: dict[str, Callable[[ValidationError], str]] = {
    "type": lambda error: f"found {found(error.instance)}, expected {_either(_types(error))}",
    "enum": _choice,
    "const": _choice,
    "pattern": _pattern,
    "format": lambda error: str(error.cause),
    "minimum": lambda error: f"found {found(error.instance)}, expected {error.validator_value} or more",
    "maximum": lambda error: f"found {found(error.instance)}, expected {error.validator_value} or less",
    "exclusiveMinimum": lambda error: f"found {found(error.instance)}, expected more than {error.validator_value}",
    "minLength": lambda _: "found an empty text, expected one with content",
    "minItems": lambda error: f"found {len(error.instance)} entries, expected {error.validator_value} or more",
    "maxItems": lambda error: f"found {len(error.instance)} entries, expected {error.validator_value} or less",
    "minProperties": lambda error: f"found an empty map, expected {error.validator_value} or more entries",
}


def without(document: Any, findings: Iterable[Finding]) -> Any:
    """Return *document* without the values that *findings* refuse, so that the rest can still be checked.

    A refused entry of a list becomes ``None``, to leave the others at their places.
    """
    kept = _copy(document)
    for finding in findings:
        if not finding.path:
            if not finding.missing:
                return {}
            continue
        if finding.missing:
            continue
        *above, last = finding.path
        holder = kept
        for part in above:
            holder = _child(holder, part)
        if isinstance(holder, dict):
            holder.pop(last, None)
        elif isinstance(holder, list) and isinstance(last, int) and last < len(holder):
            holder[last] = None
    return kept


def without_echoes(findings: Iterable[Finding], refused: Iterable[KeyPath]) -> list[Finding]:
    """Return *findings* without the keys that are missing only because what stood for them was *refused*."""
    known = set(refused)
    return [finding for finding in findings if not finding.missing or not _echoes(finding, known)]


def _echoes(finding: Finding, refused: set[KeyPath]) -> bool:
    path = finding.path
    return any(
        path[: len(other)] == other
        or (other[:-1] == path and bool(difflib.get_close_matches(str(other[-1]), finding.missing, n=1)))
        for other in refused
    )


def without_nulls(value: Any) -> Any:
    """Return *value* without the keys whose value is null, in all its maps."""
    match value:
        case dict():
            return {key: without_nulls(item) for key, item in value.items() if item is not None}
        case list():
            return [without_nulls(item) for item in value]
    return value


def _child(holder: Any, part: str | int) -> Any:
    if isinstance(holder, dict):
        return holder.get(part)
    return holder[part] if isinstance(holder, list) and isinstance(part, int) and part < len(holder) else None


def _copy(value: Any) -> Any:
    match value:
        case dict():
            return {key: _copy(item) for key, item in value.items()}
        case list():
            return [_copy(item) for item in value]
    return value
