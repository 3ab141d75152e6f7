"""``adapter check``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from adapter.cli.options import SECONDS, complete_backend, json_option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from adapter.cli.live import Found
    from adapter.execution.preflight import Row

_SAID_NO, _INTERRUPTED = 5, 130  # as documented: a command ran there and said no
NOT_TRIED = "no job was submitted: this says nothing yet about submit, monitor, kill and exit codes"


F = TypeVar("F", bound="Callable[..., Any]")

TABLE_OPTIONS = (
    click.option("--quick", is_flag=True, help="Under a minute on an idle site: no walltime case, 5 jobs at once."),
    click.option("--image", metavar="IMAGE", help="Container image for the jobs, with sh in it."),
    click.option("--only", multiple=True, metavar="CASE", help="Only this case of the table; may be repeated."),
    click.option("--walltime", "walltime_s", type=SECONDS, help="What the walltime case asks for (60 s)."),
    click.option("--many", type=click.IntRange(min=1), metavar="N", help="Jobs at once (100; with --quick 5)."),
    click.option(
        "--hold-option",
        "hold",
        multiple=True,
        metavar="OPTION",
        help="Option of the scheduler's own that makes it hold a job; adds the case held.",
    ),
)


def table_options(function: F) -> F:
    """Add the options that say how much of the table is run."""
    for option in reversed(TABLE_OPTIONS):
        function = option(function)
    return function


@click.command()
@click.argument("name", shell_complete=complete_backend)
@table_options
@click.option("--no-jobs", is_flag=True, help="Only look at connection, programs, workspace, clock; submit nothing.")
@click.option(
    "--report",
    "report_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a report to show around: Markdown, without names of users and hosts.",
)
@json_option
def check(name: str, no_jobs: bool, report_file: Path | None, as_json: bool, **given: Any) -> int:
    r"""Prove a backend on its live site: look at it, then run the standard table of small jobs.

    Connection, programs, workspace and clock come first; if they are well, small real jobs are submitted, watched and
    killed, and each is compared with how it must end. `not here` is what this place cannot do, with the reason.
    Everything is cleaned up, also after Ctrl-C. Exits with 0 if nothing failed, with 5 otherwise.

    \b
    Examples:
      adapter check local --quick
      adapter check ./cluster.yaml --report cluster.md
      adapter check cluster --only 'exit 3' --only 'kill running'
    """
    import asyncio

    from adapter.cli.context import open_backend
    from adapter.cli.live import Options, examine
    from adapter.cli.text import to_json
    from adapter.config.settings import refuse_on_login_node

    backend = open_backend(name)
    if not no_jobs:
        refuse_on_login_node(backend)
    found = asyncio.run(examine(backend, None if no_jobs else Options(**given), as_json=as_json))
    if report_file is not None:
        _write(report_file, report(found))
    click.echo(to_json(data(found)) if as_json else "\n".join(summary(found)))
    if found.interrupted:
        return _INTERRUPTED
    return 0 if found.is_ok else _SAID_NO


def _write(file: Path, text: str) -> None:
    from adapter.errors import ConfigError

    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}") from error


def summary(found: Found) -> Iterator[str]:
    """Yield what a person reads below the tables."""
    from adapter.cli.text import printable
    from adapter.core.units import format_seconds
    from adapter.execution.preflight import is_usable

    if not found.tried:
        yield _state_of_rows(found.rows)
        yield NOT_TRIED
        return
    yield ""
    yield from (f"also seen: {printable(text)}" for text in found.events)
    notes = _state_of_rows(found.rows) if not is_usable(found.rows) else ""
    yield f"{notes}{_counted(found)} in {format_seconds(int(found.seconds))}"
    if found.left:
        yield f"{len(found.left)} left behind, named above"


def _state_of_rows(rows: Sequence[Row]) -> str:
    from adapter.execution.preflight import Health, is_usable

    failed = sum(row.health is Health.FAILED for row in rows)
    return "all that is necessary is well" if is_usable(rows) else f"{failed} of {len(rows)} failed"


def _counted(found: Found) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in _counts(found).items() if count) or "no case was run"


def _counts(found: Found) -> dict[str, int]:
    from adapter.testkit.conformance import Verdict

    return {str(verdict): sum(one.verdict is verdict for one in found.outcomes) for verdict in Verdict}


def data(found: Found) -> dict[str, object]:
    """Return all that was found as plain data."""
    from adapter.execution.preflight import is_usable

    return {
        "backend": found.backend.name,
        "version": found.version,
        "usable": is_usable(found.rows),
        "ok": found.is_ok,
        "rows": [
            {"name": row.name, "status": str(row.health), "found": row.found, "fix": row.fix or None}
            for row in found.rows
        ],
        "cases": [
            {
                "name": one.name,
                "about": one.about,
                "verdict": str(one.verdict),
                "why": one.why or None,
                "seconds": round(one.seconds, 1),
            }
            for one in found.outcomes
        ],
        "counts": _counts(found),
        "also_seen": found.events,
        "left_behind": found.left,
        "interrupted": found.interrupted,
        "seconds": round(found.seconds, 1),
        "note": None if found.tried else NOT_TRIED,
    }


def report(found: Found) -> str:
    """Return a report in Markdown that may be shown around: no names of users, hosts, homes; no secrets."""
    from datetime import UTC, datetime

    from adapter._version import __version__
    from adapter.testkit.conformance import Verdict

    scrub = found.scrubber()
    kind = found.backend.connection["kind"]
    lines = [
        f"# adapter check {found.backend.name}",
        "",
        f"- scheduler version: {found.version or 'not told'}",
        f"- adapter {__version__}, {datetime.now(UTC):%Y-%m-%d}, connection: {kind}",
        f"- {_counted(found)}, in {found.seconds:.0f} s" if found.tried else f"- {NOT_TRIED}",
        "",
        "| check | status | found |",
        "|---|---|---|",
        *(_cells(row.name, str(row.health), row.found) for row in found.rows),
    ]
    if found.tried:
        lines += ["", "| case | verdict | seconds | what must be true |", "|---|---|---|---|"]
        lines += [_cells(one.name, str(one.verdict), f"{one.seconds:.1f}", one.about) for one in found.outcomes]
        unlike = [one for one in found.outcomes if one.verdict is not Verdict.OK]
        lines += ["", *(f"- {one.verdict}: **{one.name}**: {_line(one.why)}" for one in unlike)]
    lines += [f"- also seen: {_line(text)}" for text in found.events]
    lines += [f"- left behind: {_line(text)}" for text in found.left]
    return "\n".join(map(scrub, lines)) + "\n"


def _cells(*texts: str) -> str:
    return "| " + " | ".join(_line(text).replace("|", "\\|") for text in texts) + " |"


def _line(text: str) -> str:
    from adapter.cli.text import printable

    return " / ".join(line.strip() for line in printable(text).splitlines() if line.strip())
