"""``adapter record``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapter.cli.check import table_options
from adapter.cli.options import complete_backend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapter.cli.live import Found
    from adapter.testkit.record_files import Written

_SAID_NO, _INTERRUPTED = 5, 130


@click.command()
@click.argument("name", shell_complete=complete_backend)
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the captures go (captures/NAME here).",
)
@click.option("--force", is_flag=True, help="Replace what was recorded there before.")
@table_options
def record(name: str, folder: Path | None, force: bool, **given: Any) -> int:
    r"""Run the live check, and keep the scheduler's answers as captures that `adapter test` replays.

    Names of users, hosts and homes are taken out. What each answer should mean is proposed, from the jobs' own ends
    where possible; a comment in each file says how it is known. Look through the files before you share them.

    \b
    Examples:
      adapter record cluster --quick
      adapter record ./cluster.yaml --to tests/captures/cluster
      adapter test cluster --captures captures/cluster
    """
    import asyncio

    from adapter.cli.check import summary
    from adapter.cli.context import open_backend
    from adapter.cli.live import Options, examine

    backend = open_backend(name)
    target = folder or Path("captures") / backend.name
    before = _recorded_before(target)
    if before and not force:
        raise click.UsageError(f"{target} holds {len(before)} recorded captures; --force replaces them, --to goes on")
    found = asyncio.run(examine(backend, Options(**given), recording=True))
    click.echo("\n".join(summary(found)))
    if found.interrupted:
        return _INTERRUPTED
    if not found.tried:
        return _SAID_NO
    files = captures(found)
    for old in before:
        old.unlink()
    _write(target, files)
    click.echo(_told(target, files))
    return 0 if found.is_ok and not any(file.differences for file in files) else _SAID_NO


def captures(found: Found) -> list[Written]:
    """Return what was recorded, as files."""
    from datetime import UTC, datetime

    from adapter.testkit.record import Reader
    from adapter.testkit.record_files import written

    version = f" {found.version}" if found.version else ""
    source = f"{found.backend.name}{version}, recorded {datetime.now(UTC):%Y-%m-%d} by adapter record"
    records = Reader(found.backend, found.known).records(found.batches)
    return written(found.backend, records, source=source, scrub=found.scrubber(), version=found.version)


def _recorded_before(folder: Path) -> list[Path]:
    from adapter.testkit.record_files import PREFIX

    return sorted(folder.glob(f"{PREFIX}*.yaml")) if folder.is_dir() else []


def _write(folder: Path, files: Sequence[Written]) -> None:
    from adapter.errors import ConfigError

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            (folder / file.name).write_text(file.text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write into {folder}: {error.strerror}") from error


def _told(folder: Path, files: Sequence[Written]) -> str:
    from adapter.cli.text import printable

    lines = [f"{len(files)} captures in {folder}: look through them before you share them"]
    for file in files:
        lines += [f"{file.name}: does not replay: {printable(text)}" for text in file.differences]
    return "\n".join(lines)
