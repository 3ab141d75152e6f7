"""``adapter run`` and ``adapter submit``."""

from __future__ import annotations

from typing import Any

import click

from adapter.cli.options import (
    CommandAfterDashes,
    command_words,
    force_option,
    json_option,
    on_option,
    quiet_option,
    set_option,
    task_options,
)

_FILES = click.argument("files", nargs=-1, type=click.Path(), metavar="TASKS.yaml")


@click.command(cls=CommandAfterDashes)
@_FILES
@on_option
@task_options
@set_option
@force_option
@click.option("--detach", is_flag=True, help="Return once the jobs are handed over; print the run's id.")
@json_option
@quiet_option
def run(files: tuple[str, ...], detach: bool, **options: Any) -> int:
    r"""Run a command, or the tasks in a file, and wait for it.

    A single task's output comes out here as if it ran here, and its exit code becomes ours. Jobs do not end with this
    process: Ctrl-C asks whether to detach or to kill.

    \b
    Examples:
      adapter run -- python -c 'print(6 * 7)'
      adapter run --on cluster --cpu 8 --walltime 2h --input reads.fq --output '*.bam' -- ./align reads.fq
      adapter run tasks.yaml --on cluster --detach
    """
    return _run(files, detach=detach, **options)


@click.command(cls=CommandAfterDashes)
@_FILES
@on_option
@task_options
@set_option
@force_option
@json_option
@quiet_option
def submit(files: tuple[str, ...], **options: Any) -> int:
    r"""Hand over a command, or the tasks in a file, print the run's id and return: run --detach.

    \b
    Examples:
      adapter submit --on cluster --walltime 1h -- ./simulate
      run=$(adapter submit tasks.yaml) && adapter wait "$run"
    """
    return _run(files, detach=True, **options)


def _run(
    files: tuple[str, ...],
    *,
    on: str | None,
    sets: tuple[tuple[str, str], ...],
    force: bool,
    detach: bool,
    as_json: bool,
    quiet: bool,
    **task: Any,
) -> int:
    import asyncio

    from adapter.cli.context import choose_backend, open_backend
    from adapter.cli.runner import start
    from adapter.cli.tasks import has_image, refuse_images, tasks_and_name, with_workdir
    from adapter.cli.text import printable
    from adapter.config.local_paths import same_file
    from adapter.config.settings import refuse_on_login_node
    from adapter.core.local_files import reading_hints

    tasks, title = tasks_and_name(files, command_words(), task)
    name, why = choose_backend(on, has_image=any(map(has_image, tasks)))
    backend = open_backend(name, sets)
    refuse_on_login_node(backend)
    tasks = [with_workdir(each, backend) for each in tasks]
    refuse_images(backend, tasks)
    for hint in [] if quiet else reading_hints(tasks, same_file):
        click.echo(f"adapter: {printable(hint)}", err=True)
    if on is None and not quiet:
        click.echo(f"adapter: on {backend.name} ({why})", err=True)
    return asyncio.run(start(backend, tasks, title, force=force, detach=detach, as_json=as_json, quiet=quiet))
