from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from adapter.config.library import library
from adapter.core.batch import Command
from adapter.core.exit_file import ExitReport
from adapter.core.job import Job
from adapter.core.library import commands_text
from adapter.core.receipt import (
    Probe,
    Receipt,
    SubmitStatus,
    probe_answer,
    probe_step,
    read_probe,
    read_receipt,
    receipt_answer,
    receipt_step,
    submit_step,
)
from adapter.core.render import RenderedJob
from adapter.results import CompletedCommand

from .samples import job_of, toy


def sh(command: str | Command) -> CompletedCommand:
    text = command if isinstance(command, str) else whole(command)
    done = subprocess.run(["sh", "-s"], input=text, capture_output=True, text=True, check=False, timeout=20)
    return CompletedCommand(command=text, exit_code=done.returncode, stdout=done.stdout, stderr=done.stderr)


def whole(command: Command) -> str:
    """The text of *command*, with the functions of the library that it calls."""
    return commands_text(toy(), [command], library()) + command.text


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return job_of(directory=f"{tmp_path}/it's a job")


def folder(job: Job) -> Path:
    return Path(job.directory or "")


def submit(job: Job, command: str, script: str = "echo script\n") -> tuple[Receipt, CompletedCommand]:
    return read_receipt(sh(submit_step(job, RenderedJob(script=script, submit=command), "END-1")))


COUNT = "echo once >>{}/count; echo 'job 7'; echo warning >&2; exit {}"


def times(tmp_path: Path) -> int:
    return len((tmp_path / "count").read_text().splitlines())


def test_a_submit_leaves_script_command_and_answer_for_a_post_mortem(job: Job, tmp_path: Path) -> None:
    receipt, answer = submit(job, COUNT.format(tmp_path, 0), "echo 'script'\n$x `y`\n")
    assert receipt == Receipt(SubmitStatus.ANSWERED, 0)
    assert (answer.exit_code, answer.stdout, answer.stderr) == (0, "job 7\n", "warning\n")
    assert (folder(job) / "script").read_text() == "echo 'script'\n$x `y`\n"
    assert (folder(job) / "submit.1" / "command").read_text() == COUNT.format(tmp_path, 0) + "\n"
    assert (folder(job) / "submit.1" / "exit_code").read_text() == "0\n"
    assert folder(job).stat().st_mode & 0o777 == 0o700


def test_submitting_twice_runs_the_command_once_and_gives_the_same_answer(job: Job, tmp_path: Path) -> None:
    first = submit(job, COUNT.format(tmp_path, 4))
    second = submit(job, COUNT.format(tmp_path, 0))
    assert first[0] == second[0] == Receipt(SubmitStatus.ANSWERED, 4)
    assert (first[1].stdout, first[1].stderr) == (second[1].stdout, second[1].stderr) == ("job 7\n", "warning\n")
    assert times(tmp_path) == 1


def test_a_new_try_runs_the_command_again(job: Job, tmp_path: Path) -> None:
    submit(job, COUNT.format(tmp_path, 0))
    submit(job.but(submit_try=2), COUNT.format(tmp_path, 0))
    assert times(tmp_path) == 2


def test_eight_submits_at_once_run_the_command_once(job: Job, tmp_path: Path) -> None:
    slow = "sleep 0.2; " + COUNT.format(tmp_path, 0)
    with ThreadPoolExecutor(8) as pool:
        receipts = [receipt for receipt, _ in pool.map(lambda _: submit(job, slow), range(8))]
    assert times(tmp_path) == 1
    assert Receipt(SubmitStatus.ANSWERED, 0) in receipts
    assert {receipt.status for receipt in receipts} <= {SubmitStatus.ANSWERED, SubmitStatus.BEGUN}
    assert submit(job, slow)[0] == Receipt(SubmitStatus.ANSWERED, 0)
    assert times(tmp_path) == 1


def test_a_submit_killed_in_the_middle_is_interrupted_and_not_repeated(job: Job, tmp_path: Path) -> None:
    killed = submit(job, f"echo once >>{tmp_path}/count; kill -9 $$")
    assert killed[1].exit_code == -9
    assert submit(job, COUNT.format(tmp_path, 0))[0] == Receipt(SubmitStatus.INTERRUPTED, None)
    assert read_receipt(sh(receipt_step(job)))[0] == Receipt(SubmitStatus.INTERRUPTED, None)
    assert times(tmp_path) == 1


@pytest.mark.parametrize(
    "by",
    [
        pytest.param(f"{os.uname().nodename} {os.getpid()}\n", id="of-a-living-process"),
        pytest.param("another-host 1\n", id="on-another-machine"),
        pytest.param(None, id="that-did-not-say-who-it-is-yet"),
    ],
)
def test_a_try_is_begun(job: Job, by: str | None) -> None:
    attempt = folder(job) / "submit.1"
    attempt.mkdir(parents=True)
    if by is not None:
        (attempt / "by").write_text(by)
    assert submit(job, "exit 1")[0] == Receipt(SubmitStatus.BEGUN, None)


@pytest.mark.parametrize("made", [False, True], ids=["no-directory", "a-directory-without-a-try"])
def test_a_job_that_never_began_is_never_and_asking_changes_nothing(job: Job, made: bool) -> None:
    if made:
        folder(job).mkdir()
    assert read_receipt(sh(receipt_step(job)))[0] == Receipt(SubmitStatus.NEVER, None)
    assert not list(folder(job).glob("*"))
    assert folder(job).exists() is made


def test_a_receipt_is_read_without_submitting(job: Job, tmp_path: Path) -> None:
    submit(job, COUNT.format(tmp_path, 0))
    receipt, answer = read_receipt(sh(receipt_step(job)))
    assert (receipt, answer.stdout) == (Receipt(SubmitStatus.ANSWERED, 0), "job 7\n")
    assert times(tmp_path) == 1


def test_a_directory_that_cannot_be_made_is_unwritable_with_the_shell_s_words(job: Job, tmp_path: Path) -> None:
    folder(job).write_text("a file in its place")
    receipt, answer = submit(job, COUNT.format(tmp_path, 0))
    assert receipt == Receipt(SubmitStatus.UNWRITABLE, None)
    assert "it's a job" in answer.stderr
    assert not (tmp_path / "count").exists()


def test_a_file_in_the_place_of_the_try_is_unwritable_too(job: Job, tmp_path: Path) -> None:
    folder(job).mkdir()
    (folder(job) / "submit.1").write_text("")
    receipt, answer = submit(job, COUNT.format(tmp_path, 0))
    assert receipt == Receipt(SubmitStatus.UNWRITABLE, None)
    assert "submit.1" in answer.stderr


def test_a_script_that_cannot_be_written_gives_the_try_back(job: Job, tmp_path: Path) -> None:
    (folder(job) / "script").mkdir(parents=True)
    assert submit(job, COUNT.format(tmp_path, 0))[0] == Receipt(SubmitStatus.UNWRITABLE, None)
    assert not (folder(job) / "submit.1").exists()
    assert not (tmp_path / "count").exists()


def test_an_answer_that_looks_like_a_receipt_is_only_an_answer(job: Job) -> None:
    receipt, answer = submit(job, "printf '\\nreceipt 9\\n'; exit 2")
    assert (receipt, answer.stdout) == (Receipt(SubmitStatus.ANSWERED, 2), "\nreceipt 9\n")


def test_a_submit_command_cannot_read_the_script_that_follows(job: Job) -> None:
    assert submit(job, "cat; echo 7")[1].stdout == "7\n"


def test_exit_files_and_ids_of_many_jobs_are_read_in_one_go(tmp_path: Path) -> None:
    jobs = [job_of(index=number, directory=f"{tmp_path}/j {number}", job_id=str(number)) for number in range(4)]
    jobs.append(job_of(index=4, directory=f"{tmp_path}/j 4", job_id=None))
    jobs.append(job_of(index=5, directory=f"{tmp_path}/j 5", job_id="5", submit_try=2))
    for job in jobs[1:]:
        folder(job).mkdir()
    (tmp_path / "j 1" / "exit").write_text("exit_code 3\n")
    (tmp_path / "j 2" / "exit").write_text("")
    for number in (3, 4, 5):
        (tmp_path / f"j {number}" / "job_id").symlink_to(f"submit.{number - 3} 9{number}")
    (tmp_path / "j 5" / "exit").write_text("exit_code 0\n")
    assert read_probe(sh(probe_step(jobs)).stdout, jobs) == {
        "r1.1": Probe(None, ExitReport(exit_code=3)),
        "r1.2": Probe(None, None),
        "r1.4": Probe("94", None, submit_try=1),
        "r1.5": Probe("95", ExitReport(exit_code=0), submit_try=2),
    }


def test_an_id_that_the_job_could_not_learn_is_no_id() -> None:
    jobs = [job_of(directory="/j", job_id="5", submit_try=2)]
    assert read_probe("@0\nby unknown\n", jobs).get("r1.1", Probe()).job_id is None


def test_who_runs_is_read_in_the_form_of_earlier_versions_too() -> None:
    assert read_probe("@0\nby 94\n", [job_of(directory="/j")]) == {"r1.1": Probe("94")}


@pytest.mark.parametrize(
    ("probe", "is_another"),
    [
        pytest.param(Probe("7", submit_try=2), False, id="the same try and id"),
        pytest.param(Probe("7"), False, id="the same id, from an earlier version"),
        pytest.param(Probe("8", submit_try=2), True, id="another id"),
        pytest.param(Probe("7", submit_try=1), True, id="another try that took the same id for its own"),
        pytest.param(Probe(None, submit_try=1), False, id="nothing that could be asked for"),
        pytest.param(Probe(), False, id="nobody yet"),
    ],
)
def test_another_submission_is_told_by_its_id_or_its_try(probe: Probe, is_another: bool) -> None:
    assert probe.is_another(job_of(directory="/j", submit_try=2), "7") is is_another


INSIDE = {"FLUX_A": "outer", "QUEUE_ID": "900", "QUEUE_CONF": "/etc/queue.conf", "QUEUE": "mine", "MYQUEUE_ID": "mine"}
DROPPED = {"QUEUE_*": "drop", "QUEUE_CONF": "keep", "FLUX_A": "drop"}


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize(
    ("more", "environment", "left"),
    [
        pytest.param({}, DROPPED, "MYQUEUE_ID QUEUE QUEUE_CONF", id="by pattern, and what is to be kept stays"),
        pytest.param({}, {}, "FLUX_A MYQUEUE_ID QUEUE QUEUE_CONF QUEUE_ID", id="nothing is dropped unasked"),
        pytest.param({}, {"QUEUE_CONF": "keep"}, "FLUX_A MYQUEUE_ID QUEUE QUEUE_CONF QUEUE_ID", id="only what to keep"),
        pytest.param({"QUEUE_B": "a\nMYQUEUE_ID=1\nQUEUE_CONF=2\n"}, DROPPED, "MYQUEUE_ID QUEUE QUEUE_CONF",
                     id="lines of a value that look like variables"),
        pytest.param({"QUEUE_B": "\udcff$(touch x)`touch x` * 'a"}, DROPPED, "MYQUEUE_ID QUEUE QUEUE_CONF",
                     id="a hostile value that is no UTF-8"),
        pytest.param({"QUEUE_B-c": "1", "BASH_FUNC_QUEUE_f%%": "() { :; }"}, DROPPED, "MYQUEUE_ID QUEUE QUEUE_CONF",
                     id="names that are no names"),
        pytest.param({"QUEUE_": ""}, DROPPED, "MYQUEUE_ID QUEUE QUEUE_CONF", id="an empty value"),
    ],
)  # fmt: skip
def test_the_submit_command_does_not_see_the_variables_of_an_outer_job(
    job: Job, tmp_path: Path, shell: str, more: dict[str, str], environment: dict[str, str], left: str
) -> None:
    names = "QUEUE|FLUX"
    seen = f"env | LC_ALL=C grep -a -o -E '^[A-Z_]*({names})[A-Z_]*=' | tr -d '=' | LC_ALL=C sort | tr '\\n' ' '"
    step = submit_step(job, RenderedJob(script="s\n", submit=seen, environment=environment), "END-1")
    mine = {name: text for name, text in os.environ.items() if not name.startswith("QUEUE")}
    done = subprocess.run(
        [shell, "-s"], input=whole(step).encode(), env={**mine, **INSIDE, **more}, capture_output=True, check=False,
        timeout=20, cwd=tmp_path,
    )  # fmt: skip
    assert (done.stdout.split(b"\nreceipt")[0].decode().split(), done.stderr) == (left.split(), b"")
    assert not (tmp_path / "x").exists()


def test_what_a_submit_drops_ends_with_it(job: Job) -> None:
    step = submit_step(job, RenderedJob(script="s\n", submit="true", environment={"HOME": "drop"}), "END-1")
    done = subprocess.run(
        ["sh", "-s"], input=f"({whole(step)})\necho home is $HOME", capture_output=True, text=True, check=False
    )
    assert f"home is {os.environ['HOME']}" in done.stdout


@pytest.mark.parametrize("noise", ["@9\nexit_code 0\n", "@x\nexit_code 0\n", "exit_code 0\n", "@\n"])
def test_a_probe_answer_for_nobody_is_ignored(noise: str) -> None:
    assert read_probe(noise, [job_of(directory="/j")]) == {}


def test_a_stand_in_for_a_machine_can_tell_the_steps_apart(job: Job) -> None:
    step = submit_step(job, RenderedJob(script="s\n", submit="toy 'a b'\nsecond line"), "END-1")
    assert (step.action, step.inner, step.jobs) == ("submit", "toy 'a b'\nsecond line", (job,))
    assert (receipt_step(job).action, receipt_step(job).jobs) == ("receipt", (job,))
    assert (probe_step([job]).action, probe_step([job]).jobs) == ("probe", (job,))


def test_what_a_stand_in_says_is_read_as_what_a_machine_says(job: Job) -> None:
    own = CompletedCommand(command="toy", exit_code=3, stdout="job 7\n", stderr="oh\n")
    assert read_receipt(receipt_answer(own)) == (Receipt(SubmitStatus.ANSWERED, 3), own)
    assert read_receipt(receipt_answer(None))[0] == Receipt(SubmitStatus.NEVER, None)
    other = job_of(directory="/elsewhere").but(index=2)
    text = probe_answer([job, other], {"/elsewhere": "exit_code 4"}, {job.directory or "": "submit.1 7"})
    probes = read_probe(text, [job, other])
    assert (probes[job.key].job_id, probes[job.key].submit_try, probes[job.key].report) == ("7", 1, None)
    report = probes[other.key].report
    assert report
    assert report.exit_code == 4
