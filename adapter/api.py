"""The library for engineers: :func:`connect` for asyncio, :class:`Session` and :func:`run` for code without it.

::

    async with adapter.connect("cluster") as executor:
        run = await executor.submit([adapter.Task(steps=[adapter.Step(argv=["python", "train.py"])])])
        for job in await executor.wait(run):
            job.raise_unless_succeeded()
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from adapter.config.load import load_backend
from adapter.config.secrets import read_secrets
from adapter.config.settings import links_dir, refuse_on_login_node, state_dir
from adapter.core.backend import Backend
from adapter.core.task import Task
from adapter.execution.executor import Executor
from adapter.store.sqlite import SqliteStore
from adapter.transports import transport_for

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from pathlib import Path
    from types import TracebackType
    from typing import Any, Self, TypeVar

    from adapter.core.event import Event
    from adapter.core.job import Job
    from adapter.transports.base import Transfer, Transport

    Result = TypeVar("Result")


def connect(  # noqa: PLR0913 (each may be left out)
    backend: Backend | str,
    *,
    transport: Transport | None = None,
    store: SqliteStore | str | Path | None = None,
    on_event: Callable[[Event], None] | None = None,
    on_transfer: Callable[[Transfer], None] | None = None,
    trust: bool = False,
) -> Executor:
    """Return an executor for *backend* (itself, its name, or a path), to be used with ``async with``.

    ``None`` for *transport* means the one that the backend's ``connection`` asks for; ``None`` for *store* means the
    one that the command ``adapter`` uses, so that both see the same runs. ``on_event`` hears what happens;
    ``on_transfer`` how far large files are on their way, several times a second, if the transport is not your own.
    A backend file of the current folder must have been allowed by ``adapter trust``; *trust* takes it as it is.

    Raises:
        NotTrusted: a backend file of the current folder was not allowed.
        ConfigError: the backend file is wrong, there is none of that name, or it may not be used on this machine.
        StoreError: the store cannot be opened.
    """
    loaded = backend if isinstance(backend, Backend) else load_backend(backend, trust=trust).backend
    if not isinstance(store, SqliteStore):
        store = SqliteStore.open(store or state_dir() / "journal.sqlite")
    if transport is None:
        refuse_on_login_node(loaded)
    transport = transport or transport_for(loaded.connection, folder=links_dir(), on_transfer=on_transfer)
    return Executor(loaded, transport=transport, store=store, secrets=read_secrets(loaded), on_event=on_event)


class Session:
    """An executor for code without asyncio: the same methods, each returning when it is done.

    ::

        with adapter.Session("local") as session:
            run = session.submit(tasks)
            jobs = session.wait(run)
    """

    def __init__(self, backend: Backend | str, **options: Any) -> None:
        """Take what :func:`connect` takes; nothing is started yet."""
        self._backend, self._options = backend, options
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="adapter session", daemon=True)
        self._executor: Executor | None = None

    def __enter__(self) -> Self:
        """Start the executor in a thread of its own."""
        self._thread.start()
        try:
            self._executor = self._do(self._open())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; the jobs stay where they are."""
        try:
            self._do(self.executor.__aexit__(kind, error, trace))
        finally:
            self._end()

    @property
    def executor(self) -> Executor:
        """The executor underneath; it belongs to the session's thread."""
        if self._executor is None:
            raise RuntimeError("a Session is used as `with Session(...) as session`")
        return self._executor

    def submit(self, tasks: Iterable[Task], *, name: str = "", force: bool = False) -> str:
        """Take *tasks* as one run and return its id; see :meth:`Executor.submit`."""
        return self._do(self.executor.submit(list(tasks), name=name, force=force))

    def wait(self, run: str, *, timeout_s: float | None = None) -> list[Job]:
        """Wait until every job of *run* has ended and its files are here; see :meth:`Executor.wait`.

        Raises:
            TimeoutError: *timeout_s* passed; the jobs go on.
        """
        return self._do(self._wait(run, timeout_s))

    def jobs(self, run: str) -> list[Job]:
        """Return the jobs of *run* as they are known now."""
        return self._do(self._call(lambda: self.executor.jobs_of(run)))

    def kill(self, run: str, index: int | None = None) -> None:
        """Ask for the job *index* of *run*, or all its jobs, to be killed."""
        self._do(self.executor.kill(run, index))

    def adopt(self, run: str) -> bool:
        """Go on with *run* from the store; ``False`` if another live process does."""
        return self._do(self.executor.adopt(run))

    def read_log(self, job: Job, stream: str = "stdout") -> str:
        """Return what *job* wrote to *stream* so far."""
        return self._do(self.executor.read_log(job, stream))[0]

    async def _wait(self, run: str, timeout_s: float | None) -> list[Job]:
        try:
            async with asyncio.timeout(timeout_s) as limit:
                return await self.executor.wait(run)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise TimeoutError(f"run {run} has not ended within {timeout_s:g} s; its jobs go on") from error

    async def _open(self) -> Executor:
        return await connect(self._backend, **self._options).__aenter__()

    async def _call(self, function: Callable[[], Result]) -> Result:
        return function()

    def _do(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def run(
    tasks: Task | Iterable[Task],
    *,
    on: Backend | str = "local",
    name: str = "",
    force: bool = False,
    **options: Any,
) -> list[Job]:
    """Run *tasks* on the backend *on* and return their jobs once all have ended, in order.

    With *force*, outputs may replace files that are here already. A job that did not succeed raises nothing here: ask
    :meth:`Job.raise_unless_succeeded`.

    Raises:
        AdapterError: the backend, a task, or the way to the target is wrong.
    """
    with Session(on, **options) as session:
        given = [tasks] if isinstance(tasks, Task) else tasks
        return session.wait(session.submit(given, name=name, force=force))
