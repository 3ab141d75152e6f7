"""Every shipped backend keeps every rule, and its captures mean what they say: ``adapter test`` is green."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter.cli.test import rendered
from adapter.testkit.run import examine, shipped_backends
from adapter.testkit.subject import Status

CAPTURES = Path(__file__).parent / "captures"
SHIPPED = shipped_backends()
AT_LEAST_TWELVE = ["flux", "htcondor", "lsf", "pbs", "sge", "slurm", "torque"]


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: Path(file).stem)
def test_a_shipped_backend_is_green(file: str) -> None:
    report = examine(file, (), rendered)
    assert [f"{row.name}: {row.outcome.why}" for row in report.rows if row.outcome.status is Status.FAILED] == []


def test_every_folder_of_captures_belongs_to_a_shipped_backend() -> None:
    assert {folder.name for folder in CAPTURES.iterdir()} <= {Path(file).stem for file in SHIPPED}


@pytest.mark.parametrize("name", AT_LEAST_TWELVE)
def test_the_great_schedulers_have_a_dozen_captures_each(name: str) -> None:
    assert len(list((CAPTURES / name).glob("*.yaml"))) >= 12
