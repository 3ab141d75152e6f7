"""Write the JSON Schemas and the defaults of the code from the table of keys, ``schemas/keys.yaml``.

``python docs/make_schemas.py`` writes them; a test says whether they are current.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
TABLE: dict[str, Any] = yaml.safe_load((ROOT / "schemas" / "keys.yaml").read_text(encoding="utf-8"))

Entry = dict[str, Any]
COPIED = (
    "title", "const", "enum", "format", "pattern", "minimum", "maximum", "exclusiveMinimum",
    "minLength", "minItems", "maxItems", "minProperties", "maxProperties", "default",
)  # fmt: skip
MOST_REPEATED = 100  # letters: a shorter key reads better where it stands than behind a reference
FORMAT = {"means": "The version of this format.", "const": 1}


class Definitions:
    """The ``$defs`` of one schema: those of ``types`` that it uses, each under its own name.

    ``takes_away``: null may stand for each key, to take away what a parent says.
    """

    def __init__(self, types: dict[str, Entry], *, takes_away: bool = True) -> None:
        self._types = {**TABLE["types"], **types}
        self._takes_away = takes_away
        self.made: dict[str, Entry] = {}

    def reference(self, name: str, *, nullable: bool) -> str:
        """Return the address of the type *name*, with null as one more value if it is *nullable*."""
        full = f"{name}_or_null" if nullable and name in self._types else name
        if full not in self.made and name in self._types:
            self.made[full] = {}  # a type may hold itself
            self.made[full] = self.schema(self._types[name], nullable=nullable)
        return f"#/$defs/{full}"

    def schema(self, entry: Entry, *, nullable: bool = True) -> Entry:
        """Return *entry* of the table as JSON Schema."""
        made: Entry = {"description": entry["means"]} if "means" in entry else {}
        if "is" in entry:
            meant = {"$ref": self.reference(entry["is"], nullable=nullable)}
            made |= {"if": {"const": entry["unless"]}, "else": meant} if "unless" in entry else meant
        kinds = entry.get("type", "object" if {"keys", "values", "names"} & entry.keys() else [])
        kinds = [*([kinds] if isinstance(kinds, str) else kinds), *(["null"] if nullable else [])]
        if kinds not in ([], ["null"]):
            made["type"] = kinds if len(kinds) > 1 else kinds[0]
        made |= {word: entry[word] for word in COPIED if entry.get(word) not in (None, {}, [])}
        if "enum" in made and nullable:
            made["enum"] = [*made["enum"], None]
        if "anyOf" in entry:
            made["anyOf"] = [
                self.schema(branch, nullable=nullable and not index) for index, branch in enumerate(entry["anyOf"])
            ]
        if "items" in entry:
            made["items"] = self.schema(entry["items"], nullable=False)
        made |= self._map(entry)
        if examples := examples_of(entry):
            made["examples"] = examples
        return made

    def _map(self, entry: Entry) -> Entry:
        made: Entry = {}
        required = entry.get("required", [])
        if required:
            made["required"] = required
        if "names" in entry:
            made["propertyNames"] = entry["names"]
        if "values" in entry:
            made["additionalProperties"] = self.schema(entry["values"], nullable=self._takes_away)
        if "keys" in entry:
            made["properties"] = {
                key: self.schema(below, nullable=self._takes_away and key not in required)
                for key, below in entry["keys"].items()
            }
            made["additionalProperties"] = False
        return made


def examples_of(entry: Entry) -> list[Any]:
    """Return the examples of a key."""
    return entry.get("examples") or ([entry["example"]] if "example" in entry else [])


# ---- resources -----------------------------------------------------------------------------------


def resource_types() -> dict[str, Entry]:
    """Return the types that are made of the table of resources."""
    resources = TABLE["resources"]
    caps = {name: entry for name, entry in resources.items() if "cap" in entry}
    return {
        "resources": {"keys": resources},
        "caps": {"keys": caps},
        "capacity": {"keys": {name: _capacity(entry) for name, entry in caps.items()}},
        "resource_names": {"type": "array", "items": {"enum": [*resources, "image"]}},
    }


def _capacity(entry: Entry) -> Entry:
    if "is" in entry:
        return {**entry, "unless": "machine"}
    return {
        **entry,
        "type": [entry["type"], "string"],
        "pattern": "^machine$",
        "title": "a number or the word machine",
    }


# ---- the four files ------------------------------------------------------------------------------


def head(name: str, **more: Any) -> Entry:
    """Return what stands at the top of the schema *name*."""
    table = TABLE[name]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://scheduler-adapter.invalid/schemas/{name}.schema.json",
        "title": table["title"],
        "description": table["means"],
        **more,
        **({"examples": examples} if (examples := examples_of(table)) else {}),
    }


def backend() -> Entry:
    """Return the schema of backend files: of one file, and of what all that it extends give."""
    table = TABLE["backend"]
    types = Definitions(resource_types())
    overlay = [key for key, entry in table["keys"].items() if entry.get("overlay", True)]
    parts = {
        "file": types.schema(
            {"means": "One file; what it extends may hold the rest.", "required": ["format"], "keys": table["keys"]},
            nullable=False,
        ),
        "overlay": {
            "description": "Part of a file.",
            "type": "object",
            "properties": {key: {"$ref": f"#/$defs/file/properties/{key}"} for key in overlay},
            "additionalProperties": False,
        },
        "complete": {
            "description": "What a backend must have once everything it extends is in.",
            **complete(table),
            "type": "object",
            "anyOf": [{"required": ["script"]}, {"required": ["document"]}],
        },
    }
    extends = {"required": ["abstract"], "properties": {"abstract": {"const": True}}}
    return head(
        "backend",
        allOf=[{"$ref": "#/$defs/file"}],
        **{"if": {"anyOf": [{"required": ["extends"]}, extends]}, "then": True},
        **{"else": {"$ref": "#/$defs/complete"}, "$defs": {**parts, **types.made}},
    )


def complete(entry: Entry) -> Entry:
    """Return the part of a schema that says which keys a map must have in the end."""
    made: Entry = {"type": ["object", "null"]}
    if "complete" in entry:
        made["required"] = entry["complete"]
    below = {key: complete(value) for key, value in entry.get("keys", {}).items()}
    if inner := {key: value for key, value in below.items() if len(value) > 1}:
        made["properties"] = inner
    return made


def task() -> Entry:
    """Return the schema of task files: one task, or a set of them."""
    table = TABLE["task"]
    types = Definitions({**resource_types(), **table["types"]})
    alone = [key for key, entry in table["keys"].items() if "set" not in entry]
    single = {
        "description": "One task.",
        "type": "object",
        "properties": {
            "format": types.schema(FORMAT),
            **{key: {"$ref": f"#/$defs/partial/properties/{key}"} for key in alone},
        },
        "additionalProperties": False,
    }
    partial = types.schema({"means": "One task of a set, or its defaults.", "keys": table["keys"]}, nullable=False)
    many = types.schema({"means": "Many tasks.", **table["set"]}, nullable=False)
    definitions = {"single": single, "partial": partial, "set": many, **types.made}
    return head(
        "task",
        **{"if": {"required": ["tasks"]}, "then": {"$ref": "#/$defs/set"}},
        **{"else": {"$ref": "#/$defs/single"}, "$defs": definitions},
    )


def config() -> Entry:
    """Return the schema of configuration files."""
    types = Definitions({})
    form = types.schema(TABLE["config"], nullable=False)
    return head("config", **{**form, "$defs": types.made})


def without_repetition(whole: Entry) -> Entry:
    """Return the schema *whole* with a reference in place of each key that is like an earlier one."""
    first: dict[str, str] = {}

    def walked(value: Any, pointer: str) -> Any:
        if isinstance(value, list):
            return [walked(one, f"{pointer}/{index}") for index, one in enumerate(value)]
        if not isinstance(value, dict):
            return value
        text = json.dumps(value)
        is_key = pointer.rsplit("/", 2)[-2:-1] == ["properties"]
        if is_key and len(text) > MOST_REPEATED and first.setdefault(text, pointer) != pointer:
            return {"$ref": first[text]}
        return {key: walked(one, f"{pointer}/{key}") for key, one in value.items()}

    return walked(whole, "#")  # type: ignore[no-any-return]


def capture() -> Entry:
    """Return the schema of captures: what ``expect`` holds depends on the action."""
    table = TABLE["capture"]
    types = Definitions(table["types"], takes_away=False)
    form = types.schema({key: table[key] for key in ("required", "keys")}, nullable=False)
    rules = []
    for action, rule in table["actions"].items():
        held = {"expect": {"$ref": types.reference(rule["expect"], nullable=False)}}
        needed = {"required": rule["required"]} if "required" in rule else {}
        known = {"properties": {"action": {"const": action}}, "required": ["action"]}
        rules.append({"if": known, "then": {"properties": held, **needed}})
    return head("capture", **form, allOf=rules, **{"$defs": types.made})


# ---- defaults ------------------------------------------------------------------------------------


def defaults() -> dict[str, dict[str, Any]]:
    """Return what is in force where a key is left out, by the map that the key stands in."""
    found: dict[str, dict[str, Any]] = {}
    _defaults("backend", TABLE["backend"], found)
    _defaults("task", TABLE["task"], found)
    for name, entry in TABLE["task"]["types"].items():
        _defaults(name, entry, found)
    return found


def _defaults(path: str, entry: Entry, found: dict[str, dict[str, Any]]) -> None:
    for part in (entry, entry.get("items", {}), entry.get("values", {}), *entry.get("anyOf", ())):
        keys = part.get("keys", {})
        own = {key: value["default"] for key, value in keys.items() if "default" in value}
        if own:
            found[path] = own
        for key, value in keys.items():
            _defaults(f"{path}.{key}".removeprefix("backend."), value, found)
        if part is not entry and "anyOf" in part:
            _defaults(path, part, found)


def python(value: Any) -> str:
    """Return *value* as Python text in one line."""
    match value:
        case str():
            return json.dumps(value)
        case dict():
            return "{" + ", ".join(f"{json.dumps(k)}: {python(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(python, value)) + "]"
    return repr(value)


def defaults_text() -> str:
    """Return the module that holds the defaults."""
    lines = []
    for path, own in defaults().items():
        line = f"    {json.dumps(path)}: {python(own)},"
        entries = [f"        {json.dumps(key)}: {python(value)}," for key, value in own.items()]
        lines += [line] if len(line) <= 100 else [f"    {json.dumps(path)}: {{", *entries, "    },"]
    return MODULE.format(
        defaults="\n".join(lines), resources="\n".join(f"    {json.dumps(name)}," for name in TABLE["resources"])
    )


MODULE = '''"""What is in force where a key is left out. Written by docs/make_schemas.py from schemas/keys.yaml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULTS: Mapping[str, Mapping[str, Any]] = {{
{defaults}
}}
RESOURCES = (
{resources}
)
'''


# ---- writing -------------------------------------------------------------------------------------


def compact(value: Any, indent: str = "", before: int = 0) -> str:
    """Return *value* as JSON, on one line where it fits into 100 characters."""
    text = json.dumps(value, ensure_ascii=False)
    if len(indent) + before + len(text) < 100 or not value or not isinstance(value, dict | list):
        return text
    deeper = indent + "  "
    if isinstance(value, list):
        lines = [deeper + compact(one, deeper) for one in value]
        return "[\n" + ",\n".join(lines) + f"\n{indent}]"
    names = {key: f"{json.dumps(key)}: " for key in value}
    lines = [deeper + names[key] + compact(one, deeper, len(names[key])) for key, one in value.items()]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def files() -> dict[Path, str]:
    """Return what is written, by the file."""
    schemas = {"backend": backend(), "task": task(), "config": config(), "capture": capture()}
    texts = {name: compact(without_repetition(schema)) + "\n" for name, schema in schemas.items()}
    written = {ROOT / "schemas" / f"{name}.schema.json": text for name, text in texts.items()}
    return {**written, ROOT / "adapter" / "core" / "defaults.py": defaults_text()}


def main() -> int:
    """Write the files that are not current."""
    for file, text in files().items():
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{file.relative_to(ROOT)} written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
