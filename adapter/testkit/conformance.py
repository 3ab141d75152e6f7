"""The standard table: small real jobs on a live backend, and whether each ended as it must.

``adapter check`` runs it on a site, our live tests on every scheduler that we can start.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from adapter.core.job import Job
from adapter.core.render import render_job
from adapter.core.state import Reason, State
from adapter.core.task import After, Input, Output, Resources, Step, Task
from adapter.errors import AdapterError, TaskError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from adapter.execution.executor import Executor

HOSTILE = "a  b'c\"d$(touch oops)`touch oops`;e|f>g&h\\i*j~k#l!\té \N{CJK UNIFIED IDEOGRAPH-540D}"
MANY, MANY_QUICK = 100, 5
WALLTIME_S = 60  # the least that some schedulers accept
MEMORY = 64 << 20
_LOOK_S = 0.2
_MOST_LOOKS = 5  # schedulers show a new job late


class Verdict(StrEnum):
    """How a case stands. ``NOT_HERE``: the backend says that it has no such thing. ``UNLIKE``: it ended otherwise."""

    OK = "ok"
    NOT_HERE = "not here"
    UNLIKE = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one case. ``why`` says what came instead, or why it was not tried; empty for ``OK``."""

    name: str
    about: str
    verdict: Verdict
    why: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the cases may use: the executor, a folder of ours for files, and the limits to ask for."""

    executor: Executor
    folder: Path
    walltime_s: int = WALLTIME_S
    many: int = MANY
    notes: dict[str, str] = field(default_factory=dict)  # what was seen meanwhile, by job key


Expectation = Callable[[Context, list[Job]], Awaitable[str | None]]
Deed = Callable[[Context, list[Job]], Awaitable[bool]]


class NotHereError(Exception):
    """The backend does not do this, in a way that is no mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Tasks, what is done with their jobs while they live, and what must be true at the end (``None``: it is)."""

    name: str
    about: str
    tasks: tuple[Task, ...]
    expect: Expectation
    act: Deed | None = None
    is_slow: bool = False


async def run(  # noqa: PLR0913 (each bounds the table in its own way)
    executor: Executor,
    *,
    folder: Path,
    image: str | None = None,
    quick: bool = False,
    walltime_s: int = WALLTIME_S,
    many: int | None = None,
    only: Sequence[str] = (),
    tell: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Run the table on an entered *executor* and return the outcomes in order.

    *image* is the container image that the tasks get, with ``sh`` in it. *quick* leaves out what takes minutes.
    *walltime_s* is what the walltime case asks for; *many* the number of jobs at once. *only* names the cases to run.
    *folder* is an empty folder here, for the files that are brought. *tell* hears of each outcome as it is known.
    """
    context = Context(
        executor=executor, folder=folder, walltime_s=walltime_s, many=many or (MANY_QUICK if quick else MANY)
    )
    outcomes: dict[str, Outcome] = {}

    def known(outcome: Outcome) -> None:
        outcomes[outcome.name] = outcome
        if tell:
            tell(outcome)

    chosen = [case for case in cases(context) if not only or case.name in only]
    possible: list[Case] = []
    for case in (_in_image(case, image) for case in chosen):
        if quick and case.is_slow:
            known(_outcome(case, Verdict.NOT_HERE, "it takes minutes: left out of a quick check"))
        elif (refusal := _refusal(executor, case)) is not None:
            known(_outcome(case, Verdict.NOT_HERE, refusal))
        else:
            possible.append(case)
    await asyncio.gather(*(_run_case(context, case, known) for case in possible))
    return [outcomes[case.name] for case in chosen]


def _in_image(case: Case, image: str | None) -> Case:
    return replace(case, tasks=tuple(replace(task, image=image) for task in case.tasks))


def _refusal(executor: Executor, case: Case) -> str | None:
    try:
        for task in case.tasks:
            render_job(executor.backend, Job(run="r", index=1, task=task), "/workspace")
    except TaskError as error:
        return str(error)
    return None


def _outcome(case: Case, verdict: Verdict, why: str = "", seconds: float = 0.0) -> Outcome:
    return Outcome(name=case.name, about=case.about, verdict=verdict, why=why, seconds=seconds)


async def _run_case(context: Context, case: Case, known: Callable[[Outcome], None]) -> None:
    began = time.monotonic()
    try:
        run_id = await context.executor.submit(case.tasks, name=f"check {case.name}")
        acting = asyncio.create_task(_act(context, case, run_id))
        try:
            jobs = await context.executor.wait(run_id)
        finally:
            acting.cancel()
        why = await case.expect(context, jobs)
    except NotHereError as error:
        known(_outcome(case, Verdict.NOT_HERE, str(error), time.monotonic() - began))
        return
    except AdapterError as error:
        why = f"{type(error).__name__}: {error}"
    known(_outcome(case, Verdict.UNLIKE if why else Verdict.OK, why or "", time.monotonic() - began))


async def _act(context: Context, case: Case, run_id: str) -> None:
    while case.act and not await case.act(context, context.executor.jobs_of(run_id)):
        await asyncio.sleep(_LOOK_S)


# ---- the table ---------------------------------------------------------------------------------------------------


def cases(context: Context) -> list[Case]:
    """Return the table for *context*."""
    return [*_ends(context), *_kills(), *_texts(), *_files(context), *_order(), *_together(context)]


def _ends(context: Context) -> list[Case]:
    return [
        Case(name="exit 0", about="success, with the exit code 0", tasks=(_sh("exit 0"),), expect=_ended(0)),
        Case(name="exit 3", about="failed, with the exit code 3", tasks=(_sh("exit 3"),), expect=_ended(3)),
        Case(name="exit 200", about="failed, with the exit code 200", tasks=(_sh("exit 200"),), expect=_ended(200)),
        Case(
            name="signal",
            about="a command that dies by signal 9 has the exit code 137",
            tasks=(_sh("sh -c 'kill -9 $$'; exit $?"),),
            expect=_ended(137),
        ),
        Case(
            name="walltime",
            about=f"a task over its walltime of {context.walltime_s} s is ended, for that reason",
            tasks=(_sh("sleep 600", walltime_s=context.walltime_s),),
            expect=_failed_for(Reason.TIME_LIMIT),
            is_slow=context.walltime_s >= WALLTIME_S,
        ),
        Case(
            name="memory",
            about="a task over its memory is ended, for that reason",
            tasks=(_sh("head -c 400000000 /dev/zero | tail >/dev/null", ram_bytes=MEMORY, ram_limit_bytes=MEMORY),),
            expect=_out_of_memory,
        ),
        Case(
            name="command not found",
            about="it fails, with the exit code 127",
            tasks=(_sh("no-such-command-here"),),
            expect=_ended(127),
        ),
    ]


def _kills() -> list[Case]:
    return [
        Case(
            name="kill at once",
            about="a job killed as soon as it was handed over is killed",
            tasks=(_sh("sleep 600"),),
            act=_kill_when(lambda job: job.job_id is not None),
            expect=_was_killed,
        ),
        Case(
            name="kill running",
            about="a running job is found by its token, and killed",
            tasks=(_sh("sleep 600"),),
            act=_find_and_kill,
            expect=_was_killed,
        ),
        Case(
            name="kill finished",
            about="killing a job that has ended, and asking about it again, does no harm",
            tasks=(_sh("exit 0"),),
            expect=_kill_again,
        ),
        Case(
            name="unknown id",
            about="asking about a job that is not there is answered, and disturbs no other",
            tasks=(_sh("sleep 2"),),
            expect=_ask_unknown,
        ),
    ]


def _texts() -> list[Case]:
    return [
        Case(
            name="arguments",
            about="hostile words arrive as they are",
            tasks=(Task(name="check arguments", steps=(Step(argv=("printf", "%s\n", HOSTILE, "", " ")),)),),
            expect=_printed(f"{HOSTILE}\n\n \n"),
        ),
        Case(
            name="environment",
            about="hostile values of the environment arrive as they are",
            tasks=(replace(_sh('printf "%s\\n" "$HOSTILE" "$EMPTY."'), env={"HOSTILE": HOSTILE, "EMPTY": ""}),),
            expect=_printed(f"{HOSTILE}\n.\n"),
        ),
        Case(
            name="name",
            about="a task's name may hold anything printable",
            tasks=(replace(_sh("exit 0"), name='it\'s "a" $name; `x` | 50%'),),
            expect=_ended(0),
        ),
        Case(
            name="stdout and stderr",
            about="both come back, each by itself",
            tasks=(_sh("echo out; echo err >&2"),),
            expect=_printed("out\n", "err\n"),
        ),
    ]


def _files(context: Context) -> list[Case]:
    folder = context.folder
    source = folder / "sent.bin"
    source.write_bytes(bytes(range(256)) * 40)
    tree = folder / "tree"
    (tree / "below").mkdir(parents=True, exist_ok=True)
    (tree / "below" / "leaf.txt").write_text("leaf\n", encoding="utf-8")
    sent = (
        Input(path=str(source), to="sent.bin"),
        Input(path=str(tree), to="tree", folder=True),
        Input(content="literal\n", to="literal.txt"),
    )
    brought = (Output(path="copy.bin", to=str(folder / "back")), Output(path="*.txt", to=str(folder / "back")))
    copy = "cat sent.bin >copy.bin && cat tree/below/leaf.txt literal.txt >joined.txt"
    return [
        Case(
            name="work folder",
            about="the task runs in a fresh folder that it can write",
            tasks=(_sh("[ -z \"$(ls)\" ] && echo x >made && cat made"),),
            expect=_printed("x\n"),
        ),
        Case(
            name="inputs and outputs",
            about="files, folders and literal text go there, files come back, byte by byte",
            tasks=(replace(_sh(copy), inputs=sent, outputs=brought),),
            expect=_files_came(folder / "back", source),
        ),
        Case(
            name="standard input",
            about="a task reads a file as its standard input",
            tasks=(replace(_sh("cat"), inputs=(Input(content="read me\n", to="in.txt"),), stdin="in.txt"),),
            expect=_printed("read me\n"),
        ),
    ]  # fmt: skip


def _order() -> list[Case]:
    two = _steps("echo one >first", "cat first; echo two")
    stops = _steps("exit 4", "echo never")
    first, bad = replace(_sh("exit 0"), name="first"), replace(_sh("exit 5"), name="bad")
    return [
        Case(name="steps", about="steps run in order in one folder", tasks=(two,), expect=_printed("one\ntwo\n")),
        Case(name="steps stop", about="the first step that fails ends the task", tasks=(stops,), expect=_ended(4)),
        Case(
            name="after success",
            about="a task runs after the one that it waits for has succeeded",
            tasks=(first, replace(_sh("exit 0"), after=(After(task="first"),))),
            expect=_in_order,
        ),
        Case(
            name="after failure",
            about="a task whose precondition failed never runs, and says so",
            tasks=(bad, replace(_sh("exit 0"), after=(After(task="bad"),))),
            expect=_not_run,
        ),
    ]


def _together(context: Context) -> list[Case]:
    tasks = tuple(replace(_sh("exit 0"), name=f"many {number}") for number in range(context.many))
    return [Case(name="many at once", about=f"{context.many} jobs all succeed", tasks=tasks, expect=_ended(0))]


def _steps(*lines: str) -> Task:
    return Task(name="check", steps=tuple(Step(argv=("sh", "-c", line)) for line in lines))


def _sh(line: str, **resources: int) -> Task:
    return replace(_steps(line), resources=Resources(**resources))  # type: ignore[arg-type]


# ---- what must be true -------------------------------------------------------------------------------------------


def _ended(code: int) -> Expectation:
    async def expect(_: Context, jobs: list[Job]) -> str | None:
        wanted = State.SUCCEEDED if code == 0 else State.FAILED
        for job in jobs:
            if (job.state, job.exit_code) != (wanted, code):
                return f"expected {wanted} with exit code {code}, came {_shown(job)}"
        return None

    return expect


def _failed_for(reason: Reason) -> Expectation:
    async def expect(_: Context, jobs: list[Job]) -> str | None:
        if (jobs[0].state, jobs[0].reason) != (State.FAILED, reason):
            return f"expected failed for {reason}, came {_shown(jobs[0])}"
        return None

    return expect


async def _out_of_memory(_: Context, jobs: list[Job]) -> str | None:
    job = jobs[0]
    if (job.state, job.reason) == (State.FAILED, Reason.OUT_OF_MEMORY):
        return None
    if job.state is State.SUCCEEDED:
        raise NotHereError("memory is not enforced here: the task had more than it asked for")
    if job.state is State.FAILED:
        raise NotHereError(f"it is ended, but nothing says that memory was why: {_shown(job)}")
    return f"expected failed for {Reason.OUT_OF_MEMORY}, came {_shown(job)}"


async def _was_killed(context: Context, jobs: list[Job]) -> str | None:
    job = jobs[0]
    return context.notes.get(job.key) if job.state is State.KILLED else f"expected killed, came {_shown(job)}"


def _printed(stdout: str, stderr: str | None = None) -> Expectation:
    async def expect(context: Context, jobs: list[Job]) -> str | None:
        if jobs[0].state is not State.SUCCEEDED:
            return f"expected succeeded, came {_shown(jobs[0])}"
        for stream, wanted in (("stdout", stdout), ("stderr", stderr)):
            if wanted is None:
                continue
            text, _ = await context.executor.read_log(jobs[0], stream)
            if text != wanted:
                return f"expected {wanted!r} on {stream}, came {text!r}"
        return None

    return expect


def _files_came(folder: Path, source: Path) -> Expectation:
    async def expect(_: Context, jobs: list[Job]) -> str | None:
        if jobs[0].state is not State.SUCCEEDED or jobs[0].collect_problem:
            return f"expected succeeded, came {_shown(jobs[0])}"
        came = {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}
        if came.get("copy.bin") != source.read_bytes():
            return "copy.bin came back changed" if "copy.bin" in came else f"copy.bin did not come back, {sorted(came)}"
        return None if came.get("joined.txt") == b"leaf\nliteral\n" else f"joined.txt is {came.get('joined.txt')!r}"

    return expect


async def _in_order(_: Context, jobs: list[Job]) -> str | None:
    first, second = jobs
    if second.state is not State.SUCCEEDED:
        return f"the first came {_shown(first)}, the second {_shown(second)}"
    return None


async def _not_run(_: Context, jobs: list[Job]) -> str | None:
    second = jobs[1]
    if (second.state, second.reason) != (State.FAILED, Reason.DEPENDENCY):
        return f"expected failed for dependency, came {_shown(second)}"
    return None


async def _kill_again(context: Context, jobs: list[Job]) -> str | None:
    site, job = context.executor.site, jobs[0]
    refusal = (await site.kill([job]))[job.key]
    if refusal is not None:
        return f"the kill command said: {refusal.words or refusal.exit_code}"
    poll = await site.poll([job])
    if poll.problem is not None:
        return f"asking about it again gave no good answer: {poll.problem.words}"
    after = context.executor.jobs[job.key]
    return None if after.state is job.state else f"it became {_shown(after)}"


async def _ask_unknown(context: Context, jobs: list[Job]) -> str | None:
    site, job = context.executor.site, jobs[0]
    unknown = replace(job, job_id=_unlike(job.job_id or "1"), directory=f"{job.directory}.nowhere", index=job.index + 1)
    poll = await site.poll([unknown])
    seen = poll.evidence[unknown.key].observation
    if poll.problem is not None:
        return f"no good answer about {unknown.job_id}: {poll.problem.words or poll.problem.exit_code}"
    return None if seen is None else f"{unknown.job_id} is said to be {seen.state}"


def _unlike(job_id: str) -> str:
    """Return an id of the same form that no job has: its first group of digits changed beyond any that is in use."""
    digits = "".join("9" if letter.isdigit() else letter for letter in job_id)
    return digits if digits != job_id else job_id[::-1]


# ---- what is done meanwhile --------------------------------------------------------------------------------------


def _kill_when(holds: Callable[[Job], bool]) -> Deed:
    async def act(context: Context, jobs: list[Job]) -> bool:
        if not holds(jobs[0]):
            return False
        context.executor.kill(jobs[0].run)
        return True

    return act


async def _find_and_kill(context: Context, jobs: list[Job]) -> bool:
    job = jobs[0]
    if job.state is not State.RUNNING:
        return job.state.is_final
    for _ in range(_MOST_LOOKS):
        found, _complete = await context.executor.site.find([job.but(job_id=None)])
        if found.get(job.key) == job.job_id:
            break
        await asyncio.sleep(1)
    else:
        context.notes[job.key] = f"it was not found by its token; found: {found or 'nothing'}"
    context.executor.kill(job.run)
    return True


def _shown(job: Job) -> str:
    parts = [job.verdict]
    if job.exit_code is not None:
        parts.append(f"exit code {job.exit_code}")
    return ", ".join(part for part in (*parts, job.message, job.collect_problem) if part)
