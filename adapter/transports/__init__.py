"""What carries command lines to a target, and which one a backend file asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapter.core.defaults import DEFAULTS
from adapter.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Any

    from adapter.transports.base import Transfer, Transport

    Prompt = Callable[[str, bool], str | None]


def transport_for(
    connection: Mapping[str, Any],
    *,
    folder: Path,
    prompt: Prompt | None = None,
    tell: Callable[[str], None] | None = None,
    on_transfer: Callable[[Transfer], None] | None = None,
) -> Transport:
    """Return the transport for a backend's ``connection``; nothing is opened yet.

    *folder* is where the processes of one user find the connections that ``client: openssh`` shares.
    *prompt* answers what a server asks (a text, and whether the answer may be seen); ``None``: nobody
    is there. *tell* hears what needs no answer. *on_transfer* hears how far files have come on their
    way to or from another machine.

    Raises:
        ConfigError: there is no transport of that kind, or it cannot be used.
    """
    connection = {**DEFAULTS["backend"]["connection"], **DEFAULTS["connection"], **connection}
    kind, client = connection["kind"], connection["client"]
    if kind not in {"local", "ssh"}:
        raise ConfigError(f"connection.kind {kind!r} is unknown; it is local or ssh")
    if client not in {"asyncssh", "openssh"}:
        raise ConfigError(f"connection.client {client!r} is unknown; it is asyncssh or openssh")
    # Only who uses a client pays for its import.
    if kind == "local":
        from adapter.transports.local import LocalTransport  # noqa: PLC0415

        return LocalTransport()
    if client == "openssh":
        from adapter.transports.openssh import OpenSshTransport  # noqa: PLC0415

        return OpenSshTransport(connection, folder=folder, prompt=prompt, tell=tell, on_transfer=on_transfer)
    from adapter.transports.ssh import SshTransport  # noqa: PLC0415

    return SshTransport(connection, prompt=prompt, on_transfer=on_transfer)
