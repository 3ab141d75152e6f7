"""Shared SSH connections: ``adapter links``, and the hidden command that is the broker."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapter.cli.options import json_option

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from adapter.transports.shared import LinkStatus


@click.command()
@click.option("--close", is_flag=True, help="End them; what is under way has a few seconds. The next command logs in.")
@json_option
def links(close: bool, as_json: bool) -> None:
    r"""List the SSH connections that your adapter processes on this machine share.

    A connection ends by itself once nobody used it for the time of connection.share (10 minutes).

    \b
    Examples:
      adapter links
      adapter links --close
    """
    import asyncio
    from dataclasses import asdict

    from adapter.cli.text import to_json
    from adapter.config.settings import links_dir
    from adapter.transports.shared import link_statuses

    found = asyncio.run(link_statuses(links_dir(), close=close))
    if as_json:
        click.echo(to_json([asdict(status) for status in found]))
        return
    for line in _lines(found):
        click.echo(line)
    if not found:
        click.echo("adapter: no shared connection is open", err=True)
    elif close:
        click.echo(f"adapter: {len(found)} told to close", err=True)


def _lines(found: Sequence[LinkStatus]) -> Iterator[str]:
    import time

    from adapter.core.units import format_seconds

    for status in found:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(status.logged_in_at)) if status.logged_in_at else "-"
        work = f"{status.under_way} under way" if status.under_way else f"idle {format_seconds(status.idle_s)}"
        yield f"{status.host}  since {since}  {work}  {status.processes} processes  pid {status.pid}"


@click.command(hidden=True)
@click.argument("socket", type=click.Path(path_type=Path))
def _link(socket: Path) -> None:
    """Own one SSH connection and listen at SOCKET; the settings come on standard input."""
    import logging

    from adapter.transports.broker import run_broker

    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("adapter").setLevel(logging.INFO)
    run_broker(socket, sys.stdin.read())
