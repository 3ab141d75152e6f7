"""Twelve thousand spoilt answers to steps of our own: exit files, receipts, sizes. None raises but as it should."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from adapter.core import bounds
from adapter.core.batch import Command, read_batch
from adapter.core.clean import read_found, read_store
from adapter.core.exit_file import parse_exit_file
from adapter.core.job import Job
from adapter.core.receipt import SubmitStatus, read_probe, read_receipt
from adapter.core.task import Step, Task
from adapter.errors import AdapterError
from adapter.execution.logs import Logs
from adapter.execution.preflight import program_rows, space_row, workspace_rows
from adapter.execution.scheduler_client import SchedulerClient
from adapter.results import CompletedCommand
from adapter.transports.scripted import ScriptedTransport

from .mutations import ALL
from .seeds import backend

EACH = 1500
EXIT_FILE = (
    "exit_code 3\nreason time_limit\nmessage it ended\njob_id 12.server\nstarted 1700000000\nended 1700000012\n"
    "user 0m1.50s\nsystem 1m0.25s\npeak_ram_bytes 1048576\n" + " " * 200 + "\n"
)
JOBS = [
    Job(run="fuzz", index=index, task=Task(steps=(Step(argv=("true",)),)), directory=f"/w/{index}", job_id=str(index))
    for index in (1, 2, 3)
]


def an_exit_file(text: str) -> None:
    report = parse_exit_file(text)
    if report is None:
        return
    assert 0 <= report.exit_code <= 255
    assert re.search(rf"^\s*exit_code\s+0*{report.exit_code}\s*$", text, re.MULTILINE)
    assert report.job_id is None or bounds.job_id(report.job_id)
    assert all(amount is None or 0 <= amount < 1e30 for amount in (getattr(report.usage, n) for n in USAGE))
    (report.message + (report.job_id or "")).encode()


USAGE = ("wall_s", "user_s", "system_s", "cpu_s", "peak_ram_bytes")


def a_receipt(text: str) -> None:
    receipt, own = read_receipt(CompletedCommand(command="x", exit_code=0, stdout=text, stderr=""))
    assert receipt.status in {SubmitStatus.ANSWERED, SubmitStatus.INTERRUPTED}
    if receipt.status is SubmitStatus.ANSWERED:
        assert receipt.exit_code == own.exit_code
        assert re.search(rf"\nreceipt\s+0*{receipt.exit_code}\s*\Z", text)


def a_probe(text: str) -> None:
    for key, probe in read_probe(text, JOBS).items():
        assert key in {job.key for job in JOBS}
        assert probe.job_id is None or bounds.job_id(probe.job_id)
        if probe.report and probe.report.exit_code == 0:
            number = next(n for n, job in enumerate(JOBS) if job.key == key)
            assert re.search(rf"^@\s*0*{number}\s*\n(?:(?!@).*\n)*?=\s*exit_code 0+\s*$", text, re.MULTILINE)


def a_frame(text: str) -> None:
    result = read_batch(["a", "b"], "NONCE", text, text)
    for answer in result.completed if result else ():
        assert answer is None or 0 <= answer.exit_code <= 999
        if answer:
            (answer.stdout + answer.stderr + answer.words).encode()


def sizes(text: str) -> None:
    for found in read_found(text).values():
        assert 0 <= found.size_bytes < 1e19
    store = read_store(text)
    assert all(re.fullmatch(r"[0-9a-z.-]+", name) for name in (*store.unlinked, *store.linked, *store.left_behind))


def a_check(text: str) -> None:
    rows = [*program_rows(text.splitlines(), {}), space_row(text)]
    rows += workspace_rows("/w", CompletedCommand(command="x", exit_code=0, stdout=text, stderr=""))
    assert all(row.name for row in rows)


class Said(ScriptedTransport):
    """A machine that says the same to all that it is asked."""

    def _step(self, command: Command) -> CompletedCommand:
        return self._answer(command)


def a_preparation(text: str) -> None:
    client = SchedulerClient(backend("local"), Said([("", text)]))
    try:
        asyncio.run(client.prepare())
    except AdapterError:
        return
    assert client.workspace.startswith("/")
    assert all(0 < amount < 1e30 for amount in client.capacity.values())


def a_log(text: str) -> None:
    async def read() -> Any:
        logs = Logs(SchedulerClient(backend("local"), Said([("", text)])))
        found = await logs.read_bytes(JOBS[0], {"stdout": 0}, most=100)
        return found, await logs.read(JOBS[0], "stdout", offset=0, lines=None)

    try:
        _, (_, size) = asyncio.run(read())
    except AdapterError:
        return
    assert size >= 0


KINDS: dict[str, tuple[Callable[[str], None], str]] = {
    "exit file": (an_exit_file, EXIT_FILE),
    "receipt": (a_receipt, "job 7\n\nreceipt 0\n"),
    "probe": (a_probe, "@0\nby 12.server\n@0\n=exit_code 3\n=\n@1\n=exit_code 0\n=job_id 2\n@2\nby 3\n"),
    "frame": (a_frame, "noise\nNONCE 0 start\nout\n\nNONCE 0 end 0\n\nNONCE 1 start\n\nNONCE 1 end 12\n"),
    "sizes": (
        sizes,
        f"removed 12 0001-a\nfailed 4 0002-b it is busy\nunlinked 8 {'a' * 64}\nlinked 8 {'b' * 64}\n"
        "out 4 out-0123456789ab\n",
    ),
    "check": (a_check, "workspace /w\nwritable yes\nspace /dev/x 1000 200 800 20% /\ntar /bin/tar\nfind /bin/find\n"),
    "preparation": (a_preparation, "/home/me/.adapter\ncpu 4\nram 8589934592\n"),
    "log": (a_log, "12\n 68 65 6c 6c 6f\n 20\n"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_spoilt_step_raises_or_makes_a_success(kind: str) -> None:
    random = Random(f"steps: {kind}")
    read, seed = KINDS[kind]
    for number in range(EACH):
        text = seed
        mutations = [random.choice(ALL) for _ in range(random.choice((1, 1, 2, 3)))]
        for mutation in mutations:
            text = mutation(random, text)
        try:
            read(bounds.storable(text) if kind != "frame" else text)
        except Exception as error:
            error.add_note(f"{number}: {[each.__name__ for each in mutations]} {text[:1000]!r}")
            raise
