"""``adapter backends``: list, show, explain."""

from __future__ import annotations

import click

from adapter.cli.options import complete_backend, json_option

_MOST_SHOWN = 70


@click.group()
def backends() -> None:
    r"""List, show and explain backends: the places that run jobs.

    \b
    Examples:
      adapter backends list
      adapter backends explain cluster
    """


@backends.command("list")
@json_option
def list_command(as_json: bool) -> None:
    r"""List the backends on the search path; a wrong file is shown with its first problem.

    \b
    Examples:
      adapter backends list
      adapter backends list --json
    """
    from adapter.cli.text import printable, table, to_json
    from adapter.config.load import list_backends

    entries = list_backends()
    if as_json:
        click.echo(to_json([entry._asdict() for entry in entries]))
        return
    rows = [["NAME", "SUMMARY", "FILE"]]
    for entry in entries:
        summary = entry.error and f"WRONG: {entry.error}"
        summary = summary or entry.summary + (" (only to extend)" if entry.abstract else "")
        rows.append([entry.name, printable(summary), entry.file])
    click.echo(table(rows))


@backends.command()
@click.argument("name", shell_complete=complete_backend)
@json_option
def show(name: str, as_json: bool) -> None:
    r"""Show a backend as one document, with all that it extends.

    \b
    Examples:
      adapter backends show local
      adapter backends show ./cluster.yaml --json
    """
    from adapter.cli.text import to_json
    from adapter.config.load import load_merged

    document = load_merged(name).document
    click.echo(to_json(document) if as_json else _as_yaml(document).rstrip("\n"))


@backends.command()
@click.argument("name", shell_complete=complete_backend)
@json_option
def explain(name: str, as_json: bool) -> None:
    r"""Show every value of a backend, and the file and line that set it.

    \b
    Examples:
      adapter backends explain cluster
      adapter backends explain cluster | grep limits
    """
    from adapter.cli.text import table, to_json
    from adapter.config.load import load_merged

    leaves = load_merged(name).explain()
    if as_json:
        click.echo(to_json([leaf._asdict() for leaf in leaves]))
        return
    rows = [["KEY", "VALUE", "SET IN"]]
    click.echo(table(rows + [[leaf.path, _short(leaf.value), f"{leaf.file}:{leaf.line}"] for leaf in leaves]))


def _short(value: object) -> str:
    import json

    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    lines = text.strip().splitlines()
    first = lines[0] if lines else '""'
    cut = first[:_MOST_SHOWN]
    return cut if cut == text.strip() else f"{cut} ..."


def _as_yaml(document: object) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes texts of several lines as blocks."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    return yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
