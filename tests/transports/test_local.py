from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from adapter.errors import OutcomeUnknown
from adapter.results import CompletedCommand
from adapter.transports.base import Transport
from adapter.transports.local import LocalTransport


def run(
    command: str, *, stdin: str = "", timeout_s: float = 20, transport: LocalTransport | None = None
) -> CompletedCommand:
    async def story() -> CompletedCommand:
        async with transport or LocalTransport() as opened:
            return await opened.run(command, stdin=stdin, timeout_s=timeout_s)

    return asyncio.run(story())


def until(holds: Callable[[], object], within_s: float = 5) -> bool:
    """Wait for other processes: there is no event that they would send."""
    end = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def pids_in(path: Path) -> list[int]:
    return [int(word) for word in path.read_text().split()]


def zombies() -> list[str]:
    """Children of this process that nobody has waited for."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(")")
        except OSError:
            continue
        state, parent = rest.split()[:2]
        if int(parent) == os.getpid() and state == "Z":
            found.append(name)
    return found


def test_it_is_a_transport() -> None:
    assert isinstance(LocalTransport(), Transport)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        pytest.param("true", 0, id="success"),
        pytest.param("exit 3", 3, id="exit-3"),
        pytest.param("exit 255", 255, id="exit-255"),
        pytest.param("kill -9 $$", -9, id="signal-9"),
        pytest.param("kill -TERM $$", -15, id="signal-15"),
        pytest.param("nosuchcommand", 127, id="not-found"),
        pytest.param("echo ) (", 2, id="syntax-error"),
    ],
)
def test_an_exit_code_is_an_answer_and_never_an_error(command: str, code: int) -> None:
    completed = run(command)
    assert (completed.exit_code, completed.command) == (code, command)


def test_standard_output_and_error_come_back_apart_and_as_they_were() -> None:
    completed = run("echo out; echo err >&2; printf ' no end '; printf 'a\\r\\nb' >&2")
    assert (completed.stdout, completed.stderr) == ("out\n no end ", "err\na\r\nb")


def test_bytes_that_are_not_utf_8_do_no_harm() -> None:
    assert run("printf 'a\\377b \\303\\251'; printf '\\200' >&2").stdout == "a\ufffdb é"


def test_standard_input_is_given_and_without_any_it_is_empty() -> None:
    assert run("cat", stdin="é\n$(id)\n").stdout == "é\n$(id)\n"
    assert run("cat; echo end").stdout == "end\n"


def test_large_input_and_output_travel_whole() -> None:
    text = "0123456789abcde\n" * 500_000
    completed = run("tee /dev/stderr", stdin=text)
    assert len(completed.stdout) == len(completed.stderr) == 8_000_000
    assert completed.stdout == text == completed.stderr


def test_input_that_nobody_reads_does_not_block() -> None:
    assert run("exit 4", stdin="x" * 5_000_000).exit_code == 4


def test_a_script_of_many_commands_on_standard_input_runs_to_its_end() -> None:
    assert run("sh -s", stdin="echo one\n" * 2000).stdout == "one\n" * 2000


def test_the_environment_is_ours_unless_another_is_given() -> None:
    assert run("echo ${HOME:-none}").stdout == f"{os.environ['HOME']}\n"
    assert run("echo $X", transport=LocalTransport(environment={"X": "a  b"})).stdout == "a b\n"


def test_many_commands_run_at_once() -> None:
    async def story() -> list[CompletedCommand]:
        async with LocalTransport() as transport:
            return await asyncio.gather(*(transport.run(f"echo {n}; exit {n}", timeout_s=20) for n in range(12)))

    assert [(each.exit_code, each.stdout) for each in asyncio.run(story())] == [(n, f"{n}\n") for n in range(12)]


STUBBORN = (
    "trap '' TERM INT HUP; echo $$ >>{pids}; "
    "(trap '' TERM; echo $(exec sh -c 'echo $PPID') >>{pids}; sleep 100; sleep 100) & "
)


def test_a_command_that_takes_too_long_is_ended_with_its_whole_group_and_its_outcome_is_unknown(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown, match=r"took longer than 0\.5 s and was ended") as caught:
        run(STUBBORN.format(pids=pids) + "echo partial; echo words >&2; sleep 100", timeout_s=0.5)
    assert time.monotonic() - began < 5
    partial = caught.value.partial
    assert partial
    assert (partial.stdout, partial.stderr, partial.exit_code) == ("partial\n", "words\n", -9)
    assert len(pids_in(pids)) == 2
    assert until(lambda: not any(map(is_alive, pids_in(pids))))
    assert until(lambda: not zombies()), zombies()


def test_a_cancelled_command_is_ended_with_its_whole_group(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    async def story() -> None:
        async with LocalTransport() as transport:
            task = asyncio.create_task(transport.run(STUBBORN.format(pids=pids) + "sleep 100", timeout_s=100))
            await asyncio.to_thread(until, lambda: pids.exists() and len(pids_in(pids)) == 2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(story())
    assert until(lambda: not any(map(is_alive, pids_in(pids))))
    assert until(lambda: not zombies()), zombies()


@pytest.mark.parametrize("turns", range(6))
def test_a_cancellation_that_comes_with_the_end_of_a_command_is_never_swallowed(turns: int) -> None:
    async def story() -> None:
        async with LocalTransport() as transport:
            task = asyncio.create_task(transport.run("sleep 0.1", timeout_s=20))
            await asyncio.sleep(0.05)
            time.sleep(0.4)
            for _ in range(turns):
                await asyncio.sleep(0)
            if task.cancel():
                with pytest.raises(asyncio.CancelledError):
                    await task

    asyncio.run(story())


def test_closing_the_transport_ends_what_still_runs(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    async def story() -> CompletedCommand:
        transport = LocalTransport()
        async with transport:
            task = asyncio.create_task(transport.run(STUBBORN.format(pids=pids) + "sleep 100", timeout_s=100))
            await asyncio.to_thread(until, lambda: pids.exists() and len(pids_in(pids)) == 2)
        return await task

    assert asyncio.run(story()).exit_code == -9
    assert until(lambda: not any(map(is_alive, pids_in(pids))))


def test_what_a_command_leaves_in_a_session_of_its_own_goes_on_after_us(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    began = time.monotonic()
    assert (
        run(f"setsid sh -c 'echo $$ >{pid}; exec sleep 100' </dev/null >/dev/null 2>&1 & echo started").stdout
        == "started\n"
    )
    assert time.monotonic() - began < 5
    assert until(lambda: pid.exists() and pid.read_text().strip())
    try:
        assert is_alive(pids_in(pid)[0])
    finally:
        os.kill(pids_in(pid)[0], 9)


def test_a_time_limit_holds_even_if_something_out_of_reach_keeps_the_output_open(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    began = time.monotonic()
    try:
        with pytest.raises(OutcomeUnknown):
            run(f"echo partial; setsid sh -c 'echo $$ >{pid}; exec sleep 100' & sleep 100", timeout_s=0.5)
        assert time.monotonic() - began < 10
    finally:
        assert until(pid.exists)
        os.kill(pids_in(pid)[0], 9)


def test_nothing_is_left_to_wait_for_after_many_commands() -> None:
    async def story() -> None:
        async with LocalTransport() as transport:
            for _ in range(5):
                await asyncio.gather(*(transport.run("true & exit 1", timeout_s=20) for _ in range(4)))

    asyncio.run(story())
    assert until(lambda: not zombies()), zombies()


ASK_FOR_THE_ENVIRONMENT = """
import asyncio, sys
from adapter.transports.local import LocalTransport

async def story():
    async with LocalTransport() as transport:
        print((await transport.run("env", timeout_s=20)).stdout)

asyncio.run(story())
"""
BY_SH = {"PWD", "OLDPWD", "SHLVL", "_"}


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"PATH": "/usr/bin:/bin", "HOME": "/", "X": "a b\nc"}, id="no locale"),
        pytest.param({"LC_CTYPE": ""}, id="an empty locale"),
        pytest.param({"LANG": "C"}, id="the C locale"),
        pytest.param({"LC_CTYPE": "C.UTF-8"}, id="what Python would set, set by the user"),
        pytest.param({"LC_ALL": "C"}, id="LC_ALL"),
        pytest.param({"LANG": "C.UTF-8", "LC_CTYPE": "C"}, id="LC_CTYPE"),
    ],
)
def test_a_command_has_the_environment_that_the_user_had(given: dict[str, str]) -> None:
    script = ASK_FOR_THE_ENVIRONMENT.replace('"env"', repr("/usr/bin/env -0"))
    printed = subprocess.run(
        [sys.executable, "-P", "-c", script], env=given, capture_output=True, check=True, timeout=60
    ).stdout
    seen = dict(item.split("=", 1) for item in os.fsdecode(printed).strip("\n").split("\0") if item.strip())
    assert {name: value for name, value in seen.items() if name not in BY_SH} == given


def test_what_a_program_set_for_itself_before_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SET_BY_A_PROGRAM", "1")
    monkeypatch.setenv("LC_CTYPE", "de_DE.UTF-8")
    assert run("echo $SET_BY_A_PROGRAM $LC_CTYPE").stdout == "1 de_DE.UTF-8\n"
