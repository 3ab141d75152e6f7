"""A small sound backend with captures for every rule, made by hand; the tests break one thing of it at a time."""

from __future__ import annotations

import textwrap
from typing import Any

from adapter.core.backend import Backend, backend_from, merge
from adapter.testkit.capture import Capture, parse_capture
from tests.core.samples import shipped_document

SOUND: dict[str, Any] = {
    "name": "toy",
    "workspace": "/toy",
    "directives": {
        "prefix": "#TOY",
        "options": {
            "name": "--name={{ name }}",
            "token": "--mark={{ token }}",
            "cpu": "--cpu={{ cpu | ceil }}",
            "ram": "--mem={{ ram | mib }}M",
            "walltime": "--time={{ walltime | hms }}",
            "queue": "--queue={{ queue }}",
        },
    },
    "submit": {
        "command": "toy-submit {{ options }} {{ script }}",
        "options": {"gpu": "--gpu={{ gpu }}"},
        "job_id": r"^accepted (?P<job_id>\d+)$",
        "job_id_inside": "$TOY_ID",
        "environment": {"TOY_*": "drop", "TOY_CONF": "keep"},
    },
    "monitor": {
        "command": "toy-list {{ job_ids | words }}",
        "row": r"^(?P<job_id>\d+)\|(?P<state>\w+)\|(?P<exit_code>\d*)\|(?P<wall>[\d:]*)$",
        "states": {"queued": ["Q"], "running": ["R"], "succeeded": ["D"], "failed/time_limit": ["T"], "killed": ["K"]},
    },
    "result": {
        "command": "toy-history {{ job_ids | join(',') }}",
        "row": r"^(?P<job_id>\d+)\|(?P<state>\w+)\|(?P<exit_code>\d*)\|(?P<peak_ram>\w*)$",
    },
    "kill": {
        "command": "toy-kill {{ job_ids | words }}",
        "escalate": {"after": "10s", "command": "toy-kill --hard {{ job_id }}"},
    },
    "find": {"command": "toy-list --mine", "row": r"^(?P<job_id>\d+) (?P<token>adapter-\S+)$"},
    "version": {"command": "toy-list --version", "pattern": r"^toy (?P<version>[\d.]+)$"},
    "errors": {
        "transient": ["try again later"],
        "limit": ["queue \\d+ is full"],
        "gone": ["no such job", "has ended already"],
        "permanent": ["no such queue"],
    },
}

CAPTURES = {
    "accepted": """
        about: A job is accepted
        source: written for the tests
        action: submit
        exit_code: 0
        stdout: "welcome\\naccepted 101\\n"
        expect: {job_id: "101"}
        """,
    "full": """
        about: A queue is full
        source: written for the tests
        action: submit
        exit_code: 1
        stderr: "queue 7 is full\\n"
        expect: {error: limit}
        """,
    "living": """
        about: Jobs that wait and run
        source: written for the tests
        action: monitor
        asked: ["101", "102"]
        exit_code: 0
        stdout: |
          101|Q||
          102|R||00:01:05
        expect:
          jobs:
            "101": {state: queued, native_state: Q, exit_code: null}
            "102": {state: running, wall_s: 65}
        """,
    "ended": """
        about: Jobs that ended, each in its own way
        source: written for the tests
        action: monitor
        asked: ["101", "102", "103", "104"]
        exit_code: 0
        stdout: |
          101|D|0|10
          102|D|3|10
          103|T|143|60
          104|K||5
        expect:
          jobs:
            "101": {state: succeeded, exit_code: 0, reason: null}
            "102": {state: failed, exit_code: 3, reason: exit_code}
            "103": {state: failed, reason: time_limit, exit_code: 143, signal: 15}
            "104": {state: killed}
          unreadable: 0
        """,
    "unknown-id": """
        about: An id that nobody knows any more
        source: written for the tests
        action: monitor
        asked: ["101"]
        exit_code: 1
        stderr: "no such job: 101\\n"
        expect: {absent: ["101"]}
        """,
    "busy": """
        about: The scheduler is busy
        source: written for the tests
        action: monitor
        asked: ["101"]
        exit_code: 1
        stderr: "try again later\\n"
        expect: {no_answer: transient}
        """,
    "history": """
        about: What is kept of a job
        source: written for the tests
        action: result
        asked: ["101", "102"]
        exit_code: 0
        stdout: |
          101|D|3|20M
        expect:
          jobs: {"101": {state: failed, exit_code: 3, peak_ram_bytes: 20971520}}
          absent: ["102"]
        """,
    "kill-ended": """
        about: A job that has ended is killed
        source: written for the tests
        action: kill
        asked: ["101"]
        exit_code: 1
        stderr: "101 has ended already\\n"
        expect: {done: true}
        """,
    "marked": """
        about: Jobs and their marks
        source: written for the tests
        action: find
        asked: [adapter-a-1-1, adapter-a-2-1]
        exit_code: 0
        stdout: |
          101 adapter-a-1-1
          102 adapter-b-1-1
        expect: {found: {adapter-a-1-1: "101"}}
        """,
    "version": """
        about: The version
        source: written for the tests
        action: version
        exit_code: 0
        stdout: |
          toy 2.1
        expect: {version: "2.1"}
        """,
}


def toy(**over: Any) -> Backend:
    """The sound backend with *over* laid over it; nothing of it is checked at load, that is what the rules are for."""
    document = merge(merge(shipped_document("batch"), SOUND), over)
    return backend_from(document, name="toy", lineage=("toy", "batch"))


def capture(text: str, file: str = "capture.yaml") -> Capture:
    return parse_capture(_flush(text), file)


def captures(*left_out: str, **more: str) -> tuple[Capture, ...]:
    """The captures of the sound backend but those *left_out*, and *more*."""
    texts = {name: text for name, text in CAPTURES.items() if name not in left_out} | more
    return tuple(capture(text, name) for name, text in texts.items())


def _flush(text: str) -> str:
    return textwrap.dedent(text).lstrip("\n")
