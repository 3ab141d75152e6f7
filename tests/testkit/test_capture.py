"""Capture files: what is in them, the mistakes that are told with their place, and where they are looked for."""
# ruff: noqa: E501 (a table reads by its rows)

from __future__ import annotations

from pathlib import Path

import pytest

from adapter.config.load import load_merged
from adapter.errors import ConfigError
from adapter.testkit.capture import find_captures, parse_capture

from .samples import CAPTURES, capture

GOOD = """\
about: One job
source: written for the tests
action: monitor
asked: [101, "102"]
exit_code: 0
stdout: "101 R \\x1b[0m\\uFFFD\\n"
expect: {jobs: {101: {state: running, native_state: 0}}}
"""


def test_ids_and_words_are_texts_however_they_are_written() -> None:
    one = parse_capture(GOOD, "one.yaml")
    assert one.asked == ("101", "102")
    assert one.jobs == {"101": {"state": "running", "native_state": "0"}}
    assert one.absent == ("102",)
    assert one.stdout == "101 R \x1b[0m\ufffd\n"
    assert (one.stderr, one.version) == ("", None)


def test_a_capture_that_is_no_answer_shows_nobody_absent() -> None:
    assert capture(CAPTURES["busy"]).absent == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("about:", "abut:"), "one.yaml:1:1: unknown key 'abut'; did you mean 'about'?"),
        (("monitor", "moniter"), "one.yaml:3:9: action: found the text 'moniter', expected one of submit, monitor, result, find, watch, kill, version, log, words; did you mean 'monitor'?"),
        (("exit_code: 0", "exit_code: none"), "one.yaml:5:12: exit_code: found the text 'none', expected a whole number"),
        (("state: running", "state: runing"), "one.yaml:7:30: expect.jobs.101.state: found the text 'runing', expected one of queued, held, running, suspended, succeeded, failed, killed, unknown; did you mean 'running'?"),
        (("state: running", "wall: 7"), "one.yaml:7:23: unknown key 'wall'; did you mean 'wall_s'?"),
        (("{jobs:", "{job_id: a, jobs:"), "one.yaml:7:10: unknown key 'job_id'; did you mean 'jobs'?"),
        (("{101: {", "{103: {"), "one.yaml:7:17: '103' is not under `asked`"),
        (("expect: {", "expect: {absent: [101], "), "one.yaml:7:19: '101' stands under `jobs` too; keep one"),
        (("asked: [101, \"102\"]\n", ""), "one.yaml:1:1: missing key 'asked'"),
    ],
    ids=["a misspelt key", "no such action", "no number", "no such state", "no such field", "of another action", "not asked", "twice", "nobody asked"],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(change: tuple[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_capture(GOOD.replace(*change), "one.yaml")
    assert message in str(caught.value).splitlines()


PARENT = """\
format: 1
name: parent
extends: batch
submit: {command: 'p-submit {{ script }}', job_id: '^(?P<job_id>\\d+)$'}
monitor:
  command: p-list {{ job_ids | words }}
  row: '^(?P<job_id>\\d+) (?P<state>\\w+)$'
  states: {running: [R], succeeded: [D], failed: [F]}
kill: {command: 'p-kill {{ job_ids | words }}'}
"""
CHILD = "format: 1\nname: child\nextends: ./parent.yaml\n"


def put(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text(GOOD, encoding="utf-8")


def found_for(file: Path, *extra: Path) -> list[tuple[str | None, list[str]]]:
    merged = load_merged(str(file))
    found = find_captures(merged.name, merged.lineage, merged.provenance, extra)
    return [(folder.inherited_from, [Path(one.file).name for one in folder.captures]) for folder in found.folders]


@pytest.fixture
def child(tmp_path: Path) -> Path:
    (tmp_path / "parent.yaml").write_text(PARENT, encoding="utf-8")
    (tmp_path / "child.yaml").write_text(CHILD, encoding="utf-8")
    return tmp_path / "child.yaml"


@pytest.mark.parametrize("place", ["captures", "tests/captures"])
def test_captures_lie_beside_the_file(child: Path, place: str) -> None:
    put(child.parent / place / "child", "b.yaml", "a.yml", "notes.txt")
    put(child.parent / place / "parent", "c.yaml")
    assert found_for(child) == [(None, ["a.yml", "b.yaml"])]


def test_without_a_folder_of_its_own_the_nearest_ancestors_captures_count(child: Path) -> None:
    put(child.parent / "captures" / "parent", "c.yaml")
    assert found_for(child) == [("parent", ["c.yaml"])]


def test_an_empty_folder_of_its_own_inherits_nothing(child: Path) -> None:
    put(child.parent / "captures" / "child")
    put(child.parent / "captures" / "parent", "c.yaml")
    assert found_for(child) == [(None, [])]


def test_a_site_that_extends_a_shipped_backend_inherits_the_shipped_captures(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("format: 1\nname: site\nextends: slurm\n", encoding="utf-8")
    [(owner, names)] = found_for(tmp_path / "site.yaml")
    assert owner == "slurm"
    assert len(names) >= 12


def test_further_folders_are_added(child: Path, tmp_path: Path) -> None:
    put(tmp_path / "recorded", "r.yaml")
    put(child.parent / "captures" / "child", "a.yaml")
    assert found_for(child, tmp_path / "recorded") == [(None, ["a.yaml"]), (None, ["r.yaml"])]


def test_a_file_that_is_no_capture_is_a_problem_and_hides_no_other(child: Path) -> None:
    folder = child.parent / "captures" / "child"
    put(folder, "good.yaml")
    (folder / "bad.yaml").write_text("about: 7\n", encoding="utf-8")
    merged = load_merged(str(child))
    found = find_captures(merged.name, merged.lineage, merged.provenance)
    assert [Path(one.file).name for one in found.folders[0].captures] == ["good.yaml"]
    assert {problem.file for problem in found.problems} == {str(folder / "bad.yaml")}


def test_the_capture_in_the_document_is_one() -> None:
    text = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
    block = text.partition("```yaml capture\n")[2].partition("```")[0]
    one = parse_capture(block, "docs/testing.md")
    assert one.jobs == {"3.vm": {"state": "failed", "exit_code": 3}}
    assert one.absent == ("9.vm",)
