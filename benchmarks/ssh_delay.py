"""What a far login node costs: the same no-op jobs on a real Slurm over SSH, with more and more delay on the way.

    python -m benchmarks.ssh_delay [--jobs 500] [--round-trip-ms 50 --round-trip-ms 200]

Every delay is that of a round trip; half of it is added in each direction. Without delay comes first, in the same run.
"""

# ruff: noqa: T201, S604 (a benchmark prints what it measured; `shell` is what a task runs)
from __future__ import annotations

import argparse
import asyncio
import re
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter.config.load import load_backend
from adapter.core.backend import Backend, backend_from, merge
from adapter.core.task import Resources, Step, Task
from adapter.execution.executor import Executor
from adapter.store.sqlite import SqliteStore
from adapter.transports.far import FarTransport
from adapter.transports.ssh import SshTransport
from tests.live.ssh_site import as_user, ssh_site
from tests.live.wire import Wire

if TYPE_CHECKING:
    from adapter.results import CompletedCommand
    from tests.live.ssh_site import SshSite

FAR_FOLDER = ".adapter-live-tests"  # in the far user's home
KINDS = {"submit": r"# submit /", "poll": r"# probe", "result": r"\bsacct\b", "prepare": r"# prepare"}


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the jobs took from the first command to the last verdict, and what travelled meanwhile."""

    round_trip_s: float
    seconds: float
    channels: int
    commands: Counter[str]
    bytes_up: int


class Counts(FarTransport):
    """Counts the commands by what they are for."""

    def __init__(self, connection: dict[str, Any], **options: Any) -> None:
        super().__init__(connection, **options)
        self.commands: Counter[str] = Counter()

    async def run(self, command: str, *, stdin: str = "", timeout_s: float) -> CompletedCommand:
        """Run *command*, and count it."""
        self.commands[next((kind for kind, mark in KINDS.items() if re.search(mark, stdin)), "files")] += 1
        return await super().run(command, stdin=stdin, timeout_s=timeout_s)


class Counting(Counts, SshTransport):
    """Of the client that is used unless a backend says otherwise."""


def connection_through(wire: Wire, client: SshSite, folder: Path, *options: str) -> dict[str, Any]:
    """Return a ``connection`` that goes through *wire*; *options* are further lines of the SSH configuration."""
    config = folder / "ssh_config"
    lines = [
        "Host far", "HostName 127.0.0.1", f"Port {wire.port}", "HostKeyAlias target", "User jobu",
        f"IdentityFile {client.key}", "IdentitiesOnly yes", f"UserKnownHostsFile {client.known_hosts}", *options,
    ]  # fmt: skip
    config.write_text("\n    ".join(lines) + "\n")
    return {"kind": "ssh", "host": "far", "config": str(config)}


def far_backend(connection: dict[str, Any], workspace: str, **changes: Any) -> Backend:
    """Return the shipped Slurm over *connection*, with a *workspace* of its own in the far user's home."""
    loaded = load_backend("slurm").backend
    document = merge(loaded.document, {"workspace": f"~/{FAR_FOLDER}/{workspace}", "connection": connection, **changes})
    return backend_from(document, name="slurm", lineage=loaded.lineage)


def remove_workspace(workspace: str) -> None:
    """Remove what :func:`far_backend` left behind."""
    as_user("jobu", f"rm -rf ~/{FAR_FOLDER}/{workspace}")


async def no_op_jobs(client: SshSite, folder: Path, *, jobs: int, round_trip_s: float) -> Timing:
    """Run *jobs* tasks that do nothing, to their last verdict."""
    task = Task(name="no-op", steps=(Step(shell="true"),), resources=Resources(cpu=1, ram_bytes=50 * 1024**2))
    async with Wire(client.target_port, delay_s=round_trip_s / 2) as wire:
        connection = connection_through(wire, client, folder)
        transport = Counting(connection)
        store = SqliteStore.open(folder / f"store-{round_trip_s}.sqlite")
        began = time.monotonic()
        async with Executor(far_backend(connection, folder.name), transport=transport, store=store) as executor:
            run = await executor.submit([task] * jobs)
            ended = await executor.wait(run)
            seconds = time.monotonic() - began
    wrong = [f"{job.key} {job.verdict}: {job.message}" for job in ended if job.exit_code != 0]
    if wrong:
        raise AssertionError(f"{len(wrong)} jobs did not succeed: {wrong[:3]}")
    return Timing(round_trip_s, seconds, transport.channels_opened, transport.commands, wire.bytes_up)


async def compare(jobs: int, round_trips_s: list[float]) -> list[Timing]:
    """Measure without delay and with each of *round_trips_s*, one after the other, and print each."""
    client = ssh_site()
    timings: list[Timing] = []
    with tempfile.TemporaryDirectory(prefix="adapter-benchmark-") as name:
        try:
            for round_trip_s in (0.0, *round_trips_s):
                timing = await no_op_jobs(client, Path(name), jobs=jobs, round_trip_s=round_trip_s)
                timings.append(timing)
                ratio = timing.seconds / timings[0].seconds
                sent = ", ".join(f"{count} {kind}" for kind, count in sorted(timing.commands.items()))
                print(
                    f"{jobs} jobs, {round_trip_s * 1000:3.0f} ms round trip: {timing.seconds:5.1f} s, "
                    f"{ratio:.2f} x without delay; {timing.channels} channels ({sent}), {timing.bytes_up} bytes up",
                    flush=True,
                )
        finally:
            remove_workspace(Path(name).name)
    return timings


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--round-trip-ms", type=float, action="append", help="default: 50 and 200")
    given = parser.parse_args()
    asyncio.run(compare(given.jobs, [each / 1000 for each in given.round_trip_ms or (50, 200)]))


if __name__ == "__main__":
    main()
