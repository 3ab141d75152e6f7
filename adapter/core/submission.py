"""What a submit command's answer means, and which refusals are alike. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapter.core.parse import classify, parse_job_id
from adapter.errors import OutputError

if TYPE_CHECKING:
    from adapter.core.backend import Backend
    from adapter.errors import CompletedCommand

_DECIDING = frozenset({"limit", "auth", "permanent"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionResult:
    """What a submit command answered.

    ``accepted``: it exited with 0 and printed one clear job id. ``refused``: a class of words says that the scheduler
    did not take the job, and no id was printed. Neither: it is not known whether the scheduler has the job.
    ``job_id`` is the id that was printed, ``None`` if there was none, or two. ``kind`` is the class of its words
    (``transient``, ...), ``None`` for words that no class knows. ``problem`` says what cannot be read.
    """

    job_id: str | None
    kind: str | None
    exit_code: int
    problem: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the scheduler has the job, and we know its id."""
        return self.exit_code == 0 and self.job_id is not None

    @property
    def refused(self) -> bool:
        """Whether the scheduler surely does not have the job."""
        return self.exit_code != 0 and self.job_id is None and self.kind in _DECIDING


def read_submission(backend: Backend, completed: CompletedCommand) -> SubmissionResult:
    """Return what *completed*, the whole answer of a submit command, means.

    The exit code alone refuses nothing: a submit may take effect and fail afterwards, and there are clients that exit
    with their error number modulo 256, which looks like a signal (153 to 255 were seen).
    """
    job_id, problem = None, ""
    try:
        job_id = parse_job_id(backend.submit.job_id, completed)
    except OutputError as error:
        problem = str(error)
    kind = classify(backend, completed)
    return SubmissionResult(job_id=job_id, kind=kind, exit_code=completed.exit_code, problem=problem)


def likeness(words: str) -> str:
    """Return *words* without what differs from job to job: paths, tokens, and numbers.

    >>> likeness("cannot read /w/0001-a/script of job 17"), likeness("cannot read /w/0002-b/script of job 18")
    ('cannot read * of job 0', 'cannot read * of job 0')
    """
    plain = re.sub(r"\S*(?:/|adapter-)\S*", "*", words)
    return re.sub(r"\d+", "0", plain).strip()
