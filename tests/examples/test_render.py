"""What would be sent, compared whole with golden files that a person has read. A test never makes one."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.examples.conftest import EXAMPLES, User

FOLDER = EXAMPLES / "05-render"
GOLDEN = [
    ("slurm.txt", "tasks.yaml", "slurm"),
    ("local.txt", "tasks.yaml", "local"),
    ("perlmutter.txt", "tasks.yaml", "./perlmutter.yaml"),
    ("perlmutter-gpu.txt", "gpu.yaml", "./perlmutter.yaml"),
]


@pytest.mark.parametrize(("golden", "tasks", "backend"), GOLDEN, ids=[golden for golden, _, _ in GOLDEN])
def test_the_rendered_text_is_the_golden_one(user: User, golden: str, tasks: str, backend: str) -> None:
    told = user.does("adapter", "render", tasks, "--on", backend, cwd=FOLDER)
    assert told.returncode == 0, told.stderr
    assert told.stdout == (FOLDER / "golden" / golden).read_text(encoding="utf-8")
    assert not list((user.folder / "home").iterdir()), "a dry run writes nothing"
    assert not (user.folder / "state").exists()


def test_every_golden_file_is_compared() -> None:
    assert {path.name for path in (FOLDER / "golden").iterdir()} == {golden for golden, _, _ in GOLDEN}


def test_the_shell_reads_every_rendered_script(user: User) -> None:
    for golden, _, _ in GOLDEN:
        for number, script in enumerate(scripts_in(FOLDER / "golden" / golden)):
            (user.folder / "script").write_text(script, encoding="utf-8")
            read = user.does("sh", "-n", "script")
            assert (read.returncode, read.stderr) == (0, ""), f"{golden}, script {number}"


def test_hostile_values_reach_the_task_as_they_are_and_nothing_else_happens(user: User) -> None:
    tasks = user.copy_of("05-render") / "tasks.yaml"
    told = user.does("adapter", "run", tasks, "--on", "local", "--json")
    assert told.returncode == 10, "align is not there"
    [home] = (user.folder / "home/.adapter").glob("[!.]*")
    [folder] = home.glob("0003-*")
    said = (folder / "stdout").read_text(encoding="utf-8")
    assert said.startswith("it's\n$(touch x)\n-rf *\n\ntwo\nlines\nthis one is for the shell " + str(user.folder))
    assert sorted(path.name for path in (folder / "work").iterdir()) == ["-rf *"]
    exported = [line for line in (folder / "script").read_text(encoding="utf-8").splitlines() if "SUBSTITUTION" in line]
    assert [shlex.split(line)[1] for line in exported] == [
        "SUBSTITUTION=$(touch substituted) `touch substituted` ${HOME}"
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(
            ["--gpu", "8"], "queue gpu allows gpu up to 4, it asks for 8", id="over a queue's cap"
        ),
        pytest.param(["--disk", "1 TB"], "has no way to ask for disk", id="what the site has not"),
    ],
)  # fmt: skip
def test_what_the_site_cannot_give_is_refused_before_anything_runs(user: User, options: list[str], words: str) -> None:
    told = user.does("adapter", "render", "--on", "./perlmutter.yaml", *options, "--", "true", cwd=FOLDER)
    assert told.returncode == 3
    assert words in told.stderr


def scripts_in(golden: Path) -> list[str]:
    parts = golden.read_text(encoding="utf-8").split("\n==== script\n")[1:]
    return [part.partition("\n\n==== submit\n")[0] + "\n" for part in parts]
