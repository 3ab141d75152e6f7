"""The tasks that a command line asks for: a file, or a command with options."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapter.config.load import list_backends
from adapter.config.local_paths import kind_here
from adapter.config.tasks import load_task_set
from adapter.core.image import named, seen_from
from adapter.core.local_files import special_input
from adapter.core.requirements import image_of
from adapter.core.task import Input, Output, Resources, Step, Task
from adapter.core.template import needs_target
from adapter.errors import UnsupportedImage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adapter.core.backend import Backend

_RESOURCES = ("cpu", "ram_bytes", "disk_bytes", "gpu", "nodes", "ranks", "walltime_s", "queue", "account")


def tasks_and_name(
    files: Sequence[str], command: tuple[str, ...] | None, options: Mapping[str, Any]
) -> tuple[list[Task], str]:
    """Return the tasks that were asked for and the name of their run.

    Raises:
        click.UsageError: neither a file nor a command was given, or both, or options that do not fit.
        ConfigError: the task file is wrong.
    """
    if command is not None and not files:
        if not command:
            raise click.UsageError("there is no command after --")
        task = _task(command, options)
        return [task], task.name
    if command is not None:
        raise click.UsageError("give either a task file or a command after --, not both")
    if not files:
        raise click.UsageError("give a task file, or a command after --, as in: adapter run -- echo hello")
    if len(files) > 1 or (not Path(files[0]).exists() and not files[0].endswith((".yaml", ".yml", ".json", ".jsonl"))):
        raise click.UsageError(
            f"{files[0]!r} is no task file; to run a command, write it after --: adapter run -- {' '.join(files)}"
        )
    _refuse_task_options(options)
    title, tasks = load_task_set(files[0])
    name = options.get("name") or title or (tasks[0].name if len(tasks) == 1 else Path(files[0]).stem)
    return tasks, name


def _refuse_task_options(options: Mapping[str, Any]) -> None:
    given = [key for key, value in options.items() if key != "name" and value not in {None, ()}]
    if given:
        flags = ", ".join("--" + key.removesuffix("_bytes").removesuffix("_s").rstrip("s") for key in given)
        raise click.UsageError(
            f"{flags} describe a command after --; in a task file, write it there (under `defaults` for all)"
        )


def _task(command: tuple[str, ...], options: Mapping[str, Any]) -> Task:
    image = seen_from(options["image"], os.path.abspath)
    return Task(
        steps=(Step(argv=command),),
        name=options["name"] or Path(command[0]).name or "task",
        env=dict(options["env"]),
        workdir=options["workdir"],
        inputs=tuple(_input(text) for text in options["inputs"]),
        outputs=tuple(_output(text) for text in options["outputs"]),
        resources=Resources(**{key: options[key] for key in _RESOURCES}),
        image=image,
    )


def has_image(task: Task) -> bool:
    """Whether *task*, or a step of it, asks for a container image."""
    return bool(task.image or any(step.image for step in task.steps))


def refuse_images(backend: Backend, tasks: Sequence[Task]) -> None:
    """Refuse images that *backend* cannot run, and name the backends that can.

    Raises:
        UnsupportedImage: as the executor would say it, with the names of the others.
    """
    for task in tasks:
        try:
            for step in task.steps:
                named(backend, image_of(backend, task, step), task.name)
        except UnsupportedImage as error:
            others = [
                entry.name for entry in list_backends() if entry.backend and _takes(entry.backend, error.protocols)
            ]
            hint = f"; backends that take it: {', '.join(others)}" if others else ""
            raise UnsupportedImage(f"{error}{hint}", protocols=error.protocols) from None


def _takes(backend: Backend, protocols: Sequence[str]) -> bool:
    """Whether *backend* runs images of one of *protocols*; an empty one is any."""
    return bool(backend.images) and any(not protocol or protocol in backend.images for protocol in protocols)


def with_workdir(task: Task, backend: Backend) -> Task:
    """Return *task* with the whole path of its workdir, where the target is this machine: seen from here.

    Raises:
        click.UsageError: the target is another machine, or a name is not set.
    """
    return replace(task, workdir=_workdir(task.workdir, backend))


def _workdir(folder: str | None, backend: Backend) -> str | None:
    is_expanded = folder is None or not needs_target(folder)
    if folder is None or (folder.startswith("/") and is_expanded):
        return folder
    if backend.connection["kind"] != "local":
        raise click.UsageError(f"workdir {folder}: a folder of another machine needs its whole path")
    if not is_expanded:
        folder = os.path.expandvars(Path(folder).expanduser())
        if needs_target(folder):
            raise click.UsageError(f"workdir {folder}: there is no such name in the environment")
    return os.path.abspath(folder)  # noqa: PTH100 (Path.resolve would follow links)


def _input(text: str) -> Input:
    if _URL.match(text):
        url, _, to = text.rpartition(":")  # URL:TO, and the URL has a colon of its own
        return Input(url=text, to=Path(text).name) if to.startswith("//") else Input(url=url, to=to)
    path, to = _split(text)
    if not path or not os.path.lexists(path):
        raise click.UsageError(f"--input: there is no file or folder {path!r} here")
    if kind := kind_here(path):
        raise click.UsageError(f"--input {path}: {special_input(kind)}")
    whole = os.path.abspath(path)  # noqa: PTH100 (Path.resolve would follow links)
    return Input(path=whole, to=to or Path(whole).name, folder=Path(whole).is_dir())


def _output(text: str) -> Output:
    pattern, to = _split(text)
    return Output(path=pattern, to=os.path.expanduser(to or "."))  # noqa: PTH111 (a Path would change a template)


_URL = re.compile(r"[a-z][a-z0-9+.-]*://")


def _split(text: str) -> tuple[str, str]:
    """Return the two sides of ``A:B``; a file that is really called ``A:B`` is meant as a whole."""
    if ":" not in text or os.path.lexists(text):
        return text, ""
    left, _, right = text.rpartition(":")
    return left, right
