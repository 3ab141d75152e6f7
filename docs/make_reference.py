"""Write the tables of the documents from the schemas, the shipped backends and the code's own dictionaries.

``python docs/make_reference.py`` rewrites every marked part of the files in ``FILES``; with ``--check`` nothing is
written, and the exit code is 1 if a file would change. A test compares them too.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

HERE = Path(__file__).resolve().parent
SCHEMAS = HERE.parent / "schemas"
TEMPLATES = HERE.parent / "templates"

# What is in force where a key is left out. The schemas do not say it, because a file may get the key from its parents.
DEFAULTS = {
    "name": "the file's name without its ending",
    "abstract": "`false`",
    "proof": "nothing is said",
    "automatic": "never chosen unless it is named",
    "automatic.probe": "always usable",
    "connection": "`{kind: local}`",
    "same_machine": "`false`",
    "secrets": "none",
    "secrets.NAME.optional": "`false`",
    "functions": "none",
    "defaults": "none: what is not asked for is not written",
    "submit.timeout": "`60s`",
    "submit.job_id_inside": "none: a running job does not know its id",
    "submit.environment": "nothing is dropped",
    "submit.goes_to": "not known before: a job with a qualifier is waited for by adapter",
    "submit.ended_is_any_end": "`false`: adapter itself waits for the end of a task",
    "monitor.timeout": "`60s`",
    "monitor.exit_code.decode": "`plain`",
    "monitor.max_ids": "`500`",
    "monitor.absent.gone_after": "`60s`",
    "monitor.requeues": "`false`",
    "monitor.success_needs_exit_file": "`false`; `true` with `extends: batch`",
    "result": "none: accounting is not asked",
    "result.timeout": "`60s`",
    "result.states": "those of `monitor`",
    "result.reasons": "those of `monitor`",
    "result.exit_code.decode": "`plain`",
    "result.max_ids": "`500`",
    "monitor.json.rows": "the whole answer",
    "monitor.json.next": "the answer has one page",
    "result.json.rows": "the whole answer",
    "find.json.rows": "the whole answer",
    "submit.json.rows": "the whole answer",
    "images": "none: a task with an image is refused",
    "launch": "none",
    "launch.program": "not looked for",
    "shell": "`sh`",
    "pass_env": "nothing; `batch` and the schedulers name theirs",
    "requires": "nothing",
    "array": "none",
    "array.first": "`0`",
    "array.min_size": "`2`",
    "array.max_size": "`1000`",
    "limits.arrays": "`false`",
    "find": "none: a submit in doubt ends as `lost`, never repeated",
    "watch": "none: jobs are only polled",
    "watch.row": "that of `monitor`",
    "watch.json": "that of `monitor`",
    "watch.json.rows": "the whole answer",
    "find.timeout": "`60s`",
    "kill.timeout": "`60s`",
    "kill.max_ids": "`500`",
    "kill.escalate": "none",
    "kill.escalate.timeout": "`60s`",
    "limits.max_tasks": "no limit",
    "limits.submit_per_minute": "no limit",
    "limits.submit_batch": "`100`",
    "limits.poll_seconds": "`[1, 30]`",
    "limits.capacity": "no limit",
    "directives.quote": "`shell`",
    "queues": "none: the scheduler's own default",
    "queues[].when": "fits every task",
    "queues[].over": "`refuse`",
    "logs.stdout": "`{{ stdout }}`",
    "logs.stderr": "`{{ stderr }}`",
    "logs.stdout.timeout": "`60s`",
    "logs.stderr.timeout": "`60s`",
}
EXAMPLES = {
    "format": "1",
    "name": "cluster",
    "summary": "Our cluster, from its login node",
    "proof": "captures",
    "automatic.for": "images",
    "automatic.rank": "1",
    "automatic.probe": "docker ps --quiet",
    "secrets.NAME.env": "TES_TOKEN",
    "secrets.NAME.file": "~/.config/tes-password",
    "secrets.NAME.command": "pass show tes",
    "abstract": "true",
    "same_machine": "true",
    "defaults": "{cpu: 1, ram: 2 GiB, walltime: 30m}",
    "supports": "[walltime, ram_limit]",
    "limits.max_tasks": "200",
    "limits.submit_per_minute": "600",
    "limits.submit_batch": "50",
    "limits.arrays": "true",
    "queues[].name": "short",
    "queues[].when": "walltime <= 3600",
    "queues[].max": "{cpu: 64, ram: 256 GiB}",
    "queues[].over": "clamp",
    "directives.options": "{cpu: '--cpus-per-task={{ cpu | ceil }}'}",
    "submit.command": "sbatch --parsable {{ script }}",
    "submit.options": "{queue: '-q {{ queue }}'}",
    "submit.timeout": "2m",
    "submit.job_id": r"'^(?P<job_id>\d+)$'",
    "monitor.command": "squeue --jobs={{ job_ids | join(',') }}",
    "monitor.row": r"'^(?P<job_id>\d+) (?P<state>\w+)$'",
    "monitor.fields": r"{job_id: '^Job Id: (\S+)', state: '^job_state = (\w)'}",
    "monitor.json.rows": "tasks",
    "monitor.json.job_id": "id",
    "monitor.json.state": "state",
    "monitor.json.exit_code": "logs[-1].exit_code",
    "monitor.json.next": "next_page_token",
    "monitor.states": "{running: [RUNNING], failed/time_limit: [TIMEOUT]}",
    "monitor.reasons": "{held: [JobHeldUser]}",
    "monitor.exit_codes": "{0: running, 1: gone}",
    "monitor.exit_code.decode": "wait_status",
    "monitor.exit_code.reasons": "{-29: time_limit}",
    "monitor.max_ids": "200",
    "monitor.absent.gone_after": "2m",
    "monitor.requeues": "true",
    "monitor.success_needs_exit_file": "true",
    "launch.program": "apptainer",
    "launch.command": "apptainer exec {{ options }} {{ image }} {{ argv | words }}",
    "launch.options": "{gpu: --nv}",
    "requires": "[image]",
    "directives.quote": "doubled",
    "array.option": "'--array=0-{{ last }}'",
    "array.index": "SLURM_ARRAY_TASK_ID",
    "array.job_id": "'{{ job_id }}_{{ index }}'",
    "find.row": r"'^(?P<job_id>\d+) (?P<token>adapter-\S+)$'",
    "find.json.token": "tags.adapter_token",
    "kill.command": "scancel {{ job_ids | words }}",
    "kill.escalate.after": "40s",
    "kill.escalate.command": "scancel --signal=KILL {{ job_ids | words }}",
    "logs.stdout": "'{{ stdout }}'",
    "logs.stdout.command": "kubectl logs job/{{ job_id }}",
    "logs.stdout.json": "logs[-1].stdout",
    "errors.transient": "[Socket timed out]",
    "errors.limit": "[job submit limit]",
    "errors.auth": "[Access denied]",
    "errors.gone": "[Invalid job id specified]",
    "errors.permanent": "[invalid partition]",
    "errors.otherwise": "{limit: [job submit limit]}",
    "errors.otherwise.transient": "[in a library call]",
    "errors.otherwise.limit": "[job submit limit]",
    "errors.otherwise.auth": "[rejected]",
    "errors.otherwise.gone": "[No such]",
    "errors.otherwise.permanent": "[Job not submitted]",
    "version.command": "sbatch --version",
    "version.pattern": r"'slurm (?P<version>[\d.]+)'",
    "when[].use": "{monitor: {max_ids: 100}}",
}
# The schema's sentence, where what this version does has to be said with it.
NOTES = {
    "needs": "Looked for once, before anything leaves; what is missing is an error that names it.",
    "connection.host": "For `ssh`.",
    "connection.user": "For `ssh`.",
    "connection.port": "For `ssh`.",
    "connection.login_shell": "For `ssh`.",
    "connection.config": "For `ssh`.",
    "connection.known_hosts": "For `ssh`.",
    "connection.max_channels": "For `ssh`.",
    "connection.client": "For `ssh`.",
    "connection.compression": "For `ssh`.",
    "proof": "Not inherited.",
    "automatic": "Not inherited.",
    "secrets": "See [secrets](#secrets).",
    "document": "See [documents](#document).",
    "logs.stdout": "Standard output and standard error are asked for with `adapter logs`.",
    "limits.arrays": "See [arrays](#array).",
    "limits.max_tasks": "Counted by each `adapter` process for the jobs that it drives.",
    "limits.submit_per_minute": "Counted by each `adapter` process.",
    "limits.capacity": "Counted by each `adapter` process.",
}

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


def load(name: str) -> dict[str, Any]:
    """Return the JSON Schema *name*."""
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


_TYPES = {
    "string": "text", "number": "number", "integer": "whole number", "boolean": "true or false",
    "array": "list", "object": "map",
}  # fmt: skip


def type_of(schema: Mapping[str, Any]) -> str:
    """Return what a value looks like, in a few words."""
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"] if choice is not None)
    kinds = [kind for each in (schema, *schema.get("anyOf", ())) for kind in _kinds(each)]
    names = dict.fromkeys(_TYPES[kind] for kind in kinds if kind != "null")
    text = " or ".join(names)
    inner = schema.get("items")
    if text == "list" and isinstance(inner, dict) and "enum" in inner:
        return "list of names"
    return text or "map"


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    kinds = schema.get("type", [])
    return [kinds] if isinstance(kinds, str) else [*kinds]


def resolved(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
    """Return *schema* with what its ``$ref`` means; its own words win."""
    if "$ref" not in schema:
        return dict(schema)
    meant: Any = whole
    for part in schema["$ref"].removeprefix("#/").split("/"):
        meant = meant[part]
    return {**resolved(meant, whole), **{key: value for key, value in schema.items() if key != "$ref"}}


def rows_of(path: str, schema: Mapping[str, Any], whole: Mapping[str, Any]) -> Iterator[list[str]]:
    """Return a row for the key at *path* and one for each key below it; resources have a table of their own."""
    schema = resolved(schema, whole)
    meaning = schema.get("description", "")
    if path in NOTES:
        meaning = f"{meaning} {NOTES[path]}"
    example = EXAMPLES.get(path) or _written(schema.get("examples", [None])[0])
    yield [f"`{path}`", type_of(schema), meaning, DEFAULTS.get(path, ""), f"`{example}`" if example else ""]
    if path in {"defaults", "limits.capacity", "queues[].max", "when[].use", "resources"} or path.endswith("options"):
        return
    below = [schema, *schema.get("anyOf", ())]
    for each in below:
        for key, value in each.get("properties", {}).items():
            yield from rows_of(f"{path}.{key}", value, whole)
    named = schema.get("additionalProperties")
    if isinstance(named, dict) and named.get("properties"):
        yield from list(rows_of(f"{path}.NAME", named, whole))[1:]
    items = schema.get("items")
    if isinstance(items, dict) and items.get("properties"):
        for key, value in items["properties"].items():
            yield from rows_of(f"{path}[].{key}", value, whole)


def _written(example: Any) -> str:
    """Return *example* as YAML in one line."""
    match example:
        case None:
            return ""
        case list():
            return "[" + ", ".join(_written(each) for each in example) + "]"
        case dict():
            return "{" + ", ".join(f"{key}: {_written(value)}" for key, value in example.items()) + "}"
        case str() if re.search(r"^[#$<>]|[#{}\[\],:] |,|^-", example) and not re.fullmatch(r"[\w$/.~-]+", example):
            return f"'{example}'"
    return str(example)


HEAD = ["key", "type", "meaning", "if left out", "example"]


def _keys(*names: str) -> str:
    whole = load("backend")
    keys = whole["$defs"]["keys"]["properties"]
    return table(HEAD, (row for name in names for row in rows_of(name, keys[name], whole)))


def _resources(whole: Mapping[str, Any], *, with_places: bool) -> str:
    keys = whole["$defs"]["keys"]["properties"]
    known = (keys["defaults"] if with_places else keys["resources"])["properties"]
    head = ["resource", "type", "meaning"]
    rows = [[f"`{name}`", type_of(schema), schema["description"]] for name, schema in known.items()]
    if not with_places:
        return table(head, rows)
    caps = keys["queues"]["items"]["properties"]["max"]["properties"]
    sums = keys["limits"]["properties"]["capacity"]["properties"]
    places = [["yes" if name in caps else "", "yes" if name in sums else ""] for name in known]
    return table(
        [*head, "`queues[].max`", "`limits.capacity`"],
        (row + place for row, place in zip(rows, places, strict=True)),
    )


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


def _task_keys() -> str:
    whole = load("task")
    keys = whole["$defs"]["keys"]["properties"]
    own_tables = ("command", "steps", "inputs", "outputs")
    rows = [[f"`{key}`", "a step" if key == "command" else "list", keys[key]["description"], ""] for key in own_tables]
    for name, schema in keys.items():
        if name not in own_tables:
            examples = f"`{_written(schema['examples'][0])}`" if "examples" in schema else ""
            rows.append([f"`{name}`", type_of(schema), schema["description"], examples])
    return table(["key", "type", "meaning", "example"], rows)


def _task_part(part: str) -> Callable[[], str]:
    def write() -> str:
        whole = load("task")
        rows = list(rows_of(part, whole["$defs"][part], whole))[1:]
        return table(["key", "type", "meaning"], ([row[0].replace(f"{part}.", ""), *row[1:3]] for row in rows))

    return write


def _set_keys() -> str:
    whole = load("task")
    keys = {key: resolved(value, whole) for key, value in whole["$defs"]["set"]["properties"].items()}
    rows = [[f"`{key}`", type_of(schema), schema["description"]] for key, schema in keys.items()]
    return table(["key", "type", "meaning"], rows)


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
    known = list(load("backend")["$defs"]["keys"]["properties"]["images"]["propertyNames"]["enum"])
    rows = [[f"`{one.name}`", *("yes" if name in one.images else "" for name in known)] for one in able]
    return table(["backend", *(f"`{name}://`" for name in known)], rows)


PARTS: dict[str, Callable[[], str]] = {
    "proofs": _proofs,
    "protocols": _protocols,
    "file": lambda: _keys("format", "name", "summary", "extends", "abstract", "proof", "automatic"),
    "place": lambda: _keys("connection", "same_machine", "workspace", "needs", "programs"),
    "secrets": lambda: _keys("secrets"),
    "functions": lambda: _keys("functions"),
    "wishes": lambda: _keys("values", "defaults", "supports", "limits", "queues", "prologue"),
    "resources": lambda: _resources(load("backend"), with_places=True),
    "script": lambda: _keys("directives", "script"),
    "document": lambda: _keys("document"),
    "images": lambda: _keys("images", "launch", "requires"),
    "array": lambda: _keys("array"),
    "options": _options,
    "submit": lambda: _keys("submit"),
    "monitor": lambda: _keys("monitor"),
    "result": lambda: _keys("result"),
    "find": lambda: _keys("find"),
    "watch": lambda: _keys("watch"),
    "kill": lambda: _keys("kill"),
    "logs": lambda: _keys("logs"),
    "errors": lambda: _keys("errors") + "\n\n" + _classes(),
    "versions": lambda: _keys("version", "when"),
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
    "task-resources": lambda: _resources(load("task"), with_places=False),
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
