"""What a site and a user want everywhere: the configuration files, and where the store is kept."""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
import textwrap
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from adapter.config.document import parse, read_file
from adapter.config.schemas import schema
from adapter.config.search import is_path
from adapter.core.schema import Finding, form_findings
from adapter.errors import ConfigError, SchemaError
from adapter.results import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adapter.config.document import Document
    from adapter.core.backend import Backend

INITIAL_HEAD = """\
# What you want everywhere. Remove a # to set something; what your site sets, `adapter config show` tells.
"""
_NAME = re.compile(r"\$(?:(?P<bare>[A-Za-z_][A-Za-z0-9_]*)|\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)\})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the configuration files say together. ``None`` means "not set".

    ``file`` is the user's own file, which need not exist; ``files`` are those that were read, the user's last.
    ``sources`` tells which file set a key. ``login_nodes`` are patterns of host names and the file of each, of all
    files together: a user's file adds to what the site guards and takes nothing from it.
    """

    file: Path
    default_backend: str | None = None
    state_dir: Path | None = None
    login_nodes: Mapping[str, Path] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    sources: Mapping[str, Path] = field(default_factory=dict)


def config_file(environ: Mapping[str, str] | None = None) -> Path:
    """Return the path of the user's configuration file, which need not exist; ``$ADAPTER_CONFIG`` names another."""
    environ = os.environ if environ is None else environ
    given = environ.get("ADAPTER_CONFIG")
    return Path(given).expanduser() if given else platformdirs.user_config_path("adapter") / "config.yaml"


def site_config_files(environ: Mapping[str, str] | None = None) -> list[Path]:
    """Return the site's configuration files, which need not exist, the one that counts most first."""
    environ = os.environ if environ is None else environ
    given = [Path(folder) for folder in environ.get("XDG_CONFIG_DIRS", "").split(":") if folder.startswith("/")]
    return [folder / "adapter" / "config.yaml" for folder in given or [platformdirs.site_config_path()]]


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the user's configuration laid over the site's; a file that does not exist, or is empty, sets nothing.

    Raises:
        ConfigError: a file is wrong, or ``$ADAPTER_CONFIG`` names one that cannot be read.
    """
    environ = os.environ if environ is None else environ
    own = config_file(environ)
    merged: dict[str, Any] = {}
    sources: dict[str, Path] = {}
    guarded: dict[str, Path] = {}
    files = []
    for file in (*reversed(site_config_files(environ)), own):
        document = read_config(file, must_exist=file == own and bool(environ.get("ADAPTER_CONFIG")))
        if document is None:
            continue
        files.append(file)
        guarded = {**dict.fromkeys(document.data.get("login_nodes") or (), file), **guarded}
        sources |= dict.fromkeys(document.data, file)
        merged |= document.data
        if document.data.get("state_dir") is not None:
            merged["state_dir"] = _folder(document, file, environ)
        backend = document.data.get("default_backend")
        if backend is not None and is_path(backend):  # never a file of whatever folder is the current one
            merged["default_backend"] = str(file.parent.absolute() / Path(backend).expanduser())
    return Settings(
        file=own,
        default_backend=merged.get("default_backend"),
        state_dir=merged.get("state_dir"),
        login_nodes=guarded,
        files=tuple(files),
        sources={key: file for key, file in sources.items() if merged.get(key) is not None},
    )


def read_config(file: Path, *, must_exist: bool) -> Document | None:
    """Return what a configuration *file* says; ``None`` where it is not there or holds only comments.

    Raises:
        ConfigError: it is wrong, cannot be read, or is not there though it must.
    """
    try:
        content = read_file(file, str(file))
    except (FileNotFoundError, NotADirectoryError) as error:
        if must_exist:
            problem = Problem(message="there is no such file; $ADAPTER_CONFIG names it", file=str(file))
            raise ConfigError([problem]) from error
        return None
    except OSError as error:
        raise ConfigError([Problem(message=f"cannot be read: {error.strerror}", file=str(file))]) from error
    if all(line.strip()[:1] in {b"", b"#"} for line in content.splitlines()):
        return None
    document = parse(content, str(file))
    findings = form_findings(document.data, schema("config"))
    if findings:
        raise SchemaError([document.problem(finding) for finding in findings])
    return document


def _folder(document: Document, file: Path, environ: Mapping[str, str]) -> Path:
    """Return the folder that ``state_dir`` means: ``~`` and ``$NAME`` replaced, seen from the file."""
    text: str = document.data["state_dir"]
    for match in _NAME.finditer(text):
        if _variable(match, environ) is None:
            sentence = f"state_dir: {match[0]} is not set in the environment"
            raise ConfigError([document.problem(Finding(path=("state_dir",), message=sentence))])
    return file.parent / Path(_NAME.sub(lambda match: _variable(match, environ) or "", text)).expanduser()


def _variable(match: re.Match[str], environ: Mapping[str, str]) -> str | None:
    name = match["bare"] or match["braced"]
    if environ.get(name):
        return environ[name]
    return getpass.getuser() if name in {"USER", "LOGNAME"} else None  # a cron job may lack both


def state_dir(environ: Mapping[str, str] | None = None, settings: Settings | None = None) -> Path:
    """Return the folder for the store: ``$ADAPTER_STATE``, else the configured one, else the platform's.

    *settings* ``None`` means: read the configuration.
    """
    environ = os.environ if environ is None else environ
    if given := environ.get("ADAPTER_STATE"):
        return Path(given).expanduser().absolute()
    known = load_settings(environ) if settings is None else settings
    return known.state_dir or platformdirs.user_state_path("adapter")


def refuse_on_login_node(backend: Backend, settings: Settings | None = None, machine: str | None = None) -> None:
    """Refuse to run jobs on a login node: *backend* runs them where its commands run, and the site guards that machine.

    *settings* ``None`` means: read the configuration. *machine* ``None`` is this machine, by its name.

    Raises:
        ConfigError: it names the machine, the file that guards it, and how to go on.
    """
    known = load_settings() if settings is None else settings
    if not backend.same_machine or not known.login_nodes:
        return
    is_local = backend.connection["kind"] == "local"
    name = (machine or socket.gethostname()) if is_local else str(backend.connection.get("host", ""))
    names = {name.lower(), name.lower().partition(".")[0]}
    for pattern, file in known.login_nodes.items():
        if not any(fnmatchcase(one, pattern.lower()) for one in names):
            continue
        raise ConfigError(
            f"backend {backend.name} runs jobs on {name} itself, and {name} is a login node "
            f"(login_nodes in {file}); hand them to a scheduler with --on NAME "
            "(`adapter backends list`), or run adapter inside a job of it"
        )


def links_dir() -> Path:
    """Return the folder in which this user's processes find the connections of ``client: openssh``."""
    return state_dir() / "links"


def initial_text() -> str:
    """Return a configuration in which every key is explained, with an example, and nothing is set."""
    parts = [INITIAL_HEAD]
    for key, entry in schema("config")["properties"].items():
        lines = [*textwrap.wrap(entry["description"], 96), f"{key}: {json.dumps(entry['examples'][0])}"]
        parts.append("".join(f"# {line}\n" for line in lines))
    return "\n".join(parts)


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
        file.write(initial_text())
