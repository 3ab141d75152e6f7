"""``adapter simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapter.cli.options import complete_backend

if TYPE_CHECKING:
    from adapter.testkit.simulate.plan import Plan

_NOT_FOUND = 127


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("name", shell_complete=complete_backend, metavar="NAME|FILE")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
@click.option(
    "--into", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
    help="Write the simulated scheduler into this new folder, and print the line that puts it on the PATH.",
)  # fmt: skip
@click.option(
    "--set", "sets", multiple=True, metavar="NAME=VALUE",
    help="Set a variable of the simulator, such as SLOTS=8, DELAY=0.2, FAIL=0.1; may be given several times.",
)  # fmt: skip
def simulate(name: str, command: tuple[str, ...], into: Path | None, sets: tuple[str, ...]) -> int:
    r"""Run a command with a fake of a scheduler on its PATH, made from the backend file alone.

    Stand-ins take the place of the programs that the backend's commands call. They answer as the file says that the
    scheduler answers, and run the jobs on this machine, a few at a time.

    \b
    Variables for --set:
      SLOTS=4       jobs that run at once          FAIL=0        share of commands that fail, without effect
      DELAY=0       seconds more for each command  FAIL_AFTER=0  share of submits that fail after their effect
      START=0       seconds in the queue           FAIL_AS=transient  in whose words they fail
      HELD=0        seconds held first             DOWN=FROM:FOR  seconds in which nothing answers
      FORGET=300    seconds shown after the end    LOSE=0        share of jobs that vanish
      KILL_WAIT=5   seconds from TERM to KILL      UNKNOWN=0     share of jobs in an unheard-of state
      NOISE=0       1: noise around every answer

    \b
    Examples:
      adapter simulate cluster -- adapter run --on cluster -- echo hello
      adapter simulate ./cluster.yaml --set FAIL=0.2 -- make test
      adapter simulate cluster --into /scratch/fake
    """
    from adapter.cli.context import open_backend
    from adapter.testkit.simulate.folder import make_folder
    from adapter.testkit.simulate.plan import make_plan

    if bool(command) == (into is not None):
        raise click.UsageError("give either a command after --, or --into DIR")
    settings = dict(_setting(text) for text in sets)
    plan = make_plan(open_backend(name))
    for note in plan.notes:
        click.echo(f"adapter: simulated {name}: {note}", err=True)
    if into is not None:
        programs = make_folder(plan, into, settings)
        click.echo(f"PATH={_word(str(programs))}:$PATH")
        return 0
    return _run(plan, command, settings)


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--set {text}: write NAME=VALUE")
    return name, value


def _word(text: str) -> str:
    import shlex

    return shlex.quote(text)


def _run(plan: Plan, command: tuple[str, ...], settings: dict[str, str]) -> int:
    """Run *command* with the simulated scheduler, and end what is left of its jobs."""
    import os
    import subprocess
    import tempfile

    from adapter.environment import user_environment
    from adapter.testkit.simulate.folder import make_folder, stop

    with tempfile.TemporaryDirectory(prefix="adapter-simulate-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary) / plan.data["name"]
        programs = make_folder(plan, folder, settings)
        environment = {**user_environment(), "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}"}
        try:
            return subprocess.run(command, env=environment, check=False).returncode
        except FileNotFoundError:
            click.echo(f"adapter: {command[0]}: no such program", err=True)
            return _NOT_FOUND
        finally:
            stop(plan, folder)
