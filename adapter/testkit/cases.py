"""The cases of the standard table: what is run, what is done meanwhile, and what must be true at the end."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from adapter.core.document import Document
from adapter.core.job import Job
from adapter.core.render import job_values
from adapter.core.state import Reason, State
from adapter.core.task import After, Input, Output, Resources, Step, Task, Until
from adapter.core.template import quote
from adapter.core.units import format_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from adapter.core.backend import Backend
    from adapter.execution.executor import Executor

HOSTILE = "a  b'c\"d$(touch oops)`touch oops`;e|f>g&h\\i*j~k#l!\té \N{CJK UNIFIED IDEOGRAPH-540D}"
MANY, MANY_QUICK = 100, 5
WALLTIME_S = 60  # the least that some schedulers accept
MEMORY = 64 << 20
MOST_SKEW_S = 60
_SENT = bytes(range(256)) * 40
_LEAF, _LITERAL, _READ = "leaf\n", "literal\n", "read me\n"
SENT = (_SENT, *(text.encode() for text in (_LEAF, _LITERAL, _READ)))
"""The contents of all files that are sent: a target may keep them."""
_NO_QUEUE = "no-such-queue"
_TOUCHED = 30_000_000  # bytes that a task keeps in memory, so that a peak can be seen
_LEAST_SEEN, _MOST_SEEN = 20_000_000, 2 << 30  # what a peak of that may be told as
_MOST_LOOKS = 5  # schedulers show a new job late
_SHOWS_WITHIN_S = 60  # what one machine wrote, another sees: caches of network file systems


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the cases may use: the executor, a folder of ours for files, and the limits to ask for.

    ``hold`` are options of the scheduler's own that make it hold a job; none if nobody named them.
    """

    executor: Executor
    folder: Path
    walltime_s: int = WALLTIME_S
    many: int = MANY
    hold: tuple[str, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)  # what was seen meanwhile, by job key


Expectation = Callable[[Context, list[Job]], Awaitable[str | None]]
Deed = Callable[[Context, list[Job]], Awaitable[bool]]
Need = Callable[["Backend"], str | None]


class NotHereError(Exception):
    """The backend does not do this, in a way that is no mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Tasks, what is done with their jobs while they live, and what must be true at the end (``None``: it is).

    ``needs`` says why a backend cannot have it, ``None`` if it can. ``as_array``: its tasks are handed over in one
    submit. ``is_slow``: it takes a minute or more wherever it runs.
    """

    name: str
    about: str
    tasks: tuple[Task, ...]
    expect: Expectation
    act: Deed | None = None
    needs: Need | None = None
    as_array: bool = False
    is_slow: bool = False


# ---- the table ---------------------------------------------------------------------------------------------------


def cases(context: Context) -> list[Case]:
    """Return the table for *context*."""
    return [
        *_ends(context), *_kills(), *_waits(context), *_texts(), *_files(context), *_order(), *_told(),
        *_together(context),
    ]  # fmt: skip


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
            tasks=(_sh("head -c 400000000 /dev/zero | tail >/dev/null", **_memory(context.executor.backend)),),
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
            about="a running job is killed",
            tasks=(_sh("sleep 600"),),
            act=_kill_when(lambda job: job.state is State.RUNNING),
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


def _waits(context: Context) -> list[Case]:
    held = replace(_sh("exit 0"), native={context.executor.backend.name: context.hold} if context.hold else {})
    return [
        Case(
            name="find",
            about="a running job is found by its token, and one that was never handed over is surely not there",
            tasks=(_sh("sleep 600"),),
            act=_find_and_kill,
            expect=_was_killed,
        ),
        Case(
            name="bad queue",
            about="a queue that does not exist is refused, in the scheduler's own words",
            tasks=(replace(_sh("exit 0"), resources=Resources(queue=_NO_QUEUE)),),
            act=_kill_when(lambda job: job.job_id is not None),
            expect=_refused,
        ),
        Case(
            name="held",
            about="a job that is held is seen as held, and can be killed",
            tasks=(held,),
            needs=lambda _: None if context.hold else "nobody named an option that holds a job: --hold-option",
            act=_kill_when_held,
            expect=_was_killed,
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
            name="environment of a step",
            about="what one step has in its environment, the next has not; nothing of ours is in it",
            tasks=(
                Task(
                    name="check",
                    steps=(
                        Step(argv=("sh", "-c", 'export LEFT=1; echo "$OWN"'), env={"OWN": "own"}),
                        Step(argv=("sh", "-c", 'echo "${OWN-none} ${LEFT-none}"; env | grep -c "^secret_"; :')),
                    ),
                ),
            ),
            expect=_printed("own\nnone none\n0\n"),
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
            needs=_streams_are_apart,
        ),
    ]


def _streams_are_apart(backend: Backend) -> str | None:
    return "it keeps both streams as one (`logs.together`)" if backend.logs_together else None


def _files(context: Context) -> list[Case]:
    folder = context.folder
    source = folder / "sent.bin"
    source.write_bytes(_SENT)
    tree = folder / "tree"
    (tree / "below").mkdir(parents=True, exist_ok=True)
    (tree / "below" / "leaf.txt").write_text(_LEAF, encoding="utf-8")
    sent = (
        Input(path=str(source), to="sent.bin"),
        Input(path=str(tree), to="tree", folder=True),
        Input(content=_LITERAL, to="literal.txt"),
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
            name="shared workspace",
            about="what the login side writes, a running job sees, and the other way round",
            tasks=(_sh(_answer_a_file()),),
            needs=_needs_work_folder,
            act=_write_while_running,
            expect=_files_were_seen,
        ),
        Case(
            name="standard input",
            about="a task reads a file as its standard input",
            tasks=(replace(_sh("cat"), inputs=(Input(content=_READ, to="in.txt"),), stdin="in.txt"),),
            expect=_printed(_READ),
        ),
    ]  # fmt: skip


def _order() -> list[Case]:
    two = _steps("echo one >first", "cat first; echo two")
    stops = _steps("exit 4", "echo never")
    first, bad = replace(_sh("sleep 2; date +%s"), name="first"), replace(_sh("exit 5"), name="bad")
    then = _sh("date +%s")
    return [
        Case(name="steps", about="steps run in order in one folder", tasks=(two,), expect=_printed("one\ntwo\n")),
        Case(name="steps stop", about="the first step that fails ends the task", tasks=(stops,), expect=_ended(4)),
        Case(
            name="after success",
            about="a task runs after the one that it waits for has succeeded",
            tasks=(first, replace(then, after=(After(task="first"),))),
            expect=_in_order,
        ),
        Case(
            name="after failure",
            about="a task whose precondition failed never runs, and says so",
            tasks=(bad, replace(_sh("exit 0"), after=(After(task="bad"),))),
            expect=_not_run,
        ),
        Case(
            name="after any end",
            about="a task that only waits for an end runs after a failure",
            tasks=(
                replace(_sh("sleep 2; date +%s; exit 5"), name="bad"),
                replace(then, after=(After(task="bad", until=Until.ENDED),)),
            ),
            expect=_in_order,
        ),
    ]


def _told() -> list[Case]:
    work = "i=0; while [ $i -lt 400000 ]; do i=$((i + 1)); done; sleep 1"
    return [
        Case(
            name="clock",
            about=f"the clock of the machine that runs the job is within {MOST_SKEW_S} s of the target's",
            tasks=(_sh("date +%s; uname -n >&2"),),
            expect=_clocks_agree,
            needs=_streams_are_apart,
        ),
        Case(
            name="time used", about="wall time and CPU seconds are known", tasks=(_sh(work),), expect=_times_are_known
        ),
        Case(
            name="memory used",
            about="the most memory that a job had is known",
            tasks=(_sh(f"head -c {_TOUCHED} /dev/zero | tail -c {_TOUCHED} >/dev/null; sleep 1"),),
            expect=_peak_is_known,
        ),
    ]


def _together(context: Context) -> list[Case]:
    tasks = tuple(replace(_sh("exit 0"), name=f"many {number}") for number in range(context.many))
    elements = tuple(_sh(line) for line in ("echo one", "echo two; exit 3", "sleep 600", "echo four"))
    return [
        Case(name="many at once", about=f"{context.many} jobs all succeed", tasks=tasks, expect=_ended(0)),
        Case(
            name="array",
            about="tasks handed over in one submit have each their own output and end; one is killed alone",
            tasks=elements,
            needs=lambda backend: None if backend.array else "the backend has no `array`: each task is a submit",
            act=_kill_third,
            expect=_elements_are_their_own,
            as_array=True,
        ),
    ]


def _memory(backend: Backend) -> dict[str, int]:
    """Return the words in which *backend* knows memory; where it knows none, both, which it then refuses."""
    words = {"ram": "ram_bytes", "ram_limit": "ram_limit_bytes"}
    known = [field for name, field in words.items() if backend.is_supported(name)]
    return dict.fromkeys(known or words.values(), MEMORY)


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
        return (
            None
            if came.get("joined.txt") == (_LEAF + _LITERAL).encode()
            else f"joined.txt is {came.get('joined.txt')!r}"
        )

    return expect


async def _in_order(context: Context, jobs: list[Job]) -> str | None:
    stamps = []
    for job, wanted in zip(jobs, (None, State.SUCCEEDED), strict=True):
        text, _ = await context.executor.read_log(job, "stdout") if job.state.is_final and job.directory else ("", 0)
        if not text.strip().isdigit() or wanted not in {None, job.state}:
            return f"the first came {_shown(jobs[0])}, the second {_shown(jobs[1])}"
        stamps.append(int(text))
    if stamps[1] < stamps[0]:
        return f"the second began {stamps[0] - stamps[1]} s before the first ended"
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
    """Return an id of the same form that no job has: its first number made larger than any that is in use."""
    number = re.search(r"\d+", job_id)
    if number is None:
        return job_id[::-1]
    digits = number[0]
    larger = digits.rjust(_ID_DIGITS, "9") if len(digits) < _ID_DIGITS else "9" * len(digits)
    return job_id[: number.start()] + larger + job_id[number.end() :]


async def _refused(_: Context, jobs: list[Job]) -> str | None:
    job = jobs[0]
    if (job.state, job.reason) == (State.FAILED, Reason.SUBMIT_REFUSED):
        return None
    if job.job_id is not None:
        raise NotHereError("the scheduler takes a job for a queue that does not exist, and says so later or never")
    return f"expected failed for {Reason.SUBMIT_REFUSED}, came {_shown(job)}"


async def _files_were_seen(context: Context, jobs: list[Job]) -> str | None:
    job = jobs[0]
    if job.state is not State.SUCCEEDED:
        late = f"; exit code {_UNSEEN}: a file written into {_WORK} by the login side did not show in the job"
        return f"expected succeeded, came {_shown(job)}" + (late if job.exit_code == _UNSEEN else "")
    (answer,) = await context.executor.site.ask([f"cat {quote(_work_folder(context, job))}/answer"], 60)
    said = answer.stdout.strip() if answer else ""
    return None if said == job.token else f"what the job wrote into its folder reads {said!r} on the login side"


async def _clocks_agree(context: Context, jobs: list[Job]) -> str | None:
    job = jobs[0]
    if job.state is not State.SUCCEEDED:
        return f"expected succeeded, came {_shown(job)}"
    text, _ = await context.executor.read_log(job, "stdout")
    since_s = time.time() - (job.submitted_at or job.created_at or time.time())
    (answer,) = await context.executor.site.ask(["date +%s"], 60)
    if answer is None or not (answer.stdout.strip().isdigit() and text.strip().isdigit()):
        return f"`date +%s` said {text!r} in the job, {answer.stdout if answer else ''!r} on the target"
    ahead_s = int(text) - int(answer.stdout)
    behind_s = -since_s - ahead_s
    if max(ahead_s, behind_s) <= MOST_SKEW_S:
        return None
    side = f"{ahead_s:.0f} s ahead of" if ahead_s > 0 else f"{behind_s:.0f} s behind"
    return f"the clock of the machine that ran it is at least {side} the target's: times and limits are wrong by that"


async def _times_are_known(_: Context, jobs: list[Job]) -> str | None:
    job = jobs[0]
    if job.state is not State.SUCCEEDED:
        return f"expected succeeded, came {_shown(job)}"
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


async def _peak_is_known(_: Context, jobs: list[Job]) -> str | None:
    job, peak = jobs[0], jobs[0].usage.peak_ram_bytes
    if job.state is not State.SUCCEEDED:
        return f"expected succeeded, came {_shown(job)}"
    if peak is None:
        raise NotHereError("not told")
    if peak < _LEAST_SEEN:
        raise NotHereError(f"told as {format_bytes(peak)} of {format_bytes(_TOUCHED)}: short peaks are not seen")
    return None if peak <= _MOST_SEEN else f"{format_bytes(_TOUCHED)} are told as {format_bytes(peak)}"


async def _elements_are_their_own(context: Context, jobs: list[Job]) -> str | None:
    if not all(job.array is not None for job in jobs):
        return f"it was not taken as an array, and each was handed over by itself: {context.notes.get(jobs[0].run, '')}"
    ends = [(job.state, job.exit_code) for job in jobs if job.state is not State.KILLED]
    wanted = [(State.SUCCEEDED, 0), (State.FAILED, 3), (State.SUCCEEDED, 0)]
    if ends != wanted or jobs[2].state is not State.KILLED:
        return "expected 0, 3, killed, 0, came " + "; ".join(map(_shown, jobs))
    ids = [job.job_id for job in jobs]
    if len(set(ids)) != len(ids):
        return f"they share an id: {ids}"
    for job, text in ((jobs[0], "one\n"), (jobs[1], "two\n"), (jobs[3], "four\n")):
        said, _ = await context.executor.read_log(job, "stdout")
        if said != text:
            return f"element {job.index} printed {said!r} instead of {text!r}"
    return None


# ---- what is done meanwhile --------------------------------------------------------------------------------------


def _kill_when(holds: Callable[[Job], bool]) -> Deed:
    async def act(context: Context, jobs: list[Job]) -> bool:
        if not holds(jobs[0]):
            return False
        context.executor.kill(jobs[0].run)
        return True

    return act


async def _find_and_kill(context: Context, jobs: list[Job]) -> bool:
    job, site = jobs[0], context.executor.site
    if job.state is not State.RUNNING:
        return job.state.is_final
    never = job.but(job_id=None, index=job.index + 998, directory=f"{job.directory}.nowhere")
    for _ in range(_MOST_LOOKS):
        found, is_complete = await site.find([job.but(job_id=None), never])
        if found.get(job.key) == job.job_id:
            break
        await asyncio.sleep(1)
    if never.key in found:
        context.notes[job.key] = f"a token that no job has was found as {found[never.key]}"
    elif found.get(job.key) != job.job_id:
        context.notes[job.key] = f"it was not found by its token; found: {found.get(job.key) or 'nothing'}"
    elif site.backend.find is not None and not is_complete:
        context.notes[job.key] = (
            "it was found, but the answer of `find` is no good one: it cannot say that a job is not there"
        )
    context.executor.kill(job.run)
    return True


async def _kill_when_held(context: Context, jobs: list[Job]) -> bool:
    job = jobs[0]
    if job.state in {State.WAITING, State.QUEUED}:
        waited_s = 0.0 if job.submitted_at is None else time.time() - job.submitted_at
        if waited_s < _SHOWS_WITHIN_S:
            return False
    if job.state is not State.HELD:
        context.notes[job.key] = f"with {' '.join(context.hold)} it was never held; it came {_shown(job)}"
    context.executor.kill(job.run)
    return True


async def _kill_third(context: Context, jobs: list[Job]) -> bool:
    job = jobs[2]
    if job.state is not State.RUNNING:
        return job.state.is_final
    context.executor.kill(job.run, job.index)
    return True


_WORK, _UNSEEN, _ID_DIGITS = "the job's folder", 66, 7


def _answer_a_file() -> str:
    """Return shell text that waits for a file of the login side, and answers it."""
    wait = f"n=$((n + 1)); [ $n -le {_SHOWS_WITHIN_S} ] || exit {_UNSEEN}; sleep 1; ls >/dev/null"
    return f"n=0; until [ -s question ]; do {wait}; done; cat question >answer.part && mv answer.part answer"


def _needs_work_folder(backend: Backend) -> str | None:
    has = "work_directory" in backend.job_variables and not isinstance(backend.script, Document)
    return None if has else "its jobs see no folder of the target: files travel in other ways"


def _work_folder(context: Context, job: Job) -> str:
    site = context.executor.site
    return str(job_values(site.backend, job, site.workspace)["work_directory"])


async def _write_while_running(context: Context, jobs: list[Job]) -> bool:
    job = jobs[0]
    if job.state is not State.RUNNING:
        return job.state.is_final
    folder = quote(_work_folder(context, job))
    await context.executor.site.ask(
        [f"cd {folder} && echo {quote(job.token)} >question.part && mv question.part question"], 60
    )
    return True


def _shown(job: Job) -> str:
    parts = [job.verdict]
    if job.exit_code is not None:
        parts.append(f"exit code {job.exit_code}")
    return ", ".join(part for part in (*parts, job.message, job.collect_problem) if part)
