from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapter.store.sqlite import SqliteStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore.open(tmp_path / "state" / "journal.sqlite")
    yield opened
    opened.close()
