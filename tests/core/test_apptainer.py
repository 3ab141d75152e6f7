"""Steps in Apptainer images: whole jobs, run by real shells, with a stand-in that refuses as Apptainer does."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapter.core.backend import merge
from adapter.core.exit_file import ExitReport
from adapter.core.state import Reason

from .samples import shipped_document
from .wrapped import SHELLS, Place, session, until

STAND_IN = Path(__file__).parents[1] / "live" / "stand_ins"
APPTAINER = {
    key: value
    for key, value in shipped_document("apptainer").items()
    if key in {"images", "library", "values", "launch"}
}
HERE = {"limit_ram": True, "watch_walltime": True, "retry_pauses": [0.1, 0.1]}
SUPPORTS = ["walltime", "ram_limit"]


class Site:
    """A workspace with images, the notes of the stand-in, and jobs."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.notes, self.images = folder, folder / "notes", folder / "images"
        self.notes.mkdir()
        self.images.mkdir()
        monkeypatch.setenv("APPTAINER_STAND_IN", str(self.notes))
        monkeypatch.setenv("HOME", str(folder / "home"))
        monkeypatch.setenv("PATH", f"{STAND_IN}:{os.environ['PATH']}")
        (folder / "home").mkdir()

    def image(self, text: str = "SIF\n", name: str = "tool.sif") -> str:
        path = self.images / name
        path.write_text(text)
        return f"file://{path}"

    def job(self, task: dict[str, Any], name: str = "job", **over: Any) -> Place:
        values = {**HERE, "sif_cache": str(self.images), **over.pop("values", {})}
        document = merge(APPTAINER, {"values": values, "supports": SUPPORTS, **over})
        task = {"image": self.image(), **task} if "image" not in task else task
        return Place(self.folder / name, task, **document)

    def noted(self, file: str) -> list[str]:
        path = self.notes / file
        return path.read_text().splitlines() if path.exists() else []

    @property
    def ran(self) -> dict[str, Any]:
        (line,) = self.noted("execs")
        told: dict[str, Any] = json.loads(line)
        return told


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def report_of(here: Place) -> ExitReport:
    assert here.report
    return here.report


# ---- signals ---------------------------------------------------------------------------------------------------------

IGNORES = "trap '' TERM; touch ready; n=0; while [ $n -lt 15 ]; do n=$((n+1)); sleep 0.1; done; touch done"
SAVES = "trap 'sleep 1; touch done; exit 9' TERM; touch ready; while :; do sleep 0.05; done"
FOREVER = "trap '' TERM; touch ready; while :; do sleep 0.05; done"


@pytest.mark.parametrize("command", [pytest.param(IGNORES, id="ignores-it"), pytest.param(SAVES, id="saves-first")])
@pytest.mark.parametrize("shell", SHELLS)
def test_a_killed_job_ends_when_the_step_in_its_image_has(site: Site, shell: str, command: str) -> None:
    here = site.job({"steps": [command, "touch never"]})
    process = here.start(shell)
    assert until((here.directory / "work" / "ready").exists)
    process.send_signal(signal.SIGTERM)
    assert until(lambda: here.report is not None)
    assert (here.directory / "work" / "done").exists()
    process.communicate(timeout=20)
    assert session(process.pid) == []
    assert not (here.directory / "work" / "never").exists()
    assert not (here.directory / "tmp").exists()
    assert (report_of(here).exit_code, report_of(here).reason) == (143, None)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_step_in_an_image_that_never_ends_is_ended_at_the_walltime_before_that_is_told(
    site: Site, shell: str
) -> None:
    here = site.job({"command": FOREVER, "resources": {"walltime": 1}})
    process = here.start(shell)
    assert until(lambda: here.report is not None, within_s=30)
    assert not any("ready" in line for line in session(process.pid))
    process.communicate(timeout=20)
    assert until(lambda: not session(process.pid)), session(process.pid)
    assert (report_of(here).exit_code, report_of(here).reason) == (143, Reason.TIME_LIMIT)


@pytest.mark.parametrize("shell", SHELLS)
def test_usr1_is_for_the_step_in_the_image(site: Site, shell: str) -> None:
    here = site.job(
        {"command": "trap 'touch heard' USR1; touch ready; while [ ! -f heard ]; do sleep 0.05; done; exit 4"}
    )
    process = here.start(shell)
    assert until((here.directory / "work" / "ready").exists)
    process.send_signal(signal.SIGUSR1)
    process.communicate(timeout=20)
    assert process.returncode == 4


# ---- what is seen inside ---------------------------------------------------------------------------------------------

ODD = ["a,b", "a:b", 'say "x"', "back\\slash", 'a, b:c "d\\']


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("shell", SHELLS)
def test_paths_that_bind_would_split_are_shown_by_mount(site: Site, shell: str, odd: str) -> None:
    source = site.folder / f"in {odd}"
    source.write_text("linked\n")
    task = {
        "command": "cat link; pwd",
        "inputs": [{"path": str(source), "to": "link", "link": True}],
        "volumes": [f"/shared {odd}"],
        "workdir": str(site.folder / f"work {odd}"),
    }
    (site.folder / f"work {odd}").mkdir()
    here = site.job(task, name=f"job {odd}")
    (site.folder / f"work {odd}" / "link").symlink_to(source)
    assert here.run(shell) == 0, here.read("stderr")
    assert here.read("stdout") == f"linked\n{site.folder}/work {odd}\n"
    volume = f"{here.directory}/volumes/1"
    work = f"{site.folder}/work {odd}"
    shown = [[work, work, ""], [volume, f"/shared {odd}", ""], [str(source), str(source), "ro"]]
    assert sorted(site.ran["shown"]) == sorted(shown)


def test_plain_paths_are_shown_by_bind_which_old_programs_know(site: Site) -> None:
    here = site.job({"command": "true", "volumes": ["/shared"]})
    assert here.run() == 0
    assert site.ran["--mount"] == []
    assert len(site.ran["--bind"]) == 2


@pytest.mark.parametrize("shell", SHELLS)
def test_what_the_scheduler_gave_arrives_inside_and_the_task_s_own_value_counts(
    site: Site, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "CUDA_VISIBLE_DEVICES": "2,3", "OMP_NUM_THREADS": "4", "TOY_RANK": "a b'c\nOMP_PLACES=no", "OTHER": "stays",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    task = {"command": ["env", "-0"], "env": {"OMP_NUM_THREADS": "1"}}
    here = site.job(task, pass_env={**shipped_document("batch")["pass_env"], "scheduler": ["TOY_*"]})
    assert here.run(shell) == 0
    inside = dict(entry.split("=", 1) for entry in here.read("stdout").split("\0") if entry)
    assert inside.pop("APPTAINER_CONTAINER")
    assert inside == {
        "CUDA_VISIBLE_DEVICES": "2,3", "OMP_NUM_THREADS": "1", "TOY_RANK": "a b'c\nOMP_PLACES=no", "TOY_ID": "7",
        "PATH": "/usr/bin:/bin",
    }  # fmt: skip


def test_a_variable_that_the_prologue_sets_passes_too(site: Site) -> None:
    here = site.job({"command": "echo $OMP_NUM_THREADS"}, prologue=["export OMP_NUM_THREADS=6"])
    assert here.run() == 0
    assert here.read("stdout") == "6\n"


def test_mounts_and_folders_are_paths_of_the_target(site: Site) -> None:
    (site.folder / "home" / "data").mkdir()
    (site.folder / "home" / "my images").mkdir()
    values = {"mounts": ["$HOME/data:/data:ro", "~/data"], "sif_cache": "~/my images"}
    here = site.job({"command": "true", "image": "docker://tools:1"}, values=values)
    assert here.run() == 0, here.read("stderr")
    home = f"{site.folder}/home/data"
    assert [home, "/data", "ro"] in site.ran["shown"]
    assert [home, home, ""] in site.ran["shown"]
    assert site.ran["image"].startswith(f"{site.folder}/home/my images/")
    assert not list(here.directory.rglob("~*"))


# ---- the program -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_a_prologue_may_bring_the_program_beside_a_task_that_has_a_path(
    site: Site, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.environ["PATH"].partition(":")[2])
    task = {"command": "echo $PATH", "env": {"PATH": "/bin:/usr/bin:/nowhere"}}
    here = site.job(task, prologue=[f"export PATH={STAND_IN}:$PATH job= id= launch_job="])
    assert here.run(shell) == 0, here.read("stderr")
    assert here.read("stdout") == "/bin:/usr/bin:/nowhere\n"


def test_a_program_that_is_not_there_fails_the_job_by_name(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.environ["PATH"].partition(":")[2])
    here = site.job({"command": "true"})
    assert here.run() == 125
    assert report_of(here).reason is Reason.LAUNCH_FAILURE
    assert f"{os.uname().nodename} has no apptainer on its PATH" in report_of(here).message


@pytest.mark.parametrize("shell", SHELLS)
def test_a_bound_of_memory_is_for_the_step_and_not_for_the_program_that_starts_it(site: Site, shell: str) -> None:
    here = site.job({"command": ["sh", "-c", "ulimit -v", "a b"], "resources": {"ram_limit": "512 MiB"}})
    assert here.run(shell) == 0, here.read("stderr")
    assert here.read("stdout") == "524288\n"


def test_a_program_that_cannot_start_in_the_site_s_own_bound_is_told(site: Site) -> None:
    here = site.job({"command": "true"}, prologue=["ulimit -v 600000"])
    assert here.run() == 125
    assert report_of(here).reason is Reason.LAUNCH_FAILURE
    assert report_of(here).message.startswith("apptainer: it does not start (address space: 600000 kB): fatal error:")


def test_options_of_the_program_itself_stand_before_its_commands(site: Site) -> None:
    values = {"launcher_options": ["--debug", "--nocolor"], "extra": ["--writable-tmpfs"]}
    here = site.job({"command": "true", "image": "docker://tools:1"}, values=values)
    assert here.run() == 0, here.read("stderr")
    assert "--writable-tmpfs" in site.ran["flags"]


ENDS = [
    pytest.param("nosuch-program", 127, None, id="no-such-command"),
    pytest.param(["/nosuch/program"], 127, None, id="no-such-file"),
    pytest.param(["/etc/passwd"], 126, None, id="not-executable"),
    pytest.param("exit 255", 255, None, id="exit-255"),
    pytest.param("echo 'FATAL: mine' >&2; echo more >&2; exit 255", 255, None, id="own-words-and-more"),
    pytest.param("exit 2", 2, None, id="exit-2"),
    pytest.param("kill -9 $$", 137, None, id="signal-9"),
]


@pytest.mark.parametrize(("command", "code", "reason"), ENDS)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_command_ends_as_elsewhere(site: Site, shell: str, command: Any, code: int, reason: Any) -> None:
    here = site.job({"command": command if isinstance(command, list) or " " in command else [command]})
    assert here.run(shell) == code
    assert (report_of(here).exit_code, report_of(here).reason) == (code, reason)


WRONG = [
    pytest.param("no image\n", Reason.IMAGE, "image format not recognized", id="no-image"),
    pytest.param("SIF damaged\n", Reason.IMAGE, "SQUASHFS superblock on /proc/self/fd/3", id="damaged"),
    pytest.param("SIF nofuse\n", Reason.LAUNCH_FAILURE, "try 'modprobe fuse' first", id="no-fuse"),
]


@pytest.mark.parametrize(("text", "reason", "words"), WRONG)
@pytest.mark.parametrize("shell", SHELLS)
def test_what_the_program_cannot_do_is_a_reason_in_its_words(
    site: Site, shell: str, text: str, reason: Reason, words: str
) -> None:
    here = site.job({"command": "true", "image": site.image(text)})
    assert here.run(shell) == 125
    assert (report_of(here).exit_code, report_of(here).reason) == (125, reason)
    assert report_of(here).message.startswith("apptainer: ")
    assert report_of(here).message.endswith(words)


def test_an_ignored_step_may_lack_its_program_s_help(site: Site) -> None:
    steps = [{"shell": "true", "image": site.image("no image\n", "bad.sif"), "ignore_error": True}, "exit 3"]
    here = site.job({"steps": steps})
    assert here.run() == 3
    assert report_of(here).reason is None


def test_a_file_that_is_not_there_or_may_not_be_read_is_no_image(site: Site) -> None:
    here = site.job({"command": "true", "image": "file:///nowhere/x.sif"})
    assert here.run() == 125
    assert (report_of(here).reason, report_of(here).message) == (Reason.IMAGE, "/nowhere/x.sif: no such file")


# ---- fetching --------------------------------------------------------------------------------------------------------


def pulls(site: Site, image: str, **values: Any) -> Callable[[str], Place]:
    return lambda name: site.job({"command": "true", "image": image}, name=name, values=values)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_registry_that_hangs_is_given_up_and_leaves_no_lock(site: Site, shell: str) -> None:
    here = pulls(site, "docker://hang:1", pull_timeout=2)("job")
    assert here.run(shell) == 125
    assert report_of(here).reason is Reason.IMAGE
    assert report_of(here).message == (
        "docker://hang:1: not fetched within 2 s (values.pull_timeout); the last words: none"
    )
    assert not [path.name for path in site.images.iterdir() if ".lock" in path.name or ".part" in path.name]
    assert site.noted("pulls") == ["docker://hang:1"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_job_killed_while_it_fetches_leaves_no_lock(site: Site, shell: str) -> None:
    here = pulls(site, "docker://hang:1")("job")
    process = here.start(shell)
    assert until(lambda: site.noted("pulls"))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert (report_of(here).exit_code, report_of(here).reason) == (143, None)
    assert list(site.images.iterdir()) == []
    assert until(lambda: not session(process.pid)), session(process.pid)


def test_a_cache_that_cannot_be_made_or_written_is_told_at_once(site: Site) -> None:
    (site.folder / "file").write_text("")
    for number, cache in enumerate([site.folder / "file" / "cache", "/proc/self"]):
        here = pulls(site, "docker://tools:1", sif_cache=str(cache))(f"job{number}")
        assert here.run() == 125
        assert report_of(here).reason is Reason.IMAGE
        assert f"docker://tools:1: cannot write to the cache {cache}: mkdir: " in report_of(here).message
        assert report_of(here).usage.wall_s is not None
        assert report_of(here).usage.wall_s < 20


@pytest.mark.parametrize("shell", SHELLS)
def test_those_who_wait_for_a_fetch_after_one_that_was_refused_take_what_it_brings(site: Site, shell: str) -> None:
    job = pulls(site, "docker://late:1")
    refused = job("refused")
    assert refused.run(shell) == 125
    assert report_of(refused).message.endswith("unauthorized: authentication required")
    places = [job(f"job{number}") for number in range(4)]
    processes = [place.start(shell) for place in places]
    for process in processes:
        process.communicate(timeout=40)
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    assert site.noted("pulls") == ["docker://late:1"] * 2


def test_those_who_wait_for_a_fetch_that_is_refused_are_told_its_words(site: Site) -> None:
    job = pulls(site, "docker://late:1")
    places = [job(f"job{number}") for number in range(3)]
    processes = [place.start() for place in places]
    for process in processes:
        process.communicate(timeout=40)
    told = {report_of(place).message for place in places if report_of(place).exit_code}
    assert len(told) == 1
    assert told.pop().endswith("unauthorized: authentication required")


def test_a_job_that_is_too_small_to_convert_an_image_says_so_and_lets_the_others_try(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = pulls(site, "docker://oom:1")
    small, large = job("small"), job("large")
    small_process = small.start()
    assert until(lambda: site.noted("pulls"))
    monkeypatch.setenv("APPTAINER_STAND_IN_IS_LARGE", "1")
    large_process = large.start()
    for process in (small_process, large_process):
        process.communicate(timeout=30)
    assert (report_of(small).exit_code, report_of(small).reason) == (125, Reason.OUT_OF_MEMORY)
    assert "ask for more ram" in report_of(small).message
    assert large_process.returncode == 0


def test_an_image_is_kept_once_and_its_folders_are_the_site_s(site: Site) -> None:
    assert pulls(site, "docker://tools:1", pull_folder="$HOME/room")("one").run() == 0
    assert not (site.folder / "home" / ".apptainer").exists()
    assert site.noted("temporary")[0].startswith(f"{site.folder}/home/room/")
    assert pulls(site, "docker://tools:2", layer_cache="~/layers")("two").run() == 0
    assert (site.folder / "home" / "layers" / "image").exists()
