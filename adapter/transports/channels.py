"""How many channels one connection has open at once."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Channels:
    """How many channels are open at once: at most what the server is found to allow."""

    def __init__(self, most: int) -> None:
        """Begin with none open, and *most* allowed."""
        self._most, self._open, self._freed = most, 0, asyncio.Condition()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Take the place of one channel, once there is one."""
        async with self._freed:
            await self._freed.wait_for(lambda: self._open < self._most)
            self._open += 1
        try:
            yield
        finally:
            async with self._freed:
                self._open -= 1
                self._freed.notify_all()

    async def fewer(self) -> None:
        """The server refused one: use fewer from now on, and wait until only those are open."""
        async with self._freed:
            self._most = max(1, min(self._most, self._open - 1))
            if self._open > self._most:
                self._open -= 1
                try:
                    await self._freed.wait_for(lambda: self._open < self._most)
                finally:
                    self._open += 1
