"""What the live tests of container engines share: running tasks, the standard table, and a registry of our own."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter.config.load import load_backend
from adapter.core.backend import backend_from, merge
from adapter.core.task import Resources, Step, Task
from adapter.execution.executor import Executor
from adapter.store.sqlite import SqliteStore
from adapter.testkit import conformance
from adapter.testkit.conformance import Verdict
from adapter.transports.local import LocalTransport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from adapter.core.backend import Backend
    from adapter.core.job import Job

IMAGE, OTHER, SHELLLESS = "busybox:local", "tools:local", "scratch:local"
QUIET = {"network": "none"}  # no interface to make for each container
TOGETHER = {"capacity": {"cpu": 8, "ram": "8 GiB"}, "poll_seconds": [0.2, 1]}


@dataclass
class Engine:
    """A container engine with a workspace: *backend* is the shipped file, *env* what its commands need."""

    folder: Path
    backend: str
    env: Mapping[str, str]
    program: str = "docker"
    changes: dict[str, Any] = field(default_factory=dict)

    def loaded(self, **changes: Any) -> Backend:
        """Return the backend with its workspace here, and *changes* laid over."""
        shipped = load_backend(self.backend).backend
        document = merge(merge(shipped.document, {"workspace": str(self.folder / "workspace")}), self.changes)
        return backend_from(merge(document, changes), name=shipped.name, lineage=shipped.lineage)

    def executor(self, **changes: Any) -> Executor:
        """Return an executor that is not entered yet."""
        transport = LocalTransport(environment={**os.environ, **self.env})
        return Executor(self.loaded(**changes), transport=transport, store=SqliteStore.open(self.folder / "j.sqlite"))

    def run(
        self,
        *tasks: Task,
        act: Callable[[Executor, str], Awaitable[None]] | None = None,
        within_s: float = 120,
        **changes: Any,
    ) -> Sequence[Job]:
        """Run *tasks*, doing *act* meanwhile; return their jobs at the end."""

        async def inner() -> Sequence[Job]:
            async with self.executor(**changes) as executor:
                run = await executor.submit(tasks)
                if act:
                    await act(executor, run)
                return await asyncio.wait_for(executor.wait(run), within_s)

        return asyncio.run(inner())

    def say(self, *words: str) -> str:
        """Return what the engine says to *words*."""
        command = [self.program, *words]
        return subprocess.run(
            command, env={**os.environ, **self.env}, capture_output=True, text=True, check=True, cwd="/"
        ).stdout

    def left(self, jobs: Sequence[Job]) -> list[str]:
        """Return the containers that are there of the runs of *jobs*, whatever they do."""
        runs = {job.run for job in jobs}
        return [
            line
            for run in runs
            for line in self.say(
                "ps", "--all", "--filter", f"label=adapter.run={run}", "--format", "{{.Names}} {{.Status}}"
            ).splitlines()
        ]

    async def container_of(self, executor: Executor, run: str) -> str:
        """Wait until the first job of *run* has a running container; return its id."""
        for _ in range(600):
            (name, *_) = *self.say("ps", "--quiet", "--filter", f"label=adapter.run={run}").split(), ""
            if name:
                return name
            assert not executor.jobs_of(run)[0].state.is_final, executor.jobs_of(run)[0]
            await asyncio.sleep(0.1)
        raise AssertionError("no container came")

    def table(self, *, many: int, not_here: set[str], **changes: Any) -> None:
        """Run the standard table; nothing may end otherwise, and what is not here must be what was said."""

        async def inner() -> list[conformance.Outcome]:
            (self.folder / "files").mkdir()
            async with self.executor(**changes) as executor:
                return await conformance.run(
                    executor, folder=self.folder / "files", image=IMAGE, many=many, walltime_s=3
                )

        outcomes = asyncio.run(asyncio.wait_for(inner(), 300))
        assert not [(each.name, each.why) for each in outcomes if each.verdict is Verdict.UNLIKE]
        assert {each.name for each in outcomes if each.verdict is Verdict.NOT_HERE} == not_here


def sh(shell: str, image: Any = IMAGE, **more: Any) -> Task:
    """Return a task of one line for the shell; resources by their names."""
    names = {"ram_limit_bytes", "walltime_s", "cpu_limit", "disk_bytes", "ram_bytes"}
    resources = Resources(**{name: more.pop(name) for name in list(more) if name in names})
    return Task(steps=(Step(shell=shell),), image=image, resources=resources, **more)


def text_of(job: Job, name: str = "stdout") -> str:
    """Return a file of the job's directory."""
    return Path(str(job.directory), name).read_text(encoding="utf-8")


class Registry:
    """A registry with one image of one layer; ``busy`` is how often it first says that it is asked too often."""

    def __init__(self, layer: bytes, *, busy: int) -> None:
        self.busy = busy
        self.asked: list[str] = []
        packed = gzip.compress(layer, 1)
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
            }
        ).encode()
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": kind,
                "config": _named("application/vnd.docker.container.image.v1+json", config),
                "layers": [_named("application/vnd.docker.image.rootfs.diff.tar.gzip", packed)],
            }
        ).encode()
        self.blobs = {_digest(blob): blob for blob in (packed, config)}
        self.kind = kind

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Return status, type and text for *path*."""
        if path == "/v2/":
            return 200, "application/json", b"{}"
        kind, _, name = path.removeprefix("/v2/").partition("/")[2].partition("/")
        if kind == "blobs" and name in self.blobs:
            return 200, "application/octet-stream", self.blobs[name]
        if kind != "manifests":
            return _error(404, "BLOB_UNKNOWN", "blob unknown")
        self.asked.append(path)
        if len(self.asked) <= self.busy:
            return _error(429, "TOOMANYREQUESTS", "You have reached your pull rate limit.")
        if not path.startswith("/v2/there/"):
            return _error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        return 200, self.kind, self.manifest


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _named(kind: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": kind, "size": len(blob), "digest": _digest(blob)}


def _error(status: int, code: str, message: str) -> tuple[int, str, bytes]:
    return status, "application/json", json.dumps({"errors": [{"code": code, "message": message}]}).encode()


@contextmanager
def serving(registry: Registry) -> Iterator[str]:
    """Serve *registry* on this machine; give its name in an image's name."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, body = registry.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
            self.send_header("Docker-Content-Digest", _digest(body))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 (http.server looks for this name)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
