"""Whether the templates of a backend file make sense: they compile, use known names, and leave the quoting alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2 import nodes

from adapter.core.document import FOR, ITEM, WHEN, loop_in
from adapter.core.sandbox import plain_tree
from adapter.core.schema import Finding, KeyPath, dotted, nearest, unknown
from adapter.core.template import (
    FILTER_NAMES,
    Condition,
    Raw,
    Template,
    position_of,
    quoting_defeat,
    unreadable,
)
from adapter.core.variables import sample_values
from adapter.errors import RenderError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Tried:
    """Templates, compiled and tried with sample values of one document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._samples = sample_values(document.get("values") or {})
        self._is_abstract = bool(document.get("abstract"))

    def compiled(self, path: KeyPath, text: str, known: set[str], *, shift: int = 0) -> Iterator[Finding]:
        """What is wrong with the words of a template; *shift* is how much was put before the writer's own text."""
        try:
            tree = plain_tree(text)
            used = sorted({node.name for node in tree.find_all(nodes.Filter) if node.name not in FILTER_NAMES})
            yield from (
                _template_finding(path, text, name, unknown("filter", name, FILTER_NAMES), shift=shift) for name in used
            )
            variables = () if used else sorted(Template(text).variables)
        except jinja2.TemplateSyntaxError as error:
            sentence = f"{dotted(path)} does not compile as a template: {error.message}"
            yield Finding(path=path, message=sentence, place=_line_start(text, error.lineno), kind="template")
            return
        for name in variables:
            if name not in known and not self._is_abstract:
                yield _template_finding(path, text, name, unknown("variable", name, known), shift=shift)

    def command(self, path: KeyPath, text: str, known: set[str]) -> Iterator[Finding]:
        """What is wrong with a command: also that the shell cannot read it, or that it quotes values itself."""
        yield from self._rendered(path, text, known, must_be_readable=True)

    def script(self, path: KeyPath, text: str, known: set[str]) -> Iterator[Finding]:
        """What is wrong with a script. Its comments may hold single quotes: shlex is not asked to read all of it."""
        yield from self._rendered(path, text, known, must_be_readable=False)

    def _rendered(self, path: KeyPath, text: str, known: set[str], *, must_be_readable: bool) -> Iterator[Finding]:
        wrong = list(self.compiled(path, text, known))
        yield from wrong
        samples = {**self._samples, **_raw_samples(text, self._samples)} if not wrong else {}
        if wrong or not samples.keys() >= Template(text).variables:
            return
        try:
            rendered = Template(text).render(samples)
            defeated = quoting_defeat(Template(text), samples)
        except RenderError as error:
            yield Finding(path=path, message=f"{dotted(path)} cannot be rendered: {error}", kind="template")
            return
        if defeated:
            sentence = f"{{{{ {defeated} }}}} stands inside quotes; values are quoted already: remove the quotes"
            yield Finding(path=path, message=sentence, place=_defeat(text, defeated, samples), kind="template")
        elif must_be_readable and (why := unreadable(rendered)):
            yield Finding(path=path, message=f"the shell cannot read {dotted(path)}: {why}", kind="template")

    def options(self, path: KeyPath, entries: Mapping[str, Any] | None, known: set[str]) -> Iterator[Finding]:
        """What is wrong with ``options``: an entry is written where the value of its name is set."""
        for name, entry in (entries or {}).items():
            here = (*path, name)
            if isinstance(entry, str):
                if name not in known and not self._is_abstract:
                    hint = "; an entry is written where the value of its name is set, or use {when: ..., text: ...}"
                    sentence = unknown("variable", name, known) if nearest(name, known) else f"no variable {name!r}"
                    yield Finding(path=here, message=sentence + hint, at_key=True, kind="template")
                yield from self.command(here, entry, known)
            elif isinstance(entry, dict):
                if isinstance(entry.get("text"), str):
                    yield from self.command((*here, "text"), entry["text"], known)
                if isinstance(entry.get("when"), str):
                    yield from self.condition((*here, "when"), entry["when"], known)

    def condition(self, path: KeyPath, text: str, known: set[str]) -> Iterator[Finding]:
        """What is wrong with an expression such as ``walltime <= 3600``."""
        wrong = list(self.compiled(path, _OPEN + text + " }}", known, shift=len(_OPEN)))
        if not wrong:
            try:
                Condition(text)
            except jinja2.TemplateSyntaxError as error:
                wrong = [Finding(path=path, message=str(error.message), kind="template")]
        for finding in wrong:
            if finding.message.startswith("unknown"):
                yield finding
            else:
                reason = finding.message.partition("as a template: ")[2] or finding.message
                reason = reason.replace("unexpected 'end of print statement'", "it ends too early")
                yield replace(finding, message=f"{dotted(path)} is not an expression: {reason}", place=None)


_ORDERING = frozenset({"lt", "lteq", "gt", "gteq"})


def compared_names(text: str) -> list[str]:
    """Return the names that *text* compares by size, without a word about what holds where they are not set.

    >>> compared_names("ram < 100 and walltime and walltime <= 60")
    ['ram']
    """
    tree = plain_tree(_OPEN + text + " }}")
    compared = [
        side.name
        for comparison in tree.find_all(nodes.Compare)
        if any(operand.op in _ORDERING for operand in comparison.ops)
        for side in (comparison.expr, *(operand.expr for operand in comparison.ops))
        if isinstance(side, nodes.Name)
    ]
    used = [node.name for node in tree.find_all(nodes.Name)]
    return sorted({name for name in compared if used.count(name) == compared.count(name)})


def leaf_problems(tried: Tried, path: KeyPath, entry: Any, known: set[str]) -> Iterator[Finding]:
    """What is wrong with the structure of a service's document at *path*."""
    match entry:
        case dict() if FOR in entry:
            yield from _loop_problems(tried, path, entry, known)
        case dict():
            for key, value in entry.items():
                if key == WHEN and isinstance(value, str):
                    yield from tried.condition((*path, key), value, known)
                else:
                    yield from leaf_problems(tried, (*path, key), value, known)
        case list():
            for index, value in enumerate(entry):
                yield from leaf_problems(tried, (*path, index), value, known)
        case str():
            yield from tried.compiled(path, entry, known)


def _loop_problems(tried: Tried, path: KeyPath, entry: Mapping[str, Any], known: set[str]) -> Iterator[Finding]:
    for key in entry.keys() - {FOR, ITEM}:
        yield Finding(path=(*path, key), message=unknown("key", str(key), (FOR, ITEM)), at_key=True)
    if ITEM not in entry:
        yield Finding(path=path, message=f"a {FOR} needs {ITEM}: what each turn gives", missing=(ITEM,), at_key=True)
        return
    try:
        names, source = loop_in(str(entry[FOR]))
    except ValueError as error:
        yield Finding(path=(*path, FOR), message=str(error), kind="template")
        return
    before = len(str(entry[FOR])) - len(source)
    for finding in tried.condition((*path, FOR), source, known):
        place = finding.place and (finding.place[0], finding.place[1] + (before if finding.place[0] == 1 else 0))
        yield replace(finding, place=place)
    yield from leaf_problems(tried, (*path, ITEM), entry[ITEM], known | set(names))


_OPEN = "{{ "


def _template_finding(path: KeyPath, text: str, name: str, message: str, *, shift: int) -> Finding:
    line, column = position_of(text, name)
    place = (line, max(1, column - shift) if line == 1 else column)
    return Finding(path=path, message=message, place=place, kind="template")


def _line_start(text: str, number: int) -> tuple[int, int]:
    lines = text.splitlines() or [""]
    line = lines[min(number, len(lines)) - 1]
    return min(number, len(lines)), len(line) - len(line.lstrip()) + 1


def _raw_samples(text: str, samples: Mapping[str, Any]) -> dict[str, Any]:
    """Return samples for the values that *text* writes with ``| raw``: their author took the quoting in hand."""
    names = {
        name.name
        for node in plain_tree(text).find_all(nodes.Filter)
        if node.name == "raw" and node.node is not None
        for name in (node.node, *node.node.find_all(nodes.Name))
        if isinstance(name, nodes.Name)
    }
    raw: dict[str, Any] = {name: Raw(samples[name]) for name in names if isinstance(samples.get(name), str)}
    lists = {name: [Raw(text) for text in samples[name]] for name in names if isinstance(samples.get(name), list)}
    return raw | lists


def _defeat(text: str, name: str, samples: Mapping[str, Any]) -> tuple[int, int]:
    """Return where *name* stands in quotes: in the first line that shows it alone, else where *name* stands first."""
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            if quoting_defeat(Template(line), samples) == name:
                return number, position_of(line, name)[1]
        except (jinja2.TemplateError, RenderError):
            continue
    return position_of(text, name)
