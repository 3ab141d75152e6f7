"""``adapter check``: what it finds, what it makes of it, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from adapter.config.load import load_backend
from adapter.core.backend import Backend, backend_from, merge
from adapter.core.batch import BatchAnswer, BatchResult
from adapter.errors import AuthenticationError, OutcomeUnknown
from adapter.execution.preflight import (
    Health,
    Preflight,
    Trip,
    clock_row,
    noise_row,
    program_rows,
    space_row,
    tool_rows,
)
from adapter.results import CompletedCommand
from adapter.transports.local import LocalTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapter.execution.preflight import Row
    from tests.cli.conftest import Shell

KEYS = {
    "backend", "version", "usable", "ok", "rows", "cases", "counts", "also_seen", "left_behind", "interrupted",
    "seconds", "note",
}  # fmt: skip
NOT_HERE = {
    "walltime": "left out of a quick check",
    "memory": "nothing says that memory was why",  # the bound is on each process: an allocation fails
    "memory used": "not told",
    "bad queue": "no way to ask for queue",
    "held": "--hold-option",
    "array": "no `array`",
}


class Ticking:
    """A clock that moves on by a tenth of a second whenever it is read."""

    def __init__(self, at: float = 1000.0) -> None:
        self.at = at

    def now(self) -> float:
        self.at += 0.1
        return self.at

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing waits")


class Noisy(LocalTransport):
    """This machine, with a shell that talks before it listens; ``answers`` says what becomes of each run."""

    def __init__(self, out: str = "", err: str = "", broken: Callable[[str], Exception | None] | None = None) -> None:
        super().__init__()
        self.out, self.err, self.broken = out, err, broken
        self.runs: list[str] = []

    async def run(self, command: str, *, stdin: str = "", timeout_s: float) -> CompletedCommand:
        self.runs.append(stdin)
        if self.broken and (error := self.broken(stdin)):
            raise error
        done = await super().run(command, stdin=stdin, timeout_s=timeout_s)
        return CompletedCommand(
            command=command, exit_code=done.exit_code, stdout=self.out + done.stdout, stderr=self.err + done.stderr
        )


def backend(tmp_path: Path, **changes: object) -> Backend:
    loaded = load_backend("local").backend
    document = merge(loaded.document, {"workspace": str(tmp_path / "workspace"), **changes})
    return backend_from(document, name="mine", lineage=loaded.lineage)


def found(checker: Preflight) -> dict[str, Row]:
    return {row.name: row for row in asyncio.run(checker.check())}


def data(adapter: Shell, name: str) -> tuple[int, dict[str, Any]]:
    done = adapter("check", name, "--no-jobs", "--json")
    assert done.stdout, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, told


# -- as a command


def test_this_machine_is_well(adapter: Shell) -> None:
    code, told = data(adapter, "local")
    assert (code, set(told), told["usable"], told["backend"]) == (0, KEYS, True, "local")
    assert "no job was submitted" in told["note"]
    assert [row["name"] for row in told["rows"]] == [
        "connection", "round trip", "shell noise", "program setsid", "workspace", "writable", "free space", "clock",
    ]  # fmt: skip
    for row in told["rows"]:
        assert set(row) == {"name", "status", "found", "fix"}
    rows = {row["name"]: row["found"] for row in told["rows"]}
    assert re.fullmatch(r"\d+ ms \(median of 5; slowest \d+ ms\)", rows["round trip"])
    assert rows["workspace"] == str(Path(adapter.environ["HOME"]).resolve() / ".adapter")
    assert Path(rows["program setsid"]).is_absolute()


def test_nothing_is_left_in_the_workspace_and_nothing_in_the_store(adapter: Shell) -> None:
    adapter("check", "local", "--no-jobs")
    assert list((Path(adapter.environ["HOME"]) / ".adapter").iterdir()) == []
    assert not Path(adapter.environ["ADAPTER_STATE"]).exists()


def test_a_missing_program_fails_with_what_to_do(adapter: Shell) -> None:
    (adapter.folder / "mine.yaml").write_text(
        "format: 1\nname: mine\nextends: local\nneeds: [setsid, no-such-program, moved]\nprograms: {moved: /no/moved}\n"
    )
    done = adapter("check", "./mine.yaml")  # no job is submitted where the looks failed
    assert done.returncode == 5
    assert re.search(r"^program no-such-program +failed +not found", done.stdout, re.MULTILINE)
    assert (
        "program no-such-program: load what provides it, or give its path: `programs: {no-such-program:" in done.stdout
    )
    assert re.search(r"^program moved +failed", done.stdout, re.MULTILINE)
    assert re.search(r"^program setsid +ok", done.stdout, re.MULTILINE)
    assert done.stdout.splitlines()[-2:][0] == "2 of 10 failed"
    assert "no job was submitted" in done.stdout.splitlines()[-1]


def test_a_workspace_that_cannot_be_made_fails_with_what_to_do(adapter: Shell) -> None:
    (adapter.folder / "file").write_text("in the way")
    (adapter.folder / "mine.yaml").write_text(
        f"format: 1\nname: mine\nextends: local\nworkspace: {adapter.folder}/file/below\n"
    )
    code, told = data(adapter, "./mine.yaml")
    (row,) = [row for row in told["rows"] if row["name"] == "workspace"]
    assert (code, row["status"]) == (5, "failed")
    assert "file/below" in row["found"]
    assert "set `workspace`" in row["fix"]


def test_help_says_what_is_done_and_shows_examples(adapter: Shell) -> None:
    done = adapter("check", "--help")
    assert "small real jobs are submitted" in done.stdout
    assert done.stdout.count("\n    adapter ") >= 2


def test_the_table_passes_here_and_leaves_nothing(adapter: Shell) -> None:
    done = adapter("check", "local", "--quick", "--json", "--report", "report.md", timeout_s=600)
    told = json.loads(done.stdout)
    assert done.returncode == 0, told
    why = {case["name"]: case["why"] for case in told["cases"] if case["verdict"] != "ok"}
    assert why.keys() == NOT_HERE.keys()
    assert [name for name, words in NOT_HERE.items() if words not in why[name]] == []
    assert (len(told["cases"]), told["counts"]["failed"], told["left_behind"]) == (35, 0, [])
    assert list((Path(adapter.environ["HOME"]) / ".adapter").iterdir()) == []
    assert not Path(adapter.environ["ADAPTER_STATE"]).exists()
    assert "under way" in done.stderr
    report = (adapter.folder / "report.md").read_text()
    assert "| exit 3 | ok |" in report
    assert adapter.environ["HOME"] not in report


def test_a_case_that_comes_otherwise_fails_the_check(adapter: Shell) -> None:
    (adapter.folder / "mine.yaml").write_text("format: 1\nname: mine\nextends: local\nprologue: [echo noise]\n")
    done = adapter("check", "./mine.yaml", "--only", "arguments", "--only", "exit 0")
    assert done.returncode == 5
    assert re.search(r"^arguments +failed +[\d.]+  expected .* came 'noise", done.stdout, re.MULTILINE)
    assert re.search(r"^exit 0 +ok +[\d.]+$", done.stdout, re.MULTILINE)
    assert re.search(r"^1 ok, 1 failed in ", done.stdout, re.MULTILINE)


def test_a_case_that_there_is_not_is_wrong_usage(adapter: Shell) -> None:
    done = adapter("check", "local", "--only", "exit 30")
    assert done.returncode == 2
    assert "did you mean 'exit 3'" in done.stderr


def test_an_interrupt_kills_what_runs_and_removes_it(
    adapter: Shell, until: Callable[[Callable[[], bool]], None]
) -> None:
    workspace = Path(adapter.environ["HOME"]) / ".adapter"
    process = adapter.begin("check", "local", "--only", "walltime", "--walltime", "10m")
    try:
        until(lambda: any(workspace.glob("*/*/job_i?")))  # a link to nowhere: a name without a wildcard is not found
        wrapper = next(workspace.glob("*/*/job_i?")).readlink().name.split()[1].partition(".")[0]
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "interrupted: jobs are killed" in stderr
    assert list(workspace.iterdir()) == []
    until(lambda: not lives(wrapper))


def lives(pid: str) -> bool:
    """Whether the process runs: one that nobody has reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_terminal_shows_what_is_under_way(adapter: Shell) -> None:
    shown, code = adapter.on_terminal(["check", "local", "--only", "walltime", "--walltime", "4s"], [])
    assert code == 0
    assert "under way: walltime (running)" in shown
    assert re.search(r"walltime +ok", shown)


def test_what_is_recorded_replays(adapter: Shell) -> None:
    cases = ["--only", "exit 3", "--only", "kill running", "--only", "find"]
    done = adapter("record", "local", "--to", "kept", *cases)
    assert done.returncode == 0, done.stdout + done.stderr
    kept = sorted(path.name for path in (adapter.folder / "kept").iterdir())
    assert {name.split("-")[1] for name in kept} >= {"submit", "monitor", "kill"}
    assert adapter.environ["HOME"] not in "".join(path.read_text() for path in (adapter.folder / "kept").iterdir())
    tested = adapter("test", "local", "--captures", "kept", "--json")
    rows = {Path(row["name"]).name: row["result"] for row in json.loads(tested.stdout)[0]["rows"]}
    assert {name: rows[name] for name in kept} == dict.fromkeys(kept, "ok")
    assert adapter("record", "local", "--to", "kept", *cases).returncode == 2  # nothing is written over unasked


def test_an_unknown_backend_is_wrong_usage(adapter: Shell) -> None:
    assert adapter("check", "nope").returncode == 2


# -- the looks


def test_noise_is_measured_and_stops_nothing(tmp_path: Path) -> None:
    rows = found(Preflight(backend(tmp_path), Noisy("Welcome to x\nmotd\n", "module: grün\n"), Ticking()))
    assert rows["shell noise"].health is Health.NOTE
    assert rows["shell noise"].found == (
        "stdout: 18 bytes, first line 'Welcome to x'; stderr: 14 bytes, first line 'module: grün'"
    )
    assert {row.health for name, row in rows.items() if name != "shell noise"} <= {Health.OK, Health.NOTE}


def test_a_target_that_refuses_us_is_one_row(tmp_path: Path) -> None:
    refusing = Noisy(broken=lambda _: AuthenticationError("it does not let us in"))
    (row,) = asyncio.run(Preflight(backend(tmp_path), refusing, Ticking()).check())
    assert (row.name, row.health, row.found) == ("connection", Health.FAILED, "it does not let us in")
    assert len(refusing.runs) == 1


def test_a_shell_that_runs_nothing_is_a_failed_connection(tmp_path: Path) -> None:
    class Closed(LocalTransport):
        async def run(self, command: str, *, stdin: str = "", timeout_s: float) -> CompletedCommand:
            return CompletedCommand(command=command, exit_code=1, stdout="This account is closed.\n", stderr="")

    (row,) = asyncio.run(Preflight(backend(tmp_path), Closed(), Ticking()).check())
    assert row.health is Health.FAILED
    assert "ran nothing (exit code 1): This account is closed." in row.found


def test_a_target_that_falls_silent_keeps_the_rows_so_far(tmp_path: Path) -> None:
    silent = Noisy(broken=lambda script: OutcomeUnknown("no answer in time") if "workspace" in script else None)
    rows = found(Preflight(backend(tmp_path), silent, Ticking()))
    assert list(rows) == ["connection", "round trip", "shell noise", "answers"]
    assert rows["answers"].health is Health.FAILED


def test_a_version_is_read_and_one_that_is_not_understood_is_a_note(tmp_path: Path) -> None:
    version = {"command": "echo thing 22.5", "pattern": r"thing (?P<version>[\d.]+)"}
    asked = found(Preflight(backend(tmp_path, version=version), LocalTransport(), Ticking()))
    assert (asked["scheduler version"].health, asked["scheduler version"].found) == (Health.OK, "22.5")
    version["command"] = "echo something else"
    asked = found(Preflight(backend(tmp_path, version=version), LocalTransport(), Ticking()))
    assert asked["scheduler version"].health is Health.NOTE


def test_a_version_command_finds_the_backend_s_own_programs(tmp_path: Path) -> None:
    program = tmp_path / "other name"
    program.write_text("#!/bin/sh\necho thing 7\n")
    program.chmod(0o755)
    changes = {
        "programs": {"thing": str(program)},
        "version": {"command": "thing", "pattern": r"thing (?P<version>\d+)"},
    }
    rows = found(Preflight(backend(tmp_path, **changes), LocalTransport(), Ticking()))
    assert (rows["program thing"].found, rows["scheduler version"].found) == (str(program), "7")


def test_the_program_that_starts_images_is_looked_for_after_the_prologue(tmp_path: Path) -> None:
    program = tmp_path / "boxer"
    program.write_text("")
    program.chmod(0o755)
    launch = {"program": "boxer", "command": "boxer {{ argv | words }}"}
    changes = {"launch": launch, "images": {"docker": "{{ name }}"}}
    rows = found(Preflight(backend(tmp_path, **changes), LocalTransport(), Ticking()))
    assert (rows["launcher boxer"].health, rows["launcher boxer"].found) == (Health.NOTE, "not found on this machine")
    changes["prologue"] = [f"PATH={tmp_path}:$PATH", "echo noise"]
    rows = found(Preflight(backend(tmp_path, **changes), LocalTransport(), Ticking()))
    assert rows["launcher boxer"].found == f"{program} (jobs look for their own)"


# -- what it makes of answers


def heard(stdout: str = "", *, out: str = "", err: str = "", began_at: float = 0.0, took_s: float = 0.0) -> Trip:
    answer = CompletedCommand(command="", exit_code=0, stdout=stdout, stderr="")
    return Trip(BatchResult([BatchAnswer(answer)], out, err), began_at, began_at + took_s)


def test_no_noise_is_well_and_silence_is_a_note() -> None:
    assert noise_row("shell noise", heard()).health is Health.OK
    assert noise_row("shell noise", None).health is Health.NOTE


@pytest.mark.parametrize(
    ("date", "trips", "health", "begins"),
    [
        pytest.param("1000", [(999.0, 3.0), (1000.0, 1.0)], Health.OK, "+0 s", id="alike-by-the-fastest"),
        pytest.param("1100", [(1000.0, 1.0)], Health.NOTE, "+100 s", id="ahead"),
        pytest.param("900", [(1000.0, 1.0)], Health.NOTE, "-100 s", id="behind"),
        pytest.param("1059", [(1000.0, 1.0)], Health.OK, "+59 s", id="a-little"),
        pytest.param("1050", [(1000.0, 100.0)], Health.OK, "+0 s", id="half-the-round-trip-is-not-skew"),
        pytest.param("what?", [(1000.0, 1.0)], Health.NOTE, "date says", id="no-date"),
    ],
)
def test_clocks_are_compared(date: str, trips: list[tuple[float, float]], health: Health, begins: str) -> None:
    row = clock_row([heard(f"{date}\n", began_at=began, took_s=took) for began, took in trips])
    assert row.health is health
    assert row.found.startswith(begins)


@pytest.mark.parametrize(
    ("line", "health", "shown"),
    [
        ("/dev/a b 100 50 2097152 50% /home/x y", Health.OK, "2.0 GiB"),
        ("/dev/a 100 50 524288 50% /", Health.NOTE, "512.0 MiB"),
        ("/dev/a 100 100 0 100% /", Health.FAILED, "0 B"),
        ("", Health.NOTE, "df does not tell"),
    ],
    ids=["spaces-in-names", "little", "full", "no-answer"],
)
def test_space_is_read_from_df(line: str, health: Health, shown: str) -> None:
    assert (space_row(line).health, space_row(line).found) == (health, shown)


def test_a_program_that_only_a_login_shell_has_says_so() -> None:
    (row,) = program_rows(
        ["run-it"], {"with login_shell": ["run-it /opt/bin/run-it"], "without login_shell": ["run-it "]}
    )
    assert row.health is Health.FAILED
    assert "found with login_shell (/opt/bin/run-it)" in row.fix
    assert "connection.login_shell" in row.fix


def test_either_program_for_checksums_will_do() -> None:
    lines = ["tar /bin/tar", "sha256sum ", "shasum /usr/bin/shasum", "mkdir /bin/mkdir", "find ", "mkdir-p yes"]
    assert {row.name: row.health for row in tool_rows(lines)} == {
        "tool tar": Health.OK, "tool sha256sum": Health.OK, "tool find": Health.FAILED, "tool mkdir -p": Health.OK,
    }  # fmt: skip


def test_a_hostile_workspace_is_one_word(tmp_path: Path) -> None:
    name = "it's $(touch /tmp/adapter-hostile); x"
    rows = found(Preflight(backend(tmp_path, workspace=f"{tmp_path}/{name}"), LocalTransport(), Ticking()))
    assert rows["workspace"].found.endswith(f"/{name}")
    assert not Path("/tmp/adapter-hostile").exists()
