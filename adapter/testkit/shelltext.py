"""How a shell would see each character of a text: what is quoted, what is a comment, what it would act upon.

And how a scheduler reads the words of a directive.
"""

from __future__ import annotations

import re
import shlex
from enum import StrEnum


class Place(StrEnum):
    """Where a character stands. Only ``LITERAL`` ones are never acted upon; ``COMMENT`` ones are not seen at all."""

    PLAIN = "unquoted"
    LITERAL = "literal"
    DOUBLE = "in double quotes"
    HEREDOC = "in a here-document that the shell expands"
    COMMENT = "in a comment"


_HEREDOC = re.compile(r"<<(?P<dash>-?)[ \t]*(?P<word>'[^'\n]*'|\"[^\"\n]*\"|[^\s;&|<>()]+)")


def places(text: str) -> list[Place]:
    r"""Return the place of every character of *text*.

    >>> "".join(place.name[0] for place in places("a 'b' \"c\" #d"))
    'PPLLLPDDDPCC'
    """
    return _Scanner(text).scan()


class _Scanner:
    """Reads a text once. ``_inside`` holds what is open: quotes, substitutions, braces."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._places = [Place.PLAIN] * len(text)
        self._inside: list[str] = []
        self._heredocs: list[tuple[str, bool, bool]] = []
        self._at = 0

    def scan(self) -> list[Place]:
        while self._at < len(self._text):
            self._step(self._text[self._at])
        return self._places

    def _mark(self, count: int, place: Place | None = None) -> None:
        place = place or (Place.DOUBLE if self._is_in_double() else Place.PLAIN)
        for index in range(self._at, min(self._at + count, len(self._text))):
            self._places[index] = place
        self._at += count

    def _is_in_double(self) -> bool:
        """Whether what is open innermost is a double quote, or a brace in one; a substitution starts anew."""
        for kind in reversed(self._inside):
            if kind in {"(", "`"}:
                return False
            if kind == '"':
                return True
        return False

    def _step(self, character: str) -> None:
        text, double = self._text, self._is_in_double()
        if character == "\\":
            self._mark(1)
            self._mark(1, Place.LITERAL)
            return
        if character == "'" and not double:
            end = text.find("'", self._at + 1)
            self._mark((end if end >= 0 else len(text)) + 1 - self._at, Place.LITERAL)
            return
        if character == "\n" and not double:
            self._mark(1)
            self._read_heredocs()
            return
        if character == "#" and self._inside[-1:] != ["{"] and not double and self._begins_word():
            end = text.find("\n", self._at)
            self._mark((end if end >= 0 else len(text)) - self._at, Place.COMMENT)
            return
        if text.startswith(("$(", "${"), self._at):
            self._mark(2)
            self._inside.append(text[self._at - 1])
            return
        if character == "<" and not double and (found := _HEREDOC.match(text, self._at)):
            word = found["word"]
            bare = word.strip("'\"").replace("\\", "")
            self._heredocs.append((bare, word != bare, bool(found["dash"])))
            self._mark(len(found[0]))
            return
        self._open_or_close(character, double=double)

    def _open_or_close(self, character: str, *, double: bool) -> None:
        top = self._inside[-1] if self._inside else ""
        closes = {'"': '"', "`": "`", ")": "(", "}": "{"}.get(character)
        if closes is not None and top == closes:
            self._mark(1)
            self._inside.pop()
        elif character in {'"', "`"} or (character == "(" and not double and top != "{"):
            self._mark(1)
            self._inside.append(character)
        else:
            self._mark(1)

    def _begins_word(self) -> bool:
        return self._at == 0 or self._text[self._at - 1] in " \t\n;&|()"

    def _read_heredocs(self) -> None:
        for word, is_literal, strips in self._heredocs:
            place = Place.LITERAL if is_literal else Place.HEREDOC
            while self._at < len(self._text):
                end = self._text.find("\n", self._at)
                end = len(self._text) if end < 0 else end
                line = self._text[self._at : end]
                is_last = (line.lstrip("\t") if strips else line) == word
                self._mark(end + 1 - self._at, Place.PLAIN if is_last else place)
                if is_last:
                    break
        self._heredocs = []


_TRIPLE = re.compile("[\"']{3}.")


def directive_words(line: str, dialect: str) -> list[str]:
    r"""Return the words of a directive as a scheduler of that *dialect* (``directives.quote``) reads them.

    Raises:
        ValueError: it cannot be read: a quote is not closed.
    """
    if dialect == "shell":
        return shlex.split(line)
    if dialect == "doubled":
        return _words_where_backslashes_escape(line)
    if _TRIPLE.search(line):  # three quotes of any kind begin a text of several lines there
        raise ValueError("unclosed triple quote")
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.escapedquotes = "\"'"
    return list(lexer)


def _words_where_backslashes_escape(line: str) -> list[str]:
    """Return the words of *line*, where a backslash takes the meaning of what follows, in quotes of both kinds, too."""
    words: list[str] = []
    word: str | None = None
    quote = ""
    letters = iter(line)
    for letter in letters:
        if letter == "\\":
            word = (word or "") + next(letters, "")
        elif quote:
            word, quote = (word or "", "") if letter == quote else ((word or "") + letter, quote)
        elif letter in "\"'":
            word, quote = word or "", letter
        elif letter.isspace():
            words += [] if word is None else [word]
            word = None
        elif letter == "#" and word is None:
            break
        else:
            word = (word or "") + letter
    if quote:
        raise ValueError("no closing quotation")
    return words + ([] if word is None else [word])
