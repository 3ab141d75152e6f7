"""What holds for all tests."""

from __future__ import annotations

import os

from hypothesis import settings

# A loaded machine is no mistake; and CI judges a change by the same examples as the change before.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")
