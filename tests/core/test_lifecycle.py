"""The verdict on a job: a table written by hand, and the rules that no evidence can break."""
# ruff: noqa: E501 (a table reads by its rows)

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.core.answers import Observation
from adapter.core.exit_file import ExitReport
from adapter.core.job import Job, Usage
from adapter.core.lifecycle import Evidence, Patience, advance, has_left
from adapter.core.state import Reason, State

from .samples import job_of

NOW = 10_000.0
BATCH = Patience(gone_after_s=60, settle_s=10, overdue_s=60)
ACCOUNTED = Patience(gone_after_s=60, settle_s=10, overdue_s=60, has_result=True)
REQUEUES = Patience(requeues=True)
WITNESSED = Patience(gone_after_s=60, settle_s=10, success_needs_exit_file=True)

Q, H, R, S = State.QUEUED, State.HELD, State.RUNNING, State.SUSPENDED
DONE, FAILED, KILLED, LOST, UNKNOWN = State.SUCCEEDED, State.FAILED, State.KILLED, State.LOST, State.UNKNOWN


def job(state: State = R, **changes: Any) -> Job:
    """A job that the scheduler has."""
    return job_of(job_id="7", state=state, created_at=1.0, **changes)


def says(state: State, reason: Reason | None = None, code: int | None = None, **more: Any) -> Observation:
    more.setdefault("signal", code - 128 if code is not None and 128 < code <= 192 else None)
    return Observation(
        job_id="7", state=state, reason=reason, exit_code=code, native_state=more.pop("native", "NATIVE"), **more
    )


def left(code: int, reason: Reason | None = None) -> ExitReport:
    return ExitReport(exit_code=code, signal=code - 128 if 128 < code <= 192 else None, reason=reason)


def ago(seconds: float, state: State = R, **changes: Any) -> Job:
    """A job that left the scheduler some seconds ago."""
    return job(state, left_since=NOW - seconds, **changes)


SENT = {"kill_requested_at": NOW - 5, "kill_sent_at": NOW - 4}
STUCK = says(FAILED, Reason.DEPENDENCY, stuck=True, native_reason="NeverSatisfied")
UNSATISFIED = {"reason": Reason.DEPENDENCY, "message": "it can never start: NeverSatisfied"}


def row(
    name: str,
    before: Job,
    evidence: Evidence,
    after: tuple[State, Reason | None, int | None],
    patience: Patience = BATCH,
) -> Any:
    return pytest.param(before, evidence, patience, after, id=name)


def seen(
    observation: Observation | None = None, report: ExitReport | None = None, result: Observation | None = None
) -> Evidence:
    return Evidence(answered=True, observation=observation, report=report, result=result)


SILENCE = Evidence(answered=False, report=left(0), observation=None)

TABLE = [
    # -- no answer moves nothing
    row("silence-about-a-queued-job", job(Q), SILENCE, (Q, None, None)),
    row("silence-long-after-it-left", ago(9999), SILENCE, (R, None, None)),
    # -- still there
    row("queued-stays-queued", job(Q), seen(says(Q)), (Q, None, None)),
    row("queued-then-running", job(Q), seen(says(R)), (R, None, None)),
    row("held-then-queued", job(H), seen(says(Q)), (Q, None, None)),
    row("queued-then-held", job(Q), seen(says(H)), (H, None, None)),
    row("running-then-suspended", job(R), seen(says(S)), (S, None, None)),
    row("suspended-then-running", job(S), seen(says(R)), (R, None, None)),
    row("unknown-word-moves-nothing", job(R), seen(says(UNKNOWN)), (R, None, None)),
    row("running-never-goes-back", job(R), seen(says(Q)), (R, None, None)),
    row("running-goes-back-by-a-requeue", job(R), seen(says(Q)), (Q, Reason.REQUEUED, None), REQUEUES),
    row("a-requeued-job-stays-marked", job(Q, reason=Reason.REQUEUED), seen(says(H)), (H, Reason.REQUEUED, None), REQUEUES),
    row("a-requeued-job-runs-again", job(Q, reason=Reason.REQUEUED), seen(says(R)), (R, None, None), REQUEUES),
    row("running-and-an-exit-file-may-be-the-end-of-it", job(R), seen(says(R), left(0)), (R, None, None)),
    row("still-running-a-minute-after-its-exit-file", job(R, exit_seen_at=NOW - 60), seen(says(R), left(3)), (FAILED, Reason.EXIT_CODE, 3)),
    row("an-exit-file-of-the-run-before-a-requeue", job(Q, exit_seen_at=NOW - 99), seen(says(Q), left(0)), (Q, None, None), REQUEUES),
    row("stuck-is-held-until-it-is-killed", job(Q), seen(STUCK), (H, Reason.DEPENDENCY, None)),
    row("a-running-job-is-never-stuck", job(R), seen(STUCK), (R, None, None)),
    # -- ended, says the scheduler
    row("completed-with-its-exit-code", job(), seen(says(DONE, code=0)), (DONE, None, 0)),
    row("completed-waits-for-its-exit-file", job(), seen(says(DONE)), (R, None, None)),
    row("completed-without-any-code-in-the-end", ago(10), seen(says(DONE)), (DONE, None, 0)),
    row("completed-and-its-exit-file", job(), seen(says(DONE), left(0)), (DONE, None, 0)),
    row("completed-and-its-exit-file-says-3", job(), seen(says(DONE), left(3)), (FAILED, Reason.EXIT_CODE, 3)),
    row("failed-with-its-exit-code", job(), seen(says(FAILED, code=3)), (FAILED, Reason.EXIT_CODE, 3)),
    row("failed-by-a-signal", job(), seen(says(FAILED, code=137)), (FAILED, Reason.SIGNAL, 137)),
    row("failed-waits-for-its-exit-file", job(), seen(says(FAILED)), (R, None, None)),
    row("failed-without-any-code-in-the-end", ago(10), seen(says(FAILED)), (FAILED, None, None)),
    row("failed-and-its-exit-file-says-3", job(), seen(says(FAILED), left(3)), (FAILED, Reason.EXIT_CODE, 3)),
    row("failed-wins-over-an-exit-file-of-0", job(), seen(says(FAILED), left(0)), (FAILED, None, None)),
    row("an-exit-file-wins-over-another-exit-code", job(), seen(says(FAILED, code=1), left(44)), (FAILED, Reason.EXIT_CODE, 44)),
    row("time-limit-wins-over-exit-0", job(), seen(says(FAILED, Reason.TIME_LIMIT, 0), left(0)), (FAILED, Reason.TIME_LIMIT, None)),
    row("out-of-memory-wins-over-exit-0", job(), seen(says(FAILED, Reason.OUT_OF_MEMORY), left(0)), (FAILED, Reason.OUT_OF_MEMORY, None)),
    row("out-of-memory-keeps-the-code-of-the-exit-file", job(), seen(says(FAILED, Reason.OUT_OF_MEMORY), left(137)), (FAILED, Reason.OUT_OF_MEMORY, 137)),
    row("killed-by-someone-else-wins-over-exit-0", job(), seen(says(KILLED), left(0)), (KILLED, Reason.KILLED_BY_OTHER, None)),
    row("killed-by-us", job(**SENT), seen(says(KILLED, code=143)), (KILLED, Reason.KILLED_BY_USER, 143)),
    row("killed-for-a-reason-it-names", job(), seen(says(KILLED, Reason.PREEMPTED)), (KILLED, Reason.PREEMPTED, None)),
    row("node-failure", job(), seen(says(FAILED, Reason.NODE_FAILURE)), (FAILED, Reason.NODE_FAILURE, None)),
    row("ended-before-it-was-ever-seen-running", job(Q), seen(says(DONE, code=0)), (DONE, None, 0)),
    row("killed-by-us-because-it-was-stuck", job(H, **UNSATISFIED, **SENT), seen(says(KILLED)), (FAILED, Reason.DEPENDENCY, None)),
    row("we-killed-it-and-it-had-finished-well", job(**SENT), seen(says(DONE, code=0), left(0)), (DONE, None, 0)),
    row("we-killed-it-and-it-ended-by-the-signal", job(**SENT), seen(None, left(143)), (KILLED, Reason.KILLED_BY_USER, 143)),
    row("we-killed-it-and-it-ended-in-its-own-way", job(**SENT), seen(None, left(3)), (FAILED, Reason.EXIT_CODE, 3)),
    # -- not there
    row("vanished-with-an-exit-file", job(), seen(None, left(0)), (DONE, None, 0)),
    row("vanished-with-an-exit-file-of-255", job(), seen(None, left(255)), (FAILED, Reason.EXIT_CODE, 255)),
    row("the-wrapper-ended-it-at-its-walltime", job(), seen(None, left(143, Reason.TIME_LIMIT)), (FAILED, Reason.TIME_LIMIT, 143)),
    row("vanished-without-a-trace-waits", ago(59.9), seen(), (R, None, None)),
    row("vanished-without-a-trace-is-lost-after-its-grace", ago(60), seen(), (LOST, Reason.VANISHED, None)),
    row("a-queued-job-that-vanished-is-lost-too", ago(60, Q), seen(), (LOST, Reason.VANISHED, None)),
    row("vanished-after-our-kill-waits-a-little", ago(9.9, **SENT), seen(), (R, None, None)),
    row("vanished-after-our-kill-is-killed", ago(10, **SENT), seen(), (KILLED, Reason.KILLED_BY_USER, None)),
    row("stuck-killed-and-vanished", ago(10, H, **UNSATISFIED, **SENT), seen(), (FAILED, Reason.DEPENDENCY, None)),
    # -- accounting
    row("an-exit-file-waits-for-accounting", job(), seen(None, left(0)), (R, None, None), ACCOUNTED),
    row("accounting-that-lags-is-not-waited-for-longer", ago(10), seen(None, left(0)), (DONE, None, 0), ACCOUNTED),
    row("accounting-agrees", job(), seen(None, left(0), says(DONE)), (DONE, None, 0), ACCOUNTED),
    row("accounting-knows-of-a-time-limit", job(), seen(None, left(0), says(FAILED, Reason.TIME_LIMIT)), (FAILED, Reason.TIME_LIMIT, None), ACCOUNTED),
    row("accounting-alone-waits-for-an-exit-file", job(), seen(None, None, says(DONE)), (R, None, None), ACCOUNTED),
    row("accounting-alone-in-the-end", ago(10), seen(None, None, says(DONE)), (DONE, None, 0), ACCOUNTED),
    row("accounting-says-killed", job(), seen(None, None, says(KILLED)), (KILLED, Reason.KILLED_BY_OTHER, None), ACCOUNTED),
    row("accounting-still-says-running", ago(59), seen(None, None, says(R)), (R, None, None), ACCOUNTED),
    row("accounting-says-running-for-ever", ago(60), seen(None, None, says(R)), (LOST, Reason.VANISHED, None), ACCOUNTED),
    row("a-signal-waits-for-who-sent-it", job(), seen(says(FAILED, code=143), left(143)), (R, None, None), ACCOUNTED),
    row("a-signal-of-which-accounting-says-nothing", ago(10), seen(says(FAILED, code=143), left(143)), (FAILED, Reason.SIGNAL, 143), ACCOUNTED),
    row("a-signal-where-there-is-no-accounting", job(), seen(says(FAILED, code=143), left(143)), (FAILED, Reason.SIGNAL, 143)),
    row("accounting-says-killed-where-the-queue-said-failed", job(), seen(says(FAILED, code=143), left(143), says(KILLED)), (KILLED, Reason.KILLED_BY_OTHER, 143), ACCOUNTED),
    row("accounting-says-why-where-the-queue-said-failed", job(), seen(says(FAILED, code=140), None, says(FAILED, Reason.TIME_LIMIT)), (FAILED, Reason.TIME_LIMIT, 140), ACCOUNTED),
    row("an-ordinary-failure-waits-for-nobody", job(), seen(says(FAILED, code=3), left(3)), (FAILED, Reason.EXIT_CODE, 3), ACCOUNTED),
    # -- the wrapper always writes its exit file: success needs it, or accounting
    row("success-without-a-witness-waits", ago(59), seen(says(DONE, code=0)), (R, None, None), WITNESSED),
    row("success-without-a-witness-is-lost-in-the-end", ago(60), seen(says(DONE, code=0)), (LOST, Reason.VANISHED, None), WITNESSED),
    row("success-with-its-witness", job(), seen(says(DONE, code=0), left(0)), (DONE, None, 0), WITNESSED),
    row("success-that-accounting-confirms", ago(10), seen(says(DONE, code=0), None, says(DONE, code=0)), (DONE, None, 0), WITNESSED),
    row("a-failure-needs-no-witness", job(), seen(says(FAILED, code=3)), (FAILED, Reason.EXIT_CODE, 3), WITNESSED),
    row("we-killed-it-and-the-scheduler-calls-that-done", ago(60, **SENT), seen(says(DONE, code=0)), (KILLED, Reason.KILLED_BY_USER, None), WITNESSED),
    # -- a clock that was set back
    row("left-in-the-future-counts-from-now", ago(-3600), seen(), (R, None, None)),
    # -- final states absorb
    row("succeeded-stays", job(DONE), seen(says(FAILED, code=3), left(3)), (DONE, None, None)),
    row("lost-stays", job(LOST), seen(says(R)), (LOST, None, None)),
]  # fmt: skip


@pytest.mark.parametrize(("before", "evidence", "patience", "after"), TABLE)
def test_a_job_becomes(
    before: Job, evidence: Evidence, patience: Patience, after: tuple[State, Reason | None, int | None]
) -> None:
    job = advance(before, evidence, NOW, patience)
    assert (job.state, job.reason, job.exit_code) == after


def test_exit_codes_that_the_task_allows_are_success() -> None:
    task = job(R).task
    allowed = job_of({"command": "true", "allowed_exit_codes": [0, 3]}, job_id="7", state=R)
    assert advance(allowed, seen(says(FAILED, code=3), left(3)), NOW, BATCH).state is DONE
    assert advance(allowed, seen(says(FAILED, code=3)), NOW, BATCH).state is DONE
    assert advance(allowed.but(task=task), seen(says(FAILED, code=3)), NOW, BATCH).state is FAILED


def test_a_vanished_job_is_lost_only_after_its_grace_period() -> None:
    vanished = job()
    for second in range(60):
        vanished = advance(vanished, seen(), NOW + second, BATCH)
        assert vanished.state is R
    assert advance(vanished, seen(), NOW + 60, BATCH).state is LOST


def test_a_job_that_comes_back_starts_its_grace_anew() -> None:
    back = advance(ago(59), seen(says(R)), NOW, BATCH)
    assert back.left_since is None
    assert advance(back, seen(), NOW + 5, BATCH).state is R


def test_a_job_s_start_is_when_it_was_first_seen_running() -> None:
    running = advance(job(Q), seen(says(R)), NOW, BATCH)
    assert (running.started_at, advance(running, seen(says(R)), NOW + 5, BATCH).started_at) == (NOW, NOW)


@pytest.mark.parametrize(
    ("wrapper", "sampled", "known"),
    [
        pytest.param(Usage(user_s=2.0, system_s=0.5), Usage(cpu_s=0.0), Usage(user_s=2.0, system_s=0.5), id="counted"),
        pytest.param(Usage(user_s=0.0), Usage(cpu_s=0.0), Usage(user_s=0.0, cpu_s=0.0), id="both-nothing"),
        pytest.param(Usage(), Usage(cpu_s=0.0), Usage(cpu_s=0.0), id="not-counted"),
        pytest.param(Usage(cpu_s=0.0), Usage(cpu_s=3.0), Usage(cpu_s=3.0), id="a-later-sample"),
        pytest.param(Usage(user_s=2.0), Usage(cpu_s=3.0), Usage(user_s=2.0, cpu_s=3.0), id="both-counted"),
    ],
)
def test_cpu_seconds_that_were_counted_win_over_a_sampled_nothing(wrapper: Usage, sampled: Usage, known: Usage) -> None:
    assert wrapper.or_else(sampled) == known


def test_usage_is_taken_from_every_source_the_wrapper_first() -> None:
    report = ExitReport(exit_code=0, usage=Usage(wall_s=1.0, user_s=2.0))
    done = advance(
        job(),
        seen(says(DONE, usage=Usage(wall_s=9.0)), report, says(DONE, usage=Usage(cpu_s=3.0, peak_ram_bytes=4))),
        NOW,
        BATCH,
    )
    assert done.usage == Usage(wall_s=1.0, user_s=2.0, cpu_s=3.0, peak_ram_bytes=4)
    assert done.ended_at == NOW


def test_a_stuck_job_asks_to_be_killed_and_says_why() -> None:
    held = advance(job(Q), seen(STUCK), NOW, BATCH)
    assert (held.kill_requested_at, held.message) == (NOW, "it can never start: NeverSatisfied")


@pytest.mark.parametrize(
    ("wall_s", "code", "changes", "reason"),
    [
        pytest.param(60.0, 143, {}, Reason.TIME_LIMIT, id="at-its-walltime"),
        pytest.param(59.0, 137, {}, Reason.TIME_LIMIT, id="a-second-before-by-whole-seconds"),
        pytest.param(58.0, 143, {}, Reason.SIGNAL, id="before-its-walltime"),
        pytest.param(60.0, 139, {}, Reason.SIGNAL, id="a-signal-that-no-limit-sends"),
        pytest.param(60.0, 3, {}, Reason.EXIT_CODE, id="its-own-exit-code"),
        pytest.param(60.0, 143, SENT, Reason.KILLED_BY_USER, id="killed-by-us"),
    ],
)
def test_a_task_ended_by_a_signal_when_its_walltime_was_over_hit_the_time_limit(
    wall_s: float, code: int, changes: dict[str, Any], reason: Reason
) -> None:
    limited = job_of({"command": "true", "resources": {"walltime": 60}}, job_id="7", state=R, **changes)
    report = ExitReport(exit_code=code, signal=code - 128 if code > 128 else None, usage=Usage(wall_s=wall_s))
    assert advance(limited, seen(None, report), NOW, BATCH).reason is reason


def test_the_scheduler_s_words_are_kept_in_the_message() -> None:
    failed = advance(
        job(), seen(says(FAILED, Reason.TIME_LIMIT, native="TIMEOUT", native_reason="TimeLimit")), NOW, BATCH
    )
    assert (failed.message, failed.native_state) == ("the scheduler says TIMEOUT (TimeLimit)", "TIMEOUT")


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        pytest.param(SILENCE, False, id="silence"),
        pytest.param(seen(), True, id="not-there"),
        pytest.param(seen(says(DONE)), True, id="ended"),
        pytest.param(seen(says(R)), False, id="running"),
        pytest.param(seen(STUCK), False, id="stuck"),
    ],
)
def test_accounting_is_asked_once_a_job_has_left(evidence: Evidence, expected: bool) -> None:
    assert has_left(evidence) is expected


# -- rules that no evidence can break

codes = st.none() | st.integers(0, 255)
reasons = st.none() | st.sampled_from(
    [Reason.TIME_LIMIT, Reason.OUT_OF_MEMORY, Reason.PREEMPTED, Reason.DEPENDENCY, Reason.NODE_FAILURE]
)
words = st.sampled_from([Q, H, R, S, DONE, FAILED, KILLED, UNKNOWN])
observations = st.builds(says, words, reasons, codes) | st.just(STUCK)
reports = st.builds(left, st.integers(0, 255), st.none() | st.just(Reason.TIME_LIMIT))
evidences = st.builds(
    Evidence,
    answered=st.booleans(),
    observation=st.none() | observations,
    report=st.none() | reports,
    result=st.none() | observations,
)
times = st.none() | st.floats(1, NOW)
patiences = st.builds(Patience, gone_after_s=st.floats(0, 100), has_result=st.booleans(), requeues=st.booleans())
jobs = st.builds(
    job, st.sampled_from([s for s in State if s not in {UNKNOWN, State.WAITING}]), reason=reasons, left_since=times, exit_seen_at=times,
    kill_requested_at=times, kill_sent_at=times, started_at=times,
)  # fmt: skip
living = jobs.filter(lambda job: not job.state.is_final)


@given(jobs.filter(lambda job: job.state.is_final), evidences, patiences)
def test_a_final_state_absorbs_whatever_comes(before: Job, evidence: Evidence, patience: Patience) -> None:
    assert advance(before, evidence, NOW, patience) is before


@given(jobs, observations, st.none() | reports, patiences)
def test_no_answer_moves_nothing(
    before: Job, observation: Observation, report: ExitReport | None, patience: Patience
) -> None:
    assert advance(before, Evidence(answered=False, observation=observation, report=report), NOW, patience) is before


@given(living, evidences, patiences)
def test_success_needs_somebody_who_says_so(before: Job, evidence: Evidence, patience: Patience) -> None:
    after = advance(before, evidence, NOW, patience)
    sayings = [evidence.observation, evidence.result]
    positive = (evidence.report is not None and evidence.report.exit_code == 0) or any(
        said is not None and (said.state is DONE or said.exit_code == 0) for said in sayings
    )
    if after.state is DONE:
        assert positive
        assert after.exit_code == 0


@pytest.mark.parametrize("word", [(KILLED, None), (FAILED, Reason.TIME_LIMIT), (FAILED, Reason.OUT_OF_MEMORY)])
def test_the_scheduler_says_why_a_job_ended_and_its_own_exit_file_with_which_code(
    word: tuple[State, Reason | None],
) -> None:
    after = advance(job(R), seen(says(*word, code=143), left(137)), NOW, BATCH)
    assert (after.state, after.exit_code, after.signal) == (word[0], 137, 9)


@given(
    living,
    evidences,
    patiences,
    st.sampled_from([(KILLED, None), (FAILED, Reason.TIME_LIMIT), (FAILED, Reason.OUT_OF_MEMORY)]),
)
def test_killed_timed_out_and_out_of_memory_win_over_an_exit_code_0(
    before: Job, evidence: Evidence, patience: Patience, word: tuple[State, Reason | None]
) -> None:
    said = Evidence(answered=True, observation=says(*word), report=left(0), result=evidence.result)
    after = advance(before, said, NOW, patience)
    assert after.state in {KILLED, FAILED}
    if before.reason is not Reason.DEPENDENCY:
        assert after.state is word[0]


@given(living, st.lists(evidences, max_size=8), patiences)
def test_a_state_goes_back_only_by_a_requeue(before: Job, story: list[Evidence], patience: Patience) -> None:
    order = {State.WAITING: 0, Q: 1, H: 1, R: 2, S: 2, DONE: 3, FAILED: 3, KILLED: 3, LOST: 3}
    for number, evidence in enumerate(story):
        after = advance(before, evidence, NOW + number * 20, patience)
        if not patience.requeues:
            assert order[after.state] >= order[before.state]
        elif before.state.is_final:
            assert after.state is before.state
        assert after.state is not UNKNOWN
        before = after


@given(living, evidences, patiences)
def test_a_job_is_lost_only_when_nothing_is_known_of_its_end(
    before: Job, evidence: Evidence, patience: Patience
) -> None:
    if advance(before, evidence, NOW, patience).state is LOST:
        assert evidence.observation is None
        assert evidence.report is None
        assert before.kill_sent_at is None
        assert before.left_since is None or NOW - before.left_since >= patience.gone_after_s


@given(living, evidences, patiences)
def test_an_end_has_a_time_and_a_failure_can_be_told(before: Job, evidence: Evidence, patience: Patience) -> None:
    after = advance(before, evidence, NOW, patience)
    if after.state.is_final:
        assert after.ended_at is not None
    if after.state in {KILLED, LOST}:
        assert after.reason is not None
    if after.state is FAILED:
        assert after.reason is not None or after.message


def test_a_job_that_the_scheduler_calls_finished_for_a_bad_reason_failed_for_that_reason() -> None:
    ended = says(DONE, Reason.TIME_LIMIT, 1)
    after = advance(job(State.RUNNING), Evidence(answered=True, observation=ended), NOW, Patience())
    assert (after.state, after.reason, after.exit_code) == (FAILED, Reason.TIME_LIMIT, 1)


def test_a_clock_that_was_set_back_prolongs_no_grace() -> None:
    before = ago(-3600)
    first = advance(before, seen(), NOW, BATCH)
    assert first.left_since == NOW
    assert advance(first, seen(), NOW + 60, BATCH).state is LOST


def test_a_success_that_nobody_witnessed_says_so() -> None:
    after = advance(ago(60), seen(says(DONE, code=0, native="D")), NOW, WITNESSED)
    assert after.message == (
        "the scheduler says D, but the job's wrapper left no exit file: whether its steps ran is not known"
    )


def test_why_a_job_waits_is_kept_until_it_runs() -> None:
    queued = advance(job(Q), seen(says(Q, native_reason="PartitionTimeLimit")), NOW, BATCH)
    assert queued.wait_reason == "PartitionTimeLimit"
    assert advance(queued, seen(says(R, native_reason="None")), NOW, BATCH).wait_reason == ""
    assert advance(queued, seen(says(FAILED, code=1)), NOW, BATCH).wait_reason == ""
