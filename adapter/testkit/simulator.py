"""Simulated schedulers: small programs beside the backend files, in ``templates/simulators``.

Each understands ``make FOLDER [NAME=VALUE...]``, which writes the scheduler's programs into ``FOLDER/bin``,
``stop FOLDER``, and ``--help``, which tells its settings.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from adapter.config.search import shipped
from adapter.core.schema import nearest
from adapter.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adapter.core.backend import Backend


def simulators() -> list[str]:
    """Return the names of the backends that have a simulator."""
    return sorted(file.name for file in _folder().iterdir())


def _folder() -> Path:
    return Path(str(shipped("templates"))) / "simulators"


def find_simulator(backend: Backend) -> Path:
    """Return the simulator of *backend*, or of the nearest backend that it extends.

    Raises:
        ConfigError: there is none; the message names those that have one.
    """
    known = simulators()
    for name in backend.lineage:
        if name in known:
            return _folder() / name
    have = f"{', '.join(known)} {'has' if len(known) == 1 else 'have'} one"
    raise ConfigError(f"backend {backend.name} has no simulator; {have}{nearest(backend.name, known)}")


def make_folder(simulator: Path, folder: Path, settings: Mapping[str, str] | None = None) -> Path:
    """Write a simulated scheduler into *folder*, which is made; return what belongs on the ``PATH``.

    Raises:
        ConfigError: there is something in it, it cannot be written, or a setting is wrong.
    """
    pairs = [f"{name}={value}" for name, value in (settings or {}).items()]
    made = _run(simulator, "make", str(folder.absolute()), *pairs)
    if made.returncode:
        raise ConfigError((made.stderr.strip() or "the simulator wrote nothing").splitlines()[-1])
    return folder.absolute() / "bin"


def stop(simulator: Path, folder: Path) -> None:
    """End all jobs of the simulated scheduler in *folder*, and wait until nothing of it runs."""
    _run(simulator, "stop", str(folder.absolute()))


def usage(simulator: Path) -> str:
    """Return what *simulator* says of its settings."""
    return _run(simulator, "--help").stdout


def _run(simulator: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # By our Python: a wheel does not keep who may execute a file.
    command = [sys.executable, str(simulator), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)
