"""Opening what a command works on: the store, a backend, its transport, an executor."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

import click

from adapter.cli.prompt import terminal_prompt
from adapter.cli.text import printable
from adapter.config.load import automatic_backends, load_backend
from adapter.config.search import candidates, not_found_message
from adapter.config.secrets import read_secrets
from adapter.config.settings import links_dir, load_settings, state_dir
from adapter.config.trust import untrusted
from adapter.core.backend import Backend, backend_from, merge
from adapter.core.schema import unknown
from adapter.environment import user_environment
from adapter.errors import BackendNotFound, ConfigError, NotTrusted, StoreError
from adapter.execution.executor import Executor
from adapter.store.sqlite import SqliteStore
from adapter.transports import transport_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from adapter.config.layers import Provenance
    from adapter.core.event import Event
    from adapter.core.job import Job
    from adapter.store.base import RunRecord
    from adapter.transports.base import Transfer, Transport

LAST_RESORT = "local"
_JOB_KEY = re.compile(r"^(?P<run>.+?)\.(?P<index>\d+)(?:\.\d+)?$")


def store_path() -> Path:
    """Return the path of this user's store."""
    return state_dir() / "journal.sqlite"


def open_store() -> SqliteStore:
    """Open this user's store, made if it is not there."""
    return SqliteStore.open(store_path())


def choose_backend(on: str | None, *, has_image: bool = False, must_exist: bool = True) -> tuple[str, str]:
    """Return the name of the backend to use, and why that one; *has_image* says whether a task runs in a container.

    Raises:
        ConfigError: nobody names one, and no backend that runs images can be used here; or, if it *must_exist*, the
            configured one does not.
    """
    if on is not None:
        return on, "--on"
    settings = load_settings()
    if settings.default_backend is not None:
        name, why = settings.default_backend, f"default_backend in {settings.sources['default_backend']}"
        if must_exist and not candidates(name):
            raise BackendNotFound(f"{not_found_message(name)} ({why})")
        return name, why
    unset = "no --on, and no default_backend in your configuration"
    if not has_image:
        return LAST_RESORT, unset
    able = [backend for backend in automatic_backends() if (backend.automatic or {}).get("for") == "images"]
    for backend in able:
        if backend.automatic and _can_be_used(backend.automatic["probe"]):
            return backend.name, f"{unset}; the task has an image, and {backend.name} can be used here"
    names = " and ".join(backend.name for backend in able) or "no backend that runs images"
    raise ConfigError(f"the task has an image, and here {names} cannot be used; name another with --on")


def _can_be_used(probe: str) -> bool:
    """Whether the shell command *probe* succeeds here within a few seconds."""
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", probe], capture_output=True, timeout=10, check=False, env=user_environment()
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def open_backend(name: str, sets: Sequence[tuple[str, str]] = (), *, to_read: bool = False) -> Backend:
    """Return the backend *name* with its ``values`` changed by *sets*; *to_read*: nothing of it will be executed.

    Raises:
        NotTrusted: it is to be used, and a file of the current folder was not allowed; or such a file hides another.
        ConfigError: there is none, a file is wrong, or it has no such value.
    """
    loaded = load_backend(name, trust=to_read)
    if to_read:
        tell_untrusted(loaded.provenance, hiding_is_wrong=True)
    backend = loaded.backend
    if not sets:
        return backend
    for key, _ in sets:
        if key not in backend.values:
            raise ConfigError(f"--set: {unknown(f'value of backend {backend.name}', key, backend.values)}")
    values = {key: _typed(text, backend.values[key]) for key, text in sets}
    document = merge(backend.document, {"values": values})
    return backend_from(document, name=backend.name, lineage=backend.lineage)


def tell_untrusted(provenance: Provenance, *, hiding_is_wrong: bool = False) -> None:
    """Say which files of the current folder were read and may not be used yet.

    Raises:
        NotTrusted: one stands before another file of that name, and *hiding_is_wrong*.
    """
    found = untrusted(provenance.layers)
    if hiding_is_wrong and any(one.hides for one in found):
        raise NotTrusted([one.problem() for one in found])
    for one in found:
        click.echo(f"adapter: {printable(str(one.problem()))}", err=True)


def _typed(text: str, before: Any) -> Any:
    """Return *text* as YAML reads it, or as it is where a text was before."""
    if isinstance(before, str):
        return text
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set: {text!r} cannot be read: {error}") from error


def backend_of(record: RunRecord) -> Backend:
    """Return the backend of a run as it was when the run began."""
    return backend_from(record.document, name=record.backend, lineage=record.lineage)


def open_transport(
    backend: Backend, tell: Callable[[str], None], on_transfer: Callable[[Transfer], None] | None = None
) -> Transport:
    """Return the way to *backend*, not yet entered: it asks on this terminal."""
    return transport_for(
        backend.connection,
        prompt=terminal_prompt(str(backend.connection.get("host"))),
        folder=links_dir(),
        tell=tell,
        on_transfer=on_transfer,
    )


def open_executor(
    backend: Backend,
    store: SqliteStore,
    on_event: Callable[[Event], None] | None = None,
    on_transfer: Callable[[Transfer], None] | None = None,
) -> Executor:
    """Return an executor for *backend*, not yet entered."""
    transport = open_transport(backend, lambda text: click.echo(f"adapter: {printable(text)}", err=True), on_transfer)
    return Executor(backend, transport=transport, store=store, secrets=read_secrets(backend), on_event=on_event)


def find_target(store: SqliteStore, text: str) -> tuple[RunRecord, int | None]:
    """Return the run, and the index of the job (``None`` for all), that *text* means: ``RUN`` or ``RUN.INDEX``.

    Raises:
        StoreError: there is no such run or job, or more than one run begins so.
    """
    match = _JOB_KEY.match(text)
    if match is None or store.has_run(text):
        return store.find_run(text), None
    return store.find_run(match["run"]), int(match["index"])


def find_job(store: SqliteStore, text: str) -> tuple[RunRecord, Job]:
    """Return the one job that *text* means: ``RUN.INDEX``, or ``RUN`` for a run of a single task.

    Raises:
        StoreError: there is no such job, or the run has many.
    """
    record, index = find_target(store, text)
    jobs = store.jobs(record.id)
    if index is None and len(jobs) > 1:
        raise StoreError(f"run {record.id} has {len(jobs)} jobs; say which: {record.id}.1 to {record.id}.{len(jobs)}")
    return record, job_at(record, jobs, index or 1)


def job_at(record: RunRecord, jobs: Sequence[Job], index: int) -> Job:
    """Return the job *index* among *jobs*.

    Raises:
        StoreError: there is none.
    """
    for job in jobs:
        if job.index == index:
            return job
    raise StoreError(f"run {record.id} has no job {index}; its jobs are {record.id}.1 to {record.id}.{len(jobs)}")
