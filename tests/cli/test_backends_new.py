"""``adapter backends new``: a skeleton that validates, with a capture beside it, and the line for an editor."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adapter.cli.main import cli
from adapter.config.load import load_backend, load_merged, validate_file


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADAPTER_STATE", str(tmp_path / "state"))
    return tmp_path


def new(*words: str) -> Result:
    return CliRunner().invoke(cli, ["backends", "new", *words])


def test_the_skeleton_is_valid_and_found_by_its_name(here: Path) -> None:
    made = new("mine")
    assert made.exit_code == 0, made.output
    assert validate_file(here / ".adapter" / "mine.yaml") == []
    assert load_backend("mine").backend.lineage == ("mine", "batch")


def test_every_key_of_the_skeleton_has_a_comment(here: Path) -> None:
    new("mine")
    text = (here / ".adapter" / "mine.yaml").read_text(encoding="utf-8")
    for key in ("needs", "submit", "monitor", "kill", "find", "errors", "directives"):
        section = text.partition(f"\n{key}:")[2].partition("\n\n")[0]
        assert "#" in section, key


def test_its_capture_is_replayed_and_the_kit_finds_nothing_wrong(here: Path) -> None:
    new("mine")
    tested = CliRunner().invoke(cli, ["test", "mine"])
    assert tested.exit_code == 0, tested.output
    assert re.search(r"^capture monitor.yaml +ok", tested.output, re.MULTILINE)


def test_its_job_renders(here: Path) -> None:
    new("mine")
    words = ["render", "--on", "mine", "--cpu", "2", "--ram", "1 GiB", "--walltime", "90m", "--", "true"]
    shown = CliRunner().invoke(cli, words)
    assert shown.exit_code == 0, shown.output
    assert "#JOB --cores=2\n#JOB --memory=1024\n#JOB --time=01:30:00\n" in shown.output


@pytest.mark.parametrize("words", [["mine"], ["site", "--like", "slurm"]], ids=["alone", "like another"])
def test_the_first_line_leads_an_editor_to_the_schema(here: Path, words: list[str]) -> None:
    new(*words)
    for file in (here / ".adapter").rglob("*.yaml"):
        first = file.read_text(encoding="utf-8").splitlines()[0]
        match = re.fullmatch(r"# yaml-language-server: \$schema=(.+)", first)
        assert match, first
        wanted = "Capture" if "captures" in file.parts else "Backend file"
        assert json.loads(Path(match[1]).read_text(encoding="utf-8"))["title"].startswith(wanted)


def test_like_another_it_is_that_one_until_a_line_is_uncommented(here: Path) -> None:
    new("site", "--like", "slurm")
    file = here / ".adapter" / "site.yaml"
    assert validate_file(file) == []
    mine, theirs = load_merged("site").document, load_merged("slurm").document
    assert {key: mine[key] for key in ("directives", "submit", "monitor", "kill", "errors")} == {
        key: theirs[key] for key in ("directives", "submit", "monitor", "kill", "errors")
    }


def test_what_stands_in_its_comments_is_valid_when_uncommented(here: Path) -> None:
    new("site", "--like", "slurm")
    file = here / ".adapter" / "site.yaml"
    head, _, keys = file.read_text(encoding="utf-8").partition("\n# needs:\n")
    keys = "# needs:\n" + keys
    file.write_text(head + "\n" + re.sub(r"^# ?", "", keys, flags=re.MULTILINE), encoding="utf-8")
    assert validate_file(file) == []
    assert load_merged("site").document["submit"] == load_merged("slurm").document["submit"]


@pytest.mark.parametrize("there", ["mine.yaml", "captures/mine/monitor.yaml"])
def test_nothing_is_overwritten(here: Path, there: str) -> None:
    file = here / ".adapter" / there
    file.parent.mkdir(parents=True)
    file.write_text("mine\n", encoding="utf-8")
    made = new("mine")
    assert made.exit_code == 2
    assert f".adapter/{there} is there already" in made.output
    assert [path for path in here.rglob("*") if path.is_file()] == [file]
    assert file.read_text(encoding="utf-8") == "mine\n"


def test_it_can_be_written_elsewhere(here: Path) -> None:
    made = new("mine", "--to", "site/my-cluster.yaml")
    assert made.exit_code == 0, made.output
    assert (here / "site" / "my-cluster.yaml").exists()
    assert (here / "site" / "captures" / "mine" / "monitor.yaml").exists()


def test_a_name_that_is_none_is_refused(here: Path) -> None:
    made = new("../mine")
    assert made.exit_code == 2
    assert list(here.iterdir()) == []


def test_the_schema_s_place_is_told() -> None:
    told = CliRunner().invoke(cli, ["backends", "schema"])
    assert json.loads(Path(told.output.strip()).read_text(encoding="utf-8"))["title"] == "Backend file, format 1"
