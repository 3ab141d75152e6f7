"""``adapter config``: init, show, path."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from adapter.cli.options import json_option

if TYPE_CHECKING:
    from adapter.config.settings import Settings


@click.group()
def config() -> None:
    r"""Your own configuration file, and what is in force: the default backend, where the store is kept.

    \b
    Examples:
      adapter config init
      adapter config show
    """


@config.command()
def init() -> None:
    r"""Write a configuration file in which everything is explained and nothing is set.

    \b
    Examples:
      adapter config init
      $EDITOR "$(adapter config path)"
    """
    from adapter.config.settings import config_file, write_initial_config

    file = config_file()
    write_initial_config(file)
    click.echo(file)


@config.command()
@json_option
def show(as_json: bool) -> None:
    r"""Show what is in force, and where each value came from: your file, your site's, the environment, or nobody.

    \b
    Examples:
      adapter config show
      adapter config show --json
    """
    from adapter.cli.context import choose_backend, store_path
    from adapter.cli.text import to_json
    from adapter.config.search import search_path
    from adapter.config.settings import load_settings, site_config_files

    name, why = choose_backend(None, must_exist=False)
    settings = load_settings()
    file = settings.file
    site = [str(one) for one in site_config_files() if one in settings.files]
    facts = {
        "file": str(file),
        "file_exists": file.exists(),
        "site_files": site,
        "backend": name,
        "backend_why": why,
        "store": str(store_path()),
        "store_why": _store_why(settings),
        "login_nodes": list(settings.login_nodes),
        "search_path": [folder.shown for folder in search_path()],
    }
    if as_json:
        click.echo(to_json(facts))
        return
    click.echo(f"configuration  {file}{'' if facts['file_exists'] else ' (not there; adapter config init writes it)'}")
    for one in site:
        click.echo(f"of the site    {one}")
    click.echo(f"backend        {name} ({why})")
    click.echo(f"store        {facts['store']} ({facts['store_why']})")
    for pattern, source in settings.login_nodes.items():
        click.echo(f"login nodes    {pattern} (login_nodes in {source})")
    click.echo("search path    " + "\n               ".join(folder.shown for folder in search_path()))


def _store_why(settings: Settings) -> str:
    if os.environ.get("ADAPTER_STATE"):
        return "$ADAPTER_STATE"
    source = settings.sources.get("state_dir")
    return f"state_dir in {source}" if source else "by default"


@config.command()
def path() -> None:
    r"""Print the path of the configuration file.

    \b
    Examples:
      adapter config path
      cat "$(adapter config path)"
    """
    from adapter.config.settings import config_file

    click.echo(config_file())
