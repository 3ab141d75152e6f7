"""``adapter trust``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapter.cli.options import complete_backend, json_option

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.command()
@click.argument("names", nargs=-1, shell_complete=complete_backend, metavar="[FILE|NAME ...]")
@click.option("--revoke", is_flag=True, help="Allow them no longer.")
@json_option
def trust(names: tuple[str, ...], revoke: bool, as_json: bool) -> None:
    r"""Allow backend files of the current folder to be used, as they are now; read them first.

    A backend file runs commands as you. One that comes with a folder (./.adapter/, or a relative path in $ADAPTER_PATH)
    is used only after this, and once it has changed only after it was allowed anew. A NAME stands for all files of the
    current folder that make up this backend. Without a name, lists what is allowed, and what is not in this folder.

    \b
    Examples:
      adapter trust .adapter/cluster.yaml
      adapter trust cluster
      adapter trust --revoke cluster
      adapter trust
    """
    from adapter.cli.text import printable, table, to_json
    from adapter.config import trust as records

    if not names:
        if revoke:
            raise click.UsageError("say which: adapter trust --revoke FILE")
        rows = list(_known())
        if as_json:
            click.echo(to_json([{"file": file, "state": state} for state, file in rows]))
        else:
            click.echo(table([["STATE", "FILE"], *([state, printable(file)] for state, file in rows)]))
        return
    found = (one for name in names for one in (_allowed_at(name) if revoke else _files(name)))
    wanted = {path: (digest, shown) for path, digest, shown in found}
    for path, (digest, _) in wanted.items():
        if revoke:
            records.revoke(path)
        else:
            records.allow(path, digest)
    if as_json:
        click.echo(to_json([{"file": str(path), "state": "revoked" if revoke else "trusted"} for path in wanted]))
        return
    for _, shown in wanted.values():
        click.echo(f"{'revoked' if revoke else 'trusted'} {printable(shown)}")


def _files(name: str) -> Iterator[tuple[Path, str, str]]:
    """Yield the files that *name* stands for: path, hash of what is in it, and how people see it."""
    from adapter.config.document import read_file
    from adapter.config.load import load_merged
    from adapter.config.search import is_path
    from adapter.config.trust import absolute, fingerprint
    from adapter.errors import ConfigError

    if is_path(name):
        try:
            yield absolute(Path(name)), fingerprint(read_file(Path(name).expanduser(), name)), name
        except OSError as error:
            raise ConfigError(f"{name}: cannot be read: {error.strerror}") from error
        return
    layers = [layer for layer in load_merged(name).provenance.layers if layer.found.guarded]
    if not layers:
        raise ConfigError(f"backend {name!r} needs no file of the current folder: it may be used as it is")
    for layer in layers:
        yield absolute(Path(str(layer.found.place))), layer.digest, layer.found.shown


def _allowed_at(name: str) -> Iterator[tuple[Path, str, str]]:
    """Yield what is allowed of the files that *name* stands for, which need not be there any more."""
    from adapter.config.search import candidates, is_path
    from adapter.config.trust import absolute, everything_allowed
    from adapter.errors import ConfigError

    places = [Path(name)] if is_path(name) else [Path(str(one.place)) for one in candidates(name) if one.guarded]
    paths = [absolute(place) for place in places]
    found = [one for one in everything_allowed() if one.path in paths]
    if not found:
        raise ConfigError(f"nothing is allowed for {name!r}; `adapter trust` lists what is")
    yield from ((one.path, one.digest, str(one.path)) for one in found)


def _known() -> Iterator[tuple[str, str]]:
    """Yield state and path of each file that was allowed, and of those in the current folder that were not."""
    from adapter.config.document import read_file
    from adapter.config.search import every_file
    from adapter.config.trust import absolute, everything_allowed, fingerprint
    from adapter.errors import ConfigError

    allowed = {one.path: one.digest for one in everything_allowed()}
    for path, digest in allowed.items():
        try:
            state = "trusted" if fingerprint(read_file(path, str(path))) == digest else "changed"
        except (OSError, ConfigError):
            state = "gone"
        yield state, str(path)
    here = [absolute(Path(str(found.place))) for found in every_file() if found.guarded]
    yield from (("not trusted", str(path)) for path in here if path not in allowed)
