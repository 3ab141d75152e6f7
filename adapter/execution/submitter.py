"""Submitting jobs: intent first, through a receipt, and looked for before anything is repeated."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from adapter.core.array import as_array, element_id, grouped
from adapter.core.bounds import likeness
from adapter.core.event import EventKind
from adapter.core.lifecycle import ended_unseen
from adapter.core.order import Turn, named_jobs, standing
from adapter.core.receipt import SubmitStatus, read_receipt
from adapter.core.render import job_values, placed
from adapter.core.state import Reason, State
from adapter.core.submission import read_submission
from adapter.errors import AuthenticationError, ConnectError, TransportError
from adapter.execution.admission import Admission, Admitted
from adapter.execution.clock import backoff
from adapter.execution.uncertain import UncertainSubmits
from adapter.transports.base import Upload

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from adapter.core.batch import BatchAnswer
    from adapter.core.job import Job
    from adapter.core.submission import SubmissionResult
    from adapter.execution.job_table import JobTable
    from adapter.execution.uncertain import Uncertain
    from adapter.results import CompletedCommand
    from adapter.store.base import Usage

NEVER_S = 3600.0
# What a place for files says that is full or away: others free it, or bring it back. errno(3)
_NO_ROOM = re.compile(
    r"No space left on device|Disk quota exceeded|Quota exceeded|Read-only file system|Stale (?:NFS )?file handle"
    r"|Transport endpoint is not connected|Input/output error",
    re.IGNORECASE,
)
NO_ROOM_FOR_S = 30.0
# Before each repeat of a submit that failed for unknown reasons: together longer than a server is away for a restart.
REPEAT_AFTER_S = (5.0, 10.0, 20.0, 30.0)


class Submitter:
    """Submits the waiting jobs of an executor, within its backend's limits."""

    def __init__(self, table: JobTable) -> None:
        """Nothing is done before the executor says so."""
        self._table = table
        self._uncertain = UncertainSubmits(table)
        self._admission = Admission(table)
        self._waits: Iterator[float] = backoff()
        self._not_before = 0.0
        self._paused: dict[str, float] = {}  # keys of jobs that are submitted again at that time
        self._repeats: dict[str, tuple[int, str]] = {}  # how often a job was repeated, and the likeness of the words
        self._unwritable: dict[str, Iterator[float]] = {}
        self._no_room_since: dict[str, float] = {}
        self._room_at = 0.0  # when the folder of a job was last written
        self._one_by_one: str | None = None  # the likeness of words with which a whole batch was refused
        self._hopeless: set[str] = set()
        self._most_elements: int | None = None
        self._told: dict[str, float] = {}
        self.is_full = False  # whether no waiting job can be submitted right now
        self.is_kept_out = False  # whether that is because jobs of other processes use the room

    # -- new jobs

    async def submit(self, now: float) -> float:
        """Submit as many waiting jobs as the limits allow, in one batch; return when to come again, in seconds."""
        table = self._table
        self.is_kept_out = False
        waiting = [
            job for job in table.mine()
            if job.state is State.WAITING and not job.submit_began and job.kill_requested_at is None
        ]  # fmt: skip
        if not waiting:
            await table.note("")
            return NEVER_S
        waiting = await self._in_turn(waiting)
        waiting, again_s = self._not_paused(waiting, now)
        if not waiting:
            self.is_full = True
            return again_s
        # The intent and its slot, in one transaction, before anything leaves this process.
        admitted, groups = await self._take_slots(waiting, now)
        batch = [job for group in groups for job in group]
        self.is_full, self.is_kept_out = not batch, admitted.by_others
        await table.note(admitted.why)
        await table.notify()
        if not batch:
            return min(again_s, NEVER_S if admitted.again_s is None else admitted.again_s)
        try:
            good = {job.key for job in await self._put_inputs(batch)}
            groups = self._whole(groups, good)
            counted_anew = [job for group in groups for job in group if job != table.jobs[job.key]]
            await table.update(*counted_anew)  # the intent, as it now is
            answers = await table.client.submit(groups) if groups else []
        except ConnectError:
            still = [job for job in batch if not table.jobs[job.key].state.is_final]
            await table.update(*(job.but(submit_began=False) for job in still))
            raise
        async with table.together():
            await self._look_alike(groups, answers)
            for group, answer in zip(groups, answers, strict=True):
                for job in group:
                    await self._answered(job, answer)
        return 0.0

    async def _take_slots(self, waiting: Sequence[Job], now: float) -> tuple[Admitted, list[list[Job]]]:
        """Return what may go now of *waiting*, and in which groups; it is written down as begun."""
        table, decided = self._table, []
        mine = [job for job in table.mine() if job.submit_began and not job.state.is_final]

        def decide(usage: Usage) -> tuple[list[Job], int]:
            admitted = self._admission.admit(waiting, mine, usage, now)
            begun = [placed(job, table.client.workspace).but(submit_began=True) for job in admitted.jobs]
            groups = self._grouped(begun)
            decided.append((admitted, groups))
            return [job for group in groups for job in group], admitted.counted

        events = await table.clock.in_thread(table.store.take_slots, table.backend.name, table.owner, now, decide)
        admitted, groups = decided[-1]
        table.now_stored([job for group in groups for job in group], events)
        return admitted, groups

    def _not_paused(self, waiting: Sequence[Job], now: float) -> tuple[list[Job], float]:
        """Return those of *waiting* that may be tried now, and when to come again for the others, in seconds."""
        if now < self._not_before:
            return [], self._not_before - now
        if self._one_by_one is not None and waiting:
            if self._uncertain.any_left:
                return [], 1.0
            waiting = [max(waiting, key=lambda job: self._repeats.get(job.key, (0, ""))[0])]
        paused = [self._paused[job.key] - now for job in waiting if self._paused.get(job.key, now) > now]
        ready = [job for job in waiting if self._paused.get(job.key, now) <= now]
        return ready, min(paused, default=NEVER_S)

    def _grouped(self, batch: Sequence[Job]) -> list[list[Job]]:
        if self._most_elements == 1:
            return [[job] for job in batch]
        return grouped(self._table.backend, batch, self._table.client.workspace, most=self._most_elements)

    def _whole(self, groups: Sequence[list[Job]], good: set[str]) -> list[list[Job]]:
        """Return *groups* of the jobs whose inputs are there; an array that lost one is counted anew."""
        spec = self._table.backend.array
        kept = [(group, [job for job in group if job.key in good]) for group in groups]
        return [
            left if len(left) == len(group) or spec is None else as_array(left, spec) for group, left in kept if left
        ]

    def has_more(self, now: float) -> bool:
        """Whether there are jobs that nobody refused and that were not submitted yet."""
        waiting = any(
            job.state is State.WAITING and not job.submit_began and job.key not in self._paused
            for job in self._table.mine()
        )
        return waiting and now >= self._not_before

    async def _in_turn(self, waiting: Sequence[Job]) -> list[Job]:
        """Return the jobs whose turn it is; one that waits for what will never come ends here."""
        table = self._table
        runs = {job.run for job in waiting if job.task.after}
        named = {run: named_jobs(table.jobs_of(run)) for run in runs}
        ready = []
        for job in waiting:
            if not job.task.after:
                ready.append(job)
                continue
            its = standing(job, named[job.run], table.backend)
            if its.turn is Turn.NEVER:
                await self._fail(job, Reason.DEPENDENCY, its.why)
            elif its.turn is Turn.NOW:
                job = _with_inputs_seen(job)  # noqa: PLW2901 (the same job, as it is now)
                ready.append(job.but(after_succeeded=its.after_succeeded, after_ended=its.after_ended))
        return ready

    async def _put_inputs(self, batch: Sequence[Job]) -> list[Job]:
        """Put the inputs of *batch* on the target; a job whose inputs cannot be put fails alone."""
        client = self._table.client
        uploads = {job.key: self._uploads(job) for job in batch}
        if not any(uploads.values()):
            return list(batch)
        try:
            await client.put([upload for each in uploads.values() for upload in each])
        except ConnectError:
            raise
        except TransportError:
            good = []
            for job in batch:
                try:
                    await client.put(uploads[job.key])
                    good.append(job)
                except ConnectError:
                    raise
                except TransportError as error:
                    if _NO_ROOM.search(str(error)) and not self._is_only_one_without_room(job):
                        await self._wait_for_room(job, str(error))
                    else:
                        await self._fail(job, Reason.WORKSPACE, str(error))
            return good
        return list(batch)

    def _uploads(self, job: Job) -> list[Upload]:
        work = job_values(self._table.backend, job, self._table.client.workspace)["work_directory"]
        return [
            Upload(
                target=f"{work}/{item.to}",
                path=item.path,
                content=item.content.encode() if isinstance(item.content, str) else item.content,
                link=item.link,
            )
            for item in job.task.inputs
            if item.url is None
        ]

    # -- answers

    async def _answered(self, job: Job, answer: BatchAnswer) -> None:
        if answer.completed is None:
            if answer.began:
                await self._uncertain.add(job, "the answer of the submit command was lost")
            else:
                await self._table.update(job.but(submit_began=False))
            return
        receipt, completed = read_receipt(answer.completed)
        match receipt.status:
            case SubmitStatus.ANSWERED:
                self._room_at = self._table.clock.now()
                await self._judged(job, completed)
            case SubmitStatus.NEVER:
                if self._uncertain.is_ours(job):
                    await self._wait(self._table.clock.now(), "a submit did not reach the target")
                self._uncertain.settled(job)
                await self._table.update(job.but(submit_began=False, wait_reason=""))
            case SubmitStatus.BEGUN:
                await self._uncertain.add(job, "another process is submitting it")
                self._uncertain.postpone(job, self._table.clock.now())
            case SubmitStatus.INTERRUPTED:
                (await self._uncertain.add(job, "the process that submitted it died")).ask_receipt = False
            case SubmitStatus.UNWRITABLE:
                await self._unwritable_directory(job, completed)

    async def _judged(self, job: Job, completed: CompletedCommand) -> None:
        """Act on the submit command's own answer: the scheduler has the job, refused it, or it is not known."""
        table = self._table
        result = read_submission(table.backend, completed)
        if result.accepted and result.job_id is not None:
            await self._is_there(job, element_id(table.backend, job, result.job_id))
        elif result.refused:
            await self._refused(job, result, completed.words)
        elif result.job_id is not None and table.backend.find is None:  # nobody can look: the monitor will tell
            await self._is_there(job, element_id(table.backend, job, result.job_id))
        else:
            await self._not_known(job, result, completed)

    async def _not_known(self, job: Job, result: SubmissionResult, completed: CompletedCommand) -> None:
        now = self._table.clock.now()
        why = completed.words or f"the submit command ended with exit code {completed.exit_code}, and no word"
        if result.exit_code == 0:
            why = result.problem
            await self._table.tell(EventKind.UNREADABLE_SUBMIT, why, job)
        one = await self._uncertain.add(job, why)
        one.ask_receipt, one.result, one.words, one.next_look = False, result, completed.words, now
        one.may_repeat = result.exit_code != 0 or result.kind is not None
        if result.kind == "transient":
            one.next_look = now + 1
            await self._wait(now, f"the scheduler did not answer a submit: {completed.words}")

    async def _is_there(self, job: Job, job_id: str) -> None:
        self._forget(job)
        if self._table.clock.now() >= self._not_before:
            self._waits = backoff()
        self._one_by_one = None
        self._hopeless.clear()
        now = self._table.clock.now()
        known = {"state": State.QUEUED, "job_id": job_id, "submitted_at": now}
        await self._table.update(job.but(**known, message="", wait_reason=""))

    async def _refused(self, job: Job, result: SubmissionResult, words: str) -> None:
        """The scheduler surely does not have *job*: act as the class of its words says."""
        table, now = self._table, self._table.clock.now()
        if result.kind is not None:
            self._one_by_one = None
        match result.kind:
            case "limit":
                if not await self._halved(job):
                    await self._wait(now, f"the scheduler takes no more jobs for now: {words}")
                await self._again(job)
            case "auth":
                await self._again(job)
                raise AuthenticationError(f"backend {table.backend.name} does not accept us: {words}")
            case "transient":
                await self._again(job)
            case "permanent" if job.array is not None:  # perhaps only the array is refused: each says so for itself
                self._most_elements = 1
                await self._again(job)
            case "permanent":
                await self._fail(job, Reason.SUBMIT_REFUSED, f"the scheduler refused it: {words}")
            case _:
                said = words or f"exit code {result.exit_code}, and no word"
                await self._repeat(job, f"the scheduler refused it: {said}", Reason.SUBMIT_REFUSED)

    async def _halved(self, job: Job) -> bool:
        """Make arrays smaller if that of *job* is over a limit although nothing of ours is in the queue."""
        table = self._table
        if job.array is None:
            return False
        if any(other.job_id is not None and not other.state.is_final for other in table.mine()):
            return False
        others = await table.clock.in_thread(table.store.used_by_others, table.backend.name, table.owner)
        if others:
            return False
        half = max(1, job.array.size // 2)
        if self._most_elements is None or half < self._most_elements:
            self._most_elements = half
            await table.tell(
                EventKind.SMALLER_ARRAY, f"an array of {job.array.size} is over a limit; trying {half} at once"
            )
        return True

    async def _repeat(self, job: Job, why: str, reason: Reason) -> None:
        """Submit *job* again after a pause, or end it once that was done often enough."""
        if job.array is not None:  # perhaps only the array is refused: each says so for itself
            self._most_elements = 1
            await self._again(job)
            return
        now, alike = self._table.clock.now(), likeness(why)
        count = self._repeats.get(job.key, (0, ""))[0]
        if count < len(REPEAT_AFTER_S) and alike not in self._hopeless:
            wait_s = REPEAT_AFTER_S[count]
            self._repeats[job.key], self._paused[job.key] = (count + 1, alike), now + wait_s
            await self._again(job, why)
            text = f"{why}; trying again in {wait_s:.0f} s, time {count + 1} of {len(REPEAT_AFTER_S)}"
            await self._tell_once(why, text, wait_s, job)
            return
        often = f"{why} ({count + 1} times)" if count else why
        await self._fail(job, reason, often)
        if self._one_by_one is not None:  # a whole batch was refused so, and now one by itself, often enough
            self._one_by_one = None
            self._hopeless.add(alike)
            await self._fail_all_alike(alike, often, reason)

    async def _fail_all_alike(self, alike: str, why: str, reason: Reason) -> None:
        for key, (_, words) in list(self._repeats.items()):
            job = self._table.jobs[key]
            if words == alike and not job.state.is_final and not job.submit_began:
                await self._fail(job, reason, why)

    async def _look_alike(self, groups: Sequence[Sequence[Job]], answers: Sequence[BatchAnswer]) -> None:
        """Notice a batch that was refused as a whole in the same unknown words: that is the place, not the jobs.

        From then on one job is tried at a time, until one is taken.
        """
        words = set()
        for answer in answers:
            completed = read_receipt(answer.completed)[1] if answer.completed else None
            result = read_submission(self._table.backend, completed) if completed else None
            if completed is None or result is None or result.exit_code == 0 or result.kind is not None:
                return
            if result.names_a_job:
                return
            words.add(likeness(completed.words))
        if len(groups) > 1 and len(words) == 1 and completed is not None:
            self._one_by_one = words.pop()
            said = completed.words or f"exit code {completed.exit_code}, and no word"
            why = f"all {len(groups)} submits of a batch were refused in the same unknown words: {said}"
            await self._table.tell(EventKind.SUBMIT_WAITS, f"{why}; trying one by one after a pause")
            await self._table.note(why)

    async def _wait(self, now: float, why: str) -> None:
        if now >= self._not_before:
            wait_s = next(self._waits)
            self._not_before = now + wait_s
            await self._table.tell_rarely(EventKind.SUBMIT_WAITS, f"{why}; trying again in {wait_s:.0f} s")
            await self._table.note(why)

    async def _unwritable_directory(self, job: Job, completed: CompletedCommand) -> None:
        """The disk is full, or away: nothing was submitted, and the job waits until there is room."""
        why = f"cannot write its directory {job.directory}: {completed.words or 'no reason given'}"
        await self._wait_for_room(job, why)

    def _is_only_one_without_room(self, job: Job) -> bool:
        """Whether others found room for as long as *job* did not: its inputs are too large, the place is not full."""
        now = self._table.clock.now()
        since = self._no_room_since.setdefault(job.key, now)
        return now - since >= NO_ROOM_FOR_S and self._room_at >= since

    async def _wait_for_room(self, job: Job, why: str) -> None:
        wait_s, now = next(self._unwritable.setdefault(job.key, backoff())), self._table.clock.now()
        self._uncertain.settled(job)
        self._paused[job.key] = now + wait_s
        await self._table.update(job.but(submit_began=False, wait_reason=why))
        await self._table.tell_rarely(
            EventKind.SUBMIT_WAITS, f"{job.key}: {why}; trying again in {wait_s:.0f} s", at_once=1
        )

    async def _tell_once(self, why: str, text: str, for_s: float, job: Job) -> None:
        """Tell *text*, unless the like was told of another job less than *for_s* ago."""
        now, alike = self._table.clock.now(), likeness(why)
        if self._told.get(alike, 0.0) <= now:
            self._told[alike] = now + for_s
            await self._table.tell(EventKind.SUBMIT_WAITS, text, job)

    async def _again(self, job: Job, wait_reason: str = "") -> None:
        """Submit *job* anew: a try of its own, because this one has its answer. A kill that was asked for wins."""
        self._uncertain.settled(job)
        asked_at = self._table.jobs[job.key].kill_requested_at
        again = job.but(
            submit_try=job.submit_try + 1,
            submit_began=False,
            array=None,
            wait_reason=wait_reason,
            kill_requested_at=asked_at,
        )
        await self._table.update(again)

    async def _fail(self, job: Job, reason: Reason, message: str) -> None:
        self._forget(job)
        await self._table.update(job.but(state=State.FAILED, reason=reason, message=message, wait_reason=""))

    def _forget(self, job: Job) -> None:
        """It is settled whether the scheduler has *job*."""
        self._uncertain.settled(job)
        for known in (self._paused, self._repeats, self._unwritable, self._no_room_since):
            known.pop(job.key, None)

    # -- uncertain submits

    async def resolve(self, now: float) -> None:
        """Find out about the jobs whose submit began and that have no job id."""
        looked = await self._uncertain.resolve(now, self._answered)
        for job, job_id in looked.found:
            await self._is_there(job, job_id)
        for job, report in looked.ended:
            self._forget(job)
            await self._table.update(ended_unseen(job, report, now))
        for job, one in looked.absent:
            await self._is_absent(job, one)
        for job, one in looked.unknown:
            await self._stays_unknown(job, one)

    async def _is_absent(self, job: Job, one: Uncertain) -> None:
        """Two good looks found no trace of *job*."""
        if job.kill_requested_at is not None:
            await self._again(job)  # which ends it before it leaves
        elif one.result is None:
            await self._repeat(job, f"its submit had no effect: {one.why}", Reason.SUBMIT_UNKNOWN)
        elif one.result.job_id is not None and one.result.kind not in {"limit", "auth", "permanent"}:
            await self._is_there(job, element_id(self._table.backend, job, one.result.job_id))  # the monitor will tell
        else:
            await self._refused(job, one.result, one.words)

    async def _stays_unknown(self, job: Job, one: Uncertain) -> None:
        message = f"whether the scheduler has this job is unknown ({one.why}), and it was not found by its token"
        if self._table.backend.find is None:
            message += "; the backend has no `find`, which would settle it"
        self._uncertain.settled(job)
        lost = {"state": State.LOST, "reason": Reason.SUBMIT_UNKNOWN, "message": message}
        await self._table.update(job.but(**lost, wait_reason=""))


def _with_inputs_seen(job: Job) -> Job:
    """Return *job* with which of its inputs are folders, now that the tasks before it have brought them."""
    if not job.files_of:
        return job
    seen = (item if item.path is None else replace(item, folder=Path(item.path).is_dir()) for item in job.task.inputs)
    return job.but(task=replace(job.task, inputs=tuple(seen)))
