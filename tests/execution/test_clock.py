"""The clock that waits are measured with: what happens to the wall clock moves no wait."""

from __future__ import annotations

import time

from adapter.execution.clock import RealClock


def test_a_wall_clock_that_is_set_back_by_an_hour_moves_nothing() -> None:
    wall, boot = [1_000_000.0], [50.0]
    clock = RealClock(lambda: wall[0], lambda: boot[0])
    assert clock.now() == 1_000_000.0
    wall[0] -= 3600
    boot[0] += 7
    assert clock.now() == 1_000_007.0


def test_it_shows_the_time_of_day() -> None:
    assert abs(RealClock().now() - time.time()) < 5
