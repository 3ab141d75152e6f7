"""``adapter backends``: list, show, explain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from adapter.cli.options import complete_backend, json_option

if TYPE_CHECKING:
    from adapter.config.load import BackendEntry

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
@click.option("--images", is_flag=True, help="Show which image protocols each backend takes.")
@json_option
def list_command(images: bool, as_json: bool) -> None:
    r"""List the backends on the search path, what each can, and how it is proved to work.

    PROVED: live, by tests against the real thing; captures, by its recorded answers; schema, by the published form of
    its documents. A wrong file is shown with its first problem.

    \b
    Examples:
      adapter backends list
      adapter backends list --images
      adapter backends list --json
    """
    from adapter.cli.text import printable, table, to_json
    from adapter.config.load import list_backends

    entries = list_backends()
    if as_json:
        click.echo(to_json([_entry_data(entry) for entry in entries]))
        return
    if images:
        takes = [entry.backend for entry in entries if entry.backend and entry.backend.images]
        protocols = list(dict.fromkeys(protocol for one in takes for protocol in one.images))
        rows = [["NAME", *(f"{protocol}://" for protocol in protocols)]]
        rows += [[one.name, *("yes" if protocol in one.images else "-" for protocol in protocols)] for one in takes]
        click.echo(table(rows))
        return
    rows = [["NAME", "PROVED", "CAN", "SUMMARY", "FILE"]]
    for entry in entries:
        summary = entry.error and f"WRONG: {entry.error}"
        summary = summary or entry.summary + (" (only to extend)" if entry.abstract else "")
        can = " ".join(_capabilities(entry)) or "-"
        rows.append([entry.name, _proof(entry) or "-", can, printable(summary), entry.file])
    click.echo(table(rows))


def _entry_data(entry: BackendEntry) -> dict[str, object]:
    data = {key: value for key, value in entry._asdict().items() if key != "backend"}
    protocols = list(entry.backend.images) if entry.backend else []
    return {**data, "proof": _proof(entry), "can": _capabilities(entry), "images": protocols}


def _proof(entry: BackendEntry) -> str | None:
    return entry.backend.document.get("proof") if entry.backend else None


def _capabilities(entry: BackendEntry) -> list[str]:
    return [name for name, can in entry.backend.capabilities.items() if can] if entry.backend else []


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
