"""From a task and a backend to text: the job's script and the commands of its life. Pure; nothing is executed."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from adapter.core.task import RESOURCE_FIELDS, Resources
from adapter.core.template import Raw, quote, words
from adapter.core.units import format_bytes, format_seconds
from adapter.errors import RenderError, UnsupportedResource

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from adapter.core.backend import Backend, CommandSpec, Option, Queue
    from adapter.core.job import Job
    from adapter.core.task import Step, Task

TASK_VARIABLES = {
    **dict.fromkeys(
        RESOURCE_FIELDS,
        "the resource of that name: memory and disk in bytes, walltime in seconds; none if not asked for",
    ),
    "name": "the task's name",
    "token": "our unique mark on this job",
    "run": "the run's id",
    "attempt": "1 for the first submission of the task",
    "image": "the container image, none if not asked for",
    "env": "the task's environment, a map",
    "tags": "the task's tags, a map",
    "inputs": "paths of the inputs in the work folder",
    "native": "the scheduler's own options from the task, a list",
    "steps": "the steps; each has text (a shell line), argv, env, workdir, image",
    "workspace": "the folder on the target that holds everything of ours",
    "job_directory": "this job's folder on the target",
    "work_directory": "the folder in which the steps run",
    "script": "path of the job's script on the target",
    "stdin": "path that the task reads, none for no input",
    "stdout": "path that takes the task's standard output",
    "stderr": "path that takes the task's standard error",
    "exit_file": "path of the file that the wrapper writes at the end",
    "scheduler_log": "path for what the scheduler itself writes about the job",
}
SCRIPT_VARIABLES = {
    "directives": "the directive lines",
    "prologue": "the backend's prologue lines",
    "job_id_inside": "shell text that gives the job id inside the job",
}
ID_NOT_LEARNT = "unknown"  # what a job takes for its id where the backend does not say how it can learn it
COMMAND_VARIABLES = {"options": "this command's options, quoted"}
JOB_ID_VARIABLES = {
    "job_id": "the scheduler's id of one job: the command runs once a job",
    "job_ids": "the ids of many jobs: the command runs once for up to max_ids of them",
    "job_directory": TASK_VARIABLES["job_directory"],
    "workspace": TASK_VARIABLES["workspace"],
}
FIND_VARIABLES = {"tokens": "the marks looked for", "workspace": TASK_VARIABLES["workspace"]}


@dataclass(frozen=True, slots=True)
class RenderedJob:
    """What goes to the target for one job: its script, and the command that hands it over."""

    script: str
    submit: str


def placed(job: Job, workspace: str) -> Job:
    """Return *job* with its directory on the target set."""
    return job.but(directory=f"{workspace}/{job.run}/{job.folder_name}")


def render_job(backend: Backend, job: Job, workspace: str) -> RenderedJob:
    """Return the script and the submit command of *job*.

    Raises:
        UnsupportedResource: the backend cannot give what the task asks for.
        RenderError: a template needs a value that the task lacks, or a value cannot be written.
    """
    values = job_values(backend, job, workspace)
    directives = _directives(backend, values)
    inside = backend.submit.job_id_inside
    script = backend.script.render(
        {**values, "directives": directives, "prologue": backend.prologue, "job_id_inside": inside or ID_NOT_LEARNT}
    )
    return RenderedJob(script=script, submit=render_command(backend.submit, values))


def render_command(spec: CommandSpec, values: Mapping[str, Any]) -> str:
    """Return the text of *spec*'s command for *values*, with its options."""
    options = Raw(" ".join(_option_texts(spec.options, values)))
    return spec.command.render({**values, "options": options}).strip()


def _option_texts(options: Iterable[Option], values: Mapping[str, Any]) -> list[str]:
    return [option.text.render(values) for option in options if option.when.holds(values)]


def _directives(backend: Backend, values: Mapping[str, Any]) -> Raw:
    if backend.directive_escape:
        values = {name: _doubled(value, backend.directive_escape) for name, value in values.items()}
    lines = _option_texts(backend.directives, values)
    if backend.directive_prefix:
        lines += [quote(option) for option in values["native"]]
    for line in lines:
        if "\n" in line or "\r" in line:
            raise RenderError(f"the directive {line!r} would span lines; a value in it holds a line break")
    return Raw("".join(f"{backend.directive_prefix} {line}\n" for line in lines))


def _doubled(value: Any, escape: str) -> Any:
    match value:
        case str():
            return value.replace(escape, escape * 2)
        case list() | tuple():
            return [_doubled(item, escape) for item in value]
        case dict():
            return {key: _doubled(item, escape) for key, item in value.items()}
    return value


def job_values(backend: Backend, job: Job, workspace: str) -> dict[str, Any]:
    """Return the values that templates may use for *job*."""
    task = with_queue(backend, with_defaults(backend, job.task))
    refuse_unsupported(backend, task)
    directory = job.directory or f"{workspace}/{job.run}/{job.folder_name}"
    work = task.workdir or f"{directory}/work"
    resources = {name: getattr(task.resources, field) for name, field in RESOURCE_FIELDS.items()}
    mine: dict[str, Any] = {
        **resources,
        "name": task.name,
        "token": job.token,
        "run": job.run,
        "attempt": job.attempt,
        "image": task.image,
        "env": dict(task.env),
        "tags": dict(task.tags),
        "inputs": [item.to for item in task.inputs],
        "native": [option for name in reversed(backend.lineage) for option in task.native.get(name, ())],
        "steps": [step_values(step) for step in task.steps],
        "workspace": workspace,
        "job_directory": directory,
        "work_directory": work,
        "script": f"{directory}/script",
        "stdin": f"{work}/{task.stdin}" if task.stdin else None,
        "stdout": f"{work}/{task.stdout}" if task.stdout else f"{directory}/stdout",
        "stderr": f"{work}/{task.stderr}" if task.stderr else f"{directory}/stderr",
        "exit_file": f"{directory}/exit",
        "scheduler_log": f"{directory}/scheduler.log",
    }
    return {**mine, **backend.values, **{name: value for name, value in mine.items() if value is not None}}


def step_values(step: Step) -> dict[str, Any]:
    """Return what a template may use of *step*; ``text`` is a shell line that returns the step's failure."""
    assignments = "".join(f"{key}={quote(value)} " for key, value in step.env.items())
    redirects = "".join(
        f" {sign}{quote(path)}"
        for sign, path in (("<", step.stdin), (">", step.stdout), ("2>", step.stderr))
        if path is not None
    )
    line = f"{assignments}{words(step.words)}{redirects}"
    if step.workdir:
        line = f"(cd {quote(step.workdir)} && {line})"
    return {
        "text": Raw(f"{line} || {':' if step.ignore_error else 'return'}"),
        "argv": list(step.words),
        "env": dict(step.env),
        "workdir": step.workdir,
        "image": step.image,
        "ignore_error": step.ignore_error,
    }


def with_defaults(backend: Backend, task: Task) -> Task:
    """Return *task* with the backend's defaults for what it does not ask for."""
    missing = {
        RESOURCE_FIELDS[name]: value
        for name, value in backend.defaults.items()
        if getattr(task.resources, RESOURCE_FIELDS[name]) is None
    }
    return replace(task, resources=replace(task.resources, **missing))


def refuse_unsupported(backend: Backend, task: Task) -> None:
    """Refuse a task that asks for what the backend has no way to give: nothing is dropped in silence.

    Raises:
        UnsupportedResource: it names every such resource.
    """
    asked = [*task.resources.asked(), *(["image"] if task.image or any(step.image for step in task.steps) else [])]
    unsupported = [name for name in asked if not backend.is_supported(name)]
    if unsupported:
        raise UnsupportedResource(
            f"backend {backend.name} has no way to ask for {', '.join(unsupported)} (task {task.name!r}); "
            f"it knows {', '.join(sorted(backend.supports & {*RESOURCE_FIELDS, 'image'}))}"
        )
    if not backend.takes_native and any(task.native.get(name) for name in backend.lineage):
        raise UnsupportedResource(
            f"backend {backend.name} has no scheduler to hand native options to (task {task.name!r})"
        )
    asked_values = task.resources.asked()
    for name, cap in backend.limits.capacity.items():
        if cap is not None and asked_values.get(name, 0) > cap:
            raise UnsupportedResource(
                f"task {task.name!r} asks for {name} {_shown(name, asked_values[name])}; "
                f"backend {backend.name} has {_shown(name, cap)} in all"
            )


def with_queue(backend: Backend, task: Task) -> Task:
    """Return *task* with the first queue that fits, or with its own queue if that fits.

    Raises:
        UnsupportedResource: what it asks for is over every queue's cap; the message names the cap.
    """
    own = task.resources.queue
    candidates = [queue for queue in backend.queues if own in {None, queue.name}]
    if not candidates:
        return task
    values = {name: getattr(task.resources, field) for name, field in RESOURCE_FIELDS.items()}
    problems = []
    for queue in candidates:
        if own is None and queue.when and not queue.when.holds({**backend.values, **values}):
            continue
        over = {name: cap for name, cap in queue.caps.items() if (values.get(name) or 0) > cap}
        if over and not queue.clamp:
            problems += [_over_cap(queue, name, values[name]) for name in over]
            continue
        lowered: dict[str, Any] = {RESOURCE_FIELDS[name]: cap for name, cap in over.items()}
        return replace(task, resources=replace(task.resources, queue=queue.name, **lowered))
    why = "; ".join(problems) or f"no queue is meant for it (its conditions: {', '.join(_conditions(candidates))})"
    raise UnsupportedResource(f"task {task.name!r} fits no queue of backend {backend.name}: {why}")


def _conditions(queues: Iterable[Queue]) -> list[str]:
    return [f"{queue.name} when {queue.when.text}" for queue in queues if queue.when]


def _over_cap(queue: Queue, name: str, value: float) -> str:
    return f"queue {queue.name} allows {name} up to {_shown(name, queue.caps[name])}, it asks for {_shown(name, value)}"


def _shown(name: str, value: float) -> str:
    field = RESOURCE_FIELDS.get(name, name)
    if field.endswith("_bytes"):
        return format_bytes(int(value))
    return format_seconds(value) if field.endswith("_s") else f"{value:g}"


def sample_values(backend_values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value of the right type for every task variable: what templates are tried with when a file is loaded."""
    resources: dict[str, Any] = {
        name: _SAMPLES[item.type] for name, item in zip(RESOURCE_FIELDS, fields(Resources), strict=True)
    }
    texts = dict.fromkeys(TASK_VARIABLES, "text")
    lists: dict[str, Any] = {"inputs": ["text"], "native": ["text"], "attempt": 1}
    maps = {"env": {"KEY": "text"}, "tags": {"key": "text"}}
    step = {"text": Raw("true || return"), "argv": ["text"], "env": {"KEY": "text"}, "workdir": "text", "image": "text"}
    return {
        **texts, **resources, **lists, **maps, "steps": [{**step, "ignore_error": False}], **backend_values,
        "directives": Raw("# directive\n"), "prologue": [Raw("true")], "job_id_inside": Raw("$ID"),
        "options": Raw("--option"),
        "job_id": "text", "job_ids": ["text"], "tokens": ["text"],
    }  # fmt: skip


_SAMPLES: dict[Any, Any] = {"float | None": 2.0, "int | None": 2, "bool | None": True, "str | None": "text"}


def expand_workspace(workspace: str) -> str:
    """Return shell text for the path of *workspace*: ``~`` and ``$NAME`` are the target's, the rest is literal."""
    text = "$HOME" + workspace[1:] if workspace == "~" or workspace.startswith("~/") else workspace
    return "".join(_expanded(piece) for piece in _VARIABLE.split(text) if piece)


_VARIABLE = re.compile(r"(\$\w+|\$\{\w+\})")


def _expanded(piece: str) -> str:
    name = piece.strip("${}")
    return f'"${{{name}:?is not set on the target}}"' if _VARIABLE.fullmatch(piece) else quote(piece)
