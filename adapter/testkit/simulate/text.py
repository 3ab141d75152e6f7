"""Text that a regular expression reads, with given texts in its groups: the opposite of matching."""

from __future__ import annotations

import re
import re._constants as constants  # type: ignore[import-not-found]  # CPython's own: typeshed does not describe it
import re._parser as parser  # type: ignore[import-not-found]
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from adapter.core.pattern import CATEGORIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_MOST = 400  # ways that are tried for one pattern
_SAMPLES = "0aA1bBzZ9_-. :,/|=\t" + "".join(map(chr, range(33, 127))) + "\n"
_REPEATS = {constants.MAX_REPEAT, constants.MIN_REPEAT, constants.POSSESSIVE_REPEAT}


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in a text that is filled when it is written: ``job_id``, ``exit_code``, ..."""

    name: str


Pieces = tuple[str | Slot, ...]


@dataclass(frozen=True, slots=True)
class Fitting:
    """A text for a pattern. ``later`` is what its look-aheads want to find behind it."""

    pieces: Pieces = ()
    later: Pieces = ()

    def __add__(self, other: Fitting) -> Fitting:
        return Fitting(self.pieces + other.pieces, self.later + other.later)


def filled(pieces: Pieces, values: Mapping[str, str]) -> str:
    """Return the text of *pieces* with every slot filled."""
    return "".join(piece if isinstance(piece, str) else values[piece.name] for piece in pieces)


def joined(pieces: Iterable[str | Slot]) -> Pieces:
    """Return *pieces* with texts that follow each other made one."""
    merged: list[str | Slot] = []
    for piece in pieces:
        last = merged[-1] if merged else None
        if isinstance(piece, str) and isinstance(last, str):
            merged[-1] = last + piece
        elif piece != "":
            merged.append(piece)
    return tuple(merged)


def fitting(
    pattern: re.Pattern[str], wanted: Mapping[str, Pieces], *, first: Pieces | None = None
) -> Iterator[Fitting]:
    """Yield texts for *pattern*, the likeliest first; some may not fit: the caller tries them.

    *wanted* is what the named groups shall hold. *first*, where groups have no names: what each group shall hold.
    """
    tree = parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE)
    names = {number: name for name, number in tree.state.groupdict.items()}
    values = {number: wanted[name] for number, name in names.items() if name in wanted}
    if first is not None:
        values |= dict.fromkeys(range(1, tree.state.groups), first)
    return islice(_Maker(values).sequence(list(tree)), _MOST)


def number_in(pattern: re.Pattern[str], group: str) -> Iterator[Pieces]:
    """Yield what *group* of *pattern* may hold, with a slot ``number`` where any digits may stand."""
    tree = parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE)
    number = tree.state.groupdict.get(group) or 1
    body = _body_of(list(tree), number)
    if body is not None:
        for made in islice(_Maker({}, counts=True).sequence(body), _MOST):
            if made.pieces.count(Slot("number")) == 1:
                yield joined(made.pieces)


def _body_of(items: list[Any], number: int) -> list[Any] | None:
    for operation, argument in items:
        if operation is constants.SUBPATTERN and argument[0] == number:
            return list(argument[3])
        for inner in _inside(operation, argument):
            found = _body_of(list(inner), number)
            if found is not None:
                return found
    return None


def _inside(operation: Any, argument: Any) -> list[Any]:
    if operation in _REPEATS:
        return [argument[2]]
    if operation is constants.SUBPATTERN:
        return [argument[3]]
    if operation is constants.BRANCH:
        return list(argument[1])
    if operation in {constants.ASSERT, constants.ASSERT_NOT}:
        return [argument[1]]
    return [argument] if operation is constants.ATOMIC_GROUP else []


class _Maker:
    """Makes texts for the parts of one pattern. ``counts``: the first run of digits becomes the slot ``number``."""

    def __init__(self, values: Mapping[int, Pieces], *, counts: bool = False) -> None:
        self._values = values
        self._counts = counts

    def sequence(self, items: list[Any]) -> Iterator[Fitting]:
        if not items:
            yield Fitting()
            return
        for head in self._one(*items[0]):
            for tail in self.sequence(items[1:]):
                yield head + tail

    def _one(self, operation: Any, argument: Any) -> Iterator[Fitting]:
        if operation in _REPEATS:
            return self._repeat(*argument)
        make: Callable[[Any], Iterator[Fitting]] | None = {
            constants.SUBPATTERN: self._group,
            constants.BRANCH: self._branch,
            constants.ASSERT: self._look_ahead,
            constants.ASSERT_NOT: _nothing,
            constants.AT: _nothing,
            constants.ATOMIC_GROUP: lambda inner: self.sequence(list(inner)),
        }.get(operation)
        return make(argument) if make else _character(operation, argument)

    def _group(self, argument: Any) -> Iterator[Fitting]:
        number, _, _, inner = argument
        if number in self._values:
            yield Fitting(self._values[number])
        else:
            yield from self.sequence(list(inner))

    def _branch(self, argument: Any) -> Iterator[Fitting]:
        branches = [list(branch) for branch in argument[1]]
        for branch in sorted(branches, key=lambda each: not self._is_wanted(each)):
            yield from self.sequence(branch)

    def _look_ahead(self, argument: Any) -> Iterator[Fitting]:
        direction, inner = argument
        yield Fitting()  # what follows may be it
        if direction > 0:
            for made in self.sequence(list(inner)):
                yield Fitting((), made.pieces + made.later)

    def _repeat(self, least: int, most: Any, inner: Any) -> Iterator[Fitting]:
        items = list(inner)
        if self._counts and most is constants.MAXREPEAT and _takes(items, "1") and _takes(items, "0"):
            yield Fitting((Slot("number"),))
        if least == 0 and not self._is_wanted(items):
            yield Fitting()
        for rounds in dict.fromkeys((max(least, 1), least)):
            if rounds:
                for made in self.sequence(items):
                    yield Fitting(made.pieces * rounds, made.later)
            elif self._is_wanted(items):
                yield Fitting()

    def _is_wanted(self, items: list[Any]) -> bool:
        """Whether one of the groups in *items* has something to hold."""
        return any(
            (operation is constants.SUBPATTERN and argument[0] in self._values)
            or any(self._is_wanted(list(inner)) for inner in _inside(operation, argument))
            for operation, argument in items
        )


def _nothing(_: Any) -> Iterator[Fitting]:
    yield Fitting()


def _character(operation: Any, argument: Any) -> Iterator[Fitting]:
    if operation is constants.LITERAL:
        yield Fitting((chr(argument),))
    elif operation is constants.ANY:
        yield Fitting(("a",))
    else:
        fits = (one for one in _SAMPLES if _is_in(operation, argument, one))
        yield from (Fitting((one,)) for one in islice(fits, 1))


def _takes(items: list[Any], one: str) -> bool:
    return len(items) == 1 and _is_in(items[0][0], items[0][1], one)


def _is_in(operation: Any, argument: Any, one: str) -> bool:  # noqa: PLR0911 (one for each operation)
    """Whether the single character *one* fits."""
    match operation:
        case constants.LITERAL:
            return bool(chr(argument) == one)
        case constants.NOT_LITERAL:
            return bool(chr(argument) != one)
        case constants.ANY:
            return one != "\n"
        case constants.RANGE:
            return bool(argument[0] <= ord(one) <= argument[1])
        case constants.CATEGORY:
            return re.match(CATEGORIES[argument], one) is not None
        case constants.IN:
            negated = argument[0][0] is constants.NEGATE
            return any(_is_in(kind, detail, one) for kind, detail in argument[negated:]) is not negated
    return False
