"""The command ``adapter``: finds the command that was typed, loads it, and turns errors into a line and an exit code.

Nothing heavy is imported here: ``adapter --help`` loads click and this module, and a command loads what it needs.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from adapter._version import __version__
from adapter.errors import AdapterError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130
BROKEN_PIPE = 141

COMMANDS = {
    "run": ("run", "Run a command or a task file, and wait for it."),
    "submit": ("run", "Hand over and return: run --detach."),
    "status": ("status", "Show runs, or the jobs of one run."),
    "wait": ("wait", "Wait until runs have ended."),
    "logs": ("logs", "Show what a job wrote."),
    "kill": ("kill", "End jobs, and wait until they are gone."),
    "clean": ("clean", "Remove what finished runs left on the target."),
    "render": ("render", "Dry run: show the script and every command."),
    "validate": ("validate", "Check backend files and task files."),
    "test": ("test", "Prove a backend file without its scheduler."),
    "check": ("check", "Prove a backend on its live site: small real jobs."),
    "record": ("record", "Keep a live scheduler's answers as captures."),
    "simulate": ("simulate", "Run a command with a simulated scheduler."),
    "trust": ("trust", "Allow backend files of the current folder."),
    "backends": ("backends", "List, show, explain and begin backends."),
    "links": ("links", "List and close connections of client: openssh."),
    "config": ("config", "Your own configuration file."),
    "completion": ("completion", "Print the shell completion script."),
}
"""Each command: the module of ``adapter.cli`` that has it under its own name, and its line in the list."""

EXIT_CODES = """\
Exit codes:
    0  done, and every job succeeded
    1  something unexpected: please report it
    2  wrong usage, or a file is wrong
    3  a task cannot be run as it was asked for
    4  the machine could not be asked
    5  a command ran there and said no
    6  a command's answer cannot be read
    7  the store cannot be read or written, or has no such run
   10  a job failed, or its files are not here (a run of a single task: the task's own exit code)
   11  jobs were killed, and nothing else went wrong
   12  jobs are lost: nothing is known about their end, and nothing else went wrong
  124  --timeout was over
  130  interrupted; jobs go on
"""


class AdapterGroup(click.Group):
    """The commands, loaded when they are used; every expected error becomes one line on standard error."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """Return the names in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (click's signature)
        """Load the module that has *cmd_name*."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"adapter.cli.{COMMANDS[cmd_name][0]}")
        return with_paragraphs(getattr(module, cmd_name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a word that is none gets the nearest."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = other_words("commands", args[0]) or difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; to run it: adapter run -- {args[0]}"
            raise click.UsageError(f"no command {args[0]!r}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the exit codes as they stand."""
        formatter.write(f"\n{EXIT_CODES}")

    def main(  # type: ignore[override]  # click's overloads say the same in more words
        self, args: Sequence[str] | None = None, *, standalone_mode: bool = True, **extra: Any
    ) -> Any:
        """Run, and exit with the documented code."""
        code = _guarded(lambda: super(AdapterGroup, self).main(args, standalone_mode=False, **extra))
        if standalone_mode:
            sys.exit(code)
        return code


def with_paragraphs(command: click.Command) -> click.Command:
    r"""Let ``\b`` in the docstrings of *command* be what click reads: do not rewrap the paragraph."""
    command.help = (command.help or "").replace("\\b\n", "\b\n")
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        with_paragraphs(below)
    return command


def _guarded(invoke: Any) -> int:
    """Return the exit code of *invoke*, telling what went wrong in one line."""
    try:
        code = invoke()
        sys.stdout.flush()
    except click.ClickException as error:
        (with_our_option(error) if isinstance(error, click.NoSuchOption) else error).show()
        return error.exit_code
    except AdapterError as error:
        return _explained(error)
    except (click.Abort, KeyboardInterrupt):
        click.echo("adapter: interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more to say, nobody listens
        return BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 (the last net)
        return _unexpected(error)
    return code if isinstance(code, int) else 0


def other_words(kind: str, word: str) -> list[str]:
    """Return our ``commands`` or ``options`` that another tool calls *word*."""
    import json
    from pathlib import Path

    table = json.loads(Path(__file__).with_name("other_words.json").read_text(encoding="utf-8"))
    return [ours for ours, others in table[kind].items() if word in others.split()]


def with_our_option(error: click.NoSuchOption) -> click.UsageError:
    """Return *error* with the option that is meant by one of another tool, if the command has it."""
    from adapter.core.other_words import meant

    command = error.ctx.command if error.ctx else None
    names = {name for parameter in (command.params if command else ()) for name in parameter.opts}
    ours = [name for name in other_words("options", error.option_name) if name in names]
    if not ours and (key := meant(error.option_name.lstrip("-"), [name.lstrip("-") for name in names])):
        ours = [f"--{key}"]
    if not ours:
        return error
    return click.UsageError(f"no option {error.option_name!r}; did you mean {ours[0]!r}?", error.ctx)


def _explained(error: AdapterError) -> int:
    from adapter.cli.text import printable

    if is_debugging():
        _traceback()
    if isinstance(error, ConfigError) and len(error.problems) > 1:
        click.echo(f"adapter: {len(error.problems)} problems", err=True)
        click.echo(printable(str(error)), err=True)
    else:
        click.echo(f"adapter: {printable(str(error))}", err=True)
    return error.exit_code


def _unexpected(error: Exception) -> int:
    if is_debugging():
        _traceback()
    hint = "" if is_debugging() else "; ADAPTER_DEBUG=1 shows where. Please report it"
    click.echo(f"adapter: unexpected {type(error).__name__}: {error}{hint}", err=True)
    return 1


def _traceback() -> None:
    import traceback

    traceback.print_exc()


def is_debugging() -> bool:
    """Whether ``--debug`` or ``ADAPTER_DEBUG`` asks for tracebacks."""
    import logging

    return os.environ.get("ADAPTER_DEBUG", "") not in {"", "0"} or logging.getLogger("adapter").level == logging.DEBUG


def _debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: ARG001 (click's signature)
    if not value:
        return
    import logging

    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("adapter").setLevel(logging.DEBUG)


@click.group(cls=AdapterGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="adapter")
@click.option(
    "--debug", is_flag=True, expose_value=False, callback=_debug, is_eager=True, help="Show tracebacks and log."
)
def cli() -> None:
    r"""Submit, monitor and kill jobs on any scheduler that a YAML file describes.

    \b
    Examples:
      adapter run -- echo hello
      adapter run --on cluster --cpu 4 --ram '8 GiB' --input data.csv -- ./analyse data.csv
      adapter status
    """


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line *args* (``None``: this process's own) and exit."""
    with_paragraphs(cli).main(args=None if args is None else list(args), prog_name="adapter")
    raise AssertionError("click's main exits")
