"""``adapter config``: init, show, path."""

from __future__ import annotations

import click

from adapter.cli.options import json_option


@click.group()
def config() -> None:
    r"""Your own configuration file: the default backend, and where the journal is kept.

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
    r"""Show what is in force, from the file or by default.

    \b
    Examples:
      adapter config show
      adapter config show --json
    """
    from adapter.cli.open import choose_backend, journal_path
    from adapter.cli.text import to_json
    from adapter.config.search import search_path
    from adapter.config.settings import config_file

    name, why = choose_backend(None)
    file = config_file()
    facts = {
        "file": str(file),
        "file_exists": file.exists(),
        "backend": name,
        "backend_why": why,
        "journal": str(journal_path()),
        "search_path": [folder.shown for folder in search_path()],
    }
    if as_json:
        click.echo(to_json(facts))
        return
    click.echo(f"configuration  {file}{'' if facts['file_exists'] else ' (not there; adapter config init writes it)'}")
    click.echo(f"backend        {name} ({why})")
    click.echo(f"journal        {facts['journal']}")
    click.echo("search path    " + "\n               ".join(folder.shown for folder in search_path()))


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
