"""The story of a new scheduler, followed by its own page: what it shows is taken from it and tried."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from adapter.cli.main import cli
from adapter.config.load import load_backend, validate_file

PAGE = Path(__file__).resolve().parents[2] / "docs" / "new-scheduler.md"
CAPTURE = ".adapter/captures/spooler/monitor.yaml"


def block(kind: str) -> str:
    """Return the one block of *kind* on the page."""
    (text,) = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return str(text)


def follow(folder: Path) -> Path:
    """Do in *folder* what the page does before the scheduler is asked; return the backend file."""
    began = CliRunner().invoke(cli, ["backends", "new", "spooler"])
    assert began.exit_code == 0, began.output
    file = folder / ".adapter" / "spooler.yaml"
    file.write_text(block("yaml spooler"), encoding="utf-8")
    (folder / CAPTURE).write_text(block("yaml capture"), encoding="utf-8")
    trusted = CliRunner().invoke(cli, ["trust", "spooler"])
    assert trusted.output == "trusted .adapter/spooler.yaml\n"
    return file


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADAPTER_STATE", str(tmp_path / "state"))
    return follow(tmp_path)


def test_the_file_has_under_forty_lines() -> None:
    assert len(block("yaml spooler").splitlines()) < 40


def test_the_file_is_valid_and_found_by_its_name(file: Path) -> None:
    assert validate_file(file) == []
    assert load_backend("spooler").backend.summary == "Task spooler, a queue on this machine"


def test_the_kit_finds_nothing_wrong_with_it_and_replays_the_capture(file: Path) -> None:
    tested = CliRunner().invoke(cli, ["test", "spooler"])
    assert tested.exit_code == 0, tested.output
    assert re.search(r"^capture monitor.yaml +ok", tested.output, re.MULTILINE)


def test_a_capture_that_expects_otherwise_fails(file: Path) -> None:
    capture = file.parent / "captures" / "spooler" / "monitor.yaml"
    changed = yaml.safe_load(capture.read_text(encoding="utf-8"))
    changed["expect"]["jobs"]["0"]["exit_code"] = 4
    capture.write_text(yaml.safe_dump(changed), encoding="utf-8")
    tested = CliRunner().invoke(cli, ["test", "spooler"])
    assert re.search(r"^capture monitor.yaml +failed", tested.output, re.MULTILINE)
