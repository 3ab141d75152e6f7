"""``adapter check``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from adapter.cli.options import complete_backend, json_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapter.core.backend import Backend
    from adapter.execution.checker import Row

_SAID_NO = 5  # as documented: a command ran there and said no
NO_JOB = "no job was submitted: this says nothing yet about submit, monitor, kill and exit codes"


@click.command()
@click.argument("name", shell_complete=complete_backend)
@json_option
def check(name: str, as_json: bool) -> int:
    r"""Look whether a backend can be used from here: connection, programs, workspace, clock. Submits no job.

    The workspace is made if it is not there, as the first job would. Exits with 0 if all that is necessary is well,
    with 5 otherwise; what failed says what to do.

    \b
    Examples:
      adapter check local
      adapter check ./cluster.yaml --json
    """
    import asyncio

    from adapter.cli.open import open_backend
    from adapter.cli.text import to_json
    from adapter.execution.checker import is_usable

    backend = open_backend(name)
    rows = asyncio.run(_rows(backend))
    click.echo(to_json(_data(backend, rows)) if as_json else _text(rows))
    return 0 if is_usable(rows) else _SAID_NO


async def _rows(backend: Backend) -> list[Row]:
    from adapter.execution.checker import Checker
    from adapter.execution.clock import RealClock
    from adapter.transports import transport_for

    async with transport_for(backend.connection) as transport:
        return await Checker(backend, transport, RealClock(), _other_shells(backend)).check()


def _other_shells(backend: Backend) -> dict[str, str]:
    """Return the shells of a far host to compare with; on this machine there is only ours."""
    if backend.connection.get("kind", "local") == "local":
        return {}
    from adapter.transports.ssh import LOGIN_SHELL

    return {"with login_shell": LOGIN_SHELL, "without login_shell": "exec sh -s"}


def _text(rows: Sequence[Row]) -> str:
    from adapter.cli.text import printable, table
    from adapter.execution.checker import Health, is_usable

    lines = [
        table([["CHECK", "STATUS", "FOUND"], *([row.name, str(row.health), _one_line(row.found)] for row in rows)])
    ]
    for row in rows:
        if row.fix and row.health is not Health.OK:
            lines.append(f"{row.name}: {printable(row.fix)}")
    failed = sum(row.health is Health.FAILED for row in rows)
    lines += ["all that is necessary is well" if is_usable(rows) else f"{failed} of {len(rows)} failed", NO_JOB]
    return "\n".join(lines)


def _one_line(text: str) -> str:
    from adapter.cli.text import printable

    return " / ".join(line.strip() for line in printable(text).splitlines() if line.strip())


def _data(backend: Backend, rows: Sequence[Row]) -> dict[str, object]:
    from adapter.execution.checker import is_usable

    return {
        "backend": backend.name,
        "usable": is_usable(rows),
        "rows": [
            {"name": row.name, "status": str(row.health), "found": row.found, "fix": row.fix or None} for row in rows
        ],
        "note": NO_JOB,
    }
