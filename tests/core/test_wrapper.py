"""The job's wrapper in templates/batch.yaml, run by real shells as a scheduler runs it: in a session of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapter.core.render import render_job
from adapter.core.state import Reason

from .samples import job_of, toy
from .wrapped import SHELLS, Place, session, until


@pytest.fixture
def place(tmp_path: Path) -> Callable[..., Place]:
    return lambda task, **over: Place(
        tmp_path / "it's a job", task if isinstance(task, dict) else {"command": task}, **over
    )


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("command", "code", "signal_number"),
    [
        pytest.param("exit 0", 0, None, id="success"),
        pytest.param("exit 3", 3, None, id="exit-3"),
        pytest.param("exit 255", 255, None, id="exit-255"),
        pytest.param("kill -9 $$", 137, 9, id="signal-9"),
        pytest.param("kill -SEGV $$", 139, 11, id="signal-11"),
        pytest.param(["/nonexistent/program"], 127, None, id="no-such-program"),
    ],
)
def test_the_wrapper_ends_with_the_task_s_exit_code_and_writes_it_down(
    place: Callable[..., Place], shell: str, command: object, code: int, signal_number: int | None
) -> None:
    here = place({"command": command})
    assert here.run(shell) == code
    report = here.report
    assert report
    assert (report.exit_code, report.signal, report.reason, report.job_id) == (code, signal_number, None, "7")
    assert report.started_at is not None
    assert report.ended_at is not None
    assert 0 <= report.ended_at - report.started_at < 20
    assert not (here.directory / "exit.part").exists()


def test_the_end_is_also_told_in_the_file_that_is_watched(place: Callable[..., Place], tmp_path: Path) -> None:
    quiet, telling = "exit 3", place("exit 3", values={"exit_log": True})
    script = telling.read("script")
    assert script.count("/ws/.ended") == 1
    telling.script.write_text(script.replace("/ws/.ended", f"{tmp_path}/.ended"), encoding="utf-8")
    assert telling.run(job_id="7.1") == 3
    assert (tmp_path / ".ended").read_text(encoding="utf-8") == "7.1\n"
    assert telling.report is not None
    assert telling.report.exit_code == 3
    assert ".ended" not in render_job(toy(), job_of({"command": quiet}, directory="/j"), "/ws").script


def test_the_exit_file_was_written_over_space_that_was_reserved_before_the_task_began(
    place: Callable[..., Place],
) -> None:
    here = place("wc -c <../exit.part")
    here.run()
    assert int(here.read("stdout")) == 513
    assert (here.directory / "exit").stat().st_size == 513


@pytest.mark.parametrize("shell", SHELLS)
def test_cpu_seconds_of_the_task_are_written_down(place: Callable[..., Place], shell: str) -> None:
    here = place("i=0; while [ $i -lt 30000 ]; do i=$((i + 1)); done")
    here.run(shell)
    report = here.report
    assert report
    assert report.usage.user_s is not None
    assert 0 < report.usage.user_s < 20
    assert report.usage.wall_s is not None


@pytest.mark.parametrize("shell", SHELLS)
def test_steps_stop_at_the_first_failure_unless_its_error_is_ignored(place: Callable[..., Place], shell: str) -> None:
    steps = ["echo one", {"shell": "echo two; exit 4", "ignore_error": True}, "echo three; exit 5", "echo four"]
    here = place({"steps": steps})
    assert here.run(shell) == 5
    assert here.read("stdout") == "one\ntwo\nthree\n"


def test_an_ignored_error_in_the_last_step_is_success(place: Callable[..., Place]) -> None:
    assert place({"steps": [{"shell": "exit 4", "ignore_error": True}]}).run() == 0


def test_a_step_has_its_own_env_workdir_and_streams(place: Callable[..., Place]) -> None:
    steps = [
        "mkdir 'sub dir'; echo input >'sub dir/in put'",
        {
            "shell": "pwd; cat; echo $X; echo err >&2",
            "env": {"X": "a  b"},
            "workdir": "sub dir",
            "stdin": "in put",
            "stdout": "out",
            "stderr": "err",
        },
        "pwd; echo ${X-unset}",
    ]
    here = place({"steps": steps})
    assert here.run() == 0
    work = here.directory / "work"
    assert here.read("work/sub dir/out") == f"{work / 'sub dir'}\ninput\na b\n"
    assert here.read("work/sub dir/err") == "err\n"
    assert here.read("stdout") == f"{work}\nunset\n"


HOSTILE = {
    "QUOTES": 'it\'s "quoted"',
    "COMMANDS": "$(touch oops) `touch oops`; touch oops & | > oops",
    "LINES": "first\n#SBATCH --uid=0\nEND-1\n",
    "UNICODE": "é 名 🎉",
    "BACKSLASHES": "\\n\\\\ \\",
    "EMPTY": "",
    "GLOB": "* ~ ? [a]",
}


@pytest.mark.parametrize("shell", SHELLS)
def test_an_environment_with_hostile_values_arrives_as_it_was_and_runs_nothing(
    place: Callable[..., Place], shell: str
) -> None:
    here = place(
        {
            "steps": [{"argv": ["env", "-0"]}, {"argv": ["printf", "%s\\0", *HOSTILE.values()], "stdout": "words"}],
            "env": HOSTILE,
        }
    )
    assert here.run(shell) == 0
    env = dict(entry.split("=", 1) for entry in here.read("stdout").split("\0") if "=" in entry)
    assert {key: env[key] for key in HOSTILE} == HOSTILE
    assert here.read("work/words").split("\0")[:-1] == list(HOSTILE.values())
    assert sorted(path.name for path in (here.directory / "work").iterdir()) == ["words"]


def test_a_workdir_of_the_target_is_where_the_steps_run(place: Callable[..., Place], tmp_path: Path) -> None:
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    here = place({"command": "pwd", "workdir": str(elsewhere)})
    assert here.run() == 0
    assert here.read("stdout") == f"{elsewhere}\n"


def test_a_workdir_that_is_not_there_fails_the_task_with_the_shell_s_words(place: Callable[..., Place]) -> None:
    here = place({"command": "touch never", "workdir": "/nonexistent/folder"})
    assert here.run() != 0
    assert "/nonexistent/folder" in here.read("stderr")
    assert here.report
    assert here.report.exit_code != 0


def test_standard_output_and_error_are_apart_and_standard_input_is_empty(place: Callable[..., Place]) -> None:
    here = place("echo out; echo err >&2; cat; echo end")
    assert here.run() == 0
    assert (here.read("stdout"), here.read("stderr")) == ("out\nend\n", "err\n")


def test_streams_may_be_files_of_the_work_folder(place: Callable[..., Place]) -> None:
    here = place({"command": "cat; echo err >&2", "stdin": "in put", "stdout": "my out", "stderr": "my err"})
    (here.directory / "work" / "in put").write_text("hello")
    assert here.run() == 0
    assert (here.read("work/my out"), here.read("work/my err")) == ("hello", "err\n")


def test_the_prologue_runs_before_the_steps_in_their_shell(place: Callable[..., Place]) -> None:
    here = place("echo $LOADED", prologue=["LOADED='a module'", "export LOADED"])
    assert here.run() == 0
    assert here.read("stdout") == "a module\n"


FAILING = [
    pytest.param(["module load python"], 127, "line 1: module load python: exit code 127", id="unknown"),
    pytest.param([":", "false", "touch never"], 1, "line 2: false: exit code 1", id="no-words"),
    pytest.param(["exit 0"], 1, "line 1: exit 0: exit code 1", id="exit-0"),
    pytest.param(["return 0"], 1, "line 1: return 0: exit code 1", id="return"),
    pytest.param(["set -e", "echo 'so not' >&2; false"], 1, "line 2: echo 'so not'", id="set-e"),
    pytest.param([". /nonexistent/env.sh"], None, "line 1: . /nonexistent/env.sh: exit code ", id="file"),
    pytest.param(["A=${UNSET:?}"], None, "line 1: A=${UNSET:?}: exit code ", id="unset"),
    pytest.param(["if true; then\n  false\nfi"], 1, "line 1: if true; then: exit code 1", id="block"),
    pytest.param(["true\n\nmodule load x\necho after\n"], 127, "line 1: module load x: exit code 127", id="lines"),
    pytest.param(["A='a\nb'\ncat >/dev/null <<END\na $A\nEND\n(exit 7)\n:"], 7, "line 1: (exit 7): ", id="here"),
    pytest.param(["f() {\n  return 5\n}\nf \\\n  x\n:"], 5, "line 1: f \\: exit code 5", id="function"),
    pytest.param(["if true; then"], None, "line 1: if true; then: exit code ", id="unfinished"),
    pytest.param([":", "echo 'abc"], None, "line 2: echo 'abc: exit code ", id="open-quote"),
    pytest.param(["}"], None, "line 1: }: exit code ", id="closing-brace"),
    pytest.param([": 'a\\nb\\c'; false"], 1, "line 1: : 'a\\nb\\c'; false: exit code 1", id="escapes"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "code", "message"), FAILING)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_line_of_the_prologue_that_fails_fails_the_job_by_name(
    place: Callable[..., Place], shell: str, lines: list[str], code: int | None, message: str
) -> None:
    here = place("touch never", prologue=lines)
    ended = here.run(shell)
    assert ended == code or (code is None and ended != 0)
    report = here.report
    assert report
    assert (report.exit_code, report.reason) == (ended, Reason.LAUNCH_FAILURE)
    assert report.message.replace(" of the prologue, ", ": ").startswith(message)
    assert not (here.directory / "work" / "never").exists()
    words = here.read("stderr").strip().splitlines()
    assert not words or report.message.endswith(f": exit code {ended}: {words[-1]}")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_line_of_the_prologue_may_fail_where_it_says_so_and_its_words_are_kept(
    place: Callable[..., Place], shell: str
) -> None:
    lines = ["false || :", "echo loaded >&2", "set_it() {\n  SET='a b'\n}", "set_it # in this shell", "set -e", "cd /"]
    lines += ["# a comment", "", "# don't\n\n:\n# so", "set -- x"]
    here = place('echo "$SET" "$PWD" "$-"', prologue=["SET=", "export SET", *lines])
    assert here.run(shell) == 0
    assert here.read("stdout").startswith("a b / ")
    assert here.read("stderr") == "loaded\n"
    assert not (here.directory / "prologue").exists()


def test_a_kill_during_the_prologue_is_no_failure_of_its_line(place: Callable[..., Place]) -> None:
    here = place("touch never", prologue=["sh -c 'touch ready; exec sleep 60'"])
    process = here.start()
    assert until((here.directory / "work" / "ready").exists)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert here.report
    assert (here.report.exit_code, here.report.reason) == (143, None)


def test_a_requeued_job_forgets_the_prologue_of_its_first_run(place: Callable[..., Place]) -> None:
    here = place("exit 3", prologue=["[ -e ran ] || { touch ran; exit 4; }"])
    assert [here.run(), here.run()] == [4, 3]
    assert here.report
    assert (here.report.reason, here.report.message) == (None, "")


KEEPS = {"end_processes": False}  # so that only the signal itself, or the watcher itself, can end what is there


@pytest.mark.parametrize("values", [{}, KEEPS], ids=["and-ends-the-rest", "and-keeps-the-rest"])
@pytest.mark.parametrize("shell", SHELLS)
def test_a_term_reaches_the_whole_process_group_and_143_is_written(
    place: Callable[..., Place], shell: str, values: dict[str, bool]
) -> None:
    here = place(
        "sh -c 'trap \"echo grandchild >>told; exit\" TERM; touch ready; while :; do sleep 0.05; done'; echo never",
        values=values,
    )
    process = here.start(shell)
    assert until((here.directory / "work" / "ready").exists)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 143
    assert here.report
    assert (here.report.exit_code, here.report.signal) == (143, 15)
    assert until(lambda: not session(process.pid)), session(process.pid)
    assert here.read("work/told") == "grandchild\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_task_may_answer_a_signal_in_its_own_way_and_its_exit_code_counts(
    place: Callable[..., Place], shell: str
) -> None:
    here = place(
        {
            "command": {
                "argv": ["sh", "-c", "trap 'echo saving; exit 9' USR1; touch ready; while :; do sleep 0.05; done"]
            }
        }
    )
    process = here.start(shell)
    assert until((here.directory / "work" / "ready").exists)
    os.killpg(process.pid, signal.SIGUSR1)
    process.communicate(timeout=20)
    assert here.report
    assert here.report.exit_code in {9, 138}  # the steps' own shell has no trap: it may die of the signal first
    assert until(lambda: not session(process.pid))


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize(
    ("name", "code", "ran"), [("TERM", 143, False), ("INT", 143, False), ("HUP", 143, False), ("USR1", 0, True)]
)
def test_a_signal_before_the_first_step_leaves_no_step_that_runs_alone(
    place: Callable[..., Place],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shell: str,
    name: str,
    code: int,
    ran: bool,
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "date").write_text(f'#!/bin/sh\nkill -s {name} "$PPID"\necho 1\n')
    (tmp_path / "bin" / "date").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    here = place("touch ran")
    assert here.run(shell) == code
    assert here.report
    assert here.report.exit_code == code
    assert (here.directory / "work" / "ran").exists() is ran


def test_without_a_group_of_its_own_only_the_task_gets_the_signal(place: Callable[..., Place]) -> None:
    here = place({"command": {"argv": ["sleep", "60"]}})
    parent = subprocess.Popen(
        ["sh", "-c", 'sh "$0" & echo $!; trap "echo hit" TERM; wait; echo parent goes on', str(here.script)],
        env={**os.environ, "TOY_ID": "7"},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert parent.stdout
    wrapper = int(parent.stdout.readline())
    assert until(lambda: any("sleep 60" in line for line in session(parent.pid)))
    os.kill(wrapper, signal.SIGTERM)
    assert until(lambda: here.report is not None)
    out, _ = parent.communicate(timeout=20)
    assert out == b"parent goes on\n"
    assert session(parent.pid) == []


STUBBORN = "trap '' TERM; touch ready; n=0; while [ $n -lt 15 ]; do n=$((n+1)); sleep 0.1; done; touch done"
SAVING = "trap 'sleep 1; touch done; exit 9' TERM; touch ready; while :; do sleep 0.05; done"
WAYS = [
    pytest.param({}, {}, id="plain"),
    pytest.param({"workdir": "."}, {}, id="in-a-folder-of-its-own"),
    pytest.param({"image": "box:1"}, "launch", id="launched"),
]


@pytest.mark.parametrize("command", [pytest.param(STUBBORN, id="ignores-it"), pytest.param(SAVING, id="saves-first")])
@pytest.mark.parametrize(("step", "over"), WAYS)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_job_that_is_told_to_end_ends_when_its_step_has(
    place: Callable[..., Place], shell: str, step: dict[str, str], over: Any, command: str
) -> None:
    here = place({"steps": [{"shell": command, **step}, "touch never"]}, **(LAUNCH if over else {}))
    process = here.start(shell)
    work = here.directory / "work"
    assert until((work / "ready").exists)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert (work / "done").exists()
    assert not (work / "never").exists()
    assert (process.returncode, session(process.pid)) == (143, [])
    assert here.report
    assert (here.report.exit_code, here.report.reason) == (143, None)


@pytest.mark.parametrize(("step", "over"), WAYS)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_signal_that_a_step_understands_fails_nothing(
    place: Callable[..., Place], shell: str, step: dict[str, str], over: Any
) -> None:
    command = "trap 'touch heard' USR1; touch ready; while [ ! -f heard ]; do sleep 0.05; done; exit 0"
    here = place({"steps": [{"shell": command, **step}, "touch next"]}, **(LAUNCH if over else {}))
    process = here.start(shell)
    assert until((here.directory / "work" / "ready").exists)
    process.send_signal(signal.SIGUSR1)
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert (here.directory / "work" / "next").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_the_exit_file_comes_after_the_last_process_even_if_that_ignores_the_signal(
    place: Callable[..., Place], shell: str
) -> None:
    here = place("(trap '' TERM; touch ready; while :; do sleep 0.05; done) & while [ ! -f ready ]; do :; done; exit 3")
    process = here.start(shell)
    assert until(lambda: here.report is not None, within_s=20)
    assert not any("ready" in line for line in session(process.pid))
    process.communicate(timeout=20)
    assert here.report
    assert (process.returncode, here.report.exit_code) == (3, 3)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_reason_of_a_walltime_is_told_once_the_step_has_ended(tmp_path: Path, shell: str) -> None:
    task = {"steps": [{"shell": SAVING, "image": "box:1"}], "resources": {"walltime": 1}}
    here = Place(tmp_path / "job", task, values={"watch_walltime": True}, supports=["walltime"], **LAUNCH)
    process = here.start(shell)
    assert until(lambda: here.report is not None)
    assert (here.directory / "work" / "done").exists()
    process.communicate(timeout=20)
    assert here.report
    assert (here.report.exit_code, here.report.reason) == (143, Reason.TIME_LIMIT)
    assert until(lambda: not session(process.pid)), session(process.pid)


def test_what_a_task_left_running_is_ended_with_it(place: Callable[..., Place]) -> None:
    here = place("sleep 300 & sleep 301 </dev/null >/dev/null 2>&1 & exit 3")
    assert here.run() == 3
    assert here.report
    assert here.report.exit_code == 3


def test_what_a_task_left_running_may_go_on_where_the_backend_says_so(place: Callable[..., Place]) -> None:
    here = place("sleep 300 >/dev/null 2>&1 &", values={"end_processes": False})
    process = here.start()
    process.communicate(timeout=20)
    try:
        alone = ["sleep 300"]  # once the shell that began it has become it
        assert until(lambda: [line.strip() for line in session(process.pid)] == alone), session(process.pid)
    finally:
        os.killpg(process.pid, signal.SIGKILL)


def test_the_walltime_watcher_ends_the_whole_group_even_what_ignores_the_signal(tmp_path: Path) -> None:
    task = {
        "command": "sh -c 'trap \"\" TERM; echo stubborn; while :; do sleep 0.1; done' & sleep 300",
        "resources": {"walltime": 1},
    }
    over = {"values": {"watch_walltime": True}, "supports": ["walltime"]}
    places = [Place(tmp_path / shell, task, **over) for shell in SHELLS]
    processes = [here.start(shell) for here, shell in zip(places, SHELLS, strict=True)]
    for here, process in zip(places, processes, strict=True):
        assert until(lambda here=here: here.report is not None)
        assert here.report
        assert (here.report.exit_code, here.report.reason) == (143, Reason.TIME_LIMIT)
        assert until(lambda process=process: not session(process.pid), within_s=12), session(process.pid)
        process.communicate(timeout=20)
        assert process.returncode in {143, -9}
        assert here.read("stdout") == "stubborn\n"
        assert here.report.reason is Reason.TIME_LIMIT


@pytest.mark.parametrize("values", [{}, KEEPS], ids=["ends-the-rest", "keeps-the-rest"])
@pytest.mark.parametrize("shell", SHELLS)
def test_a_task_within_its_walltime_leaves_no_watcher_behind(
    place: Callable[..., Place], shell: str, values: dict[str, bool]
) -> None:
    task = {"command": "exit 3", "resources": {"walltime": 300}}
    here = place(task, values={"watch_walltime": True, **values}, supports=["walltime"])
    assert here.run(shell) == 3  # run() waits until the session is empty
    assert here.report
    assert (here.report.exit_code, here.report.reason) == (3, None)


def test_memory_is_bounded_where_the_backend_says_so(place: Callable[..., Place]) -> None:
    task = {"command": "ulimit -v", "resources": {"ram_limit": "1 GiB"}}
    here = place(task, values={"limit_ram": True}, supports=["ram_limit"])
    assert here.run() == 0
    assert here.read("stdout") == "1048576\n"


def test_memory_is_bounded_hard_only_where_no_launcher_would_be_bounded_with_its_step(
    place: Callable[..., Place],
) -> None:
    task = {"steps": ["ulimit -S -v; ulimit -H -v"], "resources": {"ram_limit": "1 GiB"}}
    bounds = {"values": {"limit_ram": True}, "supports": ["ram_limit"]}
    here = place(task, **bounds)
    assert (here.run(), here.read("stdout")) == (0, "1048576\n1048576\n")
    mixed = Place(
        here.directory.with_name("mixed"),
        {**task, "steps": [*task["steps"], {"shell": "ulimit -H -v", "image": "b:1"}]},
        **bounds,
        **LAUNCH,
    )
    assert mixed.run() == 0
    assert mixed.read("stdout") == "1048576\nunlimited\nunlimited\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_second_job_in_the_same_directory_does_nothing_and_says_so(place: Callable[..., Place], shell: str) -> None:
    here = place("echo once >>count")
    assert here.run(shell, job_id="7") == 0
    second = here.start(shell, job_id="8")
    _, err = second.communicate(timeout=20)
    assert (second.returncode, err.decode()) == (75, "submitted twice: submit.1 7 runs this, submit.1 8 does nothing\n")
    assert here.read("work/count") == "once\n"
    assert here.report
    assert here.report.job_id == "7"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("inside", ["$TOY_ID", None], ids=["the id of an outer job", "no id at all"])
def test_two_submissions_that_take_the_same_id_for_theirs_run_the_task_once(
    place: Callable[..., Place], shell: str, inside: str | None
) -> None:
    here = place("echo once >>count", submit={"job_id_inside": inside})
    assert here.run(shell, job_id="900") == 0
    again = here.job.but(submit_try=2)
    here.script.write_text(render_job(toy(submit={"job_id_inside": inside}), again, "/ws").script, encoding="utf-8")
    second = here.start(shell, job_id="900")
    _, err = second.communicate(timeout=20)
    assert second.returncode == 75
    assert err.decode().startswith("submitted twice: submit.1 ")
    assert here.read("work/count") == "once\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_requeued_job_keeps_its_id_and_runs_again(place: Callable[..., Place], shell: str) -> None:
    here = place("echo again >>count; [ -e ../exit ] && echo stale >>count; exit $(wc -l <count)")
    assert here.run(shell) == 1
    assert here.run(shell) == 2
    assert here.read("work/count") == "again\nagain\n"
    assert here.report
    assert here.report.exit_code == 2


def test_a_directory_that_is_gone_stops_the_job_before_its_task(place: Callable[..., Place], tmp_path: Path) -> None:
    here = place("touch /tmp/never")
    moved = tmp_path / "script"
    here.script.rename(moved)
    shutil.rmtree(here.directory)
    here.script = moved
    assert here.run() == 73


# ---- steps that are launched elsewhere -----------------------------------------------------------------------------

LAUNCH = {
    "images": {"docker": "{{ name }}"},
    "launch": {
        "setup": "elsewhere() {\n    echo \"$1\" >>\"$job/launched\"\n    shift\n    \"$@\"\n}",
        "command": "elsewhere {{ image }} {{ argv | words }}",
        "stop": "echo stopped >>launched",
    },
}  # fmt: skip
OWN_REASON = "printf 'image\\nbox:1: it is nowhere\\n' >../reason; exit 125"


@pytest.mark.parametrize("shell", SHELLS)
def test_steps_with_an_image_are_launched_and_what_they_left_is_stopped(
    place: Callable[..., Place], shell: str
) -> None:
    here = place({"steps": ["true", {"shell": "exit 3", "image": "other:2"}], "image": "box:1"}, **LAUNCH)
    assert here.run(shell) == 3
    assert here.read("launched") == "box:1\nother:2\nstopped\n"
    assert here.report
    assert (here.report.exit_code, here.report.reason, here.report.message) == (3, None, "")


def test_a_task_without_an_image_runs_as_it_is_where_images_are_launched(place: Callable[..., Place]) -> None:
    here = place("exit 3", **LAUNCH)
    assert here.run() == 3
    assert not (here.directory / "launched").exists()
    assert "elsewhere" not in here.read("script")


@pytest.mark.parametrize("shell", SHELLS)
def test_the_reason_that_a_launch_leaves_is_written_down_with_its_words(
    place: Callable[..., Place], shell: str
) -> None:
    here = place({"command": OWN_REASON, "image": "box:1"}, **LAUNCH)
    assert here.run(shell) == 125
    assert here.report
    assert (here.report.exit_code, here.report.reason) == (125, Reason.IMAGE)
    assert here.report.message == "box:1: it is nowhere"


def test_a_reason_counts_only_for_a_job_that_failed(place: Callable[..., Place]) -> None:
    here = place({"steps": [{"shell": OWN_REASON, "ignore_error": True}, "exit 0"], "image": "box:1"}, **LAUNCH)
    assert here.run() == 0
    assert here.read("reason").startswith("image\n")
    assert here.report
    assert (here.report.exit_code, here.report.reason, here.report.message) == (0, None, "")


def test_the_reason_of_the_run_before_a_requeue_is_forgotten(place: Callable[..., Place]) -> None:
    here = place({"command": f"[ -e ran ] && exit 3; touch ran; {OWN_REASON}", "image": "box:1"}, **LAUNCH)
    assert [here.run(), here.run()] == [125, 3]
    assert here.report
    assert (here.report.exit_code, here.report.reason) == (3, None)


def test_the_watch_stops_what_was_launched_before_it_ends_the_rest(tmp_path: Path) -> None:
    task = {"command": "trap '' TERM; sleep 300; sleep 300", "image": "box:1", "resources": {"walltime": 1}}
    here = Place(tmp_path / "job", task, values={"watch_walltime": True}, supports=["walltime"], **LAUNCH)
    process = here.start()
    process.communicate(timeout=30)
    assert until(lambda: not session(process.pid)), session(process.pid)
    assert here.read("launched") == "box:1\nstopped\nstopped\n"  # by the watch, and once more at the end
    assert here.report
    assert (here.report.exit_code, here.report.reason) == (143, Reason.TIME_LIMIT)


def test_cpu_seconds_are_left_out_where_the_steps_are_not_below_the_wrapper(place: Callable[..., Place]) -> None:
    here = place("i=0; while [ $i -lt 30000 ]; do i=$((i + 1)); done", values={"count_times": False})
    assert here.run() == 0
    assert here.report
    assert (here.report.usage.user_s, here.report.usage.system_s) == (None, None)
    assert here.report.usage.wall_s is not None
