"""Live tests need real services (``make test-live`` starts them). Without them they skip loudly; in CI they fail."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

SERVICES = Path(__file__).parent / "services"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.live)


def lacking(what: str) -> None:
    """Skip, saying what this machine lacks; where everything must be there, fail instead."""
    if os.environ.get("CI") or os.environ.get("ADAPTER_LIVE"):
        pytest.fail(f"this live test must run here and cannot: {what}")
    pytest.skip(f"LIVE TEST NOT RUN: {what}; `make test-live` installs and starts what it needs")


@functools.cache
def slurm_conf(cluster: str) -> str:
    """Return the configuration of the running Slurm *cluster* (``acct`` or ``nodb``)."""
    if shutil.which("sbatch") is None:
        lacking("Slurm is not installed (no sbatch)")
    printed = subprocess.run([SERVICES / "slurm.sh", "env", cluster], capture_output=True, text=True, check=True).stdout
    conf = printed.strip().partition("SLURM_CONF=")[2].strip("\"'")
    asked = subprocess.run(
        ["sinfo"], env={**os.environ, "SLURM_CONF": conf}, capture_output=True, text=True, check=False
    )
    if asked.returncode != 0:
        lacking(f"the Slurm cluster {cluster} does not answer: {asked.stderr.strip()}")
    return conf


@functools.cache
def ssh_config() -> str:
    """Return the client configuration for the running SSH servers; its hosts are in ``services/ssh.sh``."""
    folder = Path(os.environ.get("ADAPTER_LIVE_DIR", "/var/tmp/adapter-live")) / "ssh" / "client"
    config = folder / "config"
    if not config.exists():
        lacking("the SSH servers of the tests are not set up")
    asked = subprocess.run(["ssh", "-F", config, "target", "true"], capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        lacking(f"the SSH server of the tests does not answer: {asked.stderr.strip()}")
    return str(config)
