"""Whether what reads answers makes sense: regular expressions, records with fields, JMESPath."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

import jmespath
from jmespath.exceptions import ParseError

from adapter.core.pattern import can_take_for_ever
from adapter.core.schema import Finding, KeyPath, dotted, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

GROUPS = frozenset({
    "job_id", "state", "reason", "exit_code", "signal", "wall", "cpu", "user_cpu", "system_cpu", "peak_ram", "message",
    "token",
})  # fmt: skip
_NEEDED = {"monitor": ("job_id", "state"), "result": ("job_id",), "find": ("job_id", "token"), "watch": ("job_id",)}
QUALIFIER = "qualifier"  # only where an id is learnt: a command about jobs is about those of one
_FORMS = ("row", "record", "json")


def answer_problems(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Everything wrong with how the answers of the commands in a backend *document* are read."""
    yield from _submit(document.get("submit") or {}, is_abstract=bool(document.get("abstract")))
    for section, needed in _NEEDED.items():
        spec = document.get(section)
        if isinstance(spec, dict):
            yield from _query((section,), spec, needed)
    yield from _watch(document)
    version = document.get("version")
    if isinstance(version, dict) and isinstance(version.get("pattern"), str):
        yield from pattern_problems(
            ("version", "pattern"), version["pattern"], needed=("version",), allowed={"version"}
        )
    errors = dict(document.get("errors") or {})
    otherwise = errors.pop("otherwise", None) or {}
    yield from _error_classes(("errors",), errors)
    yield from _error_classes(("errors", "otherwise"), otherwise)


def _error_classes(path: KeyPath, classes: Mapping[str, Any]) -> Iterator[Finding]:
    for kind, texts in classes.items():
        for index, text in enumerate(texts or ()):
            if isinstance(text, str):
                yield from pattern_problems((*path, kind, index), text, needed=(), allowed=None)


def _submit(spec: Mapping[str, Any], *, is_abstract: bool) -> Iterator[Finding]:
    path: KeyPath = ("submit",)
    if isinstance(spec.get("job_id"), str) and spec.get("json"):
        yield Finding(path=(*path, "json"), message="submit has both job_id and json; keep one", at_key=True)
    if isinstance(spec.get("job_id"), str):
        yield from pattern_problems((*path, "job_id"), spec["job_id"], needed=("job_id",), allowed={*GROUPS, QUALIFIER})
    elif spec.get("json"):
        yield from _json((*path, "json"), spec["json"], ("job_id",))
    elif isinstance(spec.get("command"), str) and not is_abstract:
        sentence = "missing key 'job_id' in submit"
        yield Finding(path=path, message=sentence, at_key=True, missing=("job_id", "json"))


def _query(path: KeyPath, spec: Mapping[str, Any], needed: Iterable[str]) -> Iterator[Finding]:
    forms = [form for form in _FORMS if spec.get(form)]
    if len(forms) > 1:
        sentence = f"{dotted(path)} has both {forms[0]} and {forms[1]}; keep one"
        yield Finding(path=(*path, forms[1]), message=sentence, at_key=True)
    if isinstance(spec.get("row"), str):
        allowed = {*GROUPS, QUALIFIER} if "token" in needed else GROUPS
        yield from pattern_problems((*path, "row"), spec["row"], needed=needed, allowed=allowed)
    if isinstance(spec.get("record"), str):
        yield from pattern_problems((*path, "record"), spec["record"], needed=(), allowed=())
        yield from _fields((*path, "fields"), spec.get("fields") or {}, needed)
    if isinstance(spec.get("json"), dict):
        yield from _json((*path, "json"), spec["json"], needed)


def _watch(document: Mapping[str, Any]) -> Iterator[Finding]:
    """A watch reads as the monitor does, or says itself how."""
    watch, monitor = (document.get(key) or {} for key in ("watch", "monitor"))
    if isinstance(watch.get("command"), str) and not any(form in each for form in _FORMS for each in (watch, monitor)):
        sentence = "watch reads nothing: give it `row`, a pattern for one line with the group job_id"
        yield Finding(path=("watch",), message=sentence, at_key=True, missing=("row",))


def _fields(path: KeyPath, fields: Mapping[str, Any], needed: Iterable[str]) -> Iterator[Finding]:
    for name, text in fields.items():
        if isinstance(text, str):
            yield from pattern_problems((*path, name), text, needed=(), allowed=None)
    yield from _missing(path, fields, needed)


def _json(path: KeyPath, expressions: Mapping[str, Any], needed: Iterable[str]) -> Iterator[Finding]:
    for name, text in expressions.items():
        if isinstance(text, str):
            yield from expression_problems((*path, name), text)
    yield from _missing(path, expressions, needed)


def expression_problems(path: KeyPath, text: str) -> Iterator[Finding]:
    """What is wrong with one JMESPath expression."""
    try:
        jmespath.compile(text)
    except ParseError as error:
        where = getattr(error, "lex_position", 0) or 0
        why = str(error).partition("\n")[0].partition(", for expression")[0]
        sentence = f"{dotted(path)} is not a JMESPath expression: {why[0].lower()}{why[1:]}".rstrip(":")
        yield Finding(path=path, message=sentence, place=(1, where + 1), kind="pattern")


def _missing(path: KeyPath, given: Mapping[str, Any], needed: Iterable[str]) -> Iterator[Finding]:
    for name in needed:
        if given.get(name) is None:
            yield Finding(path=path, message=f"missing key {name!r} in {dotted(path)}", missing=(name,), at_key=True)


def pattern_problems(
    path: KeyPath, text: str, *, needed: Iterable[str], allowed: Iterable[str] | None
) -> Iterator[Finding]:
    """What is wrong with one regular expression; *allowed* ``None`` lets its groups be named anything."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            groups = set(re.compile(text).groupindex)
    except re.error as error:
        place = (error.lineno, error.colno) if error.lineno and error.colno else None
        yield Finding(path=path, message=f"{dotted(path)} does not compile: {error.msg}", place=place, kind="pattern")
        return
    except (OverflowError, RecursionError) as error:
        yield Finding(path=path, message=f"{dotted(path)} does not compile: {error}", kind="pattern")
        return
    for name in needed:
        if name not in groups:
            sentence = f"{dotted(path)} needs a named group (?P<{name}>...)"
            yield Finding(path=path, message=sentence, kind="pattern")
    for name in sorted(groups - set(allowed)) if allowed is not None else ():
        before = text[: text.find(f"<{name}>") + 1]
        place = (before.count("\n") + 1, len(before) - before.rfind("\n"))
        yield Finding(path=path, message=unknown("group", name, allowed or ()), place=place, kind="pattern")
    if can_take_for_ever(text):
        sentence = (
            f"{dotted(path)} can take for ever on text that does not match: a repeat inside a repeat; "
            "put something certain between the rounds or make the inner one possessive (++)"
        )
        yield Finding(path=path, message=sentence, kind="pattern")
