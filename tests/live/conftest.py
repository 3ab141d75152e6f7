"""Live tests need real services (``make test-live`` starts them). Without them they skip loudly; in CI they fail."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.live.clients import close_links

SERVICES = Path(__file__).parent / "services"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.live)


@pytest.fixture(scope="session", autouse=True)
def closed_links() -> Iterator[None]:
    """End the master connections that tests left."""
    yield
    close_links()


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


@functools.cache
def docker_host() -> str:
    """Return ``DOCKER_HOST`` of the tests' own daemon, a Swarm of one; its images are in ``services/common.sh``."""
    host = environment("docker.sh")["DOCKER_HOST"]
    answers("docker.sh", ["docker", "image", "inspect", "busybox:local"], {"DOCKER_HOST": host})
    return host


@functools.cache
def podman_conf() -> str:
    """Return ``CONTAINERS_CONF`` with which Podman works on this machine, for root and for the ordinary user."""
    conf = environment("podman.sh")["CONTAINERS_CONF"]
    if not Path(conf).exists():
        lacking("Podman is not set up")
    answers("podman.sh", ["podman", "image", "exists", "busybox:local"], {"CONTAINERS_CONF": conf})
    return conf


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """A running TES server. Whoever asks needs the user and the password; the password is in a file for root only."""

    url: str
    user: str
    password_file: Path
    curl_config: Path
    """For ``curl -K``: the user and the password."""


@functools.cache
def funnel() -> Funnel:
    """Return the running TES server; its tasks are containers of ``docker_host``."""
    env = environment("funnel.sh")
    server = Funnel(
        url=env["ADAPTER_FUNNEL_URL"],
        user=env["ADAPTER_FUNNEL_USER"],
        password_file=Path(env["ADAPTER_FUNNEL_PASSWORD_FILE"]),
        curl_config=Path(env["ADAPTER_FUNNEL_CURL_CONFIG"]),
    )
    if not server.password_file.exists():
        lacking("Funnel is not set up")
    answers("funnel.sh", ["curl", "-sS", "-f", "-m", "10", "-K", str(server.curl_config), f"{server.url}/tasks"], {})
    return server


@functools.cache
def moto() -> Mapping[str, str]:
    """Return the environment with which ``aws`` is there and finds the stand-in for AWS Batch; its queue is q1."""
    env = environment("moto.sh")
    answers("moto.sh", ["aws", "batch", "describe-job-queues", "--job-queues", "q1"], env)
    return MappingProxyType(env)


@functools.cache
def gridengine() -> Mapping[str, str]:
    """Return the environment with which ``qsub`` and its kin find the running Grid Engine cell."""
    env = environment("gridengine.sh")
    answers("gridengine.sh", ["qstat", "-f"], env)
    return MappingProxyType(env)


@functools.cache
def oar() -> None:
    """See to it that OAR runs; its commands need no settings."""
    if not (Path(os.environ.get("ADAPTER_LIVE_DIR", "/var/tmp/adapter-live")) / "oar" / "settings").exists():
        lacking("OAR is not set up")
    answers("oar.sh", ["oarnodes", "-s"], {})


@functools.cache
def spooler() -> Mapping[str, str]:
    """Return the environment with which root's ``tsp`` finds the running server; atd runs as well."""
    env = environment("spooler.sh")
    if not Path(env["TS_SOCKET"]).exists():
        lacking("task-spooler is not set up")  # asking it would start it, with this environment
    answers("spooler.sh", ["tsp"], env)
    answers("spooler.sh", ["pgrep", "-x", "atd"], {})
    return MappingProxyType(env)


def environment(script: str) -> dict[str, str]:
    """Return what the service *script* exports; ``PATH`` as it is then."""
    printed = subprocess.run([SERVICES / script, "env"], capture_output=True, text=True, check=True).stdout
    env: dict[str, str] = {}
    for line in printed.splitlines():
        (word,) = shlex.split(line.removeprefix("export "))
        name, _, value = word.partition("=")
        env[name] = value.replace("$PATH", os.environ["PATH"])
    return env


def answers(script: str, command: list[str], env: Mapping[str, str]) -> None:
    """Run *command*, which asks the service of *script*; where it fails, that service is lacking."""
    merged = {**os.environ, **env}
    program = shutil.which(command[0], path=merged["PATH"])
    if program is None:
        lacking(f"there is no {command[0]} ({script} install)")
        return
    asked = subprocess.run([program, *command[1:]], env=merged, capture_output=True, text=True, check=False, cwd="/")
    if asked.returncode != 0:
        lacking(f"the service of {script} does not answer: {asked.stderr.strip()}")
