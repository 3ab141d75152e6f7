"""``adapter links``: the connections that ``client: openssh`` keeps open."""

from __future__ import annotations

import click

from adapter.cli.options import json_option


@click.command()
@click.option("--close", is_flag=True, help="End them, and what goes on in them. The next command logs in.")
@json_option
def links(close: bool, as_json: bool) -> None:
    r"""List the SSH connections of backends with connection.client: openssh.

    All your adapter processes on this machine use them. One ends by itself when nobody has used it for 10 minutes,
    or as ControlPersist in your SSH configuration says.

    \b
    Examples:
      adapter links
      adapter links --close
    """
    import asyncio
    import time
    from dataclasses import asdict

    from adapter.cli.text import to_json
    from adapter.config.settings import links_dir
    from adapter.transports.masters import masters

    found = asyncio.run(masters(links_dir(), close=close))
    if as_json:
        click.echo(to_json([asdict(master) for master in found]))
        return
    for master in found:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(master.since))
        click.echo(f"{master.host}  since {since}  pid {master.pid}")
    if not found:
        click.echo("adapter: no connection is open", err=True)
    elif close:
        click.echo(f"adapter: {len(found)} closed", err=True)
