"""Submit through a receipt: the shell text that hands a job over at most once per try, and the reading of its answer.

On the target a try is the folder ``submit.N`` in the job's directory. Making it is atomic, so of any number of
processes only one goes on to the scheduler. The answer is kept in it before it is sent back: asking again returns the
receipt.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from adapter.core import bounds
from adapter.core.batch import Command
from adapter.core.exit_file import ExitReport, parse_exit_file
from adapter.core.job_id import parts
from adapter.core.specs import DROP, KEEP
from adapter.core.variables import ID_NOT_LEARNT
from adapter.errors import CompletedCommand

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adapter.core.job import Job
    from adapter.core.render import RenderedJob
    from adapter.core.specs import SubmitSpec

_ANSWERED, _CANNOT_WRITE, _BEGUN, _INTERRUPTED, _NEVER = 0, 73, 75, 76, 77  # what the steps below exit with


class SubmitStatus(StrEnum):
    """How a try stands.

    ``ANSWERED``: there is a receipt. ``BEGUN``: another process is at it. ``INTERRUPTED``: it began, its process is
    gone, and no answer was kept. ``NEVER``: it never began. ``UNWRITABLE``: the job's directory cannot be written.
    """

    ANSWERED = "answered"
    NEVER = "never"
    BEGUN = "begun"
    INTERRUPTED = "interrupted"
    UNWRITABLE = "unwritable"


@dataclass(frozen=True, slots=True)
class Receipt:
    """A submit command's answer as kept on the target; ``exit_code`` is the command's own, ``None`` unless answered."""

    status: SubmitStatus
    exit_code: int | None


def submit_step(
    job: Job,
    rendered: RenderedJob,
    end_mark: str,
    *,
    others: Sequence[Job] = (),
    files: Mapping[str, str] | None = None,
) -> Command:
    """Return the command that submits *job* once. *end_mark* stands alone on no line of the script.

    *others* are those of an array that *job* leads: their folders are made too, and *files* are written, by path.
    """
    assert job.directory is not None
    attempt = f"submit.{job.submit_try}"
    directory = shlex.quote(job.directory)
    text = f"""\
# submit {directory} {attempt}
(umask 077 && mkdir -p {directory}/work) && cd {directory} || exit {_CANNOT_WRITE}
if why=$(mkdir {attempt} 2>&1); then
    cat >{attempt}/by <<{end_mark} &&
$(uname -n) $$
{end_mark}
    cat >script <<'{end_mark}' &&
{rendered.script.rstrip()}
{end_mark}
{_further_files(others, files or {}, end_mark)}    cat >{attempt}/command <<'{end_mark}' &&
{rendered.submit}
{end_mark}
    chmod 700 script || {{ rm -rf {attempt}; exit {_CANNOT_WRITE}; }}
    ({_forgetting(rendered.environment)}. ./{attempt}/command) </dev/null >{attempt}/stdout 2>{attempt}/stderr
    echo $? >{attempt}/exit_code.part && mv {attempt}/exit_code.part {attempt}/exit_code
elif [ ! -d {attempt} ]; then
    echo "$why" >&2
    exit {_CANNOT_WRITE}
fi
{_show_receipt(attempt)}"""
    return Command(text, "submit", rendered.submit, (job, *others))


def _forgetting(environment: Mapping[str, str]) -> str:
    """Return shell text that unsets the variables to drop; nothing if there are none.

    A line of a value that looks like such a variable is harmless: only names to drop are ever unset.
    """
    if DROP not in environment.values():
        return ""
    names = {name: re.sub(r"\*$", "[A-Za-z0-9_]*", name) for name in environment}
    edits = [f"/^{names[name]}=/d" for name, word in environment.items() if word == KEEP]
    edits += [rf"s/^\({names[name]}\)=.*/\1/p" for name, word in environment.items() if word == DROP]
    edit = " ".join(f"-e '{each}'" for each in edits)
    return f"unset -v adapter_none $(env | LC_ALL=C sed -n {edit})\n    "


def _further_files(others: Sequence[Job], files: Mapping[str, str], end_mark: str) -> str:
    lines = [f"    (umask 077 && mkdir -p {shlex.quote(f'{each.directory}/work')}) &&\n" for each in others]
    for path, text in files.items():
        lines.append(f"    cat >{shlex.quote(path)} <<'{end_mark}' &&\n{text.rstrip()}\n{end_mark}\n")
    return "".join(lines)


def receipt_step(job: Job) -> Command:
    """Return the command that only asks for the receipt of *job*'s try; an array's is in its leader's folder."""
    assert job.directory is not None
    directory = shlex.quote(job.array.directory if job.array else job.directory)
    attempt = f"submit.{job.array.submit_try if job.array else job.submit_try}"
    text = f"""\
# receipt {directory} {attempt}
cd {directory} 2>/dev/null && [ -d {attempt} ] || exit {_NEVER}
{_show_receipt(attempt)}"""
    return Command(text, "receipt", jobs=(job,))


def _show_receipt(attempt: str) -> str:
    return f"""\
if [ -f {attempt}/exit_code ]; then
    cat {attempt}/stdout
    cat {attempt}/stderr >&2
    printf '\\nreceipt %s\\n' "$(cat {attempt}/exit_code)"
    exit {_ANSWERED}
fi
read -r host process <{attempt}/by
if [ "$host" = "$(uname -n)" ] && ! kill -0 "$process" 2>/dev/null; then exit {_INTERRUPTED}; fi
exit {_BEGUN}"""


def read_receipt(completed: CompletedCommand) -> tuple[Receipt, CompletedCommand]:
    """Return how the try stands, and the submit command's own answer (without the receipt's mark)."""
    if completed.exit_code == _ANSWERED:
        answer, mark, text = completed.stdout.rpartition("\nreceipt ")
        code = bounds.exit_code(text) if mark else None
        if code is None:  # there is an answer, and it cannot be read: as good as none
            return Receipt(SubmitStatus.INTERRUPTED, None), completed
        own = CompletedCommand(command=completed.command, exit_code=code, stdout=answer, stderr=completed.stderr)
        return Receipt(SubmitStatus.ANSWERED, code), own
    status = _STATUSES.get(completed.exit_code, SubmitStatus.UNWRITABLE)
    return Receipt(status, None), completed


_STATUSES = {_BEGUN: SubmitStatus.BEGUN, _INTERRUPTED: SubmitStatus.INTERRUPTED, _NEVER: SubmitStatus.NEVER}


def probe_step(jobs: Sequence[Job]) -> Command:
    """Return the command that prints, for each of *jobs*, who runs in its directory and its exit file, if there.

    ``@N``, then ``by ID``, then the beginning of the exit file, with ``=`` before each line: whatever a job wrote
    there, it says nothing about another job. The id is only asked for where it may be another than we know.
    """
    lines = ["# probe"]
    for number, job in enumerate(jobs):
        directory = shlex.quote(job.directory or "")
        if job.job_id is None or job.submit_try > 1:
            lines.append(
                f"if [ -h {directory}/job_id ]; then echo @{number}; readlink {directory}/job_id | {_marked('by ')}; fi"
            )
        show = f"{{ head -c {MOST_EXIT_FILE_BYTES} {directory}/exit; echo; }} | {_marked('=')}"
        lines.append(f"if [ -f {directory}/exit ]; then echo @{number}; {show}; fi")
    return Command("\n".join(lines), "probe", jobs=tuple(jobs))


MOST_EXIT_FILE_BYTES = 16384


def _marked(mark: str) -> str:
    return f"LC_ALL=C sed 's/^/{mark}/'"  # in the C locale every byte is a letter


@dataclass(frozen=True, slots=True)
class Probe:
    """What stands in a job's directory: who runs in it and its exit file; ``None`` for not there.

    ``job_id`` is what the job took for its id: a hint, which the scheduler has to confirm. ``submit_try`` is the try
    that brought it there.
    """

    job_id: str | None = None
    report: ExitReport | None = None
    submit_try: int | None = None

    def is_another(self, job: Job, job_id: str | None) -> bool:
        """Whether another submission of *job* than the one that is known as *job_id* runs in its directory."""
        if self.job_id is None:
            return False
        return self.job_id != job_id or self.submit_try not in {None, job.submit_try}


def read_probe(stdout: str, jobs: Sequence[Job]) -> dict[str, Probe]:
    """Return what :func:`probe_step`'s answer says, by the jobs' keys."""
    probes: dict[str, Probe] = {}
    for block in re.split(r"^@", stdout, flags=re.MULTILINE)[1:]:
        number, _, text = block.partition("\n")
        index = bounds.whole(number)
        if index is None or index >= len(jobs):
            continue
        key = jobs[index].key
        earlier = probes.get(key, Probe())
        wrote = "".join(f"{line[1:]}\n" for line in bounds.lines(text) if line.startswith("="))
        told = [line for line in bounds.lines(text) if line.startswith("by ")]
        by = _BY.match(told[0]) if len(told) == 1 else None
        job_id = bounds.job_id(by["job_id"]) if by and by["job_id"] != ID_NOT_LEARNT else None
        submit_try = int(by["try"]) if by and by["try"] else None
        probes[key] = Probe(
            job_id or earlier.job_id, parse_exit_file(wrote) or earlier.report, submit_try or earlier.submit_try
        )
    return probes


def which_id(submit: SubmitSpec, job: Job, probe: Probe, known: Sequence[str], *, is_listed: bool) -> str | None:
    """Return the id of *job*, of which the scheduler has *known* under its token; ``None`` if nothing is sure.

    *is_listed*: the scheduler can be asked by token. What a job took for its id counts if the scheduler has that id
    under the token, or if no variable of an outer job can stand in its place: then it is the job's own in any case.
    """
    if known:
        same = [each for each in known if parts(submit, each)[0] == probe.job_id]
        return same[0] if len(same) == 1 else job.job_id if job.job_id in known else known[-1]
    is_own = submit.knows_itself or (not is_listed and all(map(submit.drops, submit.inside_reads)))
    return probe.job_id if is_own else None


_BY = re.compile(r"by (?:submit\.(?P<try>\d{1,9}) )?(?P<job_id>\S+)$")


# -- what a machine would say: for those that stand in for one


def receipt_answer(own: CompletedCommand | None) -> CompletedCommand:
    """Return the answer to a submit or receipt step that kept *own*; ``None``: that try never began."""
    if own is None:
        return CompletedCommand(command="", exit_code=_NEVER, stdout="", stderr="")
    return replace(own, exit_code=_ANSWERED, stdout=f"{own.stdout}\nreceipt {own.exit_code}\n")


def probe_answer(jobs: Sequence[Job], exit_files: Mapping[str, str], links: Mapping[str, str]) -> str:
    """Return what :func:`probe_step` prints where the jobs' directories hold these exit files and links."""
    said = []
    for number, job in enumerate(jobs):
        directory = job.directory or ""
        if directory in links and (job.job_id is None or job.submit_try > 1):
            said.append(f"@{number}\nby {links[directory]}\n")
        if directory in exit_files:
            lines = exit_files[directory].split("\n")
            said.append(f"@{number}\n" + "".join(f"={line}\n" for line in lines))
    return "".join(said)
