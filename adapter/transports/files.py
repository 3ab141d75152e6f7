"""Copying files on this machine: whole or not at all, and never out of a folder through a symbolic link."""

from __future__ import annotations

import os
import posixpath
import shutil
import tarfile
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from adapter.errors import TransportError
from adapter.transports.base import Download

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO, Any

    from adapter.transports.base import Upload


def put_here(upload: Upload) -> None:
    """Put one upload at its target on this machine.

    Raises:
        TransportError: it could not be put; the message names it.
    """
    target = Path(upload.target)
    try:
        _private_folders(target.parent)
        source = Path(upload.path or "")
        if upload.content is not None:
            with _whole(target) as part:
                part.write_bytes(upload.content)
        elif upload.link:
            source.stat()  # a link to nothing would be made without a word
            with _whole(target) as part:
                part.unlink()
                part.symlink_to(source.absolute())
        elif source.is_dir():
            _put_folder(source, target)
        else:
            with _whole(target) as part:
                shutil.copy2(source, part)
    except OSError as error:
        raise TransportError(
            f"cannot put {upload.path or 'literal content'} at {target}: {error.strerror or error}"
        ) from error


def _private_folders(folder: Path) -> None:
    """Make *folder* and what is above it for their owner alone; what is there already stays as it is."""
    for each in reversed([folder, *folder.parents]):
        if not each.is_dir():
            each.mkdir(mode=0o700, exist_ok=True)


def _put_folder(source: Path, target: Path) -> None:
    """Copy a folder file by file, each whole; symbolic links stay links."""
    target.mkdir(exist_ok=True)
    for path in sorted(source.iterdir()):
        there = target / path.name
        if path.is_dir() and not path.is_symlink():
            _put_folder(path, there)
            continue
        with _whole(there) as part:
            if path.is_symlink():
                part.unlink()
                part.symlink_to(path.readlink())
            else:
                shutil.copy2(path, part)


def get_here(download: Download) -> list[str]:
    """Copy the files that match on this machine; return what was written.

    Raises:
        TransportError: one could not be copied; the message names it.
    """
    folder, to = Path(download.folder), Path(download.to)
    written: list[str] = []
    for file in _matching(folder, download):
        target = to / file.relative_to(folder)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with _whole(target) as part:
                shutil.copy2(file, part)
        except OSError as error:
            raise TransportError(f"cannot bring {file} to {target}: {error.strerror or error}") from error
        written.append(str(target))
    return written


def unpack_here(archive: IO[bytes], download: Download) -> list[str]:
    """Write what matches in *archive* (a tar of ``download.folder``'s files) to its place; return what was written.

    Raises:
        TransportError: the archive holds something that leads out of its folder, or a file could not be written.
    """
    with tempfile.TemporaryDirectory(prefix="adapter-") as folder:
        try:
            with tarfile.open(fileobj=archive, mode="r:") as tar:  # ours is never compressed: a bomb would be
                members = [member for member in tar if not member.isdev()]
                for member in members:
                    _refuse_escape(member, download)
                tar.extractall(folder, members, **_FILTER)  # noqa: S202 (each was looked at above)
        except (tarfile.TarError, OSError, ValueError, OverflowError) as error:  # a NUL in a name; an endless date
            raise TransportError(f"cannot unpack {download.pattern} of {download.folder}: {error}") from error
        return get_here(replace(download, folder=folder))


# Python 3.11.4 and later have a filter of their own (PEP 706); Debian 12's is older: what escapes is refused here too.
_FILTER: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}


def _refuse_escape(member: tarfile.TarInfo, download: Download) -> None:
    """Refuse a member that would be written, or that points, outside the folder it is unpacked in."""
    paths = [member.name]
    if member.islnk():
        paths.append(member.linkname)
    if member.issym():
        absolute = member.linkname.startswith("/")
        paths.append(member.linkname if absolute else posixpath.join(posixpath.dirname(member.name), member.linkname))
    for path in paths:
        if path.startswith("/") or posixpath.normpath(path).split("/")[0] == "..":
            name = f"{download.folder}/{member.name}"
            raise TransportError(f"output {name} leads out of {download.folder} through {path}; it is not followed")


def _matching(folder: Path, download: Download) -> list[Path]:
    """Return the files that match, and those in the folders that match, each once, without what is excluded."""
    pattern = download.pattern
    try:
        matches = sorted(path for path in folder.glob(pattern) if path.exists())  # a broken link is not there
    except ValueError as error:
        raise TransportError(f"output pattern {pattern!r} cannot be used: {error}") from error
    files: dict[Path, None] = {}
    for found in matches:
        _refuse_outside(found, folder)
        inside = [found] if found.is_file() else sorted(path for path in found.rglob("*") if path.is_file())
        for file in inside:
            _refuse_outside(file, folder)
            files[file] = None
    return [file for file in files if not _is_excluded(file.relative_to(folder), download.exclude)]


def _is_excluded(path: PurePath, exclude: Sequence[str]) -> bool:
    return any(fnmatchcase(str(path), glob) or fnmatchcase(path.name, glob) for glob in exclude)


def _refuse_outside(path: Path, folder: Path) -> None:
    if not path.resolve().is_relative_to(folder.resolve()):
        raise TransportError(f"output {path} leads out of {folder} through a symbolic link; it is not followed")


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
