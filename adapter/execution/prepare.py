"""What is asked of tasks before any of them is written down: their order, and their files on this machine."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

from adapter.config.local_paths import same_file
from adapter.core.local_files import Makers, from_here, named_files, writer_problems
from adapter.core.order import check_order
from adapter.errors import TaskError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from adapter.core.task import Task

_MOST_NAMED = 3


def prepared(tasks: Iterable[Task], *, before: Sequence[Task] = (), force: bool) -> list[tuple[Task, tuple[str, ...]]]:
    """Return *tasks* with absolute paths here, each with the names of those whose files it takes as inputs.

    *before* are the tasks that are in the run already, as this returned them.

    Raises:
        TaskError: they wait for each other, two of them write one file, or, unless *force*, one would replace a file
            that is here already.
    """
    new = [from_here(task, number, _absolute) for number, task in enumerate(tasks, len(before) + 1)]
    if not new:
        raise TaskError("there is no task to run")
    run = [*before, *new]
    check_order(run)
    for _, _, message in writer_problems(run, same_file):
        raise TaskError(message)
    _refuse_files_as_folders(new)
    if not force:
        _refuse_to_replace(new)
    makers = Makers(run, same_file)
    return [(task, makers.names_of(number)) for number, task in enumerate(new, len(before))]


def _absolute(path: str) -> str:
    return str(Path(path).absolute())  # `..` is left to the file system: folding it would be wrong behind a link


def _refuse_files_as_folders(run: Iterable[Task]) -> None:
    folders = {output.to: each for each in run for output in each.outputs if output.url is None}
    for to, task in folders.items():
        there = next((place for place in (Path(to), *Path(to).parents) if os.path.lexists(place)), None)
        if there is not None and not there.is_dir():
            raise TaskError(f"{there} is no folder, so outputs cannot come to {to} (task {task.name!r}); name another")


def _refuse_to_replace(tasks: Iterable[Task]) -> None:
    there = [f"{path} (task {task.name!r})" for task in tasks for path in _already_here(task)]
    if not there:
        return
    shown = ", ".join(there[:_MOST_NAMED])
    more = f" and {len(there) - _MOST_NAMED} more" if len(there) > _MOST_NAMED else ""
    verb = "are outputs and are" if len(there) > 1 else "is an output and is"
    raise TaskError(f"{shown}{more} {verb} here already; move what is here away, or replace it with --force")


def _already_here(task: Task) -> Iterator[str]:
    for number, path in named_files(task):
        works_on_it = task.workdir and same_file(path) == same_file(
            posixpath.join(task.workdir, task.outputs[number].path)
        )
        if os.path.lexists(path) and not Path(path).is_dir() and not works_on_it:
            yield path
