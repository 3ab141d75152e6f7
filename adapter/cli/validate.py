"""``adapter validate``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapter.cli.options import json_option

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from adapter.results import Problem

ENDINGS = (".yaml", ".yml", ".json", ".jsonl", ".ndjson")
_TASK_KEYS = frozenset({"tasks", "command", "steps"})
_BACKEND_KEYS = frozenset({"extends", "submit", "monitor", "kill", "script"})
_CONFIG_KEYS = frozenset({"default_backend", "state_dir", "login_nodes"})
_WRONG = 2


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True), metavar="FILE...")
@click.option("--strict", is_flag=True, help="Warnings count as mistakes.")
@json_option
def validate(files: tuple[str, ...], strict: bool, as_json: bool) -> int:
    r"""Check backend files, task files and settings, or a whole folder; tell each problem with its place.

    What is no mistake, and is probably not meant, is a warning: the exit code stays 0 unless --strict is given.

    \b
    Examples:
      adapter validate cluster.yaml
      adapter validate --strict .adapter tasks.yaml
    """
    checked = [Checked.read(file) for file in _files(files)]
    if as_json:
        from adapter.cli.text import to_json

        click.echo(to_json([one.data(strict=strict) for one in checked]))
    else:
        from adapter.cli.text import printable

        for one in checked:
            click.echo(printable("\n".join(one.lines())))
    return 0 if all(one.is_ok(strict=strict) for one in checked) else _WRONG


@dataclass(frozen=True, slots=True)
class Checked:
    """A file and what was found in it."""

    file: str
    problems: list[Problem]
    warnings: list[Problem]

    @classmethod
    def read(cls, file: str) -> Checked:
        """Look at *file*; one with problems gets no warnings, which would be guesses."""
        problems = problems_of(file)
        return cls(file, problems, [] if problems else warnings_of(file))

    def is_ok(self, *, strict: bool) -> bool:
        """Whether nothing is wrong; with *strict*, nothing is odd either."""
        return not (self.problems or (strict and self.warnings))

    def lines(self) -> list[str]:
        """Return what a person reads."""
        shown = [str(one) for one in self.problems]
        shown += [str(replace(one, message=f"warning: {one.message}")) for one in self.warnings]
        return shown or [f"{self.file}: ok"]

    def data(self, *, strict: bool) -> dict[str, Any]:
        """Return what a program reads."""
        problems, warnings = ([asdict(one) for one in found] for found in (self.problems, self.warnings))
        return {"file": self.file, "ok": self.is_ok(strict=strict), "problems": problems, "warnings": warnings}


def _files(paths: Iterable[str]) -> Iterator[str]:
    """Return *paths*, with the files in it for a folder; hidden ones are left out."""
    for path in paths:
        if not Path(path).is_dir():
            yield path
            continue
        inside = sorted(file for file in Path(path).rglob("*") if file.is_file() and file.name.endswith(ENDINGS))
        yield from (str(file) for file in inside if not file.name.startswith("."))


def problems_of(file: str) -> list[Problem]:
    """Return every problem of *file*, which describes a backend, tasks or settings: its top-level keys tell which."""
    from adapter.config.load import validate_file
    from adapter.config.settings import read_config
    from adapter.config.tasks import load_tasks
    from adapter.errors import ConfigError, TaskError
    from adapter.results import Problem

    kind = _kind_of(file)
    if kind == "backend":
        return validate_file(file)
    try:
        load_tasks(file) if kind == "tasks" else read_config(Path(file), must_exist=True)
    except ConfigError as error:
        return list(error.problems)
    except TaskError as error:
        return [Problem(message=str(error), file=file)]
    return []


def warnings_of(file: str) -> list[Problem]:
    """Return what is probably not meant in *file*, which has no problems."""
    from adapter.config.load import advice_for_file
    from adapter.config.tasks import advice_for_tasks

    kind = _kind_of(file)
    if kind == "config":
        return []
    return advice_for_tasks(file) if kind == "tasks" else advice_for_file(file)


def _kind_of(file: str) -> str:
    """Return what *file* describes, by its top-level keys: ``tasks``, ``config`` or ``backend``."""
    from adapter.config.document import MOST_BYTES, parse, read_file
    from adapter.errors import ConfigError

    if file.endswith((".jsonl", ".ndjson")):
        return "tasks"
    try:
        data = parse(read_file(Path(file), file, most=MOST_BYTES), file).data
    except (ConfigError, OSError):
        return "backend"
    keys = data.keys() if isinstance(data, dict) else set()
    if _TASK_KEYS & keys:
        return "tasks"
    if _CONFIG_KEYS & keys:
        return "config"
    if not isinstance(data, dict) or _BACKEND_KEYS & keys:
        return "backend"
    name = Path(file).name  # too little in it: its name tells
    return "tasks" if "task" in name else "config" if name == "config.yaml" else "backend"
