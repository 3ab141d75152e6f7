"""How a run ended, in words and as an exit code."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from adapter.cli.display import has_gone_wrong
from adapter.cli.text import counts_text, elapsed_s, job_title, printable, run_time_s, verdict_text
from adapter.core.state import State
from adapter.core.units import format_seconds
from adapter.errors import JobFailed, JobKilled, JobLost, TransportError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapter.core.job import Job
    from adapter.core.task import Task
    from adapter.execution.executor import Executor

MOST_REPORTED = 5
_LAST_LINES = 5
_MISSING = ("No such file", "not found", "can't open", "cannot open", "cannot access")


_BY_STATE = {State.KILLED: JobKilled.exit_code, State.LOST: JobLost.exit_code}


def exit_code_of(jobs: Sequence[Job]) -> int:
    """Return what to exit with once *jobs* have ended.

    0 if all went well. A single task that failed: 128 plus its signal, or its own exit code. Otherwise 11 if all that
    went wrong were killed, 12 if all of it were lost, and 10 for failures, missing files and mixtures.
    """
    wrong = [job for job in jobs if has_gone_wrong(job)]
    if not wrong:
        return 0
    if len(jobs) == 1 and jobs[0].state is State.FAILED:
        own = 128 + jobs[0].signal if jobs[0].signal else jobs[0].exit_code or 0
        return own if 0 < own < 256 else JobFailed.exit_code  # a shell keeps one byte: 256 would be 0
    codes = {_BY_STATE.get(job.state, JobFailed.exit_code) for job in wrong}
    return codes.pop() if len(codes) == 1 else JobFailed.exit_code


def summary(jobs: Sequence[Job]) -> str:
    """Return one line for a run that has ended."""
    if len(jobs) == 1:
        ran_s = run_time_s(jobs[0], 0)
        return f"{jobs[0].key} {verdict_text(jobs[0])}" + (f" ({format_seconds(ran_s)})" if ran_s is not None else "")
    took = format_seconds(elapsed_s(jobs, 0))
    return f"run {jobs[0].run}: {counts_text(jobs)} ({took})"


async def failure_lines(executor: Executor, jobs: Sequence[Job], *, with_stderr: bool, with_verdict: bool) -> list[str]:
    """Return what to say about those of *jobs* that went wrong: verdict, last words, hint, and what to type next.

    The verdict of a single job is left out unless *with_verdict*: its summary has said it.
    """
    wrong = [job for job in jobs if has_gone_wrong(job)]
    lines: list[str] = []
    for job in wrong[:MOST_REPORTED]:
        if len(jobs) > 1 or with_verdict:
            lines.append(f"{job_title(job)} {verdict_text(job)}")
        stderr = await _last_words(executor, job)
        if with_stderr:
            lines += [f"    | {line}" for line in stderr]
        lines += missing_input_hints(job, stderr)
        if job.job_id is not None:
            lines.append(f"  next: adapter logs {job.key}{' --stderr' if stderr else ''}")
    if len(wrong) > MOST_REPORTED:
        lines.append(f"and {len(wrong) - MOST_REPORTED} more that went wrong: adapter status {jobs[0].run}")
    return lines


async def _last_words(executor: Executor, job: Job) -> list[str]:
    if job.job_id is None:
        return []
    try:
        text, _ = await executor.read_log(job, "stderr", lines=_LAST_LINES)
    except TransportError:
        return []
    return printable(text.replace("\r", "\n")).splitlines()[-_LAST_LINES:]


def missing_input_hints(job: Job, stderr: Sequence[str]) -> list[str]:
    """Return a line for each file that the command names, that is here and that was not sent."""
    said_so = job.exit_code in {2, 126, 127} or any(word in line for line in stderr for word in _MISSING)
    if job.state is not State.FAILED or not said_so or job.task.workdir is not None:
        return []
    sent = {item.to.split("/")[0] for item in job.task.inputs}
    names = dict.fromkeys(word for word in _words(job.task) if not word.startswith(("/", "-", "~")))
    return [
        f"  {printable(name)} is here but was not sent: add --input {shlex.quote(name)}, or --workdir ."
        for name in names
        if name.removeprefix("./").split("/")[0] not in sent and name not in {".", ".."} and os.path.isfile(name)  # noqa: PTH113
    ]


def _words(task: Task) -> list[str]:
    words: list[str] = []
    for step in task.steps:
        try:
            words += step.argv if step.argv is not None else shlex.split(step.shell or "")
        except ValueError:
            continue
    return words
