"""Uncertain submits: it is not known whether the scheduler has the job. Looked for, never blindly repeated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from adapter.core.event import EventKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from adapter.core.batch import BatchAnswer
    from adapter.core.exit_file import ExitReport
    from adapter.core.job import Job
    from adapter.core.submission import SubmissionResult
    from adapter.execution.job_table import JobTable
from adapter.execution.scheduler_client import Look

LOOK_TWICE_S = 5.0  # between two looks for a job that may exist: schedulers show a new job late
BUSY_S = 60.0  # how long another process may be in the middle of a submit before the job is looked for


@dataclass(slots=True)
class Uncertain:
    """One uncertain submit.

    ``looked_at`` is the first good look that found nothing. ``may_repeat``: once it is surely not there, it is
    submitted again; otherwise (an answer that could not be read) it is only waited for. ``ask_receipt``: the target
    may have kept an answer. ``result`` and ``words`` are what the submit command answered, ``None`` if that was lost.
    ``is_ours``: it was this process that began the submit.
    """

    since: float
    why: str
    ask_receipt: bool = True
    may_repeat: bool = True
    result: SubmissionResult | None = None
    words: str = ""
    looked_at: float | None = None
    next_look: float = 0.0
    is_ours: bool = False


@dataclass(slots=True)
class Looked:
    """What a look settled: jobs with the id that was found, jobs that surely do not exist, and those left unknown.

    ``ended`` are jobs that began in their directories, and that the scheduler does not have: with what they left.
    """

    found: list[tuple[Job, str]] = field(default_factory=list)
    ended: list[tuple[Job, ExitReport | None]] = field(default_factory=list)
    absent: list[tuple[Job, Uncertain]] = field(default_factory=list)
    unknown: list[tuple[Job, Uncertain]] = field(default_factory=list)


class UncertainSubmits:
    """The uncertain submits of an executor."""

    def __init__(self, table: JobTable) -> None:
        """There is none yet."""
        self._table = table
        self._all: dict[str, Uncertain] = {}

    @property
    def any_left(self) -> bool:
        """Whether there is one."""
        return bool(self._all)

    async def add(self, job: Job, why: str) -> Uncertain:
        """Note that it is not known whether the scheduler has *job*, and return what is known of it."""
        now = self._table.clock.now()
        one = self._all.setdefault(job.key, Uncertain(since=now, why=why))
        one.why, one.is_ours = why, True
        reason = f"whether the scheduler has it is not known ({why}); it is looked for by its token"
        await self._table.update(job.but(wait_reason=reason))
        return one

    def is_ours(self, job: Job) -> bool:
        """Whether *job* is an uncertain submit that this process began."""
        return job.key in self._all and self._all[job.key].is_ours

    def settled(self, job: Job) -> None:
        """It is known what became of *job*."""
        self._all.pop(job.key, None)

    def postpone(self, job: Job, now: float) -> None:
        """A receipt said that another process is in the middle of the submit: ask again in a moment."""
        one = self._all[job.key]
        one.ask_receipt = now - one.since < BUSY_S
        one.next_look = now + 1

    async def resolve(self, now: float, answered: Callable[[Job, BatchAnswer], Awaitable[None]]) -> Looked:
        """Look for the jobs whose submit began and that have no job id; *answered* takes what a receipt says."""
        table = self._table
        due = [
            job for job in table.mine()
            if job.submit_began and job.job_id is None and not job.state.is_final
            and self._known(job, now).next_look <= now
        ]  # fmt: skip
        ask = [job for job in due if self._all[job.key].ask_receipt]
        if ask:
            for job, answer in zip(ask, await table.client.receipts(ask), strict=True):
                await answered(job, answer)
        look = [
            table.jobs[job.key] for job in due
            if job.key in self._all and not self._all[job.key].ask_receipt and self._all[job.key].next_look <= now
        ]  # fmt: skip
        return await self._look(look, now) if look else Looked()

    def _known(self, job: Job, now: float) -> Uncertain:
        return self._all.setdefault(job.key, Uncertain(since=now, why="the process that submitted it is gone"))

    async def _look(self, jobs: Sequence[Job], now: float) -> Looked:
        seen = await self._table.client.look(jobs)
        if not seen.complete and self._table.backend.find is not None:
            await self._tell_no_answer(len(jobs), seen.said)
        looked = Looked()
        for job in jobs:
            if (job_id := seen.ids.get(job.key)) is not None:
                looked.found.append((job, job_id))
            else:
                self._not_found(job, now, looked, seen)
        return looked

    def _not_found(self, job: Job, now: float, looked: Looked, seen: Look) -> None:
        one, complete, began = self._all[job.key], seen.complete, seen.began.get(job.key)
        one.next_look = now + LOOK_TWICE_S
        patience_s = max(self._table.backend.monitor.gone_after_s, 2 * LOOK_TWICE_S)
        if complete and one.looked_at is None:
            one.looked_at = now
        absent_s = now - one.looked_at if complete and one.looked_at is not None else 0.0
        if began is not None and (complete or began.report is not None):
            if absent_s >= (LOOK_TWICE_S if began.report else patience_s) or now - one.since >= patience_s:
                looked.ended.append((job, began.report))
        elif absent_s >= LOOK_TWICE_S and one.may_repeat:
            looked.absent.append((job, one))
        elif now - one.since >= patience_s and (not one.may_repeat or self._table.backend.find is None):
            looked.unknown.append((job, one))

    async def _tell_no_answer(self, count: int, said: str) -> None:
        text = f"the scheduler gave no good answer about {count} uncertain submits; they are looked for again"
        await self._table.tell_rarely(EventKind.FIND_FAILED, f"{text}{said and f'; it said: {said}'}", at_once=1)
