"""tes.yaml: its documents against the published form, and whole runs over the real curl against a server in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from adapter.core.answers import classify
from adapter.core.backend import Backend, backend_from, merge
from adapter.core.job import Job
from adapter.core.render import render_job
from adapter.core.state import Reason, State
from adapter.core.task import Task, task_from
from adapter.errors import AuthenticationError, RenderError, UnsupportedImage, UnsupportedResource
from adapter.execution.executor import Executor
from adapter.store.sqlite import SqliteStore
from adapter.transports.local import LocalTransport
from tests.core.samples import job_of, shipped_document
from tests.execution.stage import Clock
from tests.fakes.tes import PASSWORD, USER, Answer, Tes, attempt, basic, complete, failed, serving

FORM = jsonschema.Draft202012Validator(
    json.loads((Path(__file__).parents[1] / "schemas" / "tes-1.1.schema.json").read_text(encoding="utf-8"))
)
DONE = (State.SUCCEEDED, None)


def tes(**over: Any) -> Backend:
    document = merge(merge(shipped_document("http-json"), shipped_document("tes")), over)
    return backend_from(document, name="tes", lineage=("tes", "http-json"))


# -- documents


def document(task: dict[str, Any], **values: Any) -> dict[str, Any]:
    """The document for *task*, in the workspace /ws, in which the job's directory is /ws/r1/0001-t."""
    job = job_of({"name": "t", "image": "alpine", **task})
    rendered: dict[str, Any] = json.loads(render_job(tes(values=values), job, "/ws").script)
    FORM.validate(rendered)
    return rendered


def test_the_smallest_task() -> None:
    assert document({"command": ["true"]}) == {
        "name": "t",
        "tags": {"adapter_run": "r1", "adapter_token": "adapter-r1-1-1"},
        "volumes": ["/work"],
        "executors": [{"image": "alpine", "command": ["true"], "workdir": "/work"}],
    }


def test_resources_are_whole_processors_and_gigabytes_of_a_thousand() -> None:
    asked = {"cpu": 1.2, "ram": "512 MiB", "disk": "3 GB", "preemptible": True, "queue": "zone-a"}
    assert document({"command": "true", "resources": asked})["resources"] == {
        "cpu_cores": 2,
        "ram_gb": 0.537,
        "disk_gb": 3.0,
        "preemptible": True,
        "zones": ["zone-a"],
    }


def test_a_site_gives_zones_and_backend_parameters() -> None:
    made = document(
        {"command": "true"}, zones=["a", "b"], backend_parameters={"vm": "big"}, backend_parameters_strict=True
    )
    assert made["resources"] == {
        "zones": ["a", "b"],
        "backend_parameters": {"vm": "big"},
        "backend_parameters_strict": True,
    }


def test_inputs_are_content_url_or_a_file_where_we_put_it() -> None:
    inputs = [
        {"content": "literal\n", "to": "a.txt"},
        {"content": "", "to": "empty"},
        {"content": "x" * 32769, "to": "long"},
        {"path": "/here/b.bin", "to": "in/b.bin"},
        {"path": "/here/tree", "to": "tree", "folder": True},
        {"url": "s3://bucket/c", "to": "c"},
        {"url": "https://example.org/d/", "to": "d", "folder": True},
    ]
    work = "file:///ws/r1/0001-t/work"
    assert document({"command": "true", "inputs": inputs})["inputs"] == [
        {"path": "/work/a.txt", "content": "literal\n", "type": "FILE"},
        {"path": "/work/empty", "url": f"{work}/empty", "type": "FILE"},
        {"path": "/work/long", "url": f"{work}/long", "type": "FILE"},
        {"path": "/work/in/b.bin", "url": f"{work}/in/b.bin", "type": "FILE"},
        {"path": "/work/tree", "url": f"{work}/tree", "type": "DIRECTORY"},
        {"path": "/work/c", "url": "s3://bucket/c", "type": "FILE"},
        {"path": "/work/d", "url": "https://example.org/d/", "type": "DIRECTORY"},
    ]


def test_outputs_go_where_the_collector_looks_or_to_their_url() -> None:
    outputs = [
        "out.txt",
        "sub/*.txt",
        "res/",
        {"path": "maybe.log", "optional": True},
        {"path": "a.bam", "url": "s3://bucket/a.bam", "optional": True},
        {"path": "o/*.bam", "url": "s3://bucket/dir"},
        {"path": "*.bai", "url": "s3://bucket/dir/"},
    ]
    work = "file:///ws/r1/0001-t/work"
    assert document({"command": "true", "outputs": outputs})["outputs"] == [
        {"path": "/work/out.txt", "url": f"{work}/out.txt", "type": "FILE"},
        {"path": "/work/sub/*.txt", "url": work, "path_prefix": "/work", "type": "FILE"},
        {"path": "/work/res", "url": f"{work}/res", "type": "DIRECTORY"},
        {"path": "/work/maybe.log*", "url": work, "path_prefix": "/work", "type": "FILE"},
        {"path": "/work/a.bam", "url": "s3://bucket/a.bam", "type": "FILE"},
        {"path": "/work/o/*.bam", "url": "s3://bucket/dir", "path_prefix": "/work", "type": "FILE"},
        {"path": "/work/*.bai", "url": "s3://bucket/dir/", "path_prefix": "/work/", "type": "FILE"},
    ]


def test_each_step_is_an_executor_with_its_own_image_and_files() -> None:
    steps = [
        {"argv": ["make", "a b"], "stdout": "made.txt", "env": {"B": "2"}, "ignore_error": True},
        {"shell": "sort", "image": "oras://reg.example/sort:1", "workdir": "sub", "stdin": "in", "stderr": "/v/err"},
        {"argv": ["ls"], "image": "library://u/c/ls:1", "workdir": "/v"},
    ]
    made = document({"steps": steps, "env": {"A": "1"}, "volumes": ["/v"]})
    assert made["volumes"] == ["/v", "/work"]
    assert made["executors"] == [
        {
            "image": "alpine",
            "command": ["make", "a b"],
            "workdir": "/work",
            "env": {"A": "1", "B": "2"},
            "stdout": "/work/made.txt",
            "ignore_error": True,
        },
        {
            "image": "oras://reg.example/sort:1",
            "command": ["sh", "-c", "sort"],
            "workdir": "/work/sub",
            "env": {"A": "1"},
            "stdin": "/work/sub/in",
            "stderr": "/v/err",
        },
        {"image": "library://u/c/ls:1", "command": ["ls"], "workdir": "/v", "env": {"A": "1"}},
    ]


def test_the_tasks_own_files_and_folder() -> None:
    made = document({"command": ["cat"], "stdin": "in", "stdout": "out", "stderr": "err", "workdir": "/data/x"})
    assert made["volumes"] == ["/data/x"]
    assert made["executors"] == [
        {
            "image": "alpine",
            "command": ["cat"],
            "workdir": "/data/x",
            "stdin": "/data/x/in",
            "stdout": "/data/x/out",
            "stderr": "/data/x/err",
        }
    ]
    with pytest.raises(RenderError, match="a task of several steps cannot have one file for stdout"):
        document({"steps": ["true", "true"], "stdout": "out"})


def test_the_images_shell_stands_in_where_a_server_loses_variables_and_stdin() -> None:
    made = document({"steps": ["env", "sort"], "env": {"A": "x y", "B": "="}, "stdin": "in"}, image_shell=True)
    before = ["env", "A=x y", "B==", "sh", "-c", 'exec "$@" <"$0"', "/work/in", "sh", "-c"]
    assert made["executors"] == [
        {"image": "alpine", "command": [*before, "env"], "workdir": "/work"},
        {"image": "alpine", "command": [*before, "sort"], "workdir": "/work"},
    ]


def test_other_work_folders() -> None:
    made = document(
        {"command": "true", "inputs": [{"content": "x", "to": "x"}]}, workdir="/data/w", workdir_is_volume=False
    )
    assert "volumes" not in made
    assert (made["inputs"][0]["path"], made["executors"][0]["workdir"]) == ("/data/w/x", "/data/w")


@pytest.mark.parametrize(
    ("task", "error", "words"),
    [
        ({"image": None}, UnsupportedResource, "step without an image"),
        ({"image": "file:///images/a.sif"}, UnsupportedImage, "takes docker://, library://, oras://"),
        ({"resources": {"walltime": "1h"}}, UnsupportedResource, "no way to ask for walltime"),
        ({"resources": {"gpu": 1}}, UnsupportedResource, "no way to ask for gpu"),
    ],
    ids=["no image", "file image", "walltime", "gpu"],
)
def test_what_tes_cannot_do_is_refused(task: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        document({"command": "true", **task})


@pytest.mark.parametrize(
    "wrong",
    [
        {"executors": []},
        {"executors": [{"image": "a", "command": "true"}]},
        {"executors": [{"image": "a", "command": ["true"], "workdir": "here"}]},
        {"executors": [{"image": "a", "command": ["true"]}], "walltime": 3},
        {"executors": [{"image": "a", "command": ["true"]}], "resources": {"cpu_cores": 1.5}},
        {"executors": [{"image": "a", "command": ["true"]}], "inputs": [{"path": "/a", "content": "x", "url": "y"}]},
        {"executors": [{"image": "a", "command": ["true"]}], "outputs": [{"path": "/a*", "url": "y"}]},
        {"executors": [{"image": "a", "command": ["true"]}], "tags": {"n": 1}},
    ],
    ids=["no executors", "text", "relative", "unknown", "fraction", "content and url", "no prefix", "number"],
)
def test_the_published_form_refuses_what_it_has_to(wrong: dict[str, Any]) -> None:
    assert not FORM.is_valid(wrong)


# -- whole runs


@pytest.fixture
def server() -> Iterator[Tes]:
    with serving(Tes()) as running:
        yield running


@dataclass
class Story:
    """What became of a run, and what was said meanwhile."""

    jobs: list[Job] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)

    @property
    def ends(self) -> list[tuple[State, Reason | None]]:
        return [(job.state, job.reason) for job in self.jobs]


def tasks(count: int = 1, **more: Any) -> list[Task]:
    return [task_from({"name": f"t{n}", "command": "true", "image": "alpine", **more}) for n in range(1, count + 1)]


During = Callable[[Executor, str], Awaitable[None]]


def play(
    server: Tes,
    folder: Path,
    work: list[Task],
    during: During | None = None,
    secrets: dict[str, str] | None = None,
    **over: Any,
) -> Story:
    """Submit *work* and wait for its end, or for *during*'s."""
    values = {"url": server.url, "retry_wait": 0}
    backend = tes(**merge({"workspace": str(folder / "ws"), "values": values}, over))
    story = Story()
    store = SqliteStore.open(folder / "journal.sqlite")

    async def whole() -> None:
        executor = Executor(
            backend,
            transport=LocalTransport(),
            store=store,
            clock=Clock(),
            secrets=secrets,
            on_event=lambda event: story.events.append((event.kind, event.text)),
        )
        async with executor, asyncio.timeout(60):
            run = await executor.submit(work)
            if during:
                await during(executor, run)
            story.jobs = await executor.wait(run)

    try:
        asyncio.run(whole())
    finally:
        store.close()
    return story


def test_each_task_is_one_post_and_each_poll_as_many_requests_as_there_are_pages(server: Tes, tmp_path: Path) -> None:
    server.ends = lambda task: complete() if task["name"] != "t3" else failed(3)
    story = play(server, tmp_path, tasks(5), values={"page_size": 2})
    assert story.ends == [DONE, DONE, (State.FAILED, Reason.EXIT_CODE), DONE, DONE]
    assert [job.exit_code for job in story.jobs] == [0, 0, 3, 0, 0]
    assert server.count("POST", "/tasks") == 5
    asked = [
        (poll.query["tag_key"], poll.query["tag_value"], poll.query["page_size"], poll.query.get("page_token"))
        for poll in server.polls()
    ]
    run = story.jobs[0].run
    pages = [(["adapter_run"], [run], ["2"], token) for token in (None, ["2"], ["4"])]
    assert asked == pages * 2  # the first poll shows them queued, the second ended
    assert {poll.query["view"][0] for poll in server.polls()} == {"MINIMAL"}
    assert len(server.requests) == 5 + 6 + 5  # and one question about each that ended


def test_a_post_answered_503_after_it_was_taken_in_is_not_repeated(server: Tes, tmp_path: Path) -> None:
    server.after_post = [Answer(503), Answer(502)]
    story = play(server, tmp_path, tasks(3))
    assert story.ends == [DONE] * 3
    assert server.count("POST", "/tasks") == 3
    assert sorted(task["name"] for task in server.tasks.values()) == ["t1", "t2", "t3"]
    assert any(poll.query["view"] == ["BASIC"] for poll in server.polls())  # looked for by its token


def test_a_post_that_was_not_taken_in_is_repeated_only_after_a_look(server: Tes, tmp_path: Path) -> None:
    server.before_post = [Answer(503), Answer(409)]
    story = play(server, tmp_path, tasks(2))
    assert story.ends == [DONE] * 2
    assert sorted(task["name"] for task in server.tasks.values()) == ["t1", "t2"]
    methods = [
        "POST" if one.method == "POST" else "look" for one in server.requests
        if one.path.endswith("/tasks") and one.query.get("view") != ["MINIMAL"]
    ]  # fmt: skip
    assert methods[:2] == ["POST", "POST"]
    assert methods[2] == "look"
    assert methods.count("POST") == 4


def test_too_many_requests_is_waited_for(server: Tes, tmp_path: Path) -> None:
    server.before_post = [Answer(429)] * 2
    story = play(server, tmp_path, tasks(2))
    assert story.ends == [DONE] * 2
    assert len(server.tasks) == 2
    assert "submit_waits" in [what for what, _ in story.events]


def test_a_bad_task_fails_alone_with_the_servers_words(server: Tes, tmp_path: Path) -> None:
    server.before_post = [Answer(400, '{"error": "invalid task message: no such zone"}')]
    story = play(server, tmp_path, tasks(2))
    assert story.ends == [(State.FAILED, Reason.SUBMIT_REFUSED), DONE]
    assert "HTTP status 400" in story.jobs[0].message
    assert "no such zone" in story.jobs[0].message


PAGE = "<!DOCTYPE html><html><body>Sign in</body></html>"
NO_LISTS = {
    "500": Answer(500),
    "gateway": Answer(504, PAGE),
    "a page": Answer(200, PAGE),
    "nothing": Answer(200, ""),
    "an object": Answer(200, "{}"),
    "an error": Answer(200, '{"error": "no"}'),
    "half": Answer(200, '{"tasks": [{"id": "t0001", "state": "SYSTEM_ERR'),
    "not found": Answer(404),
    "forbidden words": Answer(400, '{"error": "bad page_token"}'),
}


@pytest.mark.parametrize("answer", NO_LISTS.values(), ids=NO_LISTS)
def test_a_failed_listing_fails_no_task(server: Tes, tmp_path: Path, answer: Answer) -> None:
    server.lists = [answer] * 8
    server.ends = lambda task: complete()
    story = play(server, tmp_path, tasks(2), values={"get_tries": 1}, monitor={"absent": {"gone_after": "1s"}})
    assert story.ends == [DONE] * 2
    assert server.lists == []
    assert any(what == "monitor_failed" for what, _ in story.events)


def test_a_get_that_stumbles_once_is_not_even_noticed(server: Tes, tmp_path: Path) -> None:
    server.lists, server.gets = [Answer(503), Answer(502)], [Answer(500)]
    story = play(server, tmp_path, tasks(1))
    assert story.ends == [DONE]
    assert "monitor_failed" not in [what for what, _ in story.events]


def test_who_is_not_believed_stops_and_loses_nothing(server: Tes, tmp_path: Path) -> None:
    server.auth = (basic(USER, PASSWORD),)
    with pytest.raises(AuthenticationError, match="HTTP status 401"):
        play(server, tmp_path, tasks(3), values={"user": USER}, secrets={"password": "wrong-one"})
    assert server.tasks == {}
    store = SqliteStore.open(tmp_path / "journal.sqlite")
    run = store.find_run(store.summaries()[0].id)
    assert [job.state for job in store.jobs(run.id)] == [State.WAITING] * 3
    store.close()
    assert len(server.requests) <= 3


def test_basic_and_bearer(server: Tes, tmp_path: Path) -> None:
    server.auth = (basic(USER, PASSWORD), "Bearer a.b-c")
    first = play(server, tmp_path / "1", tasks(1), values={"user": USER}, secrets={"password": PASSWORD, "token": ""})
    second = play(server, tmp_path / "2", tasks(1), secrets={"token": "a.b-c"})
    assert first.ends + second.ends == [DONE, DONE]


@pytest.mark.parametrize(
    ("end", "state", "reason", "exit_code", "words"),
    [
        (complete(), State.SUCCEEDED, None, 0, ""),
        (failed(3), State.FAILED, Reason.EXIT_CODE, 3, ""),
        (failed(137), State.FAILED, Reason.SIGNAL, 137, ""),
        (failed(0, 4), State.FAILED, Reason.EXIT_CODE, 4, ""),
        (failed(4, 0, 5), State.FAILED, Reason.EXIT_CODE, 5, ""),  # the first was ignored
        ({"state": "COMPLETE", "logs": [attempt(4, 0)]}, State.SUCCEEDED, None, 0, ""),
        ({"state": "EXECUTOR_ERROR", "logs": [attempt(9), attempt(2)]}, State.FAILED, Reason.EXIT_CODE, 2, ""),
        ({"state": "EXECUTOR_ERROR", "logs": []}, State.FAILED, None, None, "EXECUTOR_ERROR"),
        (
            {"state": "SYSTEM_ERROR", "logs": [attempt(0, system_logs=("level='info' msg='x'", "disk full"))]},
            State.FAILED, Reason.SYSTEM, None, "the scheduler says SYSTEM_ERROR (disk full)",
        ),
        ({"state": "SYSTEM_ERROR", "logs": []}, State.FAILED, Reason.SYSTEM, None, "SYSTEM_ERROR"),
        ({"state": "PREEMPTED", "logs": [attempt()]}, State.FAILED, Reason.PREEMPTED, None, "PREEMPTED"),
        ({"state": "CANCELED", "logs": [attempt(0)]}, State.KILLED, Reason.KILLED_BY_OTHER, None, ""),
    ],
)  # fmt: skip
def test_how_tasks_end(
    server: Tes, tmp_path: Path, end: dict[str, Any], state: State, reason: Reason | None, exit_code: int, words: str
) -> None:
    server.ends = lambda task: end
    job = play(server, tmp_path, tasks(1)).jobs[0]
    assert (job.state, job.reason, job.exit_code) == (state, reason, exit_code)
    assert words in job.message


def test_an_exit_code_that_the_task_allows_is_success(server: Tes, tmp_path: Path) -> None:
    server.ends = lambda task: failed(3)
    story = play(server, tmp_path, tasks(1, allowed_exit_codes=[0, 3]))
    assert story.ends == [DONE]


def test_a_server_without_tag_filters_shows_others_tasks_which_disturb_nobody(server: Tes, tmp_path: Path) -> None:
    server.by_tag = False
    for number in range(5):
        server.tasks[f"other{number}"] = {"id": f"other{number}", "state": "SYSTEM_ERROR", "logs": [], "looks": 9}
    server.after_post = [Answer(503)]  # and a token is found among theirs
    story = play(server, tmp_path, tasks(2), values={"page_size": 3})
    assert story.ends == [DONE] * 2
    assert len(server.tasks) == 7


def test_the_other_root_and_a_slash_too_many(server: Tes, tmp_path: Path) -> None:
    url = server.url.replace("/ga4gh/tes", "") + "/"
    assert play(server, tmp_path, tasks(1), values={"url": url}).ends == [DONE]
    assert {request.path.split("/tasks")[0] for request in server.requests} == {"/v1"}


def test_a_task_that_the_server_forgot_is_lost_only_after_its_grace_period(server: Tes, tmp_path: Path) -> None:
    async def forget(executor: Executor, run: str) -> None:
        async for jobs in executor.watch(run):
            if all(job.job_id for job in jobs):
                server.tasks.pop("t0001")
                return

    server.ends = lambda task: {"state": "RUNNING"} if task["looks"] < 3 else complete()
    story = play(server, tmp_path, tasks(1), forget, monitor={"absent": {"gone_after": "20s"}})
    assert story.ends == [(State.LOST, Reason.VANISHED)]
    assert len(server.polls()) > 5


def test_a_cancel_is_sent_once_and_again_only_where_it_failed(server: Tes, tmp_path: Path) -> None:
    async def kill(executor: Executor, run: str) -> None:
        async for jobs in executor.watch(run):
            if all(job.job_id for job in jobs):
                await executor.kill(run)
                return

    server.ends = lambda task: {"state": "RUNNING"}
    server.cancels = [Answer(503)]
    story = play(server, tmp_path, tasks(2), kill)
    assert story.ends == [(State.KILLED, Reason.KILLED_BY_USER)] * 2
    assert server.count("POST", ":cancel") == 3
    assert [what for what, _ in story.events].count("kill_failed") == 1


def test_cancelling_what_is_gone_is_done(server: Tes, tmp_path: Path) -> None:
    async def kill_again(executor: Executor, run: str) -> None:
        jobs = await executor.wait(run)
        server.tasks.clear()
        (said,) = (await executor.client.kill(jobs)).values()
        assert said is None or classify(executor.backend, said) == "gone"

    assert play(server, tmp_path, tasks(1), kill_again).ends == [DONE]


def test_logs_are_those_of_all_steps_of_the_last_attempt(server: Tes, tmp_path: Path) -> None:
    read: list[str] = []

    async def look(executor: Executor, run: str) -> None:
        job = (await executor.wait(run))[0]
        for stream in ("stdout", "stderr"):
            read.append((await executor.read_log(job, stream))[0])

    server.ends = lambda task: {"state": "EXECUTOR_ERROR", "logs": [attempt(9), attempt(0, 2)]}
    play(server, tmp_path, tasks(1), look)
    assert read == ["out 1\nout 2\n", "err 1\nerr 2\n"]
