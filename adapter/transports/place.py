"""Putting files that came in a folder of their own to their places here: never in silence over somebody else's."""

from __future__ import annotations

import errno
import filecmp
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from adapter.core.local_files import beside
from adapter.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def arrivals(to: str, name: str) -> Iterator[Path]:
    """Give a new private folder in which files for the folder *to* arrive, and remove it afterwards.

    It lies in *to*, or above it while that is not there, so that files only have to be renamed. What an earlier
    process left in it is removed.

    Raises:
        TransportError: it cannot be made.
    """
    near = Path(to)
    while not near.is_dir():
        near = near.parent
    folder = near / f".{name}.part"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        if os.access(near, os.W_OK):
            folder.mkdir(mode=0o700)
        else:  # perhaps only folders below it may be written
            folder = Path(tempfile.mkdtemp(prefix="adapter-"))
    except OSError as error:
        raise TransportError(f"cannot bring files to {to}: {error.strerror or error}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put_in_place(source: Path, target: Path, *, may_replace: bool, is_taken: Callable[[Path], bool], mark: str) -> Path:
    """Move *source* to *target*, or to a name with *mark* beside it where something is that stays; return the place.

    What is at *target* already stays unless it *may_replace* it. The same content there counts as brought, except
    where the place *is_taken* by somebody else's file.

    Raises:
        TransportError: it cannot be moved; the message names it.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if may_replace and (target.is_symlink() or not target.is_dir()):
            _move(os.replace, source, target)
            return target
        for place in _places(target, mark):
            if _is_new(source, place) or (not is_taken(place) and _is_equal(source, place)):
                source.unlink(missing_ok=True)
                return place
    except OSError as error:
        raise TransportError(f"cannot bring {target}: {error.strerror or error}") from error
    raise AssertionError("there is always another name")


def _places(target: Path, mark: str) -> Iterator[Path]:
    yield target
    yield target.with_name(beside(target.name, mark))
    for number in count(2):
        yield target.with_name(beside(target.name, f"{mark}-{number}"))


def _is_equal(source: Path, place: Path) -> bool:
    return place.is_file() and filecmp.cmp(source, place, shallow=False)


_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES}


def _is_new(source: Path, place: Path) -> bool:
    """Whether *source* took *place*, where nothing was: a link is never made over something, a rename would be."""
    try:
        _move(os.link, source, place)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(place):
            return False
        _move(os.rename, source, place)
    return True


def _move(way: Callable[[Path, Path], None], source: Path, place: Path) -> None:
    """Move *source* to *place* in one of the ways of the file system, from another one through a copy beside it."""
    try:
        way(source, place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        descriptor, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name[:60]}.", suffix=".part")
        os.close(descriptor)
        try:
            shutil.copy2(source, name)
            way(Path(name), place)
        finally:
            with suppress(OSError):
                os.unlink(name)  # noqa: PTH108 (a text)
