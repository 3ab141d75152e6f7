"""Tasks from files: one task, a set of tasks, or one task a line (JSON Lines)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from adapter.config.document import MOST_BYTES, Document, parse, parse_json_line, read_file
from adapter.config.load import Shape, with_words
from adapter.config.local_paths import kind_here, same_file
from adapter.config.schemas import schema
from adapter.core.image import seen_from
from adapter.core.local_files import Makers, missing_input, special_input, writer_problems
from adapter.core.order import order_problems
from adapter.core.schema import Finding, KeyPath, form_findings, without, without_echoes, without_nulls
from adapter.core.task import Output, Task, is_template, rendered_folder, task_from
from adapter.core.validate_advice import task_advice
from adapter.core.validate_task import documents_in, filled, task_problems_in
from adapter.errors import ConfigError, SchemaError, TaskError
from adapter.results import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_LINE_ENDINGS = (".jsonl", ".ndjson")
_IN_A_TASK: tuple[Shape, ...] = (
    ("env", str),
    ("tags", str),
    ("command", int),
    ("command", "argv", int),
    ("command", "env", str),
    ("steps", int, int),
    ("steps", int, "argv", int),
    ("steps", int, "env", str),
)
_WORDS: tuple[Shape, ...] = tuple(
    (*above, *shape) for above in ((), ("defaults",), ("tasks", int)) for shape in _IN_A_TASK
)


def load_tasks(source: str | Path | TextIO, *, cwd: Path | None = None) -> list[Task]:
    """Return the tasks in the file (or open stream) *source*; :func:`load_task_set` also gives the set's name."""
    return load_task_set(source, cwd=cwd).tasks


class TaskSet(NamedTuple):
    """The tasks of one file, and the name that the file gives the set; ``None`` if it gives none."""

    name: str | None
    tasks: list[Task]


def load_task_set(source: str | Path | TextIO, *, cwd: Path | None = None) -> TaskSet:
    """Return the set of tasks in the file (or open stream) *source*.

    The paths of inputs and the folders for outputs are seen from the file's folder, for a stream from *cwd* (``None``
    is this process's own), and come back absolute.

    Raises:
        ConfigError: something in it is wrong; every problem has its place.
    """
    here = Path.cwd() if cwd is None else cwd
    content, shown, folder = _content(source, here)
    problems: list[Problem] = []
    read: list[tuple[Document, KeyPath, dict[str, Any]]] = []
    name = None
    for document in _documents(content, shown, problems):
        if isinstance(document.data, dict) and "tasks" in document.data:
            name = document.data.get("name")
        for path, plain, findings in _read(document, folder, len(read), problems):
            problems += [_placed(document, path, finding) for finding in findings]
            read.append((document, path, plain))
    tasks = [] if problems else [task_from(plain) for _, _, plain in read]
    for number, finding in _together(tasks) if tasks else _missing_files([plain for _, _, plain in read]):
        problems.append(_placed(*read[number][:2], finding))
    if problems:
        raise SchemaError(sorted(dict.fromkeys(problems), key=lambda one: (one.line or 0, one.column or 0)))
    return TaskSet(name, tasks)


def _together(tasks: Sequence[Task]) -> Iterator[tuple[int, Finding]]:
    """Yield what is wrong with *tasks* beside each other: the number of the task, and the mistake."""
    for number, place, message in order_problems(tasks):
        yield number, Finding(path=("after", place), message=message)
    for number, place, message in writer_problems(tasks, same_file):
        yield number, Finding(path=("outputs", place), message=message)
    makers = None
    for number, task in enumerate(tasks):
        for place, item in enumerate(task.inputs):
            if item.path is None:
                continue
            if kind := kind_here(item.path):
                yield number, Finding(path=("inputs", place, "path"), message=f"{item.path}: {special_input(kind)}")
            if Path(item.path).exists():
                continue
            makers = makers or Makers(tasks, same_file)
            if problem := missing_input(item.path, makers.of(number, item)):
                yield number, Finding(path=("inputs", place, "path"), message=problem)


def _missing_files(documents: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, Finding]]:
    """Yield the inputs that are not here, of tasks of which some cannot be made and none brings a file."""
    if any(document.get("outputs") for document in documents):
        return
    for number, document in enumerate(documents):
        for index, entry in enumerate(document.get("inputs") or ()):
            if isinstance(entry, dict) and "path" in entry and not Path(entry["path"]).exists():
                yield number, Finding(path=("inputs", index, "path"), message=f"no input file {entry['path']}")


def advice_for_tasks(source: str | Path, *, cwd: Path | None = None) -> list[Problem]:
    """Return what is probably not meant in the task file *source*, which has no mistakes."""
    content, shown, folder = _content(source, Path.cwd() if cwd is None else cwd)
    return list(
        dict.fromkeys(
            _placed(document, path, finding)
            for document in _documents(content, shown, [])
            for path, written in documents_in(without_nulls(document.data))
            for finding in task_advice(written, lambda file: (folder / file).is_file())
        )
    )


def _content(source: str | Path | TextIO, here: Path) -> tuple[bytes | str, str, Path]:
    if not isinstance(source, str | Path):
        return source.read(), str(getattr(source, "name", "<stream>")), here
    place = here / Path(source).expanduser()
    try:
        content = read_file(place, str(source), most=MOST_BYTES, pipe=place.is_relative_to("/dev"))  # <(command)
        return content, str(source), place.parent
    except OSError as error:
        raise ConfigError([Problem(message=f"cannot be read: {error.strerror}", file=str(source))]) from error


def _documents(content: bytes | str, shown: str, problems: list[Problem]) -> Iterator[Document]:
    """Return the documents in *content*: one a line in JSON Lines, one otherwise."""
    if not shown.endswith(_LINE_ENDINGS):
        yield parse(content, shown)
        return
    text = content if isinstance(content, str) else content.decode("utf-8", "replace")
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield parse_json_line(line, shown, number)
            except ConfigError as error:
                problems += error.problems


def _read(
    document: Document, folder: Path, before: int, problems: list[Problem]
) -> Iterator[tuple[KeyPath, dict[str, Any], list[Finding]]]:
    """Return each task in *document*: where it stands, what it says, and what is wrong with it."""
    document = with_words(document, _WORDS)
    form = form_findings(without_nulls(document.data), schema("task"))
    problems += [document.problem(finding) for finding in form]
    sound = without(document.data, form)
    if not isinstance(sound, dict):
        return
    refused = {finding.path for finding in form if not finding.missing}
    for number, (path, written) in enumerate(documents_in(sound), before + 1):
        plain = with_absolute_paths(without_nulls(written), folder, number)
        findings = task_problems_in(plain)
        yield path, plain, without_echoes(findings, {_below(place, path) for place in refused} - {None})  # type: ignore[arg-type]


def _below(place: KeyPath, path: KeyPath) -> KeyPath | None:
    """Return *place* as seen from the task at *path*; what the defaults say is said of every task."""
    if place[:1] == ("defaults",) and path:
        return place[1:]
    return place[len(path) :] if place[: len(path)] == path and place != path else None


def _placed(document: Document, path: KeyPath, finding: Finding) -> Problem:
    """Return *finding* at its place in the task at *path*, or in the defaults if they say it."""
    whole = (*path, *finding.path)
    in_defaults = ("defaults", *finding.path)
    if path and finding.path and not _stands(document, whole, path) and in_defaults in document.marks:
        whole = in_defaults
    return document.problem(finding, path=whole)


def _stands(document: Document, whole: KeyPath, path: KeyPath) -> bool:
    return whole in document.marks or whole[: len(path) + 1] in document.marks


def with_absolute_paths(document: Mapping[str, Any], folder: Path, number: int) -> dict[str, Any]:
    """Return *document*, task *number* of its file, with inputs and outputs in long form.

    Their paths here, and those of images, are absolute.
    """
    changed = _images(document, folder)
    for key in ("command", "steps"):
        if isinstance(changed.get(key), dict):
            changed[key] = _images(changed[key], folder)
        elif key == "steps" and isinstance(changed.get(key), list):
            changed[key] = [_images(step, folder) if isinstance(step, dict) else step for step in changed[key]]
    if "inputs" in changed:
        changed["inputs"] = [_input(entry, folder) for entry in changed["inputs"]]
    if "outputs" in changed:
        changed["outputs"] = [
            _output(entry, folder, str(document.get("name", "task")), number) for entry in changed["outputs"]
        ]
    return changed


def _images(document: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    written = document.get("image")
    if not written:
        return dict(document)
    images = seen_from(tuple(written) if isinstance(written, list) else written, lambda path: _absolute(path, folder))
    return {**document, "image": list(images) if isinstance(images, tuple) else images}


def _input(entry: Any, folder: Path) -> Any:
    if entry is None:
        return None
    long = filled(entry)
    if "path" not in long:
        return long
    path = _absolute(long["path"], folder)
    return {**long, "path": path, "folder": Path(path).is_dir()}


def _output(entry: Any, folder: Path, name: str, number: int) -> Any:
    if entry is None:
        return None
    long = {"path": entry} if isinstance(entry, str) else dict(entry)
    to = os.path.expanduser(long.get("to", "."))  # noqa: PTH111 (a Path would change a template)
    try:
        rendered = rendered_folder(Output(path="-", to=to), name, number)
    except TaskError:
        return {**long, "to": to}  # told in its place
    whole = _absolute(rendered, folder)
    return {**long, "to": whole, "literal": is_template(whole)}


def _absolute(path: str, folder: Path) -> str:
    # Links stay as they are, and `..` is left to the file system: folding it would be wrong behind a link.
    return str(folder.absolute() / Path(path).expanduser())
