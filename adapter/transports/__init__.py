"""What carries command lines to a target, and which one a backend file asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapter.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Any

    from adapter.transports.base import Transfer, Transport


def transport_for(
    connection: Mapping[str, Any],
    *,
    prompt: Callable[[str, bool], str | None] | None = None,
    share_folder: Path | None = None,
    tell: Callable[[str], None] | None = None,
    on_transfer: Callable[[Transfer], None] | None = None,
) -> Transport:
    """Return the transport for a backend's ``connection``; nothing is opened yet.

    *prompt* answers what a server asks (a text, and whether the answer may be seen); ``None``: nobody is there.
    *share_folder* is where the processes of one user find the SSH connection they share, unless ``connection.share``
    is false; ``None``: this one has its own. *tell* hears why a connection is not shared after all. *on_transfer* hears
    how far files have come on their way to or from another machine.

    Raises:
        ConfigError: there is no transport of that kind, or ``connection.share`` cannot be read.
    """
    kind = connection.get("kind", "local")
    if kind == "ssh":
        from adapter.transports import shared  # noqa: PLC0415 (only who uses it pays for it)
        from adapter.transports.frames import idle_seconds  # noqa: PLC0415

        if share_folder is not None and idle_seconds(connection) is not None:
            return shared.SharedTransport(
                connection, folder=share_folder, prompt=prompt, tell=tell, on_transfer=on_transfer
            )
        from adapter.transports.ssh import SshTransport  # noqa: PLC0415 (only who uses it pays for it)

        return SshTransport(connection, prompt=prompt, on_transfer=on_transfer)
    if kind != "local":
        raise ConfigError(f"connection.kind {kind!r} is unknown; it is local or ssh")
    from adapter.transports.local import LocalTransport  # noqa: PLC0415 (only who uses it pays for it)

    return LocalTransport()
