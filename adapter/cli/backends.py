"""``adapter backends``: list, show, explain, new."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapter.cli.options import complete_backend, json_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adapter.config.load import BackendEntry

_MOST_SHOWN = 70
MAIN_KEYS = (
    "needs", "supports", "values", "defaults", "limits", "directives", "submit", "array", "monitor", "result", "kill",
    "find", "version", "errors",
)  # fmt: skip


@click.group()
def backends() -> None:
    r"""List, show, explain and begin backends: the places that run jobs.

    \b
    Examples:
      adapter backends list
      adapter backends explain cluster
      adapter backends new cluster --like other
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
        summary = summary if entry.trusted else f"NOT TRUSTED: {summary}"
        can = " ".join(_capabilities(entry)) or "-"
        rows.append([printable(cell) for cell in (entry.name, _proof(entry) or "-", can, summary, entry.file)])
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
    from adapter.cli.context import tell_untrusted
    from adapter.cli.text import as_yaml, to_json
    from adapter.config.load import load_merged

    merged = load_merged(name)
    tell_untrusted(merged.provenance)
    document = merged.document
    click.echo(to_json(document) if as_json else as_yaml(document).rstrip("\n"))


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
    from adapter.cli.context import tell_untrusted
    from adapter.cli.text import printable, table, to_json
    from adapter.config.load import load_merged

    merged = load_merged(name)
    tell_untrusted(merged.provenance)
    leaves = merged.explain()
    if as_json:
        click.echo(to_json([leaf._asdict() for leaf in leaves]))
        return
    rows = [["KEY", "VALUE", "SET IN"]]
    click.echo(
        table(rows + [[leaf.path, printable(_short(leaf.value)), f"{leaf.file}:{leaf.line}"] for leaf in leaves])
    )


@backends.command()
@click.argument("name")
@click.option(
    "--like", shell_complete=complete_backend, metavar="NAME", help="Begin with what this backend has, in comments."
)
@click.option(
    "--to", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Where to write it; otherwise .adapter/NAME.yaml, where --on NAME finds it.",
)  # fmt: skip
def new(name: str, like: str | None, to: Path | None) -> None:
    r"""Begin a backend file: a skeleton in which everything is explained, with a capture to fill in beside it.

    It validates as it is. Nothing is overwritten.

    \b
    Examples:
      adapter backends new cluster
      adapter backends new cluster --like other --to site/cluster.yaml
    """
    from adapter.config.trust import absolute, allow, fingerprint

    _check_name(name)
    file = to or Path(".adapter") / f"{name}.yaml"
    if like is None:
        capture = file.parent / "captures" / name / "monitor.yaml"
        files = {file: _skeleton("backend", name), capture: _skeleton("capture", name)}
    else:
        files = {file: _skeleton("like", name).replace("LIKE", like) + _main_keys(like)}
    _write_new(files)
    for written in files:
        click.echo(f"wrote {written}")
    if to is None:
        allow(absolute(file), fingerprint(files[file].encode()))  # who made it need not be asked
    shown, trust = (str(file), "") if to else (name, f" adapter trust {name};")
    click.echo(f"next: adapter validate {file}; adapter test {shown};{trust} adapter check {shown} --quick")
    click.echo(f"an editor completes and checks it by its first line; the schema is {_schema('backend')}", err=True)


@backends.command()
@click.argument("which", default="backend", type=click.Choice(["backend", "task", "capture", "config"]))
def schema(which: str) -> None:
    r"""Print where the JSON Schema of backend files (or of another kind) is, for an editor.

    \b
    Examples:
      adapter backends schema
      cp "$(adapter backends schema)" site/
    """
    click.echo(_schema(which))


def _check_name(name: str) -> None:
    import re

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise click.UsageError(f"{name!r} is no name: letters, digits, . _ and -, beginning with a letter or digit")


def _skeleton(which: str, name: str) -> str:
    """Return a file to fill in, of ``templates/skeletons``; its first line leads to the schema as it was installed."""
    from adapter.config.search import shipped

    text = shipped("templates").joinpath("skeletons", f"{which}.yaml").read_text(encoding="utf-8")
    return text.replace("../../schemas", str(shipped("schemas"))).replace("name: NAME", f"name: {name}")


def _main_keys(like: str) -> str:
    """Return the main keys of the backend *like* in comments."""
    from adapter.cli.text import as_yaml
    from adapter.config.load import load_merged

    document = load_merged(like).document
    shown = as_yaml({key: document[key] for key in MAIN_KEYS if key in document})
    return "".join(f"# {line}".rstrip() + "\n" for line in shown.splitlines())


def _schema(which: str) -> str:
    """Return the path of a schema as it was installed."""
    from adapter.config.search import shipped

    return str(shipped("schemas").joinpath(f"{which}.schema.json"))


def _write_new(files: Mapping[Path, str]) -> None:
    from adapter.errors import ConfigError

    for file in files:
        if file.exists() or file.is_symlink():
            raise ConfigError(f"{file} is there already; name another with --to, or remove it")
    for file, text in files.items():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x", encoding="utf-8") as out:
                out.write(text)
        except OSError as error:
            raise ConfigError(f"cannot write {file}: {error.strerror}") from error


def _short(value: object) -> str:
    import json

    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    lines = text.strip().splitlines()
    first = lines[0] if lines else '""'
    cut = first[:_MOST_SHOWN]
    return cut if cut == text.strip() else f"{cut} ..."
