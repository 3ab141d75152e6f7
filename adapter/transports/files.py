"""Copying files on this machine: whole or not at all, and never out of a folder through a symbolic link."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from adapter.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from adapter.transports.base import Download, Upload


def put_here(upload: Upload) -> None:
    """Put one upload at its target on this machine.

    Raises:
        TransportError: it could not be put; the message names it.
    """
    target = Path(upload.target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        source = Path(upload.path or "")
        if upload.content is not None:
            with _whole(target) as part:
                part.write_bytes(upload.content)
        elif upload.link:
            with _whole(target) as part:
                part.unlink()
                part.symlink_to(source.absolute())
        elif source.is_dir():
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
        else:
            with _whole(target) as part:
                shutil.copy2(source, part)
    except OSError as error:
        raise TransportError(
            f"cannot put {upload.path or 'literal content'} at {target}: {error.strerror or error}"
        ) from error


def get_here(download: Download) -> list[str]:
    """Copy the files that match on this machine; return what was written.

    Raises:
        TransportError: one could not be copied; the message names it.
    """
    folder, to = Path(download.folder), Path(download.to)
    written: list[str] = []
    for found in sorted(folder.glob(download.pattern)):
        if not _is_inside(found, folder):
            raise TransportError(f"output {found} leads out of {folder} through a symbolic link; it is not followed")
        files = [found] if found.is_file() else sorted(path for path in found.rglob("*") if path.is_file())
        for file in files:
            target = to / file.relative_to(folder)
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with _whole(target) as part:
                    shutil.copy2(file, part)
            except OSError as error:
                raise TransportError(f"cannot bring {file} to {target}: {error.strerror or error}") from error
            written.append(str(target))
    return written


def _is_inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """Give a file beside *target* to be filled; it is moved there once that is done."""
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:60]}.", suffix=".part")
    os.close(descriptor)
    part = Path(name)
    try:
        part.chmod(0o666 & ~_umask())
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current
