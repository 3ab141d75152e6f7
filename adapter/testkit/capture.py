"""Captures: answers of a scheduler kept in files, each with what it means, written by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter.config.document import parse, read_file
from adapter.config.load import with_words
from adapter.config.schemas import schema
from adapter.config.search import ENDINGS, shipped
from adapter.core.schema import Finding, form_findings, without, without_echoes
from adapter.errors import ConfigError, SchemaError
from adapter.results import CompletedCommand, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from importlib.resources.abc import Traversable

    from adapter.config.layers import Layer, Provenance

GOLDENS = "render"
"""The folder, among the captures, of task files and the texts that ``adapter render`` gives for them."""

_TEXTS: tuple[tuple[str | type, ...], ...] = (
    ("about",), ("source",), ("version",), ("stdout",), ("stderr",), ("asked", int),
    ("expect", "job_id"), ("expect", "version"), ("expect", "stdout"), ("expect", "stderr"),
    ("expect", "absent", int), ("expect", "told", int),
    *(("expect", kind, int) for kind in ("transient", "limit", "auth", "gone", "permanent", "none")),
    ("expect", "found", str),
    ("expect", "jobs", str, "native_state"), ("expect", "jobs", str, "native_reason"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """One answer of one command, and what it means.

    ``asked`` are the job ids that were asked about, for ``find`` the tokens. ``version`` is the scheduler's, ``None``
    where it makes no difference. ``file`` is how people see the file it came from.
    """

    file: str
    about: str
    action: str
    exit_code: int
    expect: Mapping[str, Any]
    stdout: str = ""
    stderr: str = ""
    asked: tuple[str, ...] = ()
    version: str | None = None
    source: str = ""

    @property
    def completed(self) -> CompletedCommand:
        """The answer as a transport hands it over."""
        return CompletedCommand(
            command=f"the {self.action} command", exit_code=self.exit_code, stdout=self.stdout, stderr=self.stderr
        )

    @property
    def jobs(self) -> Mapping[str, Mapping[str, Any]]:
        """What is expected of each job that the answer shows."""
        jobs: Mapping[str, Mapping[str, Any]] = self.expect.get("jobs", {})
        return jobs

    @property
    def absent(self) -> tuple[str, ...]:
        """The ids that a good answer does not show; none where it is no answer."""
        if "no_answer" in self.expect:
            return ()
        return tuple(self.expect.get("absent", (one for one in self.asked if one not in self.jobs)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder with captures: how it is shown, what is in it, and whose it is (``None``: the backend's own)."""

    shown: str
    captures: tuple[Capture, ...]
    goldens: tuple[Path, ...] = ()
    inherited_from: str | None = None


@dataclass(slots=True)
class Found:
    """The folders for one backend, and the problems of files that are no captures."""

    folders: list[Folder] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def parse_capture(content: bytes | str, file: str) -> Capture:
    """Return the capture in *content*; *file* is how its problems name it.

    Raises:
        ConfigError: it is no capture; every problem has its place.
    """
    document = with_words(parse(content, file), _TEXTS)
    form = form_findings(document.data, schema("capture"))
    findings = form + without_echoes(_sense(without(document.data, form)), [finding.path for finding in form])
    if findings:
        raise SchemaError([document.problem(finding) for finding in findings])
    data = dict(document.data)
    return Capture(file=file, asked=tuple(data.pop("asked", ())), **data)


def _sense(data: Any) -> list[Finding]:
    """What a schema cannot say: ids that nobody asked about."""
    expect, asked = (data.get("expect"), data.get("asked")) if isinstance(data, dict) else (None, None)
    if not isinstance(expect, dict) or not isinstance(asked, list):
        return []
    jobs, absent, found = (expect.get(key) or {} for key in ("jobs", "absent", "found"))
    wrong = [
        Finding(path=("expect", key, name), message=f"{name!r} is not under `asked`", at_key=True)
        for key, names in (("jobs", jobs), ("found", found))
        for name in names
        if name not in asked
    ]
    for index, name in enumerate(absent):
        path = ("expect", "absent", index)
        if name not in asked:
            wrong.append(Finding(path=path, message=f"{name!r} is not under `asked`"))
        elif name in jobs:
            wrong.append(Finding(path=path, message=f"{name!r} stands under `jobs` too; keep one"))
    return wrong


def folders_for(name: str, lineage: Sequence[str], provenance: Provenance) -> Iterator[tuple[str, Traversable]]:
    """Return where captures of the backend *name* may lie, the nearest first: its name or an ancestor's, and a folder.

    Beside the file of each, in ``captures/NAME`` and ``tests/captures/NAME``; for a file that came with this package,
    where the package keeps its own.
    """
    yield from _beside(name, provenance.layers[-1])
    for ancestor in lineage:
        for layer in reversed(provenance.layers[:-1]):
            if _name_of(layer) == ancestor:
                yield from _beside(ancestor, layer)


def _name_of(layer: Layer) -> str:
    stem = Path(layer.document.file).name
    for ending in ENDINGS:
        stem = stem.removesuffix(ending)
    return str(layer.data.get("name") or stem)


def _beside(name: str, layer: Layer) -> Iterator[tuple[str, Traversable]]:
    folder = Path(layer.document.file).expanduser().parent
    yield name, folder / "captures" / name
    yield name, folder / "tests" / "captures" / name
    if folder.resolve() == Path(str(shipped("templates"))).resolve():  # however it was written
        yield name, shipped("tests/captures").joinpath(name)


def find_captures(name: str, lineage: Sequence[str], provenance: Provenance, extra: Sequence[Path] = ()) -> Found:
    """Return the captures of a backend: the nearest ones, and those in each folder of *extra*."""
    found = Found()
    for owner, place in folders_for(name, lineage, provenance):
        if place.is_dir():
            _read(found, place, inherited_from=None if owner == name else owner)
            if found.folders[-1].captures or not (place / GOLDENS).is_dir():
                break
            if owner != name:  # a folder with nothing but goldens does not say whose captures are meant
                found.folders.pop()
    for folder in extra:
        if folder.is_dir():
            _read(found, folder, inherited_from=None)
        else:
            found.problems.append(Problem(message="no folder of captures", file=str(folder)))
    return found


def _read(found: Found, place: Traversable, *, inherited_from: str | None) -> None:
    captures = []
    for entry in sorted(place.iterdir(), key=lambda one: one.name):
        if not entry.name.endswith(ENDINGS) or entry.name.startswith(".") or entry.is_dir():
            continue
        try:
            captures.append(parse_capture(read_file(entry, str(entry)), str(entry)))
        except ConfigError as error:
            found.problems += error.problems
        except OSError as error:
            found.problems.append(Problem(message=f"cannot be read: {error.strerror}", file=str(entry)))
    render = Path(str(place)) / GOLDENS
    goldens = sorted(one for one in render.iterdir() if one.name.endswith(ENDINGS)) if render.is_dir() else []
    if inherited_from:
        goldens = []  # what a backend writes is its own: one that extends another does so to write something else
    found.folders.append(
        Folder(shown=str(place), captures=tuple(captures), goldens=tuple(goldens), inherited_from=inherited_from)
    )
