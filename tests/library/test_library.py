"""The shell of templates/lib as files: how it comes to the target, and that jobs find it there."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from adapter.config.library import library
from adapter.core.job import Job
from adapter.core.library import commands_text, digest, stage_text, store_of
from adapter.core.receipt import SubmitStatus, read_receipt, submit_step
from adapter.core.render import RenderedJob
from adapter.results import CompletedCommand
from tests.core.samples import job_of, toy
from tests.core.wrapped import SHELLS

TEXT = "say() { echo 'it is' \"$1\"; }\n# END-1 $x `y` \\\n"
CONTENT = digest(TEXT)


def test_the_shells_that_targets_have_are_here() -> None:
    for shell in SHELLS:
        done = subprocess.run([*shell.split(), "-c", "echo here"], capture_output=True, text=True, check=False)
        assert done.stdout == "here\n", f"{shell} is missing: install the Debian package {shell.split()[0]}"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "it's a workspace").mkdir()
    return tmp_path / "it's a workspace"


@pytest.fixture
def job(workspace: Path) -> Job:
    return job_of(directory=f"{workspace}/r1/0001-task")


def run(text: str, shell: str = "sh") -> CompletedCommand:
    done = subprocess.run([*shell.split(), "-s"], input=text, capture_output=True, text=True, check=False, timeout=30)
    return CompletedCommand(command=text, exit_code=done.returncode, stdout=done.stdout, stderr=done.stderr)


def staged(workspace: Path, nonce: str = "a" * 12) -> str:
    return library()["receipt"] + stage_text(str(workspace), [TEXT], nonce)


def submitted(job: Job, workspace: Path) -> str:
    """Text that submits *job*, with the library as it is in the store."""
    rendered = RenderedJob(script="echo\n", submit="echo job 7")
    step = submit_step(job, rendered, "END-1", library={"say.sh": f"{store_of(str(workspace))}/{CONTENT}"})
    return commands_text(toy(), [step], library()) + step.text


def store(workspace: Path) -> Path:
    return workspace / ".files" / "store"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_text_is_in_the_store_under_its_hash_and_nobody_else_reads_it(workspace: Path, shell: str) -> None:
    done = run(staged(workspace), shell)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    assert [path.name for path in store(workspace).iterdir()] == [CONTENT]
    assert (store(workspace) / CONTENT).read_text() == TEXT
    assert (store(workspace) / CONTENT).stat().st_mode & 0o777 == 0o400
    assert store(workspace).stat().st_mode & 0o777 == 0o700


def test_a_text_that_is_cut_off_on_its_way_is_not_staged_at_all(workspace: Path) -> None:
    whole = staged(workspace)
    begin = whole.index("# END-1 $x")
    for end in range(begin, len(whole) - 2):
        run(whole[:end])
        assert not (store(workspace) / CONTENT).exists(), whole[end - 20 : end]


def test_many_at_once_leave_one_whole_text(workspace: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda number: run(staged(workspace, f"{number:012x}")), range(16)))
    assert {each.exit_code for each in done} == {0}
    assert [path.name for path in store(workspace).iterdir()] == [CONTENT]
    assert (store(workspace) / CONTENT).read_text() == TEXT


def test_one_that_was_killed_leaves_nothing_that_counts(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "chmod").write_text("#!/bin/sh\nkill -9 $PPID\n")
    (tmp_path / "chmod").chmod(0o755)
    run(f"PATH={tmp_path}:$PATH\n" + staged(workspace))
    assert not (store(workspace) / CONTENT).exists()
    assert run(staged(workspace, "b" * 12)).exit_code == 0
    assert (store(workspace) / CONTENT).read_text() == TEXT


@pytest.mark.parametrize("shell", SHELLS)
def test_a_place_that_cannot_be_written_is_told_by_the_job_that_needs_it(
    workspace: Path, job: Job, shell: str, tmp_path: Path
) -> None:
    (workspace / ".files").write_text("a file in its place")
    receipt, said = read_receipt(run(staged(workspace) + submitted(job, workspace), shell))
    assert receipt.status is SubmitStatus.UNWRITABLE
    assert ".files" in said.stderr
    assert not (Path(job.directory or "") / "submit.1").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_job_has_a_link_of_its_own(workspace: Path, job: Job, shell: str) -> None:
    receipt, said = read_receipt(run(staged(workspace) + submitted(job, workspace), shell))
    assert (receipt.status, said.stdout) == (SubmitStatus.ANSWERED, "job 7\n")
    mine = Path(job.directory or "") / "say.sh"
    assert mine.samefile(store(workspace) / CONTENT)
    (store(workspace) / CONTENT).unlink()
    assert mine.read_text() == TEXT


def test_where_links_cannot_be_made_it_is_copied(workspace: Path, job: Job) -> None:
    no_links = "ln() { return 1; }\n"
    receipt, _ = read_receipt(run(staged(workspace) + no_links + submitted(job, workspace)))
    mine = Path(job.directory or "") / "say.sh"
    assert receipt.status is SubmitStatus.ANSWERED
    assert mine.read_text() == TEXT
    assert not mine.samefile(store(workspace) / CONTENT)


def test_without_its_library_nothing_is_submitted_and_the_try_is_given_back(workspace: Path, job: Job) -> None:
    receipt, said = read_receipt(run(submitted(job, workspace)))
    assert receipt.status is SubmitStatus.UNWRITABLE
    assert CONTENT in said.stderr
    assert not (Path(job.directory or "") / "submit.1").exists()


def test_a_later_try_of_another_version_has_its_own_library(workspace: Path, job: Job) -> None:
    mine = Path(job.directory or "") / "say.sh"
    mine.parent.mkdir(parents=True)
    mine.write_text("of an earlier version")
    os.link(mine, workspace / "old")
    receipt, _ = read_receipt(run(staged(workspace) + submitted(job, workspace)))
    assert receipt.status is SubmitStatus.ANSWERED
    assert mine.read_text() == TEXT
    assert (workspace / "old").read_text() == "of an earlier version"
