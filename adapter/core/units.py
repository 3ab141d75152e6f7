"""Units as people write them. Inside, memory and disk are bytes and time is seconds; nothing else."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_POWERS = {"": 1, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_BYTES = re.compile(r"^\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<power>[kmgtp]?)(?P<binary>i?)(?P<byte>b?)\s*$", re.IGNORECASE)
_SPAN = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[a-z]+)", re.IGNORECASE)
_CLOCK = re.compile(r"^(?:(?P<days>\d+)-)?(?P<hours>\d+):(?P<minutes>\d+):(?P<seconds>\d+)$")
_SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
    **dict.fromkeys(("w", "week", "weeks"), 604800),
}


def parse_bytes(text: str | float) -> int:
    """Return the bytes in *text*: ``2 GiB``, ``500 MB``, ``4G`` (a bare letter is binary, as schedulers read it).

    A number without a unit is refused: nobody knows whether it means bytes or megabytes.

    Raises:
        ValueError: *text* is not an amount of memory; the message says what one looks like.

    >>> parse_bytes("2 GiB"), parse_bytes("500 MB"), parse_bytes("4G")
    (2147483648, 500000000, 4294967296)
    """
    match = _BYTES.match(str(text))
    if match is None or not (match["power"] or match["byte"]) or isinstance(text, bool):
        raise ValueError(f"{text!r} is not an amount of memory; write a number with its unit, like 2 GiB or 500 MB")
    if match["binary"] and not match["power"]:
        raise ValueError(f"{text!r} is not an amount of memory; write KiB, MiB, GiB or TiB")
    base = 1000 if match["byte"] and not match["binary"] else 1024
    scale = base ** _POWERS[match["power"].lower()] if match["power"] else 1
    return _counted(float(match["number"]) * scale, text, "an amount of memory")


def _counted(amount: float, text: object, what: str) -> int:
    if not 0 <= amount < _MOST:
        raise ValueError(f"{str(text)[:40]!r} is not {what}: it is below zero, or too large to be meant")
    return math.ceil(amount)


_MOST = 2.0**63  # what the machines that it is meant for count with


def parse_seconds(text: str | float) -> int:
    """Return the seconds in *text*: ``90m``, ``1h 30m``, ``1-12:00:00`` or ``36:00:00``.

    A number without a unit is refused: schedulers disagree whether it means minutes or seconds. So is ``12:30``, which
    is hours and minutes for some of them and minutes and seconds for others.

    Raises:
        ValueError: *text* is not a length of time; the message says what one looks like.

    >>> parse_seconds("90m"), parse_seconds("1-12:00:00"), parse_seconds("45s")
    (5400, 129600, 45)
    """
    stripped = str(text).strip()
    if clock := _CLOCK.match(stripped):
        part = {name: float(value or 0) for name, value in clock.groupdict().items()}
        seconds = ((part["days"] * 24 + part["hours"]) * 60 + part["minutes"]) * 60 + part["seconds"]
        return _counted(seconds, text, "a length of time")
    if re.fullmatch(r"\d{1,12}(\.\d+)?", stripped):
        raise ValueError(f"{text!r} has no unit of time; write {stripped}s, {stripped}m or {stripped}h")
    spans = list(_SPAN.finditer(stripped))
    if spans and not _SPAN.sub("", stripped).strip():
        try:
            seconds = sum(float(span["number"]) * _SECONDS[span["unit"].lower()] for span in spans)
            return _counted(seconds, text, "a length of time")
        except KeyError:
            pass
    raise ValueError(f"{text!r} is not a length of time; write it like 90m, 1h30m, 1-12:00:00 or 36:00:00")


def recorded_seconds(value: str | float) -> int:
    """Return the seconds in *value*, which was checked before; a number is seconds, as records of earlier versions say.

    Raises:
        ValueError: *value* is a text that is not a length of time.
    """
    return math.ceil(value) if isinstance(value, int | float) else parse_seconds(value)


def format_bytes(count: int | None) -> str:
    """Return *count* bytes for a person: ``1.5 GiB``; ``-`` for ``None``."""
    if count is None:
        return "-"
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def format_seconds(seconds: float | None) -> str:
    """Return *seconds* for a person: ``7s``, ``3m 20s``, ``2h 05m``, ``1d 12h``; ``-`` for ``None``."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    total = max(0, int(seconds))
    if total < 60:
        return f"{total}s"
    if total < 3600:
        return f"{total // 60}m {total % 60:02d}s"
    if total < 86400:
        return f"{total // 3600}h {total % 3600 // 60:02d}m"
    return f"{total // 86400}d {total % 86400 // 3600:02d}h"


def clock(seconds: float) -> str:
    """Return *seconds* as ``HH:MM:SS``; the hours grow past two digits.

    >>> clock(129600)
    '36:00:00'
    """
    total = math.ceil(seconds)
    return f"{total // 3600:02d}:{total % 3600 // 60:02d}:{total % 60:02d}"


def day_clock(seconds: float) -> str:
    """Return *seconds* as ``D-HH:MM:SS``, without the days where there are none.

    >>> day_clock(129600), day_clock(90)
    ('1-12:00:00', '00:01:30')
    """
    days, rest = divmod(math.ceil(seconds), 86400)
    return f"{days}-{clock(rest)}" if days else clock(rest)


def in_units(divisor: int) -> Callable[[float], int]:
    """Return a filter giving an amount in units of *divisor*, rounded up: less than was meant is worse than more."""
    return lambda amount: math.ceil(amount / divisor)


def whole(value: float) -> int:
    """Return *value* rounded up: half a processor is one where a scheduler counts whole ones."""
    return math.ceil(value)


FILTERS = {
    "bytes": in_units(1),
    "kib": in_units(1024),
    "mib": in_units(1024**2),
    "gib": in_units(1024**3),
    "kb": in_units(1000),
    "mb": in_units(1000**2),
    "gb": in_units(1000**3),
    "seconds": in_units(1),
    "minutes": in_units(60),
    "hours": in_units(3600),
    "hms": clock,
    "dhms": day_clock,
    "ceil": whole,
}
