"""The files of a backend, laid over each other: every value traceable to the line that set it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from adapter.core.schema import Finding, KeyPath, dotted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from adapter.config.document import Document
    from adapter.config.search import Found
    from adapter.results import Problem


class Leaf(NamedTuple):
    """One value of a merged backend and the place that set it."""

    path: str
    value: Any
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Layer:
    """One file of a backend: what it says (``data``, without what has the wrong form) and where."""

    document: Document
    data: Mapping[str, Any]
    found: Found
    digest: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """The files that a merged ``document`` came from, in the order in which they were laid over each other."""

    document: Mapping[str, Any]
    layers: tuple[Layer, ...]

    def layer_of(self, path: KeyPath) -> Layer:
        """Return the file that set *path*, or the nearest thing above it: the last one that has it."""
        while path:
            for layer in reversed(self.layers):
                if _has(layer.data, path):
                    return layer
            path = path[:-1]
        return self.layers[-1]

    def problem(self, finding: Finding) -> Problem:
        """Return *finding* with file, line and column."""
        return self.layer_of(finding.path).document.problem(finding)

    def leaf(self, path: KeyPath, value: Any) -> Leaf:
        """Return *value* with the file and line that set it."""
        document = self.layer_of(path).document
        return Leaf(dotted(path), value, document.file, document.position(path, at_key=True)[0])


def _has(data: Any, path: KeyPath) -> bool:
    for part in path:
        if isinstance(data, dict) and data.get(str(part)) is not None:
            data = data[str(part)]
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return False
    return True


def leaves(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """Yield each value below *value* with its path; a list of plain values is one: it is replaced as a whole."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value
