"""Which paths on this machine are one file."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

from adapter.core.local_files import special_kind


def same_file(path: str) -> str:
    """Return *path* absolute and with its links followed, the same for all spellings of one file here.

    Where the file system does not tell upper from lower case, nor does this.
    """
    real = os.path.realpath(path)
    return unicodedata.normalize("NFC", real).casefold() if _ignores_case(real) else real


def kind_here(path: str) -> str | None:
    """Return what *path* is if it can be no input (a pipe, a socket, a device); ``None`` too where nothing is there."""
    try:
        return special_kind(Path(path).stat().st_mode)
    except (OSError, ValueError):
        return None


def _ignores_case(path: str) -> bool:
    folder = Path(path)
    while not folder.is_dir():
        folder = folder.parent
    other = folder.with_name(folder.name.swapcase()) if folder.name else folder
    try:
        return other.name != folder.name and folder.samefile(other)
    except OSError:
        return False
