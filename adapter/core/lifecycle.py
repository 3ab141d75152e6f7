"""What a job's state becomes from what was seen: a pure function of the job, the evidence and the time.

The evidence chain: the exit file that the job's own wrapper wrote, the scheduler's answer, accounting (``result``), and
after a grace period ``lost``. A scheduler that says killed, timed out or out of memory wins over an exit code 0.
Nothing is ever read from silence: a failed monitor command changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from adapter.core import units
from adapter.core.defaults import DEFAULTS
from adapter.core.state import Reason, State

if TYPE_CHECKING:
    from adapter.core.answers import Observation
    from adapter.core.exit_file import ExitReport
    from adapter.core.job import Job

NEVER_STARTS = "it can never start"
_NO_REASON = frozenset({"none", "(none)", "null", "(null)", "n/a", "-"})  # how a listing writes that there is none
_QUEUE_STATES = frozenset({State.QUEUED, State.HELD})


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What one poll brought about one job.

    ``answered``: the monitor gave a good answer; ``observation`` is what it said, ``None`` for "not there".
    ``report`` is the exit file, ``None`` if there is none. ``result`` is what accounting said, ``None`` if it was not
    asked or does not know the job.
    """

    answered: bool
    observation: Observation | None = None
    report: ExitReport | None = None
    result: Observation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for better evidence, in seconds.

    ``gone_after_s``: absent from good answers and no exit file, until lost. ``settle_s``: for an exit file or
    accounting that lags behind the scheduler's word. ``overdue_s``: an exit file is there and the scheduler still
    says running. ``success_needs_exit_file``: the job's own wrapper always writes one, so that without it the
    scheduler's word for success needs accounting's.
    """

    gone_after_s: float = units.parse_seconds(DEFAULTS["monitor.absent"]["gone_after"])
    settle_s: float = 10.0
    overdue_s: float = 60.0
    has_result: bool = False
    requeues: bool = False
    success_needs_exit_file: bool = False


def advance(job: Job, evidence: Evidence, now: float, patience: Patience) -> Job:
    """Return *job* after *evidence* was seen at *now*. Final states absorb; no answer moves nothing."""
    if job.state.is_final or not evidence.answered:
        return job
    seen = evidence.observation
    if seen is not None and (seen.stuck or not seen.state.is_final):
        return _still_there(job, seen, evidence, now, patience)
    left_since = now if job.left_since is None else min(job.left_since, now)  # a clock may have been set back since
    job = job.but(left_since=left_since, native_state=_word(seen, job), wait_reason="")
    if _should_wait(job, evidence, now - left_since, patience):
        return job
    if patience.success_needs_exit_file and _is_unwitnessed_success(evidence):
        return _unwitnessed(job, now)
    return _ended(job, evidence, now)


def ended_unseen(job: Job, report: ExitReport | None, now: float) -> Job:
    """Return *job*, which began in its directory and which its scheduler does not have, with its end.

    Its id is not known: there is nobody to ask, only what its wrapper wrote.
    """
    return advance(job, Evidence(answered=True, report=report), now, Patience(gone_after_s=0, settle_s=0))


def has_left(evidence: Evidence) -> bool:
    """Whether the scheduler answered that the job ended or is not there: the moment to ask accounting."""
    seen = evidence.observation
    return evidence.answered and (seen is None or (seen.state.is_final and not seen.stuck))


def _word(seen: Observation | None, job: Job) -> str | None:
    return seen.native_state if seen else job.native_state


def _still_there(job: Job, seen: Observation, evidence: Evidence, now: float, patience: Patience) -> Job:
    if seen.stuck and not (job.state.has_started and not patience.requeues):
        return job.but(
            state=State.HELD,
            reason=seen.reason,
            native_state=seen.native_state,
            message=f"{NEVER_STARTS}: {seen.native_reason or seen.native_state}",
            kill_requested_at=job.kill_requested_at or now,
        )
    state, reason = seen.state, seen.reason
    if state is State.UNKNOWN or seen.stuck:  # what has started is not stuck, whatever is said of it
        state, reason = job.state, job.reason
    elif state in _QUEUE_STATES and job.state.has_started:
        state, reason = (state, Reason.REQUEUED) if patience.requeues else (job.state, job.reason)
    elif job.reason is Reason.REQUEUED and state in _QUEUE_STATES:
        reason = Reason.REQUEUED
    job = job.but(state=state, reason=reason, native_state=seen.native_state, left_since=None)
    said = seen.native_reason or seen.message
    job = job.but(wait_reason="" if state is State.RUNNING or said.lower() in _NO_REASON else said)
    if state is State.RUNNING and job.started_at is None:
        job = job.but(started_at=now)
    if evidence.report is None or not (state.has_started or seen.state is State.UNKNOWN):
        return job.but(exit_seen_at=None)
    exit_seen_at = now if job.exit_seen_at is None else min(job.exit_seen_at, now)
    job = job.but(exit_seen_at=exit_seen_at)
    overdue = now - exit_seen_at >= patience.overdue_s
    return _by_report(job, evidence.report, now) if overdue else job


def _should_wait(job: Job, evidence: Evidence, waited: float, patience: Patience) -> bool:
    """Whether better evidence may still come for a job that left the queue."""
    seen, result = evidence.observation, evidence.result
    if patience.success_needs_exit_file and _is_unwitnessed_success(evidence):
        return waited < patience.gone_after_s
    if _may_be_explained(job, evidence) and patience.has_result:
        return waited < patience.settle_s
    if seen is not None:
        says_enough = seen.state is State.KILLED or seen.reason is not None or seen.exit_code is not None
        return evidence.report is None and result is None and not says_enough and waited < patience.settle_s
    if result is not None and result.state.is_final:
        says_enough = evidence.report is not None or result.state is State.KILLED or result.reason is not None
        return not says_enough and waited < patience.settle_s
    if evidence.report is not None:
        return patience.has_result and waited < patience.settle_s
    grace = min(patience.gone_after_s, patience.settle_s) if job.kill_sent_at else patience.gone_after_s
    return waited < grace


def _is_unwitnessed_success(evidence: Evidence) -> bool:
    """Whether the scheduler alone says success: no exit file, and no word of accounting.

    A scheduler was seen to say "done" for a job that it ended just as it started, before any step ran.
    """
    seen, result = evidence.observation, evidence.result
    says_success = seen is not None and seen.state is State.SUCCEEDED and seen.reason is None
    return says_success and evidence.report is None and (result is None or not result.state.is_final)


def _unwitnessed(job: Job, now: float) -> Job:
    if job.kill_sent_at is not None:
        return _killed(job.but(ended_at=now))
    return job.but(
        state=State.LOST,
        reason=Reason.VANISHED,
        message=f"the scheduler says {job.native_state}, but the job's wrapper left no exit file: "
        "whether its steps ran is not known",
        ended_at=now,
    )


def _may_be_explained(job: Job, evidence: Evidence) -> bool:
    """Whether a job ended by a signal of which nobody said yet who sent it; accounting may know."""
    seen, report, result = evidence.observation, evidence.report, evidence.result
    if job.kill_sent_at is not None or (result is not None and result.state.is_final):
        return False
    if seen is not None and (seen.reason is not None or seen.state is not State.FAILED):
        return False
    if report is not None and report.reason is not None:
        return False
    return (report is not None and report.signal is not None) or (seen is not None and seen.signal is not None)


def _ended(job: Job, evidence: Evidence, now: float) -> Job:
    report, result = evidence.report, evidence.result
    final_result = result if result is not None and result.state.is_final else None
    word = _filled(evidence.observation, final_result)
    if word is not None and word.state is State.SUCCEEDED and word.reason is not None:
        word = replace(word, state=State.FAILED)  # "finished", and why it did not end well
    usage = job.usage
    for source in (report, evidence.observation, result):
        if source is not None:
            usage = usage.or_else(source.usage)
    job = job.but(ended_at=now, usage=usage, step_codes=report.step_codes if report else ())
    if word is None and report is None:
        return _vanished(job)
    if word is not None and _overrules(word):
        return _by_scheduler(job, word, report)
    if report is not None and (word is None or not _contradicts(word, report)):
        return _by_report(job, report, now)
    assert word is not None
    return _by_scheduler(job, word, report)


def _filled(seen: Observation | None, result: Observation | None) -> Observation | None:
    """Return what was *seen*, with what it left open filled from accounting's *result*.

    Where the scheduler said no more than "failed", accounting knows better: who killed it, or why it failed.
    """
    if seen is None or result is None:
        return seen or result
    if seen.state is State.FAILED and seen.reason is None and _overrules(result):
        seen = replace(seen, state=result.state, reason=result.reason)
    if seen.exit_code is None and seen.signal is None:
        seen = replace(seen, exit_code=result.exit_code, signal=result.signal)
    return replace(
        seen,
        reason=seen.reason or (result.reason if result.state is seen.state else None),
        native_reason=seen.native_reason or result.native_reason,
        message=seen.message or result.message,
    )


def _overrules(word: Observation) -> bool:
    """Whether the scheduler's word wins over any exit file: killed, or failed for a reason it knows better."""
    return word.state is State.KILLED or (word.state is State.FAILED and word.reason is not None)


def _contradicts(word: Observation, report: ExitReport) -> bool:
    """Whether the scheduler says failed where the task's own exit code is 0."""
    return word.state is State.FAILED and report.exit_code == 0


def _vanished(job: Job) -> Job:
    if job.kill_sent_at is not None:
        return _killed(job)
    return job.but(
        state=State.LOST,
        reason=Reason.VANISHED,
        message="the scheduler no longer knows the job, and it left no exit file",
    )


def _by_report(job: Job, report: ExitReport, now: float) -> Job:
    job = job.but(
        exit_code=report.exit_code,
        signal=report.signal,
        usage=report.usage.or_else(job.usage),
        step_codes=report.step_codes,
        ended_at=job.ended_at or now,
    )
    if report.reason is not None:
        state = State.KILLED if report.reason is Reason.KILLED_BY_OTHER else State.FAILED
        return job.but(state=state, reason=report.reason, message=report.message or job.message)
    if _ended_at_walltime(job, report):
        return job.but(state=State.FAILED, reason=Reason.TIME_LIMIT)
    return _by_exit_code(job, report.exit_code, report.signal)


def _ended_at_walltime(job: Job, report: ExitReport) -> bool:
    """Whether a signal ended the task when its walltime was over: what a scheduler without a memory leaves of it."""
    walltime_s, wall_s = job.task.resources.walltime_s, report.usage.wall_s
    if walltime_s is None or wall_s is None or report.signal not in _LIMIT_SIGNALS or job.kill_sent_at is not None:
        return False
    return wall_s >= walltime_s - 1  # both ends are whole seconds


_LIMIT_SIGNALS = frozenset({9, 12, 15, 24})  # KILL, USR2, TERM, XCPU: what schedulers send at the limit


def _by_exit_code(job: Job, exit_code: int, signal: int | None) -> Job:
    if exit_code in job.task.allowed_exit_codes:
        return job.but(state=State.SUCCEEDED, reason=None, signal=None, message="")
    if job.kill_sent_at is not None and signal is not None:
        return _killed(job)
    return job.but(state=State.FAILED, reason=Reason.SIGNAL if signal is not None else Reason.EXIT_CODE)


def _by_scheduler(job: Job, word: Observation, report: ExitReport | None) -> Job:
    exit_code, signal = word.exit_code, word.signal
    if report is not None and report.exit_code:  # the scheduler knows why, the wrapper how
        exit_code, signal = report.exit_code, report.signal
    if word.state is State.SUCCEEDED and exit_code is None:
        exit_code = 0  # the scheduler says so in a word
    if word.state is not State.SUCCEEDED and exit_code == 0:
        exit_code = None  # a job that did not succeed has no exit code 0, whatever the scheduler fills in
    job = job.but(exit_code=exit_code, signal=signal)
    if word.state is State.KILLED:
        return _killed(job, by_us=job.kill_requested_at is not None, reason=word.reason)  # its answer may be lost
    if word.reason is None and exit_code is not None and (exit_code != 0 or word.state is State.SUCCEEDED):
        return _by_exit_code(job, exit_code, signal)
    if job.kill_sent_at is not None and word.reason is None:
        return _killed(job)
    why = word.message or word.native_reason
    said = f"the scheduler says {word.native_state}" + (f" ({why})" if why else "")
    return job.but(state=word.state, reason=word.reason, message=job.message or said)


def _killed(job: Job, *, by_us: bool = True, reason: Reason | None = None) -> Job:
    if job.reason is Reason.DEPENDENCY or job.message.startswith(NEVER_STARTS):  # that is why we killed it
        return job.but(state=State.FAILED)
    if by_us:
        return job.but(state=State.KILLED, reason=Reason.KILLED_BY_USER)
    return job.but(state=State.KILLED, reason=reason or Reason.KILLED_BY_OTHER)
