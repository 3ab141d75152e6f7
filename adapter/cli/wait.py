"""``adapter wait``."""

from __future__ import annotations

import click

from adapter.cli.options import SECONDS, complete_run, json_option, quiet_option


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=complete_run)
@click.option(
    "--timeout", "timeout_s", type=SECONDS, help="Give up waiting after this time (exit code 124); jobs go on."
)
@click.option(
    "--give-up", "give_up_s", type=SECONDS, help="Stop once the machine gave no answer for this time (exit code 4)."
)
@click.option("--background", "in_background", is_flag=True, hidden=True, help="Nobody watches: note why it ends.")
@json_option
@quiet_option
def wait(
    runs: tuple[str, ...],
    *,
    timeout_s: int | None,
    give_up_s: int | None,
    in_background: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    r"""Go on with runs until all of their jobs have ended and their files are here.

    Where another process drives a run, it is only watched. Output and exit code are those of run.

    \b
    Examples:
      adapter wait k3v5
      adapter wait k3v5 7n2m --timeout 2h
    """
    import asyncio

    from adapter.cli.context import open_store
    from adapter.cli.runner import Watch, drive_in_background, watch_runs

    store = open_store()
    records = list({record.id: record for record in (store.find_run(run) for run in runs)}.values())
    watch = Watch(quiet=quiet, as_json=as_json, timeout_s=timeout_s, give_up_s=give_up_s)
    drive = drive_in_background if in_background else watch_runs
    return asyncio.run(drive(store, records, watch))
