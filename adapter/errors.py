"""Every error this library raises on purpose, as one tree.

::

    AdapterError                         expected: the CLI prints it without a traceback and exits with ``exit_code``
    ├── ConfigError                 2    a file is wrong: every problem with file, line and column, all at once
    │   ├── BackendNotFound
    │   ├── NotTrusted
    │   ├── SchemaError
    │   ├── TemplateError
    │   └── PatternError
    ├── TaskError                   3    the asker must act
    │   ├── RenderError
    │   └── UnsupportedResource
    │       └── UnsupportedImage
    ├── TransportError              4    the machine could not be asked
    │   ├── ConnectError
    │   ├── AuthenticationError
    │   └── OutcomeUnknown
    ├── CommandError                5    it ran and said no
    │   ├── SubmitError
    │   ├── MonitorError
    │   └── KillError
    ├── OutputError                 6    it ran and its answer cannot be read
    │   ├── JobIdNotFound
    │   └── AmbiguousJobId
    ├── StoreError                7    the store cannot be read or written
    └── JobError                   10    a job's own end, raised only where a caller asked for a result
        ├── JobFailed              10
        ├── JobKilled              11
        └── JobLost                12
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

from adapter.results import CompletedCommand, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence


class AdapterError(Exception):
    """An expected error. The message is one sentence: the fact first, then the fix if it is known."""

    exit_code: ClassVar[int] = 1


class ConfigError(AdapterError):
    """A file is wrong. ``problems`` holds everything that was found, in the order of the file."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem] | str) -> None:
        self.problems: tuple[Problem, ...] = (
            (Problem(message=problems),) if isinstance(problems, str) else tuple(problems)
        )
        super().__init__("\n".join(str(problem) for problem in self.problems))


class BackendNotFound(ConfigError):
    """No backend of that name on the search path."""


class NotTrusted(ConfigError):
    """A backend file of the current folder that its user has not allowed, or that has changed since."""


class SchemaError(ConfigError):
    """The document does not have the form that the format asks for."""


class TemplateError(ConfigError):
    """A template does not compile, uses an unknown variable or defeats the quoting."""


class PatternError(ConfigError):
    """A regular expression does not compile, lacks a named group or can take for ever."""


class TaskError(AdapterError):
    """The task cannot be run as it was asked for: the asker must act."""

    exit_code = 3


class RenderError(TaskError):
    """A template needs a value that the task lacks, or a value cannot be written where the template puts it.

    ``part`` is what the scheduler would read as its own in the value, empty where that is not the reason.
    """

    def __init__(self, message: str, *, part: str = "") -> None:
        super().__init__(message)
        self.part = part


class UnsupportedResource(TaskError):
    """The backend has no way to ask for a resource that the task names, or not that much of it."""


class UnsupportedImage(UnsupportedResource):
    """The backend runs no image of the protocols asked for (``library``, ``oras``, ...)."""

    def __init__(self, message: str, *, protocols: Sequence[str] = ()) -> None:
        """Keep the image protocols that the task offers; an empty one stands for "it does not say"."""
        super().__init__(message)
        self.protocols = tuple(protocols)


class TransportError(AdapterError):
    """The machine could not be asked."""

    exit_code = 4


class ConnectError(TransportError):
    """Nothing happened on the other side: safe to try again."""


class AuthenticationError(TransportError):
    """The other side does not accept us: stop, and let a person look."""


class OutcomeUnknown(TransportError):
    """It was sent and the answer was lost: it may have happened. Never repeat it blindly.

    ``partial`` holds what had been printed when the answer was lost.
    """

    def __init__(self, message: str, *, partial: CompletedCommand | None = None) -> None:
        super().__init__(message)
        self.partial = partial


class CommandError(AdapterError):
    """A command ran and said no; ``completed`` is what it said."""

    exit_code = 5

    def __init__(self, message: str, *, completed: CompletedCommand | None = None) -> None:
        super().__init__(message)
        self.completed = completed


class SubmitError(CommandError):
    """The scheduler refused the job."""


class MonitorError(CommandError):
    """The scheduler did not answer a question about jobs."""


class KillError(CommandError):
    """The scheduler did not accept a kill."""


class OutputError(AdapterError):
    """A command ran and its answer cannot be read; ``completed`` is that answer."""

    exit_code = 6

    def __init__(self, message: str, *, completed: CompletedCommand | None = None) -> None:
        super().__init__(message)
        self.completed = completed


class JobIdNotFound(OutputError):
    """A submit command succeeded and its answer holds no job id."""


class AmbiguousJobId(OutputError):
    """A submit command's answer holds two different job ids."""


class StoreError(AdapterError):
    """The store cannot be read or written."""

    exit_code = 7


class EndedJob(Protocol):
    """What these errors need to know of a job; it is an :class:`adapter.Job`."""

    @property
    def key(self) -> str:
        """Our name for it."""
        ...

    @property
    def verdict(self) -> str:
        """How it ended, in a few words."""
        ...

    @property
    def message(self) -> str:
        """Why, in more words; may be empty."""
        ...

    @property
    def exit_code(self) -> int | None:
        """Its exit code; ``None`` where there is none."""
        ...


class JobError(AdapterError):
    """A job did not succeed; ``job`` is how it ended."""

    exit_code = 10

    def __init__(self, message: str, *, job: EndedJob) -> None:
        super().__init__(message)
        self.job = job


class JobFailed(JobError):
    """The job failed; ``job.reason`` and ``job.exit_code`` say how."""


class JobKilled(JobError):
    """The job was killed, by us or by someone else."""

    exit_code = 11


class JobLost(JobError):
    """Nothing is known about the job's end, and nothing more will be."""

    exit_code = 12
