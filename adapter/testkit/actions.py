"""What is done with the jobs of a case while they live: each says whether it is done."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from adapter.core.state import State
from adapter.core.template import quote
from adapter.testkit.case import SHOWS_WITHIN_S, shown, work_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapter.core.job import Job
    from adapter.testkit.case import Action, Context

_HANDED_OVER_WITHIN_S = 3.0  # of jobs that follow each other, where the scheduler itself makes them wait
_MOST_LOOKS = 5  # schedulers show a new job late


def kill_when(holds: Callable[[Job], bool]) -> Action:
    """Kill the first job once *holds*."""

    async def act(context: Context, jobs: list[Job]) -> bool:
        if not holds(jobs[0]):
            return False
        await context.executor.kill(jobs[0].run)
        return True

    return act


async def find_and_kill(context: Context, jobs: list[Job]) -> bool:
    """Look for the running job by its token, then kill it."""
    job, client = jobs[0], context.executor.client
    if job.state is not State.RUNNING:
        return job.state.is_final
    never = job.but(job_id=None, index=job.index + 998, directory=f"{job.directory}.nowhere")
    for _ in range(_MOST_LOOKS):
        found, is_complete = await client.find([job.but(job_id=None), never])
        if found.get(job.key) == job.job_id:
            break
        await asyncio.sleep(1)
    if never.key in found:
        context.notes[job.key] = f"a token that no job has was found as {found[never.key]}"
    elif found.get(job.key) != job.job_id:
        context.notes[job.key] = f"it was not found by its token; found: {found.get(job.key) or 'nothing'}"
    elif client.backend.find is not None and not is_complete:
        context.notes[job.key] = (
            "it was found, but the answer of `find` is no good one: it cannot say that a job is not there"
        )
    await context.executor.kill(job.run)
    return True


async def kill_when_held(context: Context, jobs: list[Job]) -> bool:
    """Kill the job once it is held, or was not for long."""
    job = jobs[0]
    if job.state in {State.WAITING, State.QUEUED}:
        waited_s = 0.0 if job.submitted_at is None else time.time() - job.submitted_at
        if waited_s < SHOWS_WITHIN_S:
            return False
    if job.state is not State.HELD:
        context.notes[job.key] = f"with {' '.join(context.hold)} it was never held; it came {shown(job)}"
    await context.executor.kill(job.run)
    return True


async def kill_second_early(context: Context, jobs: list[Job]) -> bool:
    """Kill the second job alone, while it waits for the first and the third had the time to be handed over."""
    first, second, third = jobs
    if second.state.is_final:
        return True
    if first.state in {State.WAITING, State.QUEUED, State.HELD}:
        return False
    # Where the first was never seen running (a busy machine), it may have ended: the second is killed all the same.
    runs_for_s = time.time() - (first.started_at or 0)
    if first.state is State.RUNNING and third.job_id is None and runs_for_s < _HANDED_OVER_WITHIN_S:
        return False
    await context.executor.kill(second.run, second.index)
    return True


async def kill_third(context: Context, jobs: list[Job]) -> bool:
    """Kill the third job alone, once it runs."""
    job = jobs[2]
    if job.state is not State.RUNNING:
        return job.state.is_final
    await context.executor.kill(job.run, job.index)
    return True


async def write_while_running(context: Context, jobs: list[Job]) -> bool:
    """Write a file into the job's folder while it runs."""
    job = jobs[0]
    if job.state is not State.RUNNING:
        return job.state.is_final
    folder = quote(work_folder(context, job))
    await context.executor.client.ask(
        [f"cd {folder} && echo {quote(job.token)} >question.part && mv question.part question"], 60
    )
    return True
