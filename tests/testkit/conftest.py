"""``adapter`` as a process, as the tests of the command line run it."""

from __future__ import annotations

from tests.cli.conftest import adapter

__all__ = ["adapter"]
