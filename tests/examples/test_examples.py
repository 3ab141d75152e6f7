"""Each example does what its README says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.examples.conftest import EXAMPLES, User


def test_the_demonstration_goes_as_described(user: User) -> None:
    told = user.does(EXAMPLES / "01-demo/run.sh")
    assert told.returncode == 0, told.stdout + told.stderr
    assert "Yes: 7 tasks succeeded, 1 failed on purpose" in told.stdout
    assert "$ adapter run tasks.yaml --on local" in told.stdout
    assert sorted(path.name for path in user.folder.iterdir()) == ["demo-out", "home"]
    assert not list((user.folder / "home").iterdir()), "the user's own home was not used"


def test_the_demonstration_can_be_repeated_and_notices_when_something_is_wrong(user: User) -> None:
    project = user.folder / "project"
    for part in ("LICENSE", "examples/01-demo/run.sh", "examples/01-demo/tasks.yaml"):
        (project / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(EXAMPLES.parent / part, project / part)
    for part in ("templates", "schemas"):
        shutil.copytree(EXAMPLES.parent / part, project / part)
    tasks = project / "examples/01-demo/tasks.yaml"
    tasks.write_text(tasks.read_text().replace("exit 3", "exit 4"))
    (user.folder / "demo-out/results").mkdir(parents=True)
    told = user.does(project / "examples/01-demo/run.sh")
    assert told.returncode == 1
    assert "Was it all as described?" in told.stdout


def test_a_folder_that_is_not_empty_is_left_alone(user: User) -> None:
    (user.folder / "mine").mkdir()
    (user.folder / "mine/thesis.tex").touch()
    told = user.does(EXAMPLES / "01-demo/run.sh", "mine")
    assert (told.returncode, told.stdout) == (2, "")
    assert [path.name for path in (user.folder / "mine").iterdir()] == ["thesis.tex"]


def test_real_files_give_the_same_results_as_without_adapter(user: User) -> None:
    told = user.does(EXAMPLES / "02-files/compare.sh", "out", "local", FILES="20")
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.splitlines() == [
        "20 files, 22 tasks in out/tasks.yaml",  # 7 groups of three tools, and the one that fails
        "local: 21 tasks succeeded, 1 failed on purpose",
        "41 result files are the same on local, and the same as made without adapter",  # 20 archives, 7 x 3 sums
    ]


def test_a_result_that_differs_is_noticed(user: User) -> None:
    example = user.copy_of("02-files")
    run = example / "run.sh"
    run.write_text(run.read_text() + 'echo spoilt >>"$out/results/group-0001.wc"\n')
    told = user.does(example / "compare.sh", "out", "local", FILES="3")
    assert told.returncode == 1
    assert "spoilt" in told.stdout


def test_a_scheduler_nobody_has_heard_of_works_with_yaml_alone(user: User) -> None:
    told = user.does(EXAMPLES / "03-new-scheduler/story.sh", "out")
    assert told.returncode == 0, told.stdout + told.stderr
    assert "Yes. The queue has seen each job exactly once, though it was busy" in told.stdout
    words = (EXAMPLES / "03-new-scheduler/broken.txt").read_text()
    assert words in told.stdout, "the validator says what broken.txt holds"
    states = {path.parent.name: path.read_text().strip() for path in (user.folder / "out/queue").glob("*/state")}
    assert not set(states.values()) & {"W", "R"}, "nothing is left running"


def test_the_new_scheduler_takes_under_40_lines() -> None:
    assert len((EXAMPLES / "03-new-scheduler/miniq.yaml").read_text().splitlines()) < 40


@pytest.mark.parametrize("busy", ["2", "3"])
def test_a_queue_that_is_busy_most_of_the_time_loses_and_doubles_nothing(user: User, busy: str) -> None:
    scheduler = EXAMPLES / "03-new-scheduler"
    queue = user.folder / "queue"
    queue.mkdir()
    path = f"{scheduler / 'minisched'}:{user.environment['PATH']}"
    more = {"MINIQ_DIR": str(queue), "MINIQ_BUSY": busy, "PATH": path}
    with subprocess.Popen(["mq-daemon", "3", "1"], env={**user.environment, **more, "MINIQ_BUSY": "0"}) as daemon:
        try:
            told = user.does(
                "adapter", "run", "--on", scheduler / "miniq.yaml", "--", "sh", "-c", "echo ran; exit 3", **more
            )
        finally:
            daemon.kill()
    assert (told.returncode, told.stdout) == (3, "ran\n"), told.stderr
    assert len(list(queue.glob("*/note"))) == 1


def test_python_code_with_asyncio(user: User) -> None:
    told = user.does("python", EXAMPLES / "04-python/embed.py")
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines() == [
        "square of 0: 0", "square of 1: 1", "square of 2: 4", "square of 3: 9", "fails on purpose: failed: exit code 3",
    ]  # fmt: skip
    assert "event: square of 3 succeeded" in told.stderr


def test_python_code_without_asyncio(user: User) -> None:
    told = user.does("python", EXAMPLES / "04-python/embed_blocking.py")
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines() == [
        "square of 0: 0", "square of 1: 1", "square of 2: 4", "square of 3: 9",
        "JobFailed: fails on purpose, exit code 3",
    ]  # fmt: skip
    shown = json.loads(user.does("adapter", "status", "--json").stdout)
    assert [run["counts"] for run in shown] == [{"failed": 1}, {"succeeded": 4}], "the command sees the same runs"


@pytest.mark.parametrize("name", ["embed.py", "embed_blocking.py"])
def test_the_python_examples_are_short(name: str) -> None:
    assert len((EXAMPLES / "04-python" / name).read_text().splitlines()) < 30


def test_every_file_is_valid_but_the_broken_one(user: User) -> None:
    told = json.loads(user.does("adapter", "validate", EXAMPLES, "--json").stdout)
    problems = {Path(entry["file"]).relative_to(EXAMPLES): entry["problems"] for entry in told}
    assert len(problems) == len(list(EXAMPLES.rglob("*.yaml")))
    wrong = {str(path): [each["message"] for each in found] for path, found in problems.items() if found}
    assert sorted(wrong) == ["01-demo/tasks.yaml", "03-new-scheduler/broken.yaml"]
    assert {message[:13] for message in wrong["01-demo/tasks.yaml"]} == {"no input file"}, (
        "run.sh copies them beside it"
    )


def test_no_file_holds_a_path_of_one_machine() -> None:
    here = re.compile(re.escape(f"{EXAMPLES.parent}/").encode() + rb"|/root/|/home/\w")
    files = [path for path in EXAMPLES.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert [path for path in files if here.search(path.read_bytes())] == []
