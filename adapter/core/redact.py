"""Blotting secrets out of text: as they are, and as other programs write them.

A service that repeats a secret does so in its own form: JSON with escapes, a URL, HTML, a shell's quotes, base64 of
``user:password``. The usual forms are looked for as whole texts; beside them, a pattern takes each character that is
no letter or digit in any of its forms, so that programs that escape different characters, or an escape inside an
escape, are found as well.
"""

from __future__ import annotations

import base64
import functools
import html
import json
import re
import shlex
from html.entities import html5
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

BLOT = "[secret]"
_LEAST = 4  # a shorter text is no secret: it would be blotted out wherever it stands by chance
_BREAK = r"(?:[\r\n]|\\+[rn]){0,2}"  # base64 is written in lines
_LETTER = "[A-Za-z0-9+/_-]"
_ESCAPE = r"(?>\\|&#92;|&#[xX]5[cC];|&bsol;|%(?:25)*5[cC])"  # a backslash, maybe escaped itself
_ONE_LINE = str.maketrans({"\r": None, "\n": None, "-": "+", "_": "/"})
_CONTROL = {"\t": "t", "\n": "n", "\r": "r", "\b": "b", "\f": "f", "\v": "v", "\a": "a", "\x1b": "e"}
_NAMED: dict[str, list[str]] = {}
for _name, _text in html5.items():
    _NAMED.setdefault(_text, []).append(re.escape(_name))


def redactor(secret_texts: Iterable[str]) -> Callable[[str], str]:
    """Return a function that blots each of *secret_texts* out of a text; one of under four characters is no secret."""
    longest_first = sorted({text for text in secret_texts if len(text) >= _LEAST}, key=len, reverse=True)
    secrets = [_Secret(text) for text in longest_first]

    def blotted(text: str) -> str:
        for secret in secrets:
            text = secret.blotted(text)
        return text

    return blotted


def redact(text: str, secret_texts: Iterable[str]) -> str:
    """Return *text* with every secret in it blotted out, in whatever form it is written."""
    return redactor(secret_texts)(text)


class _Secret:
    """One secret in all its forms. A pattern is made only once a cheap look says that the text may hold it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._written = sorted({*_written(text), *_spelt(text)}, key=len, reverse=True)
        self._plain = max(re.findall(r"[A-Za-z0-9]+", text) or [""], key=len)
        self._is_odd = self._plain != text
        self._in_base64 = [_base64_letters(text.encode("utf-8", "surrogatepass"), skipped) for skipped in range(3)]

    def blotted(self, text: str) -> str:
        for form in self._written:
            text = text.replace(form, BLOT)
        if self._is_odd and self._plain in text:
            text = self._mixture.sub(BLOT, text)
        bare = _without_breaks(text)
        for skipped, (_, letters, _) in enumerate(self._in_base64):
            if letters in bare:
                text = self._base64(skipped).sub(BLOT, text)
        return text

    @functools.cached_property
    def _mixture(self) -> re.Pattern[str]:
        """The pattern for the secret with each odd character in any form.

        Each group is atomic: where the rest does not fit, nothing is tried again, so a hostile answer costs no time.
        """
        runs = re.finditer(r"[A-Za-z0-9]+|\\+|'+|\"+|.", self._text, re.DOTALL)
        forms = ([run[0]] if run[0].isascii() and run[0].isalnum() else _run(run[0]) for run in runs)
        return re.compile("".join(f"(?>{'|'.join(form)})" for form in forms))

    def _base64(self, skipped: int) -> re.Pattern[str]:
        shared_before, letters, shared_after = self._in_base64[skipped]
        text = _BREAK.join(map(_letter, letters))
        before = f"{_LETTER}{_BREAK}" if shared_before else ""
        after = f"(?:{_BREAK}{_LETTER})?" if shared_after else ""
        return re.compile(f"{before}{text}{after}(?:=|%3[dD]){{0,2}}")


def _written(secret: str) -> Iterator[str]:
    """Yield *secret* as it is, and as the usual programs write it."""
    yield secret
    for ascii_only in (True, False):
        once = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
        yield from (once, json.dumps(once, ensure_ascii=ascii_only)[1:-1], once.replace("/", "\\/"))
    yield from (repr(secret)[1:-1], shlex.quote(secret), html.escape(secret))
    yield from (quote(secret, "", errors="replace"), quote_plus(secret, errors="replace"))
    yield from (secret.replace(sign, sign * 2) for sign in "'\"")  # SQL, YAML, CSV


def _spelt(secret: str) -> Iterator[str]:
    """Yield *secret* with every character, letters too, named by its number."""
    data, units = secret.encode("utf-8", "surrogatepass"), secret.encode("utf-16-be", "surrogatepass")
    pairs = [units[at : at + 2].hex() for at in range(0, len(units), 2)]
    for spelt in (str.lower, str.upper):
        codes = [spelt(f"{byte:02x}") for byte in data]
        yield from (mark.join(codes) for mark in ("", " ", ":"))
        yield from ("".join(f"{mark}{code}" for code in codes) for mark in ("%", "\\x", "\\\\x", "="))
        yield from ("".join(f"{mark}{spelt(pair)}" for pair in pairs) for mark in ("\\u", "\\\\u", "%u"))
        yield "".join(f"&#x{spelt(f'{ord(each):x}')};" for each in secret)
    yield "".join(f"&#{ord(each)};" for each in secret)
    yield "".join(f"\\{byte:03o}" for byte in data)


def _base64_letters(data: bytes, skipped: int) -> tuple[bool, str, bool]:
    """Return the letters of *data* in base64 where *skipped* bytes of something else share its first four letters.

    Beside the letters that are the data's alone: whether there is one before, and after, that it shares with others.
    """
    text = base64.b64encode(bytes(skipped) + data).decode()
    first, last = (skipped * 8 + 5) // 6, (skipped + len(data)) * 8 // 6
    return skipped > 0, text[first:last], (skipped + len(data)) % 3 > 0


def _without_breaks(text: str) -> str:
    """Return *text* as base64 is usually written: in one line, with + and /."""
    if "\\" in text:
        text = re.sub(r"(?<!\\)\\++(?:[rn]|(?=/))", "", re.sub(r"(?<!\\)\\++u002[bB]", "+", text))
    if "%" in text:
        text = re.sub("%2[bB]", "+", re.sub("%2[fF]", "/", text))
    return text.translate(_ONE_LINE)


def _letter(letter: str) -> str:
    match letter:
        case "+":
            return r"(?:\+|-|%2[bB]|\\{1,8}u002[bB])"
        case "/":
            return r"(?:\\{0,8}/|_|%2[fF])"
    return letter


def _run(run: str) -> Iterator[str]:
    """Yield the forms of a *run* of the same quote or backslash, or of another single character, the longest first.

    No repeat in them is ever gone back upon (``+`` behind it).
    """
    character, count = run[0], len(run)
    named, numbered = "|".join(_named(character)), "|".join(_numbered(character))
    if character == "\\":
        yield from (f"(?:{named}|{numbered}){{{times * count}}}" for times in (4, 2, 1))
        yield from (rf"\\{{{times * count}}}" for times in (8, 4, 2, 1))
        return
    plain = re.escape(character)
    if character == "'":
        anew = rf"'{_ESCAPE}{{1,4}}+''|'{_ESCAPE}{{0,4}}+\"'{_ESCAPE}{{0,4}}+\"'"  # a shell's quotes begin anew
        yield rf"(?>{anew}|{named}|{numbered}){{{count}}}"
    if character in "'\"":
        yield rf"(?:{_ESCAPE}{{0,8}}+{plain}){{{2 * count}}}"
    plain += r"|\+" if character == " " else ""
    numbered += rf"|{_ESCAPE}{{1,8}}+{_CONTROL[character]}" if character in _CONTROL else ""
    escape = "" if character.isalnum() else rf"{_ESCAPE}{{0,8}}+"
    yield rf"(?>{numbered}|{escape}(?:{named}|{plain})){{{count}}}"


def _named(character: str) -> Iterator[str]:
    """Yield the forms of *character* in HTML and in URLs."""
    point, data = ord(character), character.encode("utf-8", "surrogatepass")
    names = "|".join(sorted(_NAMED.get(character, []), key=len, reverse=True))
    yield rf"&(?:amp;){{0,8}}(?:#0{{0,8}}{point};?|#[xX]0{{0,8}}(?i:{point:x});?{f'|{names}' if names else ''})"
    for mark in ("%(?:25){0,8}", "="):
        yield "".join(f"{mark}(?i:{byte:02x})" for byte in data)


def _numbered(character: str) -> Iterator[str]:
    """Yield the forms of *character* that begin with a backslash: of JSON, of programming languages, of shells."""
    point, data = ord(character), character.encode("utf-8", "surrogatepass")
    units = character.encode("utf-16-be", "surrogatepass")
    escape = rf"{_ESCAPE}{{1,8}}+"
    yield "".join(rf"(?:{escape}|%)u(?i:{units[at : at + 2].hex()})" for at in range(0, len(units), 2))
    yield rf"{escape}[uU]\{{?0{{0,8}}(?i:{point:x})\}}?"
    if point < 256:
        yield rf"{escape}x(?i:{point:02x})"
    yield "".join(rf"{escape}x(?i:{byte:02x})" for byte in data)
    yield "".join(rf"{escape}0?{byte:03o}" for byte in data)
