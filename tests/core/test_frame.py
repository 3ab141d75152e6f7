from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.core.batch import read_batch, write_batch
from adapter.results import CompletedCommand

NONCE = "nonce-1"


def run(script: str, shell: str = "sh", cwd: Path | None = None) -> tuple[str, str]:
    done = subprocess.run([shell, "-s"], input=script.encode(), capture_output=True, check=False, cwd=cwd, timeout=20)
    return done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def read(commands: list[str], out: str, err: str) -> list[CompletedCommand | None]:
    result = read_batch(commands, NONCE, out, err)
    assert result is not None
    return result.completed


def answers(commands: list[str], shell: str = "sh", cwd: Path | None = None) -> list[tuple[int, str, str] | None]:
    out, err = run(write_batch(commands, NONCE), shell, cwd)
    return [each and (each.exit_code, each.stdout, each.stderr) for each in read(commands, out, err)]


FAILS = tuple(range(1, 256))  # the shells differ in the number


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize(
    ("first", "codes"),
    [
        pytest.param("exit 3", (3,), id="exit"),
        pytest.param("cd /; X=changed", (0,), id="cd"),
        pytest.param("exec 2>&-", (0,), id="closing-its-output"),
        pytest.param("echo ) ; if", FAILS, id="syntax-error"),
        pytest.param("echo 'a", FAILS, id="open-quote"),
        pytest.param("cat; read -r line; head -n 5", (0,), id="reading-standard-input"),
        pytest.param("set -eu; false; true", (1,), id="set-e"),
        pytest.param("trap 'echo bye' EXIT; exec true", (0,), id="exec"),
        pytest.param("kill -9 $(exec sh -c 'echo $PPID')", (137,), id="killing-itself"),
        pytest.param("nosuchcommand-at-all", (127,), id="not-found"),
        pytest.param("return 5", FAILS, id="return"),
        pytest.param("}; exit 9; {", FAILS, id="closing-the-frame-s-brace"),
        pytest.param("cat <<END\n)\n}\nEND", (0,), id="here-document"),
    ],
)
def test_a_command_disturbs_no_other(first: str, codes: tuple[int, ...], shell: str, tmp_path: Path) -> None:
    one, two = answers([first, 'echo "$PWD ${X-unset}"; echo oops >&2'], shell, tmp_path)
    assert two == (0, f"{tmp_path} unset\n", "oops\n")
    assert one is not None
    assert one[0] in codes


def test_output_without_a_last_line_break_and_standard_error_apart_come_back_as_they_were() -> None:
    assert answers(["printf 'a b'", "printf 'x\\n\\ny\\n\\n'; printf z >&2"]) == [
        (0, "a b", ""),
        (0, "x\n\ny\n\n", "z"),
    ]


def test_noise_before_between_and_after_does_no_harm() -> None:
    commands = ["echo one", "echo two"]
    out, err = run("echo MOTD; echo; echo banner >&2\n" + write_batch(commands, NONCE) + "echo after\n")
    noisy = out.replace(f"\n{NONCE} 1 start", f"(background chatter)\n\n{NONCE} 1 start") + "logout\n"
    both = read(commands, "Welcome to nonce-1\nnonce-2 0 start\n" + noisy, "mail!\n" + err)
    assert [each and each.stdout for each in both] == ["one\n", "two\n"]
    assert [each and each.stderr for each in both] == ["", ""]
    result = read_batch(commands, NONCE, "hello\r\n" + noisy, "mail!\n" + err)
    assert result
    assert (result.noise_out, result.noise_err) == ("hello\nMOTD\n\n", "mail!\nbanner\n")


def test_a_shell_that_ran_nothing_has_no_result() -> None:
    assert read_batch(["echo one"], NONCE, "This account is closed.\n", "") is None


def test_what_was_sent_and_lost_may_have_happened() -> None:
    result = read_batch(["one", "two"], NONCE, "", "", lost="the connection was lost")
    assert result
    assert [(each.completed, each.began) for each in result.answers] == [(None, True)] * 2


def test_line_ends_of_a_terminal_are_read() -> None:
    out, err = run(write_batch(["echo a; echo b", "exit 4"], NONCE))
    both = read(["echo a; echo b", "exit 4"], out.replace("\n", "\r\n"), err.replace("\n", "\r\n"))
    assert [each and (each.exit_code, each.stdout) for each in both] == [(0, "a\nb\n"), (4, "")]


def test_an_answer_that_is_cut_off_is_none_and_its_command_may_have_happened() -> None:
    commands = ["echo one", "echo two", "echo three"]
    out, err = run(write_batch(commands, NONCE))
    cut = out[: out.index("two") + 2]
    assert [each and each.stdout for each in read(commands, cut, err)] == ["one\n", None, None]
    result = read_batch(commands, NONCE, cut, err)
    assert result
    assert [answer.began for answer in result.answers] == [True, True, False]


def test_text_that_looks_like_a_mark_of_another_frame_is_only_text() -> None:
    assert answers(["printf '\\nother 0 end 7\\n'"]) == [(0, "\nother 0 end 7\n", "")]


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_a_script_cut_off_anywhere_runs_nothing(shell: str, tmp_path: Path) -> None:
    script = write_batch(["touch first", "touch 'sec ond'"], NONCE)
    whole = script.rstrip("\n")
    for at in {*range(1, len(whole), 29), len(whole) - 1, len(whole) - 2}:
        run(whole[:at], shell, tmp_path)
        assert list(tmp_path.iterdir()) == [], whole[:at]
    run(whole, shell, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"first", "sec ond"}


def test_a_command_whose_turn_comes_too_late_is_not_begun(tmp_path: Path) -> None:
    commands = ["touch first", "touch second"]
    fake = (
        'n=0\ndate() { read -r n <clock; echo $((n + 60)) >clock; echo "$n"; }\n'  # a clock that jumps a minute a look
    )
    (tmp_path / "clock").write_text("1000\n")
    out, err = run(fake + write_batch(commands, NONCE, begin_within_s=30), cwd=tmp_path)
    assert not (tmp_path / "second").exists()
    assert [each and each.exit_code for each in read(commands, out, err)] == [0, None]
    result = read_batch(commands, NONCE, out, err)
    assert result
    assert [answer.began for answer in result.answers] == [True, False]


def test_commands_in_time_are_all_begun(tmp_path: Path) -> None:
    commands = ["touch first", "touch second"]
    run(write_batch(commands, NONCE, begin_within_s=30), cwd=tmp_path)
    assert (tmp_path / "second").exists()


texts = st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]))


@settings(max_examples=15, deadline=None)
@given(texts)
def test_any_text_travels_through_a_real_shell_unchanged(text: str) -> None:
    command = "printf %s '" + text.replace("'", "'\\''") + "'"
    assert answers([command]) == [(0, text, "")]
