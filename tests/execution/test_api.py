"""The same without asyncio: ``adapter.Session``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import adapter

if TYPE_CHECKING:
    from pathlib import Path


def test_a_wait_that_takes_too_long_says_which_run_goes_on(tmp_path: Path) -> None:
    machine = adapter.ScriptedTransport([("^sbatch --parsable", "7"), ("^squeue .*--jobs=7", "7|RUNNING|0|None|")])
    with adapter.Session("slurm", transport=machine, store=tmp_path / "journal.sqlite") as session:
        run = session.submit([adapter.Task(steps=(adapter.Step(argv=("true",)),))])
        with pytest.raises(TimeoutError, match=rf"^run {run} has not ended within 0\.2 s; its jobs go on$"):
            session.wait(run, timeout_s=0.2)
