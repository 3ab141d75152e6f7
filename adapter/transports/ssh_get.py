"""Files from a far machine, in bulk: everything asked for travels as one archive."""

from __future__ import annotations

import asyncio
import re
import secrets
import shlex
import tempfile
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from adapter.core import bounds
from adapter.errors import ConnectError, TransportError
from adapter.transports.files import get_here, unpack_here
from adapter.transports.ssh_files import Count, Link, ask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adapter.transports.base import Download
    from adapter.transports.files import Link as Symlink


async def get_files(link: Link, downloads: Sequence[Download], scratch: str) -> list[list[str]]:
    """Bring *downloads* from the far machine as one archive; return what was written for each.

    What a symbolic link leads to inside its folder is brought as well, in another archive if it was not in the first.

    Raises:
        TransportError: something could not be brought; the message names it.
    """
    written: list[list[str]] = [[] for _ in downloads]
    with tempfile.TemporaryDirectory(prefix="adapter-") as folder:
        asked: list[set[str]] = [set() for _ in downloads]
        wanted = {number: _find(download.pattern) for number, download in enumerate(downloads)}
        while wanted:
            broken = await _bring(link, downloads, wanted, scratch, Path(folder))
            targets = {
                number: {test for each in links for test in _target_tests(downloads[number], each)} - asked[number]
                for number, links in broken.items()
            }
            wanted = {number: _find_any(sorted(tests)) for number, tests in targets.items() if tests}
            for number, tests in targets.items():
                asked[number] |= tests
        for number, download in enumerate(downloads):
            written[number] = await asyncio.to_thread(get_here, download, tree=Path(folder) / str(number))
    return written


async def _bring(
    link: Link, downloads: Sequence[Download], wanted: Mapping[int, Sequence[str]], scratch: str, trees: Path
) -> dict[int, list[Symlink]]:
    """Bring what the commands of *wanted* find into a tree for each; return their links that lead to no file there."""
    folder = f"{scratch}/out-{secrets.token_hex(6)}"
    packed = await ask(link, _pack_step(downloads, wanted, folder))
    if packed.exit_code != 0:
        raise TransportError(f"cannot pack outputs on {link.host}: {packed.words}")
    sizes: dict[int, tuple[int, str]] = {}
    for line in packed.stdout.splitlines():
        told = line.split(" ", 2)
        number, size = (bounds.whole(text) for text in told[:2]) if len(told) == 3 else (None, None)
        if number is None or size is None or number >= len(downloads):
            raise TransportError(f"cannot pack outputs on {link.host}: their sizes are told as {packed.stdout[:200]!r}")
        sizes[number] = (size, told[2])
    broken: dict[int, list[Symlink]] = {}
    if sizes:
        total = sum(size for size, _ in sizes.values())
        with tempfile.TemporaryFile() as local:
            await _fetch(link, folder, local, total, Count(link, "bringing", total))
            at = 0
            for number, (size, real_folder) in sorted(sizes.items()):
                part, tree = _part(local, at, size), trees / str(number)
                broken[number] = await asyncio.to_thread(
                    unpack_here, part, downloads[number], tree, real_folder=real_folder
                )
                at += size
    return broken


def _pack_step(downloads: Sequence[Download], wanted: Mapping[int, Sequence[str]], folder: str) -> str:
    """Return shell text that packs what is *wanted* of each download and appends the archive to one file.

    It prints a line for each: its number, the size of its archive, and the real name of its folder.
    """
    quoted = shlex.quote(folder)
    lines = [f"(umask 077 && mkdir -p {quoted}) && cd {quoted} && : >all || exit 1"]
    for number, finds in wanted.items():
        source = shlex.quote(downloads[number].folder)
        lines += [
            f"if cd {source} 2>/dev/null; then",
            f"  real=$(pwd -P); {{ {'; '.join(finds)}; }} >{quoted}/list 2>/dev/null; cd {quoted}",
            f"  if [ -s list ]; then tar -C {source} --null -T list -cf part || exit 1",
            f'    echo {number} "$(($(wc -c <part)))" "$real"; cat part >>all || exit 1; rm part; fi; fi',
        ]
    lines.append(f"rm -f list; [ -s all ] || rm -rf {quoted}")
    return "\n".join(lines)


def _find(pattern: str) -> list[str]:
    """Return commands that print what matches *pattern*, and the links on the way there."""
    parts = PurePosixPath(pattern).parts
    on_the_way = [PurePosixPath(*parts[:depth]) for depth in range(1, len(parts)) if parts[depth - 1] != "**"]
    return [
        f"find . {_where(pattern)} -print0",
        *(f"find . {_where(str(each))} -type l -print0" for each in on_the_way),
    ]


def _where(pattern: str) -> str:
    escaped = shlex.quote("./" + pattern.replace("\\", "\\\\").rstrip("/"))
    if "**" in pattern:  # find's * crosses folders: more than what is asked for travels, and only that is unpacked
        return f"-path {escaped.replace('**/', '*')}"
    depth = len(PurePosixPath(pattern).parts)
    return f"-mindepth {depth} -maxdepth {depth} -path {escaped}"


def _target_tests(download: Download, link: Symlink) -> list[str]:
    """Return tests of find for what *link* leads to and the links on the way there, which find does not follow.

    A folder behind a link is brought only where the link itself was asked for, not where it lies in a folder that was.
    """
    parts = PurePosixPath(link.target or "").parts
    depth = len(PurePosixPath(link.path).parts)
    may_be_folder = "**" in download.pattern or depth <= len(PurePosixPath(download.pattern).parts)
    places = ["/".join((".", *parts[:count])) for count in range(1, len(parts) + 1)] or ["."]
    quoted = [shlex.quote(re.sub(r"([][*?\\])", r"\\\1", place)) for place in places]
    kinds = "" if may_be_folder else " ! -type d"
    return [*(f"-path {place} -type l" for place in quoted[:-1]), f"-path {quoted[-1]}{kinds}"]


def _find_any(tests: Sequence[str]) -> list[str]:
    """Return commands that print what passes one of *tests*: a command for many, as each walks the whole folder."""
    return [
        f"find . {' -o '.join(f'{test} -print0' for test in tests[at : at + 200])}" for at in range(0, len(tests), 200)
    ]


async def _fetch(link: Link, folder: str, local: IO[bytes], size: int, count: Count) -> None:
    """Bring the archive in *folder* and remove it there."""
    left = size

    def receive(block: bytes) -> None:  # what a start-up file prints at the end comes after it
        nonlocal left
        part = block[:left]
        local.write(part)
        count.add(len(part))
        left -= len(part)

    quoted = shlex.quote(folder)
    done = await link.stream(f"cat {quoted}/all && rm -rf {quoted}", receive=receive)
    if left:
        why = done.words or f"{size - left} bytes came of {size}"
        raise ConnectError(f"the transfer from {link.host} was interrupted: {why}")


def _part(local: IO[bytes], start: int, size: int) -> IO[bytes]:
    """Return *size* bytes of *local* from *start* on as a file of its own."""
    part = tempfile.SpooledTemporaryFile(max_size=1 << 24)  # noqa: SIM115 (closed by whoever unpacks it)
    local.seek(start)
    while size > 0:
        block = local.read(min(size, 1 << 20))
        part.write(block)
        size -= len(block)
    part.seek(0)
    return part
