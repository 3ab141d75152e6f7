"""Whether a backend file makes sense: templates, patterns, state words, units. Its form is checked before, by a schema.

Everything is found at once. The functions take documents from which what has the wrong form was taken out, and
whatever a file lacks is simply not looked at: missing keys are the schema's business.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jinja2

from adapter.core.backend import merge, version_matches
from adapter.core.schema import Finding, KeyPath, dotted, unknown
from adapter.core.specs import GONE, parse_state_word, pattern_in
from adapter.core.state import Reason, State
from adapter.core.task import RESOURCE_FIELDS
from adapter.core.template import (
    Template,
)
from adapter.core.validate_answers import answer_problems, pattern_problems
from adapter.core.validate_template import Tried, compared_names, leaf_problems
from adapter.core.variables import (
    COMMAND_VARIABLES,
    FIND_VARIABLES,
    JOB_ID_VARIABLES,
    LAUNCH_VARIABLES,
    SCRIPT_VARIABLES,
    TASK_VARIABLES,
    WATCH_VARIABLES,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_MAY_BE_MAPPED = frozenset(State) - {State.WAITING}
_MAY_BE_SET = frozenset(RESOURCE_FIELDS) | {"image"}
_RESERVED = {*TASK_VARIABLES, *SCRIPT_VARIABLES, *COMMAND_VARIABLES, *JOB_ID_VARIABLES, *FIND_VARIABLES} - _MAY_BE_SET
_WORKSPACE = re.compile(r"(?:/|~/|~$|\$\w|\$\{\w+\})[^\0\n]*")
_EXPANSION = re.compile(r"\$(?:[A-Za-z_]\w*|\{[A-Za-z_]\w*\})")


def problems_in(document: Mapping[str, Any]) -> list[Finding]:
    """Return everything in a merged backend *document* that makes no sense, with the overlays of ``when`` laid over it.

    An abstract document may use variables that only those who extend it will set: unknown names pass there.
    """
    found = _findings(document)
    for index, entry in _maps(document.get("when")):
        path = ("when", index)
        found += _version_condition((*path, "version"), entry.get("version"))
        found += _overlay_findings(document, entry.get("use") or {}, (*path, "use"), found)
    return found


def _overlay_findings(
    document: Mapping[str, Any], use: Mapping[str, Any], path: KeyPath, known: Iterable[Finding]
) -> list[Finding]:
    """Return what is wrong only once *use* is laid over *document*; what it does not set itself is told at *path*."""
    overlaid = {key: value for key, value in merge(document, use).items() if key != "when"}
    old = set(known)
    return [
        replace(finding, path=(*path, *finding.path))
        if _is_set(use, finding.path)
        else replace(finding, path=path, place=None, at_key=True)
        for finding in _findings(overlaid)
        if finding not in old
    ]


def _is_set(document: Any, path: KeyPath) -> bool:
    for part in path:
        is_entry = isinstance(document, list) and isinstance(part, int) and part < len(document)
        if not is_entry and not (isinstance(document, dict) and part in document):
            return False
        document = document[part]
    return True


def _findings(document: Mapping[str, Any]) -> list[Finding]:
    return [finding for check in _CHECKS for finding in check(document)]


def _maps(entries: Iterable[Any] | None) -> Iterator[tuple[int, Mapping[str, Any]]]:
    return ((index, entry) for index, entry in enumerate(entries or ()) if isinstance(entry, dict))


# ---- templates ---------------------------------------------------------------------------------------------------


def _templates(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Every template, each with the variables of its place."""
    own = set(document.get("values") or {})
    job = {*TASK_VARIABLES, *own}
    ids = {*JOB_ID_VARIABLES, *own}
    places: list[tuple[KeyPath, set[str]]] = [
        (("submit",), job),
        (("monitor",), ids),
        (("result",), ids),
        (("kill",), ids),
        (("kill", "escalate"), ids),
        (("find",), {*FIND_VARIABLES, *own}),
        (("watch",), {*WATCH_VARIABLES, *own}),
        (("version",), own),
        (("launch",), {*job, *LAUNCH_VARIABLES}),
        (("logs", "stdout"), ids),
        (("logs", "stderr"), ids),
    ]
    tried = Tried(document)
    if isinstance(document.get("script"), str):
        yield from tried.script(("script",), document["script"], {*job, *SCRIPT_VARIABLES})
    yield from tried.options(("directives", "options"), (document.get("directives") or {}).get("options"), job)
    for path, known in places:
        spec = _at(document, path)
        if isinstance(spec.get("command"), str):
            has_options = path not in {("watch",), ("version",)}
            yield from tried.command(
                (*path, "command"), spec["command"], {*known, *COMMAND_VARIABLES} if has_options else known
            )
        yield from tried.options((*path, "options"), spec.get("options"), known)


def _other_templates(document: Mapping[str, Any]) -> Iterator[Finding]:
    """The templates that are no command with options."""
    own = set(document.get("values") or {})
    job = {*TASK_VARIABLES, *own}
    tried = Tried(document)
    for stream, text in (document.get("logs") or {}).items():
        if isinstance(text, str):
            yield from tried.compiled(("logs", stream), text, job)
    for name, body in (document.get("functions") or {}).items():
        if isinstance(body, str):
            yield from tried.script(("functions", name), body, own)
    if isinstance(text := _at(document, ("launch",)).get("program"), str):
        yield from tried.compiled(("launch", "program"), text, own)
    for key in ("setup", "stop"):
        if isinstance(text := _at(document, ("launch",)).get(key), str):
            yield from tried.script(("launch", key), text, job)
    for protocol, text in (document.get("images") or {}).items():
        if isinstance(text, str):
            yield from tried.compiled(("images", protocol), text, {"name"})
    if isinstance(text := _at(document, ("submit",)).get("goes_to"), str):
        yield from tried.compiled(("submit", "goes_to"), text, own)
    array = _at(document, ("array",))
    places_in_array = {"option": {*job, "size", "first", "last"}, "job_id": {"job_id", "index"}}
    for key, known in places_in_array.items():
        if isinstance(array.get(key), str):
            yield from tried.compiled(("array", key), array[key], known)


def _documents(document: Mapping[str, Any]) -> Iterator[Finding]:
    """The leaves of a service's document, and its loops."""
    known = {*TASK_VARIABLES, *(document.get("values") or {})}
    yield from leaf_problems(Tried(document), ("document",), document.get("document"), known)
    if document.get("document") is not None and isinstance(document.get("script"), str):
        sentence = "document and script stand together; a job has one of them: set the other to null"
        yield Finding(path=("document",), message=sentence, at_key=True)


_SECRET = re.compile(r"\$\{?secret_(?P<name>\w+)")


def _secrets(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Each secret has one source, and what a command uses is declared."""
    secrets = document.get("secrets") or {}
    for name, source in secrets.items():
        given = [key for key in ("env", "file", "command") if (source or {}).get(key)]
        if isinstance(source, dict) and len(given) != 1:
            has = "no source" if not given else f"both {given[0]} and {given[1]}"
            yield Finding(path=("secrets", name), message=f"secret {name} has {has}; give one of env, file, command")
    texts: list[tuple[KeyPath, Any]] = [
        (("functions", name), body) for name, body in (document.get("functions") or {}).items()
    ]
    texts += [((*place, "command"), _at(document, place).get("command")) for place in _COMMANDS]
    for path, text in texts:
        for match in _SECRET.finditer(text if isinstance(text, str) else ""):
            if match["name"] not in secrets and not document.get("abstract"):
                line = text.count("\n", 0, match.start()) + 1
                place = (line, match.start() - text.rfind("\n", 0, match.start()))
                message = unknown("secret", match["name"], secrets) if secrets else f"no secret {match['name']!r}"
                yield Finding(path=path, message=f"{message}; declare it under `secrets`", place=place)


_COMMANDS: tuple[KeyPath, ...] = (
    ("submit",), ("monitor",), ("result",), ("find",), ("kill",), ("kill", "escalate"), ("version",), ("watch",),
    ("logs", "stdout"), ("logs", "stderr"),
)  # fmt: skip


def _at(document: Mapping[str, Any], path: KeyPath) -> Mapping[str, Any]:
    value: Any = document
    for part in path:
        value = value.get(part)
        if not isinstance(value, dict):
            return {}
    return value  # type: ignore[no-any-return]  # a document from a file is untyped


# ---- states ------------------------------------------------------------------------------------------------------


def _states(document: Mapping[str, Any]) -> Iterator[Finding]:
    for section in ("monitor", "result"):
        spec = _at(document, (section,))
        for key in ("states", "reasons"):
            yield from _state_map((section, key), spec.get(key) or {})
        for code, word in (spec.get("exit_codes") or {}).items():
            yield from _state_word((section, "exit_codes", code), word, also=GONE, at_key=False)
        for code, word in (_at(spec, ("exit_code",)).get("reasons") or {}).items():
            if word not in set(Reason):
                yield Finding(path=(section, "exit_code", "reasons", code), message=unknown("reason", word, Reason))


def _state_map(path: KeyPath, states: Mapping[str, Any]) -> Iterator[Finding]:
    homes: dict[str, str] = {}
    for ours, natives in states.items():
        yield from _state_word((*path, ours), ours, also=None, at_key=True)
        for index, native in enumerate(natives):
            if native is None:
                continue
            if (text := pattern_in(str(native))) is not None:
                yield from pattern_problems((*path, ours, index), text, needed=(), allowed=None)
            if str(native) in homes:
                sentence = f"{str(native)!r} is mapped twice: to {homes[str(native)]} and to {ours}; keep one"
                yield Finding(path=(*path, ours, index), message=sentence)
            homes.setdefault(str(native), ours)


def _state_word(path: KeyPath, word: str, *, also: str | None, at_key: bool) -> Iterator[Finding]:
    if word == also:
        return
    state, slash, reason = word.partition("/")
    known = {*_MAY_BE_MAPPED, also} - {None}
    if state not in known or (slash and state == also):
        yield Finding(path=path, message=unknown("state", state, (str(name) for name in known)), at_key=at_key)
    if slash and reason not in set(Reason):
        yield Finding(path=path, message=unknown("reason", reason, Reason), at_key=at_key)


def _monitor(document: Mapping[str, Any]) -> Iterator[Finding]:
    """A monitor must read something, and something must end a job."""
    monitor = _at(document, ("monitor",))
    if not isinstance(monitor.get("command"), str) or document.get("abstract"):
        return
    if not any(key in monitor for key in ("row", "record", "json", "exit_codes")):
        sentence = "monitor reads nothing: give it `row`, a pattern for one line, or `exit_codes`"
        yield Finding(path=("monitor",), message=sentence, at_key=True, missing=("row",))
    elif "exit_codes" not in monitor and not monitor.get("states"):
        sentence = "missing key 'states' in monitor: what the words in `state` mean"
        yield Finding(path=("monitor",), message=sentence, at_key=True, missing=("states",))
    elif not (_ends_a_job(monitor) or "absent" in monitor or "result" in document):
        key = "states" if "states" in monitor else "exit_codes"
        sentence = (
            f"no word in monitor.{key} ends a job; map one to succeeded, failed or killed, "
            "or say under `absent` what a missing job means"
        )
        yield Finding(path=("monitor", key), message=sentence, at_key=True)


def _ends_a_job(monitor: Mapping[str, Any]) -> bool:
    words = [*(monitor.get("states") or {}), *(monitor.get("exit_codes") or {}).values()]
    return any(word == GONE or _is_final(word) for word in words)


def _is_final(word: str) -> bool:
    try:
        return parse_state_word(word)[0].is_final
    except ValueError:
        return True  # refused on its own; a misspelt end is an end that was meant


def _kill(document: Mapping[str, Any]) -> Iterator[Finding]:
    """A kill that names no job would end them all, or none."""
    for path in (("kill",), ("kill", "escalate")):
        spec = _at(document, path)
        if isinstance(spec.get("command"), str) and not _used(spec) & {"job_id", "job_ids"}:
            sentence = f"{dotted(path)}.command names no job: it must use {{{{ job_id }}}} or {{{{ job_ids | words }}}}"
            yield Finding(path=(*path, "command"), message=sentence, kind="template")


def _used(spec: Mapping[str, Any]) -> set[str]:
    entries = (spec.get("options") or {}).values()
    texts = [spec["command"], *(entry.get("text") if isinstance(entry, dict) else entry for entry in entries)]
    names: set[str] = set()
    for text in texts:
        try:
            names |= Template(text or "").variables
        except jinja2.TemplateSyntaxError:
            return {"job_id"}  # refused on its own
    return names


# ---- values --------------------------------------------------------------------------------------------------


def _poll_seconds(document: Mapping[str, Any]) -> Iterator[Finding]:
    low, high = _at(document, ("limits",)).get("poll_seconds") or (0, 0)
    if low is not None and high is not None and low > high:
        sentence = f"limits.poll_seconds runs from {low:g} down to {high:g}; write the shorter one first"
        yield Finding(path=("limits", "poll_seconds"), message=sentence)


def _parsed(path: KeyPath, value: object, parse: Callable[[Any], object]) -> Iterator[Finding]:
    try:
        if value is not None:
            parse(value)
    except ValueError as error:
        yield Finding(path=path, message=f"{dotted(path)}: {error}")


def _queues(document: Mapping[str, Any]) -> Iterator[Finding]:
    tried = Tried(document)
    known = {*RESOURCE_FIELDS, *(document.get("values") or {})}
    first: dict[str, int] = {}
    for index, queue in _maps(document.get("queues")):
        name = queue.get("name")
        if name in first:
            sentence = f"queue {name!r} stands twice, here and at queues[{first[name]}]; keep one"
            yield Finding(path=("queues", index, "name"), message=sentence)
        elif isinstance(name, str):
            first[name] = index
        if isinstance(queue.get("when"), str):
            path = ("queues", index, "when")
            wrong = list(tried.condition(path, queue["when"], known))
            yield from wrong or _undecided(path, queue["when"], document)


def _word_place(text: str, name: str) -> tuple[int, int] | None:
    found = re.search(rf"\b{name}\b", text.partition("\n")[0])
    return (1, found.start() + 1) if found else None


def _undecided(path: KeyPath, text: str, document: Mapping[str, Any]) -> Iterator[Finding]:
    """A comparison with a resource that a task may not ask for: a queue would be passed over without a word."""
    for name in compared_names(text):
        set_elsewhere = {*(document.get("defaults") or {}), *(document.get("values") or {})}
        if name in RESOURCE_FIELDS and name not in set_elsewhere and not document.get("abstract"):
            sentence = (
                f"{dotted(path)} does not say what holds for a task that asks for no {name}: "
                f"set defaults.{name}, or write ({name} or 0)"
            )
            yield Finding(path=path, message=sentence, place=_word_place(text, name), kind="template")


def _values(document: Mapping[str, Any]) -> Iterator[Finding]:
    for name in document.get("values") or {}:
        if name in _RESERVED:
            sentence = f"the value {name!r} would hide the variable of that name ({_meaning(name)}); name it otherwise"
            yield Finding(path=("values", name), message=sentence, at_key=True)
        elif name in RESOURCE_FIELDS and name not in _TEXT_RESOURCES:
            sentence = f"{name} is a resource: put it under `defaults`, where it has its unit"
            yield Finding(path=("values", name), message=sentence, at_key=True)


_TEXT_RESOURCES = frozenset({"queue", "account"})


def _meaning(name: str) -> str:
    everywhere = {**FIND_VARIABLES, **JOB_ID_VARIABLES, **COMMAND_VARIABLES, **SCRIPT_VARIABLES, **TASK_VARIABLES}
    return everywhere[name]


def _workspace(document: Mapping[str, Any]) -> Iterator[Finding]:
    text = document.get("workspace")
    if not isinstance(text, str):
        return
    if not _WORKSPACE.fullmatch(text):
        sentence = f"workspace {text!r} is not a place on the target; start it with /, ~/ or $NAME"
        yield Finding(path=("workspace",), message=sentence)
    elif "$" in _EXPANSION.sub("", text) or "{{" in text:
        sentence = f"workspace {text!r} holds more than $NAME and ${{NAME}}; nothing else is expanded there"
        yield Finding(path=("workspace",), message=sentence)


_ADDRESS = re.compile(
    r"(?P<scheme>ssh://)?(?:(?P<user>.*)@)?(?P<host>[^@:/]*|\[.*\]|[^@/]*:[^@/]*:[^@/]*?)(?::(?P<port>[0-9]+))?/?"
)


def _connection(document: Mapping[str, Any]) -> Iterator[Finding]:
    connection = _at(document, ("connection",))
    parts = _ADDRESS.fullmatch(str(connection.get("host", "")))
    if parts and (parts["user"] is not None or parts["port"] or parts["scheme"]):
        more = [(key, parts[key] or key.upper()) for key in ("user", "port") if parts[key] is not None]
        also = " and ".join(f"a {key}" for key, _ in more) or "how it is reached"
        keys = [f"{key}: {text}" for key, text in [("host", parts["host"].strip("[]") or "HOST"), *more]]
        write = " and ".join(filter(None, (", ".join(keys[:-1]), keys[-1])))
        yield Finding(path=("connection", "host"), message=f"connection.host names {also}, too; write {write}")
    if connection.get("kind") == "ssh" and "host" not in connection and not document.get("abstract"):
        yield Finding(
            path=("connection",),
            message="missing key 'host' in connection: ssh needs it",
            at_key=True,
            missing=("host",),
        )


def _version_condition(path: KeyPath, text: object) -> Iterator[Finding]:
    if isinstance(text, str):
        yield from _parsed(path, text, lambda condition: version_matches("0", condition))


_CHECKS: tuple[Callable[[Mapping[str, Any]], Iterator[Finding]], ...] = (
    _templates,
    _other_templates,
    answer_problems,
    _documents,
    _secrets,
    _states,
    _monitor,
    _kill,
    _poll_seconds,
    _queues,
    _values,
    _workspace,
    _connection,
)
