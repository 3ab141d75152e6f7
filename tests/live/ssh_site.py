"""What the SSH tests need of this machine: where the servers are, how to upset them, and what Slurm has really seen."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from tests.live.conftest import SERVICES, lacking, slurm_conf

SCRIPT = SERVICES / "ssh.sh"
USER, TCSH_USER, PASSWORD_USER = "jobu", "jobt", "jobpw"


@dataclass(frozen=True, slots=True, kw_only=True)
class SshSite:
    """Two running OpenSSH servers on 127.0.0.1 and what a client needs for them.

    ``known_hosts`` also knows both by the plain names ``target`` and ``jump``: for ``HostKeyAlias``, when the port is
    that of a test's proxy.
    """

    folder: Path
    target_port: int
    jump_port: int
    slurm_conf: str

    @property
    def config(self) -> Path:
        """The file for ``ssh -F``.

        Hosts: target, viajump, jump, target-tcsh, target-password, unknownkey, changedkey.
        """
        return self.folder / "client" / "config"

    @property
    def key(self) -> Path:
        return self.folder / "client" / "key"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "client" / "known_hosts"

    @property
    def askpass(self) -> Path:
        """The program for ``SSH_ASKPASS`` that prints the password."""
        return self.folder / "client" / "askpass"

    @property
    def password(self) -> str:
        return (self.folder / "client" / "jobpw.password").read_text()

    def log(self, server: str = "target") -> str:
        """What the sshd *server* has logged; one ``Accepted`` line for each login."""
        return (self.folder / server / "sshd.log").read_text(errors="replace")

    def ssh(self, host: str, command: str, *, timeout_s: float = 30) -> subprocess.CompletedProcess[str]:
        """Run *command* on *host* of the configuration by OpenSSH's own client: the reference to compare with."""
        return subprocess.run(
            ["ssh", "-F", self.config, host, command],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip

    def restart_target(self) -> None:
        """End target's sshd and all its connections and start it again; what ran in them goes on."""
        subprocess.run([SCRIPT, "restart-target"], check=True, timeout=60)

    def kill_sessions(self) -> None:
        """Drop all connections to target, as if it had lost them; sshd and what ran in them go on."""
        subprocess.run([SCRIPT, "kill-sessions"], check=True, timeout=60)


def ssh_site() -> SshSite:
    """Return the running servers, with a Slurm behind them; where they are not up, the test skips (in CI it fails)."""
    if os.geteuid() != 0:
        lacking("the key of the SSH tests belongs to root")
    if shutil.which("ssh") is None:
        lacking("OpenSSH is not installed (no ssh)")
    printed = subprocess.run([SCRIPT, "env"], capture_output=True, text=True, check=True).stdout
    value = dict(line.removeprefix("export ").split("=", 1) for line in printed.splitlines())
    site = SshSite(
        folder=Path(value["ADAPTER_SSH_DIR"]),
        target_port=int(value["ADAPTER_SSH_TARGET_PORT"]),
        jump_port=int(value["ADAPTER_SSH_JUMP_PORT"]),
        slurm_conf=slurm_conf("acct"),
    )
    asked = site.ssh("viajump", "sinfo")  # through both
    if asked.returncode != 0:
        lacking(f"the SSH servers do not answer, or Slurm behind them: {asked.stderr.strip()}")
    return site


def as_user(user: str, command: str, *, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """Run *command* as *user* at home, with the Slurm ``acct``, by ``/bin/sh``: no file of the login shell is read."""
    return subprocess.run(
        ["su", "-s", "/bin/sh", user, "-c", command],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "SLURM_CONF": slurm_conf("acct")}, cwd=pwd.getpwnam(user).pw_dir,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False,
    )  # fmt: skip


def jobs_by_comment(prefix: str = "adapter-") -> dict[str, list[str]]:
    """Return the ids of all users' jobs of the last hour by their comment, in ``acct``; an array's one by one.

    Of both witnesses: the queue knows a job from its submission on, the database long after its end.
    """
    found: dict[str, set[str]] = defaultdict(set)
    sacct = ["sacct", "--allusers", "--allocations", "--noheader", "--parsable2", "--format=JobID,Comment",
             "--starttime=now-1hour"]  # fmt: skip
    for command in (
        ["squeue", "--all", "--states=all", "--array", "--noheader", "--format=%i|%k"],
        sacct,
        # sacct shows what was eligible to run in that time; a job held until its end never was: ask by state.
        [*sacct, "--state=CANCELLED", "--endtime=now"],
    ):
        rows = subprocess.run(
            command, env={**os.environ, "SLURM_CONF": slurm_conf("acct")},
            capture_output=True, text=True, check=True, timeout=60,
        ).stdout.splitlines()  # fmt: skip
        for row in rows:
            job_id, _, comment = row.partition("|")
            if comment.startswith(prefix):
                found[comment].update(_expanded(job_id))
    return {comment: sorted(ids) for comment, ids in found.items()}


def jobs_with(token: str) -> list[str]:
    """Return the ids of the jobs whose comment is *token*: exactly one, unless something was lost or doubled."""
    return jobs_by_comment(token).get(token, [])


def _expanded(job_id: str) -> list[str]:
    """Return the elements of ``12_[1-3,7%2]``, which is how sacct names those that have not started, or the id itself.

    >>> _expanded("12_[1-3,7%2]"), _expanded("12_4")
    (['12_1', '12_2', '12_3', '12_7'], ['12_4'])
    """
    array, bracket, rest = job_id.partition("_[")
    if not bracket:
        return [job_id]
    elements = []
    for piece in rest.rstrip("]").partition("%")[0].split(","):
        first, _, last = piece.partition("-")
        elements += [f"{array}_{number}" for number in range(int(first), int(last or first) + 1)]
    return elements
