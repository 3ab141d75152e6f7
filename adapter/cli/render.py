"""``adapter render``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from adapter.cli.options import CommandAfterDashes, command_words, json_option, on_option, set_option, task_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapter.core.backend import Backend
    from adapter.core.task import Task


@click.command(cls=CommandAfterDashes)
@click.argument("files", nargs=-1, type=click.Path(), metavar="TASKS.yaml")
@on_option
@task_options
@set_option
@click.option("--full", is_flag=True, help="Show also the files of the library that the job and the commands use.")
@json_option
def render(
    files: tuple[str, ...],
    on: str | None,
    sets: tuple[tuple[str, str], ...],
    full: bool,
    as_json: bool,
    **options: Any,
) -> None:
    r"""Show the script and every command of a task's life. Nothing is executed, nothing is written down.

    \b
    Examples:
      adapter render -- echo hello
      adapter render tasks.yaml --on cluster
      adapter render --on ./cluster.yaml --cpu 4 --walltime 2h -- ./simulate
    """
    from adapter.cli.context import choose_backend, open_backend
    from adapter.cli.tasks import has_image, refuse_images, tasks_and_name, with_workdir

    tasks, _ = tasks_and_name(files, command_words(), options)
    name, why = choose_backend(on, has_image=any(map(has_image, tasks)))
    backend = open_backend(name, sets, to_read=True)
    tasks = [with_workdir(each, backend) for each in tasks]
    refuse_images(backend, tasks)
    if on is None:
        click.echo(f"adapter: on {backend.name} ({why})", err=True)
    rehearsed = rehearse(backend, tasks, full=full)
    if as_json:
        from adapter.cli.text import to_json

        click.echo(to_json(rehearsed))
        return
    for one in rehearsed:
        click.echo(page(one, len(rehearsed)))


def rehearse(backend: Backend, tasks: Sequence[Task], *, full: bool = False) -> list[dict[str, Any]]:
    """Return, for each task, its name and the actions of its life with their texts; *full*: the library, too."""
    from adapter.config.library import library
    from adapter.core.dry_run import RUN, life_cycle
    from adapter.core.job import Job

    pages = []
    for index, task in enumerate(tasks, 1):
        actions = life_cycle(
            backend, Job(run=RUN, index=index, task=task), backend.workspace, library() if full else None
        )
        listed = [{"action": action, "text": text} for action, text in actions]
        pages.append({"index": index, "name": task.name, "backend": backend.name, "actions": listed})
    return pages


def page(one: dict[str, Any], count: int) -> str:
    """Return what a person reads of one rehearsed task, of *count*."""
    from adapter.cli.text import printable

    lines = [
        f"==== task {one['index']} of {count}: {printable(one['name'])}, on {one['backend']}; nothing was executed",
        "==== RUN and JOB_ID stand for what is known only then",
    ]
    for each in one["actions"]:
        lines += ["", f"==== {each['action']}", each["text"].rstrip("\n")]
    return "\n".join([*lines, ""])
