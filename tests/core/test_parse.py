"""Captures are quoted from real schedulers: Slurm 22.05.8, volclava (LSF), OAR 2.5.9, at 3.2.5, Torque, OpenPBS."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.core.answers import (
    Observation,
    classify,
    decode_exit_code,
    is_no_answer,
    parse_job_id,
    parse_query,
    parse_rows,
    parse_tokens,
    words_beside,
)
from adapter.core.backend import Backend, backend_from
from adapter.core.job import Usage
from adapter.core.specs import parse_state_word
from adapter.core.state import Reason, State
from adapter.errors import AmbiguousJobId, JobIdNotFound
from adapter.results import CompletedCommand

from .samples import TOY, merge, shipped, toy


def said(stdout: str = "", stderr: str = "", code: int = 0) -> CompletedCommand:
    return CompletedCommand(command="c", exit_code=code, stdout=stdout, stderr=stderr)


SBATCH = shipped("slurm").submit.job_id.pattern
BSUB = r"Job <(?P<job_id>\d+)> is submitted"
OARSUB = r"^OAR_JOB_ID=(?P<job_id>\d+)$"
AT = r"^job (?P<job_id>\d+) at "


@pytest.mark.parametrize(
    ("pattern", "stdout", "stderr", "job_id"),
    [
        pytest.param(SBATCH, "123\n", "", "123", id="alone"),
        pytest.param(SBATCH, "123;cluster\n", "", "123;cluster", id="with-its-cluster"),
        pytest.param(SBATCH, "Welcome!\n\n123\nbye\n", "", "123", id="noise-around"),
        pytest.param(SBATCH, "123\n123\n", "", "123", id="the-same-twice"),
        pytest.param(SBATCH, "0012\n", "", "0012", id="a-text-not-a-number"),
        pytest.param(BSUB, "Job <7> is submitted to default queue <normal>.\n", "", "7", id="lsf"),
        pytest.param(BSUB, "", "Job <7> is submitted to queue <q>.\n", "7", id="on-standard-error"),
        pytest.param(
            OARSUB, "[ADMISSION RULE] Set default walltime to 7200.\nOAR_JOB_ID=7\n", "", "7", id="oar-after-its-rules"
        ),
        pytest.param(
            AT,
            "",
            "warning: commands will be executed using /bin/sh\njob 2 at Sat Nov 21 06:42:00 2026\n",
            "2",
            id="at-on-standard-error",
        ),
        pytest.param(SBATCH, "5\n", "6\n", "5", id="standard-output-comes-first"),
    ],
)
def test_a_job_id_is_found_in_a_submit_answer(pattern: str, stdout: str, stderr: str, job_id: str) -> None:
    assert parse_job_id(re.compile(pattern, re.MULTILINE), said(stdout, stderr)) == job_id


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(said(), "it said: nothing", id="nothing"),
        pytest.param(said("queued, more or less"), "it said: queued, more or less", id="other-words"),
        pytest.param(
            said("OAR_JOB_ID=-5\n", "There are not enough resources for your request\n"),
            "not enough resources",
            id="oar-refusal",
        ),
    ],
)
def test_an_answer_without_a_job_id_is_an_error_with_its_words(answer: CompletedCommand, words: str) -> None:
    with pytest.raises(JobIdNotFound, match=words) as caught:
        parse_job_id(re.compile(OARSUB, re.MULTILINE), answer)
    assert caught.value.completed is answer


def test_two_different_job_ids_are_an_error_that_names_both() -> None:
    with pytest.raises(AmbiguousJobId, match="holds two job ids, 9 and 10"):
        parse_job_id(re.compile(OARSUB, re.MULTILINE), said("OAR_JOB_ID=9\nOAR_JOB_ID=10\nOAR_ARRAY_ID=9\n"))


def rows(backend: Backend, text: str) -> dict[str, tuple[State, Reason | None, int | None, int | None]]:
    seen = parse_rows(backend.monitor, text).observations
    return {key: (row.state, row.reason, row.exit_code, row.signal) for key, row in seen.items()}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("9|PENDING|0|BeginTime|", (State.QUEUED, None, 0, None), id="pending"),
        pytest.param("8|PENDING|0|JobHeldUser|", (State.HELD, None, 0, None), id="held-by-its-reason"),
        pytest.param("7|RUNNING|0|None|", (State.RUNNING, None, 0, None), id="running"),
        pytest.param("2|COMPLETED|0|None|", (State.SUCCEEDED, None, 0, None), id="completed"),
        pytest.param("4|FAILED|768|NonZeroExitCode|", (State.FAILED, None, 3, None), id="exit-3"),
        pytest.param("5|FAILED|9|RaisedSignal:9(Killed)|", (State.FAILED, None, 137, 9), id="signal"),
        pytest.param("6|TIMEOUT|15|TimeLimit|", (State.FAILED, Reason.TIME_LIMIT, 143, 15), id="time-limit"),
        pytest.param(
            "3|OUT_OF_MEMORY|0|OutOfMemory|", (State.FAILED, Reason.OUT_OF_MEMORY, 0, None), id="out-of-memory"
        ),
        pytest.param("1|NODE_FAIL|0|NodeDown|", (State.FAILED, Reason.NODE_FAILURE, 0, None), id="node-failure"),
        pytest.param("9|CANCELLED|0|BeginTime|", (State.KILLED, None, 0, None), id="cancelled"),
        pytest.param(
            "10_2|FAILED|256|a reason | with a bar|", (State.FAILED, None, 1, None), id="array-element-and-any-reason"
        ),
        pytest.param("9|SLEEPWALKING|0|None|", (State.UNKNOWN, None, 0, None), id="a-word-nobody-knows"),
    ],
)
def test_a_row_of_squeue_means(line: str, expected: tuple[object, ...]) -> None:
    (key,) = rows(shipped("slurm"), line)
    assert key == line.partition("|")[0]
    assert rows(shipped("slurm"), line)[key] == expected


def test_a_job_that_can_never_start_is_marked_as_stuck_and_keeps_the_scheduler_s_words() -> None:
    seen = parse_rows(shipped("slurm").monitor, "14|PENDING|0|DependencyNeverSatisfied|").observations["14"]
    assert seen == Observation(
        job_id="14", state=State.FAILED, reason=Reason.DEPENDENCY, native_state="PENDING",
        native_reason="DependencyNeverSatisfied", exit_code=0, stuck=True,
    )  # fmt: skip


def test_a_final_state_is_not_overruled_by_its_reason() -> None:
    seen = parse_rows(shipped("slurm").monitor, "15|CANCELLED|0|DependencyNeverSatisfied|").observations["15"]
    assert (seen.state, seen.reason, seen.stuck) == (State.KILLED, None, False)


def test_an_unreadable_line_disturbs_no_other() -> None:
    answer = parse_rows(
        shipped("slurm").monitor, "slurm is tired today\n9|PENDING|0|None|\n\n9|PEND\n7|RUNNING|0|None|\n"
    )
    assert set(answer.observations) == {"9", "7"}
    assert answer.unreadable == ("slurm is tired today", "9|PEND")


def test_a_second_row_for_a_job_adds_only_what_the_first_lacks() -> None:
    text = (
        "14|COMPLETED|0:0|12|00:01.500|\n14.batch|COMPLETED|0:0|12|00:01.400|213756K\n14.0|FAILED|1:0|11|00:00.100|1G\n"
    )
    result = shipped("slurm").result
    assert result
    seen = parse_rows(result, text).observations
    assert set(seen) == {"14"}
    assert seen["14"].usage == Usage(wall_s=12.0, cpu_s=1.5, peak_ram_bytes=1073741824)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        pytest.param("00:01.500", 1.5, id="minutes"),
        pytest.param("01:00:07", 3607.0, id="hours"),
        pytest.param("2-00:00:01", 172801.0, id="days"),
        pytest.param("12", 12.0, id="seconds"),
        pytest.param("soon", None, id="rubbish"),
        pytest.param("", None, id="empty"),
    ],
)
def test_cpu_time_is_read(written: str, seconds: float | None) -> None:
    result = shipped("slurm").result
    assert result
    assert parse_rows(result, f"1|COMPLETED|0:0|1|{written}|").observations["1"].usage.cpu_s == seconds


@pytest.mark.parametrize(
    ("decode", "code", "signal", "expected"),
    [
        pytest.param("plain", "3", None, (3, None), id="plain"),
        pytest.param("plain", " 3 ", None, (3, None), id="plain-with-spaces"),
        pytest.param("plain", "137", None, (137, 9), id="plain-as-a-shell-gives-it"),
        pytest.param("plain", "0", "9", (137, 9), id="plain-and-a-signal-group"),
        pytest.param("plain", "255", None, (255, None), id="no-signal-above-64"),
        pytest.param("plain", "-29", None, (-29, None), id="negative"),
        pytest.param("plain", None, None, (None, None), id="not-said"),
        pytest.param("plain", "n/a", None, (None, None), id="not-a-number"),
        pytest.param("plain", "", None, (None, None), id="empty"),
        pytest.param("code_signal", "3:0", None, (3, None), id="slurm-exit-3"),
        pytest.param("code_signal", "0:9", None, (137, 9), id="slurm-signal-9"),
        pytest.param("code_signal", "0:0", None, (0, None), id="slurm-success"),
        pytest.param("code_signal", "0:125", None, (None, None), id="slurm-out-of-memory-is-no-signal"),
        pytest.param("wait_status", "253", None, (None, None), id="wait-125-is-no-signal"),
        pytest.param("wait_status", "768", None, (3, None), id="wait-exit-3"),
        pytest.param("wait_status", "9", None, (137, 9), id="wait-signal-9"),
        pytest.param("wait_status", "139", None, (139, 11), id="wait-signal-11-and-a-core"),
        pytest.param("wait_status", "65280", None, (255, None), id="wait-exit-255"),
        pytest.param("plus_256", "271", None, (143, 15), id="pbs-signal-15"),
        pytest.param("plus_256", "255", None, (255, None), id="pbs-exit-255"),
        pytest.param("plus_256", "256", None, (256, None), id="pbs-256-is-no-signal"),
        pytest.param("plus_128", "137", None, (137, 9), id="sge-signal-9"),
        pytest.param("plus_128", "3", None, (3, None), id="sge-exit-3"),
    ],
)
def test_an_exit_code_is_decoded(
    decode: str, code: str | None, signal: str | None, expected: tuple[object, object]
) -> None:
    assert decode_exit_code(decode, code, signal) == expected


def test_a_special_exit_code_gives_a_reason_and_no_exit_code() -> None:
    backend = toy(
        monitor={
            "row": r"^(?P<job_id>\d+) (?P<state>\w+) (?P<exit_code>-?\d+)$",
            "exit_code": {"decode": "plus_256", "reasons": {-29: "time_limit"}},
        }
    )
    assert rows(backend, "1 F -29") == {"1": (State.FAILED, Reason.TIME_LIMIT, None, None)}
    assert rows(backend, "1 F 3") == {"1": (State.FAILED, None, 3, None)}


@pytest.mark.parametrize(
    ("answer", "seen", "absent"),
    [
        pytest.param(said("9|PENDING|0|None|\n"), {"9"}, True, id="rows"),
        pytest.param(said(""), set(), True, id="empty-and-well"),
        pytest.param(
            said("", "slurm_load_jobs error: Invalid job id specified\n", 1), set(), True, id="none-of-them-is-known"
        ),
        pytest.param(
            said("", "slurm_load_jobs error: Socket timed out on send/recv operation\n", 1),
            None,
            False,
            id="socket-timed-out",
        ),
        pytest.param(
            said("", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n", 1),
            None,
            False,
            id="no-controller",
        ),
        pytest.param(
            said("", "squeue: error: what a strange error\n", 1), None, False, id="a-failure-without-known-words"
        ),
        pytest.param(said("", "", 127), None, False, id="a-failure-without-words"),
        pytest.param(
            said("9|PENDING|0|None|\n", "squeue: error: Invalid job id specified: 8\n", 1),
            {"9"},
            True,
            id="rows-and-an-unknown-id",
        ),
        pytest.param(said("9|PENDING|0|None|\n", "Socket timed out\n", 1), {"9"}, False, id="rows-and-a-time-out"),
        pytest.param(
            said("9|PENDING|0|None|\n", "Socket timed out\n", 0),
            {"9"},
            False,
            id="rows-and-a-time-out-with-exit-code-0",
        ),
        pytest.param(said("", "Socket timed out\n", 0), set(), False, id="nothing-and-a-time-out-with-exit-code-0"),
        pytest.param(said("motd\n9|PENDING|0|None|\n%%%\n"), {"9"}, True, id="rows-and-garbage"),
    ],
)
def test_a_query_answer_is_good_or_none(answer: CompletedCommand, seen: set[str] | None, absent: bool) -> None:
    backend = shipped("slurm")
    parsed = parse_query(backend.monitor, backend, answer, ["9"])
    assert (None if parsed is None else set(parsed.observations)) == seen
    assert (parsed is not None and not is_no_answer(backend.monitor, backend, answer)) is absent


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param(0, {"9": State.RUNNING}, id="running"),
        pytest.param(1, {}, id="gone"),
        pytest.param(3, {"9": State.FAILED}, id="with-a-reason"),
        pytest.param(77, None, id="no-word-for-it"),
    ],
)
def test_a_monitor_may_speak_by_its_exit_code_alone(code: int, expected: dict[str, State] | None) -> None:
    document = merge(
        TOY,
        {
            "script": "",
            "monitor": {"row": None, "states": None, "exit_codes": {0: "running", 1: "gone", 3: "failed/time_limit"}},
        },
    )
    backend = backend_from(document)
    parsed = parse_query(backend.monitor, backend, said(code=code), ["9"])
    assert (None if parsed is None else {key: row.state for key, row in parsed.observations.items()}) == expected
    if code == 3:
        assert parsed
        assert parsed.observations["9"].reason is Reason.TIME_LIMIT


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        pytest.param(
            "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
            "transient",
            id="transient",
        ),
        pytest.param("Job violates accounting/QOS policy (job submit limit, user's size)", "limit", id="limit"),
        pytest.param("sbatch: error: invalid partition specified: nosuch", "permanent", id="permanent"),
        pytest.param("slurm_load_jobs error: Invalid job id specified", "gone", id="gone"),
        pytest.param("Slurm accounting storage is disabled", "permanent", id="no-accounting"),
        pytest.param("something else entirely", None, id="unknown"),
    ],
)
def test_an_error_is_classed_by_its_words_wherever_they_stand(text: str, kind: str | None) -> None:
    assert classify(shipped("slurm"), said(stderr=text, code=1)) == kind
    assert classify(shipped("slurm"), said(stdout=text, code=0)) == kind


@given(st.text())
def test_no_text_whatever_breaks_the_reading_of_rows(text: str) -> None:
    spec = shipped_monitor
    answer = parse_rows(spec, "7|RUNNING|0|None|\n" + text)
    assert answer.observations["7"].state is State.RUNNING


shipped_monitor = shipped("slurm").monitor


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        pytest.param("queued", (State.QUEUED, None), id="state"),
        pytest.param("failed/out_of_memory", (State.FAILED, Reason.OUT_OF_MEMORY), id="with-a-reason"),
    ],
)
def test_a_state_word_is_read(word: str, expected: Any) -> None:
    assert parse_state_word(word) == expected


@pytest.mark.parametrize("word", ["done", "failed/sadness", "", "Queued"])
def test_a_state_word_that_is_not_ours_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="is not a valid"):
        parse_state_word(word)


GENERAL = {"errors": {"limit": ["Submit"], "permanent": ["PerJob"], "otherwise": {"limit": ["policy"]}}}


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        pytest.param("QOSMaxWallDurationPerJob\nviolates a policy", "permanent", id="the-cause-comes-first"),
        pytest.param("violates a policy\nQOSMaxWallDurationPerJob", "permanent", id="the-cause-comes-last"),
        pytest.param("QOSMaxSubmitJob\nviolates a policy", "limit", id="a-cause-of-the-same-class"),
        pytest.param("violates a policy", "limit", id="no-cause-is-named"),
        pytest.param("something else", None, id="neither"),
    ],
)
def test_words_that_name_a_cause_decide_before_the_sentence_around_every_cause(words: str, kind: str | None) -> None:
    assert classify(toy(**GENERAL), said(stderr=words, code=1)) == kind


PATTERNS: dict[str, Any] = {
    "row": r"^(?P<job_id>\d+) (?P<state>\w+)(?: (?P<reason>.*))?$",
    "states": {"queued": ["qw", "/[a-z]*q[a-z]*/"], "held": ["hqw"], "suspended": ["/.*s.*/"]},
    "reasons": {"held": ["/user .* held/"], "failed/launch_failure": ["/MISCONFIGURATION:.*/"]},
}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param("1 qw", (State.QUEUED, None), id="a-word"),
        pytest.param("1 hqw", (State.HELD, None), id="a-word-before-any-pattern"),
        pytest.param("1 Rqw", (State.UNKNOWN, None), id="a-pattern-has-to-fit-the-whole-word"),
        pytest.param("1 rqs", (State.QUEUED, None), id="the-first-pattern-decides"),
        pytest.param("1 rs", (State.SUSPENDED, None), id="a-later-pattern"),
        pytest.param("1 qw user env is held", (State.HELD, None), id="a-reason-in-free-text"),
        pytest.param("1 qw MISCONFIGURATION:X - words", (State.FAILED, Reason.LAUNCH_FAILURE), id="what-never-passes"),
        pytest.param("1 qw NO MISCONFIGURATION:X", (State.QUEUED, None), id="another-reason"),
    ],
)
def test_a_state_or_a_reason_may_be_named_by_a_pattern(row: str, expected: tuple[State, Reason | None]) -> None:
    states = {"running": None, "succeeded": None, "failed": None, "killed": None, **PATTERNS["states"]}
    seen = parse_rows(toy(monitor={**PATTERNS, "states": states}).monitor, row).observations["1"]
    assert (seen.state, seen.reason) == expected
    assert seen.stuck is (expected[0] is State.FAILED)


@pytest.mark.parametrize(
    ("answer", "doubtful"),
    [
        pytest.param(said("", "not configured for that\n"), ("not configured for that",), id="words-of-no-class"),
        pytest.param(said("", "Invalid job id specified\n"), (), id="words-that-say-it-is-gone"),
        pytest.param(
            said("", "Invalid job id specified\nanother matter\n"), ("another matter",), id="other-words-beside-those"
        ),
        pytest.param(said("odd row\n", ""), ("odd row",), id="an-unreadable-line"),
        pytest.param(said("", ""), (), id="nothing"),
    ],
)
def test_what_stands_beside_no_rows_may_be_why_there_are_none(
    answer: CompletedCommand, doubtful: tuple[str, ...]
) -> None:
    backend = shipped("slurm")
    parsed = parse_query(backend.monitor, backend, answer, ["9"])
    assert parsed is not None
    assert words_beside(backend.monitor, backend, parsed, answer) == doubtful


def test_words_beside_a_listing_of_everything_are_no_reason_to_doubt_it() -> None:
    backend = shipped("sge")
    answer = said("", "note: a new version is there\n")
    parsed = parse_query(backend.monitor, backend, answer, ["9"])
    assert parsed is not None
    assert words_beside(backend.monitor, backend, parsed, answer) == ()


MINE = "adapter-c7kq2m9xdt-12-1"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(said("slurm is tired today\n"), id="an-error-text-with-exit-code-0"),
        pytest.param(said("<html>\n<body>Sign in</body>\n</html>\n"), id="html"),
        pytest.param(said("Die Liste ist nicht verfuegbar\n"), id="a-translated-sentence"),
        pytest.param(said(f"8 {MINE}\n"), id="another-form-of-rows"),
        pytest.param(said(f"7|other|\n8|{MINE[:12]}"), id="a-row-that-breaks-off"),
        pytest.param(said("7|other|\n8|some"), id="the-last-line-has-no-end"),
        pytest.param(said(f"7|other|\n8:{MINE}\n"), id="a-piece-of-a-token-in-what-cannot-be-read"),
        pytest.param(said(f"7|other|\n8|{MINE[:19]}|\n"), id="a-column-that-cuts-names"),
        pytest.param(said("7|other|\n", "Socket timed out on send/recv operation\n"), id="words-of-a-hiccup"),
        pytest.param(said("", "an odd thing happened\n"), id="only-words-on-standard-error"),
        pytest.param(said("7|other|\n", "", 1), id="a-failed-command-with-rows"),
    ],
)
def test_a_look_for_a_job_that_is_not_whole_is_no_answer(answer: CompletedCommand) -> None:
    backend = shipped("slurm")
    assert backend.find
    assert parse_tokens(backend.find, backend, answer, wanted=[MINE]) is None


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        pytest.param(said(""), {}, id="nothing"),
        pytest.param(said("7|(null)|\n8||\n"), {"(null)": ["7"]}, id="jobs-of-others"),
        pytest.param(said(f"7|x|\n8|{MINE}|\n"), {"x": ["7"], MINE: ["8"]}, id="ours"),
        pytest.param(said("*** soup today ***\n7|x|\n"), {"x": ["7"]}, id="noise-beside-rows"),
        pytest.param(said("7|adapter-training|\n"), {"adapter-training": ["7"]}, id="a-name-like-ours"),
        pytest.param(said("7|x|\n", "an odd thing happened\n"), {"x": ["7"]}, id="rows-and-words-on-standard-error"),
    ],
)
def test_a_look_for_a_job_finds_what_is_there(answer: CompletedCommand, found: dict[str, list[str]]) -> None:
    backend = shipped("slurm")
    assert backend.find
    assert parse_tokens(backend.find, backend, answer, wanted=[MINE]) == (found, None)


def test_a_token_that_stands_in_no_row_is_no_sign_of_absence() -> None:
    backend = shipped("pjm")
    assert backend.find
    record = " JOB ID                   : 7\n JOB NAME                 : other\n"
    for damaged in (f" JOB ID     \n JOB NAME    : {MINE}\n\n{record}", f"{record}\n JOB ID : 8\n JO? NAME : {MINE}\n"):
        assert parse_tokens(backend.find, backend, said(damaged), wanted=[MINE]) is None
    assert parse_tokens(backend.find, backend, said(record), wanted=[MINE]) == ({"other": ["7"]}, None)


def test_lines_that_were_seen_beside_good_rows_do_not_spoil_an_empty_look() -> None:
    backend = shipped("slurm")
    assert backend.find
    answer = said("*** soup today ***\n", "note: soup\n")
    assert parse_tokens(backend.find, backend, answer, noise={"*** soup today ***"}) == ({}, None)
