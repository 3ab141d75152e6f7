"""``adapter test`` as a whole: a file, its captures and goldens, the table, JSON, JUnit's XML and the exit code."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.cli.conftest import Shell

BACKEND = """\
format: 1
name: toy
extends: batch
submit: {command: 'toy-submit {{ script }}', job_id: '^(?P<job_id>\\d+)$'}
monitor:
  command: toy-list {{ job_ids | words }}
  row: '^(?P<job_id>\\d+) (?P<state>\\w+)$'
  states: {queued: [Q], running: [R], succeeded: [D], failed: [F]}
kill: {command: 'toy-kill {{ job_ids | words }}'}
errors: {transient: [try again]}
"""
CAPTURE = """\
about: A running job
source: written for the tests
action: monitor
asked: ["7"]
exit_code: 0
stdout: "7 R\\n"
expect: {jobs: {"7": {state: running}}}
"""


@pytest.fixture
def site(adapter: Shell) -> Path:
    (adapter.folder / "toy.yaml").write_text(BACKEND, encoding="utf-8")
    captures = adapter.folder / "captures" / "toy"
    captures.mkdir(parents=True)
    (captures / "running.yaml").write_text(CAPTURE, encoding="utf-8")
    return adapter.folder


def test_a_sound_file_is_green(adapter: Shell, site: Path) -> None:
    done = adapter("test", "./toy.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["TOY", "RESULT", "WHY"]
    assert ["capture", "running.yaml", "ok", "A", "running", "job"] in [line.split() for line in lines]
    assert lines[-1].startswith("toy: ")
    assert "failed" not in lines[-1]


def test_a_capture_that_does_not_fit_fails_it_and_says_why(adapter: Shell, site: Path) -> None:
    file = site / "captures" / "toy" / "running.yaml"
    file.write_text(CAPTURE.replace("state: running", "state: queued"), encoding="utf-8")
    done = adapter("test", "./toy.yaml")
    assert done.returncode == 1
    assert any(
        line.split(maxsplit=3) == ["capture", "running.yaml", "failed", "7: state: expected queued, came running"]
        for line in done.stdout.splitlines()
    )


def test_a_file_that_is_no_capture_fails_it(adapter: Shell, site: Path) -> None:
    (site / "captures" / "toy" / "running.yaml").write_text(CAPTURE.replace("about", "abut"), encoding="utf-8")
    done = adapter("test", "./toy.yaml")
    assert done.returncode == 1
    assert "running.yaml:1:1: unknown key 'abut'; did you mean 'about'?" in done.stdout


def test_further_captures_are_replayed_too(adapter: Shell, site: Path) -> None:
    (site / "recorded").mkdir()
    (site / "recorded" / "odd.yaml").write_text(CAPTURE.replace('"7 R', '"7 X'), encoding="utf-8")
    done = adapter("test", "./toy.yaml", "--captures", "recorded")
    assert done.returncode == 1
    assert "'X' is not in monitor.states (recorded/odd.yaml)" in done.stdout


def test_a_wrong_file_is_told_problem_by_problem(adapter: Shell, site: Path) -> None:
    text = BACKEND.replace("{{ script }}", "{{ scrpt }}").replace("kill:", "kil:")
    (site / "toy.yaml").write_text(text, encoding="utf-8")
    done = adapter("test", "./toy.yaml", "--json")
    rows = {row["name"]: row for row in json.loads(done.stdout)[0]["rows"]}
    assert done.returncode == 1
    assert "toy.yaml:9:1: unknown key 'kil'; did you mean 'kill'?" in rows["schema"]["why"]
    assert rows["variables"]["why"] == "./toy.yaml:4:34: unknown variable 'scrpt'; did you mean 'script'?"
    assert rows["quoting"] == {
        "kind": "rule",
        "name": "quoting",
        "about": "Hostile names, arguments, paths and ids arrive as they are, and a shell acts upon none of their "
        "characters.",
        "result": "not applicable",
        "why": "the file is not valid",
    }  # fmt: skip


def test_a_golden_is_compared_whole(adapter: Shell, site: Path) -> None:
    folder = site / "captures" / "toy" / "render"
    folder.mkdir()
    (folder / "hello.yaml").write_text("name: hello\ncommand: echo hello\n", encoding="utf-8")
    wanted = adapter("render", str(folder / "hello.yaml"), "--on", "./toy.yaml").stdout
    assert "echo hello" in wanted
    (folder / "hello.txt").write_text(wanted, encoding="utf-8")
    assert adapter("test", "./toy.yaml").returncode == 0

    changed = wanted.replace("toy-submit", "toy-send")
    (folder / "hello.txt").write_text(changed, encoding="utf-8")
    done = adapter("test", "./toy.yaml")
    number = next(at for at, line in enumerate(changed.splitlines(), 1) if line.startswith("toy-send"))
    assert done.returncode == 1
    assert f"line {number}: expected 'toy-send" in done.stdout


def test_a_golden_that_is_missing_is_not_made(adapter: Shell, site: Path) -> None:
    folder = site / "captures" / "toy" / "render"
    folder.mkdir()
    (folder / "hello.yaml").write_text("name: hello\ncommand: echo hello\n", encoding="utf-8")
    done = adapter("test", "./toy.yaml")
    assert done.returncode == 1
    assert "hello.txt cannot be read: No such file or directory; write there what should be rendered" in done.stdout
    assert not (folder / "hello.txt").exists()


def test_junit_has_a_case_for_each_row(adapter: Shell, site: Path) -> None:
    bad = CAPTURE.replace("state: running", "state: queued").replace('"7 R', '"7 R \\x1b')
    (site / "captures" / "toy" / "bad.yaml").write_text(bad, encoding="utf-8")
    done = adapter("test", "./toy.yaml", "--junit", "report.xml", "--json")
    data = json.loads(done.stdout)[0]
    suite = ET.parse(site / "report.xml").getroot().find("testsuite")
    assert suite is not None
    assert suite.attrib["name"] == "toy"
    assert int(suite.attrib["tests"]) == len(suite.findall("testcase")) == len(data["rows"])
    assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure")) == data["counts"]["failed"] == 1
    assert int(suite.attrib["skipped"]) == data["counts"]["not applicable"]
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.attrib["message"] == "7: expected queued, came nothing about it"


def test_inherited_captures_are_said_to_be_so(adapter: Shell, site: Path) -> None:
    (site / "mine.yaml").write_text("format: 1\nname: mine\nextends: ./toy.yaml\n", encoding="utf-8")
    done = adapter("test", "./mine.yaml")
    assert done.returncode == 0
    assert "mine has no captures of its own: those of toy are replayed (captures/toy)" in done.stdout


def test_a_backend_that_does_not_exist_is_wrong_usage(adapter: Shell) -> None:
    done = adapter("test", "slrum")
    assert done.returncode == 2
    assert "did you mean 'slurm'?" in done.stderr


def _golden(site: Path, expected: str) -> None:
    folder = site / "captures" / "toy" / "render"
    folder.mkdir(exist_ok=True)
    (folder / "hello.yaml").write_text("name: hello\ncommand: echo hello\n", encoding="utf-8")
    (folder / "hello.txt").write_text(expected, encoding="utf-8")


ENDS = "...\n==== submit\ntoy-submit ~/.adapter/RUN/0001-hello/script\n...\n==== kill\ntoy-kill JOB_ID\n...\n"


def test_a_line_of_dots_in_a_golden_stands_for_any_lines(adapter: Shell, site: Path) -> None:
    _golden(site, ENDS)
    assert adapter("test", "./toy.yaml").returncode == 0
    _golden(site, ENDS.replace("toy-kill JOB_ID", "toy-kill ID"))
    done = adapter("test", "./toy.yaml")
    assert done.returncode == 1
    assert "line 6: 'toy-kill ID' does not stand where it is expected" in done.stdout
    _golden(site, ENDS.removesuffix("...\n"))
    assert adapter("test", "./toy.yaml").returncode == 1


def test_a_golden_may_show_what_one_task_cannot(adapter: Shell, site: Path) -> None:
    _golden(site, "...\n")
    further = site / "captures" / "toy" / "render" / "hello.more.txt"
    further.write_text("...\n==== kill of two jobs\ntoy-kill ID-1 ID-2\n...\n", encoding="utf-8")
    assert adapter("test", "./toy.yaml").returncode == 0
    further.write_text("...\n==== kill of two jobs\ntoy-kill ID-1,ID-2\n...\n", encoding="utf-8")
    assert adapter("test", "./toy.yaml").returncode == 1


def test_goldens_are_not_inherited_and_hide_no_inherited_captures(adapter: Shell, site: Path) -> None:
    _golden(site, "only toy is rendered so\n")
    (site / "mine.yaml").write_text("format: 1\nname: mine\nextends: ./toy.yaml\n", encoding="utf-8")
    own = site / "captures" / "mine" / "render"
    own.mkdir(parents=True)
    (own / "hello.yaml").write_text("name: hello\ncommand: echo hello\n", encoding="utf-8")
    (own / "hello.txt").write_text(ENDS, encoding="utf-8")
    done = adapter("test", "./mine.yaml")
    assert done.returncode == 0, done.stdout
    assert "mine has no captures of its own: those of toy are replayed" in done.stdout


def test_a_shipped_file_finds_its_captures_however_its_path_is_written(adapter: Shell) -> None:
    templates = Path(__file__).parents[2] / "templates"
    (adapter.folder / "there").symlink_to(templates)
    for path in ("there/at.yaml", str(templates / "at.yaml")):
        done = adapter("test", path, "--json")
        rows = json.loads(done.stdout)[0]["rows"]
        assert sum(row["kind"] == "capture" for row in rows) == len(
            list((templates / "../tests/captures/at").glob("*.yaml"))
        )
