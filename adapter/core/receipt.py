"""Submit through a receipt: the commands that hand a job over at most once per try, and the reading of their answers.

What happens on the target is in ``templates/lib/receipt.sh``: asking again returns the receipt.
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
from adapter.core.template import words
from adapter.core.variables import ID_NOT_LEARNT
from adapter.results import CompletedCommand

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adapter.core.job import Job
    from adapter.core.render import RenderedJob
    from adapter.core.specs import SubmitSpec

_ANSWERED, CANNOT_WRITE, _BEGUN, _INTERRUPTED, _NEVER = 0, 73, 75, 76, 77  # what receipt.sh exits with


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
    library: Mapping[str, str] | None = None,
) -> Command:
    """Return the command that submits *job* once. *end_mark* stands alone on no line of the script.

    *others* are those of an array that *job* leads: their folders are made too. *library*: the files that the job needs
    of the library, by name, and the path of the content of each.
    """
    directory, attempt = _place(job)
    texts = {"script": rendered.script, **rendered.files, f"{attempt}/command": rendered.submit}
    folders = [words(f"{each.directory}/work" for each in others[at : at + 200]) for at in range(0, len(others), 200)]
    lines = [
        f"# submit {directory} {attempt}",
        f"if begin_submit {directory} {attempt}; then",
        *(f"    make_folders {chunk}" for chunk in folders),
        *(f"    take_library {name} {shlex.quote(path)}" for name, path in (library or {}).items()),
        *(
            f"    cat >{shlex.quote(path)} <<'{end_mark}' || give_back\n{text.rstrip()}\n{end_mark}"
            for path, text in texts.items()
        ),
        f"    run_submit{_forgotten(rendered.environment)}",
        "fi",
        f"show_receipt . {attempt}",
    ]
    return Command("\n".join(lines), "submit", rendered.submit, (job, *others), ("receipt",))


def _place(job: Job) -> tuple[str, str]:
    """Return the folder of *job*'s submit, quoted, and the name of its try: an array's are its leader's."""
    place = job.array or job
    assert place.directory is not None
    return shlex.quote(place.directory), f"submit.{place.submit_try}"


def _forgotten(environment: Mapping[str, str]) -> str:
    """Return options of sed(1) that print the names of the variables to drop; nothing if there are none."""
    if DROP not in environment.values():
        return ""
    names = {name: re.sub(r"\*$", "[A-Za-z0-9_]*", name) for name in environment}
    edits = [f"/^{names[name]}=/d" for name, word in environment.items() if word == KEEP]
    edits += [rf"s/^\({names[name]}\)=.*/\1/p" for name, word in environment.items() if word == DROP]
    return "".join(f" -e '{each}'" for each in edits)


def receipt_step(job: Job) -> Command:
    """Return the command that only asks for the receipt of *job*'s try; an array's is in its leader's folder."""
    directory, attempt = _place(job)
    text = f"# receipt {directory} {attempt}\nshow_receipt {directory} {attempt}"
    return Command(text, "receipt", jobs=(job,), library=("receipt",))


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
        about = f"{number} {shlex.quote(job.directory or '')}"
        if job.job_id is None or job.submit_try > 1:
            lines.append(f"probe_id {about}")
        lines.append(f"probe_exit {about} {MOST_EXIT_FILE_BYTES}")
    return Command("\n".join(lines), "probe", jobs=tuple(jobs), library=("probe",))


MOST_EXIT_FILE_BYTES = 16384


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
