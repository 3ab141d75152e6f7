"""A journal that the version before wrote is read, and goes on being written."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from adapter.core.event import EventKind
from adapter.core.state import Reason, State
from adapter.core.task import task_from
from adapter.store.migrations import MIGRATIONS
from adapter.store.sqlite import SqliteStore

OLD = Path(__file__).parent / "journal-version-3.sql"
FIRST = task_from({"command": ["echo", "é 'x'"], "name": "first", "resources": {"ram": "1 GiB"}, "outputs": ["*.txt"]})


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "journal.sqlite"
    database = sqlite3.connect(path)
    database.executescript(OLD.read_text(encoding="utf-8"))
    database.close()
    return path


def test_runs_jobs_and_their_tasks_are_as_they_were(old: Path) -> None:
    store = SqliteStore.open(old)
    run = store.find_run("aaaa")
    assert (run.name, run.created_at, run.backend, run.is_open) == ("old run", 1000.0, "toy", False)
    assert (run.document, run.lineage) == ({"name": "toy", "submit": {"command": "x"}}, ("toy", "batch"))
    first, second = store.jobs("aaaaaaaaaa")
    assert first.task == FIRST
    assert (first.state, first.job_id, first.directory, first.usage.wall_s) == (State.SUCCEEDED, "7", "/ws/1", 1.5)
    assert (second.state, second.job_id, [after.task for after in second.task.after]) == (
        State.RUNNING, "8", ["first"],
    )  # fmt: skip
    last = store.jobs("bbbbbbbbbb")[1]
    assert (last.attempt, last.state, last.reason) == (2, State.FAILED, Reason.EXIT_CODE)
    assert [job.attempt for job in store.attempts("bbbbbbbbbb", 2)] == [1, 2]
    store.close()


def test_counts_notes_requests_and_files_are_kept(old: Path) -> None:
    store = SqliteStore.open(old)
    newest, oldest = store.summaries()
    assert (newest.id, newest.counts, newest.is_done) == ("bbbbbbbbbb", {"failed": 1, "succeeded": 1}, True)
    assert (oldest.id, oldest.counts, oldest.is_done) == ("aaaaaaaaaa", {"running": 1, "succeeded": 1}, False)
    assert store.unfinished_runs() == ["aaaaaaaaaa"]
    assert (store.note("aaaaaaaaaa"), store.kill_requests("aaaaaaaaaa")) == ("it waits", [2])
    assert store.brought("bbbbbbbbbb") == {"/here/a.txt": (1, "/ws/1/a.txt")}
    assert [job.key for job in store.used_by_others("toy", "me")] == ["aaaaaaaaaa.2", "bbbbbbbbbb.2"]
    store.close()


def test_events_have_numbers_now_and_the_words_of_this_version(old: Path) -> None:
    store = SqliteStore.open(old)
    assert [(event.number, event.kind, event.text) for event in store.events()] == [
        (1, EventKind.BACKEND_DOWN, "no route"),
        (2, EventKind.SUBMIT_WAITS, "a limit"),
        (3, EventKind.REQUEUED, "again"),
    ]
    assert [event.number for event in store.events("bbbbbbbbbb", after=2)] == [3]
    store.close()


def test_the_document_of_a_backend_is_kept_once(old: Path) -> None:
    store = SqliteStore.open(old)
    store.close()
    database = sqlite3.connect(old)
    assert database.execute("SELECT COUNT(*) FROM documents").fetchone() == (1,)
    assert database.execute("SELECT DISTINCT document FROM runs").fetchall() == [("",)]
    database.close()


def test_it_goes_on_being_written_and_is_brought_up_to_date_once(old: Path) -> None:
    store = SqliteStore.open(old)
    second = store.jobs("aaaaaaaaaa")[1]
    (event,) = store.save([second.but(state=State.FAILED, collected=True)], 2000.0)
    assert (event.number, event.kind, event.run, event.index) == (4, EventKind.FAILED, "aaaaaaaaaa", 2)
    store.close()
    again = SqliteStore.open(old)
    assert again._db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert again.jobs("aaaaaaaaaa")[1].state is State.FAILED
    assert again.jobs("aaaaaaaaaa")[0].task == FIRST
    assert again.unfinished_runs() == []
    again.close()
