"""Files to a far machine, in bulk: what is there does not travel, nothing is half under its final name.

Content is kept once in a store (``SCRATCH/store``) under its SHA-256 and linked, read-only, to its place.
Small files travel as one ``tar`` stream, large ones alone; a large one that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import secrets
import shlex
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from adapter.core import bounds
from adapter.core.batch import Command
from adapter.errors import ConnectError, TransportError
from adapter.transports.base import Transfer, Transport
from adapter.transports.files import refuse_special

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from adapter.results import CompletedCommand
    from adapter.transports.base import Upload

SMALL = 1 << 20  # bytes; below, a file travels in the common archive
BLOCK = 1 << 16  # bytes; a transfer goes on at a whole block
TRANSFER_TIMEOUT_S = 600.0
TELL_S = 0.25  # between two words on how far a transfer is
_MISSING = 3  # exit code of the placing step when content is not in the store yet


@dataclass(frozen=True, slots=True)
class Content:
    """Something to be in the store: its name there, and where its bytes come from."""

    key: str
    size: int
    path: Path | None
    literal: bytes | None

    def open(self) -> IO[bytes]:
        """Return a reader of the bytes."""
        return io.BytesIO(self.literal or b"") if self.path is None else self.path.open("rb")


class Link(Transport):
    """What is needed of a transport to a far machine. ``on_transfer`` hears how far files have come."""

    host: str
    on_transfer: Callable[[Transfer], None] | None

    async def stream(
        self, script: str, *, send: Iterable[bytes] = (), receive: Callable[[bytes], None] | None = None
    ) -> CompletedCommand:
        """Run *script* with bytes as its input and output; repeating it does no harm.

        It is one line for ``sh``: a newline may only be in a word in single quotes.

        Raises:
            ConnectError: it was interrupted.
        """
        raise NotImplementedError


class Count:
    """Tells how far a transfer of *size* bytes is; one of under a mebibyte is not worth a word."""

    def __init__(self, link: Link, what: str, size: int) -> None:
        self._tell = link.on_transfer if size >= SMALL else None
        self._what, self._done, self._size = what, 0, size
        self._next_at = 0.0

    def add(self, size: int) -> None:
        """Say that *size* more bytes are done; that all are is always told."""
        self._done += size
        now = time.monotonic()
        if self._tell and (now >= self._next_at or self._done >= self._size):
            self._next_at = now + TELL_S
            self._tell(Transfer(self._what, min(self._done, self._size), self._size))


@dataclass(slots=True)
class _Plan:
    contents: dict[str, Content]
    files: list[tuple[str, str]]  # key, target
    links: list[tuple[str, str]]  # text, target
    folders: set[str]


async def put_files(link: Link, uploads: Sequence[Upload], scratch: str) -> None:
    """Put *uploads* on the far machine, with its store in *scratch*.

    Raises:
        TransportError: something could not be put; the message names it.
    """
    plan = await asyncio.to_thread(_plan, uploads)
    step = _place_step(plan, scratch)
    placed = await ask(link, step)
    if placed.exit_code == _MISSING:
        missing = _read_missing(placed.stdout, plan.contents, link.host)
        keep = await _send(link, [plan.contents[key] for key in missing], missing, scratch)
        placed = await ask(link, f"{keep}\n{step}")
    if placed.exit_code != 0:
        raise TransportError(f"cannot put files on {link.host}: {placed.words or f'exit code {placed.exit_code}'}")


def _plan(uploads: Sequence[Upload]) -> _Plan:
    plan = _Plan({}, [], [], set())
    hashes: dict[str, Content] = {}
    refuse_special(uploads)
    for upload in uploads:
        if upload.link:
            raise TransportError(f"cannot link {upload.target} to {upload.path}: the target is another machine")
        source = Path(upload.path) if upload.path is not None else None
        try:
            if source is not None and source.is_dir():
                _plan_folder(plan, source, upload.target, hashes)
            else:
                _plan_file(plan, source, upload.content, upload.target, hashes)
        except OSError as error:
            raise TransportError(f"cannot read {upload.path}: {error.strerror or error}") from error
    return plan


def _plan_folder(plan: _Plan, folder: Path, target: str, hashes: dict[str, Content]) -> None:
    plan.folders.add(target)
    for path in sorted(folder.rglob("*")):
        there = f"{target}/{path.relative_to(folder).as_posix()}"
        if path.is_symlink():
            plan.links.append((str(path.readlink()), there))
            plan.folders.add(str(PurePosixPath(there).parent))
        elif path.is_dir():
            plan.folders.add(there)
        elif path.is_file():
            _plan_file(plan, path, None, there, hashes)


def _plan_file(plan: _Plan, path: Path | None, literal: bytes | None, target: str, hashes: dict[str, Content]) -> None:
    known = hashes.get(str(path)) if path is not None else None
    if known is None:
        known = _content(path, literal or b"")
        if path is not None:
            hashes[str(path)] = known
    plan.contents[known.key] = known
    plan.files.append((known.key, target))
    plan.folders.add(str(PurePosixPath(target).parent))


def _content(path: Path | None, literal: bytes) -> Content:
    if path is None:
        return Content(hashlib.sha256(literal).hexdigest(), len(literal), None, literal)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    mark = ".x" if path.stat().st_mode & 0o100 else ""
    return Content(digest + mark, path.stat().st_size, path, None)


def _place_step(plan: _Plan, scratch: str) -> str:
    """Return shell text that puts everything in its place from the store, or prints what the store lacks."""
    store = shlex.quote(f"{scratch}/store")
    lines = [
        f"(umask 077 && mkdir -p {store}) && cd {store} || exit 1",
        "lacking=0",
        'has() { [ -f "$1" ] && return; lacking=1; part=0; [ ! -f "$1.part" ] || part=$(wc -c <"$1.part");'
        ' echo "$1" $part; }',
        *(f"has {key}" for key in plan.contents),
        f"[ $lacking = 0 ] || exit {_MISSING}",
        # where a link cannot be made (another file system) the content is copied, whole before it has its name
        'place() { ln -f "$1" "$2" 2>/dev/null || { cp "$1" "$2.part" && mv -f "$2.part" "$2"; } || exit 1; }',
    ]
    folders = sorted(plan.folders)
    for at in range(0, len(folders), 200):
        lines.append(f"mkdir -p {' '.join(shlex.quote(folder) for folder in folders[at : at + 200])} || exit 1")
    lines += [f"place {key} {shlex.quote(target)}" for key, target in plan.files]
    lines += [f"ln -sfn {shlex.quote(text)} {shlex.quote(target)} || exit 1" for text, target in plan.links]
    return "\n".join(lines)


def _read_missing(stdout: str, known: Collection[str], host: str) -> dict[str, int]:
    """Return how many bytes of what is missing are there already, by names that are *known*."""
    sizes = {key: bounds.whole(size) for key, _, size in (line.partition(" ") for line in stdout.splitlines())}
    missing = {key: size for key, size in sizes.items() if key in known and size is not None}
    if len(missing) < len(sizes) or not missing:
        raise TransportError(f"cannot put files on {host}: it does not say what is missing, but {stdout[:200]!r}")
    return missing


async def _send(link: Link, contents: Sequence[Content], parts: dict[str, int], scratch: str) -> str:
    """Send *contents* and return the shell text that then checks them and moves them into the store.

    A large one begins with what arrived of it before, which is *parts* of it.
    """
    small = [content for content in contents if content.size < SMALL]
    large = [content for content in contents if content.size >= SMALL]
    count = Count(link, "sending", sum(content.size for content in contents))
    store, bundle = f"{scratch}/store", f"bundle-{secrets.token_hex(6)}.part"
    for content in large:
        await _send_large(link, content, parts[content.key], store, count)
    if small:
        step = f"mkdir {bundle} && cd {bundle} && tar -xf - || {{ cd ..; rm -rf {bundle}; exit 1; }}"
        await _send_stream(link, store, step, await asyncio.to_thread(_archive, small), count)
    return _keep_step(scratch, bundle if small else None, [content.key for content in large])


async def _send_large(link: Link, content: Content, offset: int, store: str, count: Count) -> None:
    """Send *content* from *offset* on; two processes that do it at once write the same at the same places."""
    part = f"{content.key}.part"
    blocks = offset // BLOCK if offset <= content.size else 0
    empty = "" if blocks else f"rm -f {part}; "
    write = f"dd ibs={BLOCK} obs={BLOCK} seek={blocks} conv=notrunc of={part}"
    with content.open() as reader:
        reader.seek(blocks * BLOCK)
        count.add(blocks * BLOCK)
        step = f"{empty}{write} || {{ rm -f {part}; exit 1; }}"
        try:
            await _send_stream(link, store, step, reader, count)
        except ConnectError as error:
            raise ConnectError(f"{error}; it goes on where it stopped") from error


async def _send_stream(link: Link, store: str, step: str, reader: IO[bytes], count: Count) -> None:
    """Send what *reader* gives to *step*, which runs in *store*."""

    def blocks() -> Iterator[bytes]:
        while block := reader.read(BLOCK):
            yield block
            count.add(len(block))

    done = await link.stream(f"cd {shlex.quote(store)} && {{ {step}; }}", send=blocks())
    if done.exit_code != 0:
        why = done.words or f"exit code {done.exit_code}"
        raise TransportError(f"cannot put files below {store} on {link.host}: {why}")


def _archive(contents: Sequence[Content]) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for content in contents:
            entry = tarfile.TarInfo(f"{content.key}.part")
            entry.size = content.size
            with content.open() as reader:
                archive.addfile(entry, reader)
    buffer.seek(0)
    return buffer


def _keep_step(scratch: str, bundle: str | None, large: Sequence[str]) -> str:
    """Return shell text that checks what arrived against its name and moves it into the store."""
    lines = [
        f"cd {shlex.quote(scratch + '/store')} || exit 1",
        "sum() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }",
        # the name is what the content must be: a transfer gone wrong never gets it
        'keep() { name=${1%.part}; found=$(sum <"$1"); [ "${found%% *}" = "${name%.x}" ] || '
        '{ rm -f "$1"; echo "$name arrived damaged" >&2; exit 1; }; '
        'case $name in *.x) chmod 555 "$1" ;; *) chmod 444 "$1" ;; esac; mv -f "$1" "${2-.}/$name"; }',
    ]
    if bundle:
        lines += [f"cd {bundle}", 'for part in *.part; do keep "$part" ..; done', f"cd .. && rmdir {bundle}"]
    lines += [f"keep {key}.part" for key in large]
    return "\n".join(lines)


async def ask(link: Link, text: str) -> CompletedCommand:
    """Run *text*, whose repetition does no harm, by itself; a lost answer is "not done yet" here."""
    result = await link.run_batch([Command(text)], timeout_s=TRANSFER_TIMEOUT_S)
    answer = result.completed[0]
    if answer is None:
        raise ConnectError(result.lost or f"the shell of {link.host} gave no whole answer")
    return answer
