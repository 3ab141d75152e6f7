"""The kit without its reading of files: a changed document goes through all that ``adapter test`` does."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter.cli.test import rendered
from adapter.config.load import load_merged
from adapter.config.schemas import schema_part
from adapter.core.backend import backend_from
from adapter.core.schema import form_findings
from adapter.core.validate import problems_in
from adapter.errors import AdapterError
from adapter.testkit.capture import find_captures
from adapter.testkit.rules import RULES, check
from adapter.testkit.run import capture_row, golden_rows, shipped_backends
from adapter.testkit.subject import Status, Subject
from tests.mutation.operators import mutations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from adapter.config.load import MergedBackend
    from adapter.testkit.capture import Found

ORDER = ["job id", "states", "kill", "token", "submit", "logs"]  # what is quick and finds much goes first
LAST = ["patterns"]  # starts a process


@dataclass(frozen=True, slots=True)
class Kit:
    """A shipped backend with its captures; ``red`` are the rows that fail on the file as it is: they prove nothing."""

    merged: MergedBackend
    found: Found
    red: frozenset[str]

    def caught_by(self, document: Mapping[str, Any]) -> str | None:
        """Return what is the first to fail on *document*, ``None`` if nothing does."""
        for name, why in _failures(self.merged, self.found, document):
            if name not in self.red:
                return f"{name}: {why}"
        return None


@functools.cache
def kit(name: str, look: bool = True) -> Kit:
    """Return the kit for the shipped backend *name*; without *look* nobody looks whether it is green as it is."""
    file = next(file for file in shipped_backends() if Path(file).stem == name)
    merged = load_merged(file)
    found = find_captures(merged.name, merged.lineage, merged.provenance, ())
    red = frozenset(row for row, _ in _failures(merged, found, merged.document)) if look else frozenset()
    return Kit(merged, found, red)


def names() -> list[str]:
    """Return the shipped backends that are not only there to be extended."""
    return [Path(file).stem for file in shipped_backends()]


def _failures(merged: MergedBackend, found: Found, document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What fails: first what the loading of a file would find, then captures and goldens, then the rules."""
    findings = [*form_findings(document, schema_part("backend", "complete")), *problems_in(document)]
    if findings:
        yield "schema", findings[0].message
        return
    try:
        backend = backend_from(document, name=merged.name, lineage=merged.lineage)
    except AdapterError as error:
        yield "schema", str(error)
        return
    for folder in found.folders:
        for capture in folder.captures:
            row = capture_row(backend, capture)
            if row.outcome.status is Status.FAILED:
                yield f"capture {Path(row.name).name}", row.outcome.why
        for golden in folder.goldens:
            for row in golden_rows(backend, golden, rendered):
                if row.outcome.status is Status.FAILED:
                    yield f"golden {Path(row.name).name}", row.outcome.why
    subject = Subject(backend, tuple(capture for folder in found.folders for capture in folder.captures))
    for rule in sorted(RULES, key=lambda one: (one in LAST, one not in ORDER)):
        outcome = check(subject, rule)
        if outcome.status is Status.FAILED:
            yield f"rule {rule}", outcome.why


@dataclass(frozen=True, slots=True)
class Tried:
    """One break of one backend, and what caught it, ``None`` if it survived."""

    backend: str
    kind: str
    what: str
    caught_by: str | None


def try_one(name: str, index: int, every: bool = False) -> Tried:
    """Break the backend *name* in the way of that *index*, and see who notices."""
    mutation = _mutations(name, every)[index]
    return Tried(name, mutation.kind, mutation.what, kit(name).caught_by(mutation.document))


@functools.cache
def _mutations(name: str, every: bool) -> list[Any]:
    return mutations(name, kit(name).merged.document, every=every)
