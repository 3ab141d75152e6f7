"""Which waiting jobs may be submitted now: the limits of a backend, held together with all other processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapter.core.requirements import shown_amount, with_defaults

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapter.core.job import Job
    from adapter.execution.job_table import JobTable
    from adapter.store.base import Usage


@dataclass(frozen=True, slots=True)
class Admitted:
    """The jobs that may go now, and what keeps the first of the others; ``by_others``: other processes use the room.

    ``again_s`` is when to come again, in seconds; ``None``: once something ends. ``counted`` is how many of them count
    against a limit of submits a minute.
    """

    jobs: list[Job]
    why: str = ""
    by_others: bool = False
    again_s: float | None = None
    counted: int = 0


class Admission:
    """Counts the jobs of a backend, of all processes that share the store, against its limits."""

    def __init__(self, table: JobTable) -> None:
        """Nothing is admitted yet."""
        self._table = table

    def admit(self, waiting: Sequence[Job], mine: Sequence[Job], usage: Usage, now: float) -> Admitted:
        """Return which of *waiting*, in their order, may be submitted at *now*.

        *mine* are the submitted jobs of this process, *usage* is what others use: in the transaction in which the
        admitted ones are written down as begun, so no other process can take the same room.
        """
        table, limits = self._table, self._table.backend.limits
        others = usage.others if limits.max_tasks is not None or limits.capacity else []
        room, why = limits.submit_batch, ""
        if limits.max_tasks is not None and limits.max_tasks - len(mine) - len(others) < room:
            room = limits.max_tasks - len(mine) - len(others)
            why = f"limit of {limits.max_tasks} jobs at once on {table.backend.name}"
        rate_room = self._room_in_rate(usage, now)
        if rate_room is not None and rate_room < room:
            room, why = rate_room, f"limit of {limits.submit_per_minute:g} submits a minute on {table.backend.name}"
        left = dict(table.client.capacity)
        for job in (*mine, *others):
            self._take(left, job)
        admitted: list[Job] = []
        for job in waiting:
            if len(admitted) >= room:
                break
            if lacks := self._lacks(left, job):
                why = lacks
                break  # in order: a large job is not starved by small ones behind it
            self._take(left, job)
            admitted.append(job)
        if len(admitted) == len(waiting):
            why = ""
        by_rate = rate_room is not None and len(admitted) >= rate_room
        return Admitted(
            admitted,
            why,
            by_others=bool(others and why),
            again_s=1.0 if by_rate else None,
            counted=0 if rate_room is None else len(admitted),
        )

    def _needs(self, job: Job) -> dict[str, float]:
        return with_defaults(self._table.backend, job.task).resources.asked()

    def _lacks(self, left: dict[str, float], job: Job) -> str:
        needs = self._needs(job)
        for name, room in left.items():
            if needs.get(name, 0) > room + 1e-9:
                whole = shown_amount(name, self._table.client.capacity[name])
                return f"waits for {name} {shown_amount(name, needs[name])} of {whole}"
        return ""

    def _take(self, left: dict[str, float], job: Job) -> None:
        needs = self._needs(job)
        for name in left:
            left[name] -= needs.get(name, 0)

    def _room_in_rate(self, usage: Usage, now: float) -> int | None:
        """How many more may be submitted now; ``None`` without a limit. Below one a minute it is one in longer."""
        rate = self._table.backend.limits.submit_per_minute
        if rate is None:
            return None
        since = now - max(60.0, 60.0 / rate)
        sent = usage.submits_between(since, now)
        return max(0, max(1, int(rate)) - sent)
