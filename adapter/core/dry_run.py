"""The whole life of one job as text: its script and every command, with words standing for what is known only then."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from adapter.core.document import Document
from adapter.core.render import function_text, job_values, placed, render_command, render_job
from adapter.core.specs import LogSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from adapter.core.backend import Backend
    from adapter.core.job import Job

RUN = "RUN"
"""Stands for the run's id."""
JOB_ID = "JOB_ID"
"""Stands for the scheduler's id of the job."""
_WORKSPACE = "/adapter-workspace-not-known-yet"


def life_cycle(
    backend: Backend, job: Job, workspace: str, library: Mapping[str, str] | None = None
) -> list[tuple[str, str]]:
    """Return what the life of *job* would send to the target, in order: name of the action, and its text.

    *workspace* is shown as it is written in the backend file, before the target makes a path of ``~`` or ``$NAME``.
    *library*: the texts of the library's files, to be shown too; ``None`` for none of them.

    Raises:
        UnsupportedResource: the backend cannot give what the task asks for.
        RenderError: a template needs a value that the task lacks, or a value cannot be written.
    """
    is_path = workspace.startswith("/") and "$" not in workspace
    there = workspace if is_path else _WORKSPACE
    job = placed(job, there)
    actions = [(action, text.replace(_WORKSPACE, workspace)) for action, text in _actions(backend, job, there)]
    return actions + [(f"library {name}.sh", library[name]) for name in backend.library if library]


def _actions(backend: Backend, job: Job, workspace: str) -> Iterator[tuple[str, str]]:
    rendered = render_job(backend, job, workspace)
    if backend.version_command:
        yield "version", backend.version_command.render(backend.values)
    for name, body in backend.functions.items():
        yield f"function {name}", function_text(name, body.render(backend.values))
    yield "document" if isinstance(backend.script, Document) else "script", rendered.script
    yield "submit", rendered.submit
    values: dict[str, Any] = {**backend.values, "workspace": workspace, "job_directory": job.directory}
    about = {
        **values,
        "job_id": JOB_ID,
        "job_ids": [JOB_ID],
        "qualifier": None,
        "tokens": [job.token],
        "run": job.run,
        "next": None,
    }
    commands = {
        "find": backend.find,
        "monitor": backend.monitor,
        "result": backend.result,
        "kill": backend.kill,
        "kill harder": backend.kill.harder,
    }
    for action, spec in commands.items():
        if spec is not None:
            yield action, render_command(spec, about)
    if watch := backend.watch_command(workspace):
        yield "watch", watch
    mine = job_values(backend, job, workspace)
    for stream, template in backend.logs.items():
        if isinstance(template, LogSpec):
            yield f"log {stream}", render_command(template, about)
        else:
            yield f"log {stream}", shlex.split(template.render(mine))[0]
