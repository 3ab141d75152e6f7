"""Odd texts from a target: each is an unreadable observation of one job, and never an exception."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapter.core import bounds, units
from adapter.core.answers import parse_job_id, parse_rows
from adapter.core.batch import read_batch
from adapter.core.clean import read_found, read_store
from adapter.core.exit_file import parse_exit_file
from adapter.core.grammars import json_rows
from adapter.core.receipt import Probe, Receipt, SubmitStatus, read_probe, read_receipt
from adapter.core.specs import query_from, submit_from
from adapter.core.state import State
from adapter.errors import JobIdNotFound
from adapter.results import CompletedCommand

from .samples import job_of

ODD_NUMBERS = [
    pytest.param("²", id="superscript"),
    pytest.param("9" * 5000, id="five-thousand-digits"),
    pytest.param("١", id="arabic-digit"),
    pytest.param("0\ud800", id="half-a-character"),
    pytest.param("0\0", id="nul"),
    pytest.param("-1", id="negative"),
    pytest.param("256", id="above-255"),
    pytest.param("1e2", id="exponent"),
    pytest.param("0x0", id="hexadecimal"),
    pytest.param("0 0", id="two"),
    pytest.param("", id="empty"),
]
ODD_IDS = [
    pytest.param("", id="empty"),
    pytest.param("-rf", id="an-option"),
    pytest.param("1\0", id="nul"),
    pytest.param("1\ud800", id="half-a-character"),
    pytest.param("1\x1b[2J", id="escape-sequence"),
    pytest.param("1 2", id="blank-inside"),
    pytest.param("1\u20282", id="line-separator"),
    pytest.param("7" * 257, id="too-long"),
]
DEEP = "[" * 100_000
MONITOR: dict[str, Any] = {
    "command": "status",
    "row": r"^(?P<job_id>[^|]*)\|(?P<state>\w+)\|(?P<exit_code>[^|]*)\|(?P<wall>[^|]*)\|(?P<peak_ram>.*)$",
    "states": {"succeeded": ["DONE"], "failed": ["EXIT"], "running": ["RUN"]},
}


def said(stdout: str, exit_code: int = 0, stderr: str = "") -> CompletedCommand:
    return CompletedCommand(command="x", exit_code=exit_code, stdout=stdout, stderr=stderr)


@pytest.mark.parametrize("code", ODD_NUMBERS)
def test_an_exit_file_with_an_odd_code_is_no_answer(code: str) -> None:
    assert parse_exit_file(f"exit_code {code}\njob_id 7\n") is None


def test_an_exit_file_with_two_codes_is_no_answer() -> None:
    assert parse_exit_file("exit_code 0\nexit_code 3\n") is None


@pytest.mark.parametrize("cut", ["\f", "\v", "\x1c", "\x85", "\u2028"])
def test_the_message_in_an_exit_file_writes_no_line_of_its_own(cut: str) -> None:
    report = parse_exit_file(f"exit_code 3\nmessage no{cut}exit_code 0\n")
    assert report is not None
    assert report.exit_code == 3


@pytest.mark.parametrize("value", [*ODD_NUMBERS[:5], pytest.param("1" * 400 + ".0", id="too-large")])
def test_odd_numbers_beside_the_exit_code_are_left_out(value: str) -> None:
    text = "".join(f"{name} {value}\n" for name in ("started", "ended", "peak_ram_bytes"))
    report = parse_exit_file(f"exit_code 0\n{text}user {value}m0s\nsystem 0m{value}s\n")
    assert report is not None
    assert (report.started_at, report.ended_at) == (None, None)
    assert {getattr(report.usage, name) for name in report.usage.__slots__} == {None}


@pytest.mark.parametrize("job_id", ODD_IDS)
def test_an_odd_id_in_an_exit_file_is_left_out(job_id: str) -> None:
    report = parse_exit_file(f"exit_code 0\njob_id {job_id}\n")
    assert report is not None
    assert report.job_id is None


@pytest.mark.parametrize("code", ODD_NUMBERS)
def test_a_receipt_with_an_odd_code_is_no_receipt_and_no_refusal(code: str) -> None:
    receipt, _ = read_receipt(said(f"7\n\nreceipt {code}\n"))
    assert receipt == Receipt(SubmitStatus.INTERRUPTED, None)


@pytest.mark.parametrize("text", ["0", "0\n", "receipt 0\n", "7\n"])
def test_an_answer_without_the_mark_of_a_receipt_is_none(text: str) -> None:
    assert read_receipt(said(text))[0] == Receipt(SubmitStatus.INTERRUPTED, None)


@pytest.mark.parametrize("job_id", ODD_IDS)
def test_an_odd_id_is_no_answer_of_a_submit(job_id: str) -> None:
    by_text = submit_from({"command": "submit", "job_id": "^job (?P<job_id>.*)$"}).job_id
    with pytest.raises(JobIdNotFound):
        parse_job_id(by_text, said(f"job {job_id}\n"))
    with pytest.raises(JobIdNotFound):
        parse_job_id(json_rows({"job_id": "id"}), said(json.dumps({"id": job_id})))


@pytest.mark.parametrize("job_id", ODD_IDS)
def test_a_row_with_an_odd_id_disturbs_no_other(job_id: str) -> None:
    answer = parse_rows(query_from(MONITOR), f"{job_id}|DONE|0|1|1\n7|RUN|||\n")
    assert answer is not None
    assert set(answer.observations) == {"7"}
    assert len(answer.unreadable) == 1


@pytest.mark.parametrize("job_id", ODD_IDS)
def test_an_odd_id_in_a_job_s_folder_is_not_learnt(job_id: str) -> None:
    job = job_of()
    assert read_probe(f"@0\nby {job_id}\n", [job]).get(job.key, Probe()).job_id is None


def test_two_ids_in_a_job_s_folder_are_none() -> None:
    job = job_of()
    assert read_probe("@0\nby 7\nby 8\n", [job])[job.key].job_id is None


@pytest.mark.parametrize("index", ["²", "9" * 5000, "-1", "2", ""])
def test_an_exit_file_of_nobody_disturbs_no_other(index: str) -> None:
    job = job_of()
    probes = read_probe(f"@{index}\n=exit_code 0\n@0\n=exit_code 3\n", [job])
    assert {key: probe.report.exit_code for key, probe in probes.items() if probe.report} == {job.key: 3}


def test_what_one_job_wrote_into_its_exit_file_says_nothing_of_another() -> None:
    one, other = job_of(index=1), job_of(index=2)
    probes = read_probe("@0\n=exit_code 3\n=@1\n=exit_code 0\n", [one, other])
    assert set(probes) == {one.key}


@pytest.mark.parametrize(
    "code", [code for code in ODD_NUMBERS if code.id not in {"exponent", "hexadecimal", "two", "empty"}]
)
def test_a_word_for_success_beside_an_odd_exit_code_is_no_success(code: str) -> None:
    answer = parse_rows(query_from(MONITOR), f"7|DONE|{code}|1|1\n8|EXIT|{code}|1|1\n")
    assert answer is not None
    assert (answer.observations["7"].state, answer.observations["7"].exit_code) == (State.UNKNOWN, None)
    assert (answer.observations["8"].state, answer.observations["8"].exit_code) == (State.FAILED, None)


@pytest.mark.parametrize("value", ["²", "9" * 3000, "nan", "inf", "-inf", "-1", "1e999", "9" * 400 + ":00", "x\ud800"])
def test_odd_amounts_in_a_row_are_left_out(value: str) -> None:
    answer = parse_rows(query_from(MONITOR), f"7|RUN||{value}|{value}\n")
    assert answer is not None
    assert answer.observations["7"].usage.wall_s is None
    assert answer.observations["7"].usage.peak_ram_bytes is None


def test_a_line_without_end_is_unreadable_and_disturbs_no_other() -> None:
    answer = parse_rows(query_from(MONITOR), "x" * 1_000_000 + "|RUN|||\n7|RUN|||\n")
    assert answer is not None
    assert set(answer.observations) == {"7"}


def test_a_form_feed_in_a_row_begins_no_other_row() -> None:
    answer = parse_rows(query_from(MONITOR), "7|RUN|||\f8|DONE|0|1|1\n")
    assert answer is not None
    assert set(answer.observations) == {"7"}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(DEEP, id="lists"),
        pytest.param('{"a":' * 100_000, id="maps"),
        pytest.param(DEEP + "]" * 100_000, id="lists-that-end"),
        pytest.param("words\n" + DEEP, id="after-words"),
    ],
)
def test_json_nested_without_end_is_no_answer(text: str) -> None:
    assert json_rows({"job_id": "id"}).read(text) is None


def test_json_nested_deep_within_one_entry_is_no_answer() -> None:
    text = '[{"id": "7"}, {"id": ' + DEEP + "]" * 100_000 + "}]"
    assert json_rows({"job_id": "id"}).read(text) is None


def test_an_endless_number_and_halves_of_characters_in_json_disturb_no_other_entry() -> None:
    rows = json_rows({"job_id": "id", "code": "code", "why": "why"}).read(
        '[{"id": 7, "code": ' + "9" * 5000 + ', "why": "a\\ud800\\u0000b"}, {"id": ' + "1" * 5000 + '}, {"id": NaN}]'
    )
    assert rows is not None
    assert rows.rows == ({"job_id": "7", "code": "9" * 5000, "why": "a\ufffd\ufffdb"},)
    assert len(rows.unreadable) == 2


def test_what_comes_through_a_frame_can_be_stored_and_shown() -> None:
    stdout = "\nN 0 start\na\0b\ud800\nN 0 end 0\n"
    result = read_batch(["x"], "N", stdout, "\nN 0 start\n\0\nN 0 end\n")
    assert result
    (answer,) = result.completed
    assert answer is not None
    assert (answer.stdout, answer.stderr) == ("a\ufffdb\ufffd", "\ufffd")


def test_a_frame_with_an_odd_exit_code_is_no_answer() -> None:
    result = read_batch(["x"], "N", f"\nN 0 start\n\nN 0 end {'9' * 5000}\n", "")
    assert result
    assert result.completed == [None]


@pytest.mark.parametrize("size", ["²", "9" * 5000, "-1", ""])
def test_an_odd_size_of_a_folder_disturbs_no_other(size: str) -> None:
    assert set(read_found(f"removed {size} 0001-a\nremoved 4 0002-b\n")) == {"0002-b"}
    content = "a" * 64
    assert read_store(f"unlinked {size} {'b' * 64}\nunlinked 4 {content}\n").unlinked == {content: 4096}


@pytest.mark.parametrize("text", ["9" * 400 + "GiB", "9" * 5000 + "B"])
def test_memory_beyond_all_machines_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="too large to be meant"):
        units.parse_bytes(text)


@pytest.mark.parametrize("time", [float("inf"), float("nan"), -1, "9" * 5000, "9" * 400 + "h", "9" * 400 + ":00:00"])
def test_time_beyond_all_jobs_is_refused(time: str | float) -> None:
    with pytest.raises(ValueError, match="is not a length of time"):
        units.parse_seconds(time)


def test_a_number_that_is_none_is_shown_as_not_known() -> None:
    assert units.format_seconds(float("nan")) == "-"


@pytest.mark.parametrize(
    "job_id", ["12.server", "12[3].server", "f58Abc", "ƒ2oLkTLb", "a/b:c", "arn:aws:batch:1", "1;cluster"]
)
def test_ids_of_schedulers_are_ids(job_id: str) -> None:
    assert bounds.job_id(f" {job_id}\n") == job_id
