"""The environment of templates: Jinja's sandbox, in which no template can take for ever or fill the memory.

A backend file may be anybody's, and is looked at before it is trusted. So what a template works on is counted while it
is rendered: every character and every round of a loop that it makes counts against one limit.
"""

from __future__ import annotations

import functools
from contextlib import contextmanager
from contextvars import ContextVar
from types import BuiltinMethodType, MethodType
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from adapter.errors import RenderError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

MOST_WORK = 20_000_000
_MOST_BITS = 4096  # of a number
_LEFT: ContextVar[list[int]] = ContextVar("left")

_REFUSED = (
    nodes.Macro, nodes.CallBlock, nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Block,
)  # fmt: skip
_METHODS = frozenset(
    [
        "count", "endswith", "find", "get", "index", "isalnum", "isalpha", "isdigit", "items", "keys", "lower",
        "lstrip", "partition", "removeprefix", "removesuffix", "rfind", "rindex", "rpartition", "rsplit", "rstrip",
        "split", "splitlines", "startswith", "strip", "title", "upper", "values",
    ]
)  # fmt: skip
_AS_FILTERS = frozenset(["join", "replace"])


@contextmanager
def limited() -> Iterator[None]:
    """Bound the work of the templates that are rendered inside."""
    token = _LEFT.set([MOST_WORK])
    try:
        yield
    finally:
        _LEFT.reset(token)


def _spend(amount: float) -> None:
    left = _LEFT.get(None)
    if left is None:
        left = [MOST_WORK]  # an expression alone: it has no loop
    left[0] -= int(amount)
    if left[0] < 0:
        raise RenderError("the template makes more than a template may: a loop, or a text that grows without end")


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_size, value.values())) + sum(map(_size, value)) + 1
    if isinstance(value, list | tuple):
        return sum(len(item) if isinstance(item, str) else 1 for item in value) + 1
    return 1


def _counted(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the filter *function*, before which the most that it can make is counted."""

    @functools.wraps(function)
    def filtered(*arguments: Any, **named: Any) -> Any:
        values = [each for each in (*arguments, *named.values()) if not isinstance(each, _JINJA)]
        first = values[0] if values else ""
        count = len(first) + 1 if isinstance(first, str | list | tuple | dict) else 1
        _spend(_size(first) + count * sum(_size(value) for value in values[1:]))
        return function(*arguments, **named)

    return filtered


_JINJA = (jinja2.Environment, jinja2.nodes.EvalContext, jinja2.runtime.Context)


@jinja2.pass_context  # so that it is never worked out while the template is compiled
def _rounds(_: object, values: Iterable[Any], text: int) -> list[Any]:
    """Return the *values* of a loop, whose body has *text* characters of its own."""
    found = list(values)
    _spend(len(found) * (text + 10))
    return found


def _text(parts: list[Any]) -> str:
    """Return *parts* as one text: what `~` means."""
    _spend(_size(parts))
    return "".join(map(str, parts))


class _Counting(NodeTransformer):
    """Puts what counts into a template's tree."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 (Jinja's name for it)
        self.generic_visit(node)
        parts = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(parts, "_text", [], [], None, None, lineno=node.lineno)

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        if node.recursive:
            raise jinja2.TemplateSyntaxError("a loop that calls itself is not used here", node.lineno)
        self.generic_visit(node)
        text = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
        node.iter = nodes.Filter(node.iter, "_rounds", [nodes.Const(text)], [], None, None, lineno=node.lineno)
        return node


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (RecursionError, MemoryError, SyntaxError, OverflowError, ValueError) as error:  # a number of 5,000 digits
        raise jinja2.TemplateSyntaxError(f"it cannot be read: {error}", 1) from error


_SYNTAX = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)  # noqa: S701 (only parses: nothing is rendered)


def plain_tree(text: str) -> nodes.Template:
    """Return the tree of the template *text*, as it was written.

    Raises:
        jinja2.TemplateSyntaxError: it is no template.
    """
    with _readable():
        return _SYNTAX.parse(text)


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, with bounds, and without what templates here have no use for."""

    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def __init__(self, *, finalize: Callable[[object], object], **options: Any) -> None:
        """Return an environment in which *finalize* writes each value."""

        @jinja2.pass_context  # so that nothing is written while the template is compiled
        def write(_: object, value: object) -> object:
            written = finalize(value)
            _spend(len(written) if isinstance(written, str) else 1)
            return written

        super().__init__(finalize=write, optimized=False, **options)

    def use_filters(self, filters: Mapping[str, Callable[..., Any]]) -> None:
        """Let templates use these *filters*, and no others."""
        self.filters = {name: _counted(function) for name, function in filters.items()}
        self.filters.update(_rounds=_rounds, _text=_text)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        with _readable():
            tree = super()._parse(source, name, filename)
        for node in tree.find_all(_REFUSED):
            kind = type(node).__name__.lower().removesuffix("block")
            raise jinja2.TemplateSyntaxError(f"`{kind}` is not used here", node.lineno)
        return _Counting().visit(tree)  # type: ignore[no-any-return]

    def _generate(self, *arguments: Any, **named: Any) -> str:
        with _readable():
            return super()._generate(*arguments, **named)

    def _compile(self, source: str, filename: str) -> Any:
        with _readable():
            return super()._compile(source, filename)

    def call_binop(self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any) -> Any:
        """Return what *operator* makes of both, if that is not too large."""
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if operator == "%" and not numbers:
            raise RenderError("% of a text is not used here: write {{ }}")
        if operator == "**" and numbers and right * max(abs(left), 2).__trunc__().bit_length() > _MOST_BITS:
            raise RenderError("** makes too large a number")
        if operator == "*" and not numbers:
            sequence, times = (right, left) if isinstance(left, int) else (left, right)
            _spend(_size(sequence) * max(times, 0) if isinstance(times, int) else 1)
        made = super().call_binop(context, operator, left, right)
        if isinstance(made, int) and made.bit_length() > _MOST_BITS:
            raise RenderError(f"{operator} makes too large a number")
        _spend(_size(made))
        return made

    def call(self, context: jinja2.runtime.Context, function: Any, *arguments: Any, **named: Any) -> Any:
        """Return what a method of a text, a list or a map gives; nothing else can be called."""
        if isinstance(function, jinja2.Undefined):
            return super().call(context, function, *arguments, **named)  # raises with the name
        name = getattr(function, "__name__", "")
        owner = getattr(function, "__self__", None)
        if isinstance(function, MethodType | BuiltinMethodType) and isinstance(owner, str | list | tuple | dict):
            if isinstance(owner, str) and name in _AS_FILTERS:
                values = (arguments[0], owner, *arguments[1:]) if name == "join" else (owner, *arguments)
                return self.call_filter(name, values[0], values[1:], named, context=context)
            if name in _METHODS:
                return super().call(context, function, *arguments, **named)
        raise RenderError(f"{name or 'this'}() cannot be called here")
