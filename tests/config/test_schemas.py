"""Our schemas are JSON Schemas that any tool takes, and each of their keys has a reader."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest

from adapter.config.settings import Settings
from adapter.core.backend import ERROR_CLASSES, backend_from
from adapter.core.defaults import RESOURCES
from adapter.core.schema import form_findings
from adapter.core.task import RESOURCE_FIELDS

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


def resolved(value: Any, whole: dict[str, Any]) -> Any:
    """Return *value* with what its references mean in their place; what stands beside one is kept."""
    if isinstance(value, list):
        return [resolved(inner, whole) for inner in value]
    if not isinstance(value, dict):
        return value
    if not isinstance(value.get("$ref"), str):
        return {key: resolved(inner, whole) for key, inner in value.items()}
    meant: Any = whole
    for part in value["$ref"].removeprefix("#/").split("/"):
        meant = meant[int(part)] if isinstance(meant, list) else meant[part]
    return {**resolved(meant, whole), **resolved({key: inner for key, inner in value.items() if key != "$ref"}, whole)}


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


@pytest.fixture(scope="module")
def make_schemas() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_schemas", ROOT / "docs" / "make_schemas.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_made_of_the_table_of_keys_is_current(make_schemas: ModuleType) -> None:
    made = make_schemas.files()
    assert {*SCHEMAS} < made.keys()
    stale = [str(file.relative_to(ROOT)) for file, text in made.items() if file.read_text(encoding="utf-8") != text]
    assert stale == [], "run: python docs/make_schemas.py"


def annotated(schema: Any, keyword: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Return each thing that *keyword* gives somewhere in *schema*, with the part that it is an example of."""
    if isinstance(schema, dict):
        given = schema.get(keyword)
        yield from ((one, schema) for one in (given if isinstance(given, list) and keyword == "examples" else []))
        yield from [(given, schema)] if keyword == "default" and keyword in schema else []
    for inner in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from annotated(inner, keyword)


@pytest.mark.parametrize(("name", "keyword"), [
    ("backend", "examples"), ("backend", "default"), ("task", "examples"), ("task", "default"), ("config", "examples"),
])  # fmt: skip
def test_each_example_and_default_of_a_key_is_a_value_that_it_takes(name: str, keyword: str) -> None:
    whole = read(ROOT / "schemas" / f"{name}.schema.json")
    given = list(annotated(resolved(whole, whole), keyword))
    assert given
    assert [(value, form_findings(value, schema)) for value, schema in given if form_findings(value, schema)] == []


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


# ---- keys that nobody reads --------------------------------------------------------------------------------------


class Watched(dict[str, Any]):
    """A document that notes which of its keys are read."""

    def __init__(self, data: dict[str, Any], path: str, read: set[str]) -> None:
        super().__init__({key: watched(value, f"{path}.{key}", read) for key, value in data.items()})
        self._path, self._read = path, read

    def __getitem__(self, key: str) -> Any:
        self._read.add(f"{self._path}.{key}")
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        return self[key] if key in self else default  # noqa: SIM401 (that would be this function itself)

    def __iter__(self) -> Iterator[str]:  # makes dict(...) and **... ask for each value
        return super().__iter__()

    def keys(self) -> Any:
        return list(self)

    def items(self) -> Any:
        return [(key, self[key]) for key in list(self)]


def watched(value: Any, path: str, read: set[str]) -> Any:
    if isinstance(value, dict):
        return Watched(value, path, read)
    return [watched(one, f"{path}[]", read) for one in value] if isinstance(value, list) else value


def keys_of(schema: dict[str, Any], path: str) -> Iterator[str]:
    """Return the address of each key that *schema* names below *path*; a map of free names is ``*``."""
    for branch in schema.get("anyOf", [schema]):
        for name, inner in branch.get("properties", {}).items():
            yield f"{path}.{name}"
            yield from keys_of(inner, f"{path}.{name}")
        for keyword, part in (("items", "[]"), ("additionalProperties", ".*")):
            if isinstance(branch.get(keyword), dict):
                yield from keys_of(branch[keyword], path + part)


ROW = r"^(?P<job_id>\d+) (?P<state>\w+)$"
QUERY = {"command": "look", "options": {}, "timeout": "1m", "states": {"running": ["R"], "succeeded": ["C"]},
         "reasons": {"held": ["H"]}, "exit_codes": {"1": "gone"}, "max_ids": 5}  # fmt: skip
CODES = {"exit_code": {"decode": "plain", "reasons": {"9": "time_limit"}}}
CAPS = {"cpu": 1, "cpu_limit": 1, "ram": "1 GiB", "ram_limit": "1 GiB", "disk": "1 GiB", "gpu": 1, "walltime": "1h",
        "nodes": 1, "ranks": 1}  # fmt: skip
WHOLE: dict[str, Any] = {
    "format": 1, "name": "whole", "summary": "s", "proof": "live", "extends": "batch", "abstract": False,
    "automatic": {"for": "images", "rank": 1, "probe": ":"}, "needs": ["a"], "programs": {"a": "/a"},
    "connection": {}, "same_machine": True, "workspace": "/w", "values": {}, "requires": ["image"],
    "secrets": {"s": {"env": "S", "file": "f", "command": "c", "optional": True}}, "functions": {"f": "true"},
    "library": {"wrapper": "job"},
    "defaults": {**CAPS, "preemptible": True, "queue": "q", "account": "a", "priority": 1}, "supports": ["cpu"],
    "limits": {"max_tasks": 1, "submit_per_minute": 1, "submit_batch": 1, "poll_seconds": [1, 2], "capacity": CAPS,
               "arrays": True},
    "queues": [{"name": "q", "when": "gpu", "max": CAPS, "over": "clamp"}], "prologue": ["true"], "env": {"A": "b"},
    "directives": {"prefix": "#X", "options": {"cpu": "{{ cpu }}"}, "quote": "backslash"}, "script": "true",
    "shell": "bash -l", "pass_env": {"a": ["A_*"]},
    "launch": {"program": "p", "setup": "true", "command": "run", "options": {}, "stop": "true"},
    "images": {"docker": "{{ name }}"},
    "submit": {"command": "put", "options": {}, "timeout": "1m", "job_id": r"(?P<job_id>\d+)", "job_id_inside": "$I",
               "environment": {"A_*": "drop"}, "ended_is_any_end": True, "goes_to": "x"},
    "monitor": {**QUERY, **CODES, "record": "^J", "fields": {"job_id": "x", "state": "y"},
                "absent": {"gone_after": "1m"}, "requeues": True, "success_needs_exit_file": True},
    "result": {**QUERY, **CODES, "row": ROW},
    "find": {"command": "look", "options": {}, "timeout": "1m", "row": r"(?P<job_id>\d+) (?P<token>\S+)"},
    "watch": {"command": "follow", "row": ROW},
    "array": {"option": "-a", "index": "I", "job_id": "{{ job_id }}", "first": 1, "min_size": 2, "max_size": 3},
    "kill": {"command": "end", "options": {}, "timeout": "1m", "max_ids": 5,
             "escalate": {"after": "1m", "command": "end", "options": {}, "timeout": "1m"}},
    "logs": {"stdout": {"command": "say", "options": {}, "timeout": "1m", "json": "a"}, "together": True},
    "errors": {**{name: ["x"] for name in ERROR_CLASSES}, "otherwise": {name: ["x"] for name in ERROR_CLASSES}},
    "version": {"command": "v", "pattern": "(?P<version>.*)"}, "when": [{"version": "< 2", "use": {}}],
}  # fmt: skip
OTHERS: dict[str, Any] = {  # the other ways to write the same places
    "document": {"a": "b"}, "submit": {"command": "put", "json": {"job_id": "id"}},
    "monitor": {**QUERY, "json": {"job_id": "a", "state": "b"}}, "result": {**QUERY, "record": "x", "fields": {}},
    "find": {"command": "look", "record": "x", "fields": {}}, "watch": {"command": "w", "json": {"job_id": "a"}},
    "logs": {"stdout": "{{ stdout }}", "stderr": {"command": "say", "options": {}, "timeout": "1m", "json": "a"}},
}  # fmt: skip
MORE: dict[str, Any] = {
    "monitor": {**QUERY, "row": ROW}, "result": {**QUERY, "json": {"job_id": "a"}},
    "find": {"command": "look", "json": {"job_id": "a", "token": "b"}},
}  # fmt: skip
READ_ELSEWHERE = ("connection", "secrets", "automatic", "format", "name", "extends", "abstract", "proof")


def test_every_key_that_the_schema_of_backends_takes_is_read_by_something() -> None:
    read: set[str] = set()
    for over in ({}, OTHERS, MORE):
        backend_from(watched({**WHOLE, **over}, "", read))
    known = set(keys_of({"properties": read_schema_keys()}, ""))
    shared = re.compile(r"\.(json|use|options)\.")
    structural = {key for key in known if not shared.search(key) and key.split(".")[1] not in READ_ELSEWHERE}
    assert sorted(structural - read) == []


def read_schema_keys() -> dict[str, Any]:
    whole = read(ROOT / "schemas" / "backend.schema.json")
    return resolved(whole["$defs"]["file"]["properties"], whole)  # type: ignore[no-any-return]


def mentioned(*folders: str) -> str:
    return "\n".join(file.read_text() for folder in folders for file in (ROOT / "adapter" / folder).rglob("*.py"))


@pytest.mark.parametrize(("part", "folders"), [
    ("connection", ("transports", "execution")), ("secrets", ("config",)), ("automatic", ("config", "cli")),
])  # fmt: skip
def test_every_key_of_a_part_that_others_read_is_named_by_them(part: str, folders: tuple[str, ...]) -> None:
    names = {key.rpartition(".")[2] for key in keys_of(read_schema_keys()[part], part)}
    text = mentioned(*folders)
    assert names
    assert sorted(name for name in names if f'"{name}"' not in text) == []


@pytest.mark.parametrize("section", ["monitor", "result", "find", "watch", "submit"])
def test_every_thing_that_an_answer_may_tell_is_used(section: str) -> None:
    named = set(read_schema_keys()[section]["properties"]["json"]["properties"]) - {"rows", "next"}
    whole = "".join((ROOT / "adapter" / "core" / name).read_text() for name in ("answers.py", "job_id.py"))
    used = {name for name in named if f'"{name}"' in whole}
    of_a_look = {"job_id", "qualifier", "token"}
    assert named == (used & of_a_look if section == "find" else used)


def test_the_resources_of_the_table_are_those_that_a_task_may_ask_for() -> None:
    assert list(RESOURCE_FIELDS) == list(RESOURCES)


def test_every_key_of_a_configuration_is_a_setting() -> None:
    names = read(ROOT / "schemas" / "config.schema.json")["properties"].keys()
    assert names <= {item.name for item in fields(Settings)}


def test_every_key_of_a_task_is_read_outside_the_task_itself() -> None:
    schema = read(ROOT / "schemas" / "task.schema.json")
    names = {key.rpartition(".")[2] for key in keys_of(resolved(schema["$defs"]["partial"], schema), "task")}
    names -= RESOURCE_FIELDS.keys()  # `resources` of the test kit's rules tries each of them
    text = mentioned("core", "execution", "cli", "transports")
    assert len(names) > 20
    assert sorted(name for name in names if not re.search(rf"\.{name}\b|\"{name}\"", text)) == []
