from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapter.execution.journal import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal.open(tmp_path / "state" / "journal.sqlite")
    yield opened
    opened.close()
