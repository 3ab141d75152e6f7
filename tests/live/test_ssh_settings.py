"""What the system says about SSH (/etc/ssh) holds, as for ssh, for root at home and for a user with another HOME."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from adapter.errors import AuthenticationError
from tests.live.clients import CLIENTS, ssh_transport
from tests.live.ssh_site import ssh_site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live.ssh_site import SshSite

ALIAS = "adapter-live-system"
CONFIG = Path("/etc/ssh/ssh_config.d/adapter-live.conf")
KNOWN = Path("/etc/ssh/ssh_known_hosts2")


@pytest.fixture(scope="module")
def site() -> SshSite:
    return ssh_site()


@pytest.fixture(params=["at home", "another HOME"])
def system(
    site: SshSite, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The text that the system's known hosts have of the server; its configuration names the server."""
    assert not KNOWN.exists(), "somebody uses it"
    if request.param == "another HOME":
        monkeypatch.setenv("HOME", str(tmp_path))
    CONFIG.write_text(
        f"Host {ALIAS}\n  HostName 127.0.0.1\n  Port {site.target_port}\n  User jobu\n  IdentityFile {site.key}\n"
        "  IdentitiesOnly yes\n  UserKnownHostsFile /dev/null\n"
    )
    try:
        yield site.known_hosts.read_text()
    finally:
        CONFIG.unlink()
        KNOWN.unlink(missing_ok=True)


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def whoami(client: str) -> str:
    async def story() -> str:
        async with ssh_transport(client, {"kind": "ssh", "host": ALIAS}) as transport:
            return (await transport.run("id -un", timeout_s=20)).stdout.strip()

    return asyncio.run(story())


def test_the_systems_configuration_and_known_hosts_are_read(system: str, client: str) -> None:
    KNOWN.write_text(system)
    assert whoami(client) == "jobu"


def test_a_key_that_the_system_calls_revoked_is_called_so(system: str, client: str) -> None:
    KNOWN.write_text("".join(f"@revoked {line}\n" for line in system.splitlines() if line))
    with pytest.raises(AuthenticationError, match=f"the host key of {ALIAS} is REVOKED"):
        whoami(client)


def test_a_host_that_the_system_does_not_know_is_not_known(system: str, client: str) -> None:
    with pytest.raises(AuthenticationError, match=f"the host key of {ALIAS} is not known"):
        whoami(client)
