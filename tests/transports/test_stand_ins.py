from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from adapter.core.batch import Command
from adapter.core.job import Job
from adapter.core.receipt import probe_step, read_probe, read_receipt, receipt_step, submit_step
from adapter.core.render import RenderedJob
from adapter.core.task import task_from
from adapter.errors import ConnectError
from adapter.results import CompletedCommand
from adapter.transports.base import Download, Transport, Upload
from adapter.transports.scripted import ScriptedTransport

JOB = Job(run="r1", index=1, task=task_from({"command": "true"}), directory="/ws/r1/0001-a b", job_id="7")


def steps(transport: Transport, *commands: Command | str) -> list[CompletedCommand | None]:
    async def story() -> list[CompletedCommand | None]:
        async with transport:
            batch = [each if isinstance(each, Command) else Command(each) for each in commands]
            return (await transport.run_batch(batch, timeout_s=1)).completed

    return asyncio.run(story())


def answers(transport: Transport, *commands: Command | str) -> list[tuple[int, str, str] | None]:
    return [each and (each.exit_code, each.stdout, each.stderr) for each in steps(transport, *commands)]


SUBMIT = submit_step(JOB, RenderedJob(script="echo hi\n", submit="toy-submit 'a b'"), "END")


def test_a_function_answers_commands_as_objects() -> None:
    seen: list[tuple[str, str]] = []

    def handler(command: Command) -> str | None:
        seen.append((command.action, str(command)))
        return "7" if command.action == "submit" else None

    transport = ScriptedTransport(handler)
    first, second = steps(transport, SUBMIT, "anything")
    assert first
    assert second
    assert read_receipt(first)[1].stdout == "7"
    assert (second.exit_code, second.stdout, second.command) == (0, "", "anything")
    assert seen == [("submit", "toy-submit 'a b'"), ("", "anything")]


def test_a_stand_in_executes_nothing_and_keeps_what_would_travel(tmp_path: Path) -> None:
    transport = ScriptedTransport()
    assert answers(transport, f"touch {tmp_path}/oops") == [(0, "", "")]
    upload = Upload(target=f"{tmp_path}/x", content=b"x")
    download = Download(folder="/f", pattern="*", to=f"{tmp_path}/y")

    async def story() -> list[list[str]]:
        await transport.put([upload])
        return await transport.get([download])

    assert asyncio.run(story()) == [[f"{tmp_path}/y/*"]]
    assert (transport.uploads, transport.downloads) == ([upload], [download])
    assert list(tmp_path.iterdir()) == []


def test_the_first_rule_whose_pattern_is_found_answers() -> None:
    refusal = CompletedCommand(command="", exit_code=3, stdout="o", stderr="e")
    transport = ScriptedTransport([("^one", "1"), ("two", lambda command: f"<{command}>"), ("t", refusal)])
    assert answers(transport, "one two", "a two", "three", "nobody") == [
        (0, "1", ""),
        (0, "<a two>", ""),
        (3, "o", "e"),
        (0, "", ""),
    ]
    assert [[str(each) for each in batch] for batch in transport.batches] == [["one two", "a two", "three", "nobody"]]
    assert transport.commands("^t") == ["three"]


def test_a_rule_may_be_an_error() -> None:
    with pytest.raises(ConnectError, match="no route"):
        answers(ScriptedTransport([("x", ConnectError("no route"))]), "x")


def test_a_scripted_machine_keeps_receipts_like_a_real_one() -> None:
    asked: list[str] = []
    transport = ScriptedTransport([("^toy-submit", lambda command: (asked.append(command), "7\n")[1])])
    (before,) = steps(transport, receipt_step(JOB))
    first, second, receipt = steps(transport, SUBMIT, SUBMIT, receipt_step(JOB))
    assert before
    assert before.exit_code == 77
    assert asked == ["toy-submit 'a b'"]
    for each in (first, second, receipt):
        assert each
        assert read_receipt(each)[1].stdout == "7\n"


def test_a_scripted_machine_shows_the_exit_files_it_was_given() -> None:
    transport = ScriptedTransport(exit_files={JOB.directory or "": "exit_code 3"})
    plain = JOB.but(directory="/ws/plain", index=2)
    transport.exit_files["/ws/plain"] = "exit_code 4"
    (answer,) = steps(transport, probe_step([JOB, plain]))
    assert answer
    probes = read_probe(answer.stdout, [JOB, plain])
    assert {key: probe.report and probe.report.exit_code for key, probe in probes.items()} == {"r1.1": 3, "r1.2": 4}
