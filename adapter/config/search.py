"""Where backend files are looked for, and the files that come with this package."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from adapter.core.schema import nearest
from adapter.errors import BackendNotFound, ConfigError
from adapter.results import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable

ENDINGS = (".yaml", ".yml")
ENTRY_POINT_GROUP = "scheduler_adapter.backends"


@dataclass(frozen=True, slots=True)
class Found:
    """A backend file: how it is shown to people, and where it can be read.

    ``guarded``: which file this is depends on the current folder, so it may be anybody's; it is only used once its
    user has allowed what is in it (:mod:`adapter.config.trust`).
    """

    shown: str
    place: Traversable
    guarded: bool = False

    @property
    def stem(self) -> str:
        """The file's name without its ending."""
        return self.place.name.rsplit(".", 1)[0]


def shipped(folder: str) -> Traversable:
    """Return the *folder* (``templates``, ``schemas``) that comes with this package.

    A wheel carries it inside the package; in a checkout it lies beside it, where people look for it.
    """
    package = importlib.resources.files("adapter")
    inside = package.joinpath("_data", folder)
    return inside if inside.is_dir() else Path(str(package)).parent / folder


def is_path(name: str) -> bool:
    """Whether *name* means a file, not a backend on the search path."""
    return "/" in name or name.endswith(ENDINGS)


def search_path(environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> list[Found]:
    """Return the folders in which backends are looked for, the first one first."""
    environ = os.environ if environ is None else environ
    here = Path.cwd() if cwd is None else cwd
    given = [Path(entry).expanduser() for entry in environ.get("ADAPTER_PATH", "").split(":") if entry]
    folders = [
        Found(".adapter", here / ".adapter", guarded=True),
        *(Found(str(folder), here / folder, guarded=not folder.is_absolute()) for folder in given),
        *(Found(str(folder), here / folder, guarded=not folder.is_absolute()) for folder in _own_folders()),
        *_installed(),
        Found(str(shipped("templates")), shipped("templates")),
    ]
    return list({str(folder.place): folder for folder in reversed(folders)}.values())[::-1]


def _own_folders() -> list[Path]:
    return [
        platformdirs.user_config_path("adapter") / "backends",
        platformdirs.site_config_path("adapter") / "backends",
    ]


def _installed() -> Iterator[Found]:
    """The folders of installed packages that bring backends. One that cannot be imported must not stop all others."""
    for entry in sorted(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)):
        try:
            folder = importlib.resources.files(entry.value)
        except (ImportError, TypeError):
            continue
        yield Found(str(folder), folder)


def files_in(folder: Found) -> Iterator[Found]:
    """Return the backend files in *folder*, by name."""
    if not folder.place.is_dir():
        return
    try:
        places = sorted(folder.place.iterdir(), key=lambda item: item.name)
    except OSError as error:
        raise ConfigError([Problem(message=f"cannot be read: {error.strerror}", file=folder.shown)]) from error
    for place in places:
        if place.name.endswith(ENDINGS) and not place.name.startswith("."):
            yield Found(f"{folder.shown}/{place.name}", place, folder.guarded)


def every_file(environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> Iterator[Found]:
    """Return all backend files on the search path, in its order."""
    for folder in search_path(environ, cwd):
        yield from files_in(folder)


def is_guarded(place: Path, environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> bool:
    """Whether *place* lies in a folder whose files are guarded."""
    folders = [folder.place for folder in search_path(environ, cwd) if folder.guarded]
    return any(place.resolve().is_relative_to(each.resolve()) for each in folders if isinstance(each, Path))


def candidates(name: str, environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> list[Found]:
    """Return every file that *name* could mean, the one that counts first; ``.yaml`` wins over ``.yml``."""
    here = Path.cwd() if cwd is None else cwd
    if is_path(name):
        place = here / Path(name).expanduser()
        return [Found(name, place)] if place.exists() else []
    return [found for found in every_file(environ, cwd) if found.stem == name]


def not_found(name: str, environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> BackendNotFound:
    """Return the error for a *name* that no file has."""
    return BackendNotFound(not_found_message(name, environ, cwd))


def not_found_message(name: str, environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Return the sentence for a *name* that no file has: the nearest name, and where was looked."""
    if is_path(name):
        return f"no file {name!r}"
    near = nearest(name, {found.stem for found in every_file(environ, cwd)})
    looked = ", ".join(folder.shown for folder in search_path(environ, cwd))
    return f"no backend {name!r}{near}; looked in {looked}"
