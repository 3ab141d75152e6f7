"""One task file over hundreds of real files, on this machine and on two real Slurms: the same results, byte by byte."""

from __future__ import annotations

import filecmp
from pathlib import Path

import pytest

from tests.examples.conftest import EXAMPLES, User
from tests.live.conftest import slurm_conf

SCRIPTS = EXAMPLES / "02-files"
FILES = 300


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> User:
    """A user whose folder holds the task file, and in ``expected`` and ``local`` the results."""
    user = User(tmp_path_factory.mktemp("files"))
    (user.folder / "home").mkdir()
    for command in (
        [SCRIPTS / "make-tasks.py", "tasks.yaml", str(FILES)],
        [SCRIPTS / "expect.sh", "files.txt", "expected"],
        [SCRIPTS / "run.sh", "local", "tasks.yaml", "local"],
    ):
        told = user.does(*command)
        assert told.returncode == 0, told.stdout + told.stderr
    return user


def results(folder: Path) -> dict[str, bytes]:
    root = folder / "results"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_on_this_machine_the_results_are_those_of_the_tools(user: User) -> None:
    assert results(user.folder / "local") == results(user.folder / "expected")


def test_there_is_a_result_for_every_file_and_group(user: User) -> None:
    assert len(results(user.folder / "expected")) == FILES + 3 * FILES // 3


@pytest.mark.parametrize("cluster", ["acct", "nodb"])
def test_on_slurm_the_same_task_file_gives_the_same_bytes(user: User, cluster: str) -> None:
    conf = slurm_conf(cluster)
    told = user.does(SCRIPTS / "run.sh", "slurm", "tasks.yaml", cluster, SLURM_CONF=conf)
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout == f"slurm: {FILES} tasks succeeded, 1 failed on purpose\n"
    assert filecmp.cmp(user.folder / "tasks.yaml", user.folder / cluster / "tasks.yaml", shallow=False)
    assert results(user.folder / cluster) == results(user.folder / "local")


def test_the_comparison_that_the_readme_shows(user: User) -> None:
    told = user.does(SCRIPTS / "compare.sh", "compared", "local", "slurm", FILES="30", SLURM_CONF=slurm_conf("acct"))
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.splitlines()[-1] == (
        "60 result files are the same on local slurm, and the same as made without adapter"
    )
