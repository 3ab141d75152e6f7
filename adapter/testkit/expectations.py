"""What must be true at the end of a case: each gives the words for what is not, ``None`` if all is well."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from adapter.core.answers import classify
from adapter.core.state import Reason, State
from adapter.core.template import quote
from adapter.core.units import format_bytes
from adapter.testkit.case import LEAF, LITERAL, MOST_SKEW_S, TOUCHED, UNSEEN, WORK, NotHereError, shown, work_folder

if TYPE_CHECKING:
    from pathlib import Path

    from adapter.core.job import Job
    from adapter.testkit.case import Context, Expectation

_LEAST_SEEN, _MOST_SEEN = 20_000_000, 2 << 30  # what a peak of memory may be told as
_ID_DIGITS = 7


def ended(code: int) -> Expectation:
    """Every job ended with the exit code *code*."""

    async def expect(_: Context, jobs: list[Job]) -> str | None:
        wanted = State.SUCCEEDED if code == 0 else State.FAILED
        for job in jobs:
            if (job.state, job.exit_code) != (wanted, code):
                return f"expected {wanted} with exit code {code}, came {shown(job)}"
        return None

    return expect


def failed_for(reason: Reason) -> Expectation:
    """The first job failed for *reason*."""

    async def expect(_: Context, jobs: list[Job]) -> str | None:
        if (jobs[0].state, jobs[0].reason) != (State.FAILED, reason):
            return f"expected failed for {reason}, came {shown(jobs[0])}"
        return None

    return expect


async def out_of_memory(_: Context, jobs: list[Job]) -> str | None:
    """The first job was ended because its memory ran out."""
    job = jobs[0]
    if (job.state, job.reason) == (State.FAILED, Reason.OUT_OF_MEMORY):
        return None
    if job.state is State.SUCCEEDED:
        raise NotHereError("memory is not enforced here: the task had more than it asked for")
    if job.state is State.FAILED:
        raise NotHereError(f"it is ended, but nothing says that memory was why: {shown(job)}")
    return f"expected failed for {Reason.OUT_OF_MEMORY}, came {shown(job)}"


async def was_killed(context: Context, jobs: list[Job]) -> str | None:
    """The first job was killed, and nothing odd was noted meanwhile."""
    job = jobs[0]
    return context.notes.get(job.key) if job.state is State.KILLED else f"expected killed, came {shown(job)}"


def printed(stdout: str, stderr: str | None = None) -> Expectation:
    """The first job wrote these texts; ``None``: whatever it wrote."""

    async def expect(context: Context, jobs: list[Job]) -> str | None:
        if jobs[0].state is not State.SUCCEEDED:
            return f"expected succeeded, came {shown(jobs[0])}"
        for stream, wanted in (("stdout", stdout), ("stderr", stderr)):
            if wanted is None:
                continue
            text, _ = await context.executor.read_log(jobs[0], stream)
            if text != wanted:
                return f"expected {wanted!r} on {stream}, came {text!r}"
        return None

    return expect


def files_came(folder: Path, source: Path) -> Expectation:
    """What was sent came back unchanged into *folder*."""

    async def expect(_: Context, jobs: list[Job]) -> str | None:
        if jobs[0].state is not State.SUCCEEDED or jobs[0].collect_problem:
            return f"expected succeeded, came {shown(jobs[0])}"
        came = {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}
        if came.get("copy.bin") != source.read_bytes():
            return "copy.bin came back changed" if "copy.bin" in came else f"copy.bin did not come back, {sorted(came)}"
        return (
            None if came.get("joined.txt") == (LEAF + LITERAL).encode() else f"joined.txt is {came.get('joined.txt')!r}"
        )

    return expect


async def in_order(context: Context, jobs: list[Job]) -> str | None:
    """The second job began after the first had ended."""
    stamps = []
    for job, wanted in zip(jobs, (None, State.SUCCEEDED), strict=True):
        text, _ = await context.executor.read_log(job, "stdout") if job.state.is_final and job.directory else ("", 0)
        if not text.strip().isdigit() or wanted not in {None, job.state}:
            return f"the first came {shown(jobs[0])}, the second {shown(jobs[1])}"
        stamps.append(int(text))
    if stamps[1] < stamps[0]:
        return f"the second began {stamps[0] - stamps[1]} s before the first ended"
    return None


async def not_run(_: Context, jobs: list[Job]) -> str | None:
    """The second job failed for its dependency."""
    second = jobs[1]
    if (second.state, second.reason) != (State.FAILED, Reason.DEPENDENCY):
        return f"expected failed for dependency, came {shown(second)}"
    return None


def third_ran(state: State, reason: Reason) -> Expectation:
    """The second job ended like this without having run, and the third, which only waited for its end, did well."""

    async def expect(_: Context, jobs: list[Job]) -> str | None:
        second, third = jobs[1:]
        if (second.state, second.reason) != (state, reason):
            return f"expected the second {state} for {reason}, came {shown(second)}"
        return None if third.state is State.SUCCEEDED else f"expected the third succeeded, came {shown(third)}"

    return expect


async def kill_again(context: Context, jobs: list[Job]) -> str | None:
    """To kill a job that has ended, and to ask about it, is harmless."""
    client, job = context.executor.client, jobs[0]
    refusal = (await client.kill([job]))[job.key]
    if refusal is not None and classify(context.executor.backend, refusal) != "gone":
        return f"the kill command said: {refusal.words or refusal.exit_code}"
    poll = await client.poll([job])
    if poll.problem is not None:
        return f"asking about it again gave no good answer: {poll.problem.words}"
    after = context.executor.jobs[job.key]
    return None if after.state is job.state else f"it became {shown(after)}"


async def ask_unknown(context: Context, jobs: list[Job]) -> str | None:
    """An id that no job has is said to be of no state."""
    client, job = context.executor.client, jobs[0]
    unknown = replace(
        job, job_id=id_unlike(job.job_id or "1"), directory=f"{job.directory}.nowhere", index=job.index + 1
    )
    poll = await client.poll([unknown])
    seen = poll.evidence[unknown.key].observation
    if poll.problem is not None:
        return f"no good answer about {unknown.job_id}: {poll.problem.words or poll.problem.exit_code}"
    return None if seen is None else f"{unknown.job_id} is said to be {seen.state}"


def id_unlike(job_id: str) -> str:
    """Return an id of the same form that no job has: its first number made larger than any that is in use."""
    number = re.search(r"\d+", job_id)
    if number is None:
        return job_id[::-1]
    digits = number[0]
    larger = digits.rjust(_ID_DIGITS, "9") if len(digits) < _ID_DIGITS else "9" * len(digits)
    return job_id[: number.start()] + larger + job_id[number.end() :]


async def refused(_: Context, jobs: list[Job]) -> str | None:
    """The first job was refused when it was handed over."""
    job = jobs[0]
    if (job.state, job.reason) == (State.FAILED, Reason.SUBMIT_REFUSED):
        return None
    if job.job_id is not None:
        raise NotHereError("the scheduler takes a job for a queue that does not exist, and says so later or never")
    return f"expected failed for {Reason.SUBMIT_REFUSED}, came {shown(job)}"


async def files_were_seen(context: Context, jobs: list[Job]) -> str | None:
    """The job and the login side saw each other's files."""
    job = jobs[0]
    if job.state is not State.SUCCEEDED:
        late = f"; exit code {UNSEEN}: a file written into {WORK} by the login side did not show in the job"
        return f"expected succeeded, came {shown(job)}" + (late if job.exit_code == UNSEEN else "")
    (answer,) = await context.executor.client.ask([f"cat {quote(work_folder(context, job))}/answer"], 60)
    said = answer.stdout.strip() if answer else ""
    return None if said == job.token else f"what the job wrote into its folder reads {said!r} on the login side"


async def clocks_agree(context: Context, jobs: list[Job]) -> str | None:
    """The clock of the machine that ran the job agrees with the target's."""
    job = jobs[0]
    if job.state is not State.SUCCEEDED:
        return f"expected succeeded, came {shown(job)}"
    text, _ = await context.executor.read_log(job, "stdout")
    since_s = time.time() - (job.submitted_at or job.created_at or time.time())
    (answer,) = await context.executor.client.ask(["date +%s"], 60)
    if answer is None or not (answer.stdout.strip().isdigit() and text.strip().isdigit()):
        return f"`date +%s` said {text!r} in the job, {answer.stdout if answer else ''!r} on the target"
    ahead_s = int(text) - int(answer.stdout)
    behind_s = -since_s - ahead_s
    if max(ahead_s, behind_s) <= MOST_SKEW_S:
        return None
    side = f"{ahead_s:.0f} s ahead of" if ahead_s > 0 else f"{behind_s:.0f} s behind"
    return f"the clock of the machine that ran it is at least {side} the target's: times and limits are wrong by that"


async def times_are_known(_: Context, jobs: list[Job]) -> str | None:
    """Wall time and CPU seconds are told, and can be true."""
    job = jobs[0]
    if job.state is not State.SUCCEEDED:
        return f"expected succeeded, came {shown(job)}"
    wall_s, cpu_s = job.usage.wall_s, job.usage.cpu_s
    if cpu_s is None and job.usage.user_s is not None:
        cpu_s = job.usage.user_s + (job.usage.system_s or 0)
    unknown = [name for name, value in (("wall time", wall_s), ("CPU seconds", cpu_s)) if value is None]
    if unknown:
        raise NotHereError(f"not told: {', '.join(unknown)}")
    assert wall_s is not None
    assert cpu_s is not None
    is_right = 1 <= wall_s < 600 and 0 < cpu_s <= wall_s + 1
    return None if is_right else f"it worked for over a second, and is told as {wall_s:g} s with {cpu_s:g} CPU seconds"


async def peak_is_known(_: Context, jobs: list[Job]) -> str | None:
    """The peak of memory is told, and can be true."""
    job, peak = jobs[0], jobs[0].usage.peak_ram_bytes
    if job.state is not State.SUCCEEDED:
        return f"expected succeeded, came {shown(job)}"
    if peak is None:
        raise NotHereError("not told")
    if peak < _LEAST_SEEN:
        raise NotHereError(f"told as {format_bytes(peak)} of {format_bytes(TOUCHED)}: short peaks are not seen")
    return None if peak <= _MOST_SEEN else f"{format_bytes(TOUCHED)} are told as {format_bytes(peak)}"


async def elements_are_their_own(context: Context, jobs: list[Job]) -> str | None:
    """Each element of the array has its own end, id and output; one was killed alone."""
    if not all(job.array is not None for job in jobs):
        return f"it was not taken as an array, and each was handed over by itself: {context.notes.get(jobs[0].run, '')}"
    ends = [(job.state, job.exit_code) for job in jobs if job.state is not State.KILLED]
    wanted = [(State.SUCCEEDED, 0), (State.FAILED, 3), (State.SUCCEEDED, 0)]
    if ends != wanted or jobs[2].state is not State.KILLED:
        return "expected 0, 3, killed, 0, came " + "; ".join(map(shown, jobs))
    ids = [job.job_id for job in jobs]
    if len(set(ids)) != len(ids):
        return f"they share an id: {ids}"
    for job, text in ((jobs[0], "one\n"), (jobs[1], "two\n"), (jobs[3], "four\n")):
        said, _ = await context.executor.read_log(job, "stdout")
        if said != text:
            return f"element {job.index} printed {said!r} instead of {text!r}"
    return None
