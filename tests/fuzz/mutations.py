"""Ways in which an answer may be spoilt, each a function of a random source and a text."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

Mutation = Callable[[Random, str], str]

ODD_TEXTS = (
    "\0", "\ud800", "\udfff", "²", "①", "१", "\x1b[2J", "\u2028", "\x85", "\f", "\r", "\ufeff", "\ufffd", "\u202e",
    "'", '"', "\\", "|", "-", "%", "$(x)", "{", "[", "]}", "\n", "\n\n", "\t", "@0\n", "\nreceipt 0\n",
)  # fmt: skip
ODD_NUMBERS = (
    "²", "9" * 5000, "1" * 400, "٣", "-1", "256", "257", "99999", "4294967296", "nan", "inf", "-inf", "1e999", "1e-999",
    "0x10", "1_000", "", " ", "+1", "1.5",
)  # fmt: skip
ODD_VALUES = (
    "null", "[]", "{}", "true", "NaN", "-Infinity", "1e999", "9" * 5000, '"\\ud800"', '"\\u0000"', '""', '"-x"', "[[]]",
    '{"a": 1}', '"a b"', "-1", "256", "[" * 3000 + "]" * 3000,
)  # fmt: skip
PAGES = (
    "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>\n",
    "Anmeldung fehlgeschlagen: Zeitüberschreitung der Verbindung\n",
    "エラー: サーバーに接続できません\n",
    "错误：无法联系控制器\n",
    "slurm_load_jobs error: Se agotó el tiempo\n",
    "Traceback (most recent call last):\n  File \"x\", line 1, in <module>\nKeyError: 'jobs'\n",
    "bash: fork: retry: Resource temporarily unavailable\n",
    '{"error": {"code": 503, "message": "try later"}}\n',
    '{"message": "Internal Server Error"}',
    "[]",
    "{}",
    "null",
    "0",
    "Killed\n",
    "*** maintenance on Friday ***\n",
)


def truncated(random: Random, text: str) -> str:
    """It was cut off somewhere."""
    return text[: random.randrange(len(text) + 1)]


def beheaded(random: Random, text: str) -> str:
    """Its beginning was lost."""
    return text[random.randrange(len(text) + 1) :]


def sprinkled(random: Random, text: str) -> str:
    """Something odd stands in it."""
    at = random.randrange(len(text) + 1)
    return text[:at] + random.choice(ODD_TEXTS) + text[at:]


def odd_number(random: Random, text: str) -> str:
    """One of its numbers is an odd one."""
    return _one_replaced(random, text, re.compile(r"\d+"), random.choice(ODD_NUMBERS))


def odd_value(random: Random, text: str) -> str:
    """One of its JSON values is an odd one."""
    return _one_replaced(random, text, re.compile(r'(?<=": )(?:"[^"\n]*"|[\w.-]+)'), random.choice(ODD_VALUES))


def longer_number(random: Random, text: str) -> str:
    """One of its numbers has an odd digit behind it."""
    numbers = list(re.finditer(r"\d+", text))
    if not numbers:
        return text
    end = random.choice(numbers).end()
    return text[:end] + random.choice(("²", "٣", "\0", "\ud800", "e5", "9" * 5000)) + text[end:]


def rows_doubled(random: Random, text: str) -> str:
    """A row stands twice."""
    rows = text.splitlines(keepends=True)
    if rows:
        rows.insert(random.randrange(len(rows)), random.choice(rows))
    return "".join(rows)


def rows_swapped(random: Random, text: str) -> str:
    """The rows have another order."""
    rows = text.splitlines(keepends=True)
    random.shuffle(rows)
    return "".join(rows)


def row_lost(random: Random, text: str) -> str:
    """A row is missing."""
    rows = text.splitlines(keepends=True)
    if rows:
        del rows[random.randrange(len(rows))]
    return "".join(rows)


def row_cut(random: Random, text: str) -> str:
    """A row lost its end."""
    rows = text.splitlines(keepends=True)
    if rows:
        at = random.randrange(len(rows))
        rows[at] = truncated(random, rows[at]) + "\n"
    return "".join(rows)


def giant_line(random: Random, text: str) -> str:
    """A line is far too long."""
    at = random.randrange(len(text) + 1)
    piece = random.choice(("x", "1", " ", "|", "a b ", "1.", "(", '"', "\\", "é", text[at : at + 3] or "x"))
    return text[:at] + piece * (random.choice((300, 20_000, 40_000)) // len(piece)) + text[at:]


def other_page(random: Random, text: str) -> str:
    """Something else answered."""
    return random.choice((random.choice(PAGES), random.choice(PAGES) + text, text + random.choice(PAGES)))


def wrong_encoding(random: Random, text: str) -> str:
    """It was written in another encoding than it is read in."""
    encoded = text.encode(random.choice(("utf-16", "utf-32-be", "utf-8")), "replace")
    return encoded.decode(random.choice(("utf-8", "latin-1", "cp437")), "replace")


def nested(random: Random, text: str) -> str:
    """It is nested without end."""
    left, right = random.choice((("[", "]"), ('{"a":', "}"), ("(", ")"), ('[{"jobs":', "}]")))
    depth = random.choice((60, 2_000, 20_000))
    return random.choice((left * depth + text + right * depth, left * depth, text + left * depth))


def emptied(random: Random, text: str) -> str:
    """Nothing came, or nothing to be seen."""
    return random.choice(("", "\n", " ", "\r\n", "\0", "\ufeff"))


def flipped(random: Random, text: str) -> str:
    """A bit of it is another."""
    if not text:
        return text
    at = random.randrange(len(text))
    return text[:at] + chr(ord(text[at]) ^ (1 << random.randrange(8))) + text[at + 1 :]


def spliced(random: Random, text: str) -> str:
    """Two pieces of it changed places."""
    one, two, three = sorted(random.randrange(len(text) + 1) for _ in range(3))
    return text[:one] + text[two:three] + text[one:two] + text[three:]


HONEST: tuple[Mutation, ...] = (
    truncated, beheaded, sprinkled, odd_number, longer_number, odd_value, rows_doubled, row_cut, giant_line, other_page,
    wrong_encoding, nested, emptied,
)  # fmt: skip
"""Those that bring no word for success to a job that had none: no two records become one, no digit another."""
FORGING: tuple[Mutation, ...] = (flipped, spliced, rows_swapped, row_lost)
ALL = HONEST + FORGING


def _one_replaced(random: Random, text: str, pattern: re.Pattern[str], by: str) -> str:
    found = list(pattern.finditer(text))
    if not found:
        return text + by
    match = random.choice(found)
    return text[: match.start()] + by + text[match.end() :]
