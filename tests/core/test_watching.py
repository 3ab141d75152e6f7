"""A watch over the real ``sh``: what it prints, when it ends, and that it leaves nothing running."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from adapter.config.library import library
from adapter.core.specs import WatchSpec, watch_from
from adapter.core.watching import WatchResult, read_watch, watch_step

SPEC = watch_from({"command": "true", "row": r"^job (?P<job_id>\d+)$"}, {})
assert isinstance(SPEC, WatchSpec)


def run(command: str, most_s: float = 20) -> tuple[WatchResult, float]:
    assert SPEC is not None
    begin = time.monotonic()
    script = library()["watch"] + watch_step(command, "nonce-1", most_s=most_s).text
    done = subprocess.run(
        ["/bin/sh", "-s"], input=script, capture_output=True, text=True, check=False, timeout=30, start_new_session=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return read_watch(SPEC, "nonce-1", done.stdout), time.monotonic() - begin


def goes(words: str) -> bool:
    """Whether the process is gone, or is soon: a signal takes its time."""
    end = time.monotonic() + 5
    while is_running(words):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def is_running(words: str) -> bool:
    for folder in Path("/proc").iterdir():
        try:
            if words in (folder / "cmdline").read_bytes().decode("utf-8", "replace").replace("\0", " "):
                return folder.name != str(os.getpid())
        except OSError:
            continue
    return False


def test_the_first_lines_end_it_and_nothing_is_left_running() -> None:
    told, took_s = run("echo welcome; echo job 7; echo job 8; sleep 7654.25; echo job 9")
    assert told == WatchResult(frozenset({"7", "8"}))
    assert took_s < 10
    assert goes("sleep 7654.25")


def test_silence_ends_it_too_and_names_nobody() -> None:
    told, took_s = run("sleep 7654.5", most_s=1)
    assert told == WatchResult(frozenset())
    assert 1 <= took_s < 10
    assert goes("sleep 7654.5")


@pytest.mark.parametrize(
    ("command", "said"),
    [("echo no such option >&2; exit 3", "exit code 3: no such option"), ("true", "exit code 0: nothing")],
)
def test_a_command_that_ends_by_itself_says_what_it_said(command: str, said: str) -> None:
    told, took_s = run(command)
    assert told == WatchResult(frozenset(), said)
    assert took_s < 10


def test_a_command_that_is_no_shell_text_harms_nothing() -> None:
    told, _ = run("case (")
    assert told.ended is not None
    assert told.ended.startswith("exit code 2: ")


@pytest.mark.parametrize(
    ("job_id", "is_it"), [("7", True), ("7:3", True), ("7[3]", True), ("71", False), ("17", False), ("8", False)]
)
def test_it_is_about_a_job_and_about_the_elements_of_an_array(job_id: str, *, is_it: bool) -> None:
    assert WatchResult(frozenset({"7"})).is_about(job_id) is is_it
