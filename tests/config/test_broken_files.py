"""Every mistake is found when a file is read, at its place: the files in ``broken/`` beside what must be said of them.

``NAME.expected`` was written by reading ``NAME``. ``...`` at a line's end stands for folders of this machine,
``FOLDER`` for the folder ``broken``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from adapter.config.load import load_backend, validate_file
from adapter.config.tasks import load_tasks
from adapter.errors import ConfigError

BROKEN = Path(__file__).parent / "broken"
NAMES = sorted(path.name.removesuffix(".expected") for path in BROKEN.glob("*.expected"))


def said_of(name: str) -> list[str]:
    if ".task." not in name:
        return [str(problem) for problem in validate_file(name, cwd=BROKEN, environ={})]
    with pytest.raises(ConfigError) as caught:
        load_tasks(name, cwd=BROKEN)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("name", NAMES)
def test_a_mistake_is_told_at_its_place(name: str) -> None:
    expected = (BROKEN / f"{name}.expected").read_text().replace("FOLDER", str(BROKEN)).splitlines()
    said = said_of(name)
    cut = [
        one[: len(line) - 3] + "..." if line.endswith("...") else one for one, line in zip(said, expected, strict=False)
    ]
    assert [*cut, *said[len(expected) :]] == expected


def test_every_broken_file_has_its_expectation() -> None:
    files = {path.name for path in BROKEN.iterdir() if path.is_file() and path.suffix != ".expected"}
    assert files == set(NAMES)
    assert len(files) >= 32


@pytest.mark.parametrize("name", [name for name in NAMES if ".task." not in name])
def test_a_broken_backend_cannot_be_loaded(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_backend(name, cwd=BROKEN, environ={})
    assert caught.value.problems


def test_what_the_broken_files_extend_is_right() -> None:
    assert validate_file(".adapter/base.yaml", cwd=BROKEN, environ={}) == []


def test_the_command_prints_every_mistake_of_a_folder_at_its_place() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "adapter", "validate", "."], cwd=BROKEN, capture_output=True, text=True, check=False
    )
    lines = said.stdout.splitlines()
    for name in NAMES:
        for expected in (BROKEN / f"{name}.expected").read_text().replace("FOLDER", str(BROKEN)).splitlines():
            start = expected.removesuffix("...")
            assert any(line == expected or (start != expected and line.startswith(start)) for line in lines), expected
    assert said.returncode == 2
