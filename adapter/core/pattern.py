"""Whether a regular expression can take for ever on an answer that does not match (catastrophic backtracking).

Only the shape is looked at: nothing is run. A repeat is dangerous if the same text can be cut into its rounds in more
than one way, because a failing match then tries them all. Atomic groups and possessive repeats never go back: safe.
"""

from __future__ import annotations

import re
import re._constants as constants  # type: ignore[import-not-found]  # CPython's own: typeshed does not describe it
import re._parser as parser  # type: ignore[import-not-found]
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_ALPHABET = frozenset(chr(number) for number in (*range(128), 0xE9, 0x3042))  # one letter of each further kind
_MANY = 16  # as many rounds as this are as bad as any number: 2**16 ways to cut

CATEGORIES = {
    constants.CATEGORY_DIGIT: r"\d",
    constants.CATEGORY_NOT_DIGIT: r"\D",
    constants.CATEGORY_SPACE: r"\s",
    constants.CATEGORY_NOT_SPACE: r"\S",
    constants.CATEGORY_WORD: r"\w",
    constants.CATEGORY_NOT_WORD: r"\W",
}
_REPEATS = {constants.MAX_REPEAT, constants.MIN_REPEAT}


@dataclass(frozen=True, slots=True)
class _Piece:
    """One part of a sequence: the characters it can hold, and how many; ``varies`` if the matcher may choose."""

    characters: frozenset[str]
    least: int
    varies: bool


def can_take_for_ever(pattern: str) -> bool:
    r"""Whether *pattern* (which must compile) can backtrack without reasonable end.

    >>> can_take_for_ever(r"^(\d+)+$"), can_take_for_ever(r"^\d+(?:\.\d+)*$")
    (True, False)
    """
    return any(_is_ambiguous(body) for body in _unbounded_bodies(parser.parse(pattern)))


def _unbounded_bodies(items: Iterable[tuple[Any, Any]]) -> Iterator[Any]:
    for operation, argument in items:
        if operation in _REPEATS and argument[1] >= _MANY:
            yield argument[2]
        for inner in _inside(operation, argument):
            yield from _unbounded_bodies(inner)


def _inside(operation: Any, argument: Any) -> list[Any]:
    inner = _BODIES.get(operation)
    return inner(argument) if inner else []


_BODIES: dict[Any, Callable[[Any], list[Any]]] = {
    **dict.fromkeys((*_REPEATS, constants.POSSESSIVE_REPEAT), lambda argument: [argument[2]]),
    constants.SUBPATTERN: lambda argument: [argument[3]],
    constants.ATOMIC_GROUP: lambda argument: [argument],
    constants.BRANCH: lambda argument: list(argument[1]),
    **dict.fromkeys((constants.ASSERT, constants.ASSERT_NOT), lambda argument: [argument[1]]),
    constants.GROUPREF_EXISTS: lambda argument: [branch for branch in argument[1:] if branch],
}


def _is_ambiguous(body: Any) -> bool:
    """Whether rounds of *body* can be cut in more than one way.

    They cannot if between two uses of each varying piece something must stand that the piece itself cannot hold.
    """
    pieces = list(_pieces(body))
    for index, piece in enumerate(pieces):
        others = pieces[index + 1 :] + pieces[:index]
        if piece.varies and not any(other.least and not other.characters & piece.characters for other in others):
            return True
    return any(_branches_overlap(branches) for branches in _choices(body))


def _choices(body: Any) -> Iterator[list[Any]]:
    for operation, argument in body:
        if operation is constants.BRANCH:
            yield list(argument[1])
        if operation is constants.SUBPATTERN:
            yield from _choices(argument[3])


def _branches_overlap(branches: list[Any]) -> bool:
    pieces = [list(_pieces(branch)) for branch in branches]
    empty = [branch for branch in pieces if not any(piece.least for piece in branch)]
    return len(empty) > 1 or any(one & other for one, other in combinations(map(_first, pieces), 2))


def _first(pieces: list[_Piece]) -> frozenset[str]:
    characters: frozenset[str] = frozenset()
    for piece in pieces:
        characters |= piece.characters
        if piece.least:
            break
    return characters


def _pieces(body: Any) -> Iterator[_Piece]:
    for operation, argument in body:
        if operation in _REPEATS or operation is constants.POSSESSIVE_REPEAT:
            least, most, inner = argument
            parts = list(_pieces(inner))
            certain = least if any(part.least for part in parts) else 0
            varies = operation in _REPEATS and (least != most or any(part.varies for part in parts))
            yield _Piece(_union(parts), certain, varies)
        elif operation is constants.SUBPATTERN:
            yield from _pieces(argument[3])
        elif operation is constants.ATOMIC_GROUP:
            parts = list(_pieces(argument))
            yield _Piece(_union(parts), max((part.least for part in parts), default=0), varies=False)
        elif operation is constants.BRANCH:
            branches = [list(_pieces(branch)) for branch in argument[1]]
            certain = min(max((part.least for part in branch), default=0) for branch in branches)
            varies = certain == 0 or any(part.varies for branch in branches for part in branch)
            yield _Piece(frozenset().union(*map(_union, branches)), certain, varies)
        elif operation in {constants.GROUPREF, constants.GROUPREF_EXISTS}:
            yield _Piece(_ALPHABET, 0, varies=True)
        elif operation not in {constants.AT, constants.ASSERT, constants.ASSERT_NOT}:
            yield _Piece(_characters(operation, argument), 1, varies=False)


def _union(parts: Iterable[_Piece]) -> frozenset[str]:
    return frozenset().union(*(part.characters for part in parts))


def _characters(operation: Any, argument: Any) -> frozenset[str]:
    match = _MEMBERS.get(operation)
    return match(argument) if match else _ALPHABET


def _class(items: list[Any]) -> frozenset[str]:
    negated = items[0][0] is constants.NEGATE
    named: frozenset[str] = frozenset().union(*(_characters(*item) for item in items[negated:]))
    return _ALPHABET - named if negated else named


_MEMBERS: dict[Any, Callable[[Any], frozenset[str]]] = {
    constants.LITERAL: lambda number: frozenset({chr(number)}),
    constants.NOT_LITERAL: lambda number: _ALPHABET - {chr(number)},
    constants.RANGE: lambda ends: frozenset(one for one in _ALPHABET if ends[0] <= ord(one) <= ends[1]),
    constants.CATEGORY: lambda name: frozenset(one for one in _ALPHABET if re.match(CATEGORIES[name], one)),
    constants.IN: _class,
}
