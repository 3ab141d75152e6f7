"""The JSON Schemas that come with this package."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

from adapter.config import search

if TYPE_CHECKING:
    from collections.abc import Mapping


@functools.cache
def schema(name: str) -> Mapping[str, Any]:
    """Return the shipped JSON Schema *name* (``backend``, ``task``, ``config``)."""
    text = search.shipped("schemas").joinpath(f"{name}.schema.json").read_text(encoding="utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


def schema_part(name: str, part: str) -> Mapping[str, Any]:
    """Return one definition of the schema *name*, usable on its own."""
    whole = schema(name)
    return {"$ref": f"#/$defs/{part}", "$defs": whole["$defs"]}
