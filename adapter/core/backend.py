"""A backend file as data: everything the executor needs to know about a place that runs jobs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapter.core.document import Document, document_from
from adapter.core.specs import (
    ArraySpec,
    KillSpec,
    LaunchSpec,
    LogSpec,
    Option,
    QuerySpec,
    SubmitSpec,
    WatchSpec,
    array_from,
    filled,
    kill_from,
    launch_from,
    log_from,
    options_from,
    query_from,
    submit_from,
    watch_from,
)
from adapter.core.task import recorded_resource, texts
from adapter.core.template import Condition, PlainTemplate, Template

ErrorClasses = Mapping[str, tuple[re.Pattern[str], ...]]
ERROR_CLASSES = ("transient", "limit", "auth", "gone", "permanent")
CAPABILITIES = ("arrays", "dependencies", "images", "gpu", "usage", "watch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue to choose: fits if ``when`` holds and nothing asked for is above ``caps``; ``clamp`` lowers instead."""

    name: str
    when: Condition | None
    caps: Mapping[str, float]
    clamp: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How hard a backend may be used; ``None`` is without a limit.

    ``capacity`` bounds the sum of a resource over the jobs that run at once, for places without a queue of their own;
    ``None`` stands for all that the machine has, known once it was asked. ``arrays``: like tasks are handed over
    together, where the backend can.
    """

    max_tasks: int | None
    submit_per_minute: float | None
    submit_batch: int
    poll_min_s: float
    poll_max_s: float
    capacity: Mapping[str, float | None]
    arrays: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One place that runs jobs. ``document`` is the merged file; ``lineage`` its name and those it extends.

    ``script`` is what is written beside the submit command: text for a shell, or a document for a service. ``images``
    holds, by protocol, how this backend names an image. ``secrets`` says where each secret comes from, never what it
    is. ``shell`` are the words of the program that reads the jobs' scripts. ``pass_env`` are names and patterns of
    what a step in an image gets of the job's own environment. ``automatic`` says for which tasks this backend is a
    default, ``None`` for none. ``library`` says by name who needs a file of ``templates/lib``. ``errors_otherwise`` are
    the words of sentences that name no cause: asked where none of ``errors`` fits.
    ``same_machine``: jobs run on the machine that the commands run on.
    """

    name: str
    document: Mapping[str, Any]
    lineage: tuple[str, ...]
    submit: SubmitSpec
    monitor: QuerySpec
    kill: KillSpec
    script: Template | Document
    workspace: str
    summary: str
    same_machine: bool
    connection: Mapping[str, Any]
    needs: tuple[str, ...]
    programs: Mapping[str, str]
    values: Mapping[str, Any]
    defaults: Mapping[str, Any]
    supports: frozenset[str]
    limits: Limits
    queues: tuple[Queue, ...]
    prologue: tuple[str, ...]
    env: Mapping[str, str]
    shell: tuple[str, ...]
    pass_env: tuple[str, ...]
    directive_prefix: str
    directive_quote: str
    directives: tuple[Option, ...]
    result: QuerySpec | None
    find: QuerySpec | None
    watch: WatchSpec | None
    logs: Mapping[str, Template | LogSpec]
    logs_together: bool
    launch: LaunchSpec | None
    images: Mapping[str, PlainTemplate]
    requires: tuple[str, ...]
    array: ArraySpec | None
    functions: Mapping[str, Template]
    library: Mapping[str, str]
    secrets: Mapping[str, Mapping[str, str]]
    automatic: Mapping[str, Any] | None
    errors: ErrorClasses
    errors_otherwise: ErrorClasses
    version_command: Template | None
    version_pattern: re.Pattern[str] | None
    overlays: tuple[tuple[str, Mapping[str, Any]], ...]

    @property
    def launch_program(self) -> str | None:
        """The program that a job needs, where it runs, to start a step in an image; ``None`` if none is named."""
        if self.launch is None or self.launch.program is None:
            return None
        return shlex.split(self.launch.program.render(self.values))[0]

    @property
    def takes_native(self) -> bool:
        """Whether a scheduler's own options have a place to go to."""
        return bool(self.directive_prefix) or "native" in self.submit.variables

    @property
    def job_variables(self) -> frozenset[str]:
        """The names that the templates of a job's submit use: script, directives, submit command, launch, array."""
        options = (*self.directives, *self.submit.options, *(self.launch.options if self.launch else ()))
        used = self.submit.command.variables.union(self.script.variables, *(o.text.variables for o in options))
        return used | (self.launch.command.variables if self.launch else frozenset())

    @property
    def capabilities(self) -> dict[str, bool]:
        """What this backend can, by the words of ``CAPABILITIES``."""
        read = {name for spec in (self.monitor, self.result) if spec and spec.grammar for name in spec.grammar.names}
        return {
            "arrays": self.array is not None,
            "dependencies": bool({"after_succeeded", "after_ended"} & self.job_variables),
            "images": bool(self.images),
            "gpu": self.is_supported("gpu"),
            "usage": self._script_counts or bool({"wall", "cpu", "user_cpu", "peak_ram"} & read),
            "watch": bool(self.watch_command("/workspace")),
        }

    @property
    def _script_counts(self) -> bool:
        """Whether the job's own wrapper counts what its steps use."""
        return isinstance(self.script, Template) and bool(self.values.get("count_times", True))

    def watch_command(self, workspace: str) -> str:
        """Return the command that goes on and tells of changes; empty where there is none, or ``values`` ask for none.

        Elsewhere than on this machine there is none: it would take a channel, and be a process on a login node.
        """
        if self.watch is None or self.connection.get("kind") != "local":
            return ""
        return self.watch.command.render({**self.values, "workspace": workspace}).strip()

    def is_supported(self, resource: str) -> bool:
        """Whether this backend has a way to ask for *resource*."""
        return resource in self.supports


def backend_from(document: Mapping[str, Any], *, name: str | None = None, lineage: tuple[str, ...] = ()) -> Backend:
    """Return the backend that a merged and checked *document* describes (``adapter.config`` loads and checks files)."""
    name = name or document["name"]
    whole = filled("backend", document)
    directives = filled("directives", whole["directives"])
    limits = _limits(whole["limits"])
    version, result, logs = document.get("version"), document.get("result"), whole["logs"]
    errors = whole["errors"]
    submit = submit_from(document["submit"])
    options = options_from(directives["options"])
    launch = launch_from(document["launch"]) if document.get("launch") else None
    script = document_from(document["document"]) if "document" in document else Template(document["script"])
    return Backend(
        name=name,
        document=document,
        lineage=lineage or (name,),
        summary=whole["summary"],
        same_machine=whole["same_machine"],
        connection=whole["connection"],
        workspace=document["workspace"],
        needs=tuple(whole["needs"]),
        programs=whole["programs"],
        values=whole["values"],
        defaults={key: recorded_resource(key, value) for key, value in whole["defaults"].items()},
        supports=frozenset(
            {option.name for option in (*options, *submit.options, *(launch.options if launch else ()))}
            | submit.command.variables
            | (script.variables if isinstance(script, Document) else frozenset())
            | ({"image"} if whole["images"] else set())
            | set(limits.capacity)
            | set(whole["supports"])
        ),
        limits=limits,
        queues=tuple(_queue(filled("queues", queue)) for queue in whole["queues"]),
        prologue=tuple(whole["prologue"]),
        env=texts(whole["env"]),
        shell=_shell(whole["shell"]),
        pass_env=tuple(name for group in whole["pass_env"].values() for name in group),
        directive_prefix=directives["prefix"],
        directive_quote=directives["quote"],
        directives=options,
        script=script,
        submit=submit,
        monitor=query_from(document["monitor"]),
        result=query_from(_with_states(result, document["monitor"])) if result else None,
        kill=kill_from(document["kill"]),
        find=query_from(document["find"]) if document.get("find") else None,
        watch=watch_from(document["watch"], document["monitor"]) if document.get("watch") else None,
        logs={stream: log_from(spec) for stream, spec in logs.items() if stream != "together"},
        logs_together=filled("logs", logs)["together"],
        launch=launch,
        images={protocol: PlainTemplate(text) for protocol, text in whole["images"].items()},
        requires=tuple(whole["requires"]),
        array=array_from(document["array"]) if document.get("array") else None,
        functions={key: Template(body) for key, body in whole["functions"].items()},
        library=whole["library"],
        secrets=whole["secrets"],
        automatic={**filled("automatic", document["automatic"])} if document.get("automatic") else None,
        errors=_error_classes({kind: patterns for kind, patterns in errors.items() if kind != "otherwise"}),
        errors_otherwise=_error_classes(filled("errors", errors)["otherwise"]),
        version_command=Template(version["command"]) if version else None,
        version_pattern=re.compile(version["pattern"]) if version else None,
        overlays=tuple((entry["version"], entry["use"]) for entry in whole["when"]),
    )


def _limits(spec: Mapping[str, Any]) -> Limits:
    spec = filled("limits", spec)
    poll_min, poll_max = spec["poll_seconds"]
    capacity = spec["capacity"].items()
    return Limits(
        max_tasks=spec.get("max_tasks"),
        submit_per_minute=spec.get("submit_per_minute"),
        submit_batch=spec["submit_batch"],
        poll_min_s=poll_min,
        poll_max_s=poll_max,
        capacity={key: None if cap == "machine" else recorded_resource(key, cap) for key, cap in capacity},
        arrays=spec["arrays"],
    )


def _error_classes(classes: Mapping[str, list[str]]) -> ErrorClasses:
    return {kind: tuple(map(re.compile, patterns)) for kind, patterns in classes.items()}


def _shell(text: str) -> tuple[str, ...]:
    """Return the words of a script's interpreter; its first line needs a path, and a bare name is of /bin."""
    program, *options = text.split()
    return (program if "/" in program else f"/bin/{program}", *options)


def _with_states(result: Mapping[str, Any], monitor: Mapping[str, Any]) -> dict[str, Any]:
    """Return *result* with the monitor's words where it names none of its own."""
    return {**{key: monitor[key] for key in ("states", "reasons") if key in monitor}, **result}


def _queue(spec: Mapping[str, Any]) -> Queue:
    return Queue(
        name=spec["name"],
        when=Condition(spec["when"]) if "when" in spec else None,
        caps={key: recorded_resource(key, value) for key, value in spec["max"].items()},
        clamp=spec["over"] == "clamp",
    )


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return *base* overlaid with *over*: maps are merged, everything else is replaced, ``None`` removes.

    A secret has one source, so an entry of ``secrets`` is replaced as a whole.
    """
    secrets = over.get("secrets")
    if isinstance(secrets, dict):
        kept = {name: source for name, source in (base.get("secrets") or {}).items() if name not in secrets}
        base = {**base, "secrets": kept}
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
    return [int(number) for number in re.findall(r"[0-9]{1,18}", version)]
