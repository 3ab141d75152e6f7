"""The cases of the standard table: what is run, what is done meanwhile, and what must be true at the end."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from adapter.core.document import Document
from adapter.core.state import Reason, State
from adapter.core.task import After, Input, Output, Resources, Step, Task, Until
from adapter.testkit.actions import (
    find_and_kill,
    kill_second_early,
    kill_third,
    kill_when,
    kill_when_held,
    write_while_running,
)
from adapter.testkit.case import LEAF, LITERAL, MOST_SKEW_S, SHOWS_WITHIN_S, TOUCHED, UNSEEN, WALLTIME_S, Case
from adapter.testkit.expectations import (
    ask_unknown,
    clocks_agree,
    elements_are_their_own,
    ended,
    failed_for,
    files_came,
    files_were_seen,
    in_order,
    kill_again,
    not_run,
    out_of_memory,
    peak_is_known,
    printed,
    refused,
    third_ran,
    times_are_known,
    was_killed,
)

if TYPE_CHECKING:
    from adapter.core.backend import Backend
    from adapter.testkit.case import Context

HOSTILE = "a  b'c\"d$(touch oops)`touch oops`;e|f>g&h\\i*j~k#l!\té \N{CJK UNIFIED IDEOGRAPH-540D}"
MANY_QUICK = 5
MEMORY = 64 << 20
_SENT, _READ = bytes(range(256)) * 40, "read me\n"
SENT = (_SENT, *(text.encode() for text in (LEAF, LITERAL, _READ)))
"""The contents of all files that are sent: a target may keep them."""
_NO_QUEUE = "no-such-queue"


# ---- the table ---------------------------------------------------------------------------------------------------


def cases(context: Context) -> list[Case]:
    """Return the table for *context*."""
    return [
        *_ends(context), *_kills(), *_waits(context), *_texts(), *_files(context), *_order(),
        *_launcher(context), *_told(),
        *_together(context),
    ]  # fmt: skip


def _ends(context: Context) -> list[Case]:
    return [
        Case(name="exit 0", about="success, with the exit code 0", tasks=(_sh("exit 0"),), expect=ended(0)),
        Case(name="exit 3", about="failed, with the exit code 3", tasks=(_sh("exit 3"),), expect=ended(3)),
        Case(
            name="exit 200",
            about="failed, with the exit code 200",
            tasks=(_sh("exit 200"),),
            expect=ended(200),
        ),
        Case(
            name="signal",
            about="a command that dies by signal 9 has the exit code 137",
            tasks=(_sh("sh -c 'kill -9 $$'; exit $?"),),
            expect=ended(137),
        ),
        Case(
            name="walltime",
            about=f"a task over its walltime of {context.walltime_s} s is ended, for that reason",
            tasks=(_sh("sleep 600", walltime_s=context.walltime_s),),
            expect=failed_for(Reason.TIME_LIMIT),
            is_slow=context.walltime_s >= WALLTIME_S,
        ),
        Case(
            name="memory",
            about="a task over its memory is ended, for that reason",
            tasks=(_sh("head -c 400000000 /dev/zero | tail >/dev/null", **_memory(context.executor.backend)),),
            expect=out_of_memory,
        ),
        Case(
            name="command not found",
            about="it fails, with the exit code 127",
            tasks=(_sh("no-such-command-here"),),
            expect=ended(127),
        ),
    ]


def _kills() -> list[Case]:
    return [
        Case(
            name="kill at once",
            about="a job killed as soon as it was handed over is killed",
            tasks=(_sh("sleep 600"),),
            act=kill_when(lambda job: job.job_id is not None),
            expect=was_killed,
        ),
        Case(
            name="kill running",
            about="a running job is killed",
            tasks=(_sh("sleep 600"),),
            act=kill_when(lambda job: job.state is State.RUNNING),
            expect=was_killed,
        ),
        Case(
            name="kill finished",
            about="killing a job that has ended, and asking about it again, does no harm",
            tasks=(_sh("exit 0"),),
            expect=kill_again,
        ),
        Case(
            name="unknown id",
            about="asking about a job that is not there is answered, and disturbs no other",
            tasks=(_sh("sleep 2"),),
            expect=ask_unknown,
        ),
    ]


def _waits(context: Context) -> list[Case]:
    held = replace(_sh("exit 0"), native={context.executor.backend.name: context.hold} if context.hold else {})
    return [
        Case(
            name="find",
            about="a running job is found by its token, and one that was never handed over is surely not there",
            tasks=(_sh("sleep 600"),),
            act=find_and_kill,
            expect=was_killed,
        ),
        Case(
            name="bad queue",
            about="a queue that does not exist is refused, in the scheduler's own words",
            tasks=(replace(_sh("exit 0"), resources=Resources(queue=_NO_QUEUE)),),
            act=kill_when(lambda job: job.job_id is not None),
            expect=refused,
        ),
        Case(
            name="held",
            about="a job that is held is seen as held, and can be killed",
            tasks=(held,),
            needs=lambda _: None if context.hold else "nobody named an option that holds a job: --hold-option",
            act=kill_when_held,
            expect=was_killed,
        ),
    ]


def _texts() -> list[Case]:
    return [
        Case(
            name="arguments",
            about="hostile words arrive as they are",
            tasks=(Task(name="check arguments", steps=(Step(argv=("printf", "%s\n", HOSTILE, "", " ")),)),),
            expect=printed(f"{HOSTILE}\n\n \n"),
        ),
        Case(
            name="environment",
            about="hostile values of the environment arrive as they are",
            tasks=(replace(_sh('printf "%s\\n" "$HOSTILE" "$EMPTY."'), env={"HOSTILE": HOSTILE, "EMPTY": ""}),),
            expect=printed(f"{HOSTILE}\n.\n"),
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
            expect=printed("own\nnone none\n0\n"),
        ),
        Case(
            name="name",
            about="a task's name may hold anything printable",
            tasks=(replace(_sh("exit 0"), name='it\'s "a" $name; `x` | 50%'),),
            expect=ended(0),
        ),
        Case(
            name="stdout and stderr",
            about="both come back, each by itself",
            tasks=(_sh("echo out; echo err >&2"),),
            expect=printed("out\n", "err\n"),
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
    (tree / "below" / "leaf.txt").write_text(LEAF, encoding="utf-8")
    sent = (
        Input(path=str(source), to="sent.bin"),
        Input(path=str(tree), to="tree", folder=True),
        Input(content=LITERAL, to="literal.txt"),
    )
    brought = (Output(path="copy.bin", to=str(folder / "back")), Output(path="*.txt", to=str(folder / "back")))
    copy = "cat sent.bin >copy.bin && cat tree/below/leaf.txt literal.txt >joined.txt"
    return [
        Case(
            name="work folder",
            about="the task runs in a fresh folder that it can write",
            tasks=(_sh("[ -z \"$(ls)\" ] && echo x >made && cat made"),),
            expect=printed("x\n"),
        ),
        Case(
            name="inputs and outputs",
            about="files, folders and literal text go there, files come back, byte by byte",
            tasks=(replace(_sh(copy), inputs=sent, outputs=brought),),
            expect=files_came(folder / "back", source),
        ),
        Case(
            name="shared workspace",
            about="what the login side writes, a running job sees, and the other way round",
            tasks=(_sh(_answer_a_file()),),
            needs=_needs_work_folder,
            act=write_while_running,
            expect=files_were_seen,
        ),
        Case(
            name="standard input",
            about="a task reads a file as its standard input",
            tasks=(replace(_sh("cat"), inputs=(Input(content=_READ, to="in.txt"),), stdin="in.txt"),),
            expect=printed(_READ),
        ),
    ]  # fmt: skip


def _order() -> list[Case]:
    two = _steps("echo one >first", "cat first; echo two")
    stops = _steps("exit 4", "echo never")
    first, bad = replace(_sh("sleep 2; date +%s"), name="first"), replace(_sh("exit 5"), name="bad")
    then = _sh("date +%s")
    return [
        Case(
            name="steps",
            about="steps run in order in one folder",
            tasks=(two,),
            expect=printed("one\ntwo\n"),
        ),
        Case(
            name="steps stop",
            about="the first step that fails ends the task",
            tasks=(stops,),
            expect=ended(4),
        ),
        Case(
            name="after success",
            about="a task runs after the one that it waits for has succeeded",
            tasks=(first, replace(then, after=(After(task="first"),))),
            expect=in_order,
        ),
        Case(
            name="after failure",
            about="a task whose precondition failed never runs, and says so",
            tasks=(bad, replace(_sh("exit 0"), after=(After(task="bad"),))),
            expect=not_run,
        ),
        Case(
            name="after any end",
            about="a task that only waits for an end runs after a failure",
            tasks=(
                replace(_sh("sleep 2; date +%s; exit 5"), name="bad"),
                replace(then, after=(After(task="bad", until=Until.ENDED),)),
            ),
            expect=in_order,
        ),
        Case(
            name="after a removed task",
            about="what only waits for the end of a task runs although that never ran, for what it waited for failed",
            tasks=(
                replace(_sh("sleep 3; exit 5"), name="bad"),
                replace(_sh("exit 0"), name="join", after=(After(task="bad"),)),
                replace(_sh("exit 0"), name="tidy", after=(After(task="join", until=Until.ENDED),)),
            ),
            expect=third_ran(State.FAILED, Reason.DEPENDENCY),
        ),
        Case(
            name="after a killed task",
            about="what only waits for the end of a task runs although that was killed while it waited",
            tasks=(
                replace(_sh("sleep 15"), name="first"),
                replace(_sh("sleep 120"), name="join", after=(After(task="first"),)),
                replace(_sh("exit 0"), name="tidy", after=(After(task="join", until=Until.ENDED),)),
            ),
            act=kill_second_early,
            expect=third_ran(State.KILLED, Reason.KILLED_BY_USER),
        ),
    ]


def _launcher(context: Context) -> list[Case]:
    program = context.executor.backend.launch_program
    if program is None or context.executor.backend.values.get("image"):
        return []
    return [
        Case(
            name="launcher",
            about=f"{program}, which starts steps in images, is found where a job runs",
            tasks=(_sh(f"command -v {shlex.quote(program)}"),),
            expect=ended(0),
            is_outside=True,
        )
    ]


def _told() -> list[Case]:
    work = "i=0; while [ $i -lt 400000 ]; do i=$((i + 1)); done; sleep 1"
    return [
        Case(
            name="clock",
            about=f"the clock of the machine that runs the job is within {MOST_SKEW_S} s of the target's",
            tasks=(_sh("date +%s; uname -n >&2"),),
            expect=clocks_agree,
            needs=_streams_are_apart,
        ),
        Case(
            name="time used",
            about="wall time and CPU seconds are known",
            tasks=(_sh(work),),
            expect=times_are_known,
        ),
        Case(
            name="memory used",
            about="the most memory that a job had is known",
            tasks=(_sh(f"head -c {TOUCHED} /dev/zero | tail -c {TOUCHED} >/dev/null; sleep 1"),),
            expect=peak_is_known,
        ),
    ]


def _together(context: Context) -> list[Case]:
    tasks = tuple(replace(_sh("exit 0"), name=f"many {number}") for number in range(context.many))
    elements = tuple(_sh(line) for line in ("echo one", "echo two; exit 3", "sleep 600", "echo four"))
    return [
        Case(name="many at once", about=f"{context.many} jobs all succeed", tasks=tasks, expect=ended(0)),
        Case(
            name="array",
            about="tasks handed over in one submit have each their own output and end; one is killed alone",
            tasks=elements,
            needs=lambda backend: None if backend.array else "the backend has no `array`: each task is a submit",
            act=kill_third,
            expect=elements_are_their_own,
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


def _answer_a_file() -> str:
    """Return shell text that waits for a file of the login side, and answers it."""
    wait = f"n=$((n + 1)); [ $n -le {SHOWS_WITHIN_S} ] || exit {UNSEEN}; sleep 1; ls >/dev/null"
    return f"n=0; until [ -s question ]; do {wait}; done; cat question >answer.part && mv answer.part answer"


def _needs_work_folder(backend: Backend) -> str | None:
    has = "work_directory" in backend.job_variables and not isinstance(backend.script, Document)
    return None if has else "its jobs see no folder of the target: files travel in other ways"
