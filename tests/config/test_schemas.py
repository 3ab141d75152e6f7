"""Our schemas are JSON Schemas that any tool takes, and each of their keys has a reader."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

ROOT = Path(__file__).parents[2]
SCHEMAS = sorted((ROOT / "schemas").glob("*.json"))
_ONE = frozenset({"additionalProperties", "propertyNames", "items", "not", "if", "then", "else", "contains"})
_LIST = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAP = frozenset({"properties", "patternProperties", "$defs", "dependentSchemas"})


def read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def places(schema: Any, pointer: str = "#") -> Iterator[str]:
    """Return the address of each place in *schema* that JSON Schema knows as a schema."""
    yield pointer
    for keyword, value in schema.items() if isinstance(schema, dict) else ():
        if keyword in _ONE:
            yield from places(value, f"{pointer}/{keyword}")
        elif keyword in _LIST:
            for index, inner in enumerate(value):
                yield from places(inner, f"{pointer}/{keyword}/{index}")
        elif keyword in _MAP:
            for name, inner in value.items():
                yield from places(inner, f"{pointer}/{keyword}/{name}")


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from ([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def check_jsonschema(*arguments: str | Path) -> None:
    """Ask a program that is not ours, as a stranger's CI does."""
    command = [Path(sys.executable).parent / "check-jsonschema", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.name)
def test_a_schema_fulfils_the_schema_of_schemas(file: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(read(file))


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.name)
def test_a_reference_leads_to_a_place_that_is_a_schema(file: Path) -> None:
    schema = read(file)
    assert sorted(set(references(schema)) - set(places(schema))) == []


def test_another_program_takes_every_schema() -> None:
    assert len(SCHEMAS) == 4
    check_jsonschema("--check-metaschema", *SCHEMAS)


def test_another_program_finds_every_shipped_backend_right() -> None:
    files = sorted((ROOT / "templates").glob("*.yaml"))
    assert len(files) > 30
    check_jsonschema("--schemafile", ROOT / "schemas" / "backend.schema.json", *files)


def test_another_program_finds_every_capture_right() -> None:
    files = sorted((ROOT / "tests" / "captures").glob("*/*.yaml"))
    assert len(files) > 100
    check_jsonschema("--schemafile", ROOT / "schemas" / "capture.schema.json", *files)
