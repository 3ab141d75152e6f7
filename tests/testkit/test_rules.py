"""Each rule is broken by a backend that is sound but for one thing, and no other rule minds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapter.core.backend import merge
from adapter.results import Problem
from adapter.testkit.capture import Capture
from adapter.testkit.rules import FILE_RULES, RULES, check, check_file, sentence
from adapter.testkit.subject import Status, Subject
from tests.core.samples import shipped_document

from .samples import captures, toy

RECORDS = {
    "command": "toy-list {{ job_ids | words }}",
    "row": None,
    "record": "^Job: ",
    "fields": {"job_id": r"^Job: (\d+)", "state": r"^state=(\w+)"},
}
RECORD = """
    about: A job in a record of its own
    source: written for the tests
    action: monitor
    asked: ["101", "102"]
    exit_code: 0
    stdout: |
      Job: 101
      state=R
      Job: 102
      state=Q
    expect: {jobs: {"101": {state: running}, "102": {state: queued}}}
    """
JSON = """
    about: Jobs in JSON
    source: written for the tests
    action: monitor
    asked: ["101", "102"]
    exit_code: 0
    stdout: |
      {"jobs": [
        {"id": 101, "state": "R"},
        {"id": 102, "state": "Q"}
      ]}
    expect: {jobs: {"101": {state: running}, "102": {state: queued}}}
    """
MONITORS = ("living", "ended", "unknown-id")


def results(over: dict[str, Any], given: tuple[Capture, ...]) -> dict[str, tuple[Status, str]]:
    subject = Subject(toy(**over), given)
    return {name: (outcome.status, outcome.why) for name in RULES for outcome in [check(subject, name)]}


def broken(over: dict[str, Any], given: tuple[Capture, ...]) -> set[str]:
    return {name for name, (status, _) in results(over, given).items() if status is Status.FAILED}


def test_a_sound_backend_with_captures_keeps_every_rule() -> None:
    told = {name: why for name, (status, why) in results({}, captures()).items() if status is not Status.OK}
    assert told == {"pages": "no command asks for further pages"}


READS_JSON = {"row": None, "json": {"rows": "jobs", "job_id": "id", "state": "state"}}


@pytest.mark.parametrize("over", [{"monitor": RECORDS}, {"monitor": READS_JSON}], ids=["records", "json"])
def test_answers_in_records_and_in_json_keep_every_rule_too(over: dict[str, Any]) -> None:
    given = captures(*MONITORS, records=RECORD) if "record" in over["monitor"] else captures(*MONITORS, json=JSON)
    found = results(over, given)
    assert {name: why for name, (status, why) in found.items() if status is Status.FAILED} == {}
    assert found["unreadable line"] == found["unknown state"] == (Status.OK, "")


SCRIPT = shipped_document("batch")["script"]
NAMED_STATES = r"^(?P<job_id>\d+)\|(?P<state>[QRDTK])\|(?P<exit_code>\d*)\|(?P<wall>[\d:]*)$"
BREAKS = [
    pytest.param("quoting", {"directives": {"options": {"name": "--name={{ name | raw }}"}}}, id="a directive is raw"),
    pytest.param("quoting", {"directives": {"options": {"name": '--name="{{ name }}"'}}}, id="in double quotes"),
    pytest.param("quoting", {"directives": {"options": {"name": "--name='{{ name }}'"}}}, id="in single quotes"),
    pytest.param("quoting", {"submit": {"command": "toy-submit {{ options }} {{ script | raw }}"}}, id="a raw path"),
    pytest.param("quoting", {"kill": {"command": "toy-kill {{ job_ids | join(' ') | raw }}"}}, id="raw ids"),
    pytest.param("quoting", {"find": {"command": 'toy-list --mine "{{ tokens | join(",") }}"'}}, id="a quoted token"),
    pytest.param(
        "quoting",
        {
            "submit": {
                "command": "toy-submit {{ options }} <<'JOB'\ncd {{ job_directory | raw }}\nsh {{ script }}\nJOB\n"
            }
        },
        id="a raw path in a here-document",
    ),
    pytest.param(
        "operands", {"submit": {"command": "toy-submit {{ options }} {{ name }} {{ script }}"}}, id="a bare name"
    ),
    pytest.param(
        "operands",
        {"submit": {"command": "toy-submit {{ options }} --wait {{ name }} {{ script }}"}},
        id="a name behind another option",
    ),
    pytest.param("shell", {"submit": {"options": {"gpu": "--gpu={{ gpu }} ("}}}, id="an open bracket"),
    pytest.param("submit", {"submit": {"command": "toy-submit {{ options }} other"}}, id="another script"),
    pytest.param("resources", {"submit": {"options": {"gpu": "--gpu"}}}, id="the number of gpus is dropped"),
    pytest.param("resources", {"supports": ["disk"]}, id="what is said to be supported is written nowhere"),
    pytest.param(
        "units", {"directives": {"options": {"ram": "--mem={{ (ram / 1048576) | int }}M"}}}, id="memory rounded down"
    ),
    pytest.param(
        "units", {"directives": {"options": {"ram": "--mem={{ (ram / 1e9) | round | int }}G"}}}, id="down to zero"
    ),
    pytest.param(
        "units", {"directives": {"options": {"walltime": "--time={{ (walltime / 60) | int }}"}}}, id="minutes cut off"
    ),
    pytest.param("units", {"directives": {"options": {"cpu": "--cpu={{ cpu | int }}"}}}, id="half a processor lost"),
    pytest.param("units", {"directives": {"options": {"ram": "--mem={{ ram | gib }}M"}}}, id="gigabytes called mega"),
    pytest.param("units", {"directives": {"options": {"ram": "--mem={{ ram | kib }}mb"}}}, id="kilobytes called mega"),
    pytest.param("token", {"directives": {"options": {"token": None}}}, id="no mark on the job"),
    pytest.param("logs", {"logs": {"stdout": "{{ job_directory }}/output"}}, id="another file"),
    pytest.param("kill", {"kill": {"command": "toy-kill --newest {{ job_id | length }}"}}, id="no job is named"),
    pytest.param("outer job", {"submit": {"environment": None}}, id="an outer job's id is handed on"),
    pytest.param("outer job", {"submit": {"environment": {"TOY_ID": "keep"}}}, id="an outer job's id is kept"),
    pytest.param("many ids", {"monitor": {"command": "toy-list {{ job_ids | join(' ') }}"}}, id="one word of all ids"),
    pytest.param("many ids", {"monitor": {"command": "toy-list {{ job_ids | join('') }}"}}, id="ids run together"),
    pytest.param("many ids", {"monitor": {"command": "toy-list {{ job_ids | first }}"}}, id="only the first"),
    pytest.param("length", {"monitor": {"max_ids": 20_000}}, id="too many ids"),
    pytest.param("patterns", {"errors": {"permanent": ["no such queue", "(x+x+)+y"]}}, id="exponential"),
    pytest.param("patterns", {"errors": {"permanent": ["no such queue", "a*a*a*a*b"]}}, id="a high power"),
    pytest.param("errors", {"errors": {"permanent": ["no such queue", "try again later today"]}}, id="hidden words"),
    pytest.param("job id", {"submit": {"job_id": r"(?P<job_id>\d+)"}}, id="any number is an id"),
    pytest.param("unknown state", {"monitor": {"row": NAMED_STATES}}, id="named states only"),
    pytest.param("empty answer", {"errors": {"gone": [r"^\s*$", "no such job", "has ended"]}}, id="silence is gone"),
    pytest.param("finished ids", {"errors": {"gone": ["has ended already"]}}, id="unknown ids are not known"),
    pytest.param("kill of a finished job", {"errors": {"gone": ["no such job"]}}, id="ended jobs are not known"),
    pytest.param("find", {"find": {"row": r"^(?P<job_id>\d+) mark=(?P<token>\S+)$"}}, id="another form"),
    pytest.param("find", {"find": {"row": r"(?P<job_id>\d+) token=(?P<token>\S+)$"}}, id="a quoted line is a find"),
    pytest.param(
        "find answers",
        {"find": {"row": r"^(?P<job_id>\d+) (?P<token>adapter-\S+)$"}},
        id="the jobs of others are not read",
    ),
    pytest.param("job id", {"submit": {"job_id": r"accepted (?P<job_id>\d+)$"}}, id="a quoted line is an answer"),
    pytest.param("empty answer", {"monitor": {"absent": {"gone_after": 0}}}, id="lost at once"),
    pytest.param("logs", {"logs": {"stdout": "{{ stdout | raw }}"}}, id="a raw path of a log"),
    pytest.param("quoting", {"logs": {"stdout": {"command": "toy-log {{ job_id | raw }}"}}}, id="a raw id for a log"),
    pytest.param("prologue", {"script": SCRIPT.replace("{{ entry }}", ":")}, id="a prologue that goes nowhere"),
    pytest.param("values", {"values": {"acount": "m1234"}}, id="a misspelt value"),
    pytest.param(
        "pages",
        {"monitor": {"command": "toy-list {{ options }} {{ job_ids | words }}", "options": {"next": "-p {{ next }}"}}},
        id="pages that nobody counts",
    ),
]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("toy-submit --name={{ name }} {{ script }}", id="in an option"),
        pytest.param("toy-submit -- {{ name }} {{ script }}", id="behind two dashes"),
        pytest.param("toy-submit {{ name | operand }} {{ script }}", id="refused"),
    ],
)
def test_a_value_that_cannot_become_an_option_keeps_the_rule(command: str) -> None:
    assert "operands" not in broken({"submit": {"command": command}}, captures())


@pytest.mark.parametrize(("rule", "over"), BREAKS)
def test_a_rule_is_broken_by_one_thing(rule: str, over: dict[str, Any]) -> None:
    assert broken(over, captures()) == {rule}


CLUSTERED: dict[str, Any] = {
    "submit": {"job_id": r"^accepted (?P<job_id>\d+)(?:;(?P<qualifier>\w+))?$"},
    "monitor": {
        "command": "toy-list {{ options }} {{ job_ids | words }}",
        "options": {"qualifier": "-M {{ qualifier }}"},
    },
    "result": {
        "command": "toy-history {{ options }} {{ job_ids | join(',') }}",
        "options": {"qualifier": "-M {{ qualifier }}"},
    },
    "kill": {
        "command": "toy-kill {{ options }} {{ job_ids | words }}",
        "options": {"qualifier": "-M {{ qualifier }}"},
        "escalate": {"after": "10s", "command": "toy-kill --hard {{ job_id }} {{ qualifier or '' }}"},
    },
    "find": {"row": r"^(?P<job_id>\d+) (?P<token>\S+)(?: (?P<qualifier>\w+))?$"},
}
FAR = """
    about: A job is accepted by another cluster
    source: written for the tests
    action: submit
    exit_code: 0
    stdout: "accepted 101{}far\\n"
    expect: {{job_id: "{}"}}
    """


def test_a_backend_whose_commands_name_the_cluster_keeps_every_rule() -> None:
    assert broken(CLUSTERED, captures(far=FAR.format(";", "101;far"))) == set()


@pytest.mark.parametrize(
    ("forgets", "why"),
    [
        pytest.param({"monitor": {"options": None}}, "monitor is about a job of far-away-7", id="monitor"),
        pytest.param({"result": {"options": None}}, "result is about a job of far-away-7", id="accounting"),
        pytest.param({"kill": {"options": None}}, "kill is about a job of", id="kill"),
        pytest.param({"kill": {"escalate": {"command": "x {{ job_id }}"}}}, "kill.escalate is about", id="harder kill"),
        pytest.param({"logs": {"stdout": {"command": "show {{ job_id }}"}}}, "logs.stdout is about a job", id="log"),
        pytest.param(
            {"find": {"row": r"^(?P<job_id>\d+) (?P<token>adapter-\S+)$"}}, "find reads no `qualifier`", id="find"
        ),
    ],
)
def test_a_command_that_forgets_the_cluster_is_noticed(forgets: dict[str, Any], why: str) -> None:
    outcome = check(Subject(toy(**merge(CLUSTERED, forgets)), captures()), "qualifier")
    assert outcome.status is Status.FAILED
    assert outcome.why.startswith(why)


@pytest.mark.parametrize("sign", [";", "@", ".", ":"])
def test_half_of_an_id_that_is_not_kept_is_noticed(sign: str) -> None:
    over = {"submit": {"job_id": r"^accepted (?P<job_id>\d+)(?:\S+)?$"}}
    outcome = check(Subject(toy(**over), captures(far=FAR.format(sign, "101"))), "qualifier")
    assert outcome.why.startswith(f"far: the answer says 101{sign}far, and 101 is kept")


def test_words_that_pass_by_themselves_have_to_be_named() -> None:
    assert broken({"errors": {"transient": None}}, captures("busy")) == {"errors"}


def test_a_scheduler_may_be_said_to_have_no_such_words() -> None:
    assert broken({"errors": {"transient": []}}, captures("busy")) == set()


def test_the_words_of_another_class_must_not_be_taken_as_transient() -> None:
    outcome = check(Subject(toy(errors={"transient": ["try again later", "is full$"]}), captures()), "errors")
    assert outcome.status is Status.FAILED
    assert outcome.why == "the words in full are limit, and are taken as transient"


def test_a_state_that_captures_show_has_to_be_mapped() -> None:
    assert broken({"monitor": {"states": {"queued": None}}}, captures()) == {"states"}


def test_a_capture_may_mean_a_state_to_be_unknown() -> None:
    odd = """
        about: A state of a later version
        source: written for the tests
        action: monitor
        asked: ["101"]
        exit_code: 0
        stdout: "101|X||\\n"
        expect: {jobs: {"101": {state: unknown}}}
        """
    assert broken({}, captures(odd=odd)) == set()


def test_a_backend_that_tells_success_must_be_able_to_tell_failure() -> None:
    row = r"^(?P<job_id>\d+)\|(?P<state>\w+)\|"
    states = {"queued": ["Q"], "running": ["R"], "succeeded": ["D"], "failed/time_limit": None, "killed": ["K"]}
    over = {"monitor": {"row": row, "states": states}, "result": None}
    assert broken(over, captures("living", "ended", "history")) == {"endings"}


def test_a_backend_without_final_words_needs_an_exit_file() -> None:
    over = {
        "monitor": {"states": {"succeeded": None, "failed/time_limit": None, "killed": None}},
        "result": None,
    }
    assert broken(over, captures("ended", "history")) == set()
    bare = "#!/bin/sh\n{{ directives }}exec {{ steps[0].argv | words }} >{{ stdout }} 2>{{ stderr }}\n"
    assert "endings" in broken({**over, "script": bare}, captures("ended", "history"))


def test_a_line_inside_a_record_must_not_hide_its_fields() -> None:
    fields = {"job_id": r"^Job: (\d+)", "state": r"^Job: \d+\nstate=(\w+)"}
    found = broken({"monitor": {**RECORDS, "fields": fields}}, captures(*MONITORS, records=RECORD))
    assert found == {"unreadable line", "not UTF-8"}


def test_bytes_that_are_not_utf8_must_not_begin_a_record() -> None:
    over = {"monitor": {**RECORDS, "record": r"^(?:Job: |[^\x00-\x7f]{2})"}}
    assert broken(over, captures(*MONITORS, records=RECORD)) == {"not UTF-8"}


def test_a_banner_that_speaks_of_a_job_is_no_row() -> None:
    over = {"monitor": {"row": r"(?P<job_id>\d+)\W+(?P<state>\w+)(?:\|(?P<exit_code>\d*)\|(?P<wall>[\d:]*))?"}}
    assert "banner" in broken(over, captures())


def test_an_environment_that_never_reaches_the_job_breaks_quoting() -> None:
    bare = "#!/bin/sh\n{{ directives }}exec {{ steps[0].argv | words }} >{{ stdout }} 2>{{ stderr }}\n"
    status, why = results({"script": bare}, captures())["quoting"]
    assert status is Status.FAILED
    assert why.startswith("the env of a task is not in its script")


def test_an_exit_code_that_nobody_named_is_no_answer() -> None:
    codes = {"exit_codes": {"0": "running", "1": "gone"}, "row": None, "states": None}
    found = results({"monitor": {"command": "toy-is-there {{ job_id }}", **codes}}, captures(*MONITORS, "busy"))
    assert found["unknown state"] == (Status.OK, "")
    assert found["empty answer"][0] is Status.NOT_APPLICABLE


def test_an_old_version_is_looked_at_too() -> None:
    use = {"kill": {"command": "toy-kill --newest {{ job_id | length }}"}}
    status, why = results({"when": [{"version": "< 2", "use": use}]}, captures())["kill"]
    assert (status, why) == (Status.FAILED, "kill does not name the job (version 1.999)")


def test_without_captures_the_rules_about_answers_say_that_there_is_nothing_to_try() -> None:
    found = results({}, ())
    assert {name for name, (status, _) in found.items() if status is Status.NOT_APPLICABLE} == {
        "token", "job id", "states", "unknown state", "unreadable line", "banner", "not UTF-8", "finished ids",
        "kill of a finished job", "find", "find answers", "pages", "qualifier",
    } - {"token" if found["token"][0] is Status.OK else ""}  # fmt: skip
    assert all(why for status, why in found.values() if status is Status.NOT_APPLICABLE)


def test_problems_found_at_load_are_told_under_their_rule() -> None:
    found = check_file(
        [
            Problem(message="unknown variable 'wallltime'; did you mean 'walltime'?", file="a.yaml", line=1, column=2),
            Problem(message="missing key 'kill'", file="a.yaml", line=1, column=1),
        ]
    )
    assert {name: (outcome.status, outcome.why) for name, outcome in found.items()} == {
        "schema": (Status.FAILED, "a.yaml:1:1: missing key 'kill'"),
        "variables": (Status.FAILED, "a.yaml:1:2: unknown variable 'wallltime'; did you mean 'walltime'?"),
    }


@pytest.mark.parametrize("name", [*RULES, "schema", "variables"])
def test_every_rule_says_in_one_sentence_what_it_asks_for(name: str) -> None:
    said = sentence(name)
    assert said.endswith(".")
    assert "\n" not in said


def test_the_document_lists_every_rule_with_its_sentence() -> None:
    text = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
    assert [f"| {name} | {sentence(name)} |" for name in (*FILE_RULES, *RULES)] == [
        line for line in text.partition("## The rules")[2].splitlines() if line.startswith("| ")
    ][1:]
