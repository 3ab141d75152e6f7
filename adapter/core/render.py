"""From a task and a backend to text: the job's script and the commands of its life. Pure; nothing is executed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from adapter.core.document import Document
from adapter.core.image import named
from adapter.core.requirements import image_of, refuse_unsupported, with_defaults, with_queue
from adapter.core.task import RESOURCE_FIELDS, is_pattern
from adapter.core.template import Raw, needs_target, quote, words
from adapter.core.variables import ID_NOT_LEARNT
from adapter.errors import RenderError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from adapter.core.backend import Backend
    from adapter.core.job import Job
    from adapter.core.specs import CommandSpec, LaunchSpec, Option
    from adapter.core.task import Input, Step, Task


@dataclass(frozen=True, slots=True)
class RenderedJob:
    """What goes to the target for one job: its script, and the command that hands it over.

    ``environment`` says which variables of the target's the command does not see; see :class:`SubmitSpec`.
    ``files`` are texts that have to be there besides, by path.
    """

    script: str
    submit: str
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


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
    directives = Raw(directive_lines(backend, values))
    inside = backend.submit.job_id_inside
    launch = backend.launch
    script = backend.script.render(
        {
            **values,
            "directives": directives,
            "prologue": backend.prologue,
            "job_id_inside": inside or ID_NOT_LEARNT,
            "submit_try": job.submit_try,
            "launch_setup": Raw(launch.setup.render(values)) if launch and launch.setup and values["images"] else "",
            "launch_stop": Raw(launch.stop.render(values)) if launch and launch.stop and values["images"] else "",
        }
    )
    submit = render_command(backend.submit, values)
    return RenderedJob(script=script, submit=submit, environment=backend.submit.environment)


def render_command(spec: CommandSpec | LaunchSpec, values: Mapping[str, Any], *, more: Iterable[str] = ()) -> str:
    """Return the text of *spec*'s command for *values*, with its options and *more* of them."""
    options = Raw(" ".join([*_option_texts(spec.options, values), *more]))
    return spec.command.render({**values, "options": options}).strip()


def _option_texts(options: Iterable[Option], values: Mapping[str, Any]) -> list[str]:
    return [option.text.render(values) for option in options if option.when.holds(values)]


def directive_lines(backend: Backend, values: Mapping[str, Any], *, more: Iterable[str] = ()) -> str:
    """Return the directives of a job with *values*, one a line, and *more* of them.

    Raises:
        RenderError: a value in one of them holds a line break, or one cannot be written.
    """
    lines = [*_option_texts(backend.directives, values), *more]
    if backend.directive_prefix:
        lines += [quote(option) for option in values["native"]]
    for line in lines:
        if "\n" in line or "\r" in line:
            raise RenderError(f"the directive {line!r} would span lines; a value in it holds a line break")
    return "".join(f"{backend.directive_prefix} {_in_dialect(line, backend.directive_quote)}\n" for line in lines)


def _in_dialect(line: str, dialect: str) -> str:
    """Return *line*, whose words are quoted as for a shell, as the scheduler reads words in directives."""
    written = _DIALECTS.get(dialect)
    if written is None:
        return line
    try:
        words_in_line = shlex.split(line)
    except ValueError as error:
        raise RenderError(f"the directive {line!r} cannot be read as words: {error}") from error
    is_same = dialect == "doubled" and not any("\\" in word for word in words_in_line)
    return line if is_same else " ".join(map(written, words_in_line))


def _backslashed(word: str) -> str:
    return re.sub(r"[^\w@%+=:,./-]", r"\\\g<0>", word) or "''"


def _doubled(word: str) -> str:
    option, sign, value = word.partition("=") if word.startswith("-") else ("", "", word)
    return option + sign + shlex.quote(value.replace("\\", "\\\\")) if sign or not option else shlex.quote(word)


_DIALECTS: dict[str, Callable[[str], str]] = {"doubled": _doubled, "backslash": _backslashed}


def _text_of(item: Input, backend: Backend) -> str | None:
    """Return literal content as text, for services that take it in their documents; elsewhere files travel as they are.

    Raises:
        RenderError: it is no text.
    """
    if not isinstance(item.content, bytes):
        return item.content
    try:
        return item.content.decode()
    except UnicodeDecodeError as error:
        if not isinstance(backend.script, Document):
            return None
        raise RenderError(f"the content of input {item.to!r} is no text, which this backend needs") from error


def job_values(backend: Backend, job: Job, workspace: str) -> dict[str, Any]:
    """Return the values that templates may use for *job*."""
    task = with_queue(backend, with_defaults(backend, job.task))
    task = replace(task, env={**backend.env, **task.env})
    refuse_unsupported(backend, task)
    directory = job.directory or f"{workspace}/{job.run}/{job.folder_name}"
    if task.workdir and needs_target(task.workdir):
        raise RenderError(f"workdir {task.workdir!r} of task {task.name!r} is not expanded; write the whole path")
    work = _folder(task.workdir) if task.workdir else f"{directory}/work"
    resources = {name: getattr(task.resources, field) for name, field in RESOURCE_FIELDS.items()}
    mine: dict[str, Any] = {
        **resources,
        "name": task.name,
        "token": job.token,
        "run": job.run,
        "attempt": job.attempt,
        "env": dict(task.env),
        "tags": dict(task.tags),
        "inputs": [
            {
                "to": item.to,
                "path": f"{work}/{item.to}" if item.path is not None else None,
                "content": _text_of(item, backend),
                "url": item.url,
                "folder": item.folder,
            }
            for item in task.inputs
        ],
        "outputs": [
            {"path": item.path, "url": item.url, "pattern": is_pattern(item.path), "optional": item.optional}
            for item in task.outputs
        ],
        "volumes": list(task.volumes),
        "after_succeeded": list(job.after_succeeded) or None,
        "after_ended": list(job.after_ended) or None,
        "array_size": job.array.size if job.array else None,
        "shell": list(backend.shell),
        "pass_env": list(backend.pass_env),
        "native": [option for name in reversed(backend.lineage) for option in task.native.get(name, ())],
        "workspace": workspace,
        "job_directory": directory,
        "library": job.array.directory if job.array else directory,
        "work_directory": work,
        "script": f"{directory}/script",
        "stdin": f"{work}/{task.stdin}" if task.stdin else None,
        "stdout": f"{work}/{task.stdout}" if task.stdout else f"{directory}/stdout",
        "stderr": f"{work}/{task.stderr}" if task.stderr else f"{directory}/stderr",
        "exit_file": f"{directory}/exit",
        "scheduler_log": f"{directory}/scheduler.log",
    }
    values = {**mine, **backend.values, **{name: value for name, value in mine.items() if value is not None}}
    steps = [_step_values(backend, task, step, number, values) for number, step in enumerate(task.steps, 1)]
    images: list[str] = next((step["images"] for step in steps if step["images"]), [])
    return {**values, "steps": steps, "images": images, "image": images[0] if images else None}


# A subshell forgets the traps of its shell: without its own it would end before what runs in it has ended. In a job's
# script ``stay`` of the wrapper sets them; a text that stands alone, in a container of a service, has no wrapper.
_STAY, _STAY_ALONE = "stay; ", "trap 'exit 143' TERM INT HUP; trap : USR1 USR2 XCPU; "


def _step_values(backend: Backend, task: Task, step: Step, number: int, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a template may use of *step*: ``command`` is for a script with our wrapper, ``text`` stands alone."""
    images = named(backend, image_of(backend, task, step), task.name)
    mine = {
        "argv": list(step.words),
        "env": {**task.env, **step.env},
        "workdir": step.workdir,
        "stdin": step.stdin,
        "stdout": step.stdout,
        "stderr": step.stderr,
        "image": images[0] if images else None,
        "images": images,
        "ignore_error": step.ignore_error,
    }
    if backend.launch and images:
        body = _launched(backend.launch, step, mine, {**values, "step_number": number})
        in_subshell = True
    else:
        in_subshell = bool(step.workdir)
        moved = f"cd {quote(_folder(step.workdir))} && " if step.workdir else ""
        variables = "".join(f"{key}={quote(value)} " for key, value in step.env.items())
        body = f"{moved}{variables}{words(step.words)}{_redirects(step)}"
    command, alone = ((f"({stay}{body})" if in_subshell else body) for stay in (_STAY, _STAY_ALONE))
    return {**mine, "command": Raw(command), "text": Raw(f"{alone} || {':' if step.ignore_error else 'return'}")}


def _launched(launch: LaunchSpec, step: Step, mine: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """Return the shell text that starts *step* in its container, for a subshell that has the step's own variables."""
    work = values["work_directory"]
    command = render_command(
        launch,
        {
            **values,
            "step": mine,
            "step_directory": work if step.workdir is None else _joined(work, step.workdir),
            "argv": mine["argv"],
            "image": mine["image"],
            "images": mine["images"],
            "env_names": list(mine["env"]),
        },
    )
    exports = "".join(f"export {key}={quote(value)}; " for key, value in step.env.items())
    moved = f"cd {quote(_folder(step.workdir))} && " if step.workdir and not step.workdir.startswith("/") else ""
    return f"{exports}{moved}{command}{_redirects(step)}"


def _folder(path: str) -> str:
    """Return *path* so that ``cd`` takes it for no option, nor for the folder before (``-``)."""
    return f"./{path}" if path.startswith("-") else path


def _joined(folder: str, path: str) -> str:
    return path if path.startswith("/") else f"{folder}/{path}"


def _redirects(step: Step) -> str:
    return "".join(
        f" {sign}{quote(path)}"
        for sign, path in (("<", step.stdin), (">", step.stdout), ("2>", step.stderr))
        if path is not None
    )


def function_text(name: str, body: str) -> str:
    """Return the shell text that defines the function *name* of a backend."""
    return f"{name}() {{\n{body.rstrip()}\n}}"
