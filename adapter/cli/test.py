"""``adapter test``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapter.cli.options import complete_backend, json_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapter.core.backend import Backend
    from adapter.core.task import Task
    from adapter.testkit.run import Report, Row

_FAILED = 1


@click.command()
@click.argument("name", required=False, shell_complete=complete_backend, metavar="[NAME|FILE]")
@click.option(
    "--captures",
    "folders",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Replay the captures in this folder too; may be given several times.",
)
@click.option(
    "--junit",
    "junit_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the report as JUnit's XML into this file.",
)
@json_option
def test(name: str | None, folders: tuple[Path, ...], junit_file: Path | None, as_json: bool) -> int:
    r"""Prove a backend file without its scheduler: replay recorded answers, and try the rules that hold for every file.

    Captures are looked for in captures/NAME and tests/captures/NAME beside the file. Without a name, every backend that
    came with adapter is tested. Nothing is submitted. Exits with 0 if nothing failed, with 1 otherwise.

    \b
    Examples:
      adapter test cluster
      adapter test ./cluster.yaml --captures recorded --junit report.xml
    """
    from adapter.cli.text import to_json
    from adapter.testkit.report import data_of, junit
    from adapter.testkit.run import examine, shipped_backends

    names = [name] if name is not None else shipped_backends()
    reports = [examine(one, folders, rendered) for one in names]
    if junit_file is not None:
        _write(junit_file, junit(reports))
    click.echo(to_json([data_of(report) for report in reports]) if as_json else "\n\n".join(map(_text, reports)))
    return 0 if all(report.is_ok for report in reports) else _FAILED


def rendered(backend: Backend, tasks: Sequence[Task]) -> str:
    """Return what ``adapter render`` prints for *tasks*."""
    from adapter.cli.render import page, rehearse

    pages = rehearse(backend, tasks)
    return "".join(f"{page(one, len(pages))}\n" for one in pages)


def _write(file: Path, text: str) -> None:
    from adapter.errors import ConfigError

    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}") from error


def _text(report: Report) -> str:
    from adapter.cli.text import printable, table
    from adapter.testkit.subject import Status

    rows = [
        [report.backend.upper(), "RESULT", "WHY"],
        *([_name(row), str(row.outcome.status), _why(row)] for row in report.rows),
    ]
    counted = ", ".join(f"{count} {status}" for status in Status if (count := report.count(status)))
    return "\n".join([table(rows), *map(printable, report.notes), f"{report.backend}: {counted}"])


def _name(row: Row) -> str:
    return row.name if row.kind == "rule" else f"{row.kind} {Path(row.name).name}"


def _why(row: Row) -> str:
    from adapter.cli.text import printable

    return " / ".join(line.strip() for line in printable(row.outcome.why or row.about).splitlines() if line.strip())
