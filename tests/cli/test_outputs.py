"""Files that come back, end to end on this machine: nothing is replaced in silence, nothing is read too early."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Shell


def tasks(adapter: Shell, text: str) -> None:
    (adapter.folder / "tasks.yaml").write_text(text)


def runs(adapter: Shell) -> str:
    return adapter("status").stdout


def test_the_same_command_a_second_time_keeps_the_file_and_names_force(adapter: Shell) -> None:
    command = ("--output", "out.txt", "--", "sh", "-c", "date +%N >out.txt")
    assert adapter("run", *command).returncode == 0
    first = (adapter.folder / "out.txt").read_text()
    again = adapter("run", *command)
    assert again.returncode == 3
    assert f"{adapter.folder}/out.txt (task 'sh') is an output and is here already" in again.stderr
    assert "--force" in again.stderr
    assert (adapter.folder / "out.txt").read_text() == first
    assert adapter("submit", *command).returncode == 3
    assert adapter("run", "--force", *command).returncode == 0
    assert (adapter.folder / "out.txt").read_text() != first


def test_a_file_that_a_pattern_brings_does_not_replace_one_that_is_here(adapter: Shell) -> None:
    (adapter.folder / "out.txt").write_text("mine\n")
    done = adapter("run", "--output", "*.txt", "--", "sh", "-c", "echo new >out.txt")
    assert done.returncode == 10
    assert "out.txt was here already and stays" in done.stderr
    assert (adapter.folder / "out.txt").read_text() == "mine\n"
    (beside,) = adapter.folder.glob("out.*.1.txt")
    assert beside.read_text() == "new\n"
    assert str(beside) in done.stderr


TWO = """\
format: 1
tasks:
  - name: one
    command: echo 1 >out.txt
    outputs: [out.txt]
  - name: two
    command: echo 2 >out.txt
    outputs: [{path: out.txt, to: x/..}]
"""


def test_a_file_in_which_two_tasks_write_one_file_is_wrong_at_its_place(adapter: Shell) -> None:
    (adapter.folder / "x").mkdir()
    tasks(adapter, TWO)
    done = adapter("run", "tasks.yaml")
    assert done.returncode == 2
    assert "tasks.yaml:8:" in done.stderr
    assert "task 'two' (number 2) and task 'one' (number 1) both write" in done.stderr
    assert "{{ name }}" in done.stderr
    assert "no runs yet" in adapter("status").stderr


def test_a_folder_for_each_task_by_its_name(adapter: Shell) -> None:
    text = "defaults: {outputs: [{path: out.txt, to: 'r/{{ index }}-{{ name }}'}]}\ntasks:\n" + "".join(
        f"  - {{name: {name}, command: echo {name} >out.txt}}\n" for name in ("a", "../b")
    )
    tasks(adapter, text)
    assert adapter("run", "tasks.yaml").returncode == 0
    assert [str(path.relative_to(adapter.folder)) for path in sorted(adapter.folder.rglob("out.txt"))] == [
        "r/1-a/out.txt",
        "r/2-.._b/out.txt",
    ]


def test_an_unknown_word_in_a_folder_is_wrong_at_its_place(adapter: Shell) -> None:
    tasks(adapter, "command: 'true'\noutputs:\n  - {path: out.txt, to: 'r/{{ nam }}'}\n")
    done = adapter("validate", "tasks.yaml")
    assert done.returncode == 2
    assert "tasks.yaml:3:" in done.stdout
    assert "unknown variable 'nam'; did you mean 'name'?" in done.stdout
    words = adapter("run", "--output", "*.txt:r/{{ nam }}", "--", "true")
    assert words.returncode == 3
    assert "did you mean 'name'?" in words.stderr


def test_two_tasks_whose_patterns_meet_keep_both_files_and_say_so(adapter: Shell) -> None:
    tasks(adapter, "defaults: {outputs: ['*.txt']}\ntasks: [{command: echo 1 >o.txt}, {command: echo 2 >o.txt}]\n")
    done = adapter("run", "tasks.yaml")
    assert done.returncode == 10
    assert "2 succeeded" in done.stderr
    assert "o.txt was brought by task 'task'" in done.stderr
    assert sorted(path.read_text() for path in adapter.folder.glob("o*.txt")) == ["1\n", "2\n"]
    assert not [path for path in adapter.folder.iterdir() if path.name.endswith(".part")]


GATHER = """\
format: 1
tasks:
  - {name: part, command: "sleep 0.5; echo 1 >p1.txt", outputs: [{path: p1.txt, to: results}]}
  - {name: part, command: "echo 2 >p2.txt", outputs: [{path: p2.txt, to: results}]}
  - {name: sum, command: "cat results/*", inputs: [results], after: [part], stdout: sum.txt, outputs: [sum.txt]}
"""


def test_a_gather_step_reads_what_comes_before_it(adapter: Shell) -> None:
    tasks(adapter, GATHER)
    done = adapter("run", "tasks.yaml")
    assert (done.returncode, (adapter.folder / "sum.txt").read_text()) == (0, "1\n2\n"), done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(GATHER.replace("after: [part], ", ""), "add after: [part]", id="no-order"),
        pytest.param(GATHER.replace("to: results", "to: elsewhere"), "no input file", id="nobody-makes-it"),
    ],
)
def test_an_input_that_nobody_brings_in_time_is_wrong_at_its_place(adapter: Shell, text: str, said: str) -> None:
    tasks(adapter, text)
    done = adapter("validate", "tasks.yaml")
    assert done.returncode == 2
    assert "tasks.yaml:5:" in done.stdout
    assert said in done.stdout


def test_an_input_that_another_task_writes_is_hinted_at_where_it_is_here_already(adapter: Shell) -> None:
    (adapter.folder / "results").mkdir()
    (adapter.folder / "results" / "old").write_text("old\n")
    tasks(adapter, GATHER.replace("after: [part], ", ""))
    done = adapter("run", "tasks.yaml")
    assert done.returncode == 0
    assert f"task 'sum' reads {adapter.folder}/results, which task 'part' makes; add after: [part]" in done.stderr


def test_quiet_says_why_the_only_job_failed_and_nothing_else(adapter: Shell) -> None:
    done = adapter("run", "-q", "--", "sh", "-c", "exit 3")
    assert done.returncode == 3
    assert "failed: exit code 3" in done.stderr
    assert adapter("run", "-q", "--", "true").stderr == ""
    missing = adapter("run", "-q", "--output", "nothing.txt", "--", "true")
    assert missing.returncode == 10
    assert "declared outputs are missing: nothing.txt" in missing.stderr


def test_tasks_that_were_all_killed_exit_with_11(adapter: Shell) -> None:
    tasks(adapter, "tasks: [{command: sleep 60}, {command: sleep 60}]\n")
    run = adapter("submit", "tasks.yaml").stdout.strip()
    assert adapter("kill", run).returncode == 0
    assert adapter("wait", run).returncode == 11
