"""Handing jobs over: intent first, through a receipt, and looked for before anything is repeated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapter.core.array import as_array, element_id, grouped
from adapter.core.fit import with_defaults
from adapter.core.lifecycle import ended_unseen
from adapter.core.order import Turn, named_jobs, standing
from adapter.core.parse import classify, parse_job_id
from adapter.core.receipt import Handover, read_receipt
from adapter.core.render import job_values, placed
from adapter.core.state import Reason, State
from adapter.errors import AuthenticationError, ConnectError, OutputError, TransportError
from adapter.execution.clock import backoff
from adapter.transports.base import Upload

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from adapter.core.job import Job
    from adapter.errors import CompletedCommand
    from adapter.execution.book import Book
    from adapter.execution.site import StepAnswer

NEVER_S = 3600.0
LOOK_TWICE_S = 5.0  # between two looks for a job that may exist: schedulers show a new job late
BUSY_S = 60.0  # how long another process may be in the middle of a submit before the job is looked for
MOST_REFUSALS_TO_WRITE = 5


@dataclass(slots=True)
class Doubt:
    """A job of which it is not known whether the scheduler has it.

    ``looked_at`` is the first good look that found nothing. ``may_repeat``: once it is surely not there, it is handed
    over again; otherwise (an answer that could not be read) it is only waited for. ``ask_receipt``: the target may
    have kept an answer.
    """

    since: float
    why: str
    ask_receipt: bool = True
    may_repeat: bool = True
    looked_at: float | None = None
    next_look: float = 0.0


class Submitter:
    """Hands over the waiting jobs of an executor, within its backend's limits."""

    def __init__(self, book: Book) -> None:
        """Nothing is done before the executor says so."""
        self._book = book
        self._doubts: dict[str, Doubt] = {}
        self._waits: Iterator[float] = backoff()
        self._not_before = 0.0
        self._sent_at: list[float] = []
        self._unwritable: dict[str, int] = {}
        self._arrays_off = False
        self.is_full = False  # whether no waiting job can be handed over right now

    # -- new jobs

    async def submit(self, now: float) -> float:
        """Hand over as many waiting jobs as the limits allow, in one batch; return when to come again, in seconds."""
        book = self._book
        waiting = [job for job in book.mine() if job.state is State.WAITING and not job.submit_began]
        if not waiting:
            return NEVER_S
        waiting = await self._in_turn(waiting)
        if not waiting:
            self.is_full = True
            return NEVER_S
        if now < self._not_before:
            self.is_full = True
            return self._not_before - now
        batch = self._admitted(waiting, now)
        self.is_full = not batch
        if not batch:
            return 1.0 if self._room_in_rate(now) == 0 else NEVER_S
        batch = [placed(job, book.site.workspace).but(submit_began=True) for job in batch]
        groups = [[job] for job in batch] if self._arrays_off else grouped(book.backend, batch, book.site.workspace)
        batch = [job for group in groups for job in group]
        await book.update(*batch)  # the intent, before anything leaves this process
        try:
            good = {job.key for job in await self._put_inputs(batch)}
            groups = self._whole(groups, good)
            counted_anew = [job for group in groups for job in group if job != book.jobs[job.key]]
            await book.update(*counted_anew)  # the intent, as it now is
            answers = await book.site.submit(groups) if groups else []
        except ConnectError:
            still = [job for job in batch if not book.jobs[job.key].state.is_final]
            await book.update(*(job.but(submit_began=False) for job in still))
            raise
        self._sent_at += [now] * len(batch)
        async with book.together():
            for group, answer in zip(groups, answers, strict=True):
                for job in group:
                    await self._answered(job, answer)
        self._refuse_to_hurry(now)
        return 0.0

    def _whole(self, groups: Sequence[list[Job]], good: set[str]) -> list[list[Job]]:
        """Return *groups* of the jobs whose inputs are there; an array that lost one is counted anew."""
        spec = self._book.backend.array
        kept = [(group, [job for job in group if job.key in good]) for group in groups]
        return [
            left if len(left) == len(group) or spec is None else as_array(left, spec) for group, left in kept if left
        ]

    def has_more(self, now: float) -> bool:
        """Whether there are jobs that nobody refused and that were not handed over yet."""
        waiting = any(job.state is State.WAITING and not job.submit_began for job in self._book.mine())
        return waiting and now >= self._not_before

    async def _in_turn(self, waiting: Sequence[Job]) -> list[Job]:
        """Return the jobs whose turn it is; one that waits for what will never come ends here."""
        book = self._book
        runs = {job.run for job in waiting if job.task.after}
        named = {run: named_jobs(book.jobs_of(run)) for run in runs}
        ready = []
        for job in waiting:
            if not job.task.after:
                ready.append(job)
                continue
            its = standing(job, named[job.run], book.backend)
            if its.turn is Turn.NEVER:
                await self._fail(job, Reason.DEPENDENCY, its.why)
            elif its.turn is Turn.NOW:
                ready.append(job.but(after_succeeded=its.after_succeeded, after_ended=its.after_ended))
        return ready

    def _admitted(self, waiting: Sequence[Job], now: float) -> list[Job]:
        book, limits = self._book, self._book.backend.limits
        active = [job for job in book.mine() if job.submit_began and not job.state.is_final]
        if limits.max_tasks is not None or limits.capacity:
            active += book.driven_elsewhere()
        room = limits.submit_batch
        if limits.max_tasks is not None:
            room = min(room, limits.max_tasks - len(active))
        rate_room = self._room_in_rate(now)
        room = room if rate_room is None else min(room, rate_room)
        left = dict(book.site.capacity)
        for job in active:
            self._take(left, job)
        admitted: list[Job] = []
        for job in waiting:
            if len(admitted) >= room or not self._fits(left, job):
                break  # in order: a large job is not starved by small ones behind it
            self._take(left, job)
            admitted.append(job)
        return admitted

    def _needs(self, job: Job) -> dict[str, float]:
        return with_defaults(self._book.backend, job.task).resources.asked()

    def _fits(self, left: dict[str, float], job: Job) -> bool:
        needs = self._needs(job)
        return all(needs.get(name, 0) <= room + 1e-9 for name, room in left.items())

    def _take(self, left: dict[str, float], job: Job) -> None:
        needs = self._needs(job)
        for name in left:
            left[name] -= needs.get(name, 0)

    def _room_in_rate(self, now: float) -> int | None:
        """How many more may be submitted now; ``None`` without a limit. Below one a minute it is one in longer."""
        rate = self._book.backend.limits.submit_per_minute
        if rate is None:
            return None
        since = now - max(60.0, 60.0 / rate)
        self._sent_at = [sent for sent in self._sent_at if sent > since]
        return max(0, max(1, int(rate)) - len(self._sent_at))

    def _refuse_to_hurry(self, now: float) -> None:
        """Nothing was refused for load: forget the backoff."""
        if now >= self._not_before:
            self._waits = backoff()

    async def _put_inputs(self, batch: Sequence[Job]) -> list[Job]:
        """Put the inputs of *batch* on the target; a job whose inputs cannot be put fails alone."""
        site = self._book.site
        uploads = {job.key: self._uploads(job) for job in batch}
        if not any(uploads.values()):
            return list(batch)
        try:
            await site.put([upload for each in uploads.values() for upload in each])
        except ConnectError:
            raise
        except TransportError:
            good = []
            for job in batch:
                try:
                    await site.put(uploads[job.key])
                    good.append(job)
                except ConnectError:
                    raise
                except TransportError as error:
                    await self._fail(job, Reason.WORKSPACE, str(error))
            return good
        return list(batch)

    def _uploads(self, job: Job) -> list[Upload]:
        work = job_values(self._book.backend, job, self._book.site.workspace)["work_directory"]
        return [
            Upload(
                target=f"{work}/{item.to}",
                path=item.path,
                content=None if item.content is None else item.content.encode(),
                link=item.link,
            )
            for item in job.task.inputs
            if item.url is None
        ]

    # -- answers

    async def _answered(self, job: Job, answer: StepAnswer) -> None:
        if answer.completed is None:
            if answer.began:
                self._doubt(job, "the answer of the submit command was lost")
            else:
                await self._book.update(job.but(submit_began=False))
            return
        receipt, completed = read_receipt(answer.completed)
        match receipt.handover:
            case Handover.ANSWERED if receipt.exit_code == 0:
                await self._accepted(job, completed)
            case Handover.ANSWERED:
                await self._refused(job, completed)
            case Handover.NEVER:
                await self._book.update(job.but(submit_began=False))
            case Handover.BEGUN:
                doubt = self._doubt(job, "another process is handing it over")
                doubt.ask_receipt = self._book.clock.now() - doubt.since < BUSY_S
                doubt.next_look = self._book.clock.now() + 1
            case Handover.INTERRUPTED:
                self._doubt(job, "the process that handed it over died").ask_receipt = False
            case Handover.UNWRITABLE:
                await self._unwritable_directory(job, completed)

    async def _accepted(self, job: Job, completed: CompletedCommand) -> None:
        book = self._book
        try:
            job_id = parse_job_id(book.backend.submit.job_id, completed)
        except OutputError as error:
            doubt = self._doubt(job, str(error))
            doubt.ask_receipt = doubt.may_repeat = False
            await book.tell("unreadable_submit", str(error), job)
            return
        await self._is_there(job, element_id(book.backend, job, job_id))

    async def _is_there(self, job: Job, job_id: str) -> None:
        self._doubts.pop(job.key, None)
        now = self._book.clock.now()
        await self._book.update(job.but(state=State.QUEUED, job_id=job_id, submitted_at=now, message=""))

    async def _refused(self, job: Job, completed: CompletedCommand) -> None:
        book = self._book
        now = book.clock.now()
        match classify(book.backend, completed):
            case "limit":
                await self._again(job)
                await self._wait(now, f"the scheduler takes no more jobs for now: {completed.words}")
            case "transient":
                doubt = self._doubt(job, completed.words)
                doubt.ask_receipt = False
                doubt.next_look = now + 1
                await self._wait(now, f"the scheduler did not answer a submit: {completed.words}")
            case "auth":
                await self._again(job)
                raise AuthenticationError(f"backend {book.backend.name} does not accept us: {completed.words}")
            case None if completed.exit_code > 128:  # the command itself was killed: what it had done is not known
                self._doubt(job, f"the submit command was killed (exit code {completed.exit_code})").ask_receipt = False
            case _ if job.array is not None:  # perhaps only the array is refused: each says so for itself
                self._arrays_off = True
                await self._again(job)
            case _:
                said = completed.words or f"exit code {completed.exit_code}, and no word"
                await self._fail(job, Reason.SUBMIT_REFUSED, f"the scheduler refused it: {said}")

    async def _wait(self, now: float, why: str) -> None:
        if now >= self._not_before:
            wait_s = next(self._waits)
            self._not_before = now + wait_s
            await self._book.tell("submit_waits", f"{why}; trying again in {wait_s:.0f} s")

    async def _unwritable_directory(self, job: Job, completed: CompletedCommand) -> None:
        count = self._unwritable[job.key] = self._unwritable.get(job.key, 0) + 1
        why = f"cannot write its directory {job.directory}: {completed.words or 'no reason given'}"
        if count >= MOST_REFUSALS_TO_WRITE:
            await self._fail(job, Reason.WORKSPACE, why)
            return
        await self._book.update(job.but(submit_began=False, message=why))
        await self._wait(self._book.clock.now(), why)

    async def _again(self, job: Job) -> None:
        """Hand *job* over anew: a try of its own, because this one has its answer."""
        self._doubts.pop(job.key, None)
        await self._book.update(job.but(submit_try=job.submit_try + 1, submit_began=False, array=None))

    async def _fail(self, job: Job, reason: Reason, message: str) -> None:
        self._doubts.pop(job.key, None)
        await self._book.update(job.but(state=State.FAILED, reason=reason, message=message))

    # -- doubts

    def _doubt(self, job: Job, why: str) -> Doubt:
        now = self._book.clock.now()
        doubt = self._doubts.setdefault(job.key, Doubt(since=now, why=why))
        doubt.why = why
        return doubt

    async def resolve(self, now: float) -> None:
        """Find out about the jobs that began to be handed over and have no job id."""
        book = self._book
        jobs = [
            job for job in book.mine()
            if job.submit_began and job.job_id is None and not job.state.is_final
            and self._doubt_about(job, now).next_look <= now
        ]  # fmt: skip
        ask = [job for job in jobs if self._doubts[job.key].ask_receipt]
        if ask:
            for job, answer in zip(ask, await book.site.receipts(ask), strict=True):
                await self._answered(job, answer)
        look = [job for job in jobs if job.key in self._doubts and not self._doubts[job.key].ask_receipt]
        look = [job for job in look if self._doubts[job.key].next_look <= now]
        if look:
            seen = await book.site.look(look)
            for job in look:
                if job.key in seen.began and seen.complete and self._was_looked_for(job, now):
                    self._doubts.pop(job.key)
                    await book.update(ended_unseen(job, seen.began[job.key].report, now))
                    continue
                await self._looked(job, seen.ids.get(job.key), now, complete=seen.complete)

    def _was_looked_for(self, job: Job, now: float) -> bool:
        """Whether a good look found nothing of *job* long enough ago."""
        looked_at = self._doubts[job.key].looked_at
        return looked_at is not None and now - looked_at >= LOOK_TWICE_S

    def _doubt_about(self, job: Job, now: float) -> Doubt:
        return self._doubts.setdefault(job.key, Doubt(since=now, why="the process that handed it over is gone"))

    async def _looked(self, job: Job, job_id: str | None, now: float, *, complete: bool) -> None:
        if job_id is not None:
            await self._is_there(job, job_id)
            return
        doubt = self._doubts[job.key]
        doubt.next_look = now + LOOK_TWICE_S
        patience_s = self._book.backend.monitor.gone_after_s
        if complete and doubt.looked_at is None:
            doubt.looked_at = now
        elif complete and doubt.may_repeat and now - (doubt.looked_at or now) >= LOOK_TWICE_S:
            await self._again(job)
        elif now - doubt.since >= max(patience_s, 2 * LOOK_TWICE_S) and (
            not doubt.may_repeat or self._book.backend.find is None
        ):
            self._doubts.pop(job.key)
            message = f"whether the scheduler has this job is unknown ({doubt.why}), and it was not found by its token"
            if self._book.backend.find is None:
                message += "; the backend has no `find`, which would settle it"
            await self._book.update(job.but(state=State.LOST, reason=Reason.SUBMIT_UNKNOWN, message=message))
