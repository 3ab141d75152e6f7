"""Which backend files of the current folder their user has read and allowed: their paths and the hash of their content.

Whoever wrote a folder wrote its backend files, and a backend file runs commands as the one who uses it. So what the
current folder brings is used only if exactly this content was allowed at exactly this path. One small file for each
lies in the state folder, for its owner alone.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adapter.config import search
from adapter.config.document import read_file
from adapter.config.settings import state_dir
from adapter.errors import ConfigError, NotTrusted
from adapter.results import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from adapter.config.layers import Layer
    from adapter.config.search import Found


@dataclass(frozen=True, slots=True)
class Allowed:
    """A file that was allowed, and the hash of what was in it then."""

    path: Path
    digest: str


@dataclass(frozen=True, slots=True)
class Untrusted:
    """A file that may not be used. ``changed``: it was allowed once; ``hides``: what its name means without it."""

    found: Found
    path: Path
    changed: bool
    hides: str | None

    def problem(self) -> Problem:
        """Return what is wrong and how it is mended."""
        name = shlex.quote(self.found.shown)
        hides = f" (it stands before {self.hides})" if self.hides else ""
        why = "has changed since it was trusted" if self.changed else "is not trusted"
        how = "it would run commands as you; read it, then allow it"
        return Problem(message=f"{why}{hides}: {how}: adapter trust {name}", file=self.found.shown)


def fingerprint(content: bytes) -> str:
    """Return the hash of *content*."""
    return hashlib.sha256(content).hexdigest()


def absolute(place: Path, cwd: Path | None = None) -> Path:
    """Return the path under which *place* is allowed. Links stay: what a file means depends on where it is found."""
    here = Path.cwd() if cwd is None else cwd
    return Path(os.path.abspath(here / place.expanduser()))  # noqa: PTH100 (Path.resolve would follow links)


def untrusted(
    layers: Iterable[Layer], environ: Mapping[str, str] | None = None, cwd: Path | None = None
) -> list[Untrusted]:
    """Return the files among *layers* that the current folder brought and nobody allowed as they are now."""
    return [one for layer in layers if (one := unless_allowed(layer.found, layer.digest, environ, cwd)) is not None]


def unless_allowed(
    found: Found, digest: str, environ: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Untrusted | None:
    """Return why *found*, whose content has the hash *digest*, may not be used; ``None`` if it may."""
    if not found.guarded or not isinstance(found.place, Path):
        return None
    path = absolute(found.place, cwd)
    allowed = _read(_record(path, environ))
    if allowed is not None and allowed.path == path and allowed.digest == digest:
        return None
    others = [one.shown for one in search.candidates(found.stem, environ, cwd) if not one.guarded]
    return Untrusted(found, path, changed=allowed is not None, hides=others[0] if others else None)


def refuse_untrusted(
    layers: Iterable[Layer], environ: Mapping[str, str] | None = None, cwd: Path | None = None
) -> None:
    """Refuse *layers* if the current folder brought one of them and nobody allowed it as it is now.

    Raises:
        NotTrusted: every such file, and what to do.
    """
    refused = untrusted(layers, environ, cwd)
    if refused:
        raise NotTrusted([one.problem() for one in refused])


# ---- what is kept ------------------------------------------------------------------------------------------------


def allow(path: Path, digest: str, environ: Mapping[str, str] | None = None) -> None:
    """Write down that the content with the hash *digest* is allowed at the absolute *path*; nothing else there is.

    Raises:
        ConfigError: it cannot be written.
    """
    record = _record(path, environ)
    try:
        for folder in (record.parent.parent, record.parent):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, part = tempfile.mkstemp(dir=record.parent)  # readable for its owner alone
        with os.fdopen(descriptor, "wb") as file:
            file.write(digest.encode() + b"\n" + os.fsencode(path))
        Path(part).replace(record)
    except OSError as error:
        raise ConfigError(f"cannot write {record}: {error.strerror}") from error


def revoke(path: Path, environ: Mapping[str, str] | None = None) -> bool:
    """Forget that anything is allowed at the absolute *path*; return whether something was.

    Raises:
        ConfigError: it cannot be removed.
    """
    record = _record(path, environ)
    try:
        record.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ConfigError(f"cannot remove {record}: {error.strerror}") from error
    return True


def everything_allowed(environ: Mapping[str, str] | None = None) -> list[Allowed]:
    """Return all that was allowed, by path."""
    folder = _folder(environ)
    records = [place for place in folder.iterdir() if len(place.name) == 64] if folder.is_dir() else []
    return sorted((one for record in records if (one := _read(record)) is not None), key=lambda one: one.path)


def _folder(environ: Mapping[str, str] | None) -> Path:
    given = (os.environ if environ is None else environ).get("ADAPTER_STATE", "")
    if given and not Path(given).expanduser().is_absolute():
        raise ConfigError(
            f"$ADAPTER_STATE is {given}: what the current folder brings could say there that it is trusted; "
            "give an absolute path"
        )
    return state_dir(environ) / "trust"


def _record(path: Path, environ: Mapping[str, str] | None) -> Path:
    return _folder(environ) / fingerprint(os.fsencode(path))


def _read(record: Path) -> Allowed | None:
    """Return what is in *record*, ``None`` if it is not there.

    Raises:
        ConfigError: it cannot be read, or others may have written it.
    """
    try:
        for place in (record.parent, record):
            facts = place.lstat()
            if facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
                raise ConfigError(f"{place} may be written by others, and says which files to trust; remove it")
        digest, _, path = read_file(record, str(record)).partition(b"\n")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(f"cannot read {record}: {error.strerror}") from error
    return Allowed(Path(os.fsdecode(path)), digest.decode("ascii", "replace"))
