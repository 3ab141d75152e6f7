"""An answer that shows no job: what it takes to believe it."""

from __future__ import annotations

import pytest

from adapter.core.state import State
from adapter.errors import CompletedCommand
from adapter.execution.journal import Journal

from .stage import Slurm, play, said, tasks

HISTORY_OFF = said("", "squeue: this cluster is not configured to show that\n", 0)


def test_words_on_standard_error_beside_an_empty_answer_end_no_job(journal: Journal) -> None:
    story = play(Slurm(monitor=[HISTORY_OFF] * 40), journal, tasks(1))
    assert [job.state for job in story.jobs] == [State.SUCCEEDED]
    assert "not configured to show that" in story.said("monitor_failed")[0]


def test_a_job_that_left_its_exit_file_ends_though_the_scheduler_only_says_odd_words(journal: Journal) -> None:
    scheduler = Slurm(path=[None], leaves={1: "exit_code 3\n"})

    def odd(command: str) -> CompletedCommand:
        scheduler.squeue(command)
        return HISTORY_OFF

    scheduler.transport.rules.insert(0, ("^squeue --noheader", odd))
    story = play(scheduler, journal, tasks(1))
    assert [(job.state, job.exit_code) for job in story.jobs] == [(State.FAILED, 3)]


def test_words_that_stood_beside_good_rows_before_are_noise_when_there_are_none(journal: Journal) -> None:
    scheduler = Slurm(path=["RUNNING|0|None", None])

    def chatty(command: str) -> CompletedCommand:
        shown = scheduler.squeue(command)
        return said(shown if isinstance(shown, str) else "", "squeue: a newer version is there\n", 0)

    scheduler.transport.rules.insert(0, ("^squeue --noheader", chatty))
    story = play(scheduler, journal, tasks(1))
    assert [job.state for job in story.jobs] == [State.LOST]


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(said("slurmctld: the listing is not to be had\n"), id="an error text with exit code 0"),
        pytest.param(said("<html>\n<body>Sign in</body></html>\n"), id="html"),
        pytest.param(said("7|other|\n8|adap"), id="a row that breaks off"),
        pytest.param(said("", "an odd thing happened\n"), id="words on standard error alone"),
    ],
)
def test_a_look_that_nobody_can_read_is_no_reason_to_hand_a_job_over_again(
    journal: Journal, look: CompletedCommand
) -> None:
    def made_after_all(scheduler: Slurm, directory: str, run: str, index: int) -> CompletedCommand:
        scheduler.make(directory, run, index)
        return said("", "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n", 1)

    scheduler = Slurm(refusals={1: [made_after_all]})
    listing, looks = dict(scheduler.transport.rules)["^squeue --me"], []

    def odd_at_first(command: str) -> object:
        looks.append(command)
        return look if len(looks) < 5 else listing(command)  # type: ignore[operator]

    scheduler.transport.rules.insert(0, ("^squeue --me", odd_at_first))
    story = play(scheduler, journal, tasks(1))
    assert [job.state for job in story.jobs] == [State.SUCCEEDED]
    assert len(scheduler.submitted) == 1
