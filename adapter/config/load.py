"""Backends from files: found, read, laid over each other, checked; every value traceable to the line that set it."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from adapter.config import search
from adapter.config.document import MOST_BACKEND_BYTES, Document, parse, read_file
from adapter.config.layers import Layer, Leaf, Provenance, leaves
from adapter.config.library import library
from adapter.config.schemas import schema_part
from adapter.config.search import Found
from adapter.config.trust import refuse_untrusted, untrusted
from adapter.core.backend import Backend, backend_from, merge
from adapter.core.schema import (
    Finding,
    KeyPath,
    form_findings,
    unknown,
    without,
    without_echoes,
    without_nulls,
)
from adapter.core.validate import problems_in
from adapter.core.validate_advice import backend_advice
from adapter.errors import ConfigError, PatternError, SchemaError, TemplateError
from adapter.results import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_OWN_KEYS = frozenset(
    {"format", "name", "extends", "abstract", "automatic", "proof"}
)  # said of one file, not of those that extend it
_ERRORS = {"form": SchemaError, "template": TemplateError, "pattern": PatternError}


class BackendEntry(NamedTuple):
    """One backend on the search path; ``error`` is its first problem, ``None`` if it has none.

    ``backend`` is ``None`` for one that is wrong, or only there to be extended; one that is not ``trusted`` may be read
    and not used.
    """

    name: str
    summary: str
    file: str
    abstract: bool
    error: str | None
    backend: Backend | None = None
    trusted: bool = True


@dataclass(frozen=True, slots=True)
class MergedBackend:
    """A backend's merged document, abstract or not: what ``explain`` and ``show`` need."""

    name: str
    lineage: tuple[str, ...]
    document: Mapping[str, Any]
    provenance: Provenance

    def explain(self) -> list[Leaf]:
        """Return every value with the file and line that set it, in the document's order."""
        return [self.provenance.leaf(path, value) for path, value in leaves(self.document, ())]


@dataclass(frozen=True, slots=True)
class LoadedBackend:
    """A backend ready for use, and where each of its values came from."""

    backend: Backend
    provenance: Provenance

    def explain(self) -> list[Leaf]:
        """Return every value with the file and line that set it, in the document's order."""
        return [self.provenance.leaf(path, value) for path, value in leaves(self.backend.document, ())]


def load_backend(
    name_or_path: str, *, environ: Mapping[str, str] | None = None, cwd: Path | None = None, trust: bool = False
) -> LoadedBackend:
    """Return the backend of that name on the search path, or in that file.

    ``None`` for *environ* and *cwd* means this process's own. Files that were found in the current folder must have
    been allowed by ``adapter trust``; with *trust*, they are taken as they are.

    Raises:
        BackendNotFound: there is none of that name; the message names the nearest, and where was looked.
        NotTrusted: a file of the current folder was not allowed, or has changed since.
        ConfigError: a file is wrong, or the backend is only there to be extended.
    """
    merged = load_merged(name_or_path, environ=environ, cwd=cwd)
    if not trust:
        _refuse_untrusted(merged.provenance, environ, cwd)
    if merged.document.get("abstract"):
        finding = Finding(
            path=("abstract",), message=f"backend {merged.name!r} is abstract: write one that extends it, and use that"
        )
        raise SchemaError([merged.provenance.problem(finding)])
    backend = backend_from(merged.document, name=merged.name, lineage=merged.lineage)
    return LoadedBackend(backend, merged.provenance)


def _is_trusted(layers: Iterable[Layer], environ: Mapping[str, str] | None, cwd: Path | None) -> bool:
    return not untrusted(layers, environ, cwd)


def _refuse_untrusted(provenance: Provenance, environ: Mapping[str, str] | None, cwd: Path | None) -> None:
    refuse_untrusted(provenance.layers, environ, cwd)


def load_merged(
    name_or_path: str, *, environ: Mapping[str, str] | None = None, cwd: Path | None = None
) -> MergedBackend:
    """Return the merged and checked document of a backend, which may be abstract.

    Raises:
        BackendNotFound: there is none of that name.
        ConfigError: a file is wrong.
    """
    found = search.candidates(name_or_path, environ, cwd)
    if not found:
        raise search.not_found(name_or_path, environ, cwd)
    reading = _read(found[0], environ, cwd)
    if reading.problems or reading.merged is None:
        kinds = reading.kinds
        raise (_ERRORS[kinds.pop()] if len(kinds) == 1 else ConfigError)(reading.problems)
    return reading.merged


def validate_file(
    path: str | Path, *, environ: Mapping[str, str] | None = None, cwd: Path | None = None
) -> list[Problem]:
    """Return every problem of the backend file at *path*, and of those that it extends at their own place."""
    shown = str(path)
    place = (Path.cwd() if cwd is None else cwd) / Path(shown).expanduser()
    return _read(Found(shown, place), environ, cwd).problems


def advice_for_file(
    path: str | Path, *, environ: Mapping[str, str] | None = None, cwd: Path | None = None
) -> list[Problem]:
    """Return what is probably not meant in the backend file at *path*, though it is no mistake."""
    place = (Path.cwd() if cwd is None else cwd) / Path(path).expanduser()
    reading = _read(Found(str(path), place), environ, cwd)
    if reading.merged is None or reading.problems:
        return []
    provenance = reading.merged.provenance
    found = backend_advice(reading.merged.document, provenance.layers[-1].data, place.stem)
    return [provenance.problem(finding) for finding in found]


def list_backends(*, environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> list[BackendEntry]:
    """Return every backend on the search path by name, a wrong one with its first problem."""
    first: dict[str, Found] = {}
    for found in search.every_file(environ, cwd):
        first.setdefault(found.stem, found)
    return [_entry(name, first[name], environ, cwd) for name in sorted(first)]


def automatic_backends(*, environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> list[Backend]:
    """Return the backends that may be chosen where nobody names one, the one to try first in front.

    Raises:
        NotTrusted: a file of the current folder that was not allowed wants to be one of them.
    """
    first: dict[str, Found] = {}
    for found in search.every_file(environ, cwd):
        first.setdefault(found.stem, found)
    mentioned = [name for name, found in first.items() if b"automatic" in _content(found)]
    loaded = [load_backend(name, environ=environ, cwd=cwd, trust=True) for name in mentioned]
    marked = [one for one in loaded if one.backend.automatic]
    for one in marked:
        _refuse_untrusted(one.provenance, environ, cwd)
    return sorted((one.backend for one in marked), key=lambda one: ((one.automatic or {})["rank"], one.name))


def _content(found: Found) -> bytes:
    try:
        return read_file(found.place, found.shown, most=MOST_BACKEND_BYTES)
    except OSError as error:
        raise ConfigError([Problem(message=f"cannot be read: {error.strerror}", file=found.shown)]) from error


def _entry(name: str, found: Found, environ: Mapping[str, str] | None, cwd: Path | None) -> BackendEntry:
    reading = _read(found, environ, cwd)
    document = reading.merged.document if reading.merged else {}
    error = str(reading.problems[0]) if reading.problems else None
    is_abstract = bool(document.get("abstract"))
    backend = None
    if reading.merged and not reading.problems and not is_abstract:
        backend = backend_from(document, name=reading.merged.name, lineage=reading.merged.lineage)
    trusted = _is_trusted(reading.layers.values(), environ, cwd)
    return BackendEntry(name, document.get("summary", ""), found.shown, is_abstract, error, backend, trusted)


# ---- one backend and all that it extends -------------------------------------------------------------------------


@dataclass(slots=True)
class _Reading:
    """What reading one backend file gave. ``is_partial``: a file that it extends is missing or unreadable."""

    environ: Mapping[str, str] | None
    cwd: Path | None
    layers: dict[str, Layer] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    refused: list[KeyPath] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    is_partial: bool = False
    merged: MergedBackend | None = None


def _read(found: Found, environ: Mapping[str, str] | None, cwd: Path | None) -> _Reading:
    """Return everything that can be said of the backend in the file *found*."""
    reading = _Reading(environ, cwd)
    _add(reading, found, ())
    if reading.layers:
        _merge(reading)
    files = list(dict.fromkeys([found.shown, *(layer.document.file for layer in reading.layers.values())]))
    reading.problems = sorted(
        dict.fromkeys(reading.problems),
        key=lambda one: (files.index(one.file) if one.file in files else len(files), one.line or 0, one.column or 0),
    )
    return reading


def _add(reading: _Reading, found: Found, chain: tuple[Found, ...]) -> None:
    """Read *found* and, before it, what it extends. A file that two others extend counts once, where it comes first."""
    opened = _opened(reading, found)
    if opened is None:
        reading.is_partial = True
        return
    document, digest = opened
    findings = form_findings(without_nulls(document.data), schema_part("backend", "file"))
    reading.refused += [finding.path for finding in findings if not finding.missing]
    _tell(reading, document, findings)
    data = without(document.data, findings)
    data = data if isinstance(data, dict) else {}
    reading.names.append(str(data.get("name") or found.stem))
    for path, parent in _parents(data):
        _extend(reading, (*chain, found), document, path, parent)
    reading.layers.setdefault(_key(found), Layer(document, data, found, digest))


def _opened(reading: _Reading, found: Found) -> tuple[Document, str] | None:
    """Return what is in *found* and the hash of exactly that."""
    try:
        content = _content(found)
        return with_words(parse(content, found.shown), _MAPPED_WORDS), hashlib.sha256(content).hexdigest()
    except ConfigError as error:
        reading.problems += error.problems
    reading.kinds.add("form")
    return None


def _tell(reading: _Reading, document: Document, findings: Sequence[Finding]) -> None:
    reading.problems += [document.problem(finding) for finding in findings]
    reading.kinds |= {finding.kind for finding in findings}


def _parents(data: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    extends = data.get("extends")
    if isinstance(extends, str):
        yield ("extends",), extends
    else:
        yield from ((("extends", index), name) for index, name in enumerate(extends or ()) if name is not None)


def _extend(reading: _Reading, chain: tuple[Found, ...], document: Document, path: KeyPath, parent: str) -> None:
    found = _find_parent(reading, chain[-1], document, parent)
    above = [_key(one) for one in chain]
    message = None
    if found is None:
        message = search.not_found_message(parent, reading.environ, reading.cwd)
        if parent == chain[-1].stem:
            message = f"no other backend {parent!r} to extend: none comes after this one on the search path"
    elif _key(found) in above:
        ring = [one.shown for one in (*chain[above.index(_key(found)) :], found)]
        message = f"extends goes in a circle: {' -> '.join(ring)}"
    if message is not None:
        reading.is_partial = True
        _tell(reading, document, [Finding(path=path, message=message)])
    elif found is not None and _key(found) not in reading.layers:
        _add(reading, found, chain)


def _find_parent(reading: _Reading, child: Found, document: Document, name: str) -> Found | None:
    """Return the file that *child* means by *name*: one that extends its own name means the next one on the path."""
    if search.is_path(name):
        beside = child.place.parent / name if isinstance(child.place, Path) else None
        shown = str(PurePosixPath(child.shown).parent / name)
        if beside is None or not beside.exists():
            return None
        return Found(shown, beside, child.guarded or search.is_guarded(beside, reading.environ, reading.cwd))
    options = search.candidates(name, reading.environ, reading.cwd)
    if name in (child.stem, document.data.get("name")):
        keys = [_key(one) for one in options]
        options = options[keys.index(_key(child)) + 1 :] if _key(child) in keys else options
    return options[0] if options else None


def _key(found: Found) -> str:
    return str(found.place.resolve()) if isinstance(found.place, Path) else str(found.place)


def _merge(reading: _Reading) -> None:
    """Lay the files over each other and look at the whole."""
    layers = tuple(reading.layers.values())
    own = layers[-1].data
    document: dict[str, Any] = {"format": 1, "name": reading.names[0]}
    for layer in layers:
        document = merge(document, {key: value for key, value in layer.data.items() if key not in _OWN_KEYS})
    document.update((key, own[key]) for key in ("abstract", "automatic", "proof") if own.get(key))
    overlays = {"when": document["when"]} if document.get("when") else {}  # in these null means "remove"
    document = {**without_nulls(document), **overlays}
    provenance = Provenance(document, layers)
    if not reading.is_partial:
        findings = [] if own.get("abstract") else form_findings(document, schema_part("backend", "complete"))
        findings += [
            Finding(path=("library", name), message=unknown("file of the library", name, library()), at_key=True)
            for name in document.get("library", ())
            if name not in library()
        ]
        findings = without_echoes([*findings, *problems_in(document)], reading.refused)
        reading.problems += [provenance.problem(finding) for finding in findings]
        reading.kinds |= {finding.kind for finding in findings}
    reading.merged = MergedBackend(reading.names[0], tuple(dict.fromkeys(reading.names)), document, provenance)


# ---- walking documents -------------------------------------------------------------------------------------------


# ---- words as they were written ----------------------------------------------------------------------------------

Shape = tuple[str | type, ...]
_MAPPED_WORDS: tuple[Shape, ...] = tuple(
    (section, key, str, int) for section in ("monitor", "result") for key in ("states", "reasons")
)


def with_words(document: Document, shapes: tuple[Shape, ...]) -> Document:
    """Return *document* with scalars as they were written wherever a path fits one of *shapes*.

    ``[sleep, 1.10]`` is a command of two words: the second is ``1.10``, not the number that it looks like.
    """
    data = without(document.data, ())
    for path, word in document.words.items():
        if any(_fits(path, shape) for shape in shapes):
            *above, last = path
            holder = functools.reduce(lambda value, part: value[part], above, data)
            if holder[last] is not None:
                holder[last] = word
    return replace(document, data=data)


def _fits(path: KeyPath, shape: Shape) -> bool:
    return len(path) == len(shape) and all(
        isinstance(part, wanted) if isinstance(wanted, type) else part == wanted
        for part, wanted in zip(path, shape, strict=True)
    )
