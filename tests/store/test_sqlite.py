from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.core.event import EventKind
from adapter.core.job import Job, Usage
from adapter.core.state import Reason, State
from adapter.core.task import task_from
from adapter.errors import StoreError
from adapter.store.base import RunRecord
from adapter.store.migrations import MIGRATIONS
from adapter.store.records import job_from_record, job_record
from adapter.store.sqlite import SqliteStore

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
seconds = st.none() | st.floats(0, 1e10)
wholes = st.none() | st.integers(0, 2**60)
jobs = st.builds(
    Job,
    run=texts,
    index=st.integers(1, 10**6),
    attempt=st.integers(1, 9),
    task=st.just(
        task_from(
            {"command": ["a", "é\n"], "resources": {"ram": "1 GiB", "preemptible": False}, "native": {"x": ["y"]}}
        )
    ),
    state=st.sampled_from(State),
    reason=st.none() | st.sampled_from(Reason),
    message=texts,
    job_id=st.none() | texts,
    directory=st.none() | texts,
    submit_try=st.integers(1, 9),
    submit_began=st.booleans(),
    exit_code=wholes,
    signal=wholes,
    usage=st.builds(Usage, wall_s=seconds, user_s=seconds, system_s=seconds, cpu_s=seconds, peak_ram_bytes=wholes),
    native_state=st.none() | texts,
    created_at=seconds,
    submitted_at=seconds,
    started_at=seconds,
    ended_at=seconds,
    left_since=seconds,
    exit_seen_at=seconds,
    kill_requested_at=seconds,
    kill_sent_at=seconds,
    kill_escalated_at=seconds,
    collected=st.booleans(),
    collect_problem=texts,
)


@given(jobs)
def test_a_job_written_down_reads_back_as_itself(job: Job) -> None:
    assert job_from_record(json.loads(json.dumps(job_record(job)))) == job


def run_of(id_: str = "r1", **changes: Any) -> RunRecord:
    record = RunRecord(
        id=id_, name="my run", created_at=1.0, backend="toy", document={"name": "toy"}, lineage=("toy", "batch")
    )
    return replace(record, **changes)


def job_of(run: str = "r1", index: int = 1, **changes: Any) -> Job:
    return Job(run=run, index=index, task=task_from({"command": "true", "name": "é '名'"})).but(**changes)


def test_the_journal_and_its_folder_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = SqliteStore.open(tmp_path / "a" / "b" / "journal.sqlite")
        store.add_run(run_of(), [job_of()])
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "a" / "b").iterdir()}
        assert modes["journal.sqlite"] == 0o600
        assert set(modes.values()) == {0o600}, modes
        assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
        store.close()
    finally:
        os.umask(before)


def test_what_is_written_is_there_for_the_next_process(tmp_path: Path) -> None:
    first = SqliteStore.open(tmp_path / "j")
    first.add_run(run_of(), [job_of(index=2), job_of(index=1)])
    first.save([job_of(index=2, state=State.RUNNING, job_id="7")], 3.0)
    first.add_event(5.0, EventKind.KILL_FAILED, "it is", job_of(index=2))
    first.add_event(4.0, EventKind.BACKEND_DOWN, "no")
    first.request_kill("r1", None, 6.0)
    first.request_kill("r1", 2, 6.0)
    first.close()
    second = SqliteStore.open(tmp_path / "j")
    assert second.find_run("r1") == run_of()
    assert second.jobs("r1") == [job_of(index=1), job_of(index=2, state=State.RUNNING, job_id="7")]
    assert [(each.at, each.index, each.kind, each.text) for each in second.events("r1")] == [
        (1.0, 2, "waiting", "waiting"), (1.0, 1, "waiting", "waiting"), (3.0, 2, "running", "running"),
        (5.0, 2, "kill_failed", "it is"),
    ]  # fmt: skip
    assert [each.kind for each in second.events()][-1] is EventKind.BACKEND_DOWN
    assert second.kill_requests("r1") == [None, 2]
    second.close()


def test_the_last_attempt_of_a_task_is_what_counts(store: SqliteStore) -> None:
    store.add_run(run_of(), [job_of(state=State.FAILED, collected=True)])
    store.save([job_of(attempt=2, state=State.RUNNING)], 2.0)
    assert [(job.attempt, job.state) for job in store.jobs("r1")] == [(2, State.RUNNING)]
    assert [job.attempt for job in store.attempts("r1", 1)] == [1, 2]
    assert store.summary("r1").counts == {"running": 1}


def test_a_run_with_a_job_to_end_or_files_to_bring_is_unfinished(store: SqliteStore) -> None:
    store.add_run(run_of("done"), [job_of("done", state=State.FAILED, collected=True)])
    store.add_run(
        run_of("files"), [job_of("files", state=State.LOST), job_of("files", 2, state=State.KILLED, collected=True)]
    )
    store.add_run(run_of("runs"), [job_of("runs", state=State.RUNNING)])
    assert sorted(store.unfinished_runs()) == ["files", "runs"]


def test_a_run_is_written_whole_or_not_at_all(store: SqliteStore) -> None:
    with pytest.raises(StoreError, match="cannot write the store"):
        store.add_run(run_of(), [job_of(), job_of(run="another run that is not there")])
    assert store.summaries() == []
    assert store.jobs() == []


@pytest.mark.parametrize(
    ("start", "found"),
    [
        pytest.param("abc1", "abc1", id="whole-id"),
        pytest.param("abd", "abd1", id="beginning"),
        pytest.param("train", "abd1", id="name"),
        pytest.param("abc", "abc", id="a-whole-id-that-begins-another"),
        pytest.param("test", "abc2", id="the-newest-of-a-name"),
    ],
)
def test_a_run_is_found_by_its_id_its_beginning_or_its_name(store: SqliteStore, start: str, found: str) -> None:
    for number, (name, title) in enumerate([("abc1", "test"), ("abc2", "test"), ("abc", "x"), ("abd1", "train")]):
        store.add_run(run_of(name, name=title, created_at=float(number)), [])
    assert store.find_run(start).id == found


@pytest.mark.parametrize(
    ("start", "message"),
    [pytest.param("ab", "2 runs begin with 'ab'", id="ambiguous"), pytest.param("z", "there is no run 'z'", id="none")],
)
def test_a_run_that_is_not_clear_is_an_error_that_says_what_to_do(store: SqliteStore, start: str, message: str) -> None:
    for name in ("abc1", "abd1"):
        store.add_run(run_of(name), [])
    with pytest.raises(StoreError, match=f"{message}.*`adapter status` lists them"):
        store.find_run(start)


def test_a_run_has_one_owner_until_it_is_released_dead_or_out_of_time(store: SqliteStore) -> None:
    store.add_run(run_of(), [])
    alive = {"a": True}.get

    def claim(owner: str, now: float) -> bool:
        return store.claim("r1", owner, now, 30, lambda other: bool(alive(other)))

    assert claim("a", 0)
    assert claim("a", 10)
    assert not claim("b", 39)
    assert claim("b", 41)
    assert claim("c", 42)  # b is not alive
    store.release("r1", "b")  # not the owner any more
    alive = {"c": True}.get
    assert not claim("a", 43)
    store.release("r1", "c")
    assert claim("a", 44)


def test_of_many_who_claim_a_run_at_once_exactly_one_gets_it(tmp_path: Path) -> None:
    stores = [SqliteStore.open(tmp_path / "j") for _ in range(8)]
    for number in range(20):
        stores[0].add_run(run_of(f"r{number}"), [])

    def claim(owner: int) -> list[bool]:
        return [stores[owner].claim(f"r{number}", str(owner), 0, 30, lambda _: True) for number in range(20)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(claim, range(8)))
    assert [sum(column) for column in zip(*answers, strict=True)] == [1] * 20
    for each in stores:
        each.close()


def test_claiming_a_run_that_is_not_there_is_an_error(store: SqliteStore) -> None:
    with pytest.raises(StoreError, match="there is no run 'nosuch'"):
        store.claim("nosuch", "a", 0, 30, lambda _: True)


WRITER = """
import sys
from adapter.core.event import EventKind
from adapter.core.job import Job
from adapter.core.state import State
from adapter.core.task import task_from
from adapter.store.base import RunRecord
from adapter.store.sqlite import SqliteStore
path, run, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = SqliteStore.open(path)
task = task_from({"command": "true"})
jobs = [Job(run=run, index=number, task=task) for number in range(1, 21)]
store.add_run(RunRecord(id=run, name="n", created_at=1.0, backend="b", document={}, lineage=("b",)), jobs)
for round in range(rounds):
    store.save([job.but(job_id=str(round), state=State.QUEUED) for job in jobs], float(round))
    store.add_event(float(round), EventKind.SUBMIT_WAITS, str(round), jobs[0])
    if round == 20:
        print("going", flush=True)
print("done", flush=True)
"""


def writer(path: Path, run: str, rounds: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path), run, str(rounds)], stdout=subprocess.PIPE)


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "j"
    writers = [writer(path, run, 30) for run in ("r1", "r2", "r3")]  # the three open and make it at once, too
    assert [process.wait(60) for process in writers] == [0, 0, 0]
    store = SqliteStore.open(path)
    for run in ("r1", "r2", "r3"):
        assert {job.job_id for job in store.jobs(run)} == {"29"}
        said = [event.text for event in store.events(run) if event.kind is EventKind.SUBMIT_WAITS]
        assert said == [str(number) for number in range(30)]
    store.close()
    for process in writers:
        assert process.stdout
        process.stdout.close()


def test_a_process_killed_in_the_middle_of_writing_leaves_each_change_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "j"
    process = writer(path, "r1", 10**9)
    assert process.stdout
    assert process.stdout.readline() == b"going\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    store = SqliteStore.open(path)
    assert store._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    (job_id,) = {job.job_id for job in store.jobs("r1")}
    assert job_id is not None
    assert int(job_id) >= 20
    said = [event for event in store.events("r1") if event.kind is EventKind.SUBMIT_WAITS]
    assert len(said) in {int(job_id), int(job_id) + 1}
    store.save([job_of(index=1, job_id="later")], 0.0)
    assert store.jobs("r1")[0].job_id == "later"
    store.close()


def version_of(path: Path) -> int:
    database = sqlite3.connect(path)
    try:
        return int(database.execute("PRAGMA user_version").fetchone()[0])
    finally:
        database.close()


def test_an_empty_file_becomes_a_journal_of_the_newest_version(tmp_path: Path) -> None:
    (tmp_path / "j").touch()
    store = SqliteStore.open(tmp_path / "j")
    store.add_run(run_of(), [job_of()])
    store.close()
    assert version_of(tmp_path / "j") == len(MIGRATIONS)


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    for _ in range(3):
        store = SqliteStore.open(tmp_path / "j")
        store.close()
    assert version_of(tmp_path / "j") == len(MIGRATIONS)


def test_a_journal_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "j")
    database.execute("PRAGMA user_version=999")
    database.close()
    with pytest.raises(StoreError, match="was written by a newer version of adapter; update this one"):
        SqliteStore.open(tmp_path / "j")
    assert version_of(tmp_path / "j") == 999


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("file/store", id="a-file-in-the-place-of-the-folder"),
        pytest.param("folder", id="a-folder-in-its-place"),
        pytest.param("text", id="not-a-database"),
    ],
)
def test_a_journal_that_cannot_be_opened_says_how_to_name_another_place(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("this is no database at all, and long enough to be read as one" * 20)
    with pytest.raises(StoreError, match=r"cannot open the store .*\$ADAPTER_STATE names another folder"):
        SqliteStore.open(tmp_path / place)


def test_write_ahead_logging_is_used_where_the_file_system_allows(store: SqliteStore) -> None:
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_journal_without_write_ahead_logging_works_the_same_for_two_processes(tmp_path: Path) -> None:
    first, second = (SqliteStore.open(tmp_path / "j") for _ in range(2))
    second.close()
    assert first._db.execute("PRAGMA journal_mode=TRUNCATE").fetchone() == ("truncate",)  # as on a shared file system
    second = SqliteStore(sqlite3.connect(tmp_path / "j", timeout=30, isolation_level=None), tmp_path / "j")
    first.add_run(run_of(), [job_of()])
    second.save([job_of(state=State.QUEUED)], 0.0)
    assert first.jobs("r1") == [job_of(state=State.QUEUED)]
    first.close()
    second.close()
