"""Replaying: a capture that fits says nothing; one that does not says what was expected and what came."""
# ruff: noqa: E501 (a table reads by its rows)

from __future__ import annotations

from typing import Any

import pytest

from adapter.testkit.capture import Capture
from adapter.testkit.replay import replay

from .samples import CAPTURES, capture, toy


@pytest.mark.parametrize("name", CAPTURES)
def test_what_fits_says_nothing(name: str) -> None:
    assert replay(toy(), capture(CAPTURES[name])) == []


def changed(name: str, before: str, after: str) -> Capture:
    assert before in CAPTURES[name]
    return capture(CAPTURES[name].replace(before, after))


MISMATCHES = [
    ("accepted", 'job_id: "101"', 'job_id: "102"', ["submit: expected job id '102', came job id '101'"]),
    ("accepted", 'job_id: "101"', "error: unreadable", ["submit: expected unreadable, came job id '101'"]),
    ("accepted", "accepted 101", "accepted", ["submit: expected job id '101', came unreadable (the submit answer holds no job id; it said: welcome / accepted)"]),
    ("full", "error: limit", "error: null", ["submit: expected a refusal: words of no class, came a refusal: limit"]),
    ("full", "queue 7 is full", "what?", ["submit: expected a refusal: limit, came a refusal: words of no class"]),
    ("living", "state: queued", "state: running", ["101: state: expected running, came queued"]),
    ("living", "wall_s: 65", "wall_s: 66", ["102: wall_s: expected 66, came 65.0"]),
    ("living", "native_state: Q", "native_state: R", ["101: native_state: expected 'R', came 'Q'"]),
    ("living", "101|Q||", "101 Q", ["101: expected queued, came nothing about it"]),
    ("living", "expect:", "expect:\n          unreadable: 1", ["unreadable: expected 1, came 0: []"]),
    ("ended", "reason: exit_code", "reason: signal", ["102: reason: expected 'signal', came 'exit_code'"]),
    ("ended", "state: killed", "state: failed", ["104: state: expected failed, came killed"]),
    ("ended", "signal: 15", "signal: 9", ["103: signal: expected 9, came 15"]),
    ("unknown-id", "no such job", "what", ["101: expected a good answer that does not show it, came no answer (words of no class)"]),
    ("unknown-id", 'absent: ["101"]', "no_answer: transient", ["101: expected no answer, came a good answer that does not show it", "no answer: expected transient, came gone"]),
    ("busy", "no_answer: transient", "no_answer: auth", ["no answer: expected auth, came transient"]),
    ("busy", "no_answer: transient", 'absent: ["101"]', ["101: expected a good answer that does not show it, came no answer (transient)"]),
    ("history", "peak_ram_bytes: 20971520", "peak_ram_bytes: 20", ["101: peak_ram_bytes: expected 20, came 20971520"]),
    ("history", "101|D", "102|D", ["101: expected failed, came nothing about it", "102: expected nothing of it, came 'D'"]),
    ("kill-ended", "done: true", "refused: null", ["kill: expected refused: words of no class, came done"]),
    ("kill-ended", "has ended already", "is not yours", ["kill: expected done, came refused: words of no class"]),
    ("marked", 'adapter-a-1-1: "101"', 'adapter-a-1-1: "102"', ["adapter-a-1-1: expected '102', came '101'"]),
    ("marked", 'found: {adapter-a-1-1: "101"}', "found: {}", ["adapter-a-1-1: expected none, came '101'"]),
    ("marked", 'found: {adapter-a-1-1: "101"}', 'found: {adapter-a-1-1: "101"}, no_answer: null', ["expected no answer, came a good one"]),
    ("version", 'version: "2.1"', 'version: "2.2"', ["version: expected '2.2', came '2.1'"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "before", "after", "problems"), MISMATCHES)
def test_what_does_not_fit_is_told(name: str, before: str, after: str, problems: list[str]) -> None:
    assert replay(toy(), changed(name, before, after)) == problems


def test_an_answer_of_lines_that_nobody_can_read_is_no_answer() -> None:
    odd = changed("living", "101|Q||\n          102|R||00:01:05", "Id  State  Time")
    text = "no answer (nothing in it is a row, and its lines were not seen beside rows: they may be jobs)"
    nobody = capture(
        CAPTURES["unknown-id"].replace("exit_code: 1", "exit_code: 0").replace('stderr: "no such', 'stdout: "what')
    )
    assert replay(toy(), odd)[0] == "101: expected queued, came nothing about it"
    assert replay(toy(), nobody) == [f"101: expected a good answer that does not show it, came {text}"]


def test_a_capture_about_two_jobs_does_not_fit_a_command_about_one() -> None:
    said = replay(toy(monitor={"command": "toy-list {{ job_id }}"}), capture(CAPTURES["living"]))
    assert said == ["the monitor command is about one job at a time, and `asked` names 2"]


@pytest.mark.parametrize(
    ("name", "over", "problem"),
    [
        ("history", {"result": None}, "the backend has no `result`"),
        ("marked", {"find": None}, "the backend has no `find`"),
        ("version", {"version": None}, "the backend has no `version`"),
    ],
)
def test_a_capture_of_what_the_backend_lacks_does_not_fit(name: str, over: dict[str, Any], problem: str) -> None:
    assert replay(toy(**over), capture(CAPTURES[name])) == [problem]


LOG = """
    about: What the task wrote, in the scheduler's keeping
    source: written for the tests
    action: log
    asked: ["101"]
    exit_code: 0
    stdout: |
      {"text": "hello"}
    expect: {stdout: hello}
    """


def test_a_log_that_a_command_prints_is_read() -> None:
    logs = {"stdout": {"command": "toy-log {{ job_id }}", "json": "text"}}
    assert replay(toy(logs=logs), capture(LOG)) == []
    assert replay(toy(logs=logs), capture(LOG.replace("stdout: hello", "stdout: bye"))) == [
        "logs.stdout: expected 'bye', came 'hello'"
    ]
    assert replay(toy(), capture(LOG)) == ["logs.stdout is no command: there is no answer to read"]


WATCH = """
    about: Two jobs ended
    source: written for the tests
    action: watch
    exit_code: 0
    stdout: |
      welcome
      gone 101
      gone 102
    expect: {told: ["101", "102"]}
    """


def test_what_a_watch_tells_is_read() -> None:
    watched = toy(watch={"command": "toy-watch", "row": r"^gone (?P<job_id>\d+)$"})
    assert replay(watched, capture(WATCH)) == []
    assert replay(watched, capture(WATCH.replace("gone 102", "102"))) == [
        "watch: expected ['101', '102'], came ['101']"
    ]
    assert replay(toy(watch=None), capture(WATCH)) == ["the backend has no `watch`"]


WORDS = """
    about: What the commands say when they fail
    source: written for the tests
    action: words
    exit_code: 1
    expect:
      limit: [queue 7 is full]
      none: [queue 7 is open]
    """


def test_words_have_the_class_that_is_written_beside_them() -> None:
    assert replay(toy(), capture(WORDS)) == []
    assert replay(toy(errors={"limit": ["is open"]}), capture(WORDS)) == [
        "'queue 7 is full': expected limit, came none", "'queue 7 is open': expected none, came limit"
    ]  # fmt: skip


def test_a_capture_of_an_old_version_is_read_as_that_version_is() -> None:
    row = r"^(?P<job_id>\d+) (?P<state>\w)$"
    backend = toy(when=[{"version": "< 2", "use": {"monitor": {"row": row}}}])
    old = capture(
        CAPTURES["living"]
        .replace("101|Q||\n          102|R||00:01:05", "101 Q\n          102 R")
        .replace("wall_s: 65", "wall_s: null")
        .replace("action:", 'version: "1.5"\n        action:')
    )
    assert replay(backend, old) == []
    assert replay(backend, capture(CAPTURES["living"])) == []
