"""The library: shell text that ``templates/lib`` holds for jobs and commands on the target."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from adapter.config.search import shipped

if TYPE_CHECKING:
    from collections.abc import Mapping


@functools.cache
def library() -> Mapping[str, str]:
    """Return the text of each file of the library, by its name without ``.sh``."""
    files = sorted(shipped("templates").joinpath("lib").iterdir(), key=lambda item: item.name)
    return {each.name[:-3]: each.read_text(encoding="utf-8") for each in files if each.name.endswith(".sh")}
