"""Options that several commands share, and what their values mean."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

import click

from adapter.core import units

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")
COMMAND_KEY = "adapter.command"


class CommandAfterDashes(click.Command):
    """A command of ours that takes another command after ``--``; :func:`command_words` returns it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what stands after the first ``--`` for itself."""
        if "--" in args:
            at = args.index("--")
            ctx.meta[COMMAND_KEY] = tuple(args[at + 1 :])
            args = args[:at]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """Show both forms."""
        return ["[OPTIONS]", "TASKS.yaml | [OPTIONS] -- COMMAND..."]


def command_words() -> tuple[str, ...] | None:
    """Return the command after ``--``, ``None`` if there was no ``--``."""
    words: tuple[str, ...] | None = click.get_current_context().meta.get(COMMAND_KEY)
    return words


class Amount(click.ParamType[int]):
    """A number with a unit, as people write it."""

    def __init__(self, name: str, parse: Callable[[str], int]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return *value* in inside units."""
        if isinstance(value, int):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


BYTES = Amount("size", units.parse_bytes)
SECONDS = Amount("time", units.parse_seconds)


class Pair(click.ParamType[tuple[str, str]]):
    """``KEY=VALUE``."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Return key and value."""
        if isinstance(value, tuple):
            return value
        key, equals, text = str(value).partition("=")
        if not equals or not key:
            self.fail(f"{value!r} is not KEY=VALUE", param, ctx)
        return key, text


PAIR = Pair()


def complete_backend(_ctx: click.Context, _param: click.Parameter, start: str) -> list[str]:
    """Return the backends whose name begins with *start*; nothing where that cannot be told.

    A name of characters that mean something to a shell is left out: the shell puts what it is given on its line.
    """
    try:
        from adapter.config.load import list_backends

        names = [entry.name for entry in list_backends() if not entry.abstract]
        return [name for name in names if name.startswith(start) and re.fullmatch(r"\w[\w.@+-]*", name)]
    except Exception:  # noqa: BLE001 (a key was pressed: no place for a message)
        return []


def complete_run(_ctx: click.Context, _param: click.Parameter, start: str) -> list[str]:
    """Return the ids of runs that begin with *start*, newest first; nothing where that cannot be told."""
    try:
        from adapter.cli.context import open_store

        return [run.id for run in open_store().summaries() if run.id.startswith(start)]
    except Exception:  # noqa: BLE001 (a key was pressed: no place for a message)
        return []


def on_option(function: F) -> F:
    """Add ``--on``."""
    return click.option(
        "--on",
        metavar="NAME",
        shell_complete=complete_backend,
        help="Backend: a name from `adapter backends list`, or a file.",
    )(function)


def set_option(function: F) -> F:
    """Add ``--set``."""
    return click.option(
        "--set",
        "sets",
        type=PAIR,
        multiple=True,
        metavar="KEY=VALUE",
        help="Set one of the backend's `values`; may be repeated.",
    )(function)


def force_option(function: F) -> F:
    """Add ``--force``."""
    return click.option("--force", is_flag=True, help="Let outputs replace files that are here already.")(function)


def json_option(function: F) -> F:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")(function)


def quiet_option(function: F) -> F:
    """Add ``--quiet``."""
    return click.option("-q", "--quiet", is_flag=True, help="Say nothing but what went wrong.")(function)


TASK_OPTIONS = (
    click.option("--name", help="Name of the task (of the run, for a task file)."),
    click.option("--cpu", type=click.FloatRange(min=0, min_open=True), help="Processors."),
    click.option("--ram", "ram_bytes", type=BYTES, help="Memory, like '8 GiB'."),
    click.option("--disk", "disk_bytes", type=BYTES, help="Scratch space, like '20 GB'."),
    click.option("--gpu", type=click.IntRange(min=0), help="GPUs."),
    click.option("--nodes", type=click.IntRange(min=1), help="Machines."),
    click.option("--ranks", type=click.IntRange(min=1), help="Processes of a parallel program (MPI)."),
    click.option("--walltime", "walltime_s", type=SECONDS, help="Longest time it may run, like 90m or 1-12:00:00."),
    click.option("--queue", help="Queue (partition)."),
    click.option("--account", help="Account to charge."),
    click.option("--image", help="Container image."),
    click.option("--env", type=PAIR, multiple=True, metavar="KEY=VALUE", help="Environment variable; may be repeated."),
    click.option(
        "--input", "inputs", multiple=True, metavar="PATH[:TO]", help="File or folder to send; may be repeated."
    ),
    click.option(
        "--output", "outputs", multiple=True, metavar="GLOB[:FOLDER]", help="Files to bring back; may be repeated."
    ),
    click.option("--workdir", metavar="FOLDER", help="Run in this folder of the target, not in a fresh one."),
)


def task_options(function: F) -> F:
    """Add the options that describe the task after ``--``."""
    for option in reversed(TASK_OPTIONS):
        function = option(function)
    return function
