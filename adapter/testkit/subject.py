"""What the rules look at, what they find, and jobs to render: plain ones and ones with hostile values."""

from __future__ import annotations

import functools
import re
import subprocess
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from adapter.core.backend import for_version
from adapter.core.job import Job
from adapter.core.job_id import id_values
from adapter.core.render import placed, render_command, render_job
from adapter.core.requirements import is_possible
from adapter.core.task import Input, Resources, Step, Task
from adapter.core.template import Template
from adapter.testkit.replay import backend_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from adapter.core.backend import Backend
    from adapter.core.specs import CommandSpec
    from adapter.testkit.capture import Capture

RUN = "k7f3q9z2wx"
WORKSPACE = "/scratch/adapter"


class Status(StrEnum):
    """How a rule or a capture came out."""

    OK = "ok"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it came out, and why; an outcome that is ok needs no reason."""

    status: Status
    why: str = ""


OK = Outcome(Status.OK)


def failed(why: str) -> Outcome:
    """Return the outcome of a broken rule."""
    return Outcome(Status.FAILED, why)


def not_applicable(why: str) -> Outcome:
    """Return the outcome of a rule that there is nothing to try on."""
    return Outcome(Status.NOT_APPLICABLE, why)


def outcome_of(problems: Sequence[str]) -> Outcome:
    """Return ok without *problems*; else the first ones, and how many there are."""
    if not problems:
        return OK
    shown = "; ".join(problems[:3])
    return failed(shown if len(problems) <= 3 else f"{shown}; and {len(problems) - 3} more")


@dataclass(frozen=True, slots=True)
class Subject:
    """A backend and its captures."""

    backend: Backend
    captures: tuple[Capture, ...] = ()

    def variants(self) -> list[tuple[str, Backend]]:
        """Return the backend, and what each of its ``when`` makes of it, with words that say which it is."""
        versions = [_version_in(condition) for condition, _ in self.backend.overlays]
        return [
            ("", self.backend),
            *((f" (version {version})", for_version(self.backend, version)) for version in versions),
        ]

    def of(self, *actions: str) -> Iterator[tuple[Backend, Capture]]:
        """Return the captures of *actions*, each with the backend as it is for the capture's version."""
        for capture in self.captures:
            if capture.action in actions:
                yield backend_for(self.backend, capture), capture


def _version_in(condition: str) -> str:
    """Return a version for which *condition* holds."""
    version = re.sub(r"[^\d.]", "", condition)
    return {"<": _before(version), ">": f"{version}.1"}.get(condition.strip(" '" + version), version)


def _before(version: str) -> str:
    """Return a version that is just before *version*.

    >>> _before("10"), _before("21.08"), _before("3.0")
    ('9.999', '21.7.999', '2.999')
    """
    parts = [int(part) for part in version.split(".")]
    while len(parts) > 1 and parts[-1] == 0:
        parts.pop()
    return ".".join(map(str, [*parts[:-1], max(parts[-1] - 1, 0), 999]))


# ---- jobs to render ----------------------------------------------------------------------------------------------


def plain_task(backend: Backend, resources: Resources | None = None, **more: Any) -> Task:
    """Return a small task that asks for *resources*, with an image where the backend runs nothing without one."""
    if "image" in backend.requires and "image" not in more:
        more["image"] = image_for(backend)
    return Task(steps=(Step(argv=("true",)),), resources=resources or Resources(), **more)


def image_for(backend: Backend, name: str = "image") -> str:
    """Return the name of an image in a protocol that *backend* takes."""
    return f"{next(iter(backend.images))}://{name}" if backend.images else name


def job_of(task: Task, workspace: str = WORKSPACE) -> Job:
    """Return a job of *task* with its directory in *workspace*."""
    return placed(Job(run=RUN, index=1, task=task), workspace)


def text_of(backend: Backend, task: Task) -> str:
    """Return the script and the submit command for *task*, as one text.

    Raises:
        TaskError: the backend refuses it.
    """
    rendered = render_job(backend, job_of(task), WORKSPACE)
    return f"{rendered.script}\n{rendered.submit}\n"


def asked(backend: Backend, **resources: Any) -> str:
    """Return the text for a task that asks for *resources* (by the names of ``Resources``).

    Raises:
        TaskError: the backend refuses it.
    """
    return text_of(backend, plain_task(backend, Resources(**resources)))


def queries(backend: Backend) -> dict[str, CommandSpec]:
    """Return the commands about jobs that were handed over, by the key in the backend file."""
    specs = {
        "monitor": backend.monitor,
        "result": backend.result,
        "kill": backend.kill,
        "kill.escalate": backend.kill.harder,
    }
    return {name: spec for name, spec in specs.items() if spec is not None}


def about(backend: Backend, spec: CommandSpec, ids: Sequence[str], directory: str = f"{WORKSPACE}/j") -> str:
    """Return the command for the jobs *ids*."""
    values = {**backend.values, "workspace": WORKSPACE, "run": RUN, "next": None, "job_directory": directory}
    return render_command(spec, {**values, **id_values(backend.submit, ids)})


def finding(backend: Backend, tokens: Sequence[str]) -> str | None:
    """Return the command that looks for *tokens*, ``None`` where there is none."""
    if backend.find is None:
        return None
    values = {**backend.values, "workspace": WORKSPACE, "run": RUN, "next": None}
    return render_command(backend.find, {**values, "tokens": list(tokens)})


def is_shell(backend: Backend) -> bool:
    """Whether the script is text for a shell, not a document for a service."""
    return isinstance(backend.script, Template)


# ---- hostile values ----------------------------------------------------------------------------------------------


class Hostile:
    """Makes hostile values, each with a core of its own: text that a shell must never act upon."""

    def __init__(self) -> None:
        self.cores: dict[str, str] = {}

    def __call__(self, label: str, *, newline: bool = False) -> str:
        """Return a hostile value for what *label* says."""
        number = len(self.cores)
        core = f" h{number};$(h{number})`h{number}`*?|&<>(h{number}) #~"
        self.cores[label] = core
        # Quotes stand behind the core: raw, the core is bare; in quotes of the template's own, it falls out of them.
        return f"q{core}'\"\N{LATIN SMALL LETTER E WITH ACUTE}" + ("\nnext" if newline else "")


def hostile_task(backend: Backend, value: Hostile, *, newline: bool, with_image: bool) -> Task:
    """Return a task all of whose texts are hostile, as far as *backend* takes them."""
    texts: dict[str, Any] = {
        name: value(name) for name in ("account", "queue") if backend.is_supported(name) and not backend.queues
    }
    streams = ("stdin", "stdout", "stderr")
    places: dict[str, Any] = {name: value(name) for name in streams if is_possible(backend, name)}
    if is_possible(backend, "workdir"):
        places["workdir"] = "/w" + value("workdir")
    task = plain_task(
        backend,
        Resources(**texts),
        name=value("name"),
        env={"HOSTILE": value("env", newline=newline)},
        tags={"tag": value("tags")},
        inputs=(Input(to=value("input"), content=""),) if is_possible(backend, "inputs") else (),
        native={backend.name: (value("native"),)} if backend.takes_native else {},
        **places,
    )
    step = Step(
        argv=("program", value("argv", newline=newline)),
        env={"STEP": value("step env", newline=newline)},
        workdir=value("step workdir"),
        stdout=value("step stdout"),
    )
    return replace(task, steps=(step,), image=image_for(backend) if with_image else task.image)


# ---- the shell ---------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=512)
def shell_refusal(text: str) -> str | None:
    """Return what ``sh -n`` says against *text*, ``None`` if it can read it (or there is no sh here)."""
    try:
        checked = subprocess.run(
            ["sh", "-n"], input=text.encode(), capture_output=True, timeout=20, check=False, close_fds=True
        )
    except FileNotFoundError:
        return None
    except subprocess.TimeoutExpired:
        return "it takes longer than 20 s to read"
    words = checked.stderr.decode("utf-8", "replace").strip().splitlines()
    return None if checked.returncode == 0 else (words[0] if words else f"exit code {checked.returncode}")
