"""Listening to what a scheduler tells by itself: a hint to ask now. Polling stays the truth."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from adapter.core.event import EventKind
from adapter.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapter.execution.job_table import JobTable

PAUSE_S = 60.0  # before a watch that ended by itself, or could not begin, is tried again


class Watcher:
    """Runs the backend's ``watch`` while there are jobs, and calls *hurry* when it names one of them."""

    def __init__(self, table: JobTable, hurry: Callable[[], None]) -> None:
        """Nothing is run before :meth:`listen`."""
        self._table = table
        self._hurry = hurry
        self.task: asyncio.Task[None] | None = None  # the watch under way
        self._not_before = 0.0
        self._said: set[str] = set()

    def listen(self, now: float) -> None:
        """See to it that the watch runs if it can be of use; it comes back by itself after a while."""
        is_running = self.task is not None and not self.task.done()
        if not is_running and now >= self._not_before and self._job_ids() and self._table.client.is_watched:
            self.task = asyncio.create_task(self._follow(), name="adapter watch")

    def _job_ids(self) -> list[str]:
        return [job.job_id for job in self._table.mine() if job.job_id is not None and not job.state.is_final]

    async def _follow(self) -> None:
        try:
            told = await self._table.client.watch()
        except TransportError as error:
            await self._pause(str(error))
            return
        if told.ended is not None:
            await self._pause(told.ended)
        if any(told.is_about(job_id) for job_id in self._job_ids()):
            self._hurry()
        elif told.ended is None:  # about others: no faster than we would poll
            self._not_before = self._table.clock.now() + self._table.backend.limits.poll_min_s

    async def _pause(self, words: str) -> None:
        self._not_before = self._table.clock.now() + PAUSE_S
        if words not in self._said:
            self._said.add(words)
            await self._table.tell(EventKind.WATCH_ENDED, f"the watch command ended ({words}); jobs are still polled")
