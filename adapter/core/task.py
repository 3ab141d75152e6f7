"""A task: what a user asks to have run. Portable, immutable, and free of any scheduler's words."""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

import jinja2

from adapter.core import units
from adapter.core.defaults import DEFAULTS
from adapter.core.schema import unknown
from adapter.core.template import PlainTemplate
from adapter.errors import TaskError


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command of a task: either ``argv``, or ``shell`` text that ``sh`` runs.

    ``workdir``, ``stdin``, ``stdout`` and ``stderr`` are paths inside the task's work folder; ``None`` means the
    task's own.
    """

    argv: tuple[str, ...] | None = None
    shell: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str | None = None
    stdin: str | None = None
    stdout: str | None = None
    stderr: str | None = None
    image: str | tuple[str, ...] | None = None
    ignore_error: bool = False

    def __post_init__(self) -> None:
        if (self.argv is None) == (self.shell is None) or self.argv == ():
            raise TaskError("a step is either argv (a list of words) or shell (a text)")
        _check_names(self.env)

    @property
    def words(self) -> tuple[str, ...]:
        """The command as words."""
        return self.argv if self.argv is not None else ("sh", "-c", self.shell or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A file or folder put into the work folder before the task starts.

    Exactly one of ``path`` (a file or folder here), ``content`` (literal text, or bytes) and ``url`` (what the
    service that runs the task fetches itself). ``to`` is its path in the work folder. ``link`` puts a symbolic link
    instead of a copy, where the target shares this machine's files. ``folder`` says that it is one, for services
    that have to be told.
    """

    to: str
    path: str | None = None
    content: str | bytes | None = None
    url: str | None = None
    link: bool = False
    folder: bool = False

    def __post_init__(self) -> None:
        if [self.path, self.content, self.url].count(None) != 2:
            raise TaskError(f"input {self.to!r} needs one of path, content and url")
        if self.link and self.path is None:
            raise TaskError(f"input {self.to!r} cannot link to literal content")
        if isinstance(self.content, str) and any("\ud800" <= letter <= "\udfff" for letter in self.content):
            raise TaskError(f"the content of input {self.to!r} holds half a character, which no file can hold")
        check_inside(self.to, f"input {self.to!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Files brought back after the task ended: ``path`` is a path or glob in the work folder, ``to`` a folder here.

    ``{{ name }}`` and ``{{ index }}`` in ``to`` are the task's name and its number in the run, from 1; ``literal`` says
    that ``to`` is a path in which nothing is filled in any more.
    With a ``url``, the service that runs the task puts them there itself, and nothing is brought here.
    A missing output fails the collection unless ``optional``. What matches one of the globs in ``exclude``, by its
    whole path in the work folder or by its name alone, stays where it is.
    """

    path: str
    to: str = DEFAULTS["output"]["to"]
    url: str | None = None
    optional: bool = False
    exclude: tuple[str, ...] = ()
    literal: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        check_inside(self.path, f"output {self.path!r}")
        if not self.literal:
            _check_folder(self.to)


class Until(StrEnum):
    """What a task waits for another one to have done."""

    SUCCEEDED = "succeeded"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """Another task of the same run, by its name, and what it must have done before this one starts."""

    task: str
    until: Until = Until(DEFAULTS["task.after"]["until"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What one task needs. ``None`` means "not asked for": the backend's default applies.

    ``cpu`` and ``ram_bytes`` are what is reserved, the ``_limit`` ones are what may not be exceeded.
    A larger ``priority`` is sooner.
    """

    cpu: float | None = None
    cpu_limit: float | None = None
    ram_bytes: int | None = None
    ram_limit_bytes: int | None = None
    disk_bytes: int | None = None
    gpu: int | None = None
    walltime_s: int | None = None
    nodes: int | None = None
    ranks: int | None = None
    preemptible: bool | None = None
    queue: str | None = None
    account: str | None = None
    priority: int | None = None

    def asked(self) -> dict[str, Any]:
        """Return what was asked for, under the names that templates and files use (``ram``, not ``ram_bytes``)."""
        named = ((_plain_name(item.name), getattr(self, item.name)) for item in fields(self))
        return {name: value for name, value in named if value is not None and value is not False}


def _plain_name(field_name: str) -> str:
    return field_name.removesuffix("_bytes").removesuffix("_s")


RESOURCE_FIELDS = {_plain_name(item.name): item.name for item in fields(Resources)}
_PARSERS: dict[str, Callable[[Any], int]] = {
    **dict.fromkeys(("ram_bytes", "ram_limit_bytes", "disk_bytes"), units.parse_bytes),
    "walltime_s": units.parse_seconds,
}
_RECORDED = {**_PARSERS, "walltime_s": units.recorded_seconds}


def parse_resource(name: str, value: Any) -> Any:
    """Return *value* of the resource *name*, as a person wrote it, in inside units; what has no unit passes.

    Raises:
        ValueError: the value has no unit that fits.
    """
    return _parsed(_PARSERS, name, value)


def recorded_resource(name: str, value: Any) -> Any:
    """Return *value* of the resource *name* in inside units: from a checked file, or from a record of any version.

    Raises:
        ValueError: the value has no unit that fits.
    """
    return _parsed(_RECORDED, name, value)


def _parsed(parsers: Mapping[str, Callable[[Any], int]], name: str, value: Any) -> Any:
    parser = parsers.get(RESOURCE_FIELDS.get(name, name))
    return parser(value) if parser and value is not None else value


def resources_from(values: Mapping[str, Any]) -> Resources:
    """Return the resources in *values* (names and units as in a task file).

    Raises:
        TaskError: a value has no unit that fits.
    """
    try:
        return Resources(**{RESOURCE_FIELDS[name]: recorded_resource(name, value) for name, value in values.items()})
    except ValueError as error:
        raise TaskError(str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a user asks to have run.

    ``steps`` run in order and stop at the first failure. ``workdir`` is where they run: ``None`` is the job's own fresh
    work folder, an absolute path is a folder of the target. ``allowed_exit_codes`` count as success.
    ``image`` is a container image, or several of which the first that can be had is used. ``volumes`` are absolute
    paths of folders that start empty and that all steps share. ``after`` names tasks of the same run to wait for.
    ``native`` holds a scheduler's own options by backend name: they reach that backend's submit untouched but quoted.
    """

    steps: tuple[Step, ...]
    name: str = DEFAULTS["task"]["name"]
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str | None = None
    stdin: str | None = None
    stdout: str | None = None
    stderr: str | None = None
    inputs: tuple[Input, ...] = ()
    outputs: tuple[Output, ...] = ()
    resources: Resources = field(default_factory=Resources)
    image: str | tuple[str, ...] | None = None
    volumes: tuple[str, ...] = ()
    after: tuple[After, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    allowed_exit_codes: tuple[int, ...] = tuple(DEFAULTS["task"]["allowed_exit_codes"])
    native: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.allowed_exit_codes:
            raise TaskError(f"task {self.name!r} allows no exit code at all, so it could never succeed")
        if not self.steps:
            raise TaskError(f"task {self.name!r} has no steps")
        if not self.name or any(unicodedata.category(character) in {"Cc", "Cs"} for character in self.name):
            raise TaskError(
                f"task name {self.name!r} is empty or holds a control character; schedulers list one job a line"
            )
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                check_inside(stream, f"task {self.name!r}")
        for volume in self.volumes:
            if not volume.startswith("/"):
                raise TaskError(f"volume {volume!r} must be an absolute path in the container")
        _check_names(self.env)
        targets = [item.to for item in self.inputs]
        for target in targets:
            if targets.count(target) > 1:
                raise TaskError(f"task {self.name!r} puts two inputs at {target!r}")


def _check_names(env: Mapping[str, str]) -> None:
    for key in env:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key):
            raise TaskError(f"{key!r} is not a name for an environment variable: letters, digits and _, no digit first")


def check_inside(path: str, what: str) -> None:
    """Refuse a path that leaves the work folder.

    Raises:
        TaskError: *path* is absolute, empty, or climbs out with ``..``.
    """
    if not path or path.startswith("/") or ".." in path.split("/") or "\0" in path:
        raise TaskError(f"{what} must be a path inside the work folder: relative, without ..")


_FOLDER_VARIABLES = ("index", "name")


def is_pattern(path: str) -> bool:
    """Whether *path* is a glob."""
    return any(sign in path for sign in "*?[")


def _check_folder(to: str) -> None:
    """Refuse a folder for outputs whose text cannot be filled in."""
    if not is_template(to):
        return
    try:
        wrong = sorted(PlainTemplate(to).variables - set(_FOLDER_VARIABLES))
    except jinja2.TemplateSyntaxError as error:
        raise TaskError(f"the folder {to!r} cannot be read as a template: {error.message}") from error
    if wrong:
        raise TaskError(f"the folder {to!r}: {unknown('variable', wrong[0], _FOLDER_VARIABLES)}")


def rendered_folder(output: Output, name: str, index: int) -> str:
    """Return the folder of *output* for the task *name*, number *index* of its run.

    A name stands for one part of a path, whatever is in it: it cannot lead out of the folder that it is put in.

    Raises:
        RenderError: the text cannot be filled in.
    """
    if output.literal or not is_template(output.to):
        return output.to
    part = name.replace("/", "_")
    if part in {".", ".."}:
        part = "_" * len(part)
    return PlainTemplate(output.to).render({"name": part, "index": index})


def is_template(text: str) -> bool:
    """Whether something in *text* is to be filled in."""
    return "{{" in text or "{%" in text or "{#" in text


def task_from(document: Mapping[str, Any]) -> Task:
    """Return the task that *document* describes; its form is what ``schemas/task.schema.json`` asks for.

    Raises:
        TaskError: a value does not make sense.
    """
    known = dict(document)
    steps = known.pop("steps", None)
    if "command" in known:  # the short form: one step
        steps = [known.pop("command")]
    read = {key: convert(known.pop(key)) for key, convert in _CONVERTED.items() if key in known}
    return Task(steps=tuple(map(_step_from, steps or ())), **read, **known)


def _step_from(step: Any) -> Step:
    match step:
        case str():
            return Step(shell=step)
        case list():
            return Step(argv=tuple(str(word) for word in step))
    known = dict(step)
    if "argv" in known:
        known["argv"] = tuple(map(str, known["argv"]))
    read = {key: _CONVERTED[key](known.pop(key)) for key in ("env", "image") if key in known}
    return Step(**read, **known)


def _image_from(written: Any) -> str | tuple[str, ...] | None:
    return tuple(written) if isinstance(written, list) else written


def _after_from(item: Any) -> After:
    if isinstance(item, str):
        return After(task=item)
    return After(**{**item, **({"until": Until(item["until"])} if "until" in item else {})})


def _input_from(item: Any) -> Input:
    if isinstance(item, str):
        return Input(path=item, to=_base_name(item))
    given = {"to": _base_name(item.get("path", "")), **item}
    if (coded := given.pop("content_base64", None)) is not None:
        if "content" in given:
            raise TaskError(f"input {given['to']!r} needs one of content and content_base64")
        given["content"] = _decoded(coded, given["to"])
    return Input(**given)


def _decoded(coded: str, to: str) -> bytes:
    try:
        return base64.b64decode("".join(coded.split()), validate=True)
    except ValueError as error:
        raise TaskError(f"content_base64 of input {to!r} is not base64: {error}") from error


def _output_from(item: Any) -> Output:
    if isinstance(item, str):
        return Output(path=item)
    return Output(**{**item, "exclude": tuple(item.get("exclude", ()))})


def _base_name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Return *values* as an environment holds them: ``true`` and ``false`` in small letters, as in the file."""
    return {
        key: ("true" if value else "false") if isinstance(value, bool) else str(value) for key, value in values.items()
    }


def _all(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda items: tuple(map(convert, items))


_CONVERTED: dict[str, Callable[[Any], Any]] = {
    "inputs": _all(_input_from),
    "outputs": _all(_output_from),
    "after": _all(_after_from),
    "resources": resources_from,
    "image": _image_from,
    "env": texts,
    "tags": texts,
    "allowed_exit_codes": tuple,
    "volumes": tuple,
    "native": lambda native: {name: tuple(options) for name, options in native.items()},
}
"""How what a file says becomes what a task holds; the other keys are taken as they stand."""


def task_document(task: Task) -> dict[str, Any]:
    """Return *task* as the plain document that :func:`task_from` reads back; what is not set is left out."""
    document: dict[str, Any] = _document_of(task)
    values = {name: getattr(task.resources, field_name) for name, field_name in RESOURCE_FIELDS.items()}
    document["resources"] = {name: _written(name, value) for name, value in values.items() if value is not None}
    if not document["resources"]:
        del document["resources"]
    return document


def _written(name: str, value: Any) -> Any:
    field_name = RESOURCE_FIELDS[name]
    unit = "B" if field_name.endswith("_bytes") else "s" if field_name.endswith("_s") else ""
    return f"{value}{unit}" if unit else value


def _document_of(value: Any) -> Any:
    if isinstance(value, Input) and isinstance(value.content, bytes):
        rest = {name: entry for name, entry in _document_of(replace(value, content="x")).items() if name != "content"}
        return {**rest, "content_base64": base64.b64encode(value.content).decode("ascii")}
    if isinstance(value, Task | Step | Input | Output | After):
        named = ((item.name, _document_of(getattr(value, item.name))) for item in fields(value))
        return {name: entry for name, entry in named if entry not in (None, {}, [], False)}
    if isinstance(value, tuple):
        return [_document_of(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _document_of(item) for key, item in value.items()}
    return None if isinstance(value, Resources) else value
