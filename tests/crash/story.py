"""What the crash tests run: twenty jobs that each leave a line in a ledger whenever they are executed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from adapter.config.load import load_backend
from adapter.core.backend import Backend, backend_from, merge
from adapter.core.job import Job
from adapter.core.state import State
from adapter.core.task import Output, Resources, Step, Task
from adapter.execution.executor import Executor
from adapter.store.sqlite import SqliteStore
from adapter.transports import transport_for

JOBS = 20
ROOT = Path(__file__).resolve().parents[2]

# The real command, and then the shell that ran it dies with everything above it, before the answer is kept.
LOSING_SUBMIT = """\
answer=$({command}) && echo "$answer" >>{folder}/accepted
[ "$(wc -l <{folder}/accepted)" -lt {accepted} ] || kill -9 $$
echo "$answer\""""


def backend_for(name: str, folder: Path, *, losing_answers: bool = False) -> Backend:
    """Return the shipped backend *name* with its workspace in *folder*.

    ``NAME+arrays`` uses arrays. ``NAME@CLIENT`` goes through that SSH client to the host ``target`` of the
    configuration that $ADAPTER_CRASH_SSH names, which is this machine.
    """
    name, _, client = name.partition("@")
    name, _, arrays = name.partition("+")
    loaded = load_backend(name).backend
    changes: dict[str, object] = {"workspace": str(folder / "workspace"), "limits": {"arrays": bool(arrays)}}
    if client:
        config = os.environ["ADAPTER_CRASH_SSH"]
        changes["connection"] = {"kind": "ssh", "host": "target", "client": client, "config": config}
    if losing_answers:
        command = loaded.document["submit"]["command"].rstrip()
        losing = LOSING_SUBMIT.format(command="\n" + command + "\n", folder=folder, accepted=1 if arrays else 7)
        changes["submit"] = {"command": losing}
    return backend_from(merge(loaded.document, changes), name=name, lineage=loaded.lineage)


def tasks_for(folder: Path) -> list[Task]:
    """Return tasks that write in a ledger, one line an execution, and leave a file to be brought back."""
    (folder / "ledger").mkdir(exist_ok=True)
    (folder / "ledger").chmod(0o777)  # another user may run the jobs
    return [
        Task(
            name=f"job {number}",
            steps=(Step(shell=f"echo ran >>{folder}/ledger/{number}; echo result {number} >result-{number}.txt"),),
            outputs=(Output(path=f"result-{number}.txt", to=str(folder / "out")),),
            resources=Resources(cpu=0.05 if os.environ.get("SLURM_CONF") is None else 1),
        )
        for number in range(1, JOBS + 1)
    ]


def crash(folder: Path, backend_name: str, point: str) -> None:
    """Run the victim and see it die at *point*."""
    victim = subprocess.run(
        [sys.executable, "-m", "tests.crash.victim", str(folder), backend_name, point],
        cwd=ROOT, timeout=120, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert victim.returncode == -signal.SIGKILL, f"it did not die at {point}: {victim.returncode} {victim.stderr}"


def survive(folder: Path, backend_name: str) -> list[Job]:
    """Finish the run in a new executor, as any later invocation does, and return its jobs."""
    return asyncio.run(_finish(folder, backend_name))


async def _finish(folder: Path, backend_name: str) -> list[Job]:
    store = SqliteStore.open(folder / "journal.sqlite")
    run = store.find_run(store.summaries()[0].id)
    backend = backend_for(backend_name, folder)
    transport = transport_for(backend.connection, folder=folder / "private" / "links")
    async with Executor(backend, transport=transport, store=store) as executor:
        assert await executor.adopt(run.id), "the dead process still counts as the owner"
        return await asyncio.wait_for(executor.wait(run.id), 120)


def assert_nothing_lost_or_doubled(folder: Path, jobs: list[Job]) -> None:
    """Every task ran exactly once, ended well, was known by one job id, and its file is here."""
    assert [(job.index, job.state, job.message + job.collect_problem) for job in jobs] == [
        (number, State.SUCCEEDED, "") for number in range(1, JOBS + 1)
    ]
    ledger = {int(path.name): path.read_text() for path in (folder / "ledger").iterdir()}
    assert ledger == dict.fromkeys(range(1, JOBS + 1), "ran\n")
    assert len({job.job_id for job in jobs}) == JOBS
    results = {path.name: path.read_text() for path in (folder / "out").iterdir()}
    assert results == {f"result-{number}.txt": f"result {number}\n" for number in range(1, JOBS + 1)}
