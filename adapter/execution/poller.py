"""Asking about jobs in batches, and killing them: what a job's state becomes is decided in ``core.lifecycle``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from adapter.core.answers import classify
from adapter.core.bounds import likeness
from adapter.core.event import EventKind
from adapter.core.job_id import parts
from adapter.core.lifecycle import Evidence, Patience, advance, has_left
from adapter.core.order import ended_by_order, named_jobs
from adapter.core.receipt import Probe
from adapter.core.state import Reason, State
from adapter.core.units import format_seconds
from adapter.errors import AuthenticationError
from adapter.execution.clock import backoff
from adapter.execution.scheduler_client import NO_EXIT_CODE, monitor_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapter.core.job import Job
    from adapter.execution.job_table import JobTable
    from adapter.execution.scheduler_client import Look, Poll
    from adapter.results import CompletedCommand

NEVER_S = 3600.0
_SLOWER = 1.5  # how much longer each wait gets while nothing changes
KILL_AGAIN_S = 5.0
KILL_WAITS_S = 60.0  # after a kill was asked for, when to say why the job is still there; later in longer pauses
MOST_KILLS = 5
SUBMITS_FIRST_S = 10.0


class Poller:
    """Polls the jobs of an executor that its scheduler has, at an interval that adapts to how much happens."""

    def __init__(self, table: JobTable) -> None:
        """Nothing is asked before the executor says so."""
        self._table = table
        self._interval_s = 0.0
        self._next_at = 0.0
        self._waits = backoff()
        self._said: set[str] = set()
        self._kill_tries: dict[tuple[str, bool], tuple[int, float]] = {}
        self._kill_unanswered: set[str] = set()
        self._kill_told: dict[str, float] = {}  # for how long a job had outlived its kill when that was told
        self._known: set[str] = set()
        self._asked_at = 0.0
        self._answered = True
        self._busy_since: float | None = None

    async def poll(self, now: float, *, more_to_submit: bool = False) -> float:
        """Ask about every job that the scheduler has, if it is time; return when to come again, in seconds.

        While there is *more_to_submit* at once, handing it over goes first, and asking comes only now and then.
        """
        limits, table = self._table.backend.limits, self._table
        jobs = [job for job in table.mine() if job.job_id is not None and not job.state.is_final]
        if not jobs:
            return NEVER_S
        keys = {job.key for job in jobs}
        if not keys <= self._known:  # something new: look soon
            self._interval_s = limits.poll_min_s
            self._next_at = min(self._next_at, now + limits.poll_min_s) if self._known else now + limits.poll_min_s
        self._known = keys
        self._busy_since = (self._busy_since or now) if more_to_submit else None
        if self._busy_since is not None and now - self._busy_since < SUBMITS_FIRST_S:
            return 0.0
        if now < self._next_at:
            return self._next_at - now
        self._busy_since = None
        return await self.ask(jobs)

    def hurry(self) -> None:
        """Something happened to a job: ask as soon as may be, unless the scheduler gave no answer lately."""
        if self._answered:
            self._interval_s = self._table.backend.limits.poll_min_s
            self._next_at = min(self._next_at, self._asked_at + self._interval_s)

    async def ask(self, jobs: Sequence[Job]) -> float:
        """Ask about *jobs* now; return when to come again, in seconds."""
        table, limits = self._table, self._table.backend.limits
        poll = await table.client.poll(jobs)
        now = table.clock.now()
        self._asked_at, self._answered = now, poll.problem is None
        await self._report(poll)
        changed = await self._apply(jobs, poll, now)
        if poll.problem is not None and not any(evidence.answered for evidence in poll.evidence.values()):
            self._interval_s = next(self._waits)
        elif changed or any(job.left_since for job in table.mine() if not job.state.is_final):
            self._interval_s, self._waits = limits.poll_min_s, backoff()
        else:
            self._interval_s, self._waits = (
                min(max(self._interval_s, limits.poll_min_s) * _SLOWER, limits.poll_max_s),
                backoff(),
            )
        if poll.problem is not None:
            await self._complain(poll.problem)
        self._next_at = now + self._interval_s
        return self._interval_s

    async def _apply(self, jobs: Sequence[Job], poll: Poll, now: float) -> bool:
        table = self._table
        evidence = dict(poll.evidence)
        fresh = [table.jobs[job.key] for job in jobs]
        leaving = [job for job in fresh if has_left(evidence[job.key])]
        if leaving and table.client.has_result:
            results = await table.client.results(leaving)
            evidence.update((key, replace(evidence[key], result=result)) for key, result in results.items())
        monitor = table.backend.monitor
        patience = Patience(
            gone_after_s=monitor.gone_after_s,
            has_result=table.client.has_result,
            requeues=monitor.requeues,
            success_needs_exit_file=monitor.success_needs_exit_file,
        )
        others = [
            job
            for job in fresh
            if poll.probes.get(job.key, Probe()).is_another(job, parts(table.backend.submit, job.job_id)[0])
        ]
        look = await table.client.look(others) if others else None
        doubtful = {job.key: look for job in others if look}
        after = [self._advanced(job, evidence[job.key], doubtful.get(job.key), now, patience) for job in fresh]
        if any(job.after_succeeded and job.state.is_final for job in after):
            after = self._ordered(after)
        moved = any((old.state, old.reason) != (new.state, new.reason) for old, new in zip(fresh, after, strict=True))
        await table.update(*after)
        return moved

    def _advanced(self, job: Job, evidence: Evidence, look: Look | None, now: float, patience: Patience) -> Job:
        """Return *job* after *evidence*; *look* was taken where another try than the known one may run."""
        if look and (job_id := look.ids.get(job.key, job.job_id)) != job.job_id:
            return job.but(job_id=job_id, left_since=None)  # an earlier try lives after all, and it alone runs
        if look and not look.complete and job.key not in look.ids:
            return job  # whose end was seen is not known
        return advance(job, evidence, now, patience)

    def _ordered(self, jobs: Sequence[Job]) -> list[Job]:
        """Return *jobs*, those that a scheduler removed for the failure of another with that as their reason."""
        table = self._table
        now_known = {**table.jobs, **{job.key: job for job in jobs}}
        named = {run: named_jobs(j for j in now_known.values() if j.run == run) for run in {job.run for job in jobs}}
        return [ended_by_order(job, named[job.run], table.backend) for job in jobs]

    async def _report(self, poll: Poll) -> None:
        """Say once what nobody could read: noise, or a pattern that does not fit."""
        for line in poll.unreadable:
            await self._say_once(
                EventKind.UNREADABLE_LINE, f"a line of the monitor's answer fits no pattern: {line[:500]!r}"
            )
        for evidence in poll.evidence.values():
            seen = evidence.observation
            if seen and seen.state is State.UNKNOWN:
                await self._say_once(
                    EventKind.UNKNOWN_STATE,
                    f"the scheduler says {seen.native_state!r}, which monitor.states does not name",
                )

    async def _say_once(self, kind: EventKind, text: str) -> None:
        alike = likeness(text)
        if alike not in self._said and len(self._said) < 100:
            self._said.add(alike)
            await self._table.tell(kind, text)

    async def _complain(self, problem: CompletedCommand) -> None:
        error = monitor_error(problem)
        if classify(self._table.backend, problem) == "auth":
            raise AuthenticationError(f"backend {self._table.backend.name} does not accept us: {problem.words}")
        await self._table.tell_rarely(
            EventKind.MONITOR_FAILED, f"{error}; no job is judged by that; trying again in {self._interval_s:.0f} s"
        )

    # -- kill

    async def drop(self, now: float) -> None:
        """End the jobs that were asked to be killed and never left this process: nobody has to be asked."""
        waiting = [
            job for job in self._table.mine()
            if job.kill_requested_at is not None and job.state is State.WAITING and not job.submit_began
        ]  # fmt: skip
        await self._table.update(*(_killed_before_submit(job, now) for job in waiting))

    async def kill(self, now: float) -> None:
        """Kill by command what was asked to be killed, and harder what stays."""
        table = self._table
        asked = [job for job in table.mine() if job.kill_requested_at is not None and not job.state.is_final]
        there = [job for job in asked if job.job_id is not None]
        first = [job for job in there if job.kill_sent_at is None and self._may_try(job, now, harder=False)]
        await self._send(first, now, harder=False)
        spec = table.backend.kill
        if spec.harder:
            due = [
                job for job in there
                if job.kill_sent_at is not None and job.kill_escalated_at is None
                and not 0 <= now - job.kill_sent_at < spec.escalate_after_s and self._may_try(job, now, harder=True)
            ]  # fmt: skip
            await self._send(due, now, harder=True)
        await self._tell_what_stays([table.jobs[job.key] for job in asked], now)

    async def _tell_what_stays(self, asked: Sequence[Job], now: float) -> None:
        """Say now and then which jobs outlive their kill, and why: one line for all with the same reason."""
        by_reason: dict[str, list[Job]] = {}
        for job in asked:
            waited_s = now - (job.kill_requested_at or now)
            if not job.state.is_final and waited_s >= max(KILL_WAITS_S, 2 * self._kill_told.get(job.key, 0.0)):
                self._kill_told[job.key] = waited_s
                by_reason.setdefault(_why_it_stays(job), []).append(job)
        for why, jobs in by_reason.items():
            more = f", and so are {len(jobs) - 1} others" if len(jobs) > 1 else ""
            waited = format_seconds(self._kill_told[jobs[0].key])
            await self._table.tell(
                EventKind.KILL_WAITS, f"still there {waited} after its kill was asked for{more}: {why}", jobs[0]
            )

    def _may_try(self, job: Job, now: float, *, harder: bool) -> bool:
        tries, last = self._kill_tries.get((job.key, harder), (0, 0.0))
        return tries == 0 or (tries < MOST_KILLS and now - last >= KILL_AGAIN_S)

    async def _send(self, jobs: Sequence[Job], now: float, *, harder: bool) -> None:
        table = self._table
        if not jobs:
            return
        said = await table.client.kill(jobs, harder=harder)
        sent = []
        for job in jobs:
            answer = said[job.key]
            if answer is not None and not self._was_killed_before(job, answer):
                await self._kill_refused(job, answer, now, harder=harder)
                continue
            sent.append(job.but(kill_escalated_at=now) if harder else job.but(kill_sent_at=now))
        await table.update(*sent)
        self._next_at = min(self._next_at, now + table.backend.limits.poll_min_s)

    def _was_killed_before(self, job: Job, answer: CompletedCommand) -> bool:
        """Whether "gone" is the work of an earlier kill command whose own answer was lost."""
        return job.key in self._kill_unanswered and classify(self._table.backend, answer) == "gone"

    async def _kill_refused(self, job: Job, answer: CompletedCommand, now: float, *, harder: bool) -> None:
        tries = self._kill_tries.get((job.key, harder), (0, 0.0))[0] + 1
        self._kill_tries[job.key, harder] = (tries, now)
        if answer.exit_code == NO_EXIT_CODE:
            self._kill_unanswered.add(job.key)
        if classify(self._table.backend, answer) == "gone" and tries == 1:
            return  # it may just have ended: the next poll tells, and only a job that is still there is worth a word
        more = "" if tries < MOST_KILLS else f"; given up after {tries} tries: end job {job.job_id} by hand"
        await self._table.tell(
            EventKind.KILL_FAILED, f"the kill command said: {answer.words or answer.exit_code}{more}", job
        )


def _why_it_stays(job: Job) -> str:
    if job.job_id is None:
        return job.wait_reason or "whether the scheduler has it is not known"
    if job.kill_sent_at is None:
        return f"the kill command was not accepted; end job {job.job_id} by hand"
    shown = job.native_state or job.state
    return f"the scheduler accepted the kill, and was last known to show the job as {shown}"


def _killed_before_submit(job: Job, now: float) -> Job:
    said = "it had not been handed over yet"
    return job.but(state=State.KILLED, reason=Reason.KILLED_BY_USER, message=said, ended_at=now, collected=True)
