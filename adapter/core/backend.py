"""A backend file as data: everything the executor needs to know about a place that runs jobs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from adapter.core import units
from adapter.core.state import Reason, State
from adapter.core.task import parse_resource
from adapter.core.template import Condition, Template

if TYPE_CHECKING:
    from collections.abc import Mapping

ERROR_CLASSES = ("transient", "limit", "auth", "gone", "permanent")
EXIT_CODE_DECODERS = ("plain", "wait_status", "code_signal", "plus_128", "plus_256")
GONE = "gone"


@dataclass(frozen=True, slots=True)
class Option:
    """One piece of a command or one directive line; written only if ``when`` holds."""

    name: str
    when: Condition
    text: Template


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSpec:
    """A command template with its ``options``; ``timeout_s`` bounds one command."""

    command: Template
    options: tuple[Option, ...] = ()
    timeout_s: float = 60.0

    @property
    def variables(self) -> frozenset[str]:
        """The names that the command and its options use."""
        return self.command.variables.union(*(option.text.variables for option in self.options))

    @property
    def takes_many(self) -> bool:
        """Whether one command serves many jobs (it uses ``job_ids``)."""
        return "job_ids" in self.variables


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitSpec(CommandSpec):
    """How a job is handed over. ``job_id_inside`` is shell text giving, inside the job, the id that submit answered."""

    job_id: re.Pattern[str]
    job_id_inside: str | None = None


StateMap = dict[str, tuple[State, Reason | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuerySpec(CommandSpec):
    """How jobs are asked about: ``monitor``, ``result`` and ``find`` are all this.

    ``states`` and ``reasons`` map the scheduler's words to ours; ``exit_codes`` maps the command's own exit code to
    a word of ours or to ``gone``, for commands that ask about one job. ``gone_after_s`` is how long a job may be absent
    from good answers, without an exit file, before it is lost. ``requeues``: a running job may go back to the queue.
    """

    row: re.Pattern[str] | None = None
    states: StateMap = field(default_factory=dict)
    reasons: StateMap = field(default_factory=dict)
    exit_codes: dict[int, str] = field(default_factory=dict)
    exit_code_decode: str = "plain"
    exit_code_reasons: dict[int, Reason] = field(default_factory=dict)
    max_ids: int = 500
    gone_after_s: float = 60.0
    requeues: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KillSpec(CommandSpec):
    """How jobs are killed, and the harder way used ``escalate_after_s`` later for those still there."""

    max_ids: int = 500
    harder: CommandSpec | None = None
    escalate_after_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue to choose: fits if ``when`` holds and nothing asked for is above ``caps``; ``clamp`` lowers instead."""

    name: str
    when: Condition | None = None
    caps: Mapping[str, float] = field(default_factory=dict)
    clamp: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How hard a backend may be used; ``None`` is without a limit.

    ``capacity`` bounds the sum of a resource over the jobs that run at once, for places without a queue of their own;
    ``None`` stands for all that the machine has, known once it was asked.
    """

    max_tasks: int | None = None
    submit_per_minute: float | None = None
    submit_batch: int = 100
    poll_min_s: float = 1.0
    poll_max_s: float = 30.0
    capacity: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One place that runs jobs. ``document`` is the merged file; ``lineage`` its name and those it extends."""

    name: str
    document: Mapping[str, Any]
    lineage: tuple[str, ...]
    submit: SubmitSpec
    monitor: QuerySpec
    kill: KillSpec
    script: Template
    workspace: str
    summary: str = ""
    connection: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    programs: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    supports: frozenset[str] = frozenset()
    limits: Limits = field(default_factory=Limits)
    queues: tuple[Queue, ...] = ()
    prologue: tuple[str, ...] = ()
    directive_prefix: str = ""
    directive_escape: str = ""
    directives: tuple[Option, ...] = ()
    result: QuerySpec | None = None
    find: QuerySpec | None = None
    logs: Mapping[str, Template] = field(default_factory=dict)
    errors: Mapping[str, tuple[re.Pattern[str], ...]] = field(default_factory=dict)
    version_command: Template | None = None
    version_pattern: re.Pattern[str] | None = None
    overlays: tuple[tuple[str, Mapping[str, Any]], ...] = ()

    @property
    def takes_native(self) -> bool:
        """Whether a scheduler's own options have a place to go to."""
        return bool(self.directive_prefix) or "native" in self.submit.variables

    def is_supported(self, resource: str) -> bool:
        """Whether this backend has a way to ask for *resource*."""
        return resource in self.supports


def backend_from(document: Mapping[str, Any], *, name: str | None = None, lineage: tuple[str, ...] = ()) -> Backend:
    """Return the backend that a merged and checked *document* describes (``adapter.config`` loads and checks files)."""
    name = name or document["name"]
    limits = dict(document.get("limits", {}))
    poll_min, poll_max = limits.pop("poll_seconds", (1, 30))
    capacity = {
        key: None if value == "machine" else parse_resource(key, value)
        for key, value in limits.pop("capacity", {}).items()
    }
    directives = document.get("directives", {})
    version, result = document.get("version", {}), document.get("result")
    submit = _submit(document["submit"])
    options = _options(directives.get("options", {}))
    return Backend(
        name=name,
        document=document,
        lineage=lineage or (name,),
        summary=document.get("summary", ""),
        connection=document.get("connection", {"kind": "local"}),
        workspace=document["workspace"],
        needs=tuple(document.get("needs", ())),
        programs=document.get("programs", {}),
        values=document.get("values", {}),
        defaults={key: parse_resource(key, value) for key, value in document.get("defaults", {}).items()},
        supports=frozenset(
            {option.name for option in (*options, *submit.options)}
            | submit.command.variables
            | set(capacity)
            | set(document.get("supports", ()))
        ),
        limits=Limits(poll_min_s=poll_min, poll_max_s=poll_max, capacity=capacity, **limits),
        queues=tuple(_queue(queue) for queue in document.get("queues", ())),
        prologue=tuple(document.get("prologue", ())),
        directive_prefix=directives.get("prefix", ""),
        directive_escape=directives.get("escape", ""),
        directives=options,
        script=Template(document["script"]),
        submit=submit,
        monitor=_query(document["monitor"]),
        result=_query({"states": document["monitor"].get("states", {}), **result}) if result else None,
        kill=_kill(document["kill"]),
        find=_query(document["find"]) if document.get("find") else None,
        logs={stream: Template(text) for stream, text in document.get("logs", {}).items()},
        errors={kind: tuple(map(re.compile, patterns)) for kind, patterns in document.get("errors", {}).items()},
        version_command=Template(version["command"]) if version else None,
        version_pattern=re.compile(version["pattern"]) if version else None,
        overlays=tuple((entry["version"], entry["use"]) for entry in document.get("when", ())),
    )


def _options(entries: Mapping[str, Any]) -> tuple[Option, ...]:
    return tuple(
        Option(name, Condition(entry["when"]), Template(entry["text"]))
        if isinstance(entry, dict)
        else Option(name, Condition(f"{name} is not none and {name}"), Template(entry))
        for name, entry in entries.items()
    )


def _common(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "command": Template(spec["command"]),
        "options": _options(spec.get("options", {})),
        "timeout_s": units.parse_seconds(spec.get("timeout", 60)),
    }


def _submit(spec: Mapping[str, Any]) -> SubmitSpec:
    return SubmitSpec(
        **_common(spec), job_id=re.compile(spec["job_id"], re.MULTILINE), job_id_inside=spec.get("job_id_inside")
    )


def _query(spec: Mapping[str, Any]) -> QuerySpec:
    decoding = spec.get("exit_code", {})
    return QuerySpec(
        **_common(spec),
        row=re.compile(spec["row"]) if "row" in spec else None,
        states=_state_map(spec.get("states", {})),
        reasons=_state_map(spec.get("reasons", {})),
        exit_codes={int(code): word for code, word in spec.get("exit_codes", {}).items()},
        exit_code_decode=decoding.get("decode", "plain"),
        exit_code_reasons={int(code): Reason(word) for code, word in decoding.get("reasons", {}).items()},
        max_ids=spec.get("max_ids", 500),
        gone_after_s=units.parse_seconds(spec.get("absent", {}).get("gone_after", 60)),
        requeues=spec.get("requeues", False),
    )


def _kill(spec: Mapping[str, Any]) -> KillSpec:
    harder = spec.get("escalate")
    return KillSpec(
        **_common(spec),
        max_ids=spec.get("max_ids", 500),
        harder=CommandSpec(**_common(harder)) if harder else None,
        escalate_after_s=units.parse_seconds(harder["after"]) if harder else 30.0,
    )


def parse_state_word(word: str) -> tuple[State, Reason | None]:
    """Return the state and reason in ``failed/time_limit``.

    Raises:
        ValueError: it names no state or reason of ours.
    """
    state, _, reason = word.partition("/")
    return State(state), Reason(reason) if reason else None


def _state_map(states: Mapping[str, list[str]]) -> StateMap:
    return {str(native): parse_state_word(ours) for ours, natives in states.items() for native in natives}


def _queue(spec: Mapping[str, Any]) -> Queue:
    return Queue(
        name=spec["name"],
        when=Condition(spec["when"]) if "when" in spec else None,
        caps={key: parse_resource(key, value) for key, value in spec.get("max", {}).items()},
        clamp=spec.get("over") == "clamp",
    )


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return *base* overlaid with *over*: maps are merged, everything else is replaced, ``None`` removes."""
    merged = dict(base)
    for key, value in over.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            below = merged.get(key)
            merged[key] = merge(below if isinstance(below, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def for_version(backend: Backend, version: str) -> Backend:
    """Return *backend* with every ``when`` overlay applied whose condition holds for *version*."""
    document = dict(backend.document)
    for condition, overlay in backend.overlays:
        if version_matches(version, condition):
            document = merge(document, overlay)
    return backend_from(document, name=backend.name, lineage=backend.lineage)


_COMPARE = re.compile(r"^\s*(?P<operator><=|>=|==|<|>)\s*'?(?P<version>\d+(?:\.\d+)*)'?\s*$")


def version_matches(version: str, condition: str) -> bool:
    """Whether *version* fulfils *condition* (``< 21.08``), compared number by number.

    Raises:
        ValueError: *condition* is not an operator and a version.

    >>> version_matches("22.05.8", ">= 21.8"), version_matches("22.05.8", "< 22")
    (True, False)
    """
    match = _COMPARE.match(condition)
    if match is None:
        raise ValueError(f"{condition!r} is not a version condition; write it like '< 21.08'")
    mine, other = _numbers(version), _numbers(match["version"])
    width = max(len(mine), len(other))
    mine, other = mine + [0] * (width - len(mine)), other + [0] * (width - len(other))
    return {"<": mine < other, "<=": mine <= other, "==": mine == other, ">=": mine >= other, ">": mine > other}[
        match["operator"]
    ]


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]
