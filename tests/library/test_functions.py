"""The functions of the library for commands, called in each shell that targets have."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from adapter.config.library import library
from tests.core.wrapped import SHELLS, until

pytestmark = pytest.mark.parametrize("shell", SHELLS)


def call(shell: str, file: str, text: str, cwd: Path) -> tuple[int, str, str]:
    done = subprocess.run(
        [*shell.split(), "-s"], input=library()[file] + text + "\n", cwd=cwd, capture_output=True, text=True,
        check=False, timeout=30,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_a_process_is_a_job_until_it_has_ended(shell: str, tmp_path: Path) -> None:
    code, out, err = call(shell, "process", "start_job 'a log' sh -c 'echo said; sleep 60'", tmp_path)
    assert (code, err) == (0, "")
    job_id = out.strip()
    pid, start = job_id.split(".")
    assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19] == start
    assert until(lambda: (tmp_path / "a log").read_text() == "said\n")
    other = f"{pid}.{int(start) + 1}"  # the process of another job, which has that number now
    code, out, err = call(shell, "process", f"show_jobs {other} {job_id} 999999999.1", tmp_path)
    assert (code, out.split()[:-1], err) == (0, [job_id], "")
    assert call(shell, "process", f"end_jobs {other}; kill_groups {other}", tmp_path) == (0, "", "")
    assert call(shell, "process", f"show_jobs {job_id}", tmp_path)[1] != ""
    assert call(shell, "process", f"end_jobs {job_id}", tmp_path) == (0, "", "")
    assert until(lambda: call(shell, "process", f"show_jobs {job_id}", tmp_path)[1] == "")


def test_kill_groups_ends_what_ignores_the_signal_and_all_that_it_started(shell: str, tmp_path: Path) -> None:
    _, out, _ = call(
        shell, "process", """start_job log sh -c 'trap "" TERM; echo ready; sleep 61 & wait; wait'""", tmp_path
    )
    job_id = out.strip()
    assert until(lambda: (tmp_path / "log").read_text() == "ready\n")
    call(shell, "process", f"end_jobs {job_id}", tmp_path)
    assert call(shell, "process", f"show_jobs {job_id}", tmp_path)[1] != ""
    call(shell, "process", f"kill_groups {job_id}", tmp_path)
    assert until(lambda: call(shell, "process", f"show_jobs {job_id}", tmp_path)[1] == "")
    with pytest.raises(ProcessLookupError):
        until(lambda: os.killpg(int(job_id.split(".")[0]), 0))


def test_a_busy_machine_refuses_and_says_so(shell: str, tmp_path: Path) -> None:
    assert call(shell, "process", "refuse_when_busy 1000000 1", tmp_path) == (0, "", "")
    code, out, err = call(shell, "process", "refuse_when_busy 1000000 1000000000000000", tmp_path)
    assert (code, out) == (75, "")
    assert err.startswith("this machine is busy: it has ")


def test_the_workspace_is_made_and_tells_what_is_there(shell: str, tmp_path: Path) -> None:
    store = tmp_path / "a b" / ".files" / "store"
    store.mkdir(parents=True)
    (store / "abc").write_text("content")
    text = "enter_workspace 'a b'; pwd -P; tell_library abc def; tell_machine; use_programs one /bin/true\n"
    text += "tell_missing /bin/true /nowhere one nothing-like-this\ntell_programs one nothing-like-this"
    code, out, err = call(shell, "workspace", text, tmp_path)
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[:2] == [str(tmp_path.resolve() / "a b"), "library abc"]
    assert lines[2] == f"cpu {os.sysconf('SC_NPROCESSORS_ONLN')}"
    assert lines[4:] == [
        "missing /nowhere", "missing nothing-like-this", f"one {tmp_path.resolve()}/a b/.programs/one",
        "nothing-like-this ",
    ]  # fmt: skip


def test_a_workspace_that_cannot_be_made_is_73(shell: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, out, err = call(shell, "workspace", "enter_workspace file/below; echo never", tmp_path)
    assert (code, out) == (73, "")
    assert "file" in err


def test_a_probe_marks_each_line_whatever_a_job_wrote(shell: str, tmp_path: Path) -> None:
    (tmp_path / "j 1").mkdir()
    (tmp_path / "j 1" / "exit").write_bytes(b"exit_code 3\n@9\nby 8\n\xff")
    (tmp_path / "j 1" / "job_id").symlink_to("submit.1 7")
    code, out, _ = call(
        shell, "probe", "probe_id 4 'j 1'; probe_exit 4 'j 1' 20; probe_id 5 x; probe_exit 5 x 9", tmp_path
    )
    assert (code, out) == (0, "@4\nby submit.1 7\n@4\n=exit_code 3\n=@9\n=by 8\n=\n")


def test_folders_are_listed_and_removed_by_name_and_links_are_not_followed(shell: str, tmp_path: Path) -> None:
    place, run = tmp_path.resolve() / "w", "r1"
    (place / run / "one").mkdir(parents=True)
    (place / run / "two").write_text("")
    (tmp_path / "precious").mkdir()
    (place / run / "three").symlink_to(tmp_path / "precious")
    begin = f"begin_clean {place} {place}; "
    names = "one two three four"
    code, out, err = call(shell, "clean", f"{begin}clean_run list {run} {names}", tmp_path)
    rest = ["refused 0 two it is no folder", "refused 0 three it is a symbolic link", "gone 0 four"]
    assert (code, err, out.splitlines()[1:]) == (0, "", rest)
    assert out.splitlines()[0].split()[::2] == ["found", "one"]
    assert (place / run / "one").is_dir()
    code, out, err = call(shell, "clean", f"{begin}clean_run remove {run} {names}", tmp_path)
    assert (code, err, out.splitlines()[1:]) == (0, "", rest)
    assert not (place / run / "one").exists()
    assert (tmp_path / "precious").is_dir()


def test_a_watch_prints_what_is_told_at_first(shell: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [*shell.split(), "-s"], input=library()["watch"] + "watch 'echo job 7; sleep 7653.25' nonce 20 0.2\n",
        capture_output=True, text=True, check=False, timeout=30, start_new_session=True,
    )  # fmt: skip
    assert done.stdout == "job 7\n"
