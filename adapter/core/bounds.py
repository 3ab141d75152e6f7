"""Texts from outside, checked before they are used: nothing that a target says may raise, or grow without bound.

Each function returns ``None`` for what cannot be read. Digits are those of ASCII: ``int()`` and ``str.isdigit()``
disagree about others, and ``int()`` refuses a number of thousands of digits.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

MOST_ID_LETTERS = 256
MOST_SIGNAL = 64  # the last real-time signal of Linux: signal(7)
_WHOLE = re.compile(r"[0-9]{1,18}")
_NUMBER = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?")
_NOT_IN_IDS = frozenset(" \N{REPLACEMENT CHARACTER}")
_NOT_TEXT = re.compile("[\0\ud800-\udfff]")


def whole(text: str | None) -> int | None:
    """Return the whole number that *text* is, blanks around it aside.

    >>> whole(" 12 "), whole("²"), whole("-1"), whole("9" * 5000)
    (12, None, None, None)
    """
    stripped = (text or "").strip()
    return int(stripped) if _WHOLE.fullmatch(stripped) else None


def number(text: str | None) -> float | None:
    """Return the number that *text* is, written without sign and exponent.

    >>> number("1.5"), number("inf"), number("1e999")
    (1.5, None, None)
    """
    stripped = (text or "").strip()
    return float(stripped) if _NUMBER.fullmatch(stripped) else None


def exit_code(text: str | None) -> int | None:
    """Return the exit code that *text* is: 0 to 255. A shell would make 0 of 256.

    >>> exit_code("255"), exit_code("256")
    (255, None)
    """
    code = whole(text)
    return code if code is not None and code <= 255 else None


def job_id(text: str | None) -> str | None:
    """Return the job id that *text* is, blanks around it aside.

    It is going to be a word of a command: it may not be empty, look like an option, hold a blank, a control character
    or a damaged one (U+FFFD), or be longer than any scheduler makes one.

    >>> job_id(" 12.server "), job_id("-rf"), job_id("1 2")
    ('12.server', None, None)
    """
    stripped = (text or "").strip()
    if not stripped or stripped.startswith("-") or len(stripped) > MOST_ID_LETTERS:
        return None
    return stripped if stripped.isprintable() and not _NOT_IN_IDS & set(stripped) else None


def lines(text: str) -> list[str]:
    """Return the lines of *text*. ``str.splitlines`` would also cut at a form feed or U+2028 within a row."""
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def storable(text: str) -> str:
    r"""Return *text* with U+FFFD for what cannot be kept or shown as UTF-8: NUL, and halves of characters.

    >>> storable("a\ud800b\0")
    'a�b�'
    """
    return _NOT_TEXT.sub("\N{REPLACEMENT CHARACTER}", text)


def likeness(words: str) -> str:
    """Return *words* without what differs from job to job: paths, tokens, and numbers.

    >>> likeness("cannot read /w/0001-a/script of job 17"), likeness("cannot read /w/0002-b/script of job 18")
    ('cannot read * of job 0', 'cannot read * of job 0')
    """
    plain = " ".join("*" if "/" in word or "adapter-" in word else word for word in words.split())
    return re.sub(r"\d+", "0", plain)


def decoder() -> json.JSONDecoder:
    """Return a decoder of JSON; a number too long for one stays text, and one that is none (``NaN``) is null."""
    return json.JSONDecoder(parse_int=_json_whole, parse_float=_json_float, parse_constant=lambda _: None)


def _json_whole(text: str) -> int | str:
    return int(text) if len(text) <= 100 else text


def _json_float(text: str) -> float | str:
    value = float(text)
    return value if math.isfinite(value) else text


def json_dump(value: Any) -> str:
    """Return *value* as JSON; nothing where it is nested deeper than can be written."""
    try:
        return json.dumps(value)
    except (RecursionError, ValueError):
        return ""
