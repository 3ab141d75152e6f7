"""The journal: every run and job, written down before anything happens. SQLite, private, usable by many processes."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter.core.bounds import storable
from adapter.core.job import Element, Job, Usage
from adapter.core.state import Reason, State
from adapter.core.task import task_document, task_from
from adapter.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

MIGRATIONS = (
    """
    CREATE TABLE runs (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, created_at REAL NOT NULL,
        backend TEXT NOT NULL, document TEXT NOT NULL, lineage TEXT NOT NULL,
        owner TEXT, owned_until REAL
    );
    CREATE TABLE jobs (
        run TEXT NOT NULL REFERENCES runs(id), number INTEGER NOT NULL, attempt INTEGER NOT NULL,
        name TEXT NOT NULL, state TEXT NOT NULL, job_id TEXT, collected INTEGER NOT NULL, record TEXT NOT NULL,
        PRIMARY KEY (run, number, attempt)
    ) WITHOUT ROWID;
    CREATE INDEX jobs_by_state ON jobs(state, collected);
    CREATE TABLE kill_requests (run TEXT NOT NULL, number INTEGER, at REAL NOT NULL);
    CREATE TABLE events (
        at REAL NOT NULL, run TEXT, number INTEGER, attempt INTEGER, what TEXT NOT NULL, text TEXT NOT NULL
    );
    CREATE INDEX events_by_run ON events(run, number);
    """,
    """
    ALTER TABLE jobs ADD COLUMN slot INTEGER NOT NULL DEFAULT 0;
    UPDATE jobs SET slot = 1 WHERE state IN ('queued', 'held', 'running', 'suspended')
        OR (state = 'waiting' AND json_extract(record, '$.submit_began'));
    CREATE INDEX jobs_by_slot ON jobs(run) WHERE slot;
    ALTER TABLE runs ADD COLUMN note TEXT NOT NULL DEFAULT '';
    CREATE TABLE submits (backend TEXT NOT NULL, at REAL NOT NULL, jobs INTEGER NOT NULL);
    """,
    """
    CREATE TABLE brought (
        run TEXT NOT NULL REFERENCES runs(id), path TEXT NOT NULL, number INTEGER NOT NULL, source TEXT NOT NULL,
        PRIMARY KEY (run, path)
    ) WITHOUT ROWID;
    """,
)
"""One entry a version of the schema; an entry is never changed once it was released."""

_SHARED_FILE_SYSTEMS = frozenset(
    ("nfs", "nfs4", "lustre", "gpfs", "beegfs", "cifs", "smb3", "afs", "ceph", "fuse.sshfs", "9p")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run as the journal keeps it: which backend it uses (the merged document), and when it began."""

    id: str
    name: str
    created_at: float
    backend: str
    document: Mapping[str, Any]
    lineage: tuple[str, ...]


class Journal:
    """An open journal. Every method is one transaction; a killed process leaves either all of it or nothing."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        """Use :meth:`open`."""
        self._db = connection
        self.path = path

    @classmethod
    def open(cls, path: str | Path) -> Journal:
        """Open the journal at *path*, made (0600, its folder 0700) if it is not there, and bring its schema up to date.

        Raises:
            JournalError: it cannot be opened, or a newer version of this program wrote it.
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
            raise JournalError(
                f"cannot open the journal {path}: {error}; $ADAPTER_STATE names another folder"
            ) from error
        journal = cls(connection, path)
        journal._migrate()
        return journal

    def close(self) -> None:
        """Close it; what was written stays."""
        self._db.close()

    def _migrate(self) -> None:
        with self._transaction():
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > len(MIGRATIONS):
                raise JournalError(f"{self.path} was written by a newer version of adapter; update this one")
            for number, statements in enumerate(MIGRATIONS[version:], version + 1):
                for statement in statements.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={number}")

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Let no other process write meanwhile: what is read and written inside is one transaction, all or nothing."""
        with self._transaction():
            yield

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._db.in_transaction:  # inside `exclusive`: the outer one ends it
            yield
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise JournalError(f"cannot write the journal {self.path}: {error}") from error

    # -- runs

    def add_run(self, run: RunRecord, jobs: Iterable[Job]) -> None:
        """Write down *run* with its *jobs*, all or nothing."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO runs (id, name, created_at, backend, document, lineage) VALUES (?, ?, ?, ?, ?, ?)",
                (run.id, run.name, run.created_at, run.backend, json.dumps(run.document), json.dumps(run.lineage)),
            )
            self._write_jobs(jobs)

    def runs(self) -> list[RunRecord]:
        """Return all runs, newest first."""
        rows = self._db.execute(
            "SELECT id, name, created_at, backend, document, lineage FROM runs ORDER BY created_at DESC, id"
        )
        return [
            RunRecord(
                id=row[0], name=row[1], created_at=row[2], backend=row[3],
                document=json.loads(row[4]), lineage=tuple(json.loads(row[5])),
            )
            for row in rows
        ]  # fmt: skip

    def find_run(self, start: str) -> RunRecord:
        """Return the run whose id begins with *start*, or whose name is *start* (the newest of that name).

        Raises:
            JournalError: there is none, or more than one id begins so.
        """
        runs = self.runs()
        exact = [run for run in runs if start in {run.id, run.name}][:1]
        found = exact or [run for run in runs if run.id.startswith(start)]
        if len(found) != 1:
            what = f"{len(found)} runs begin with {start!r}" if found else f"there is no run {start!r} in {self.path}"
            raise JournalError(f"{what}; `adapter status` lists them")
        return found[0]

    def claim(self, run: str, owner: str, now: float, for_s: float, is_alive: Callable[[str], bool]) -> bool:
        """Make *owner* the one process that drives *run* until *now* + *for_s*; ``False`` if another one does.

        A former owner counts no more once its time is over or *is_alive* says that its process is gone.
        """
        with self._transaction():
            row = self._db.execute("SELECT owner, owned_until FROM runs WHERE id = ?", (run,)).fetchone()
            if row is None:
                raise JournalError(f"there is no run {run!r} in {self.path}")
            other, until = row
            if other not in {None, owner} and until > now and is_alive(other):
                return False
            self._db.execute("UPDATE runs SET owner = ?, owned_until = ? WHERE id = ?", (owner, now + for_s, run))
            return True

    def release(self, run: str, owner: str) -> None:
        """Let another process drive *run*."""
        with self._transaction():
            self._db.execute(
                "UPDATE runs SET owner = NULL, owned_until = NULL WHERE id = ? AND owner = ?", (run, owner)
            )

    # -- jobs

    def save(self, jobs: Iterable[Job]) -> None:
        """Write down *jobs* as they stand now, all or nothing."""
        with self._transaction():
            self._write_jobs(jobs)

    def _write_jobs(self, jobs: Iterable[Job]) -> None:
        self._db.executemany(
            "INSERT INTO jobs (run, number, attempt, name, state, job_id, collected, slot, record) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run, number, attempt) DO UPDATE SET "
            "state=excluded.state, job_id=excluded.job_id, collected=excluded.collected, slot=excluded.slot, "
            "record=excluded.record",
            [
                (
                    j.run,
                    j.index,
                    j.attempt,
                    j.task.name,
                    j.state,
                    j.job_id,
                    j.collected,
                    j.submit_began and not j.state.is_final,
                    json.dumps(job_record(j)),
                )
                for j in jobs
            ],
        )

    def jobs(self, run: str | None = None) -> list[Job]:
        """Return the jobs of *run*, or all, in order: the last attempt of each task."""
        where, values = ("WHERE run = ?", (run,)) if run else ("", ())
        rows = self._db.execute(f"SELECT record FROM jobs {where} ORDER BY run, number, attempt", values)  # noqa: S608 (constant text)
        last: dict[tuple[str, int], Job] = {}
        for (record,) in rows:
            job = job_from_record(json.loads(record))
            last[job.run, job.index] = job
        return list(last.values())

    def add_brought(self, files: Iterable[tuple[Job, Mapping[str, str]]]) -> None:
        """Write down which files here each job brought: by their paths, each with its path on the target."""
        rows = [(job.run, path, job.index, source) for job, sources in files for path, source in sources.items()]
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO brought (run, path, number, source) VALUES (?, ?, ?, ?)", rows)

    def brought(self, run: str) -> dict[str, tuple[int, str]]:
        """Return the files here that jobs of *run* brought: by path, the job's index and the path on the target."""
        rows = self._db.execute("SELECT path, number, source FROM brought WHERE run = ?", (run,))
        return {path: (number, source) for path, number, source in rows}

    def submitted_by_others(self, backend: str, owner: str) -> list[Job]:
        """Return the jobs on *backend* whose submit began, that have not ended, and that *owner* does not drive."""
        rows = self._db.execute(
            "SELECT jobs.record FROM jobs JOIN runs ON runs.id = jobs.run "
            "WHERE jobs.slot AND runs.backend = ? AND (runs.owner IS NULL OR runs.owner != ?)",
            (backend, owner),
        )
        return [job_from_record(json.loads(record)) for (record,) in rows]

    def add_submit(self, backend: str, jobs: int, at: float) -> None:
        """Count *jobs* submitted on *backend* at that time; what is older than a day is forgotten."""
        with self._transaction():
            self._db.execute("DELETE FROM submits WHERE at < ?", (at - 86400,))
            self._db.execute("INSERT INTO submits VALUES (?, ?, ?)", (backend, at, jobs))

    def submits_between(self, backend: str, since: float, until: float) -> int:
        """Return how many jobs all processes submitted on *backend* after *since*, and not after *until*.

        What lies after now was written before the clock was set back.
        """
        row = self._db.execute(
            "SELECT COALESCE(SUM(jobs), 0) FROM submits WHERE backend = ? AND at > ? AND at <= ?",
            (backend, since, until),
        ).fetchone()
        return int(row[0])

    def abandoned_runs(self, backend: str, is_alive: Callable[[str], bool]) -> list[str]:
        """Return the runs on *backend* that have submitted jobs and that no live process drives."""
        rows = self._db.execute(
            "SELECT DISTINCT runs.id, runs.owner FROM jobs JOIN runs ON runs.id = jobs.run "
            "WHERE jobs.slot AND runs.backend = ? ORDER BY runs.id",
            (backend,),
        )
        return [run for run, owner in rows if owner is None or not is_alive(owner)]

    def unfinished_runs(self) -> list[str]:
        """Return the ids of runs with a job that has not ended or whose files are not here yet."""
        final = tuple(str(state) for state in State if state.is_final)
        marks = ",".join("?" * len(final))
        rows = self._db.execute(f"SELECT DISTINCT run FROM jobs WHERE state NOT IN ({marks}) OR NOT collected", final)  # noqa: S608 (only marks)
        return [row[0] for row in rows]

    def set_note(self, runs: Iterable[str], text: str) -> None:
        """Keep what holds up *runs*, for whoever asks; empty for nothing."""
        with self._transaction():
            self._db.executemany("UPDATE runs SET note = ? WHERE id = ?", [(text, run) for run in runs])

    def note(self, run: str) -> str:
        """Return what holds up *run*; empty if nothing does, or nobody knows."""
        row = self._db.execute("SELECT note FROM runs WHERE id = ?", (run,)).fetchone()
        return row[0] if row else ""

    # -- requests and events

    def request_kill(self, run: str, index: int | None, at: float) -> None:
        """Ask whoever drives *run* to kill the job *index*, or all of its jobs."""
        with self._transaction():
            self._db.execute("INSERT INTO kill_requests (run, number, at) VALUES (?, ?, ?)", (run, index, at))

    def kill_requests(self, run: str) -> list[int | None]:
        """Return the indexes of the jobs of *run* that somebody asked to kill; ``None`` stands for all of them."""
        return [row[0] for row in self._db.execute("SELECT number FROM kill_requests WHERE run = ?", (run,))]

    def driver(self, run: str, now: float, is_alive: Callable[[str], bool]) -> str | None:
        """Return the live process that drives *run*; ``None``: there is none."""
        row = self._db.execute("SELECT owner, owned_until FROM runs WHERE id = ?", (run,)).fetchone()
        return str(row[0]) if row and row[0] is not None and row[1] > now and is_alive(row[0]) else None

    def add_event(self, at: float, what: str, text: str, job: Job | None = None) -> None:
        """Write down that *what* happened, with *text* for a person; ``job`` is ``None`` for the whole backend."""
        key = (job.run, job.index, job.attempt) if job else (None, None, None)
        with self._transaction():
            self._db.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", (at, *key, what, storable(text)))

    def mark_cleaned(self, jobs: Iterable[Job], at: float, text: str) -> None:
        """Write down that the folders of *jobs* on the target are gone: they have no directory from now on."""
        jobs = list(jobs)
        with self._transaction():
            self._write_jobs(job.but(directory=None) for job in jobs)
            self._db.executemany(
                "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)",
                [(at, job.run, job.index, job.attempt, "cleaned", text) for job in jobs],
            )

    def cleaned_at(self, job: Job) -> float | None:
        """Return when the folder of *job* on the target was removed; ``None``: it was not."""
        row = self._db.execute(
            "SELECT MAX(at) FROM events WHERE run = ? AND number = ? AND attempt = ? AND what = 'cleaned'",
            (job.run, job.index, job.attempt),
        ).fetchone()
        return None if row[0] is None else float(row[0])

    def events(self, run: str) -> list[tuple[float, int | None, str, str]]:
        """Return what happened in *run*: time, index (``None`` for the whole run), what, text."""
        rows = self._db.execute("SELECT at, number, what, text FROM events WHERE run = ? ORDER BY at, rowid", (run,))
        return [(row[0], row[1], row[2], row[3]) for row in rows]


def job_record(job: Job) -> dict[str, Any]:
    """Return *job* as a plain document; :func:`job_from_record` reads it back."""
    record = {item.name: getattr(job, item.name) for item in fields(job) if item.name not in {"task", "usage"}}
    place = asdict(job.array) if job.array else None
    return {**record, "task": task_document(job.task), "usage": asdict(job.usage), "array": place}


def job_from_record(record: Mapping[str, Any]) -> Job:
    """Return the job in *record*."""
    reason = record["reason"]
    return Job(
        **{
            **record,
            "task": task_from(record["task"]),
            "usage": Usage(**record["usage"]),
            "state": State(record["state"]),
            "reason": Reason(reason) if reason else None,
            "array": Element(**record["array"]) if record.get("array") else None,
            "after_succeeded": tuple(record.get("after_succeeded", ())),
            "after_ended": tuple(record.get("after_ended", ())),
            "files_of": tuple(record.get("files_of", ())),
            "step_codes": tuple(record.get("step_codes", ())),
        }
    )


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
