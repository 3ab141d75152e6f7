"""What one user wants everywhere: the configuration file, and where the journal is kept."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from adapter.config.document import parse, read_file
from adapter.config.load import schema
from adapter.config.search import is_path
from adapter.core.schema import form_findings, without_nulls
from adapter.errors import ConfigError, Problem, SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

INITIAL_TEXT = """\
# What you want everywhere. Remove a # to set something.

# The backend used where none is named: a name (see `adapter backends list`), or the path of a
# file as it is seen from the folder of this one.
# default_backend: local

# Where the journal is kept. It must be a disk of this machine, not one that many machines share.
# state_dir: ~/.local/state/adapter
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A user's configuration. ``None`` means "not set"; ``file`` is where it was read, or would be."""

    file: Path
    default_backend: str | None = None
    state_dir: Path | None = None


def config_file(environ: Mapping[str, str] | None = None) -> Path:
    """Return the path of the user's configuration file, which need not exist; ``$ADAPTER_CONFIG`` names another."""
    environ = os.environ if environ is None else environ
    given = environ.get("ADAPTER_CONFIG")
    return Path(given).expanduser() if given else platformdirs.user_config_path("adapter") / "config.yaml"


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the user's configuration; one that does not exist, or holds only comments, sets nothing.

    Raises:
        ConfigError: the file is wrong, or ``$ADAPTER_CONFIG`` names one that cannot be read.
    """
    environ = os.environ if environ is None else environ
    file = config_file(environ)
    try:
        content = read_file(file, str(file))
    except FileNotFoundError as error:
        if environ.get("ADAPTER_CONFIG"):
            problem = Problem(message="there is no such file; $ADAPTER_CONFIG names it", file=str(file))
            raise ConfigError([problem]) from error
        return Settings(file=file)
    except OSError as error:
        raise ConfigError([Problem(message=f"cannot be read: {error.strerror}", file=str(file))]) from error
    if all(line.strip()[:1] in {b"", b"#"} for line in content.splitlines()):
        return Settings(file=file)
    document = parse(content, str(file))
    findings = form_findings(without_nulls(document.data), schema("config"))
    if findings:
        raise SchemaError([document.problem(finding) for finding in findings])
    state = document.data.get("state_dir")
    backend = document.data.get("default_backend")
    if backend is not None and is_path(backend):  # never a file of whatever folder is the current one
        backend = str(file.parent.absolute() / Path(backend).expanduser())
    return Settings(
        file=file,
        default_backend=backend,
        state_dir=None if state is None else file.parent / Path(state).expanduser(),
    )


def state_dir(environ: Mapping[str, str] | None = None, settings: Settings | None = None) -> Path:
    """Return the folder for the journal: ``$ADAPTER_STATE``, else the configured one, else the platform's.

    *settings* ``None`` means: read the user's configuration.
    """
    environ = os.environ if environ is None else environ
    if given := environ.get("ADAPTER_STATE"):
        return Path(given).expanduser().absolute()
    known = load_settings(environ) if settings is None else settings
    return known.state_dir or platformdirs.user_state_path("adapter")


def links_dir() -> Path:
    """Return the folder in which this user's processes find the SSH connections that they share."""
    return state_dir() / "links"


def write_initial_config(path: Path) -> None:
    """Write a configuration file in which everything is explained and nothing is set; only its owner may read it.

    Raises:
        ConfigError: there is one already, or it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigError([Problem(message="the file exists already and is left as it is", file=str(path))]) from error
    except OSError as error:
        raise ConfigError([Problem(message=f"cannot be written: {error.strerror}", file=str(path))]) from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(INITIAL_TEXT)
