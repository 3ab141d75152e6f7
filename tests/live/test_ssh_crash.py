"""A process is killed at any point while its jobs run on a far machine, through both SSH clients."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from adapter.transports.masters import masters
from tests.crash.story import assert_nothing_lost_or_doubled, crash, survive
from tests.crash.victim import POINTS
from tests.live.clients import CLIENTS
from tests.live.conftest import ssh_config

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder in which the far user, who is another one on this machine, may write."""
    folder = Path(tempfile.mkdtemp(prefix="adapter-crash-", dir="/var/tmp"))
    folder.chmod(0o777)
    yield folder
    asyncio.run(masters(folder / "private" / "links", close=True))
    shutil.rmtree(folder)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("point", list(POINTS))
def test_after_a_kill_at_any_point_the_far_machine_has_run_each_job_exactly_once(
    point: str, client: str, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADAPTER_CRASH_SSH", ssh_config())
    crash(shared, f"local@{client}", point)
    assert_nothing_lost_or_doubled(shared, survive(shared, f"local@{client}"))
