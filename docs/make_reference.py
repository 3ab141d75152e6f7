"""Write the tables of the documents from the table of keys, the shipped backends and the code's own dictionaries.

``python docs/make_reference.py`` rewrites every marked part of the files in ``FILES``; with ``--check`` nothing is
written, and the exit code is 1 if a file would change. A test compares them too.
"""

from __future__ import annotations

import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from adapter.config.load import load_merged
from adapter.core.backend import ERROR_CLASSES, backend_from
from adapter.core.state import Reason, State
from adapter.core.template import FILTER_NAMES, Template
from adapter.core.validate_answers import GROUPS
from adapter.core.variables import (
    COMMAND_VARIABLES,
    FIND_VARIABLES,
    JOB_ID_VARIABLES,
    LAUNCH_VARIABLES,
    SCRIPT_VARIABLES,
    TASK_VARIABLES,
    WATCH_VARIABLES,
)
from adapter.errors import RenderError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from adapter.config.load import MergedBackend
    from adapter.core.backend import Backend

Entry = dict[str, Any]
HERE = Path(__file__).resolve().parent
TEMPLATES = HERE.parent / "templates"

TABLE: dict[str, Any] = yaml.safe_load((HERE.parent / "schemas" / "keys.yaml").read_text(encoding="utf-8"))
TYPES: dict[str, Entry] = {**TABLE["types"], **TABLE["task"]["types"], "resource_names": {"type": "names"}}

# One line for each filter: an example, the value it is tried with, and what it does.
_VALUES: dict[str, Any] = {
    "ram": 1_610_612_736, "walltime": 129_600, "cpu": 1.5, "name": "my run", "job_ids": ["7", "8"], "gpu": None,
    "env": {"A": "x y"}, "steps": [{"image": "a"}, {"image": "a"}], "tags": {"b": "2"},
    "sif_cache": "~/my images",
}  # fmt: skip
_FILTERS = {
    "bytes": ("ram | bytes", "memory or disk in bytes, rounded up"),
    "kib": ("ram | kib", "in units of 1024 bytes, rounded up"),
    "mib": ("ram | mib", "in units of 1024² bytes, rounded up"),
    "gib": ("ram | gib", "in units of 1024³ bytes, rounded up"),
    "kb": ("ram | kb", "in units of 1000 bytes, rounded up"),
    "mb": ("ram | mb", "in units of 1000² bytes, rounded up"),
    "gb": ("ram | gb", "in units of 1000³ bytes, rounded up"),
    "seconds": ("walltime | seconds", "time in seconds, rounded up"),
    "minutes": ("walltime | minutes", "in minutes, rounded up"),
    "hours": ("walltime | hours", "in hours, rounded up"),
    "hms": ("walltime | hms", "as `HH:MM:SS`; the hours grow past two digits"),
    "dhms": ("walltime | dhms", "as `D-HH:MM:SS`, without the days where there are none"),
    "ceil": ("cpu | ceil", "rounded up to a whole number"),
    "words": ("job_ids | words", "a list as quoted words with a space between"),
    "flags": ("env | flags('--env')", "a map as one flag for each entry, quoted"),
    "raw": ("name | raw", "without quotes: the visible exception"),
    "path": (
        "sif_cache | path",
        "a path as shell text: a leading `~` and `$NAME` or `${NAME}` are the target's, the rest is literal and "
        "quoted; for a list: `mounts | map('path') | words`",
    ),
    "concat": ("['out-', name] | concat", "texts put together to one word"),
    "between": ("job_ids | between('--job=') | words", "each of a list with text in front of it (and behind it)"),
    "merge": ("env | merge({'B': '2'}) | flags('--env')", "a map with the entries of another"),
    "refusing": (
        "script | refusing('%j', '$')",
        "a text that may hold none of these, which a scheduler would read as its own",
    ),
    "operand": ("queue | operand", "the value, which must not begin with `-`: it stands alone as a word of a command"),
    "refuse": ("'a job has one image here' | refuse", "nothing: the task is refused with these words"),
    "join": ("job_ids | join(',')", "a list as one word with something between"),
    "default": ("gpu | default(0, true)", "another value where it is not set"),
    "items": ("env | items | first | first", "key and value of each entry of a map, for `{% for %}`"),
    "first": ("job_ids | first", "the first entry"),
    "last": ("job_ids | last", "the last entry"),
    "length": ("job_ids | length", "how many"),
    "lower": ("name | upper | lower", "in small letters"),
    "upper": ("name | upper", "in capitals"),
    "replace": ("name | replace(' ', '_')", "one text for another"),
    "trim": ("name | trim", "without white space around"),
    "int": ("cpu | int", "as a whole number, cut off"),
    "float": ("cpu | float", "as a number"),
    "round": ("cpu | round | int", "rounded"),
    "abs": ("cpu | abs", "without its sign"),
    "map": ("steps | map(attribute='image') | words", "one thing of each entry"),
    "select": ("job_ids | select | words", "the entries that pass"),
    "reject": ("job_ids | reject | words", "the entries that do not"),
    "sort": ("job_ids | sort | words", "sorted"),
    "unique": ("steps | map(attribute='image') | unique | words", "without repeats"),
}

_REASONS = {
    Reason.EXIT_CODE: "the task ended with an exit code that it does not allow",
    Reason.SIGNAL: "the task was ended by a signal",
    Reason.OUT_OF_MEMORY: "it used more memory than it was given",
    Reason.TIME_LIMIT: "its walltime was over",
    Reason.PREEMPTED: "it made room for another job",
    Reason.NODE_FAILURE: "its machine failed",
    Reason.DEPENDENCY: "what it waits for can never happen",
    Reason.LAUNCH_FAILURE: "the scheduler could not start it",
    Reason.SYSTEM: "something failed around it",
    Reason.SUBMIT_REFUSED: "the scheduler refused it; the message holds its words",
    Reason.SUBMIT_UNKNOWN: "whether the scheduler has it could not be found out",
    Reason.WORKSPACE: "its folder or its inputs could not be written",
    Reason.IMAGE: "its container image could not be had",
    Reason.KILLED_BY_USER: "you killed it, with `adapter kill` or Ctrl-C",
    Reason.KILLED_BY_OTHER: "somebody else did",
    Reason.VANISHED: "the scheduler no longer knows it and it left no exit file",
    Reason.REQUEUED: "the scheduler put it back into its queue",
}
_STATES = {
    State.WAITING: "in our store, not yet handed to the scheduler",
    State.QUEUED: "the scheduler has it",
    State.HELD: "the scheduler has it and will not start it until somebody lets it",
    State.RUNNING: "its commands run",
    State.SUSPENDED: "it was started and stands still",
    State.SUCCEEDED: "it ended with an exit code that the task allows",
    State.FAILED: "it ended badly; the reason says how",
    State.KILLED: "it was killed; the reason says by whom",
    State.LOST: "nothing is known about its end, and nothing more can come",
    State.UNKNOWN: "only in a backend file, for a word that says nothing: the job stays as it was",
}
_CLASSES = {
    "transient": ("a submit is looked for by its token, then tried again, later each time; so is a poll", "none"),
    "limit": ("handing over waits, each time longer; what is submitted goes on", "none"),
    "auth": ("all work on this backend stops, with a message: a person has to look", "none"),
    "gone": ("a good answer to a poll or kill: the job is no longer there", "a refused submit fails"),
    "permanent": ("that one job fails, with the scheduler's words", "fails: `submit_refused`"),
}  # fmt: skip


# ---- tables ------------------------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; ``|`` in a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


_TYPES = {
    "string": "text", "number": "number", "integer": "whole number", "boolean": "true or false",
    "array": "list", "object": "map", "names": "list of names",
}  # fmt: skip


def type_of(entry: Entry) -> str:
    """Return what a value looks like, in a few words."""
    if "is" in entry:
        return type_of(TYPES.get(entry["is"], {}))
    if "const" in entry:
        return f"`{entry['const']}`"
    if "enum" in entry:
        return ", ".join(f"`{choice}`" for choice in entry["enum"])
    if "anyOf" in entry:
        return " or ".join(dict.fromkeys(map(type_of, entry["anyOf"])))
    if "enum" in entry.get("items", {}):
        return _TYPES["names"]
    kinds = entry.get("type", "object")
    return " or ".join(_TYPES[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds))


def unset(entry: Entry) -> str:
    """Return what is in force where a key is left out."""
    if "unset" in entry:
        return str(entry["unset"])
    if "default" not in entry:
        return ""
    return "none" if entry["default"] in ({}, [], "") else f"`{_written(entry['default'])}`"


def example(entry: Entry) -> str:
    """Return the first example of a key."""
    examples = entry.get("examples") or [entry.get("example")]
    return "" if examples[0] is None else f"`{_written(examples[0])}`"


def rows_of(path: str, entry: Entry) -> Iterator[list[str]]:
    """Return a row for the key at *path* and one for each key below it; resources have a table of their own."""
    meaning = " ".join(filter(None, (entry.get("means"), entry.get("note"))))
    yield [f"`{path}`", type_of(entry), meaning, unset(entry), example(entry)]
    shared = {"keys": entry["keys"]} if "keys" in entry else TYPES.get(entry.get("is", ""), {})
    below = [("", each) for each in (shared, *entry.get("anyOf", ()))]
    below += [(".NAME", entry.get("values", {})), ("[]", entry.get("items", {}))]
    for between, each in below:
        for key, value in each.get("keys", {}).items():
            yield from rows_of(f"{path}{between}.{key}", value)


def _written(value: Any) -> str:
    """Return *value* as YAML in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return text.removesuffix("...\n").strip()


HEAD = ["key", "type", "meaning", "if left out", "example"]


def _section_of(key: str) -> str:
    return str(TABLE["backend"]["keys"][key].get("section", key))


def _section(name: str) -> str:
    keys = TABLE["backend"]["keys"].items()
    return table(HEAD, (row for key, entry in keys if _section_of(key) == name for row in rows_of(key, entry)))


def _resources(*, with_places: bool) -> str:
    rows = [[f"`{name}`", type_of(entry), entry["means"]] for name, entry in TABLE["resources"].items()]
    head = ["resource", "type", "meaning"]
    if not with_places:
        return table(head, rows)
    caps = ["yes" if "cap" in entry else "" for entry in TABLE["resources"].values()]
    places = ([*row, cap, cap] for row, cap in zip(rows, caps, strict=True))
    return table([*head, "`queues[].max`", "`limits.capacity`"], places)


def _options(_: str = "") -> str:
    return table(
        ["entry", "written where", "example"],
        [
            ["`NAME: text`", "the value `NAME` is set, and is not 0, false or empty", "`gpu: --gpus={{ gpu }}`"],
            [
                "`NAME: {when: ..., text: ...}`",
                "the expression `when` holds; `NAME` may be any word",
                "`big: {when: cpu > 16, text: --exclusive}`",
            ],
        ],
    )


def _grouped(known: Mapping[str, str]) -> Iterator[list[str]]:
    """Return a row for each meaning: the resources share one."""
    for text in dict.fromkeys(known.values()):
        yield [", ".join(f"`{name}`" for name in known if known[name] == text), text]


def _variables() -> str:
    parts = {
        "In `script`, `document`, `directives.options`, `submit`, `launch` and the paths of `logs`": TASK_VARIABLES,
        "In `script` only, besides": SCRIPT_VARIABLES,
        "In `launch.command` and `launch.options`, besides": LAUNCH_VARIABLES,
        "In a command that has `options`": COMMAND_VARIABLES,
        "In `monitor`, `result`, `kill`, `kill.escalate` and the commands of `logs`": JOB_ID_VARIABLES,
        "In `find`": FIND_VARIABLES,
        "In `watch`": WATCH_VARIABLES,
    }
    return "\n\n".join(
        f"{title}:\n\n" + table(["variable", "what it holds"], _grouped(known)) for title, known in parts.items()
    )


def _filters() -> str:
    rows = []
    for name in sorted(FILTER_NAMES, key=list(_FILTERS).index):
        example, meaning = _FILTERS[name]
        expression = f"{{{{ {example} }}}}"
        try:
            written = f"`{Template(expression).render(_VALUES)}`"
        except RenderError:
            written = "an error"
        rows.append([f"`{name}`", meaning, f"`{expression}`", written])
    return table(["filter", "what it gives", "example", "is written as"], rows)


def _classes() -> str:
    head = ["class", "what is done", "what it does to a job"]
    return table(head, ([f"`{name}`", *_CLASSES[name]] for name in ERROR_CLASSES))


_TASK_TYPES = {"command": "a step", "steps": "list of steps", "inputs": "list of inputs", "outputs": "list of outputs"}


def _task_keys() -> str:
    keys = TABLE["task"]["keys"].items()
    rows = (
        [f"`{key}`", _TASK_TYPES.get(key) or type_of(entry), entry["means"], unset(entry), example(entry)]
        for key, entry in keys
    )
    return table(HEAD, rows)


def _task_part(part: str) -> Callable[[], str]:
    def write() -> str:
        rows = list(rows_of(part, {"anyOf": TABLE["task"]["types"][part]["anyOf"]}))[1:]
        return table(HEAD[:4], ([row[0].replace(f"{part}.", ""), *row[1:4]] for row in rows))

    return write


def _set_keys() -> str:
    keys = TABLE["task"]["set"]["keys"].items()
    return table(HEAD[:3], ([f"`{key}`", type_of(entry), entry["means"]] for key, entry in keys))


def shipped() -> Iterator[Backend]:
    """Return the shipped backends that run jobs, by name."""
    for file in sorted(TEMPLATES.glob("*.yaml")):
        whole = merged(file)
        if not whole.document.get("abstract"):
            yield backend_from(whole.document, name=whole.name, lineage=whole.lineage)


PROOFS = ("live", "captures", "schema")
"""The words of ``proof``, the surest first."""


def _proofs() -> str:
    order = [*PROOFS, None]
    rows = [
        [
            f"`{backend.name}`",
            backend.summary,
            ", ".join(name for name, can in backend.capabilities.items() if can),
            str(backend.document.get("proof") or "-"),
        ]
        for backend in sorted(shipped(), key=lambda backend: order.index(backend.document.get("proof")))
    ]
    return table(["backend", "runs jobs on", "can", "proved by"], rows)


def _protocols() -> str:
    able = [backend for backend in shipped() if backend.images]
    known = TABLE["backend"]["keys"]["images"]["names"]["enum"]
    rows = [[f"`{one.name}`", *("yes" if name in one.images else "" for name in known)] for one in able]
    return table(["backend", *(f"`{name}://`" for name in known)], rows)


PARTS: dict[str, Callable[[], str]] = {
    **{name: partial(_section, name) for name in map(_section_of, TABLE["backend"]["keys"])},
    "proofs": _proofs,
    "protocols": _protocols,
    "resources": lambda: _resources(with_places=True),
    "options": _options,
    "errors": lambda: _section("errors") + "\n\n" + _classes(),
    "groups": lambda: ", ".join(f"`{group}`" for group in sorted(GROUPS)),
    "states": lambda: table(["state", "means"], ([f"`{state}`", _STATES[state]] for state in State)),
    "reasons": lambda: table(["reason", "means"], ([f"`{reason}`", _REASONS[reason]] for reason in Reason)),
    "variables": _variables,
    "filters": _filters,
    "task-set": _set_keys,
    "task-keys": _task_keys,
    "task-step": _task_part("step"),
    "task-input": _task_part("input"),
    "task-output": _task_part("output"),
    "task-resources": lambda: _resources(with_places=False),
}
FILES = ("reference-backend.md", "reference-tasks.md", "sysadmins.md", "../README.md")
_PLACE = re.compile(r"^(?P<path>\S+)(?P<between> {2,}.* {2,}templates/(?P<name>[\w-]+)\.yaml:)\d+$", re.MULTILINE)
_PART = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str) -> str:
    """Return *text* with every marked part written anew, and the lines that ``backends explain`` prints corrected."""
    text = _PLACE.sub(lambda match: f"{match['path']}{match['between']}{line_of(match['name'], match['path'])}", text)
    return _PART.sub(lambda match: f"{match[1]}\n{PARTS[match['name']]()}\n\n{match[3]}", text)


def line_of(name: str, path: str) -> int:
    """Return the line that sets the key at *path* in the shipped backend *name*."""
    leaves = merged(TEMPLATES / f"{name}.yaml").explain()
    return next(leaf.line for leaf in leaves if leaf.path == path)


def merged(file: Path) -> MergedBackend:
    """Return a shipped file with what it extends; nobody's own files count."""
    return load_merged(str(file), environ={"ADAPTER_PATH": str(TEMPLATES)}, cwd=HERE)


def main(arguments: Sequence[str]) -> int:
    """Write the files, or check them."""
    stale = []
    for name in FILES:
        file = HERE / name
        before = file.read_text(encoding="utf-8")
        after = filled(before)
        if before != after:
            stale.append(name)
            if "--check" not in arguments:
                file.write_text(after, encoding="utf-8")
    sys.stdout.write("".join(f"{name} {'is stale' if '--check' in arguments else 'written'}\n" for name in stale))
    return int(bool(stale) and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
