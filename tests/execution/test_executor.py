from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from adapter.core.batch import BatchAnswer, BatchResult, Command
from adapter.core.event import EventKind
from adapter.core.job import Job
from adapter.core.state import Reason, State
from adapter.core.task import task_from
from adapter.errors import (
    AuthenticationError,
    ConnectError,
    OutcomeUnknown,
    TaskError,
    TransportError,
    UnsupportedResource,
)
from adapter.execution.executor import Executor
from adapter.results import CompletedCommand
from adapter.store.sqlite import SqliteStore
from adapter.transports.base import Download, Upload
from adapter.transports.scripted import ScriptedTransport

from .stage import ENDLESS, START, TIMED_OUT, UNKNOWN_ID, WELL, Slurm, batches_of, play, said, slurm, tasks, until

LIMIT = said(
    "", "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit)\n", 1
)
TRANSIENT = said("", "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n", 1)
REFUSED = said("", "sbatch: error: invalid partition specified: nosuch\n", 1)


def ends(jobs: list[Job]) -> list[tuple[State, Reason | None]]:
    return [(job.state, job.reason) for job in jobs]


DONE = (State.SUCCEEDED, None)


# -- how much is asked of the machine


@pytest.mark.parametrize(("count", "submits"), [(1, 1), (50, 1), (200, 2)])
def test_the_number_of_calls_does_not_grow_with_the_jobs(store: SqliteStore, count: int, submits: int) -> None:
    scheduler = Slurm(leaves=dict.fromkeys(range(1, count + 1), "exit_code 0"))
    scheduler.accounting = lambda command: "".join(f"{key}|COMPLETED|0:0|3|00:01.500|1G\n" for key in scheduler.jobs)
    story = play(scheduler, store, tasks(count))
    assert ends(story.jobs) == [DONE] * count
    runs = batches_of(scheduler.transport)
    kinds = [
        sorted({command.split()[0] if command[0] != "#" else " ".join(command.split()[:2]) for command in run})
        for run in runs
    ]
    poll = ["# probe", "squeue"]
    assert kinds == [["# prepare", "sbatch"], *[["sbatch"]] * submits, poll, poll, poll, ["sacct"]]
    assert [len(run) for run in runs[1:]] == [*[min(count, 100)] * submits, 2, 2, 2, 1]
    assert len(scheduler.submitted) == count
    assert {job.usage.cpu_s for job in story.jobs} == {1.5}


def test_more_jobs_than_one_command_may_name_are_asked_about_in_chunks(store: SqliteStore) -> None:
    scheduler = Slurm()
    play(scheduler, store, tasks(5), slurm(monitor={"max_ids": 2}, result=None))
    polls = [run for run in batches_of(scheduler.transport) if run[0].startswith("squeue")]
    assert [len(run) for run in polls] == [4, 4, 4]


def test_an_idle_poll_gets_rarer_up_to_its_bound_and_quick_again_when_something_happens(store: SqliteStore) -> None:
    scheduler = Slurm(path=[*["RUNNING|0|None"] * 12, "COMPLETED|0|None"])
    asked: list[float] = []
    transport, squeue = scheduler.transport, scheduler.squeue
    transport.handler.insert(
        0, ("^squeue --noheader", lambda command: (asked.append(scheduler.clock.now()), squeue(command))[1])
    )
    play(scheduler, store, tasks(), slurm(limits={"poll_seconds": [1, 5]}))
    gaps = [round(later - earlier, 2) for earlier, later in pairwise(asked)]
    assert gaps[:6] == pytest.approx([1, 1.5, 2.25, 3.375, 5, 5], abs=0.51)  # looks every half a second
    assert max(gaps) <= 5.5


# -- submits that go wrong


def test_a_refused_submit_fails_one_job_with_the_scheduler_s_words_and_disturbs_no_other(store: SqliteStore) -> None:
    story = play(Slurm(refusals={2: [REFUSED]}), store, tasks(3))
    assert ends(story.jobs) == [DONE, (State.FAILED, Reason.SUBMIT_REFUSED), DONE]
    assert story.jobs[1].message == "the scheduler refused it: sbatch: error: invalid partition specified: nosuch"
    assert story.jobs[1].collected


@pytest.mark.parametrize("code", [1, 42, 160, 255], ids=str)
def test_a_submit_that_fails_in_unknown_words_is_looked_for_repeated_with_pauses_and_then_refused(
    store: SqliteStore, code: int
) -> None:
    scheduler = Slurm(refusals={1: [said(code=code)] * 9})
    story = play(scheduler, store, tasks())
    assert ends(story.jobs) == [(State.FAILED, Reason.SUBMIT_REFUSED)]
    assert story.jobs[0].message == f"the scheduler refused it: exit code {code}, and no word (5 times)"
    assert len(scheduler.submitted) == 5
    assert scheduler.submitted[-1][0] - scheduler.submitted[0][0] > 60  # longer than a server is away for a restart
    assert len(scheduler.transport.commands("^squeue --me")) == 10
    assert [text.partition("; ")[2] for text in story.said("submit_waits")] == [
        "trying again in 5 s, time 1 of 4",
        "trying again in 10 s, time 2 of 4",
        "trying again in 20 s, time 3 of 4",
        "trying again in 30 s, time 4 of 4",
    ]


@pytest.mark.parametrize("code", [1, 160], ids=str)
def test_a_server_that_is_away_for_a_minute_fails_nothing_though_no_pattern_knows_its_words(
    store: SqliteStore, code: int
) -> None:
    scheduler = Slurm(refusals={1: [said("", "qsub: the moon is in the wrong phase\n", code)] * 4})
    story = play(scheduler, store, tasks())
    assert ends(story.jobs) == [DONE]
    assert len(scheduler.jobs) == 1


def test_a_job_whose_submit_is_repeated_says_why_it_waits(store: SqliteStore) -> None:
    seen: list[str] = []

    async def look(executor: Executor, run: str) -> None:
        def is_paused(jobs: list[Job]) -> bool:
            return bool(jobs[0].wait_reason) and not jobs[0].submit_began

        seen.append((await until(executor, run, is_paused))[0].wait_reason)

    play(Slurm(refusals={1: [said("", "an odd thing\n", 1)]}), store, tasks(), during=look)
    assert seen == ["the scheduler refused it: an odd thing"]


def took_effect(answer: Any) -> Any:
    """A submit that takes effect and is answered as if it had not."""

    def submit(scheduler: Slurm, directory: str, run: str, index: int) -> Any:
        scheduler.make(directory, run, index)
        return answer

    return submit


PRINTED = "100\n"
FAULTS = [
    pytest.param(said(PRINTED, "lost the connection\n", 1), id="prints-its-id"),
    pytest.param(said("", "something went wrong\n", 1), id="unknown-words"),
    pytest.param(said("", "", 1), id="no-words"),
    pytest.param(said("", "", 199), id="a-code-that-looks-like-a-signal"),
    pytest.param(said("", "", 137), id="killed"),
    pytest.param(said("", "sbatch: error: Batch job submission failed: Socket timed out\n", 1), id="transient"),
    pytest.param(said(PRINTED, "sbatch: error: invalid partition specified: x\n", 1), id="prints-its-id-and-refuses"),
    pytest.param(said("100\n7\n", "invalid partition specified: x\n", 1), id="prints-two-ids-and-refuses"),
]


@pytest.mark.parametrize("answer", FAULTS)
def test_a_submit_that_took_effect_and_failed_is_found_and_neither_refused_nor_repeated(
    store: SqliteStore, answer: Any
) -> None:
    scheduler = Slurm(refusals={1: [took_effect(answer)]})
    story = play(scheduler, store, tasks())
    assert ends(story.jobs) == [DONE]
    assert story.jobs[0].job_id == "100"
    assert len(scheduler.submitted) == 1


def test_submits_that_print_their_ids_and_fail_alike_are_not_called_refused(store: SqliteStore) -> None:
    scheduler = Slurm()

    def submit(stage: Slurm, directory: str, run: str, index: int) -> Any:
        return said(stage.make(directory, run, index), "the hook of the site failed\n", 1)

    scheduler.refusals = {index: [submit] for index in range(1, 5)}
    story = play(scheduler, store, tasks(4))
    assert ends(story.jobs) == [DONE] * 4
    assert len(scheduler.submitted) == 4
    assert story.said("submit_waits") == []


def test_an_id_that_was_printed_is_believed_where_nobody_can_look(store: SqliteStore) -> None:
    scheduler = Slurm(refusals={1: [took_effect(said(PRINTED, "lost the connection\n", 1))]})
    story = play(scheduler, store, tasks(), backend=slurm(find=None))
    assert ends(story.jobs) == [DONE]
    assert len(scheduler.submitted) == 1


ARRAYS = {"limits": {"arrays": True, "submit_batch": 100}}


def array_submit(answer: Any = None) -> Any:
    """An array that takes effect, and is answered with *answer* (``None``: its id)."""

    def submit(scheduler: Slurm, directory: str, run: str, index: int) -> Any:
        for place in range(5):
            scheduler.jobs[f"100_{place}"] = {
                "index": place + 1, "token": f"adapter-{run}-1-1", "polls": 0, "killed": False,
                "directory": directory.replace("0001-t1", f"{place + 1:04d}-t{place + 1}"),
            }  # fmt: skip
        return answer or said("100\n")

    return submit


def array_squeue(scheduler: Slurm) -> None:
    """The listings of a scheduler that has arrays: the id of the array by its token, and a row for each element."""
    arrays = {key.split("_")[0]: job["token"] for key, job in scheduler.jobs.items()}
    scheduler.transport.handler.insert(
        0, ("^squeue --me", lambda _: "".join(f"{key}|{token}|\n" for key, token in arrays.items()))
    )
    scheduler.transport.handler.insert(
        1, ("^squeue --noh", lambda _: "".join(f"{key}|COMPLETED|0|None|\n" for key in scheduler.jobs))
    )
    for job in scheduler.jobs.values():
        scheduler.transport.exit_files[job["directory"]] = "exit_code 0\n"


def test_an_array_that_took_effect_and_failed_in_unknown_words_is_found_as_a_whole(store: SqliteStore) -> None:
    scheduler = Slurm()

    def submit(stage: Slurm, directory: str, run: str, index: int) -> Any:
        answer = array_submit(said("", "lost the connection\n", 1))(stage, directory, run, index)
        array_squeue(stage)
        return answer

    scheduler.refusals = {1: [submit]}
    story = play(scheduler, store, tasks(5), backend=slurm(**ARRAYS))
    assert ends(story.jobs) == [DONE] * 5
    assert [job.job_id for job in story.jobs] == [f"100_{place}" for place in range(5)]
    assert len(scheduler.submitted) == 1


def test_an_array_over_the_limit_is_halved_where_nothing_of_ours_is_in_the_queue(store: SqliteStore) -> None:
    sizes: list[int] = []

    class Halving(Slurm):
        def sbatch(self, command: str) -> Any:
            found = re.search(r"(\S*/\w+/\d{4}-[^/]*)/script", command)
            assert found
            script = self.transport.scripts[found[1]]
            bounds = re.search(r"--array=0-(\d+)", script)
            sizes.append(int(bounds[1]) + 1 if bounds else 1)
            return LIMIT if sizes[-1] > 2 else super().sbatch(command)

    class Keeping(ScriptedTransport):
        def _receipt(self, command: Command) -> CompletedCommand:
            scripts[str(command.jobs[0].directory)] = command.text
            return super()._receipt(command)

    scripts: dict[str, str] = {}
    transport = Keeping()
    transport.scripts = scripts  # type: ignore[attr-defined]
    scheduler = Halving(transport=transport, path=["COMPLETED|0|None"])
    events: list[str] = []

    async def go() -> None:
        executor = Executor(
            slurm(**ARRAYS), transport=transport, store=store, clock=scheduler.clock,
            on_event=lambda event: events.append(event.text) if event.kind == "smaller_array" else None,
        )  # fmt: skip
        async with executor, asyncio.timeout(20):
            run = await executor.submit(tasks(8))
            await until(executor, run, lambda jobs: any(job.job_id for job in jobs))

    asyncio.run(go())
    assert sizes[:4] == [8, 4, 4, 2]
    assert events == [
        "an array of 8 is over a limit; trying 4 at once",
        "an array of 4 is over a limit; trying 2 at once",
    ]


def test_a_batch_that_is_refused_as_a_whole_in_the_same_unknown_words_is_tried_one_by_one(store: SqliteStore) -> None:
    odd = said("", "sbatch: error: job_submit plugin: the moon is full (job 17)\n", 1)
    scheduler = Slurm(refusals={1: [odd, odd], **{index: [odd] for index in range(2, 7)}})
    story = play(scheduler, store, tasks(6))
    assert ends(story.jobs) == [DONE] * 6
    assert len(scheduler.jobs) == 6
    times = [at for at, _ in scheduler.submitted]
    assert len({*times[:6]}) == 1  # the batch
    assert [index for _, index in scheduler.submitted[6:8]] == [1, 1]  # one job, again and again, until it is taken
    assert times[6] - times[5] >= 5
    assert any(text.startswith("all 6 submits of a batch were refused") for text in story.said("submit_waits"))


def test_a_place_that_refuses_everything_fails_all_jobs_with_its_words_in_a_bounded_time(store: SqliteStore) -> None:
    odd = [said("", "sbatch: error: job_submit plugin: never\n", 1)] * 9
    scheduler = Slurm(refusals={index: list(odd) for index in range(1, 13)})
    story = play(scheduler, store, tasks(12), backend=slurm(limits={"submit_batch": 6}))
    assert ends(story.jobs) == [(State.FAILED, Reason.SUBMIT_REFUSED)] * 12
    assert all("job_submit plugin: never" in job.message for job in story.jobs)
    assert len(scheduler.submitted) == 6 + 4 + 6  # a batch, one of it four more times, the other batch
    assert scheduler.clock.now() - START < 180


def test_a_kill_wins_over_a_repeated_submit(store: SqliteStore) -> None:
    async def kill(executor: Executor, run: str) -> None:
        await until(executor, run, lambda jobs: jobs[0].submit_began)
        await executor.kill(run)

    scheduler = Slurm(refusals={1: [said(code=199)] * 9})
    story = play(scheduler, store, tasks(), during=kill)
    assert ends(story.jobs) == [(State.KILLED, Reason.KILLED_BY_USER)]
    assert len(scheduler.submitted) == 1


def test_a_submit_that_dies_each_time_is_repeated_a_bounded_number_of_times(store: SqliteStore) -> None:
    class Dying(ScriptedTransport):
        tries = 0

        def _receipt(self, command: Command) -> CompletedCommand:
            self.tries += command.action == "submit"
            return said(code=76)

    transport = Dying()
    story = play(Slurm(transport=transport), store, tasks())
    assert ends(story.jobs) == [(State.FAILED, Reason.SUBMIT_UNKNOWN)]
    assert transport.tries == 5


def test_a_submit_that_never_reaches_the_target_is_repeated_with_growing_pauses(store: SqliteStore) -> None:
    scheduler = Slurm(refusals={1: [OutcomeUnknown("cut")] * 5})
    story = play(scheduler, store, tasks())
    assert ends(story.jobs) == [DONE]
    assert scheduler.submitted[-1][0] - scheduler.submitted[0][0] > 0.9 * (1 + 2 + 4 + 8 + 16)
    assert len(story.said("submit_waits")) == 5


def test_after_a_transient_error_the_job_is_looked_for_by_its_token_twice_before_it_is_repeated(
    store: SqliteStore,
) -> None:
    scheduler = Slurm(refusals={1: [TRANSIENT]})
    story = play(scheduler, store, tasks())
    assert ends(story.jobs) == [DONE]
    asked = scheduler.transport.commands("^sbatch --parsable|^squeue --me")
    assert ["sbatch --parsable" in command for command in asked] == [True, False, False, True]
    assert scheduler.submitted[1][0] - scheduler.submitted[0][0] >= 5
    assert story.jobs[0].submit_try == 2


def test_after_a_transient_error_a_job_that_was_made_after_all_is_not_repeated(store: SqliteStore) -> None:
    def made(scheduler: Slurm, *where: Any) -> object:
        scheduler.make(*where)
        return TRANSIENT

    scheduler = Slurm(refusals={1: [made]})
    story = play(scheduler, store, tasks())
    assert ends(story.jobs) == [DONE]
    assert len(scheduler.submitted) == len(scheduler.jobs) == 1
    assert story.jobs[0].job_id == "100"


def test_a_look_that_is_not_answered_is_no_reason_to_repeat(store: SqliteStore) -> None:
    scheduler = Slurm(refusals={1: [TRANSIENT]})
    looks = [TIMED_OUT] * 4
    scheduler.transport.handler.insert(0, ("^squeue --me", lambda command: looks.pop() if looks else ""))
    play(scheduler, store, tasks())
    assert len(scheduler.transport.commands("^squeue --me")) == 6  # four without an answer, two that found nothing
    assert len(scheduler.submitted) == 2


def test_without_find_a_doubtful_submit_is_never_repeated_and_says_what_is_missing(store: SqliteStore) -> None:
    scheduler = Slurm(refusals={1: [TRANSIENT]})
    story = play(scheduler, store, tasks(2), slurm(find=None))
    assert ends(story.jobs) == [(State.LOST, Reason.SUBMIT_UNKNOWN), DONE]
    assert len([index for _, index in scheduler.submitted if index == 1]) == 1
    assert "Socket timed out" in story.jobs[0].message
    assert "the backend has no `find`" in story.jobs[0].message


def test_a_limit_is_waited_for_with_growing_pauses_and_no_search(store: SqliteStore) -> None:
    scheduler = Slurm(refusals={1: [LIMIT] * 4})
    story = play(scheduler, store, tasks())
    assert ends(story.jobs) == [DONE]
    times = [at - START for at, _ in scheduler.submitted]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert [0.9 * 2**n <= gap <= 1.1 * 2**n + 0.5 for n, gap in enumerate(gaps)] == [True] * 4, gaps
    assert scheduler.transport.commands("^squeue --me") == []
    assert story.jobs[0].submit_try == 5
    assert "job submit limit" in story.said("submit_waits")[0]


def test_a_refused_login_stops_all_work_says_so_and_leaves_the_jobs_in_the_store(store: SqliteStore) -> None:
    scheduler = Slurm(refusals={1: [said("", "sbatch: error: Access denied\n", 1)]})
    backend = slurm(errors={"auth": ["Access denied"]}, limits={"submit_batch": 1})
    with pytest.raises(AuthenticationError, match="backend slurm does not accept us: sbatch: error: Access denied"):
        play(scheduler, store, tasks(3), backend)
    assert len(scheduler.submitted) == 1
    assert [(job.state, job.submit_began) for job in store.jobs()] == [(State.WAITING, False)] * 3


def test_a_refused_login_of_the_monitor_stops_all_work_and_judges_no_job(store: SqliteStore) -> None:
    scheduler = Slurm(monitor=[said("", "Access denied\n", 1)])
    with pytest.raises(AuthenticationError, match="does not accept us: Access denied"):
        play(scheduler, store, tasks(), slurm(errors={"auth": ["Access denied"]}))
    assert store.jobs()[0].state is State.QUEUED


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param("ok, it is in\n", "holds no job id; it said: ok, it is in", id="no-job-id"),
        pytest.param("", "holds no job id; it said: nothing", id="nothing"),
        pytest.param("7\n8\n", "holds two job ids, 7 and 8", id="two-job-ids"),
    ],
)
def test_an_answer_without_one_clear_job_id_is_never_repeated_and_ends_as_lost(
    store: SqliteStore, answer: str, message: str
) -> None:
    scheduler = Slurm(refusals={1: [answer]})
    story = play(scheduler, store, tasks(2))
    assert ends(story.jobs) == [(State.LOST, Reason.SUBMIT_UNKNOWN), DONE]
    assert message in story.jobs[0].message
    assert len([index for _, index in scheduler.submitted if index == 1]) == 1
    assert message in story.said("unreadable_submit")[0]


def test_a_job_whose_id_could_not_be_read_is_found_by_its_token(store: SqliteStore) -> None:
    def mumbled(scheduler: Slurm, *where: Any) -> str:
        scheduler.make(*where)
        return "it is in"

    story = play(Slurm(refusals={1: [mumbled]}), store, tasks())
    assert ends(story.jobs) == [DONE]


@pytest.mark.parametrize("happened", [True, False], ids=["it-happened", "it-did-not-happen"])
def test_a_submit_whose_answer_was_lost_on_the_way_makes_exactly_one_job(store: SqliteStore, happened: bool) -> None:
    class Broken(ScriptedTransport):
        cut = True

        async def run_batch(self, commands: Sequence[Command], **options: Any) -> BatchResult:
            submits = any(command.action == "submit" for command in commands)
            cut, self.cut = self.cut and submits, self.cut and not submits
            result = BatchResult([]) if cut and not happened else await super().run_batch(commands, **options)
            if not cut:
                return result
            return BatchResult([BatchAnswer(None) for _ in commands], lost="the connection was lost")

    scheduler = Slurm(transport=Broken())
    story = play(scheduler, store, tasks(3))
    assert ends(story.jobs) == [DONE] * 3
    assert len(scheduler.jobs) == len(scheduler.submitted) == 3


def test_a_machine_that_cannot_be_reached_is_tried_again_with_growing_pauses_and_nothing_is_lost(
    store: SqliteStore,
) -> None:
    scheduler = Slurm(refusals={1: [ConnectError("no route")] * 4})
    times: list[float] = []
    story = play(scheduler, store, tasks(2))
    times = [at for at, index in scheduler.submitted if index == 1]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert ends(story.jobs) == [DONE] * 2
    assert len(scheduler.jobs) == 2
    assert len(story.said("backend_down")) == 4
    assert [0.9 * 2**n <= gap <= 1.1 * 2**n + 0.5 for n, gap in enumerate(gaps)] == [True] * 4, gaps


def test_a_machine_that_was_never_reached_is_given_up_in_the_end(store: SqliteStore) -> None:
    class Away(ScriptedTransport):
        async def run_batch(self, commands: Sequence[Command], **options: Any) -> BatchResult:
            raise ConnectError("no route to host")

    with pytest.raises(ConnectError, match="no route to host"):
        play(Slurm(transport=Away()), store, tasks())
    assert store.jobs()[0].state is State.WAITING


def test_a_workspace_that_cannot_be_made_is_told_with_the_target_s_words(store: SqliteStore) -> None:
    class Full(ScriptedTransport):
        def _step(self, command: Command) -> Any:
            return (
                said("", "mkdir: cannot create directory: Disk quota exceeded\n", 73)
                if command.action == "prepare"
                else super()._step(command)
            )

    with pytest.raises(
        TransportError,
        match=r"cannot use the workspace ~/\.adapter of backend slurm: mkdir: cannot create directory: Disk quota",
    ):
        play(Slurm(transport=Full()), store, tasks())


def test_a_job_whose_directory_cannot_be_written_waits_until_there_is_room_and_says_why(store: SqliteStore) -> None:
    class Full(ScriptedTransport):
        tries = 0

        def _receipt(self, command: Command) -> CompletedCommand:
            if "/0001-" in str(command.jobs[0].directory) and self.tries < 20:
                self.tries += 1
                return said("", "sh: cannot create script: No space left on device\n", 73)
            return super()._receipt(command)

    seen: list[str] = []

    async def look(executor: Executor, run: str) -> None:
        jobs = await until(executor, run, lambda jobs: bool(jobs[0].wait_reason))
        seen.append(jobs[0].wait_reason)

    transport = Full()
    story = play(Slurm(transport=transport), store, tasks(2), during=look)
    assert ends(story.jobs) == [DONE, DONE]
    assert story.jobs[0].submitted_at - story.jobs[1].submitted_at > 60  # type: ignore[operator]
    assert "No space left on device" in seen[0]
    assert story.jobs[0].wait_reason == ""
    assert all("No space left on device" in text for text in story.said("submit_waits"))


# -- answers that go wrong


def test_noise_around_the_rows_of_all_jobs_is_not_worth_a_word(store: SqliteStore) -> None:
    scheduler = Slurm()
    squeue = scheduler.squeue
    scheduler.transport.handler.insert(
        0, ("^squeue --noheader", lambda command: f"*** maintenance ***\n{squeue(command)}")
    )
    story = play(scheduler, store, tasks(3))
    assert ends(story.jobs) == [DONE] * 3
    assert story.said("unreadable_line") == []


def test_an_answer_of_unreadable_lines_alone_is_no_answer(store: SqliteStore) -> None:
    scheduler = Slurm()
    squeue, asked = scheduler.squeue, []

    def odd_for_long(command: str) -> Any:
        asked.append(command)
        return "1 : COMPLETED : 0\n" if len(asked) < 20 else squeue(command)

    scheduler.transport.handler.insert(0, ("^squeue --noheader", odd_for_long))
    story = play(scheduler, store, tasks(1))
    assert ends(story.jobs) == [DONE]
    assert story.said("unreadable_line") == ["a line of the monitor's answer fits no pattern: '1 : COMPLETED : 0'"]


HEADED = "*** soup today ***\nSt Job\n"


@pytest.mark.parametrize(
    ("said_around", "leaves", "end"),
    [
        (said(HEADED, "slurm_load_jobs error: Invalid job id specified\n", 1), {1: "exit_code 3\n"}, State.FAILED),
        (said(HEADED, "", 0), {1: "exit_code 3\n"}, State.FAILED),
        (said(HEADED, "slurm_load_jobs error: Invalid job id specified\n", 1), {}, State.LOST),
    ],
    ids=["gone, exit file", "nothing said, exit file", "gone, no exit file"],
)
def test_a_job_forgotten_before_its_first_look_ends_though_the_scheduler_always_prints_a_header(
    store: SqliteStore, said_around: CompletedCommand, leaves: dict[int, str], end: State
) -> None:
    scheduler = Slurm(path=[None], leaves=leaves)

    def forgetful(command: str) -> CompletedCommand:
        scheduler.squeue(command)
        return said_around

    scheduler.transport.handler.insert(0, ("^squeue --noheader", forgetful))
    story = play(scheduler, store, tasks(1))
    assert [job.state for job in story.jobs] == [end]


def test_a_line_that_names_the_job_is_not_taken_as_its_absence(store: SqliteStore) -> None:
    odd = said("100.server : RUNNING : 0\n", "slurm_load_jobs error: Invalid job id specified\n", 1)
    story = play(Slurm(monitor=[odd] * 30), store, tasks(1))
    assert ends(story.jobs) == [DONE]
    assert 5 <= len(story.said("monitor_failed")) < 30


def test_garbage_around_the_monitor_s_rows_disturbs_no_job_and_is_told_once_if_a_row_is_missing(
    store: SqliteStore,
) -> None:
    scheduler, told = Slurm(), list[str]()
    squeue = scheduler.squeue

    def noisy(command: str) -> Any:
        answer = squeue(command)
        if not isinstance(answer, str):
            return answer
        rows = answer.splitlines(keepends=True)[: 2 if len(told) == 0 else None]
        told.append(command)
        return f"*** maintenance on Sunday ***\n%s\x00\n{''.join(rows)}|||\n"

    scheduler.transport.handler.insert(0, ("^squeue --noheader", noisy))
    story = play(scheduler, store, tasks(3))
    assert ends(story.jobs) == [DONE] * 3
    assert (
        story.said("unreadable_line")[0]
        == "a line of the monitor's answer fits no pattern: '*** maintenance on Sunday ***'"
    )
    assert len(story.said("unreadable_line")) == 3


def test_one_unreadable_line_leaves_its_job_where_it_was_and_moves_the_others(store: SqliteStore) -> None:
    scheduler = Slurm(paths={1: ["RUNNING|0|None", "RUNN", "RUNN", "COMPLETED|0|None"], 2: WELL})
    story = play(scheduler, store, tasks(2))
    assert ends(story.jobs) == [DONE] * 2


def test_a_state_that_nobody_knows_moves_nothing_and_is_named_once(store: SqliteStore) -> None:
    path = ["RUNNING|0|None", *["SLEEPWALKING|0|None"] * 30, "COMPLETED|0|None"]
    story = play(Slurm(path=path), store, tasks(2))
    assert ends(story.jobs) == [DONE] * 2
    assert story.said("unknown_state") == ["the scheduler says 'SLEEPWALKING', which monitor.states does not name"]


def test_a_monitor_that_times_out_ten_times_judges_nobody(store: SqliteStore) -> None:
    scheduler = Slurm(monitor=[TIMED_OUT] * 10)
    story = play(scheduler, store, tasks(2))
    assert ends(story.jobs) == [DONE] * 2
    assert 5 <= len(story.said("monitor_failed")) < 10  # the like is told again after longer and longer pauses
    assert scheduler.clock.now() - START > 60  # longer than a vanished job's grace
    states = [event.kind for event in story.events if event.job and event.job.index == 1]
    assert states == ["queued", "running", "succeeded"]
    assert "Socket timed out" in story.said("monitor_failed")[0]
    assert "no job is judged by that" in story.said("monitor_failed")[0]


@pytest.mark.parametrize(
    ("exit_file", "end"),
    [
        pytest.param("exit_code 0", DONE, id="success"),
        pytest.param("exit_code 3", (State.FAILED, Reason.EXIT_CODE), id="exit-3"),
        pytest.param("", (State.LOST, Reason.VANISHED), id="empty-exit-file"),
        pytest.param(None, (State.LOST, Reason.VANISHED), id="no-exit-file"),
    ],
)
def test_a_job_purged_from_the_queue_ends_by_its_exit_file_or_is_lost_after_its_grace(
    store: SqliteStore, exit_file: str | None, end: tuple[State, Reason | None]
) -> None:
    scheduler = Slurm(path=["RUNNING|0|None", None], leaves={} if exit_file is None else {1: exit_file})
    story = play(scheduler, store, tasks(), slurm(result=None))
    assert ends(story.jobs) == [end]
    gone_for = scheduler.clock.now() - START
    assert (gone_for >= 60) is (end[0] is State.LOST)


def test_a_job_that_is_missing_from_one_answer_only_is_not_judged(store: SqliteStore) -> None:
    path = ["RUNNING|0|None", None, None, "RUNNING|0|None", "COMPLETED|0|None"]
    story = play(Slurm(path=path), store, tasks())
    assert ends(story.jobs) == [DONE]


def test_accounting_that_is_switched_off_is_not_asked_again(store: SqliteStore) -> None:
    scheduler = Slurm(paths={1: ["COMPLETED|0|None"], 2: ["RUNNING|0|None"] * 5 + ["FAILED|768|NonZeroExitCode"]})
    story = play(scheduler, store, tasks(2))
    assert ends(story.jobs) == [DONE, (State.FAILED, Reason.EXIT_CODE)]
    assert story.jobs[1].exit_code == 3
    assert len(scheduler.transport.commands("^sacct")) == 1


def test_accounting_that_is_down_for_a_moment_is_asked_again(store: SqliteStore) -> None:
    scheduler = Slurm(path=["RUNNING|0|None", None], leaves={1: "exit_code 0"})
    answers = [said("", "Sending PersistInit msg: Connection refused\n", 1)]
    scheduler.transport.handler.insert(
        0, ("^sacct", lambda command: answers.pop() if answers else "100|TIMEOUT|0:0|3|00:01|\n")
    )
    story = play(scheduler, store, tasks())
    assert ends(story.jobs) == [(State.FAILED, Reason.TIME_LIMIT)]


def test_a_job_that_can_never_start_is_killed_and_ends_with_its_reason(store: SqliteStore) -> None:
    scheduler = Slurm(paths={1: ["PENDING|0|Dependency", "PENDING|0|DependencyNeverSatisfied"]})
    story = play(scheduler, store, tasks(2))
    assert ends(story.jobs) == [(State.FAILED, Reason.DEPENDENCY), DONE]
    assert story.jobs[0].message == "it can never start: DependencyNeverSatisfied"
    assert scheduler.transport.commands("^scancel") == ["scancel 100"]


# -- kills


def test_a_waiting_job_is_killed_before_anything_leaves(store: SqliteStore) -> None:
    async def kill(executor: Executor, run: str) -> None:
        await executor.kill(run, 2)

    scheduler = Slurm()
    story = play(scheduler, store, tasks(2), slurm(limits={"max_tasks": 1}), kill)
    assert ends(story.jobs) == [DONE, (State.KILLED, Reason.KILLED_BY_USER)]
    assert story.jobs[1].message == "it had not been handed over yet"
    assert len(scheduler.submitted) == 1


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING])
def test_a_job_that_the_scheduler_has_is_killed_by_one_command_and_no_other_is(
    store: SqliteStore, state: State
) -> None:
    async def kill(executor: Executor, run: str) -> None:
        await until(executor, run, lambda jobs: jobs[0].state is state)
        await executor.kill(run, 1)

    scheduler = Slurm(path=ENDLESS[:1] if state is State.QUEUED else ENDLESS, paths={2: WELL})
    story = play(scheduler, store, tasks(2), None, kill)
    assert ends(story.jobs) == [(State.KILLED, Reason.KILLED_BY_USER), DONE]
    assert scheduler.transport.commands("^scancel") == ["scancel 100"]


def test_all_jobs_of_a_run_are_killed_by_one_command(store: SqliteStore) -> None:
    async def kill(executor: Executor, run: str) -> None:
        await until(executor, run, lambda jobs: all(job.job_id for job in jobs))
        await executor.kill(run)

    scheduler = Slurm(path=ENDLESS)
    story = play(scheduler, store, tasks(50), None, kill)
    assert ends(story.jobs) == [(State.KILLED, Reason.KILLED_BY_USER)] * 50
    assert len(scheduler.transport.commands("^scancel")) == 1


def test_a_finished_job_is_left_alone(store: SqliteStore) -> None:
    async def kill(executor: Executor, run: str) -> None:
        await until(executor, run, lambda jobs: jobs[0].state.is_final)
        await executor.kill(run, 1)

    scheduler = Slurm(paths={2: [*["RUNNING|0|None"] * 9, "COMPLETED|0|None"]})
    story = play(scheduler, store, tasks(2), None, kill)
    assert ends(story.jobs) == [DONE, DONE]
    assert scheduler.transport.commands("^scancel") == []


def test_a_kill_of_a_job_that_is_already_gone_is_success(store: SqliteStore) -> None:
    async def kill(executor: Executor, run: str) -> None:
        await until(executor, run, lambda jobs: jobs[0].state is State.RUNNING)
        scheduler.paths[1] = [None]
        await executor.kill(run)

    gone = said("", "scancel: error: Kill job error on job id 100: Invalid job id specified\n", 1)
    scheduler = Slurm(path=ENDLESS, kills=[gone])
    story = play(scheduler, store, tasks(), None, kill)
    assert ends(story.jobs) == [(State.KILLED, Reason.KILLED_BY_USER)]
    assert story.said("kill_failed") == []


GONE = said("", "scancel: error: Kill job error on job id 100: Invalid job id specified\n", 1)


def kill_once_running(executor: Executor, run: str) -> Any:
    async def kill() -> None:
        await until(executor, run, lambda jobs: jobs[0].state is State.RUNNING)
        await executor.kill(run)

    return kill()


def test_a_kill_that_was_answered_gone_is_not_believed_while_the_job_runs_on(store: SqliteStore) -> None:
    scheduler = Slurm(path=ENDLESS, kills=[GONE] * 3)  # as where another cluster was asked
    story = play(scheduler, store, tasks(), None, kill_once_running)
    assert ends(story.jobs) == [(State.KILLED, Reason.KILLED_BY_USER)]
    assert len(scheduler.transport.commands("^scancel")) == 4
    assert len(story.said("kill_failed")) == 2  # the first may be a job that has just ended


def test_a_job_that_is_gone_for_its_kill_and_left_no_evidence_is_lost_and_not_killed(store: SqliteStore) -> None:
    scheduler = Slurm(path=ENDLESS, kills=[GONE] * 9)

    async def kill(executor: Executor, run: str) -> None:
        await until(executor, run, lambda jobs: jobs[0].state is State.RUNNING)
        scheduler.paths[1] = [None]
        await executor.kill(run)

    story = play(scheduler, store, tasks(), slurm(result=None), kill)
    assert ends(story.jobs) == [(State.LOST, Reason.VANISHED)]


def test_gone_after_a_kill_whose_answer_was_lost_is_the_work_of_that_kill(store: SqliteStore) -> None:
    scheduler = Slurm(path=ENDLESS, kills=[said("", "no answer in time", -1), GONE])

    async def kill(executor: Executor, run: str) -> None:
        await until(executor, run, lambda jobs: jobs[0].state is State.RUNNING)
        scheduler.paths[1] = [None]
        await executor.kill(run)

    story = play(scheduler, store, tasks(), slurm(result=None), kill)
    assert ends(story.jobs) == [(State.KILLED, Reason.KILLED_BY_USER)]


def test_one_job_that_is_gone_says_nothing_of_the_others_that_the_same_command_killed(store: SqliteStore) -> None:
    scheduler = Slurm(path=ENDLESS)

    async def kill(executor: Executor, run: str) -> None:
        await until(executor, run, lambda jobs: all(job.state is State.RUNNING for job in jobs))
        scheduler.paths.update({1: ["COMPLETED|0|None"], 2: [None], 3: [None]})
        scheduler.kills.append(GONE)  # about 100; 101 and 102 were killed, and are forgotten at once
        await executor.kill(run)

    story = play(scheduler, store, tasks(3), slurm(result=None), kill)
    assert ends(story.jobs) == [DONE, *[(State.KILLED, Reason.KILLED_BY_USER)] * 2]


def test_a_kill_that_is_refused_for_good_says_when_it_is_given_up(store: SqliteStore) -> None:
    scheduler = Slurm(path=[*ENDLESS, *["RUNNING|0|None"] * 60, "COMPLETED|0|None"])
    scheduler.kills = [said("", "scancel: error: Kill job error on job id 100: Access/permission denied\n", 1)] * 9
    story = play(scheduler, store, tasks(), slurm(kill={"escalate": None}), kill_once_running)
    assert ends(story.jobs) == [DONE]
    assert story.said("kill_failed")[-1].endswith("given up after 5 tries: end job 100 by hand")


@pytest.mark.parametrize(
    ("kills", "why"),
    [
        pytest.param([said("")] * 99, "the scheduler accepted the kill, and was last known to show the job as RUNNING",
                     id="accepted, and nothing happens"),
        pytest.param([said("", "odd words\n", 1)] * 99, "the kill command was not accepted; end job 100 by hand",
                     id="never accepted"),
    ],
)  # fmt: skip
def test_a_job_that_outlives_its_kill_is_told_now_and_then_with_the_reason(
    store: SqliteStore, kills: list[CompletedCommand], why: str
) -> None:
    async def kill(executor: Executor, run: str) -> None:
        await until(executor, run, lambda jobs: jobs[0].job_id is not None)
        await executor.kill(run)

    scheduler = Slurm(path=["RUNNING|0|None"] * 60 + ["COMPLETED|0|None"], kills=kills)
    story = play(scheduler, store, tasks(), during=kill)
    waits = story.said("kill_waits")
    assert waits[0] == f"still there 1m 00s after its kill was asked for: {why}"
    assert 3 <= len(waits) <= 8


def test_a_look_without_a_good_answer_says_what_it_was_answered(store: SqliteStore) -> None:
    scheduler = Slurm(refusals={1: [took_effect(said("", "odd\n", 1))]})
    listing, looks = dict(scheduler.transport.handler)["^squeue --me"], []

    def away(command: str) -> Any:
        looks.append(command)
        return listing(command) if len(looks) > 30 else said("", "the list is not to be had\n", 3)

    scheduler.transport.handler.insert(0, ("^squeue --me", away))
    story = play(scheduler, store, tasks())
    assert ends(story.jobs) == [DONE]
    assert len(story.said("find_failed")) == 2
    assert story.said("find_failed")[0].endswith("; it said: the list is not to be had")


def test_a_refused_kill_is_told_and_repeated_some_seconds_later(store: SqliteStore) -> None:
    times: list[float] = []

    async def kill(executor: Executor, run: str) -> None:
        await until(executor, run, lambda jobs: jobs[0].state is State.RUNNING)
        await executor.kill(run)

    scheduler = Slurm(path=ENDLESS, kills=[said("", "scancel: error: Unable to contact slurm controller\n", 1)] * 2)
    scancel = scheduler.scancel
    scheduler.transport.handler.insert(
        0, ("^scancel", lambda command: (times.append(scheduler.clock.now()), scancel(command))[1])
    )
    story = play(scheduler, store, tasks(), None, kill)
    assert ends(story.jobs) == [(State.KILLED, Reason.KILLED_BY_USER)]
    assert (
        story.said("kill_failed") == ["the kill command said: scancel: error: Unable to contact slurm controller"] * 2
    )
    assert [later - earlier >= 5 for earlier, later in pairwise(times)] == [True, True]


def test_a_job_that_outlives_its_kill_is_killed_harder_once(store: SqliteStore) -> None:
    async def kill(executor: Executor, run: str) -> None:
        await until(executor, run, lambda jobs: jobs[0].state is State.RUNNING)
        await executor.kill(run)

    scheduler = Slurm(path=ENDLESS, kills=[said()])
    story = play(scheduler, store, tasks(), None, kill)
    assert ends(story.jobs) == [(State.KILLED, Reason.KILLED_BY_USER)]
    assert scheduler.transport.commands("^scancel") == ["scancel 100", "scancel --signal=KILL --full 100"]
    job = story.jobs[0]
    assert job.kill_sent_at is not None
    assert job.kill_escalated_at is not None
    assert 40 <= job.kill_escalated_at - job.kill_sent_at < 42


def test_a_refused_harder_kill_is_repeated_gently_and_not_for_ever(store: SqliteStore) -> None:
    async def kill(executor: Executor, run: str) -> None:
        await until(executor, run, lambda jobs: jobs[0].state is State.RUNNING)
        await executor.kill(run)

    no = said("", "scancel: error: Access/permission denied\n", 1)
    scheduler = Slurm(path=[*["RUNNING|0|None"] * 60, "COMPLETED|0|None"], kills=[said(), *[no] * 1000])
    story = play(scheduler, store, tasks(), slurm(limits={"poll_seconds": [1, 5]}), kill)
    assert story.jobs[0].state is State.SUCCEEDED
    assert len(scheduler.transport.commands("^scancel --signal=KILL")) == 5


def test_a_kill_asked_by_another_process_reaches_the_one_that_drives_the_run(store: SqliteStore) -> None:
    async def kill(executor: Executor, run: str) -> None:
        await until(executor, run, lambda jobs: jobs[0].state is State.RUNNING)
        other = SqliteStore.open(store.path)
        other.request_kill(run, None, 0.0)
        other.close()

    story = play(Slurm(path=ENDLESS), store, tasks(), None, kill)
    assert ends(story.jobs) == [(State.KILLED, Reason.KILLED_BY_USER)]


# -- limits


def test_no_more_jobs_than_max_tasks_are_with_the_scheduler_at_once(store: SqliteStore) -> None:
    scheduler = Slurm()
    story = play(scheduler, store, tasks(7), slurm(limits={"max_tasks": 2}))
    assert ends(story.jobs) == [DONE] * 7
    assert scheduler.most_at_once == 2


@pytest.mark.parametrize(
    ("rate", "count", "at_least_s"),
    [pytest.param(3, 8, 120, id="three-a-minute"), pytest.param(0.5, 2, 120, id="one-in-two-minutes")],
)
def test_no_more_jobs_are_submitted_a_minute_than_the_site_allows(
    store: SqliteStore, rate: float, count: int, at_least_s: float
) -> None:
    scheduler = Slurm()
    story = play(scheduler, store, tasks(count), slurm(limits={"submit_per_minute": rate}))
    assert ends(story.jobs) == [DONE] * count
    times = [at for at, _ in scheduler.submitted]
    assert times[-1] - times[0] >= at_least_s
    for at in times:
        assert len([other for other in times if at <= other < at + 60]) <= max(1, rate)


def test_submits_of_other_processes_count_for_the_rate(store: SqliteStore) -> None:
    store.take_slots("slurm", "another process", START - 10, lambda usage: ([], 3))
    store.take_slots("another", "another process", START - 10, lambda usage: ([], 3))
    scheduler = Slurm()
    story = play(scheduler, store, tasks(1), slurm(limits={"submit_per_minute": 3}))
    assert ends(story.jobs) == [DONE]
    assert scheduler.submitted[0][0] - START >= 50


def test_submits_written_before_the_clock_was_set_back_do_not_count_for_the_rate(store: SqliteStore) -> None:
    store.take_slots("slurm", "another process", START + 3600, lambda usage: ([], 10))
    scheduler = Slurm()
    story = play(scheduler, store, tasks(2), backend=slurm(limits={"submit_per_minute": 5}))
    assert ends(story.jobs) == [DONE] * 2
    assert scheduler.clock.now() - START < 60


def test_jobs_that_run_at_once_fit_the_capacity_and_a_big_one_is_not_starved_by_small_ones(store: SqliteStore) -> None:
    scheduler = Slurm()
    sizes = [1, 4, 1, 1, 1, 1]
    wanted = [task for cpu in sizes for task in tasks(1, resources={"cpu": cpu})]
    story = play(scheduler, store, wanted, slurm(limits={"capacity": {"cpu": 4}}))
    assert ends(story.jobs) == [DONE] * 6
    assert [index for _, index in scheduler.submitted] == [1, 2, 3, 4, 5, 6]
    times = [at for at, _ in scheduler.submitted]
    assert times[0] < times[1] < times[2] == times[3] == times[4] == times[5]
    assert scheduler.most_at_once == 4


def test_a_default_counts_against_the_capacity_too(store: SqliteStore) -> None:
    scheduler = Slurm()
    play(scheduler, store, tasks(6), slurm(limits={"capacity": {"cpu": 4}}, defaults={"cpu": 2}))
    assert scheduler.most_at_once == 2


def test_more_than_the_machine_has_is_refused_whenever_it_is_submitted(store: SqliteStore) -> None:
    backend = slurm(limits={"capacity": {"cpu": "machine"}})  # the stand-in has 4
    later: list[str] = []

    async def again(executor: Executor, run: str) -> None:
        await until(executor, run, lambda jobs: all(job.state is not State.WAITING for job in jobs))
        later.append(await executor.submit([*tasks(1, resources={"cpu": 5}), *tasks(1)]))
        await executor.wait(later[0])

    story = play(Slurm(), store, [*tasks(1, resources={"cpu": 5}), *tasks(1)], backend, again)
    assert ends(story.jobs) == [(State.FAILED, Reason.SUBMIT_REFUSED), DONE]
    assert story.jobs[0].message == "it asks for cpu 5; the machine has 4 in all"
    assert ends(store.jobs(later[0])) == [(State.FAILED, Reason.SUBMIT_REFUSED), DONE]


# -- hostile tasks


@pytest.mark.parametrize(
    "name", ["it's", 'say "hi"', "$(touch oops)", "`id`", "é 名 🎉", "a|b;c&d", "--uid=0", "%j", "\\"]
)
def test_a_hostile_task_name_reaches_the_scheduler_as_it_is_and_disturbs_nothing(store: SqliteStore, name: str) -> None:
    scripts: list[str] = []

    class Listening(ScriptedTransport):
        async def run_batch(self, commands: Sequence[Command], **options: Any) -> BatchResult:
            scripts.extend(command.text for command in commands)
            return await super().run_batch(commands, **options)

    story = play(Slurm(transport=Listening()), store, [*tasks(1, name=name), *tasks(1)])
    assert ends(story.jobs) == [DONE] * 2
    assert store.jobs()[0].task.name == name
    step = next(script for script in scripts if "#SBATCH" in script)
    (quoted,) = [line for line in step.splitlines() if "--job-name" in line and line.startswith("#SBATCH")]
    escaped = name.replace("\\", "\\\\")  # directives.quote: doubled
    assert shlex.split(quoted.removeprefix("#SBATCH ")) == [f"--job-name={escaped}"]


def test_a_task_that_cannot_be_rendered_is_refused_before_anything_is_written_down(store: SqliteStore) -> None:
    async def submit(*wanted: Any) -> None:
        executor = Executor(slurm(), transport=ScriptedTransport(), store=store)
        await executor.submit(wanted)

    for wanted, error, words in [
        (task_from({"command": ["a", "b\0c"]}), TaskError, "NUL"),
        (task_from({"command": "a", "image": "debian"}), UnsupportedResource, "image"),
        (task_from({"command": "a", "resources": {"account": "a\nb"}}), TaskError, "line break"),
        (task_from({"command": ["a", "\udcff"]}), TaskError, "half a character"),
    ]:
        with pytest.raises(error, match=words):
            asyncio.run(submit(*tasks(1), wanted))
    with pytest.raises(TaskError, match="there is no task to run"):
        asyncio.run(submit())
    assert store.summaries() == []


# -- files


class Files(ScriptedTransport):
    """Puts and brings files, except those of the tasks that a test names."""

    bad: str = "/0002-"

    async def put(self, uploads: Any, **where: Any) -> None:
        for upload in uploads:
            if self.bad in upload.target:
                raise TransportError(f"cannot put {upload.path} at {upload.target}: No such file or directory")
        await super().put(uploads, **where)

    async def get(self, downloads: Any, **where: Any) -> list[list[str]]:
        for download in downloads:
            if "/0003-" in download.folder:
                raise TransportError(f"cannot bring {download.folder}/{download.pattern}: Permission denied")
        brought = await super().get(downloads, **where)
        return [
            [] if self.bad in download.folder else files for download, files in zip(downloads, brought, strict=True)
        ]


def test_a_failing_put_fails_its_own_job_only_and_nothing_of_it_is_submitted(store: SqliteStore) -> None:
    scheduler = Slurm(transport=Files())
    story = play(scheduler, store, tasks(3, inputs=[{"path": "/nowhere/x", "to": "x"}]))
    assert ends(story.jobs) == [DONE, (State.FAILED, Reason.WORKSPACE), DONE]
    assert "cannot put /nowhere/x" in story.jobs[1].message
    assert [index for _, index in scheduler.submitted] == [1, 3]


@pytest.mark.parametrize("why", ["No space left on device", "Disk quota exceeded", "Read-only file system"])
def test_inputs_that_find_no_room_wait_until_there_is_some(store: SqliteStore, why: str) -> None:
    class Full(ScriptedTransport):
        async def put(self, uploads: Any, **where: Any) -> None:
            if scheduler.clock.now() - START < 3600:
                raise TransportError(f"cannot put /here/x at /w/x: {why}")

    scheduler = Slurm(transport=Full())
    story = play(scheduler, store, tasks(2, inputs=[{"path": "/here/x", "to": "x"}]))
    assert ends(story.jobs) == [DONE] * 2
    assert len(scheduler.submitted) == 2
    assert why in story.said("submit_waits")[0]
    assert len(story.said("submit_waits")) <= 8


def test_inputs_that_find_no_room_where_others_do_fail_their_job_alone(store: SqliteStore) -> None:
    class Small(ScriptedTransport):
        async def put(self, uploads: Any, **where: Any) -> None:
            if any("0002-" in upload.target for upload in uploads):
                raise TransportError(f"cannot put /here/x at {uploads[0].target}: No space left on device")

    scheduler = Slurm(transport=Small())
    story = play(scheduler, store, tasks(3, inputs=[{"path": "/here/x", "to": "x"}]))
    assert ends(story.jobs) == [DONE, (State.FAILED, Reason.WORKSPACE), DONE]
    assert "No space left" in story.jobs[1].message


def test_an_array_that_lost_its_first_element_is_in_the_store_as_it_is_before_it_leaves(store: SqliteStore) -> None:
    transport = Files()
    transport.bad = "/0001-"
    scheduler, written = Slurm(transport=transport), list[tuple[int, str, int, int]]()

    def refuse(command: str) -> CompletedCommand:
        for job in store.jobs(store.summaries()[0].id):
            if job.array is not None and not job.state.is_final:
                written.append((job.index, job.array.token[-4:], job.array.index, job.array.size))
        return said("", "sbatch: error: invalid partition specified: nosuch", 1)

    transport.handler.insert(0, (r"^sbatch (?!--version)", refuse))
    story = play(
        scheduler, store, tasks(3, inputs=[{"content": "x", "to": "x"}]), backend=slurm(limits={"arrays": True})
    )
    assert [job.reason for job in story.jobs] == [Reason.WORKSPACE, Reason.SUBMIT_REFUSED, Reason.SUBMIT_REFUSED]
    assert written == [(2, "-2-1", 0, 2), (3, "-2-1", 1, 2)], "the second leads now, and they are two"


def test_a_connection_lost_while_inputs_are_put_one_by_one_revives_no_failed_job(store: SqliteStore) -> None:
    class Shaky(Files):
        calls = 0

        async def put(self, uploads: Any, **where: Any) -> None:
            self.calls += 1
            if self.calls == 4:  # all at once, then t1, t2 and now t3
                raise ConnectError("gone")
            await super().put(uploads, **where)

    scheduler = Slurm(transport=Shaky())
    story = play(scheduler, store, tasks(3, inputs=[{"content": "x", "to": "x"}]))
    assert ends(story.jobs) == [DONE, (State.FAILED, Reason.WORKSPACE), DONE]
    assert [event.kind for event in story.events if event.job and event.job.index == 2] == ["failed"]


def test_inputs_travel_before_the_submit_to_the_work_folder(store: SqliteStore) -> None:
    scheduler = Slurm()
    story = play(scheduler, store, tasks(1, inputs=[{"path": "/data/a b", "to": "sub/x"}, {"content": "é", "to": "y"}]))
    work = f"/home/scripted/{story.run}/0001-t1/work"
    assert scheduler.transport.uploads == [
        Upload(target=f"{work}/sub/x", path="/data/a b"),
        Upload(target=f"{work}/y", content="é".encode()),
    ]


def test_missing_outputs_and_outputs_that_cannot_be_brought_are_reported_by_job(
    store: SqliteStore, tmp_path: Path
) -> None:
    outputs = [{"path": "*.txt", "to": str(tmp_path)}, {"path": "log", "to": "{{ name }}", "optional": True}]
    scheduler = Slurm(transport=Files())
    story = play(scheduler, store, tasks(4, outputs=outputs))
    assert ends(story.jobs) == [DONE] * 4
    problems = [job.collect_problem for job in story.jobs]
    assert problems[0] == problems[3] == ""
    assert problems[1] == "declared outputs are missing: *.txt"
    assert "Permission denied" in problems[2]
    folder = f"/home/scripted/{story.run}/0001-t1/work"
    arriving = f"{tmp_path}/.adapter-{story.run}-1-1-1.part"
    assert scheduler.transport.downloads[0] == Download(folder=folder, pattern="*.txt", to=arriving)
    assert list(tmp_path.glob(".adapter*")) == []


def test_missing_outputs_of_a_failed_job_are_no_news(store: SqliteStore) -> None:
    scheduler = Slurm(transport=Files(), paths={2: ["FAILED|256|NonZeroExitCode"]})
    story = play(scheduler, store, tasks(2, outputs=["*.x"]))
    assert story.jobs[1].state is State.FAILED
    assert story.jobs[1].collect_problem == ""


def test_a_requeued_job_runs_again_and_ends_once(store: SqliteStore) -> None:
    path = ["RUNNING|0|None", "PENDING|0|BeginTime", "RUNNING|0|None", "COMPLETED|0|None"]
    story = play(Slurm(path=path), store, tasks())
    assert [event.kind for event in story.events if not event.kind.is_state] == ["requeued"]
    assert [(event.kind, event.job.reason) for event in story.events if event.job and event.kind.is_state] == [
        ("queued", None),
        ("running", None),
        ("queued", Reason.REQUEUED),
        ("running", None),
        ("succeeded", None),
    ]


def test_that_a_job_was_requeued_is_still_known_when_it_runs_again(store: SqliteStore) -> None:
    path = ["RUNNING|0|None", "PENDING|0|BeginTime", "PENDING|0|BeginTime", "RUNNING|0|None", "COMPLETED|0|None"]
    story = play(Slurm(path=path), store, tasks())
    assert [each.index for each in store.events(story.run) if each.kind is EventKind.REQUEUED] == [1]


def test_an_unknown_id_in_an_answer_is_nobody_s_business(store: SqliteStore) -> None:
    scheduler = Slurm(monitor=[said("999|COMPLETED|0|None|\n100|PENDING|0|None|\n"), UNKNOWN_ID])
    assert ends(play(scheduler, store, tasks()).jobs) == [DONE]
