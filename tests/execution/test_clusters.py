"""Jobs of several clusters at once: each is asked for where it is, and one number on two of them is two jobs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import pytest

from adapter.core.job import Job
from adapter.core.state import State
from adapter.execution.scheduler_client import SchedulerClient
from adapter.store.sqlite import SqliteStore
from adapter.transports.scripted import ScriptedTransport

from .stage import Slurm, play, said, slurm, tasks

MONITOR = {"a": "1|RUNNING|0|None|\n2|PENDING|0|None|\n", "b": "1|PENDING|0|None|\n"}
ACCOUNTING = {"a": "1|FAILED|3:0|5||\n", "b": "1|COMPLETED|0:0|5||\n"}


def jobs_of(*ids: str) -> list[Job]:
    return [
        Job(run="r", index=index, task=tasks()[0], job_id=one, state=State.QUEUED, directory=f"/w/r/{index}")
        for index, one in enumerate(ids, 1)
    ]


def client_of(transport: ScriptedTransport, **over: object) -> SchedulerClient:
    return SchedulerClient(slurm(**over), transport)


def by_cluster(answers: dict[str, str]) -> object:
    def answer(command: str) -> str:
        cluster = re.search(r"--clusters=(\w+)", command)
        return answers[cluster[1]] if cluster else "1|SUSPENDED|0|None|\n"

    return answer


def test_a_poll_asks_each_cluster_once_about_its_own_jobs() -> None:
    transport = ScriptedTransport([("^squeue", by_cluster(MONITOR))])  # type: ignore[list-item]
    jobs = jobs_of("1;a", "1;b", "2;a", "1")
    poll = asyncio.run(client_of(transport).poll(jobs))
    states = [poll.evidence[job.key].observation for job in jobs]
    assert [seen and seen.state for seen in states] == [State.RUNNING, State.QUEUED, State.QUEUED, State.SUSPENDED]
    asked = [re.findall(r"--(?:jobs|clusters)=(\S+)", command) for command in transport.commands("^squeue")]
    assert asked == [["1,2", "a"], ["1", "b"], ["1"]]


def test_accounting_is_asked_where_the_job_ran() -> None:
    transport = ScriptedTransport([("^sacct", by_cluster(ACCOUNTING))])  # type: ignore[list-item]
    jobs = jobs_of("1;a", "1;b")
    found = asyncio.run(client_of(transport).results(jobs))
    assert [found[job.key].state for job in jobs] == [State.FAILED, State.SUCCEEDED]


def test_a_kill_ends_the_job_of_that_cluster_only() -> None:
    transport = ScriptedTransport()
    asyncio.run(client_of(transport).kill(jobs_of("1;b", "2;b")))
    asyncio.run(client_of(transport).kill(jobs_of("1;b"), harder=True))
    assert transport.commands("^scancel") == [
        "scancel 1 2 --clusters=b",
        "scancel --signal=KILL --full 1 --clusters=b",
    ]


def look(answer: str, jobs: Sequence[Job], **over: object) -> tuple[dict[str, str], list[str]]:
    transport = ScriptedTransport([("^squeue", answer)])
    found, complete = asyncio.run(client_of(transport, **over).find(jobs))
    assert complete
    return found, transport.commands("squeue --me")


def test_find_looks_into_the_clusters_of_the_site_and_keeps_the_one_that_has_the_job() -> None:
    job = jobs_of("1")[0].but(job_id=None)
    found, commands = look(f"7|{job.token}|b|\n9|(null)|a|\n", [job], values={"clusters": "a,b"})
    assert found == {job.key: "7;b"}
    assert "clusters=a,b" in commands[0]


def test_a_job_on_another_cluster_lives_and_ends_there(store: SqliteStore) -> None:
    scheduler = Slurm()
    transport = scheduler.transport
    transport.handler.insert(0, ("^sbatch (?!--version)", lambda command: scheduler.sbatch(command).strip() + ";far\n"))  # type: ignore[union-attr]
    story = play(scheduler, store, tasks(2), slurm(values={"clusters": "near,far"}))
    assert [(job.job_id, job.state) for job in story.jobs] == [
        ("100;far", State.SUCCEEDED),
        ("101;far", State.SUCCEEDED),
    ]
    assert all("--clusters=near,far" in command for command in transport.commands("^sbatch --parsable"))
    assert {re.search(r"--clusters=(\S+)", each)[1] for each in transport.commands("^squeue|^sacct")} == {"far"}  # type: ignore[index]


@pytest.mark.parametrize("words", ["", "slurm_load_jobs error: Invalid job id specified\n"])
def test_a_cluster_that_does_not_show_its_job_says_nothing_about_the_others(words: str) -> None:
    def answer(command: str) -> object:
        return said("", words, 1) if "--clusters=b" in command else MONITOR["a"]

    transport = ScriptedTransport([("^squeue", answer)])  # type: ignore[list-item]
    jobs = jobs_of("1;a", "1;b")
    poll = asyncio.run(client_of(transport).poll(jobs))
    seen = [poll.evidence[job.key] for job in jobs]
    assert [(one.answered, one.observation is not None) for one in seen] == [(True, True), (bool(words), False)]
