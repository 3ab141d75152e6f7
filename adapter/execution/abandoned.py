"""Jobs that nobody drives, asked about while they use the room that is needed here: nobody else sees them end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapter.execution.job_table import JobTable
from adapter.execution.lease import OWNED_FOR_S, is_alive
from adapter.execution.poller import Poller
from adapter.execution.submitter import Submitter

if TYPE_CHECKING:
    from adapter.execution.clock import Clock
    from adapter.execution.scheduler_client import SchedulerClient
    from adapter.store.base import Store

AGAIN_S = 5.0


class Abandoned:
    """The runs on one backend whose process is gone, or that were left behind on purpose.

    Nothing of them is submitted, killed or collected: that is for whoever goes on with the run.
    """

    def __init__(self, client: SchedulerClient, store: Store, clock: Clock) -> None:
        """Nothing is asked yet."""
        self._table = JobTable(client, store, clock, None)
        self._poller, self._submitter = Poller(self._table), Submitter(self._table)
        self._next_at = 0.0

    async def look(self, now: float) -> None:
        """Ask about their jobs, now and then, and give their room back once they have ended."""
        table, store = self._table, self._table.store
        if now < self._next_at:
            return
        self._next_at = now + AGAIN_S
        for run in await table.clock.in_thread(store.abandoned_runs, table.backend.name, is_alive):
            if not await table.clock.in_thread(store.claim, run, table.owner, now, OWNED_FOR_S, is_alive):
                continue
            try:
                table.jobs = {job.key: job for job in await table.clock.in_thread(store.jobs, run)}
                await self._submitter.resolve(now)
                jobs = [job for job in table.jobs.values() if job.job_id is not None and not job.state.is_final]
                if jobs:
                    await self._poller.ask(jobs)
            finally:
                await table.clock.in_thread(store.release, run, table.owner)
