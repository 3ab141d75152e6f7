"""The two clients of SSH, for tests that run with both."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

from adapter.transports.masters import masters
from adapter.transports.openssh import OpenSshTransport
from adapter.transports.ssh import SshTransport

CLIENTS = ("asyncssh", "openssh")
# Options of asyncssh that tests use, as ssh calls them.
_NAMES = {
    "port": "Port", "host_key_alias": "HostKeyAlias", "connect_timeout": "ConnectTimeout",
    "keepalive_interval": "ServerAliveInterval", "keepalive_count_max": "ServerAliveCountMax",
}  # fmt: skip
_folders: list[Path] = []


def links() -> Path:
    """Return a new folder for masters, with a short path; :func:`close_links` ends them."""
    _folders.append(Path(tempfile.mkdtemp(prefix="links-", dir="/tmp")))
    return _folders[-1]


def close_links() -> None:
    for folder in _folders:
        asyncio.run(masters(folder, close=True))
        shutil.rmtree(folder)
    _folders.clear()


def options_of(client: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return *options* of asyncssh as *client* takes them; openssh gets masters of its own."""
    if client == "asyncssh":
        return options
    return {"folder": links(), **{_NAMES[name]: str(value) for name, value in options.items()}}


def ssh_transport(client: str, connection: dict[str, Any], **options: Any) -> SshTransport | OpenSshTransport:
    """Return a transport of *client*, with *options* as asyncssh calls them."""
    kind = SshTransport if client == "asyncssh" else OpenSshTransport
    return kind(connection, **options_of(client, options))
