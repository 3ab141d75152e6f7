"""What a submit command's answer means, and which refusals are alike. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapter.core.answers import classify, parse_job_id
from adapter.errors import AmbiguousJobId, OutputError

if TYPE_CHECKING:
    from adapter.core.backend import Backend
    from adapter.results import CompletedCommand

_DECIDING = frozenset({"limit", "auth", "permanent"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionResult:
    """What a submit command answered.

    ``accepted``: it exited with 0 and printed one clear job id. ``refused``: a class of words says that the scheduler
    did not take the job, and no id was printed. Neither: it is not known whether the scheduler has the job.
    ``job_id`` is the id that was printed, ``None`` if there was none, or two (``is_ambiguous``). ``kind`` is the class
    of its words (``transient``, ...), ``None`` for words that no class knows. ``problem`` says what cannot be read.
    """

    job_id: str | None
    kind: str | None
    exit_code: int
    problem: str = ""
    is_ambiguous: bool = False

    @property
    def accepted(self) -> bool:
        """Whether the scheduler has the job, and we know its id."""
        return self.exit_code == 0 and self.job_id is not None

    @property
    def refused(self) -> bool:
        """Whether the scheduler surely does not have the job."""
        return self.exit_code != 0 and not self.names_a_job and self.kind in _DECIDING

    @property
    def names_a_job(self) -> bool:
        """Whether a job id was printed, whatever else was said: the submit may have taken effect."""
        return self.job_id is not None or self.is_ambiguous


def read_submission(backend: Backend, completed: CompletedCommand) -> SubmissionResult:
    """Return what *completed*, the whole answer of a submit command, means.

    The exit code alone refuses nothing: a submit may take effect and fail afterwards, and there are clients that exit
    with their error number modulo 256, which looks like a signal (153 to 255 were seen).
    """
    job_id, problem, is_ambiguous = None, "", False
    try:
        job_id = parse_job_id(backend.submit.job_id, completed)
    except OutputError as error:
        problem, is_ambiguous = str(error), isinstance(error, AmbiguousJobId)
    kind = classify(backend, completed)
    return SubmissionResult(
        job_id=job_id, kind=kind, exit_code=completed.exit_code, problem=problem, is_ambiguous=is_ambiguous
    )
