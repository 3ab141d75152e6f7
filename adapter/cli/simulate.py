"""``adapter simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapter.cli.options import complete_backend

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOT_FOUND = 127


@click.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("name", required=False, shell_complete=complete_backend, metavar="NAME|FILE")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
@click.option(
    "--into", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
    help="Write the simulated scheduler into this new folder, and print the line that puts it on the PATH.",
)  # fmt: skip
@click.option(
    "--set", "sets", multiple=True, metavar="NAME=VALUE",
    help="Set a variable of the simulator, such as SLOTS=8; may be given several times.",
)  # fmt: skip
@click.option("--help", "-h", "wants_help", is_flag=True, help="Show this; with NAME also the variables of --set.")
@click.pass_context
def simulate(  # noqa: PLR0917 (click passes options as parameters)
    context: click.Context,
    name: str | None,
    command: tuple[str, ...],
    into: Path | None,
    sets: tuple[str, ...],
    wants_help: bool,
) -> int:
    r"""Run a command with a simulated scheduler on its PATH, if the backend, or what it extends, has a simulator.

    Programs take the place of the scheduler's. They answer as it does, run the jobs on this machine, a few at a
    time, and fail where a variable orders it. `adapter simulate NAME --help` lists the variables.

    \b
    Examples:
      adapter simulate cluster -- adapter run --on cluster -- echo hello
      adapter simulate ./cluster.yaml --set FAULTS='*:/5:timeout' -- make test
      adapter simulate cluster --into /scratch/fake
    """
    from adapter.cli.context import open_backend
    from adapter.testkit.simulator import find_simulator, make_folder, simulators, usage

    if wants_help:
        click.echo(context.get_help())
    if not name:
        if wants_help:
            return 0
        raise click.UsageError(f"name a backend that has a simulator: {', '.join(simulators())}")
    simulator = find_simulator(open_backend(name))
    if wants_help:
        click.echo(f"\n{usage(simulator)}")
        return 0
    if bool(command) == (into is not None):
        raise click.UsageError("give either a command after --, or --into DIR")
    settings = dict(_setting(text) for text in sets)
    if into is not None:
        programs = make_folder(simulator, into, settings)
        click.echo(f"PATH={_word(str(programs))}:$PATH")
        return 0
    return _run(simulator, command, settings)


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--set {text}: write NAME=VALUE")
    return name, value


def _word(text: str) -> str:
    import shlex

    return shlex.quote(text)


def _run(simulator: Path, command: tuple[str, ...], settings: Mapping[str, str]) -> int:
    """Run *command* with the simulated scheduler, and end what is left of its jobs."""
    import os
    import subprocess
    import tempfile

    from adapter.environment import user_environment
    from adapter.testkit.simulator import make_folder, stop

    with tempfile.TemporaryDirectory(prefix="adapter-simulate-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary) / simulator.name
        programs = make_folder(simulator, folder, settings)
        environment = {**user_environment(), "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}"}
        try:
            return subprocess.run(command, env=environment, check=False).returncode
        except FileNotFoundError:
            click.echo(f"adapter: {command[0]}: no such program", err=True)
            return _NOT_FOUND
        finally:
            stop(simulator, folder)
