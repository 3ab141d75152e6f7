"""``adapter validate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapter.cli.options import json_option

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from adapter.errors import Problem

ENDINGS = (".yaml", ".yml", ".json", ".jsonl", ".ndjson")
_TASK_KEYS = frozenset({"tasks", "command", "steps"})
_BACKEND_KEYS = frozenset({"extends", "submit", "monitor", "kill", "script"})
_WRONG = 2


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True), metavar="FILE...")
@json_option
def validate(files: tuple[str, ...], as_json: bool) -> int:
    r"""Check backend files and task files, or all in a folder; print every problem as file:line:column: message.

    \b
    Examples:
      adapter validate cluster.yaml
      adapter validate .adapter tasks.yaml
    """
    checked = [(file, problems_of(file)) for file in _files(files)]
    if as_json:
        from dataclasses import asdict

        from adapter.cli.text import to_json

        shown = [{"file": file, "ok": not found, "problems": [asdict(one) for one in found]} for file, found in checked]
        click.echo(to_json(shown))
    else:
        from adapter.cli.text import printable

        for file, found in checked:
            click.echo(printable("\n".join(map(str, found)) if found else f"{file}: ok"))
    return _WRONG if any(found for _, found in checked) else 0


def _files(paths: Iterable[str]) -> Iterator[str]:
    """Return *paths*, with the files in it for a folder; hidden ones are left out."""
    for path in paths:
        if not Path(path).is_dir():
            yield path
            continue
        inside = sorted(file for file in Path(path).rglob("*") if file.is_file() and file.name.endswith(ENDINGS))
        yield from (str(file) for file in inside if not file.name.startswith("."))


def problems_of(file: str) -> list[Problem]:
    """Return every problem of *file*, which describes a backend or tasks: its top-level keys tell which."""
    from adapter.config.load import validate_file
    from adapter.config.tasks import load_tasks
    from adapter.errors import ConfigError, Problem, TaskError

    if not _is_task_file(file):
        return validate_file(file)
    try:
        load_tasks(file)
    except ConfigError as error:
        return list(error.problems)
    except TaskError as error:
        return [Problem(message=str(error), file=file)]
    return []


def _is_task_file(file: str) -> bool:
    from adapter.config.document import MOST_BYTES, parse, read_file
    from adapter.errors import ConfigError

    if file.endswith((".jsonl", ".ndjson")):
        return True
    try:
        data = parse(read_file(Path(file), file, most=MOST_BYTES), file).data
    except (ConfigError, OSError):
        return False
    if not isinstance(data, dict):
        return False
    if _TASK_KEYS & data.keys():
        return True
    return "task" in Path(file).name and not _BACKEND_KEYS & data.keys()  # too little in it: its name tells
