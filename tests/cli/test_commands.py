"""The other commands, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from adapter.cli import main

if TYPE_CHECKING:
    from tests.cli.conftest import Shell

GOLDENS = Path(__file__).parent / "goldens"
HEAVY = ("jinja2", "jsonschema", "rich", "sqlite3", "sh", "yaml", "asyncio", "platformdirs")


def test_help_loads_nothing_heavy() -> None:
    probe = (
        "import sys\nfrom adapter.cli.main import cli\n"
        "cli.main(['--help'], prog_name='adapter', standalone_mode=False)\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""
    assert "130  interrupted; jobs go on" in done.stdout


@pytest.mark.parametrize(
    "words",
    ["run", "submit", "status", "wait", "logs", "kill", "render", "validate", "backends list", "backends show",
     "backends explain", "config init", "config show", "config path", "completion"],
)  # fmt: skip
def test_every_command_has_help_with_examples(adapter: Shell, words: str) -> None:
    done = adapter(*words.split(), "--help")
    assert done.returncode == 0
    assert done.stdout.count("\n    adapter ") + done.stdout.count("$(adapter") >= 2


def test_a_render_is_the_whole_life_of_a_job_and_leaves_no_trace(adapter: Shell) -> None:
    done = adapter(
        "render", "--on", "local", "--name", "it's", "--walltime", "90m", "--env", "A=b c", "--", "echo", "it's $HOME"
    )
    assert done.returncode == 0
    assert done.stdout == (GOLDENS / "render-local.txt").read_text()
    assert not (adapter.folder.parent / "state").exists()
    assert not list(Path(adapter.environ["HOME"]).iterdir())


def test_a_full_render_shows_the_library_too(adapter: Shell) -> None:
    short, full = (adapter("render", "--on", "local", *more, "--", "true").stdout for more in ((), ("--full",)))
    assert "run_job() {" not in short
    assert full.startswith(short.rstrip())
    assert "\n==== library wrapper.sh\n" in full
    assert "\nrun_job() {" in full
    assert "\n==== library process.sh\n" in full


def test_a_render_of_a_file_shows_every_task(adapter: Shell) -> None:
    (adapter.folder / "tasks.yaml").write_text("tasks: [{name: a, command: echo a}, {name: b, command: echo b}]\n")
    pages = json.loads(adapter("render", "tasks.yaml", "--json").stdout)
    assert [(page["index"], page["name"], page["backend"]) for page in pages] == [(1, "a", "local"), (2, "b", "local")]
    actions = [each["action"] for each in pages[0]["actions"]]
    assert actions == ["script", "submit", "find", "monitor", "kill", "kill harder", "log stdout", "log stderr"]


def test_status_of_nothing_says_how_to_begin(adapter: Shell) -> None:
    done = adapter("status")
    assert (done.returncode, done.stdout) == (0, "")
    assert "adapter run -- echo hello" in done.stderr
    assert json.loads(adapter("status", "--json").stdout) == []


def test_status_lists_the_newest_run_first_and_finds_it_by_the_start_of_its_id(adapter: Shell) -> None:
    first, second = (adapter("submit", "--name", name, "--", "true").stdout.strip() for name in ("one", "two"))
    adapter("wait", first, second)
    listed = json.loads(adapter("status", "--json").stdout)
    assert [(run["run"], run["name"], run["counts"]) for run in listed] == [
        (second, "two", {"succeeded": 1}), (first, "one", {"succeeded": 1}),
    ]  # fmt: skip
    assert first in adapter("status", first[:7]).stdout
    assert f"{first}.1 (one)" in adapter("status", f"{first}.1").stdout


@pytest.mark.parametrize("command", ["status", "wait", "logs", "kill"])
def test_an_unknown_run_is_named(adapter: Shell, command: str) -> None:
    done = adapter(command, "nope")
    assert done.returncode == 7
    assert "there is no run 'nope'" in done.stderr
    assert "adapter status" in done.stderr


def test_an_unknown_index_is_named_with_the_known_ones(adapter: Shell) -> None:
    run = adapter("submit", "--", "true").stdout.strip()
    done = adapter("logs", f"{run}.7")
    assert done.returncode == 7
    assert f"run {run} has no job 7; its jobs are {run}.1 to {run}.1" in done.stderr


def test_logs_are_shown_whole_or_their_last_lines(adapter: Shell) -> None:
    run = json.loads(adapter("run", "--json", "--", "sh", "-c", "seq 5; printf '\\377\\0'; echo err >&2").stdout)["run"]
    raw = subprocess.run(
        adapter.argv(["logs", f"{run}.1"]), env=adapter.environ, capture_output=True, check=True
    ).stdout
    assert raw == b"1\n2\n3\n4\n5\n\xff\0"
    assert adapter("logs", run, "--stderr").stdout == "err\n"
    assert adapter("logs", run, "--stderr", "-n", "1").stdout == "err\n"


def test_logs_follow_until_the_job_has_ended(adapter: Shell) -> None:
    run = adapter("submit", "--", "sh", "-c", "echo one; sleep 1; echo two").stdout.strip()
    assert adapter("logs", f"{run}.1", "--follow").stdout == "one\ntwo\n"


def test_kill_ends_a_job_and_is_content_with_one_that_has_ended(adapter: Shell) -> None:
    run = adapter("submit", "--", "sleep", "60").stdout.strip()
    done = adapter("kill", f"{run}.1")
    assert (done.returncode, done.stdout) == (0, f"{run}.1 killed: killed by user\n")
    again = adapter("kill", run)
    assert (again.returncode, again.stdout) == (0, f"{run}.1 had ended: killed: killed by user\n")
    assert adapter("wait", run).returncode == 11


def test_a_kill_reaches_a_run_that_another_process_drives(adapter: Shell) -> None:
    process = adapter.begin("run", "--", "sh", "-c", "echo begun; sleep 60")
    assert process.stdout is not None
    process.stdout.readline()
    run = json.loads(adapter("status", "--json").stdout)[0]["run"]
    assert adapter("kill", run).returncode == 0
    process.communicate(timeout=30)
    assert process.returncode == 11


def test_waiting_has_a_timeout(adapter: Shell) -> None:
    run = adapter("submit", "--", "sleep", "60").stdout.strip()
    done = adapter("wait", run, "--timeout", "1s")
    assert done.returncode == 124
    assert f"run {run} goes on" in done.stderr
    adapter("kill", run)


def test_validate_prints_place_and_message_of_every_problem(adapter: Shell) -> None:
    (adapter.folder / "bad.yaml").write_text("format: 1\nname: bad\nextends: local\nlimitz: {}\nmonitr: {}\n")
    (adapter.folder / "good.yaml").write_text("command: echo hi\n")
    done = adapter("validate", "bad.yaml", "good.yaml")
    assert done.returncode == 2
    lines = done.stdout.splitlines()
    assert [line.split(": ")[0] for line in lines] == ["bad.yaml:4:1", "bad.yaml:5:1", "good.yaml"]
    assert lines[2] == "good.yaml: ok"
    listed = json.loads(adapter("validate", ".", "--json").stdout)
    assert [(Path(each["file"]).name, each["ok"], len(each["problems"])) for each in listed] == [
        ("bad.yaml", False, 2), ("good.yaml", True, 0),
    ]  # fmt: skip


def test_a_wrong_task_file_is_refused_with_every_problem(adapter: Shell) -> None:
    (adapter.folder / "tasks.yaml").write_text("tasks: [{comand: a}, {command: b, resources: {ram: 5}}]\n")
    done = adapter("run", "tasks.yaml")
    assert done.returncode == 2
    assert done.stderr.count("tasks.yaml:1:") >= 2


def test_backends_are_listed_shown_and_explained(adapter: Shell) -> None:
    names = {entry["name"] for entry in json.loads(adapter("backends", "list", "--json").stdout)}
    assert {"local", "batch"} <= names
    assert "name: local" in adapter("backends", "show", "local").stdout
    assert json.loads(adapter("backends", "show", "local", "--json").stdout)["name"] == "local"
    leaves = {leaf["path"]: leaf for leaf in json.loads(adapter("backends", "explain", "local", "--json").stdout)}
    assert leaves["workspace"]["file"].endswith("batch.yaml")
    assert leaves["name"]["file"].endswith("local.yaml")


def test_a_configured_backend_that_is_not_there_is_said_with_its_file(adapter: Shell) -> None:
    path = Path(adapter("config", "init").stdout.strip())
    path.write_text("default_backend: clutser\n")
    done = adapter("run", "--", "true")
    assert done.returncode == 2
    assert done.stderr.startswith("adapter: no backend 'clutser'; looked in ")
    assert done.stderr.endswith(f" (default_backend in {path})\n")
    assert f"clutser (default_backend in {path})" in adapter("config", "show").stdout


def test_the_configured_backend_is_used_and_said(adapter: Shell) -> None:
    path = Path(adapter("config", "init").stdout.strip())
    assert adapter("config", "path").stdout.strip() == str(path)
    assert adapter("config", "init").returncode == 2
    path.write_text("default_backend: local\n")
    assert f"on local (default_backend in {path})" in adapter("run", "--", "true").stderr
    assert json.loads(adapter("config", "show", "--json").stdout)["backend"] == "local"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_and_run_ids(adapter: Shell, shell: str) -> None:
    assert "_ADAPTER_COMPLETE" in adapter("completion", shell).stdout
    run = adapter("submit", "--", "true").stdout.strip()
    adapter.environ |= {
        "_ADAPTER_COMPLETE": "bash_complete",
        "COMP_WORDS": f"adapter wait {run[:4]}",
        "COMP_CWORD": "2",
    }
    assert adapter().stdout.strip() == f"plain,{run}"


def test_an_unexpected_error_is_one_line_unless_asked(adapter: Shell) -> None:
    probe = (
        "import adapter.cli.status as s\nfrom adapter.cli.main import main\n"
        "def broken(*a, **k): raise RuntimeError('boom')\ns.status.callback = broken\nmain(['status'])"
    )
    for debug, has_trace in (("0", False), ("1", True)):
        environ = {**adapter.environ, "ADAPTER_DEBUG": debug}
        done = subprocess.run([sys.executable, "-c", probe], env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "adapter: unexpected RuntimeError: boom" in done.stderr
        assert ("Traceback" in done.stderr) is has_trace


@pytest.mark.parametrize(
    ("words", "option"),
    [
        pytest.param(["run", "--walltime", "10", "--", "true"], "--walltime", id="run"),
        pytest.param(["wait", "--timeout", "10"], "--timeout", id="wait"),
        pytest.param(["clean", "--older-than", "10"], "--older-than", id="clean"),
        pytest.param(["check", "local", "--walltime", "10"], "--walltime", id="check"),
    ],
)
def test_a_time_without_a_unit_is_refused_on_the_command_line(adapter: Shell, words: list[str], option: str) -> None:
    done = adapter(*words)
    assert done.returncode == 2
    assert f"'{option}': '10' has no unit of time; write 10s, 10m or 10h" in done.stderr


def test_a_site_s_configuration_is_shown_with_where_each_value_came_from_and_guards_its_login_nodes(
    adapter: Shell, tmp_path: Path
) -> None:
    site = tmp_path / "xdg" / "adapter" / "config.yaml"
    site.parent.mkdir(parents=True)
    site.write_text(f"default_backend: slurm\nstate_dir: {tmp_path}/state-of-$USER\nlogin_nodes: ['*']\n")
    del adapter.environ["ADAPTER_STATE"]
    adapter.environ |= {"XDG_CONFIG_DIRS": str(tmp_path / "xdg"), "USER": "ada"}
    assert adapter("config", "show").stdout.splitlines()[1:5] == [
        f"of the site    {site}",
        f"backend        slurm (default_backend in {site})",
        f"store        {tmp_path}/state-of-ada/journal.sqlite (state_dir in {site})",
        f"login nodes    * (login_nodes in {site})",
    ]
    for words in (["run", "--on", "local", "--", "true"], ["check", "local", "--quick"]):
        done = adapter(*words)
        assert done.returncode == 2
        assert f"is a login node (login_nodes in {site}); hand them to a scheduler with --on NAME" in done.stderr
    assert adapter("render", "--on", "local", "--", "true").returncode == 0


def test_a_warning_leaves_the_exit_code_alone_unless_it_is_asked_to_count(adapter: Shell) -> None:
    (adapter.folder / "run.sh").touch()
    (adapter.folder / "tasks.yaml").write_text("command: ./run.sh\n")
    done = adapter("validate", "tasks.yaml")
    warning = "tasks.yaml:1:10: warning: ./run.sh lies here and is not sent to the job: add it to `inputs`\n"
    assert (done.returncode, done.stdout) == (0, warning)
    strict = adapter("validate", "--strict", "tasks.yaml")
    assert (strict.returncode, strict.stdout) == (2, warning)
    (told,) = json.loads(adapter("validate", "--json", "tasks.yaml").stdout)
    assert (told["ok"], told["problems"], len(told["warnings"])) == (True, [], 1)


def test_a_workdir_below_the_home_is_the_home_of_this_machine_and_refused_for_another_one(adapter: Shell) -> None:
    (Path(adapter.environ["HOME"]) / "w").mkdir()
    (adapter.folder / "tasks.yaml").write_text("command: pwd\nworkdir: ~/w\n")
    assert adapter("run", "-q", "tasks.yaml").stdout == adapter.environ["HOME"] + "/w\n"
    adapter.environ["PLACE"] = adapter.environ["HOME"]
    assert adapter("run", "-q", "--workdir", "$PLACE/w", "--", "pwd").stdout == adapter.environ["HOME"] + "/w\n"
    done = adapter("render", "--workdir", "$NOWHERE/w", "--", "pwd")
    assert (done.returncode, "there is no such name in the environment" in done.stderr) == (2, True)
    done = adapter("render", "--on", "ssh-process", "tasks.yaml")
    assert (done.returncode, "workdir ~/w: a folder of another machine needs its whole path" in done.stderr) == (
        2,
        True,
    )


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        pytest.param(["cancel", "x"], "no command 'cancel'; did you mean 'kill'?", id="cancel"),
        pytest.param(["stop", "x"], "no command 'stop'; did you mean 'kill'?", id="stop"),
        pytest.param(["list"], "no command 'list'; did you mean 'status'?", id="list"),
        pytest.param(["ps"], "no command 'ps'; did you mean 'status'?", id="ps"),
        pytest.param(["squeue"], "no command 'squeue'; did you mean 'status'?", id="squeue"),
        pytest.param(["qstat"], "no command 'qstat'; did you mean 'status'?", id="qstat"),
        pytest.param(["sbatch", "x.sh"], "no command 'sbatch'; did you mean 'submit'?", id="sbatch"),
        pytest.param(["qsub", "x.sh"], "no command 'qsub'; did you mean 'submit'?", id="qsub"),
        pytest.param(["retry", "x"], "no command 'retry'; did you mean 'run'?", id="retry"),
        pytest.param(["hostname"], "no command 'hostname'; to run it: adapter run -- hostname", id="a-program"),
        pytest.param(["run", "--mem", "4G", "--", "true"], "no option '--mem'; did you mean '--ram'?", id="mem"),
        pytest.param(["run", "--memory=4G", "--", "x"], "no option '--memory'; did you mean '--ram'?", id="memory"),
        pytest.param(
            ["submit", "--partition", "x"], "no option '--partition'; did you mean '--queue'?", id="partition"
        ),
        pytest.param(["run", "--time=10m"], "no option '--time'; did you mean '--walltime'?", id="time"),
        pytest.param(["render", "--cpus-per-task=4"], "did you mean '--cpu'?", id="cpus-per-task"),
        pytest.param(["run", "--gres", "gpu:1"], "no option '--gres'; did you mean '--gpu'?", id="gres"),
        pytest.param(["run", "--ntasks", "4"], "no option '--ntasks'; did you mean '--ranks'?", id="ntasks"),
        pytest.param(["run", "-p", "long"], "no option '-p'; did you mean '--queue'?", id="a-letter"),
        pytest.param(["run", "--job-name", "x"], "no option '--job-name'; did you mean '--name'?", id="job-name"),
        pytest.param(["wait", "--time", "x"], "No such option '--time'.", id="a-command-without-it"),
    ],
)
def test_a_word_of_another_tool_is_told_ours(adapter: Shell, words: list[str], hint: str) -> None:
    done = adapter(*words)
    assert done.returncode == 2
    assert hint in done.stderr


def test_nodes_and_ranks_can_be_asked_for_on_the_command_line(adapter: Shell) -> None:
    shown = adapter("render", "--on", "slurm", "--nodes", "2", "--ranks", "8", "--", "true").stdout
    assert "#SBATCH --nodes=2\n" in shown
    assert "#SBATCH --ntasks=8\n" in shown


def test_what_another_tool_calls_a_command_leads_to_one_that_exists() -> None:
    table = json.loads((Path(main.__file__).parent / "other_words.json").read_text())
    assert table["commands"].keys() <= main.COMMANDS.keys()
    others = " ".join(table["commands"].values()).split()
    assert set(others) & main.COMMANDS.keys() == set()
    assert len(others) == len(set(others)), "a word leads to one command"


def test_the_path_of_a_program_is_expanded_by_the_target(adapter: Shell) -> None:
    folder = Path(adapter.environ["HOME"]) / "my programs"
    folder.mkdir()
    (folder / "greet").write_text("#!/bin/sh\necho hello\n")
    (folder / "greet").chmod(0o755)
    (adapter.folder / "mine.yaml").write_text(
        "format: 1\nextends: local\nneeds: [greet, setsid]\nprograms: {greet: ~/my programs/greet}\n"
        'submit: {command: "greet >&2; setsid sh {{ script }} </dev/null >{{ scheduler_log }} 2>&1 & '
        'read -r stat </proc/$!/stat; set -- ${stat##*) }; shift 19; echo $!.$1"}\n'
    )
    done = adapter("run", "-q", "--on", "./mine.yaml", "--", "echo", "ran")
    assert (done.returncode, done.stdout) == (0, "ran\n"), done.stderr
    assert f"{folder}/greet" in adapter("check", "./mine.yaml", "--no-jobs", "--json").stdout
    (folder / "greet").unlink()
    done = adapter("run", "-q", "--on", "./mine.yaml", "--", "true")
    assert (done.returncode, f"needs {folder}/greet, greet, not found" in done.stderr) == (5, True)


def test_a_configuration_file_is_validated_as_one(adapter: Shell) -> None:
    (adapter.folder / "config.yaml").write_text("state_dir: /state\nlogin_node: [a]\n")
    done = adapter("validate", "config.yaml")
    assert (done.returncode, done.stdout) == (
        2,
        "config.yaml:2:1: unknown key 'login_node'; did you mean 'login_nodes'?\n",
    )
    (adapter.folder / "config.yaml").write_text("login_node: [a]\n")
    alone = adapter("validate", "config.yaml")
    assert alone.stdout == "config.yaml:1:1: unknown key 'login_node'; did you mean 'login_nodes'?\n"
    (adapter.folder / "config.yaml").write_text("login_nodes: [a]\n")
    assert adapter("validate", "config.yaml").stdout == "config.yaml: ok\n"
