"""``adapter clean``: what finished runs left goes, once somebody says so, and nothing else ever does."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from adapter.config.library import library
from adapter.core.clean import folders_step, read_found, read_store, select, workspace_of
from adapter.core.job import Job
from adapter.core.library import digest
from adapter.core.state import State
from adapter.core.task import Step, Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Shell

RUN = "k3v5abcdef"
DAY_S = 86400


def workspace(adapter: Shell) -> Path:
    return Path(adapter.environ["HOME"]).resolve() / ".adapter"


def finished(adapter: Shell, *command: str, name: str = "one") -> tuple[str, Path]:
    """Run *command* to its end; return the run's id and its job's folder."""
    run = adapter("submit", "--name", name, "--", *command).stdout.strip()
    adapter("wait", run)
    (folder,) = (workspace(adapter) / run).iterdir()
    return run, folder


def cleaned(adapter: Shell, *words: str) -> dict[str, Any]:
    done = adapter("clean", *words, "--json")
    assert done.stdout, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return {**told, "exit_code": done.returncode}


def rewrite(adapter: Shell, **changes: object) -> None:
    """Change the records of all jobs in the store, as a bug or a hostile hand might."""
    with sqlite3.connect(Path(adapter.environ["ADAPTER_STATE"]) / "journal.sqlite") as store:
        for rowid, record in store.execute("SELECT run, record FROM jobs").fetchall():
            store.execute(
                "UPDATE jobs SET record = ? WHERE run = ?", (json.dumps({**json.loads(record), **changes}), rowid)
            )


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A folder outside the workspace that must survive everything."""
    folder = tmp_path / "precious"
    (folder / "below").mkdir(parents=True)
    (folder / "data").write_text("data")
    (folder / "below" / "more").write_text("more")
    return folder


def assert_untouched(precious: Path) -> None:
    assert (precious / "data").read_text() == "data"
    assert (precious / "below" / "more").read_text() == "more"


# -- what is chosen


def test_without_yes_it_only_lists_with_sizes_and_says_so(adapter: Shell) -> None:
    run, folder = finished(adapter, "sh", "-c", "head -c 300000 /dev/zero >big")
    done = adapter("clean", run)
    assert done.returncode == 0
    assert str(folder) in done.stdout
    assert "would remove 1 folders" in done.stdout
    assert "nothing was removed, --yes removes it" in done.stdout
    assert (folder / "work" / "big").exists()
    told = cleaned(adapter, run)
    assert (told["dry_run"], told["folders"][0]["result"]) == (True, "found")
    assert 300_000 <= told["folders"][0]["size_bytes"] < 600_000


def test_with_yes_the_folder_and_the_empty_run_folder_go_and_the_store_keeps_the_run(adapter: Shell) -> None:
    run, folder = finished(adapter, "true")
    told = cleaned(adapter, run, "--yes")
    assert [(each["job"], each["result"]) for each in told["folders"]] == [(f"{run}.1", "removed")]
    assert not folder.parent.exists()
    (job,) = json.loads(adapter("status", run, "--json").stdout)["jobs"]
    assert (job["state"], job["directory"]) == ("succeeded", None)
    assert "was removed by adapter clean on 20" in adapter("status", f"{run}.1").stdout
    assert cleaned(adapter, run, "--yes")["folders"] == []


@pytest.mark.parametrize("words", [[], ["--lines", "3"], ["--follow"], ["--stderr"]], ids=" ".join)
def test_logs_of_a_cleaned_job_say_when_it_was_cleaned(adapter: Shell, words: list[str]) -> None:
    run, _ = finished(adapter, "true")
    cleaned(adapter, run, "--yes")
    done = adapter("logs", run, *words)
    assert (done.returncode, done.stdout) == (7, "")
    assert f"job {run}.1 was cleaned on 20" in done.stderr


def test_folders_of_failed_jobs_stay_unless_they_are_asked_for(adapter: Shell) -> None:
    good, _ = finished(adapter, "true")
    bad, folder = finished(adapter, "false")
    told = cleaned(adapter, "--all-finished", "--yes")
    assert [each["run"] for each in told["folders"]] == [good]
    assert [each["job"] for each in told["kept"]] == [f"{bad}.1"]
    assert folder.exists()
    assert [each["run"] for each in cleaned(adapter, "--all-finished", "--failed", "--yes")["folders"]] == [bad]
    assert not folder.exists()


def test_a_job_whose_outputs_could_not_be_brought_keeps_its_folder(adapter: Shell) -> None:
    run = adapter("submit", "--output", "result", "--", "true").stdout.strip()
    adapter("wait", run)
    assert [each["job"] for each in cleaned(adapter, run, "--yes")["kept"]] == [f"{run}.1"]
    assert (workspace(adapter) / run).exists()


def test_a_run_half_finished_is_left_alone_whole(adapter: Shell, until: Callable[[Callable[[], bool]], None]) -> None:
    (adapter.folder / "tasks.yaml").write_text("tasks: [{name: a, command: 'true'}, {name: b, command: sleep 60}]\n")
    run = adapter("submit", "tasks.yaml").stdout.strip()

    def first_ended() -> bool:
        return json.loads(adapter("status", run, "--json").stdout)["counts"].get("succeeded") == 1

    try:
        until(first_ended)
        told = cleaned(adapter, run, "--failed", "--yes")
        assert told["folders"] == []
        assert told["left_alone"] == [{"run": run, "why": f"job {run}.2 has not ended (running)"}]
        assert len(list((workspace(adapter) / run).iterdir())) == 2
    finally:
        adapter("kill", run)


def test_only_runs_older_than_asked_for(adapter: Shell) -> None:
    run, folder = finished(adapter, "true")
    assert cleaned(adapter, "--older-than", "7d", "--yes")["folders"] == []
    assert folder.exists()
    rewrite(adapter, ended_at=1.0)
    assert [each["run"] for each in cleaned(adapter, "--older-than", "7d", "--yes")["folders"]] == [run]


def job(index: int = 1, **values: Any) -> Job:
    return Job(**{"run": RUN, "index": index, "task": Task(name="t", steps=(Step(argv=("true",)),)), **values})


ENDED = {"state": State.SUCCEEDED, "collected": True, "directory": f"/w/{RUN}/0001-t", "ended_at": 0.0}


@pytest.mark.parametrize(
    ("changes", "chosen", "kept", "why"),
    [
        pytest.param({}, 1, 0, "", id="succeeded"),
        pytest.param({"state": State.FAILED}, 0, 1, "", id="failed"),
        pytest.param({"state": State.KILLED}, 0, 1, "", id="killed"),
        pytest.param({"state": State.LOST}, 0, 1, "", id="lost"),
        pytest.param({"collect_problem": "missing"}, 0, 1, "", id="outputs-still-there"),
        pytest.param({"directory": None}, 0, 0, "", id="no-folder"),
        pytest.param({"collected": False}, 0, 0, f"job {RUN}.1 is not collected", id="not-collected"),
        pytest.param({"state": State.RUNNING}, 0, 0, f"job {RUN}.1 has not ended (running)", id="running"),
        pytest.param({"ended_at": 9.0 * DAY_S}, 0, 0, "it ended 1d 00h ago", id="young"),
    ],
)  # fmt: skip
def test_what_may_go(changes: dict[str, Any], chosen: int, kept: int, why: str) -> None:
    selection = select([job(**{**ENDED, **changes})], now=10 * DAY_S, older_than_s=7 * DAY_S)
    assert (len(selection.jobs), len(selection.kept), selection.why_not) == (chosen, kept, why)


def test_it_does_not_guess_what_is_meant(adapter: Shell) -> None:
    assert adapter("clean", "--yes").returncode == 2
    assert adapter("clean", "nope", "--yes").returncode == 7


def test_a_run_that_another_process_drives_is_left_alone(adapter: Shell) -> None:
    run, folder = finished(adapter, "true")
    with sqlite3.connect(Path(adapter.environ["ADAPTER_STATE"]) / "journal.sqlite") as store:
        store.execute("UPDATE runs SET owner = 'elsewhere:1:2', owned_until = 9e12")
    assert cleaned(adapter, run, "--yes")["left_alone"] == [{"run": run, "why": "another process is at it"}]
    assert folder.exists()


# -- what it never does


def test_links_in_a_job_s_folder_go_as_links(adapter: Shell, precious: Path) -> None:
    run, folder = finished(
        adapter,
        "sh",
        "-c",
        f"ln -s {precious}/data file; ln -s {precious} folder; ln -s {precious}/no dangling; mkfifo f",
    )
    (folder / "beside-work").symlink_to(precious)
    assert cleaned(adapter, run, "--yes")["folders"][0]["result"] == "removed"
    assert not folder.exists()
    assert_untouched(precious)


def test_an_input_that_was_linked_to_its_place_stays(adapter: Shell) -> None:
    (adapter.folder / "data").mkdir()
    (adapter.folder / "data" / "file").write_text("mine")
    (adapter.folder / "input").write_text("mine too")
    run = adapter("submit", "--input", "data", "--input", "input", "--", "true").stdout.strip()
    adapter("wait", run)
    assert cleaned(adapter, run, "--yes")["folders"][0]["result"] == "removed"
    assert (adapter.folder / "data" / "file").read_text() == "mine"
    assert (adapter.folder / "input").read_text() == "mine too"


@pytest.mark.parametrize("which", ["job", "run"])
def test_a_folder_that_became_a_link_is_refused(adapter: Shell, precious: Path, which: str) -> None:
    run, folder = finished(adapter, "true")
    link = folder if which == "job" else folder.parent
    link.rename(precious.parent / "moved")
    link.symlink_to(precious if which == "job" else precious.parent / "moved")
    for words in ([run], [run, "--yes"]):
        told = cleaned(adapter, *words)
        assert (told["exit_code"], told["folders"][0]["result"]) == (5, "refused")
        assert "symbolic link" in told["folders"][0]["text"]
    assert link.is_symlink()
    assert (precious.parent / "moved").is_dir()
    assert any((precious.parent / "moved").iterdir())
    assert_untouched(precious)


def test_a_workspace_that_leads_elsewhere_now_is_refused(adapter: Shell, tmp_path: Path) -> None:
    run, folder = finished(adapter, "true")
    workspace(adapter).rename(tmp_path / "other")
    workspace(adapter).symlink_to(tmp_path / "other")
    told = cleaned(adapter, run, "--yes")
    assert (told["exit_code"], told["folders"][0]["result"]) == (5, "refused")
    assert "is not where it was" in told["folders"][0]["text"]
    assert folder.exists()


@pytest.mark.parametrize(
    "directory",
    ["/", "/{run}/0001-one", "{precious}", "{precious}/../precious", "{workspace}/{run}",
     "{workspace}/{run}/0001-one/work", "{workspace}/../{run}/0001-one", "{workspace}/{run}/../0001-one",
     "relative/{run}/0001-one", "{workspace}/{run}/0001-one\n/"],
)  # fmt: skip
def test_a_path_in_the_store_that_is_not_of_our_making_is_refused(
    adapter: Shell, precious: Path, directory: str
) -> None:
    run, folder = finished(adapter, "true")
    rewrite(adapter, directory=directory.format(precious=precious, workspace=workspace(adapter), run=run))
    told = cleaned(adapter, run, "--yes")
    assert (told["exit_code"], told["folders"][0]["result"]) == (5, "refused")
    assert folder.exists()
    assert_untouched(precious)


@pytest.mark.parametrize("run", ["../../etc", "..", "", "a b", "k3v5abcdef/x", "k3v5abcde\n", "$(true)abcd"])
def test_a_run_s_name_in_the_store_is_checked(run: str) -> None:
    assert workspace_of(job(run=run, directory=f"/w/{run}/0001-t")) is None


@pytest.mark.parametrize(
    "directory", ["/w", f"/w/{RUN}", f"/w/{RUN}/0001-t/", f"w/{RUN}/0001-t", f"/../{RUN}/0001-t", None]
)
def test_a_folder_s_path_in_the_store_is_checked_before_anything_is_asked(directory: str | None) -> None:
    assert workspace_of(job(directory=directory)) is None
    assert workspace_of(job(directory=f"/w/{RUN}/0001-t")) == "/w"


def test_a_task_s_hostile_name_does_no_harm(adapter: Shell, precious: Path) -> None:
    run, folder = finished(
        adapter, "touch", "--", "-rf *;\n$(rm -rf x)'\"", "-- -", name=f"-rf '; rm -rf {precious}/* $(id)"
    )
    assert cleaned(adapter, run, "--yes")["folders"][0]["result"] == "removed"
    assert not folder.exists()
    assert_untouched(precious)


def removal(place: Path, job: Job) -> str:
    """What the target's shell is given to remove the folder of *job*."""
    return library()["clean"] + folders_step(str(place), str(place), [job], remove=True).text


def test_a_folder_exchanged_for_a_link_between_look_and_removal_goes_as_a_link(tmp_path: Path, precious: Path) -> None:
    """The moment is made by a du that exchanges it: after the look, before the removal."""
    place = tmp_path.resolve() / "w"
    folder = place / RUN / "0001-t"
    folder.mkdir(parents=True)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "du").write_text(f'#!/bin/sh\nmv {folder} {tmp_path}/aside && ln -s {precious} {folder}\necho "4\t$2"\n')
    (tools / "du").chmod(0o755)
    step = removal(place, job(directory=str(folder)))
    done = subprocess.run(
        ["sh", "-c", step], capture_output=True, text=True, check=True, env={"PATH": f"{tools}:{os.environ['PATH']}"}
    )
    assert read_found(done.stdout)["0001-t"].what == "removed"
    assert not folder.is_symlink()
    assert_untouched(precious)


def test_a_run_folder_exchanged_for_a_link_after_the_look_is_not_entered(tmp_path: Path, precious: Path) -> None:
    """The moment is made by a shell function that exchanges it before the shell goes in."""
    place = tmp_path.resolve() / "w"
    (place / RUN / "0001-t").mkdir(parents=True)
    (precious / "0001-t").mkdir()
    step = removal(place, job(directory=f"{place}/{RUN}/0001-t"))
    exchange = f"mv {place}/{RUN} {tmp_path}/aside; ln -s {precious} {place}/{RUN}"
    raced = step.replace('into "./$run" ', f'{exchange}; into "./$run" ')
    assert raced != step
    done = subprocess.run(["sh", "-c", raced], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (71, "")
    assert (precious / "0001-t").is_dir()
    assert_untouched(precious)


def test_cdpath_leads_nowhere(adapter: Shell, precious: Path) -> None:
    run, folder = finished(adapter, "true")
    (precious / run / folder.name).mkdir(parents=True)
    adapter.environ["CDPATH"] = str(precious)
    assert cleaned(adapter, run, "--yes")["folders"][0]["result"] == "removed"
    assert (precious / run / folder.name).is_dir()


def test_something_of_the_user_s_beside_the_jobs_keeps_the_run_folder(adapter: Shell) -> None:
    run, folder = finished(adapter, "true")
    (folder.parent / "notes").write_text("mine")
    cleaned(adapter, run, "--yes")
    assert [path.name for path in folder.parent.iterdir()] == ["notes"]


def test_what_cannot_be_removed_is_said_and_stays_in_the_store(tmp_path: Path) -> None:
    place = tmp_path.resolve() / "w"
    folder = place / RUN / "0001-t"
    folder.mkdir(parents=True)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "rm").write_text("#!/bin/sh\necho \"rm: cannot remove 'x': Permission denied\" >&2\nexit 1\n")
    (tools / "rm").chmod(0o755)
    step = removal(place, job(directory=str(folder)))
    done = subprocess.run(
        ["sh", "-c", step], capture_output=True, text=True, check=True, env={"PATH": f"{tools}:{os.environ['PATH']}"}
    )
    found = read_found(done.stdout)["0001-t"]
    assert (found.what, found.text) == ("failed", "rm: cannot remove 'x': Permission denied")


def test_a_folder_that_is_gone_already_is_written_down_as_gone(adapter: Shell) -> None:
    run, folder = finished(adapter, "true")
    subprocess.run(["rm", "-rf", folder.parent], check=True)
    assert cleaned(adapter, run)["folders"][0]["result"] == "gone"
    assert cleaned(adapter, run, "--yes")["folders"][0]["result"] == "gone"
    assert cleaned(adapter, run, "--yes")["folders"] == []


# -- the store

CONTENT = "a" * 64


def test_the_store_loses_what_nothing_links_to_and_what_was_left_behind(adapter: Shell, precious: Path) -> None:
    run, folder = finished(adapter, "true")
    _, still = finished(adapter, "false")
    files = workspace(adapter) / ".files"
    store = files / "store"
    [wrapper] = (path.name for path in store.iterdir())  # both jobs link to it
    names = {"linked-by-the-run": "a" * 64, "linked-by-another": "b" * 64 + ".x", "just-sent": "c" * 64}
    for name in names.values():
        (store / name).write_text("content")
    os.link(store / names["linked-by-the-run"], folder / "work" / "input")
    os.link(store / names["linked-by-another"], still / "work" / "input")
    old, young = store / ("d" * 64 + ".part"), store / ("e" * 64 + ".part")
    out, new_out = files / "out-0123456789ab", files / "out-ba9876543210"
    for folder_name in (out, new_out):
        folder_name.mkdir()
    for path in (old, young, out / "all"):
        path.write_text("part")
    (store / "README").write_text("not ours")
    (store / ("f" * 64)).symlink_to(precious / "data")
    (files / "out-aaaaaaaaaaaa").symlink_to(precious)
    for path in (old, out):
        os.utime(path, (1, 1))

    listed = cleaned(adapter, run, "--store")
    assert {each["name"] for each in listed["store"]} == {old.name, out.name}
    assert len(list(store.iterdir())) == 8
    told = cleaned(adapter, run, "--store", "--yes")
    gone = {names["linked-by-the-run"], old.name, out.name}
    assert {each["name"] for each in told["store"] if each["result"] == "removed"} == gone
    left = {wrapper, names["linked-by-another"], names["just-sent"], young.name, "README", "f" * 64}
    assert {path.name for path in store.iterdir()} == left
    assert {path.name for path in files.iterdir()} == {"store", new_out.name, "out-aaaaaaaaaaaa"}
    assert_untouched(precious)


def test_the_library_stays_as_long_as_the_folder_of_a_job_links_to_it(adapter: Shell) -> None:
    run, folder = finished(adapter, "true")
    store = workspace(adapter) / ".files" / "store"
    assert [path.name for path in store.iterdir()] == [digest(library()["wrapper"])]
    assert (folder / "wrapper.sh").samefile(next(store.iterdir()))
    assert cleaned(adapter, run, "--store")["store"] == []
    cleaned(adapter, run, "--store", "--yes")
    assert list(store.iterdir()) == []


@pytest.mark.parametrize("which", [".files", ".files/store"])
def test_a_store_that_is_a_link_is_not_entered(adapter: Shell, precious: Path, which: str) -> None:
    run, _ = finished(adapter, "true")
    place = workspace(adapter) / which
    shutil.rmtree(place)
    target = precious / "store" if which == ".files" else precious
    target.mkdir(exist_ok=True)
    (target / f"{CONTENT}.part").write_text("theirs")
    os.utime(target / f"{CONTENT}.part", (1, 1))
    place.symlink_to(precious)
    assert cleaned(adapter, run, "--store", "--yes")["store"] == []
    assert (target / f"{CONTENT}.part").exists()


def test_a_name_in_the_store_s_answer_that_is_not_ours_is_left_out() -> None:
    store = read_store(
        f"unlinked 4 {CONTENT}\nunlinked 4 ../../x\nlinked 4 x\nout 4 out-..\npart 4 {CONTENT}.part\nnoise\n"
    )
    assert (store.unlinked, store.linked, store.left_behind) == ({CONTENT: 4096}, {}, {f"{CONTENT}.part": 4096})
