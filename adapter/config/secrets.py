"""Where secrets come from: an environment variable, a file or a command here; kept in memory only."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from adapter.environment import user_environment
from adapter.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adapter.core.backend import Backend

_MOST_BYTES = 1 << 20
COMMAND_TIMEOUT_S = 60  # a password manager may ask its owner something


def read_secrets(backend: Backend) -> dict[str, str]:
    """Return the text of each secret that *backend* declares, by name.

    Raises:
        ConfigError: one cannot be had; the message says which and from where, and never holds the secret.
    """
    return {name: _read(backend.name, name, source) for name, source in backend.secrets.items()}


def _read(backend: str, name: str, source: Mapping[str, str]) -> str:
    try:
        text = _text(source)
    except (OSError, UnicodeDecodeError, subprocess.SubprocessError, LookupError) as error:
        if source.get("optional"):
            return ""
        raise ConfigError(f"secret {name} of backend {backend}: {_why(error)}") from None
    first = text.partition("\n")[0].strip()
    if not first and not source.get("optional"):
        raise ConfigError(f"secret {name} of backend {backend}: {_shown(source)} gives nothing")
    return first


def _text(source: Mapping[str, str]) -> str:
    if "env" in source:
        if source["env"] not in os.environ:
            raise LookupError(f"the environment variable {source['env']} is not set")
        return os.environ[source["env"]]
    if "file" in source:
        with Path(source["file"]).expanduser().open("rb") as file:  # a pipe is a way to hand a password over
            return file.read(_MOST_BYTES).decode()
    done = subprocess.run(  # the owner of the backend file wrote it
        ["/bin/sh", "-c", source["command"]],
        stdout=subprocess.PIPE, check=True, timeout=COMMAND_TIMEOUT_S, env=user_environment(),
    )  # fmt: skip
    return done.stdout.decode()


def _why(error: Exception) -> str:
    match error:
        case subprocess.CalledProcessError():
            return f"its command ended with exit code {error.returncode}"
        case subprocess.TimeoutExpired():
            return f"its command did not answer within {COMMAND_TIMEOUT_S} s"
        case OSError():
            return f"cannot read {error.filename}: {error.strerror}"
        case UnicodeDecodeError():
            return "it is not UTF-8 text"
    return str(error.args[0])


def _shown(source: Mapping[str, str]) -> str:
    kind = next(key for key in ("env", "file", "command") if key in source)
    return f"its {kind} {source[kind]}" if kind != "command" else "its command"
