from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.core.exit_file import ExitReport, parse_exit_file, signal_in
from adapter.core.job import Usage
from adapter.core.state import Reason

WHOLE = """\
exit_code 3
reason\x20
job_id 42
started 1000
ended 1012
user 0m1.50s
system 1m0.25s
peak_ram_bytes 1048576
"""


def test_a_whole_exit_file_is_read() -> None:
    assert parse_exit_file(WHOLE) == ExitReport(
        exit_code=3,
        job_id="42",
        started_at=1000.0,
        ended_at=1012.0,
        usage=Usage(wall_s=12.0, user_s=1.5, system_s=60.25, peak_ram_bytes=1048576),
    )


def test_the_space_reserved_for_it_is_ignored() -> None:
    assert parse_exit_file(WHOLE + " " * 400 + "\n") == parse_exit_file(WHOLE)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(" " * 512 + "\n", id="only-the-reserved-space"),
        pytest.param("exit_co", id="torn-in-a-name"),
        pytest.param("exit_code ", id="torn-before-the-number"),
        pytest.param("exit_code -1\n", id="negative"),
        pytest.param("exit_code x\n", id="not-a-number"),
        pytest.param("reason time_limit\nended 5\n", id="without-exit-code"),
        pytest.param("\0\0\0\0", id="zero-bytes"),
    ],
)
def test_an_empty_or_torn_exit_file_is_no_answer(text: str) -> None:
    assert parse_exit_file(text) is None


@pytest.mark.parametrize(
    ("text", "report"),
    [
        pytest.param("exit_code 0\n", ExitReport(exit_code=0), id="only-the-code"),
        pytest.param("exit_code 137\n", ExitReport(exit_code=137, signal=9), id="signal"),
        pytest.param(
            "exit_code 143\nreason time_limit\n",
            ExitReport(exit_code=143, signal=15, reason=Reason.TIME_LIMIT),
            id="reason",
        ),
        pytest.param("exit_code 1\nreason boredom\n", ExitReport(exit_code=1), id="reason-that-is-not-ours"),
        pytest.param(
            "exit_code 1\nuser \nsystem x\npeak_ram_bytes \nstarted \n", ExitReport(exit_code=1), id="empty-values"
        ),
        pytest.param(
            "exit_code 1\nuser 0m0,250s\n", ExitReport(exit_code=1, usage=Usage(user_s=0.25)), id="comma-of-a-locale"
        ),
        pytest.param(
            "exit_code 1\nstarted 9\nended 7\n",
            ExitReport(exit_code=1, started_at=9.0, ended_at=7.0, usage=Usage(wall_s=0.0)),
            id="clock-went-back",
        ),
    ],
)
def test_what_is_missing_or_unreadable_in_an_exit_file_is_none(text: str, report: ExitReport) -> None:
    assert parse_exit_file(text) == report


@pytest.mark.parametrize(
    ("code", "signal"), [(0, None), (128, None), (129, 1), (137, 9), (192, 64), (193, None), (255, None)]
)
def test_a_shell_s_code_above_128_is_a_signal_up_to_64(code: int, signal: int | None) -> None:
    assert signal_in(code) == signal


@given(st.text())
def test_no_text_whatever_breaks_the_reading(text: str) -> None:
    parse_exit_file(text)
    report = parse_exit_file("exit_code 3\n" + text)
    assert report is None or report.exit_code >= 0


@given(st.integers(0, len(WHOLE) - 1))
def test_a_file_torn_anywhere_gives_its_own_exit_code_or_nothing(at: int) -> None:
    report = parse_exit_file(WHOLE[:at])
    assert report is None or report.exit_code == 3


@pytest.mark.parametrize(
    ("lines", "codes"),
    [
        pytest.param("", (), id="a file of an earlier version"),
        pytest.param("step 1 0\nstep 2 137\n", (0, 137), id="both"),
        pytest.param("step 2 3\n", (None, 3), id="a line is missing"),
        pytest.param("step 1 0\nstep 1 4\n", (0,), id="the first counts"),
        pytest.param("step 1 x\nstep x 1\nstep 0 1\nstep -1 1\nstep 3\nstep\nstep 1 256\n", (), id="noise"),
        pytest.param("step 999999999 1\nstep 2 0\n", (None, 0), id="a number that no task has"),
    ],
)
def test_the_exit_codes_of_steps_are_read_and_lines_that_say_nothing_are_left_out(
    lines: str, codes: tuple[int | None, ...]
) -> None:
    report = parse_exit_file(f"exit_code 3\nreason\n{lines}new_word of a later version\n")
    assert report is not None
    assert (report.exit_code, report.step_codes) == (3, codes)
