"""Asking about jobs in batches, and killing them: what a job's state becomes is decided in ``core.lifecycle``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from adapter.core.lifecycle import Evidence, Patience, advance, has_left
from adapter.core.parse import classify
from adapter.core.state import Reason, State
from adapter.errors import AuthenticationError
from adapter.execution.clock import backoff
from adapter.execution.site import monitor_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapter.core.job import Job
    from adapter.errors import CompletedCommand
    from adapter.execution.executor import Executor
    from adapter.execution.site import Poll

NEVER_S = 3600.0
_SLOWER = 1.5  # how much longer each wait gets while nothing changes
KILL_AGAIN_S = 5.0
MOST_KILLS = 5


class Poller:
    """Polls the jobs of an executor that its scheduler has, at an interval that adapts to how much happens."""

    def __init__(self, executor: Executor) -> None:
        """Nothing is asked before the executor says so."""
        self._executor = executor
        self._interval_s = 0.0
        self._next_at = 0.0
        self._waits = backoff()
        self._said: set[str] = set()
        self._kill_tries: dict[str, tuple[int, float]] = {}
        self._known: set[str] = set()

    async def poll(self, now: float) -> float:
        """Ask about every job that the scheduler has, if it is time; return when to come again, in seconds."""
        limits, executor = self._executor.backend.limits, self._executor
        jobs = [job for job in executor.mine() if job.job_id is not None and not job.state.is_final]
        if not jobs:
            return NEVER_S
        keys = {job.key for job in jobs}
        if not keys <= self._known:  # something new: look soon
            self._interval_s = limits.poll_min_s
            self._next_at = min(self._next_at, now + limits.poll_min_s) if self._known else now + limits.poll_min_s
        self._known = keys
        if now < self._next_at:
            return self._next_at - now
        return await self.ask(jobs)

    async def ask(self, jobs: Sequence[Job]) -> float:
        """Ask about *jobs* now; return when to come again, in seconds."""
        executor, limits = self._executor, self._executor.backend.limits
        poll = await executor.site.poll(jobs)
        now = executor.clock.now()
        await self._report(poll)
        changed = await self._apply(jobs, poll, now)
        if poll.problem is not None:
            self._interval_s = next(self._waits)
            await self._complain(poll.problem)
        elif changed or any(job.left_since for job in executor.mine() if not job.state.is_final):
            self._interval_s, self._waits = limits.poll_min_s, backoff()
        else:
            self._interval_s, self._waits = (
                min(max(self._interval_s, limits.poll_min_s) * _SLOWER, limits.poll_max_s),
                backoff(),
            )
        self._next_at = now + self._interval_s
        return self._interval_s

    async def _apply(self, jobs: Sequence[Job], poll: Poll, now: float) -> bool:
        executor = self._executor
        evidence = dict(poll.evidence)
        fresh = [executor.jobs[job.key] for job in jobs]
        leaving = [job for job in fresh if has_left(evidence[job.key])]
        if leaving and executor.site.has_result:
            results = await executor.site.results(leaving)
            evidence.update((key, replace(evidence[key], result=result)) for key, result in results.items())
        monitor = executor.backend.monitor
        patience = Patience(
            gone_after_s=monitor.gone_after_s, has_result=executor.site.has_result, requeues=monitor.requeues
        )
        after = [self._advanced(job, evidence[job.key], poll, now, patience) for job in fresh]
        moved = any((old.state, old.reason) != (new.state, new.reason) for old, new in zip(fresh, after, strict=True))
        await executor.update(*after)
        return moved

    def _advanced(self, job: Job, evidence: Evidence, poll: Poll, now: float, patience: Patience) -> Job:
        probe = poll.probes.get(job.key)
        if probe and probe.job_id and probe.job_id != job.job_id:
            return job.but(job_id=probe.job_id, left_since=None)  # an earlier try lives after all, and it alone runs
        return advance(job, evidence, now, patience)

    async def _report(self, poll: Poll) -> None:
        """Say once what nobody could read: noise, or a pattern that does not fit."""
        for line in poll.unreadable:
            await self._say_once("unreadable_line", f"a line of the monitor's answer fits no pattern: {line!r}")
        for evidence in poll.evidence.values():
            seen = evidence.observation
            if seen and seen.state is State.UNKNOWN:
                await self._say_once(
                    "unknown_state", f"the scheduler says {seen.native_state!r}, which monitor.states does not name"
                )

    async def _say_once(self, what: str, text: str) -> None:
        if text not in self._said and len(self._said) < 100:
            self._said.add(text)
            await self._executor.tell(what, text)

    async def _complain(self, problem: CompletedCommand) -> None:
        error = monitor_error(problem)
        if classify(self._executor.backend, problem) == "auth":
            raise AuthenticationError(f"backend {self._executor.backend.name} does not accept us: {problem.words}")
        await self._executor.tell(
            "monitor_failed", f"{error}; no job is judged by that; trying again in {self._interval_s:.0f} s"
        )

    # -- kill

    async def drop(self, now: float) -> None:
        """End the jobs that were asked to be killed and never left this process: nobody has to be asked."""
        waiting = [
            job for job in self._executor.mine()
            if job.kill_requested_at is not None and job.state is State.WAITING and not job.submit_began
        ]  # fmt: skip
        await self._executor.update(*(_killed_before_submit(job, now) for job in waiting))

    async def kill(self, now: float) -> None:
        """Kill by command what was asked to be killed, and harder what stays."""
        executor = self._executor
        asked = [job for job in executor.mine() if job.kill_requested_at is not None and not job.state.is_final]
        there = [job for job in asked if job.job_id is not None and self._may_try(job, now)]
        await self._send([job for job in there if job.kill_sent_at is None], now, harder=False)
        spec = executor.backend.kill
        if spec.harder:
            due = [
                job for job in there
                if job.kill_sent_at is not None and job.kill_escalated_at is None
                and now - job.kill_sent_at >= spec.escalate_after_s
            ]  # fmt: skip
            await self._send(due, now, harder=True)

    def _may_try(self, job: Job, now: float) -> bool:
        tries, last = self._kill_tries.get(job.key, (0, 0.0))
        return tries == 0 or (tries < MOST_KILLS and now - last >= KILL_AGAIN_S) or job.kill_sent_at is not None

    async def _send(self, jobs: Sequence[Job], now: float, *, harder: bool) -> None:
        executor = self._executor
        if not jobs:
            return
        said = await executor.site.kill(jobs, harder=harder)
        sent = []
        for job in jobs:
            refusal = said[job.key]
            if refusal is not None:
                tries, _ = self._kill_tries.get(job.key, (0, 0.0))
                self._kill_tries[job.key] = (tries + 1, now)
                await executor.tell("kill_failed", f"the kill command said: {refusal.words or refusal.exit_code}", job)
                continue
            sent.append(job.but(kill_escalated_at=now) if harder else job.but(kill_sent_at=now))
        await executor.update(*sent)
        self._next_at = min(self._next_at, now + executor.backend.limits.poll_min_s)


def _killed_before_submit(job: Job, now: float) -> Job:
    said = "it had not been handed over yet"
    return job.but(state=State.KILLED, reason=Reason.KILLED_BY_USER, message=said, ended_at=now, collected=True)
