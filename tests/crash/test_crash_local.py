from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.crash.story import assert_nothing_lost_or_doubled, crash, survive
from tests.crash.victim import POINTS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("point", list(POINTS))
def test_after_a_kill_at_any_point_a_new_process_finishes_the_run_and_no_job_is_lost_or_doubled(
    point: str, tmp_path: Path
) -> None:
    crash(tmp_path, "local", point)
    jobs = survive(tmp_path, "local")
    assert_nothing_lost_or_doubled(tmp_path, jobs)
