"""Copying files on this machine: whole or not at all, and never out of a folder through a symbolic link."""

from __future__ import annotations

import os
import posixpath
import shutil
import tarfile
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from adapter.core.local_files import special_input, special_kind
from adapter.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO, Any

    from adapter.transports.base import Download, Upload


def refuse_special(uploads: Sequence[Upload]) -> None:
    """Refuse what is neither a file nor a folder: reading a pipe or a device may never end.

    Raises:
        TransportError: there is one among *uploads* or in their folders; the message names it.
    """
    for upload in uploads:
        if upload.path is None:
            continue
        _refuse_special(upload.path, follow=True)
        for folder, _, names in os.walk(upload.path) if not upload.link else ():
            for name in names:
                _refuse_special(posixpath.join(folder, name), follow=False)


def _refuse_special(path: str, *, follow: bool) -> None:
    try:
        kind = special_kind(os.stat(path, follow_symlinks=follow).st_mode)  # noqa: PTH116 (many files)
    except OSError:
        return  # whoever reads it says so
    if kind is not None:
        raise TransportError(f"cannot send {path}: {special_input(kind)}")


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


def get_here(download: Download, *, tree: Path | None = None) -> list[str]:
    """Copy the files that match on this machine; return what was written.

    *tree* is where the files of ``download.folder`` are to be read; ``None``: there.

    Raises:
        TransportError: one could not be copied; the message names it.
    """
    folder, to = tree or Path(download.folder), Path(download.to)
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


def unpack_here(archive: IO[bytes], download: Download, tree: Path, *, real_folder: str = "") -> list[Link]:
    """Write *archive* (a tar of ``download.folder``'s files) into *tree*; return its links that lead to no file there.

    A link that leads out of the folder is written as one that leads out of *tree*: whoever reads it refuses it, as it
    would be refused there. *real_folder* is the folder's name without links.

    Raises:
        TransportError: the archive holds something that leads out of its folder, or a file could not be written.
    """
    tree.mkdir(parents=True, exist_ok=True)
    links: list[Link] = []
    try:
        with tarfile.open(fileobj=archive, mode="r:") as tar:  # ours is never compressed: a bomb would be
            members = [member for member in tar if not member.isdev()]
            for member in members:
                _refuse_escape(member, download)
            tar.extractall(tree, [member for member in members if not member.issym()], **_FILTER)  # noqa: S202 (looked at)
            for member in members:
                if member.issym():
                    links.append(_link_of(member, download, real_folder))
        for link in links:  # after the files: nothing is written through a link
            path = tree / link.path
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.is_symlink():
                path.symlink_to(link.text if link.target is not None else _outside(tree))
    except (tarfile.TarError, OSError, ValueError, OverflowError) as error:  # a NUL in a name; an endless date
        raise TransportError(f"cannot unpack {download.pattern} of {download.folder}: {error}") from error
    return [link for link in links if link.target is not None and not (tree / link.path).is_file()]


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link below a folder: its path, its text, and where it leads below the folder (``None``: out of it)."""

    path: str
    text: str
    target: str | None


def _link_of(member: tarfile.TarInfo, download: Download, real_folder: str) -> Link:
    path = posixpath.normpath(member.name)
    here = posixpath.dirname(path)
    target = posixpath.normpath(posixpath.join(download.folder, here, member.linkname))
    for folder in filter(None, (posixpath.normpath(download.folder), real_folder)):
        if target == folder or target.startswith(f"{folder}/"):
            below = posixpath.relpath(target, folder)
            kept = not member.linkname.startswith("/") and not posixpath.normpath(
                posixpath.join(here, member.linkname)
            ).startswith("..")
            return Link(path, member.linkname if kept else posixpath.relpath(below, here or "."), below)
    return Link(path, member.linkname, None)


def _outside(tree: Path) -> Path:
    """Return a file beside *tree*."""
    path = tree.with_name(f"{tree.name}.outside")
    path.touch()
    return path


# Python 3.11.4 and later have a filter of their own (PEP 706); Debian 12's is older: what escapes is refused here too.
_FILTER: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}


def _refuse_escape(member: tarfile.TarInfo, download: Download) -> None:
    """Refuse a member that would be written outside the folder it is unpacked in, or that is a file from there."""
    for path in [member.name, *([member.linkname] if member.islnk() else [])]:
        if path.startswith("/") or posixpath.normpath(path).split("/")[0] == "..":
            raise TransportError(f"output {path} would be written outside {download.folder}; it is not followed")


def _matching(folder: Path, download: Download) -> list[Path]:
    """Return the files that match, and those in the folders that match, each once, without what is excluded."""
    pattern = download.pattern
    try:
        for above in reversed(PurePath(pattern).parents[:-1]):
            if (folder / above).is_symlink():
                _refuse_outside(folder / above, folder, download)
        found_here = {*folder.glob(pattern), *([folder / pattern] if (folder / pattern).is_symlink() else [])}
    except ValueError as error:
        raise TransportError(f"output pattern {pattern!r} cannot be used: {error}") from error
    files: dict[Path, None] = {}
    for found in sorted(found_here):
        _refuse_outside(found, folder, download)
        if not found.exists():  # a link to nothing
            continue
        inside = [found] if found.is_file() else sorted(path for path in found.rglob("*") if path.is_file())
        for file in inside:
            _refuse_outside(file, folder, download)
            files[file] = None
    return [file for file in files if not _is_excluded(file.relative_to(folder), download.exclude)]


def _is_excluded(path: PurePath, exclude: Sequence[str]) -> bool:
    return any(fnmatchcase(str(path), glob) or fnmatchcase(path.name, glob) for glob in exclude)


def _refuse_outside(path: Path, folder: Path, download: Download) -> None:
    try:
        is_inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a link that leads in a circle leads nowhere
        return
    if not is_inside:
        name = f"{download.folder}/{path.relative_to(folder)}"
        raise TransportError(
            f"output {name} leads out of {download.folder} through a symbolic link; it is not followed"
        )


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
