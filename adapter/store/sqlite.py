"""A store in one SQLite file: private, and used by many processes of one user at once."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter.core.bounds import storable
from adapter.core.event import REQUEUED, Event, EventKind
from adapter.core.state import Reason, State
from adapter.core.task import task_document, task_from
from adapter.errors import StoreError
from adapter.store.base import RunRecord, RunSummary
from adapter.store.migrations import MIGRATIONS, digest, document_text
from adapter.store.records import job_from_record, job_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from adapter.core.job import Job
    from adapter.core.task import Task
    from adapter.store.base import Usage

_SHARED_FILE_SYSTEMS = frozenset(
    ("nfs", "nfs4", "lustre", "gpfs", "beegfs", "cifs", "smb3", "afs", "ceph", "fuse.sshfs", "9p")
)
_FINAL = ", ".join(f"'{state}'" for state in State if state.is_final)
_UNFINISHED = f"is_last AND (state NOT IN ({_FINAL}) OR NOT collected)"
_DAY_S = 86400


class SqliteStore:
    """An open store; see :class:`adapter.store.base.Store`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        """Use :meth:`open`."""
        self._db = connection
        self._lock = threading.RLock()
        self._tasks: dict[tuple[str, int], Task] = {}  # as they are stored, of the runs seen here
        self.path = path

    @classmethod
    def open(cls, path: str | Path) -> SqliteStore:
        """Open the store at *path*, made (0600, its folder 0700) if it is not there, and bring its schema up to date.

        Raises:
            StoreError: it cannot be opened, or a newer version of this program wrote it.
        """
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            wal = not _is_shared(path) and connection.execute("PRAGMA journal_mode=WAL").fetchone()[0] == "wal"
            if not wal:  # write-ahead logging needs memory shared between processes: sqlite.org/wal.html
                connection.execute("PRAGMA journal_mode=TRUNCATE")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"cannot open the store {path}: {error}; $ADAPTER_STATE names another folder") from error
        store = cls(connection, path)
        store._migrate()
        return store

    def close(self) -> None:
        """Close it; what was written stays."""
        with self._lock:
            self._db.close()

    def _migrate(self) -> None:
        with self._transaction():
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > len(MIGRATIONS):
                raise StoreError(f"{self.path} was written by a newer version of adapter; update this one")
            for number, (statements, then) in enumerate(MIGRATIONS[version:], version + 1):
                for statement in statements.split(";"):
                    self._db.execute(statement)
                if then is not None:
                    then(self._db)
                self._db.execute(f"PRAGMA user_version={number}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                raise StoreError(f"cannot write the store {self.path}: {error}") from error

    def _rows(self, statement: str, *values: Any) -> list[Any]:
        with self._lock:
            try:
                return self._db.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                raise StoreError(f"cannot read the store {self.path}: {error}") from error

    # -- runs

    def add_run(self, run: RunRecord, jobs: Iterable[Job] = ()) -> None:
        text = document_text(run.document, run.lineage)
        with self._transaction():
            self._db.execute("INSERT OR IGNORE INTO documents VALUES (?, ?)", (digest(text), text))
            self._db.execute(
                "INSERT INTO runs (id, name, created_at, backend, document, lineage, document_hash, is_open) "
                "VALUES (?, ?, ?, ?, '', '', ?, ?)",
                (run.id, run.name, run.created_at, run.backend, digest(text), run.is_open),
            )
            self._add(list(jobs), run.created_at)

    def add_tasks(self, run: str, jobs: Iterable[Job]) -> bool:
        added = list(jobs)
        with self._transaction():
            row = self._db.execute("SELECT is_open FROM runs WHERE id = ?", (run,)).fetchone()
            if row is None:
                raise StoreError(f"there is no run {run!r} in {self.path}")
            if not row[0]:
                raise StoreError(f"run {run} is closed; no task can be added to it")
            (last,) = self._db.execute("SELECT COALESCE(MAX(number), 0) FROM tasks WHERE run = ?", (run,)).fetchone()
            if any(job.index <= last for job in added):
                return False
            self._add(added, max((job.created_at or 0.0 for job in added), default=0.0))
            return True

    def _add(self, jobs: Sequence[Job], at: float) -> None:
        self._db.executemany(
            "INSERT INTO tasks (run, number, name, document) VALUES (?, ?, ?, ?)",
            [(job.run, job.index, job.task.name, json.dumps(task_document(job.task))) for job in jobs],
        )
        self._tasks.update({(job.run, job.index): job.task for job in jobs})
        self._write(jobs, at)

    def close_run(self, run: str) -> None:
        with self._transaction():
            self._db.execute("UPDATE runs SET is_open = 0 WHERE id = ?", (run,))

    def is_open(self, run: str) -> bool:
        return bool(self._rows("SELECT 1 FROM runs WHERE id = ? AND is_open", run))

    def summaries(self, *, most: int | None = None) -> list[RunSummary]:
        return self._summaries("ORDER BY created_at DESC, id LIMIT ?", -1 if most is None else most)

    def summary(self, run: str) -> RunSummary:
        for summary in self._summaries("WHERE id = ?", run):
            return summary
        raise StoreError(f"there is no run {run!r} in {self.path}")

    def _summaries(self, which: str, *values: Any) -> list[RunSummary]:
        runs = self._rows(f"SELECT id, name, created_at, backend, is_open FROM runs {which}", *values)
        counts: dict[str, dict[str, int]] = {row[0]: {} for row in runs}
        uncollected: dict[str, int] = dict.fromkeys(counts, 0)
        for run, its in counts.items():
            for state, count, left in self._rows(
                "SELECT state, COUNT(*), SUM(NOT collected) FROM jobs WHERE run = ? AND is_last GROUP BY state", run
            ):
                its[state] = count
                uncollected[run] += left
        return [
            RunSummary(
                id=row[0], name=row[1], created_at=row[2], backend=row[3], is_open=bool(row[4]),
                counts=counts[row[0]],
                is_done=not uncollected[row[0]] and all(State(state).is_final for state in counts[row[0]]),
            )
            for row in runs
        ]  # fmt: skip

    def find_run(self, start: str) -> RunRecord:
        columns = "runs.id, name, created_at, backend, documents.text, is_open"
        tables = "runs JOIN documents ON documents.hash = runs.document_hash"
        found = self._rows(
            f"SELECT {columns} FROM {tables} WHERE id = ? OR name = ? ORDER BY created_at DESC LIMIT 1", start, start
        ) or self._rows(f"SELECT {columns} FROM {tables} WHERE substr(id, 1, length(?)) = ? LIMIT 99", start, start)
        if len(found) != 1:
            what = f"{len(found)} runs begin with {start!r}" if found else f"there is no run {start!r} in {self.path}"
            raise StoreError(f"{what}; `adapter status` lists them")
        run, name, created_at, backend, text, is_open = found[0]
        kept = json.loads(text)
        return RunRecord(
            id=run, name=name, created_at=created_at, backend=backend, is_open=bool(is_open),
            document=kept["document"], lineage=tuple(kept["lineage"]),
        )  # fmt: skip

    def has_run(self, name: str) -> bool:
        return bool(self._rows("SELECT 1 FROM runs WHERE id = ? OR name = ? LIMIT 1", name, name))

    def unfinished_runs(self) -> list[str]:
        return [row[0] for row in self._rows(f"SELECT DISTINCT run FROM jobs WHERE {_UNFINISHED}")]

    def set_note(self, runs: Iterable[str], text: str) -> None:
        with self._transaction():
            self._db.executemany("UPDATE runs SET note = ? WHERE id = ?", [(text, run) for run in runs])

    def note(self, run: str) -> str:
        rows = self._rows("SELECT note FROM runs WHERE id = ?", run)
        return str(rows[0][0]) if rows else ""

    # -- leases

    def claim(self, run: str, owner: str, now: float, for_s: float, is_alive: Callable[[str], bool]) -> bool:
        with self._transaction():
            row = self._db.execute("SELECT owner, owned_until FROM runs WHERE id = ?", (run,)).fetchone()
            if row is None:
                raise StoreError(f"there is no run {run!r} in {self.path}")
            other, until = row
            if other not in {None, owner} and until > now and is_alive(other):
                return False
            self._db.execute("UPDATE runs SET owner = ?, owned_until = ? WHERE id = ?", (owner, now + for_s, run))
            return True

    def release(self, run: str, owner: str) -> None:
        with self._transaction():
            self._db.execute(
                "UPDATE runs SET owner = NULL, owned_until = NULL WHERE id = ? AND owner = ?", (run, owner)
            )

    def driver(self, run: str, now: float, is_alive: Callable[[str], bool]) -> str | None:
        for owner, until in self._rows("SELECT owner, owned_until FROM runs WHERE id = ?", run):
            if owner is not None and until > now and is_alive(owner):
                return str(owner)
        return None

    def abandoned_runs(self, backend: str, is_alive: Callable[[str], bool]) -> list[str]:
        rows = self._rows(
            "SELECT DISTINCT runs.id, runs.owner FROM jobs JOIN runs ON runs.id = jobs.run "
            "WHERE jobs.slot AND runs.backend = ? ORDER BY runs.id",
            backend,
        )
        return [run for run, owner in rows if owner is None or not is_alive(owner)]

    # -- jobs

    def save(self, jobs: Iterable[Job], at: float) -> list[Event]:
        with self._transaction():
            return self._write(list(jobs), at)

    def take_slots(
        self, backend: str, owner: str, at: float, decide: Callable[[Usage], tuple[list[Job], int]]
    ) -> list[Event]:
        with self._transaction():
            jobs, submits = decide(_Usage(self, backend, owner))
            if submits:
                self._db.execute("DELETE FROM submits WHERE at < ?", (at - _DAY_S,))
                self._db.execute("INSERT INTO submits VALUES (?, ?, ?)", (backend, at, submits))
            return self._write(jobs, at)

    def _write(self, jobs: Sequence[Job], at: float) -> list[Event]:
        """Write *jobs*, and the changes of their states as events; the caller holds the transaction."""
        last = {job.key: job for job in jobs}
        if not last:
            return []
        events = []
        for job in self._with_new_state(jobs):
            events.append(self._add_event(at, EventKind(job.state), job.verdict, job))
            if job.reason is Reason.REQUEUED:
                events.append(self._add_event(at, EventKind.REQUEUED, REQUEUED, job))
        (change,) = self._db.execute("SELECT last FROM changes").fetchone()
        self._db.execute("UPDATE changes SET last = ?", (change + len(last),))
        self._db.executemany(
            "INSERT INTO jobs (run, number, attempt, name, state, job_id, collected, slot, change, record) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run, number, attempt) DO UPDATE SET "
            "state=excluded.state, job_id=excluded.job_id, collected=excluded.collected, slot=excluded.slot, "
            "change=excluded.change, record=excluded.record",
            [
                (
                    job.run, job.index, job.attempt, job.task.name, job.state, job.job_id, job.collected,
                    job.submit_began and not job.state.is_final, number,
                    json.dumps(job_record(job, with_task=self._tasks.get((job.run, job.index)) != job.task)),
                )
                for number, job in enumerate(last.values(), change + 1)
            ],
        )  # fmt: skip
        self._db.executemany(
            "UPDATE jobs SET is_last = 0 WHERE run = ? AND number = ? AND attempt < ?",
            [(job.run, job.index, job.attempt) for job in last.values() if job.attempt > 1],
        )
        return events

    def _with_new_state(self, jobs: Iterable[Job]) -> list[Job]:
        """Return those of *jobs* whose state or reason is another than what is known before them."""
        known: dict[str, tuple[str, str | None] | None] = {}
        changed = []
        for job in jobs:
            if job.key not in known:
                row = self._db.execute(
                    "SELECT state, json_extract(record, '$.reason') FROM jobs "
                    "WHERE run = ? AND number = ? AND attempt = ?",
                    (job.run, job.index, job.attempt),
                ).fetchone()
                known[job.key] = row and (row[0], row[1])
            if known[job.key] != (job.state, job.reason):
                changed.append(job)
            known[job.key] = (job.state, job.reason)
        return changed

    def used_by_others(self, backend: str, owner: str) -> list[Job]:
        return self._jobs(
            "slot AND run IN (SELECT id FROM runs WHERE backend = ? AND (owner IS NULL OR owner != ?))", backend, owner
        )

    def jobs(self, run: str | None = None) -> list[Job]:
        where, values = ("run = ? AND", (run,)) if run else ("", ())
        return self._jobs(f"{where} is_last ORDER BY run, number", *values)

    def attempts(self, run: str, index: int) -> list[Job]:
        return self._jobs("run = ? AND number = ? ORDER BY attempt", run, index)

    def changes(self, run: str, after: int) -> tuple[list[Job], int]:
        with self._lock:
            rows = self._rows("SELECT MAX(change) FROM jobs WHERE run = ?", run)
            last = rows[0][0] or 0
            if last <= after:
                return [], max(after, last)
            return self._jobs("run = ? AND change > ? AND is_last ORDER BY number", run, after), last

    def _jobs(self, which: str, *values: Any) -> list[Job]:
        rows = self._rows(f"SELECT run, number, record FROM jobs WHERE {which}", *values)
        return [self._job(*row) for row in rows]

    def _job(self, run: str, number: int, text: str) -> Job:
        record = json.loads(text)
        return job_from_record(record, None if "task" in record else self._task(run, number))

    def _task(self, run: str, number: int) -> Task:
        if (run, number) not in self._tasks:
            rows = self._rows("SELECT number, document FROM tasks WHERE run = ?", run)
            self._tasks.update({(run, each): task_from(json.loads(text)) for each, text in rows})
        return self._tasks[run, number]

    # -- files

    def add_brought(self, files: Iterable[tuple[Job, Mapping[str, str]]]) -> None:
        rows = [(job.run, path, job.index, source) for job, sources in files for path, source in sources.items()]
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO brought (run, path, number, source) VALUES (?, ?, ?, ?)", rows)

    def brought(self, run: str) -> dict[str, tuple[int, str]]:
        rows = self._rows("SELECT path, number, source FROM brought WHERE run = ?", run)
        return {path: (number, source) for path, number, source in rows}

    def mark_cleaned(self, jobs: Iterable[Job], at: float, text: str) -> None:
        jobs = list(jobs)
        with self._transaction():
            self._write([job.but(directory=None) for job in jobs], at)
            for job in jobs:
                self._add_event(at, EventKind.CLEANED, text, job)

    def cleaned_at(self, job: Job) -> float | None:
        rows = self._rows(
            "SELECT MAX(at) FROM events WHERE run = ? AND number = ? AND attempt = ? AND kind = 'cleaned'",
            job.run, job.index, job.attempt,
        )  # fmt: skip
        return None if rows[0][0] is None else float(rows[0][0])

    # -- requests and events

    def request_kill(self, run: str, index: int | None, at: float) -> None:
        with self._transaction():
            self._db.execute("INSERT INTO kill_requests (run, number, at) VALUES (?, ?, ?)", (run, index, at))

    def kill_requests(self, run: str) -> list[int | None]:
        return [row[0] for row in self._rows("SELECT number FROM kill_requests WHERE run = ? ORDER BY rowid", run)]

    def add_event(self, at: float, kind: EventKind, text: str, job: Job | None = None) -> Event:
        with self._transaction():
            return self._add_event(at, kind, text, job)

    def _add_event(self, at: float, kind: EventKind, text: str, job: Job | None) -> Event:
        key = (job.run, job.index, job.attempt) if job else (None, None, None)
        text = storable(text)
        done = self._db.execute(
            "INSERT INTO events (at, run, number, attempt, kind, text) VALUES (?, ?, ?, ?, ?, ?)",
            (at, *key, kind, text),
        )
        run, index, attempt = key
        return Event(at=at, kind=kind, text=text, number=done.lastrowid, run=run, index=index, attempt=attempt, job=job)

    def events(self, run: str | None = None, *, after: int = 0, most: int | None = None) -> list[Event]:
        where, values = ("run = ? AND", (run,)) if run else ("", ())
        rows = self._rows(
            f"SELECT id, at, run, number, attempt, kind, text FROM events WHERE {where} id > ? ORDER BY id LIMIT ?",
            *values, after, -1 if most is None else most,
        )  # fmt: skip
        return [
            Event(number=number, at=at, run=of, index=index, attempt=attempt, kind=EventKind(kind), text=text)
            for number, at, of, index, attempt, kind, text in rows
        ]


class _Usage:
    """What other processes use of a backend, read inside a transaction."""

    def __init__(self, store: SqliteStore, backend: str, owner: str) -> None:
        self._store, self._backend, self._owner = store, backend, owner

    @property
    def others(self) -> list[Job]:
        return self._store.used_by_others(self._backend, self._owner)

    def submits_between(self, since: float, until: float) -> int:
        rows = self._store._rows(
            "SELECT COALESCE(SUM(jobs), 0) FROM submits WHERE backend = ? AND at > ? AND at <= ?",
            self._backend, since, until,
        )  # fmt: skip
        return int(rows[0][0])


def _is_shared(path: Path) -> bool:
    """Whether *path* lies on a file system that machines share (proc(5), mountinfo: fields 5 and 9)."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    best, kind = "", ""
    for line in lines:
        left, _, right = line.partition(" - ")
        mount = left.split()[4].replace("\\040", " ")
        if path.absolute().is_relative_to(mount) and len(mount) >= len(best):
            best, kind = mount, right.split()[0]
    return kind in _SHARED_FILE_SYSTEMS
