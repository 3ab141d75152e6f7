"""The answers that are spoilt: every capture of every shipped backend, as the parsers see it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adapter.config.load import load_backend
from adapter.results import CompletedCommand
from adapter.testkit.capture import parse_capture
from adapter.testkit.replay import backend_for
from adapter.testkit.run import shipped_backends

if TYPE_CHECKING:
    from adapter.core.backend import Backend
    from adapter.testkit.capture import Capture

CAPTURES = Path(__file__).parents[1] / "captures"


@dataclass(frozen=True, slots=True)
class Seed:
    """An answer, with the backend as it is for the scheduler's version of then."""

    backend: Backend
    capture: Capture

    def answer(self, stdout: str, stderr: str, exit_code: int) -> CompletedCommand:
        """Return the answer as it would have arrived so."""
        return CompletedCommand(command="x", exit_code=exit_code, stdout=stdout, stderr=stderr)


def backends() -> list[str]:
    """Return the names of the shipped backends that have captures of their own."""
    names = [Path(file).stem for file in shipped_backends()]
    return [name for name in names if any((CAPTURES / name).glob("submit*.yaml"))]


@functools.cache
def backend(name: str) -> Backend:
    """Return a shipped backend."""
    return load_backend(name, environ={}, cwd=CAPTURES).backend


@functools.cache
def seeds(name: str) -> tuple[Seed, ...]:
    """Return what was captured for the backend *name*."""
    mine = backend(name)
    captures = [parse_capture(file.read_bytes(), file.name) for file in sorted((CAPTURES / name).glob("*.yaml"))]
    return tuple(Seed(backend_for(mine, one), one) for one in captures if one.action != "words")
