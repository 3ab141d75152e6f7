"""Templates: text with ``{{ }}``, sandboxed and strict, in which every value is one quoted shell word by default."""

from __future__ import annotations

import functools
import re
import shlex
from typing import TYPE_CHECKING, Any

import jinja2
import jinja2.meta

from adapter.core import units
from adapter.core.sandbox import Sandbox, limited
from adapter.errors import RenderError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

KEPT_FILTERS = frozenset(
    [
        "default",
        "first",
        "last",
        "length",
        "lower",
        "upper",
        "replace",
        "trim",
        "int",
        "float",
        "round",
        "abs",
        "join",
        "map",
        "select",
        "reject",
        "items",
        "sort",
        "unique",
    ]
)


# Some schedulers read directives anywhere in a script. Two more quotes change nothing of a value but the line's head.
_LOOKS_LIKE_A_DIRECTIVE = re.compile(r"(?m)(?<=\n)(?=[^\S\n]*#)")
_HALF = re.compile("[\ud800-\udfff]")  # what Python makes of bytes that are not UTF-8


class Raw(str):
    """Text that is written as it stands: already quoted, or meant to be read by the shell."""

    __slots__ = ()


class _Unset(jinja2.StrictUndefined):
    """An undefined name: an error wherever it is used, except in a test like ``is defined``."""


def quote(value: object) -> str:
    """Return *value* as the text a template writes for it: one shell word.

    Raises:
        RenderError: *value* is not set, or is a list or a map (which ``words``, ``join`` and ``flags`` write).
    """
    match value:
        case Raw():
            return str(value)
        case jinja2.Undefined():
            return str(value)  # raises with the name
        case None:
            raise RenderError("the template writes a value that this task does not set; put it under `options`")
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return f"{value:.12g}"
        case str():
            if "\0" in value:
                raise RenderError(f"{value!r} holds a NUL byte, which no command line can carry")
            if _HALF.search(value):
                raise RenderError(f"{value!r} holds half a character (a surrogate), which cannot be written as UTF-8")
            return _LOOKS_LIKE_A_DIRECTIVE.sub("''", shlex.quote(value))
    raise RenderError(
        f"a {type(value).__name__} cannot be one word; use `| words`, `| join(',')` or `| flags('--name')`"
    )


def words(values: Iterable[object]) -> Raw:
    """Return *values* as quoted words with a space between."""
    return Raw(" ".join(quote(value) for value in values))


def flags(values: Mapping[str, object], flag: str) -> Raw:
    """Return ``flag key=value`` for each entry of *values*, quoted."""
    return Raw(" ".join(f"{flag} {quote(f'{key}={value}')}" for key, value in values.items()))


def raw(value: object) -> Raw:
    """Return *value* unquoted: the visible exception."""
    return Raw("" if value is None else str(value))


def _plain_text(value: object) -> object:
    if value is None or isinstance(value, list | tuple | dict):
        quote(value)  # raises with the reason
    return "true" if value is True else "false" if value is False else value


_TARGET_NAME = re.compile(r"(\$[A-Za-z_][A-Za-z0-9_]*|\$\{[A-Za-z_][A-Za-z0-9_]*\})")


def target_path(value: object) -> Raw:
    """Return shell text for a path: ``~`` in front and ``$NAME`` are the target's, the rest is literal and quoted.

    A name that is not set there ends the command with a message, so that no path becomes a shorter one.

    >>> print(target_path("~/my images"))
    "${HOME:?is not set on the target}"'/my images'
    """
    if isinstance(value, Raw) or not isinstance(value, str):
        return Raw(quote(value))
    text = f"$HOME{value[1:]}" if value[:2] in {"~", "~/"} else value
    return Raw("".join(_expanded(piece) for piece in _TARGET_NAME.split(text) if piece) or quote(""))


def needs_target(path: str) -> bool:
    """Whether *path* means something that only the target knows: it begins with ``~``, or holds ``$NAME``."""
    return path[:2] in {"~", "~/"} or bool(_TARGET_NAME.search(path))


def _expanded(piece: str) -> str:
    name = piece.strip("${}")
    return f'"${{{name}:?is not set on the target}}"' if _TARGET_NAME.fullmatch(piece) else quote(piece)


def between(values: Iterable[object], before: str, after: str = "") -> list[str]:
    """Return each of *values* with *before* in front and *after* behind; what was quoted already stays so."""
    return [concat((before, value, after)) if isinstance(value, Raw) else f"{before}{value}{after}" for value in values]


def concat(parts: Iterable[object]) -> str:
    """Return *parts* as one text; where one of them was quoted already, the others are quoted to stand beside it."""
    pieces = list(parts)
    if any(isinstance(piece, Raw) for piece in pieces):
        return Raw("".join(quote(piece) for piece in pieces if piece != ""))
    return "".join(pieces)  # type: ignore[arg-type]  # raises where one is no text


def merged(base: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    """Return *base* with the entries of *over*."""
    return {**base, **over}


def refuse(words_for_a_person: object) -> str:
    """Refuse to render, with these words: for what a backend's form cannot say.

    Raises:
        RenderError: always.
    """
    raise RenderError(str(words_for_a_person))


def refusing(value: object, *parts: str) -> object:
    """Return *value*, which may hold none of *parts*: a scheduler would read them as its own, and has no way to say so.

    Raises:
        RenderError: it holds one.
    """
    for part in parts:
        if part in str(value):
            raise RenderError(f"{str(value)!r} holds {part!r}, which the scheduler would read as its own", part=part)
    return value


def operand(value: object) -> object:
    """Return *value*, which stands alone on a command line and so must not look like an option.

    Raises:
        RenderError: it begins with ``-``.
    """
    if str(value).startswith("-"):
        raise RenderError(f"{value!r} begins with -, and would be taken for an option")
    return value


def _environment(finalize: Callable[[object], object]) -> Sandbox:
    environment = Sandbox(
        undefined=_Unset, finalize=finalize, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.clear()
    environment.use_filters({name: environment.filters[name] for name in KEPT_FILTERS} | units.FILTERS | OWN_FILTERS)
    return environment


OWN_FILTERS: dict[str, Callable[..., Any]] = {
    "words": words, "flags": flags, "raw": raw, "path": target_path, "concat": concat, "between": between,
    "merge": merged, "refuse": refuse, "refusing": refusing, "operand": operand,
}  # fmt: skip


_ENVIRONMENT = _environment(quote)
_PLAIN_ENVIRONMENT = _environment(_plain_text)
FILTER_NAMES = frozenset([*KEPT_FILTERS, *units.FILTERS, *OWN_FILTERS])


@functools.lru_cache(maxsize=4096)  # files that extend others share most of their texts
def _compiled(environment: Sandbox, text: str) -> tuple[frozenset[str], jinja2.Template]:
    names = jinja2.meta.find_undeclared_variables(environment.parse(text))
    return frozenset(names), environment.from_string(text)


class Template:
    """A compiled template. Two templates of the same text are the same to every caller."""

    _environment = _ENVIRONMENT

    def __init__(self, text: str) -> None:
        """Compile *text*.

        Raises:
            jinja2.TemplateSyntaxError: it does not compile; ``lineno`` counts from 1 within *text*.
        """
        self.text = text
        self.variables, self._template = _compiled(self._environment, text)

    def render(self, values: Mapping[str, Any]) -> str:
        """Return the text for *values*.

        Raises:
            RenderError: a value is missing or cannot be written where the template puts it.
        """
        try:
            with limited():
                return self._template.render(values)
        except jinja2.UndefinedError as error:
            raise RenderError(f"{error.message}, in {_one_line(self.text)}") from error
        except RenderError as error:
            raise RenderError(f"{error}, in {_one_line(self.text)}", part=error.part) from error
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise RenderError(f"{error}, in {_one_line(self.text)}") from error

    def __repr__(self) -> str:
        return f"Template({self.text!r})"


class PlainTemplate(Template):
    """A template whose values are written as they are: for text that no shell reads."""

    _environment = _PLAIN_ENVIRONMENT


class Expression:
    """A compiled expression whose value keeps its type."""

    def __init__(self, text: str) -> None:
        """Compile *text*.

        Raises:
            jinja2.TemplateSyntaxError: it does not compile.
        """
        self.text = text
        self.variables: frozenset[str] = _names_in(text)
        self._expression = _ENVIRONMENT.compile_expression(text, undefined_to_none=False)

    def value(self, values: Mapping[str, Any]) -> Any:
        """Return the value for *values*.

        Raises:
            RenderError: a name in it is not set, or it cannot be worked out.
        """
        try:
            value = self._expression(**values)
            if isinstance(value, jinja2.Undefined):
                str(value)  # raises with the name
        except (jinja2.TemplateError, RenderError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise RenderError(f"{error}, in {self.text}") from error
        return value


@functools.lru_cache(maxsize=4096)
def _names_in(expression: str) -> frozenset[str]:
    return frozenset(jinja2.meta.find_undeclared_variables(_ENVIRONMENT.parse("{{ " + expression + " }}")))


class Condition:
    """A compiled expression, such as ``walltime <= 3600``; a name that is not set makes it false."""

    def __init__(self, text: str) -> None:
        """Compile *text*.

        Raises:
            jinja2.TemplateSyntaxError: it does not compile.
        """
        self.text = text
        self.variables: frozenset[str] = _names_in(text)
        self._expression = _ENVIRONMENT.compile_expression(text, undefined_to_none=True)

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether the expression is true for *values*; comparing with a value that is not set is not."""
        try:
            return bool(self._expression(**values))
        except TypeError:  # None <= 3600
            return False
        except jinja2.TemplateError as error:
            raise RenderError(f"{error}, in {self.text}") from error


def _one_line(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= 80 else line[:77] + "..."


HOSTILE = "a b'c\"d$(touch x)`e`;f|g>h&i\\j*k~#l\tm\nn\N{LATIN SMALL LETTER E WITH ACUTE}"
_PLAIN = "plainword"


def quoting_defeat(template: Template, values: Mapping[str, Any]) -> str | None:
    """Return the variable whose quoting *template* defeats, or ``None`` if every value stays one word.

    The proof: a hostile value must appear, once the rendered text is read as the shell reads it, wherever a plain one
    did, and change nothing else. ``{{ name }}`` inside quotes of the template's own fails it.
    *values* gives each variable a value of its real type; only the texts (and the texts in lists and maps) are tried.
    """
    for name in sorted(template.variables):
        plain, hostile = _replace_texts(values.get(name), _PLAIN), _replace_texts(values.get(name), HOSTILE)
        if plain == hostile:
            continue
        tame = _read_words(template.render({**values, name: plain}))
        if tame is None or not any(_PLAIN in word for word in tame):
            continue
        wild, tried = _wild(template, values, name)
        if wild is None or [word.replace(_PLAIN, tried) for word in tame] != wild:
            return name
    return None


def _wild(template: Template, values: Mapping[str, Any], name: str) -> tuple[list[str] | None, str]:
    """Return the words that *template* gives for a hostile value of *name*, and that value: without what it refuses."""
    hostile = HOSTILE
    while True:
        try:
            return _read_words(template.render({**values, name: _replace_texts(values.get(name), hostile)})), hostile
        except RenderError as error:
            if not error.part or error.part not in hostile:
                raise
            hostile = hostile.replace(error.part, "")


def unreadable(text: str) -> str | None:
    """Return why the shell could not read *text* as words, or ``None``."""
    try:
        shlex.split(text)
    except ValueError as error:
        return str(error).lower()
    return None


@functools.lru_cache(maxsize=1024)
def _read_words(text: str) -> list[str] | None:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return list(lexer)
    except ValueError:
        return None


def _replace_texts(value: Any, text: str) -> Any:
    match value:
        case Raw():
            return value
        case str():
            return text
        case list() | tuple():
            return [_replace_texts(item, text) for item in value]
        case dict():
            return {key: _replace_texts(item, text) for key, item in value.items()}
    return value


_TAG = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_NAME = re.compile(r"\b[A-Za-z_]\w*\b")


def position_of(text: str, name: str, *, line: int = 1) -> tuple[int, int]:
    """Return line and column (both from 1) at which the template *text* first uses *name*, from *line* on.

    Only what stands inside ``{{ }}`` or ``{% %}`` is a use: in ``--name={{ name }}`` it is the second.
    """
    start = sum(len(before) for before in text.splitlines(keepends=True)[: line - 1])
    for tag in _TAG.finditer(text, start):
        for match in _NAME.finditer(text, tag.start(), tag.end()):
            if match[0] == name:
                return text.count("\n", 0, match.start()) + 1, match.start() - text.rfind("\n", 0, match.start())
    return line, 1
