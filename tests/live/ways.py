"""The ways to a real Slurm that the live tests take: here, with accounting or without, and over SSH."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from adapter.config.load import load_backend
from adapter.core.backend import Backend, backend_from, merge
from adapter.transports.local import LocalTransport
from adapter.transports.openssh import OpenSshTransport
from adapter.transports.ssh import SshTransport
from tests.live.clients import links
from tests.live.conftest import slurm_conf, ssh_config

if TYPE_CHECKING:
    from pathlib import Path

    from adapter.results import CompletedCommand


class Counting:
    """Keeps the text of every ``run``."""

    runs: list[str]

    async def run(self, command: str, *, stdin: str = "", timeout_s: float) -> CompletedCommand:
        self.runs.append(stdin)
        done: CompletedCommand = await super().run(command, stdin=stdin, timeout_s=timeout_s)  # type: ignore[misc]
        return done

    def count(self, pattern: str) -> int:
        return sum(bool(re.search(pattern, run)) for run in self.runs)


class LocalCounting(Counting, LocalTransport):
    def __init__(self, conf: str) -> None:
        super().__init__(environment={**os.environ, "SLURM_CONF": conf})
        self.runs = []


class SshCounting(Counting, SshTransport):
    def __init__(self, connection: dict[str, object]) -> None:
        super().__init__(connection)
        self.runs = []


class OpenSshCounting(Counting, OpenSshTransport):
    def __init__(self, connection: dict[str, object]) -> None:
        super().__init__(connection, folder=links())
        self.runs = []


@dataclass(frozen=True, slots=True)
class Way:
    """A Slurm cluster, and the host in the SSH configuration through which it is reached; ``None``: it is here."""

    cluster: str
    host: str | None = None
    client: str = "asyncssh"
    changes: dict[str, object] = field(default_factory=dict)

    def backend(self, folder: Path, **changes: object) -> Backend:
        """Return the shipped backend with its workspace in *folder*, or in the far user's home under its name."""
        loaded = load_backend("slurm").backend
        document = merge(loaded.document, {"workspace": str(folder / "workspace"), **self.changes})
        if self.host is not None:
            far = {"workspace": f"~/.adapter-live-tests/{folder.name}", "connection": self.connection()}
            document = merge(document, far)
        return backend_from(merge(document, changes), name="slurm", lineage=loaded.lineage)

    def connection(self) -> dict[str, object]:
        """Return the backend's ``connection``."""
        if self.host is None:
            return {"kind": "local"}
        return {"kind": "ssh", "host": self.host, "client": self.client, "config": ssh_config()}

    def transport(self) -> LocalCounting | SshCounting | OpenSshCounting:
        """Return a transport that counts."""
        if self.host is None:
            return LocalCounting(slurm_conf(self.cluster))
        return (SshCounting if self.client == "asyncssh" else OpenSshCounting)(self.connection())

    @property
    def environment(self) -> dict[str, str]:
        """The environment for Slurm's own commands, asked by the test."""
        return {**os.environ, "SLURM_CONF": slurm_conf(self.cluster)}


WAYS = {
    "acct": Way("acct"),
    "nodb": Way("nodb", changes={"result": None}),
    "ssh": Way("acct", "target"),
    "ssh-jump": Way("acct", "viajump"),
    "ssh-tcsh": Way("acct", "target-tcsh"),
    "openssh": Way("acct", "target", "openssh"),
    "openssh-jump": Way("acct", "viajump", "openssh"),
    "openssh-tcsh": Way("acct", "target-tcsh", "openssh"),
}
