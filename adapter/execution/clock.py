"""Time as a value: what the executor knows of it is handed in, so that no test has to sleep."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
T = TypeVar("T")


class Clock(Protocol):
    """What the executor needs of time."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let *seconds* pass."""
        ...

    async def in_thread(self, work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Return what *work* returns, which blocks: the event loop goes on meanwhile."""
        ...


class RealClock:
    """The clock of this machine as it was set when this began: what happens to it later moves no wait.

    Time asleep counts (a closed laptop); setting the clock back or forward does not: clock_gettime(2), CLOCK_BOOTTIME.
    """

    def __init__(self, wall: Callable[[], float] = time.time, since_boot: Callable[[], float] | None = None) -> None:
        """Read the wall clock once; ``None`` for *since_boot* is the kernel's own count."""
        self._since_boot = since_boot or (lambda: time.clock_gettime(time.CLOCK_BOOTTIME))
        self._began = wall() - self._since_boot()

    def now(self) -> float:
        """Return seconds since the epoch."""
        return self._began + self._since_boot()

    async def sleep(self, seconds: float) -> None:
        """Let *seconds* pass."""
        await asyncio.sleep(seconds)

    async def in_thread(self, work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Do *work* in another thread."""
        return await asyncio.to_thread(work, *args, **options)


def backoff(first_s: float = 1.0, most_s: float = 60.0) -> Iterator[float]:
    """Yield waiting times in seconds: doubled each time up to *most_s*, with jitter so that clients spread."""
    wait = first_s
    while True:
        yield wait * random.uniform(0.9, 1.1)  # noqa: S311 (spreads clients, guards nothing)
        wait = min(wait * 2, most_s)
