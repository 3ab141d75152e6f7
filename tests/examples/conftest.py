"""The examples run as a user runs them, with a home, a state and a working folder of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@dataclass(frozen=True)
class User:
    """Somebody with a fresh account, and ``adapter`` on the PATH."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("ADAPTER_", "XDG_", "MINIQ_"))
        }
        return {
            **kept,
            "HOME": str(self.folder / "home"),
            "ADAPTER_STATE": str(self.folder / "state"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def does(self, *command: str | Path, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        """Run *command*; *more* goes into its environment."""
        return subprocess.run(
            command, cwd=cwd or self.folder, env={**self.environment, **more}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def copy_of(self, name: str) -> Path:
        """Return a copy of the example *name* that may be written to."""
        return Path(shutil.copytree(EXAMPLES / name, self.folder / name))


@pytest.fixture
def user(tmp_path: Path) -> User:
    (tmp_path / "home").mkdir()
    return User(tmp_path)
