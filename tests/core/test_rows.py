"""Answers of several lines a job, and answers in JSON."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.core.answers import parse_job_id, parse_rows, parse_tokens
from adapter.core.grammars import Rows, grammar_from, json_rows
from adapter.core.specs import query_from, submit_from
from adapter.core.state import Reason, State
from adapter.errors import JobIdNotFound
from adapter.results import CompletedCommand

from .samples import toy

QSTAT = """\
Job Id: 1.vm
    Job_Name = one
    job_state = R
    resources_used.walltime = 00:01:05

Job Id: 2[3].vm
    Job_Name = Job Id: a liar
    job_state = F
    Exit_status = 271
"""
RECORDS: dict[str, Any] = {
    "command": "qstat -f",
    "record": r"^Job Id: ",
    "fields": {
        "job_id": r"^Job Id: (\S+)",
        "state": r"^ +job_state = (\w)",
        "exit_code": r"^ +Exit_status = (-?\d+)",
        "wall": r"^ +resources_used\.walltime = ([\d:]+)",
    },
    "states": {"running": ["R"], "failed": ["F"]},
    "exit_code": {"decode": "plus_256"},
}


def said(stdout: str, exit_code: int = 0) -> CompletedCommand:
    return CompletedCommand(command="x", exit_code=exit_code, stdout=stdout, stderr="")


def test_records_of_several_lines_are_one_job_each() -> None:
    answer = parse_rows(query_from(RECORDS), QSTAT)
    assert answer is not None
    one, two = answer.observations["1.vm"], answer.observations["2[3].vm"]
    assert (one.state, one.exit_code, one.usage.wall_s) == (State.RUNNING, None, 65.0)
    assert (two.state, two.exit_code, two.signal) == (State.FAILED, 143, 15)
    assert answer.unreadable == ()


def test_what_stands_before_the_first_record_does_no_harm() -> None:
    answer = parse_rows(query_from(RECORDS), "*** maintenance on Friday ***\n\n" + QSTAT)
    assert answer is not None
    assert set(answer.observations) == {"1.vm", "2[3].vm"}


def test_lines_without_any_record_are_unreadable_and_nothing_at_all_is_an_empty_answer() -> None:
    grammar = grammar_from(RECORDS)
    assert grammar is not None
    assert grammar.read("no such thing\n\nreally\n") == Rows(unreadable=("no such thing", "really"))
    assert grammar.read("") == Rows()


def test_a_record_without_a_job_id_is_unreadable_and_disturbs_no_other() -> None:
    answer = parse_rows(query_from({**RECORDS, "record": "^(Job Id|Broken)"}), "Broken: x\n" + QSTAT)
    assert answer is not None
    assert set(answer.observations) == {"1.vm", "2[3].vm"}
    assert answer.unreadable == ("Broken: x",)


TASKS: dict[str, Any] = {
    "command": "ask",
    "json": {
        "rows": "tasks",
        "job_id": "id",
        "state": "state",
        "exit_code": "logs[-1].logs[-1].exit_code",
        "message": "join('; ', logs[-1].system_logs || `[]`)",
        "token": "tags.token",
        "next": "next_page_token",
    },
    "states": {
        "running": ["RUNNING"],
        "succeeded": ["COMPLETE"],
        "failed": ["EXECUTOR_ERROR"],
        "failed/system": ["SYSTEM_ERROR"],
    },
}


def test_json_rows_are_read_by_their_expressions() -> None:
    text = """{"tasks": [
      {"id": "a", "state": "EXECUTOR_ERROR", "logs": [{"logs": [{"exit_code": 3}]}]},
      {"id": "b", "state": "SYSTEM_ERROR", "logs": [{"logs": [], "system_logs": ["disk full", "at vm3"]}]},
      {"id": 7, "state": "RUNNING"}], "next_page_token": "b"}"""
    answer = parse_rows(query_from(TASKS), text)
    assert answer is not None
    seen = answer.observations
    assert (seen["a"].state, seen["a"].exit_code) == (State.FAILED, 3)
    assert (seen["b"].reason, seen["b"].message) == (Reason.SYSTEM, "disk full; at vm3")
    assert seen["7"].state is State.RUNNING
    assert answer.next == "b"


@pytest.mark.parametrize("end", ['""', "null"])
def test_an_empty_mark_of_the_next_page_is_the_end(end: str) -> None:
    answer = parse_rows(query_from(TASKS), '{"tasks": [], "next_page_token": ' + end + "}")
    assert answer is not None
    assert answer.next is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("<html>Bad gateway</html>", id="a-page-of-a-proxy"),
        pytest.param('{"error": "no"}', id="no-rows-in-it"),
        pytest.param('{"tasks": "none"}', id="rows-that-are-no-list"),
        pytest.param('{"tasks": [{"id": "a", "sta', id="broken-off"),
        pytest.param('{"tasks": [{"id": "a"}}, {"id": "b"}]}', id="damaged"),
    ],
)
def test_what_is_not_the_expected_json_is_no_answer(text: str) -> None:
    assert parse_rows(query_from(TASKS), text) is None


def test_words_around_the_json_are_unreadable_lines() -> None:
    answer = parse_rows(query_from(TASKS), '[INFO] hello\n{"tasks": [{"id": "a", "state": "RUNNING"}]}\nbye\n')
    assert answer is not None
    assert set(answer.observations) == {"a"}
    assert answer.unreadable == ("[INFO] hello", "bye")


def test_several_documents_are_rows_each_and_a_row_without_an_id_is_unreadable() -> None:
    grammar = json_rows({"job_id": "id", "state": "s"})
    read = grammar.read('{"id": "a", "s": "R"}\n{"s": "R"}\n{"id": "b", "s": "C"}\n')
    assert read is not None
    assert [row["job_id"] for row in read.rows] == ["a", "b"]
    assert read.unreadable == ('{"s": "R"}',)


def test_an_expression_that_does_not_fit_the_value_gives_nothing() -> None:
    grammar = json_rows({"job_id": "id", "exit_code": "length(code)"})
    read = grammar.read('[{"id": "a", "code": 3}]')
    assert read is not None
    assert read.rows == ({"job_id": "a", "exit_code": None},)


def test_a_job_id_comes_out_of_json() -> None:
    submit = submit_from({"command": "post", "json": {"job_id": "id"}})
    assert parse_job_id(submit.job_id, said('{"id": "cr4"}')) == "cr4"
    with pytest.raises(JobIdNotFound):
        parse_job_id(submit.job_id, said('{"error": "bad task"}'))


def test_tokens_come_with_their_page() -> None:
    spec = query_from(TASKS)
    text = '{"tasks": [{"id": "a", "tags": {"token": "t1"}}, {"id": "b"}], "next_page_token": "p2"}'
    assert parse_tokens(spec, toy(), said(text)) == ({"t1": ["a"]}, "p2")


def test_a_token_has_the_ids_of_all_jobs_that_carry_it() -> None:
    spec = query_from({"command": "list", "row": r"^(?P<job_id>\d+) (?P<token>\S+)(?: (?P<qualifier>\w+))?$"})
    assert parse_tokens(spec, toy(), said("1 t1\n2 t1 far\n3 t2\n")) == ({"t1": ["1", "2;far"], "t2": ["3"]}, None)


def test_a_find_that_failed_is_no_answer_even_with_rows() -> None:
    spec = query_from({"command": "list", "row": r"^(?P<job_id>\d+) (?P<token>\S+)$"})
    assert parse_tokens(spec, toy(), said("1 t1\n", exit_code=1)) is None
    assert parse_tokens(spec, toy(), said("1 t1\n")) == ({"t1": ["1"]}, None)


def test_a_signal_without_an_exit_code_is_one_of_128_and_more() -> None:
    spec = query_from(
        {"command": "x", "row": r"^(?P<job_id>\d+) (?P<state>\w)(?: by (?P<signal>\d+))?$", "states": {"failed": ["F"]}}
    )
    answer = parse_rows(spec, "1 F by 9\n2 F\n")
    assert answer is not None
    assert (answer.observations["1"].exit_code, answer.observations["1"].signal) == (137, 9)
    assert (answer.observations["2"].exit_code, answer.observations["2"].signal) == (None, None)


def test_a_field_pattern_without_a_group_gives_all_that_it_fits() -> None:
    grammar = grammar_from({"record": "^id ", "fields": {"job_id": r"^id (\d+)", "state": "DONE|RUN"}})
    assert grammar is not None
    assert grammar.read("id 1\nDONE\nid 2\nRUN\n") == Rows(
        rows=({"job_id": "1", "state": "DONE"}, {"job_id": "2", "state": "RUN"})
    )
