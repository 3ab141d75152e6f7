"""What carries command lines to a target, and which one a backend file asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapter.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from adapter.transports.base import Transport


def transport_for(connection: Mapping[str, Any]) -> Transport:
    """Return the transport for a backend's ``connection``; nothing is opened yet.

    Raises:
        ConfigError: this version has no transport of that kind.
    """
    kind = connection.get("kind", "local")
    if kind == "ssh":
        raise ConfigError("connection.kind ssh is not in this version yet; run adapter on the far machine itself")
    if kind != "local":
        raise ConfigError(f"connection.kind {kind!r} is unknown; this version has local")
    from adapter.transports.local import LocalTransport  # noqa: PLC0415 (only who uses it pays for it)

    return LocalTransport()
