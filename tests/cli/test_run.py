"""``adapter run`` on this machine: output, exit codes, files, detaching, and what is said when something goes wrong."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Shell

HOSTILE = "a b'c\"d$(touch hacked)`touch hacked`;touch hacked|\\*~é"
MANY = """\
tasks:
  - {name: good, command: echo good}
  - {name: "b'ad $(touch hacked)", command: "echo no luck >&2; exit 4"}
"""


@pytest.mark.parametrize(
    ("script", "code"),
    [
        pytest.param("exit 0", 0, id="success"),
        pytest.param("exit 3", 3, id="own exit code"),
        pytest.param("kill -9 $$", 137, id="signal"),
    ],
)
def test_the_exit_code_of_a_single_task_becomes_ours(adapter: Shell, script: str, code: int) -> None:
    assert adapter("run", "--", "sh", "-c", script).returncode == code


def test_output_comes_out_where_the_task_wrote_it(adapter: Shell) -> None:
    done = adapter("run", "--quiet", "--", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_without_on_the_choice_and_its_reason_are_said(adapter: Shell) -> None:
    done = adapter("run", "--", "true")
    assert "adapter: on local (no --on, and no default_backend in your configuration)" in done.stderr


def test_hostile_words_reach_the_task_as_they_are(adapter: Shell) -> None:
    done = adapter(
        "run",
        "--name",
        HOSTILE,
        "--env",
        f"KEY={HOSTILE}",
        "--",
        "sh",
        "-c",
        'printf "%s|%s" "$1" "$KEY"',
        "x",
        HOSTILE,
    )
    assert done.stdout == f"{HOSTILE}|{HOSTILE}"
    assert not list(adapter.folder.parent.rglob("hacked"))


def test_files_go_there_and_come_back(adapter: Shell) -> None:
    (adapter.folder / "in put.txt").write_text("b\na\n")
    words = ("--input", "in put.txt:data/in.txt", "--output", "out*.txt:results")
    done = adapter("run", *words, "--", "sh", "-c", "sort data/in.txt >out1.txt")
    assert done.returncode == 0
    assert (adapter.folder / "results" / "out1.txt").read_text() == "a\nb\n"


def test_a_missing_output_is_a_failure(adapter: Shell) -> None:
    done = adapter("run", "--output", "nothing.txt", "--", "true")
    assert done.returncode == 10
    assert "declared outputs are missing: nothing.txt" in done.stderr


def test_workdir_here_runs_here(adapter: Shell) -> None:
    assert adapter("run", "-q", "--workdir", ".", "--", "pwd").stdout.strip() == str(adapter.folder)


def test_a_file_that_was_not_sent_is_hinted_at(adapter: Shell) -> None:
    (adapter.folder / "train.py").write_text("print(1)")
    done = adapter("run", "--", "cat", "train.py")
    assert done.returncode == 1
    assert "train.py is here but was not sent: add --input train.py, or --workdir ." in done.stderr


def test_several_tasks_fail_together_with_10_and_each_failure_is_explained(adapter: Shell) -> None:
    (adapter.folder / "tasks.yaml").write_text(MANY)
    done = adapter("run", "tasks.yaml")
    assert done.returncode == 10
    assert done.stdout == ""
    assert "1 succeeded, 1 failed" in done.stderr
    assert "(b'ad $(touch hacked)) failed: exit code 4" in done.stderr
    assert "    | no luck" in done.stderr
    assert ".2 --stderr" in done.stderr


def test_json_has_the_documented_shape_and_no_values_of_the_environment(adapter: Shell) -> None:
    done = adapter("run", "--json", "--env", "TOKEN=hunter2", "--ram", "64 MiB", "--", "sh", "-c", "echo noise; exit 3")
    assert done.returncode == 3
    assert "hunter2" not in done.stdout
    run = json.loads(done.stdout)
    assert set(run) == {"run", "name", "backend", "created_at", "open", "done", "counts", "jobs"}
    assert (run["name"], run["backend"], run["done"], run["counts"]) == ("sh", "local", True, {"failed": 1})
    job = run["jobs"][0]
    assert (job["state"], job["reason"], job["exit_code"], job["env"]) == ("failed", "exit_code", 3, ["TOKEN"])
    assert job["resources"]["ram_bytes"] == 64 * 1024**2
    assert job["step_codes"] == [3]
    assert "hunter2" not in adapter("status", run["run"], "--json").stdout
    assert "hunter2" not in adapter("status", f"{run['run']}.1").stdout


def test_the_exit_code_of_each_step_is_told(adapter: Shell) -> None:
    steps = "{steps: [exit 0, {shell: exit 4, ignore_error: true}, exit 5, exit 6], name: four}"
    (adapter.folder / "four.yaml").write_text(steps)
    job = json.loads(adapter("run", "--json", "four.yaml").stdout)["jobs"][0]
    assert (job["exit_code"], job["step_codes"]) == (5, [0, 4, 5])
    listed = json.loads(adapter("status", job["run"], "--json", "--no-poll").stdout)
    assert listed["jobs"][0]["step_codes"] == [0, 4, 5]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        pytest.param(("run",), 2, "give a task file, or a command after --", id="nothing"),
        pytest.param(("run", "--"), 2, "there is no command after --", id="no command"),
        pytest.param(("run", "echo", "hi"), 2, "adapter run -- echo hi", id="dashes forgotten"),
        pytest.param(("run", "--ram", "5", "--", "true"), 2, "write a number with its unit", id="no unit"),
        pytest.param(("run", "--on", "locl", "--", "true"), 2, "did you mean 'local'?", id="no such backend"),
        pytest.param(("run", "--set", "wach_walltime=1", "--", "x"), 2, "did you mean 'watch_walltime'?", id="value"),
        pytest.param(("run", "--input", "nope", "--", "true"), 2, "no file or folder 'nope' here", id="no input"),
        pytest.param(("run", "--input", "/dev/zero", "--", "true"), 2, "it is a device", id="a device as input"),
        pytest.param(("run", "--gpu", "1", "--", "true"), 3, "has no way to ask for gpu", id="unsupported"),
        pytest.param(("rnu", "--", "true"), 2, "did you mean 'run'?", id="no such command"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_in_a_line(adapter: Shell, words: tuple[str, ...], code: int, said: str) -> None:
    done = adapter(*words)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_task_options_are_refused_with_a_task_file(adapter: Shell) -> None:
    (adapter.folder / "tasks.yaml").write_text(MANY)
    done = adapter("run", "tasks.yaml", "--cpu", "2")
    assert done.returncode == 2
    assert "--cpu" in done.stderr


def test_a_detached_run_is_seen_and_waited_for_by_other_processes(adapter: Shell) -> None:
    done = adapter("submit", "--", "sh", "-c", f"{adapter.held}; echo later; exit 3")
    assert done.returncode == 0
    run = done.stdout.strip()
    seen = json.loads(adapter("status", run, "--json").stdout)
    assert (seen["done"], list(seen["counts"].values())) == (False, [1])
    adapter.release()
    waited = adapter("wait", run)
    assert (waited.returncode, waited.stdout) == (3, "later\n")


def test_a_detached_run_larger_than_the_machine_is_driven_to_its_end(
    adapter: Shell, until: Callable[[Callable[[], bool]], None]
) -> None:
    backend = "format: 1\nname: narrow\nextends: local\nlimits: {max_tasks: 1}\n"
    (adapter.folder / "narrow.yaml").write_text(backend)
    tasks = f"tasks: [{{command: '{adapter.held}'}}, {{command: 'true'}}, {{command: 'true'}}]\n"
    (adapter.folder / "tasks.yaml").write_text(tasks)
    done = adapter("submit", "tasks.yaml", "--on", "./narrow.yaml")
    run = done.stdout.strip()
    assert "1 of 3 tasks are handed over; a background process does the rest" in done.stderr
    adapter.release()
    until(lambda: json.loads(adapter("status", run, "--no-poll", "--json").stdout)["counts"] == {"succeeded": 3})
    log = adapter.folder.parent / "state" / "background" / f"{run}.log"
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_without_a_terminal_detaches_and_jobs_go_on(adapter: Shell, which: signal.Signals) -> None:
    process = adapter.begin("run", "--", "sh", "-c", f"echo begun; {adapter.held}; echo ended; exit 3")
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(which)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    adapter.release()
    run = said.rsplit(maxsplit=1)[-1]
    assert f"detached; run {run} goes on: adapter wait {run}" in said
    assert adapter("wait", run).returncode == 3


CTRL_C = b"\x03"


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        pytest.param(b"k\n", 11, "killed: killed by user", id="kill"),
        pytest.param(b"d\n", 130, "goes on: adapter wait", id="detach"),
        pytest.param(b"c\n", 3, "failed: exit code 3", id="continue"),
        pytest.param(CTRL_C, 130, "goes on: adapter wait", id="Ctrl-C again"),
    ],
)
def test_ctrl_c_on_a_terminal_asks(adapter: Shell, answer: bytes, code: int, said: str) -> None:
    words = ["run", "--", "sh", "-c", "echo begun; sleep 8; exit 3"]
    shown, exit_code = adapter.on_terminal(words, [(r"begun\r\n", CTRL_C), (r"ontinue\? ", answer)])
    assert exit_code == code, shown
    assert said in shown


def test_a_terminal_that_goes_away_leaves_the_run_to_others(
    adapter: Shell, until: Callable[[Callable[[], bool]], None]
) -> None:
    (adapter.folder / "narrow.yaml").write_text("format: 1\nname: narrow\nextends: local\nlimits: {max_tasks: 1}\n")
    (adapter.folder / "tasks.yaml").write_text(f"tasks: [{{command: '{adapter.held}'}}, {{command: 'true'}}]\n")
    process = adapter.begin("run", "tasks.yaml", "--on", "./narrow.yaml")
    assert process.stderr is not None
    run = process.stderr.readline().split()[2].rstrip(":")
    process.send_signal(signal.SIGHUP)
    process.stderr.close()
    process.wait(timeout=120)
    adapter.release()
    until(lambda: json.loads(adapter("status", run, "--no-poll", "--json").stdout)["counts"] == {"succeeded": 2})


def test_many_tasks_on_a_terminal_are_shown_live(adapter: Shell) -> None:
    (adapter.folder / "tasks.yaml").write_text(MANY + "  - {name: slow, command: sleep 1}\n")
    shown, exit_code = adapter.on_terminal(["run", "tasks.yaml"], [])
    assert exit_code == 10
    assert "2 succeeded, 1 failed" in shown
    assert "1 running" in shown
