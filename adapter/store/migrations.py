"""The versions of the SQLite schema. An entry is never changed once it was released."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from adapter.core.state import State

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

_FIRST = """
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
    """

_SLOTS = """
    ALTER TABLE jobs ADD COLUMN slot INTEGER NOT NULL DEFAULT 0;
    UPDATE jobs SET slot = 1 WHERE state IN ('queued', 'held', 'running', 'suspended')
        OR (state = 'waiting' AND json_extract(record, '$.submit_began'));
    CREATE INDEX jobs_by_slot ON jobs(run) WHERE slot;
    ALTER TABLE runs ADD COLUMN note TEXT NOT NULL DEFAULT '';
    CREATE TABLE submits (backend TEXT NOT NULL, at REAL NOT NULL, jobs INTEGER NOT NULL);
    """

_BROUGHT = """
    CREATE TABLE brought (
        run TEXT NOT NULL REFERENCES runs(id), path TEXT NOT NULL, number INTEGER NOT NULL, source TEXT NOT NULL,
        PRIMARY KEY (run, path)
    ) WITHOUT ROWID;
    """

_STORE = """
    CREATE TABLE documents (hash TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
    ALTER TABLE runs ADD COLUMN document_hash TEXT NOT NULL DEFAULT '';
    ALTER TABLE runs ADD COLUMN is_open INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX runs_by_time ON runs(created_at DESC, id);
    CREATE TABLE tasks (
        run TEXT NOT NULL REFERENCES runs(id), number INTEGER NOT NULL, name TEXT NOT NULL, document TEXT NOT NULL,
        PRIMARY KEY (run, number)
    ) WITHOUT ROWID;
    INSERT INTO tasks SELECT run, number, name, json_extract(record, '$.task') FROM jobs
        WHERE attempt =
            (SELECT MIN(attempt) FROM jobs AS other WHERE other.run = jobs.run AND other.number = jobs.number);
    ALTER TABLE jobs ADD COLUMN is_last INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE jobs ADD COLUMN change INTEGER NOT NULL DEFAULT 0;
    UPDATE jobs SET is_last = attempt =
        (SELECT MAX(attempt) FROM jobs AS other WHERE other.run = jobs.run AND other.number = jobs.number);
    CREATE INDEX jobs_by_change ON jobs(run, change);
    CREATE TABLE changes (last INTEGER NOT NULL);
    INSERT INTO changes VALUES (0);
    ALTER TABLE events RENAME TO old_events;
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, run TEXT, number INTEGER, attempt INTEGER,
        kind TEXT NOT NULL, text TEXT NOT NULL
    );
    INSERT INTO events (at, run, number, attempt, kind, text)
        SELECT at, run, number, attempt, CASE what WHEN 'site_down' THEN 'backend_down' ELSE what END, text
        FROM old_events ORDER BY at, rowid;
    DROP TABLE old_events;
    CREATE INDEX events_by_run ON events(run, id);
    DROP INDEX jobs_by_state
    """


def _share_documents(db: sqlite3.Connection) -> None:
    """Keep each backend document once; its old columns stay, empty: SQLite before 3.35 cannot drop one."""
    for run, document, lineage in db.execute("SELECT id, document, lineage FROM runs").fetchall():
        text = document_text(json.loads(document), json.loads(lineage))
        db.execute("INSERT OR IGNORE INTO documents VALUES (?, ?)", (digest(text), text))
        db.execute("UPDATE runs SET document_hash = ?, document = '', lineage = '' WHERE id = ?", (digest(text), run))
    final = ", ".join(f"'{state}'" for state in State if state.is_final)
    db.execute(f"CREATE INDEX jobs_unfinished ON jobs(run) WHERE is_last AND (state NOT IN ({final}) OR NOT collected)")


def document_text(document: object, lineage: object) -> str:
    """Return the text that is kept of a backend."""
    return json.dumps({"document": document, "lineage": lineage}, sort_keys=False)


def digest(text: str) -> str:
    """Return the name under which *text* is kept."""
    return hashlib.sha256(text.encode()).hexdigest()


MIGRATIONS: tuple[tuple[str, Callable[[sqlite3.Connection], None] | None], ...] = (
    (_FIRST, None),
    (_SLOTS, None),
    (_BROUGHT, None),
    (_STORE, _share_documents),
)
"""For each version of the schema, statements, and what is done after them."""
