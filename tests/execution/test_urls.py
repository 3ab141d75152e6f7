"""Inputs and outputs with a URL are the service's own business: nothing of them is put or brought by us."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from adapter.core.backend import backend_from
from adapter.core.state import State
from adapter.core.task import Input, Output, Step, Task
from adapter.execution.executor import Executor
from adapter.transports.scripted import ScriptedTransport

if TYPE_CHECKING:
    from pathlib import Path

    from adapter.core.job import Job
    from adapter.store.sqlite import SqliteStore

SERVICE = backend_from({
    "name": "service",
    "workspace": "/ws",
    "document": {
        "in": {"$for": "item in inputs", "$item": {"url": "{{ item.url or item.path }}"}},
        "out": {"$for": "item in outputs", "$item": "{{ item.url }}"},
    },
    "submit": {"command": "post {{ script }}", "json": {"job_id": "id"}},
    "monitor": {"command": "ask {{ job_ids | words }}", "json": {"job_id": "id", "state": "s"},
                "states": {"succeeded": ["D"]}},
    "kill": {"command": "stop {{ job_id }}"},
    "limits": {"poll_seconds": [0.01, 0.02]},
})  # fmt: skip


RULES = [("^post", '{"id": "j1"}'), ("^ask", '[{"id": "j1", "s": "D"}]'), ("^# prepare", "/ws\n")]


def test_what_has_a_url_is_neither_put_nor_brought(store: SqliteStore, tmp_path: Path) -> None:
    here = tmp_path / "here.txt"
    here.write_text("x")
    task = Task(
        steps=(Step(argv=("true",)),),
        inputs=(Input(url="s3://b/in", to="far"), Input(path=str(here), to="near")),
        outputs=(Output(path="a", url="s3://b/out"), Output(path="b", to=str(tmp_path), optional=True)),
    )
    transport = ScriptedTransport(
        [("^post", '{"id": "j1"}'), ("^ask", '[{"id": "j1", "s": "D"}]'), ("^# prepare", "/ws\n")]
    )

    async def story() -> Job:
        async with Executor(SERVICE, transport=transport, store=store) as executor:
            run = await executor.submit([task])
            return (await asyncio.wait_for(executor.wait(run), 30))[0]

    job = asyncio.run(story())
    assert (job.state, job.collect_problem) == (State.SUCCEEDED, "")
    assert [upload.path for upload in transport.uploads] == [str(here)]
    assert [download.pattern for download in transport.downloads] == ["b"]


def test_a_task_whose_outputs_all_have_a_url_is_collected_at_once(store: SqliteStore) -> None:
    task = Task(steps=(Step(argv=("true",)),), outputs=(Output(path="a", url="s3://b/out"),))
    transport = ScriptedTransport(
        [("^post", '{"id": "j1"}'), ("^ask", '[{"id": "j1", "s": "D"}]'), ("^# prepare", "/ws\n")]
    )

    async def story() -> Job:
        async with Executor(SERVICE, transport=transport, store=store) as executor:
            return (await asyncio.wait_for(executor.wait(await executor.submit([task])), 30))[0]

    assert asyncio.run(story()).state is State.SUCCEEDED
    assert transport.downloads == []
