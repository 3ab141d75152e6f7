"""A TES server in memory, over real HTTP, with faults to order. Its tasks run nothing: a test says how they end."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

USER, PASSWORD = "ada", 'pa"ss\\word of 1843'
TOKEN = "bearer-token-0815"
ROOTS = ("/ga4gh/tes/v1", "/v1")
HIDDEN_IN_BASIC = ("stdout", "stderr")


@dataclass
class Request:
    """What came in."""

    method: str
    path: str
    query: dict[str, list[str]]
    authorization: str | None
    body: bytes


@dataclass
class Answer:
    """What goes out instead of what would: ``html`` is no JSON."""

    status: int
    text: str = '{"error": "made by the test"}'


@dataclass
class Tes:
    """The server. Faults are used up one by one, each by the next request of its kind.

    ``before_post``: answers to a POST that is not taken in. ``after_post``: answers to one that is. ``lists``: answers
    to listings. ``gets``: answers to questions about one task. ``cancels``: answers to a cancel that is not done.
    ``by_tag``: whether it filters by tags (1.1). ``delay_s``: how long every answer takes.
    ``ends``: what becomes of a task after it was shown once: its state, exit codes and system logs.
    """

    auth: tuple[str, ...] = ()
    by_tag: bool = True
    delay_s: float = 0.0
    before_post: list[Answer] = field(default_factory=list)
    after_post: list[Answer] = field(default_factory=list)
    lists: list[Answer] = field(default_factory=list)
    gets: list[Answer] = field(default_factory=list)
    cancels: list[Answer] = field(default_factory=list)
    ends: Callable[[dict[str, Any]], dict[str, Any]] = lambda task: complete()
    most_a_page: int = 2047
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    port: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/ga4gh/tes/v1"

    def count(self, method: str, suffix: str) -> int:
        return sum(request.method == method and request.path.endswith(suffix) for request in self.requests)

    def polls(self) -> list[Request]:
        return [one for one in self.requests if one.method == "GET" and one.path.endswith("/tasks")]

    def answer(self, request: Request) -> Answer:
        time.sleep(self.delay_s)
        with self._lock:
            self.requests.append(request)
            if self.auth and request.authorization not in self.auth:
                return Answer(401, '{"error": "Basic-authentication failed"}')
            root = next((root for root in ROOTS if request.path.startswith(f"{root}/tasks")), None)
            if root is None:
                return Answer(404, '{"error": "no such address"}')
            rest = request.path.removeprefix(f"{root}/tasks").lstrip("/")
            if request.method == "POST" and not rest:
                return self._create(request)
            if request.method == "POST" and rest.endswith(":cancel"):
                return self._cancel(rest.removesuffix(":cancel"))
            return self._get(rest, request) if rest else self._list(request)

    def _create(self, request: Request) -> Answer:
        if self.before_post:
            return self.before_post.pop(0)
        task = json.loads(request.body)
        task_id = f"t{len(self.tasks) + 1:04d}"
        self.tasks[task_id] = {**task, "id": task_id, "state": "QUEUED", "logs": [], "looks": 0}
        return self.after_post.pop(0) if self.after_post else good({"id": task_id})

    def _cancel(self, task_id: str) -> Answer:
        if task_id not in self.tasks:
            return Answer(404, '{"error": "task not found"}')
        if self.cancels:
            return self.cancels.pop(0)
        if self.tasks[task_id]["state"] in {"QUEUED", "RUNNING"}:
            self.tasks[task_id].update(state="CANCELED", logs=[])
        return good({})

    def _get(self, task_id: str, request: Request) -> Answer:
        if self.gets:
            return self.gets.pop(0)
        if task_id not in self.tasks:
            return Answer(404, '{"error": "task not found"}')
        return good(seen(self.tasks[task_id], request.query.get("view", ["MINIMAL"])[0]))

    def _list(self, request: Request) -> Answer:
        if self.lists:
            return self.lists.pop(0)
        keys, values = request.query.get("tag_key", []), request.query.get("tag_value", [])
        pairs = dict(zip(keys, values, strict=False)) if self.by_tag else {}
        found = [
            task for task in reversed(self.tasks.values())
            if all(task.get("tags", {}).get(key) == value for key, value in pairs.items())
        ]  # fmt: skip
        first = int(request.query.get("page_token", ["0"])[0])
        size = min(int(request.query.get("page_size", ["256"])[0]), self.most_a_page)
        shown = found[first : first + size]
        view = request.query.get("view", ["MINIMAL"])[0]
        answer: dict[str, Any] = {"tasks": [seen(task, view) for task in shown]}
        if first + size < len(found):
            answer["next_page_token"] = str(first + size)
        for task in shown:
            self._go_on(task)
        return good(answer)

    def _go_on(self, task: dict[str, Any]) -> None:
        task["looks"] += 1
        if task["looks"] == 1 and task["state"] == "QUEUED":
            task.update(self.ends(task))


def good(body: Any) -> Answer:
    return Answer(200, json.dumps(body, indent=2))


def seen(task: dict[str, Any], view: str) -> dict[str, Any]:
    """*task* as *view* shows it."""
    if view == "MINIMAL":
        return {"id": task["id"], "state": task["state"]}
    shown = {key: value for key, value in task.items() if key != "looks"}
    if view == "FULL":
        return shown
    shown["logs"] = [
        {
            **{key: value for key, value in attempt.items() if key != "system_logs"},
            "logs": [
                {key: value for key, value in log.items() if key not in HIDDEN_IN_BASIC} for log in attempt["logs"]
            ],
        }
        for attempt in task["logs"]
    ]
    return shown


def attempt(*exit_codes: int, system_logs: tuple[str, ...] = ()) -> dict[str, Any]:
    logs = [{"exit_code": code, "stdout": f"out {n}\n", "stderr": f"err {n}\n"} for n, code in enumerate(exit_codes, 1)]
    return {"logs": logs, "outputs": [], "system_logs": list(system_logs)}


def complete() -> dict[str, Any]:
    return {"state": "COMPLETE", "logs": [attempt(0)]}


def failed(*exit_codes: int) -> dict[str, Any]:
    return {"state": "EXECUTOR_ERROR", "logs": [attempt(*exit_codes)]}


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@contextmanager
def serving(server: Tes) -> Iterator[Tes]:
    """Let *server* answer on a port of its own, until the end."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            query = parse_qs(parts.query, keep_blank_values=True)
            answer = server.answer(Request(self.command, parts.path, query, self.headers["Authorization"], body))
            content = answer.text.encode()
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *args: Any) -> None:
            """Nothing is printed."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server.port = http.server_address[1]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
