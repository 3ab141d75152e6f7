"""Ways to break a backend's merged document. Each says in words what it did; none leaves the meaning as it was."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Document = Mapping[str, Any]
    Path = tuple[str | int, ...]
    Operator = Callable[[Document], Iterator["Mutation"]]


@dataclass(frozen=True, slots=True)
class Mutation:
    """A broken document, the ``kind`` of break (there are as many at most as `OPERATORS` says), and what was done."""

    kind: str
    what: str
    document: Document


QUERIES = ("monitor", "result", "find")
NOTHING = ":"  # a command that says nothing: how its answers are read makes no difference
DEFAULT_GONE_AFTER = "60s"  # what holds without `absent`

# ---- reading and changing documents ------------------------------------------------------------------------------


def leaf(document: Document, path: Path) -> Any:
    """Return what stands at *path*, ``None`` if nothing does."""
    value: Any = document
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def shown(path: Path) -> str:
    return ".".join(map(str, path))


def changed(document: Document, path: Path, value: Any) -> Document:
    """Return a copy with *value* at *path*; what stands beside the path is shared, for nobody writes into it."""
    new, holder = _opened(document, path)
    holder[path[-1]] = value
    return new


def dropped(document: Document, path: Path) -> Document:
    """Return a copy without what stands at *path*."""
    new, holder = _opened(document, path)
    del holder[path[-1]]
    return new


def _opened(document: Document, path: Path) -> tuple[Document, Any]:
    """Return a copy of *document*, and in it what holds the end of *path*; all on the way is copied."""
    new: Any = dict(document)
    holder = new
    for part in path[:-1]:
        inner = holder[part]
        holder[part] = list(inner) if isinstance(inner, list) else dict(inner)
        holder = holder[part]
    return new, holder


def texts(document: Document, *tops: str) -> Iterator[tuple[Path, str]]:
    """Return every text below the keys *tops*, with its place."""

    def walk(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
        if isinstance(value, str):
            yield path, value
        elif isinstance(value, dict):
            for key, item in value.items():
                yield from walk(item, (*path, key))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from walk(item, (*path, index))

    for top in tops:
        yield from walk(document.get(top), (top,))


COMMANDS = ("submit", "monitor", "result", "kill", "find", "functions", "logs")
WRITTEN = ("directives", "script", "document", "launch", *COMMANDS)


def replaced(
    document: Document, kind: str, old: str, new: str, *tops: str, is_regex: bool = False
) -> Iterator[Mutation]:
    """Every text below *tops* with the first *old* in it made *new*."""
    for path, text in texts(document, *tops):
        after = re.sub(old, new, text, count=1) if is_regex else text.replace(old, new, 1)
        if after != text:
            yield Mutation(kind, f"{shown(path)}: {old!r} made {new!r}", changed(document, path, after))


# ---- states ------------------------------------------------------------------------------------------------------


def _maps(document: Document) -> Iterator[tuple[Path, dict[str, list[str]]]]:
    for section in ("monitor", "result"):
        states = leaf(document, (section, "states"))
        if states:
            yield (section, "states"), states


def state_dropped(document: Document) -> Iterator[Mutation]:
    for path, states in _maps(document):
        for key in states:
            if not key.startswith("unknown"):
                yield Mutation("state dropped", f"{shown(path)}: {key}", dropped(document, (*path, key)))


def word_dropped(document: Document) -> Iterator[Mutation]:
    for path, states in _maps(document):
        for key, words in states.items():
            if len(words) > 1 and not key.startswith("unknown"):
                for word in words:
                    left = [one for one in words if one != word]
                    yield Mutation(
                        "word dropped", f"{shown(path)}: {key}: {word}", changed(document, (*path, key), left)
                    )


def _moved(document: Document, path: Path, states: dict[str, list[str]], names: dict[str, str]) -> Document:
    new: dict[str, list[str]] = {}
    for key, words in states.items():
        target = names.get(key, key)
        new[target] = [*new.get(target, []), *words]
    return changed(document, path, new)


def states_swapped(document: Document) -> Iterator[Mutation]:
    pairs = (
        ("succeeded", "failed"),
        ("queued", "running"),
        ("running", "succeeded"),
        ("held", "running"),
        ("killed", "failed"),
    )
    for path, states in _maps(document):
        for one, other in pairs:
            if one in states and other in states:
                new = _moved(document, path, states, {one: other, other: one})
                yield Mutation("states swapped", f"{shown(path)}: {one} and {other}", new)


def state_misread(document: Document) -> Iterator[Mutation]:
    wrong = (("killed", "succeeded"), ("suspended", "succeeded"), ("queued", "killed"), ("failed", "succeeded"))
    for path, states in _maps(document):
        for one, other in wrong:
            if one in states:
                yield Mutation(
                    "state misread", f"{shown(path)}: {one} as {other}", _moved(document, path, states, {one: other})
                )


def reason_lost(document: Document) -> Iterator[Mutation]:
    for path, states in _maps(document):
        for key in states:
            if "/" in key:
                plain = key.partition("/")[0]
                new = _moved(document, path, states, {key: plain})
                yield Mutation("reason lost", f"{shown(path)}: {key} as {plain}", new)
    for section in ("monitor", "result"):
        for key in leaf(document, (section, "reasons")) or {}:
            yield Mutation("reason lost", f"{section}.reasons: {key}", dropped(document, (section, "reasons", key)))


# ---- patterns ----------------------------------------------------------------------------------------------------


def _patterns(document: Document) -> Iterator[tuple[Path, str]]:
    places: list[Path] = [("submit", "job_id"), ("version", "pattern")]
    for section in QUERIES:
        if leaf(document, (section, "command")) == NOTHING:
            continue
        places += [(section, "row"), (section, "record")]
        places += [(section, "fields", name) for name in leaf(document, (section, "fields")) or {}]
    for path in places:
        pattern = leaf(document, path)
        if isinstance(pattern, str):
            yield path, pattern


def regex_loosened(document: Document) -> Iterator[Mutation]:
    for path, pattern in _patterns(document):
        for name, new in (
            ("without ^", re.sub(r"^(\(\?\w+\)\s*)?\^", r"\1", pattern, count=1)),
            ("without $", re.sub(r"\\s\*\$$|\$$", "", pattern)),
        ):
            # A greedy repeat takes what there is up to the end of the word or line: its $ says nothing more.
            is_same = name == "without $" and bool(re.search(r"[+*][)\]]*$", new))
            # A record begins where `record` fits: what its first field looks for stands there.
            is_same = is_same or (name == "without ^" and path[-2:] == ("fields", "job_id"))
            if new != pattern and not is_same:
                yield Mutation("regex loosened", f"{shown(path)}: {name}", changed(document, path, new))
        if path == ("submit", "job_id"):
            what = "submit.job_id: the first number anywhere"
            yield Mutation("regex loosened", what, changed(document, path, r"(?P<job_id>\d+)"))
        if path[-1] == "row" and "state" in pattern:
            new = r"^\s*(?P<job_id>\S+?)[\s|:,]+(?:\S.*[\s|:,])?(?P<state>\w+)"
            yield Mutation("regex loosened", f"{shown(path)}: any words", changed(document, path, new))


def regex_tightened(document: Document) -> Iterator[Mutation]:
    for path, pattern in _patterns(document):
        for group in ("job_id", "token", "version", "state"):
            new = pattern.replace(f"(?P<{group}>", f"(?P<{group}>!", 1)
            if new != pattern:
                yield Mutation("regex tightened", f"{shown(path)}: {group} fits nothing", changed(document, path, new))
        new = re.sub(r"\\d\+", r"\\d{1,2}", pattern, count=1)
        if new != pattern and path[0] != "version":  # of a version no part has three digits
            yield Mutation("regex tightened", f"{shown(path)}: two digits at most", changed(document, path, new))
        new = re.sub(r"\((?!\?[P<=!])([^()]*)\)\?", r"(\1)", pattern, count=1)
        if new != pattern:
            yield Mutation(
                "regex tightened", f"{shown(path)}: what may be left out must be there", changed(document, path, new)
            )


OPTIONAL = ("exit_code", "signal", "reason", "message", "wall", "cpu", "user_cpu", "system_cpu", "peak_ram")


def group_dropped(document: Document) -> Iterator[Mutation]:
    for section in QUERIES:
        row = leaf(document, (section, "row"))
        for name in OPTIONAL:
            if isinstance(row, str) and f"(?P<{name}>" in row:
                new = changed(document, (section, "row"), row.replace(f"(?P<{name}>", "(?:"))
                yield Mutation("group dropped", f"{section}.row: {name}", new)
            for holder in ("fields", "json"):
                if isinstance(leaf(document, (section, holder)), dict) and name in document[section][holder]:
                    yield Mutation(
                        "group dropped", f"{section}.{holder}: {name}", dropped(document, (section, holder, name))
                    )


def groups_swapped(document: Document) -> Iterator[Mutation]:
    pairs = (("job_id", "state"), ("job_id", "token"), ("state", "reason"), ("wall", "cpu"), ("exit_code", "signal"))
    for section in QUERIES:
        for one, other in pairs:
            row = leaf(document, (section, "row"))
            if leaf(document, (section, "command")) == NOTHING:
                continue
            if isinstance(row, str) and f"(?P<{one}>" in row and f"(?P<{other}>" in row:
                names = {f"(?P<{one}>": f"(?P<{other}>", f"(?P<{other}>": f"(?P<{one}>"}
                new = re.sub("|".join(map(re.escape, names)), lambda match, names=names: names[match[0]], row)  # type: ignore[misc]
                yield Mutation(
                    "groups swapped", f"{section}.row: {one} and {other}", changed(document, (section, "row"), new)
                )
            for holder in ("fields", "json"):
                held = leaf(document, (section, holder))
                if isinstance(held, dict) and one in held and other in held and held[one] != held[other]:
                    both = {**held, one: held[other], other: held[one]}
                    what = f"{section}.{holder}: {one} and {other}"
                    yield Mutation("groups swapped", what, changed(document, (section, holder), both))


def json_broken(document: Document) -> Iterator[Mutation]:
    for section in ("submit", *QUERIES):
        held = leaf(document, (section, "json"))
        if not isinstance(held, dict):
            continue
        for key, new in (("rows", "nothing_here"), ("job_id", "not_here"), ("state", "not_here"), ("token", "name")):
            if key in held and held[key] != new:
                path = (section, "json", key)
                yield Mutation("json broken", f"{section}.json.{key} made {new!r}", changed(document, path, new))
        if "next" in held:
            yield Mutation("json broken", f"{section}.json: next dropped", dropped(document, (section, "json", "next")))


def exit_code_read(document: Document) -> Iterator[Mutation]:
    for section in ("monitor", "result"):
        spec = leaf(document, (section, "exit_code"))
        if not isinstance(spec, dict):
            continue
        if spec.get("decode", "plain") != "plain":
            yield Mutation(
                "exit code misread", f"{section}: decode dropped", dropped(document, (section, "exit_code", "decode"))
            )
        wrong = "code_signal" if spec.get("decode") == "wait_status" else "wait_status"
        path = (section, "exit_code", "decode")
        yield Mutation("exit code misread", f"{section}: decode {wrong}", changed(document, path, wrong))
        if spec.get("reasons"):
            what = f"{section}: exit_code.reasons dropped"
            yield Mutation("exit code misread", what, dropped(document, (section, "exit_code", "reasons")))


# ---- what is written ---------------------------------------------------------------------------------------------


def quoting_removed(document: Document) -> Iterator[Mutation]:
    for path, text in texts(document, *WRITTEN):
        if path[0] in {"document", "functions"}:
            continue
        for match in re.finditer(r"\{\{ ([^{}]*?) \}\}", text):
            inner = match[1]
            value = inner.split("|")[0].strip()
            if text[: match.start()].rpartition("\n")[2].lstrip().startswith("# "):
                continue  # in a comment nothing is acted upon: a name holds no line break
            if "raw" in inner or value not in {
                "name", "script", "job_id", "job_ids", "queue", "account", "stdout", "stderr", "job_directory",
                "scheduler_log", "value", "work_directory",
            }:  # fmt: skip
                continue
            filters = inner.replace("| words", "| join(' ')")
            new = text[: match.start()] + "{{ " + filters + " | raw }}" + text[match.end() :]
            yield Mutation("quoting removed", f"{shown(path)}: {match[0]} raw", changed(document, path, new))
            if value in {"name", "job_id", "script"}:
                new = text[: match.start()] + f'"{match[0]}"' + text[match.end() :]
                yield Mutation(
                    "quoting removed", f"{shown(path)}: quotes around {match[0]}", changed(document, path, new)
                )


def _is_live(document: Document, value: str) -> bool:
    """Whether the part of the wrapper that the *value* switches on is ever written."""
    return bool(leaf(document, ("values", value)))


UNITS = (
    ("| mib", "| gib"), ("| mib", "| kib"), ("| gib", "| mib"), ("| kib", "| mib"), ("| minutes", "| seconds"),
    ("| seconds", "| minutes"), ("| hms", "| minutes"), ("| dhms", "| minutes"), ("| bytes", "| mib"),
    ("cpu | ceil", "cpu"), ("cpu | ceil", "cpu | int"), ("/ 1000000000", "/ 1000"), ("* 1000)", "* 100)"),
)  # fmt: skip


def units_wrong(document: Document) -> Iterator[Mutation]:
    for old, new in UNITS:
        for mutation in replaced(document, "units wrong", old, new, *(top for top in WRITTEN if top != "functions")):
            if not mutation.what.startswith("script:") or _is_live(document, "limit_ram"):
                yield mutation


def ids_joined_wrongly(document: Document) -> Iterator[Mutation]:
    for old, new in (
        ("job_ids | join(',')", "job_ids | join(' ')"),
        ("job_ids | words", "job_ids | join(',')"),
        ("job_ids | words", "job_ids | first"),
        ("job_ids | join(',')", "job_ids | first"),
        ("job_ids | join(',')", "job_ids | join"),
    ):
        yield from replaced(document, "ids joined wrongly", old, new, "monitor", "result", "kill")


_IDS = r"\{\{[^{}]*\bjob_ids?\b[^{}]*\}\}"


def kill_broken(document: Document) -> Iterator[Mutation]:
    yield Mutation("kill broken", "kill: removed", dropped(document, ("kill",)))
    if leaf(document, ("kill", "escalate")):
        yield Mutation("kill broken", "kill.escalate: removed", dropped(document, ("kill", "escalate")))
    for new in ("", "--all", "-1", "0"):
        yield from replaced(document, "kill broken", _IDS, new, "kill", is_regex=True)
    yield from replaced(document, "kill broken", r"\{\{[^{}]*\bjob_directory\b[^{}]*\}\}", "/", "kill", is_regex=True)


def too_many_ids(document: Document) -> Iterator[Mutation]:
    for section in ("monitor", "result", "kill"):
        if "job_ids" in str(leaf(document, (section, "command"))):
            yield Mutation("max_ids huge", section, changed(document, (section, "max_ids"), 1_000_000))


def submit_broken(document: Document) -> Iterator[Mutation]:
    yield from replaced(document, "submit broken", "{{ script }}", "", "submit")
    yield from replaced(document, "submit broken", "{{ script }}", "{{ job_directory }}/run.sh", "submit")
    if leaf(document, ("submit", "job_id_inside")):
        yield from replaced(document, "submit broken", "{{ job_id_inside | raw }}", "unknown", "script")


def token_lost(document: Document) -> Iterator[Mutation]:
    for path, text in texts(document, "directives", "document", "submit"):
        if "{{ token }}" in text:
            yield Mutation(
                "token lost",
                f"{shown(path)}: name instead",
                changed(document, path, text.replace("{{ token }}", "{{ name }}")),
            )
            if path[-2:-1] == ("options",):
                yield Mutation("token lost", f"{shown(path)} dropped", dropped(document, path))
    if document.get("find"):
        yield Mutation("token lost", "find: removed", dropped(document, ("find",)))


def option_lost(document: Document) -> Iterator[Mutation]:
    for holder in (("directives", "options"), ("submit", "options"), ("launch", "options")):
        for name in leaf(document, holder) or {}:
            yield Mutation("option lost", f"{shown((*holder, name))} dropped", dropped(document, (*holder, name)))


def flag_lost(document: Document) -> Iterator[Mutation]:
    for holder in (("directives", "options"), ("submit", "options"), ("monitor", "options"), ("launch", "options")):
        for name, entry in (leaf(document, holder) or {}).items():
            path = (*holder, name, "text") if isinstance(entry, dict) else (*holder, name)
            text = leaf(document, path)
            new = re.sub(r"^-[\w:-]+[= ]?", "", str(text), count=1)
            if new not in {text, ""}:
                yield Mutation("flag lost", f"{shown(path)}: {text!r} made {new!r}", changed(document, path, new))


def flag_wrong(document: Document) -> Iterator[Mutation]:
    """A command asks the scheduler for something else than it should: one of its flags is gone."""
    for section in ("submit", "monitor", "result", "kill", "find"):
        path = (section, "command")
        text = leaf(document, path)
        for match in re.finditer(r"(?<= )--?[a-zA-Z][\w-]*(?=[ =\n])", str(text or "")):
            new = text[: match.start()] + text[match.end() :]
            yield Mutation("flag wrong", f"{shown(path)}: {match[0]} left out", changed(document, path, new))


def script_broken(document: Document) -> Iterator[Mutation]:
    for old, new in (
        ("{{ step.text }}", ":"),
        ("export {{ key | raw }}={{ value }}", ":"),
        ("{{ line | raw }}", ":"),
        ("{{ directives }}", ""),
        ('finish "$code"\n', "\n"),
        (">{{ stdout }} 2>{{ stderr }}", ">{{ stderr }} 2>{{ stdout }}"),
        ("{{ stdin or '/dev/null' }}", "/dev/null"),
        ("cd {{ work_directory }}", "cd {{ job_directory }}"),
        ("ulimit -v {{ ram_limit | kib }}", ":"),
        ("sleep {{ walltime }}", "sleep 1"),
    ):
        switch = {"ulimit": "limit_ram", "sleep ": "watch_walltime"}.get(old[:6])
        if switch is None or _is_live(document, switch):
            yield from replaced(document, "script broken", old, new, "script")


def document_broken(document: Document) -> Iterator[Mutation]:
    for path, text in texts(document, "document"):
        if isinstance(path[-1], str) and not path[-1].startswith("$") and "{{" in text:
            yield Mutation("document broken", f"{shown(path)} dropped", dropped(document, path))


def logs_wrong(document: Document) -> Iterator[Mutation]:
    yield from replaced(document, "logs wrong", "{{ stdout }}", "{{ stderr }}", "logs")
    yield from replaced(document, "logs wrong", "{{ stderr }}", "{{ job_directory }}/err", "logs")
    yield from replaced(document, "logs wrong", "{{ scheduler_log }}", "{{ exit_file }}", "directives", "submit")
    logs = document.get("logs") or {}
    if all(isinstance(logs.get(one), dict) for one in ("stdout", "stderr")) and logs["stdout"] != logs["stderr"]:
        both = {**logs, "stdout": logs["stderr"], "stderr": logs["stdout"]}
        yield Mutation("logs wrong", "logs: stdout and stderr swapped", changed(document, ("logs",), both))


def array_wrong(document: Document) -> Iterator[Mutation]:
    if not document.get("array"):
        return
    for old, new in (
        ("last }}", "size }}"),
        ("{{ size }}", "{{ last }}"),
        ("0-{{ last", "1-{{ last"),
        ("{{ first }}-", "0-{{ first }}-"),
    ):
        if not document.get("document"):  # a service's document has the size itself; no option is written
            yield from replaced(document, "array wrong", old, new, "array")
    for old, new in (
        ("index", "job_id"),
        ("_{{ index }}", "{{ index }}"),
        (":{{ index }}", ".{{ index }}"),
        ("[{{ index }}]", "_{{ index }}"),
    ):
        path = ("array", "job_id")
        text = leaf(document, path)
        if old in text:
            yield Mutation(
                "array wrong", f"array.job_id: {old!r} made {new!r}", changed(document, path, text.replace(old, new, 1))
            )
    if leaf(document, ("array", "first")) == 1:
        yield Mutation("array wrong", "array.first: 1 made 0", changed(document, ("array", "first"), 0))


def waiting_wrong(document: Document) -> Iterator[Mutation]:
    for path, text in texts(document, "directives", "submit", "document"):
        if "after_succeeded" not in text and "after_ended" not in text:
            continue
        names = {"after_succeeded": "after_ended", "after_ended": "after_succeeded"}
        new = re.sub("after_succeeded|after_ended", lambda match, names=names: names[match[0]], text)  # type: ignore[misc]
        if path[-1] != "when":  # there it is: if there is one or the other
            yield Mutation("waiting wrong", f"{shown(path)}: ended for succeeded", changed(document, path, new))
        for old, wrong in (
            ("join(':')", "join(',')"),
            ("join(',')", "join(' ')"),
            ("') && done('", "',done('"),
            ("between('", "between('-"),
        ):
            if old in text:
                what = f"{shown(path)}: {old!r} made {wrong!r}"
                yield Mutation("waiting wrong", what, changed(document, path, text.replace(old, wrong, 1)))


def errors_moved(document: Document) -> Iterator[Mutation]:
    errors = document.get("errors") or {}
    for one, other in (
        ("transient", "permanent"),
        ("limit", "permanent"),
        ("permanent", "transient"),
        ("auth", "transient"),
    ):
        if errors.get(one):
            moved = {**errors, other: [*errors.get(other, []), *errors[one]]}
            del moved[one]
            yield Mutation("error class moved", f"{one} to {other}", changed(document, ("errors",), moved))
    if errors.get("gone"):
        yield Mutation("error class moved", "gone dropped", dropped(document, ("errors", "gone")))


def error_words_dropped(document: Document) -> Iterator[Mutation]:
    classes = {kind: patterns for kind, patterns in (document.get("errors") or {}).items() if kind != "otherwise"}
    for kind, patterns in classes.items():
        for index, pattern in enumerate(patterns):
            yield Mutation(
                "error words dropped", f"errors.{kind}: {pattern!r}", dropped(document, ("errors", kind, index))
            )


def absence_misread(document: Document) -> Iterator[Mutation]:
    for section in ("monitor",):
        spec = leaf(document, (section, "absent"))
        if spec and spec.get("gone_after") not in {DEFAULT_GONE_AFTER, "1m", None}:
            yield Mutation("absence misread", f"{section}.absent: removed", dropped(document, (section, "absent")))
        yield Mutation(
            "absence misread",
            f"{section}.absent: at once",
            changed(document, (section, "absent"), {"gone_after": "0s"}),
        )


def requeue_lost(document: Document) -> Iterator[Mutation]:
    if leaf(document, ("monitor", "requeues")):
        yield Mutation("requeue lost", "monitor.requeues: dropped", dropped(document, ("monitor", "requeues")))


def secret_shown(document: Document) -> Iterator[Mutation]:
    for name in document.get("secrets") or {}:
        text = document["submit"]["command"]
        new = f'{text.rstrip()} --header "Authorization: Bearer $secret_{name}"'
        yield Mutation("secret shown", f"submit.command: {name}", changed(document, ("submit", "command"), new))
    for path, text in texts(document, "functions"):
        match = re.search(r"\bcurl (?=-)", text)
        if match and document.get("secrets"):
            new = f'{text[: match.end()]}--user "$http_user:$secret_password" {text[match.end() :]}'
            yield Mutation("secret shown", f"{shown(path)}: password", changed(document, path, new))


def version_ignored(document: Document) -> Iterator[Mutation]:
    for index, _ in enumerate(document.get("when") or ()):
        yield Mutation("version ignored", f"when.{index}: dropped", dropped(document, ("when", index)))


def image_wrong(document: Document) -> Iterator[Mutation]:
    for protocol, text in (document.get("images") or {}).items():
        if "{{ name }}" in str(text):
            path = ("images", protocol)
            yield Mutation("image wrong", f"{shown(path)}: a scheme too many", changed(document, path, f"image:{text}"))
    if document.get("requires"):
        yield Mutation("image wrong", "requires: dropped", dropped(document, ("requires",)))


OPERATORS: dict[Operator, int] = {
    state_dropped: 3, word_dropped: 1, states_swapped: 2, state_misread: 2, reason_lost: 1,
    regex_loosened: 3, regex_tightened: 3, group_dropped: 2, groups_swapped: 2, json_broken: 3, exit_code_read: 2,
    quoting_removed: 3, units_wrong: 3, ids_joined_wrongly: 2, kill_broken: 3, too_many_ids: 1, submit_broken: 2,
    token_lost: 2, option_lost: 2, flag_lost: 2, flag_wrong: 2, script_broken: 2, document_broken: 3, logs_wrong: 1,
    array_wrong: 2, waiting_wrong: 2, errors_moved: 3, error_words_dropped: 1, absence_misread: 1, requeue_lost: 1,
    secret_shown: 2, version_ignored: 1, image_wrong: 1,
}  # fmt: skip
"""Every way to break a document, and how many of its kind are tried on one backend."""


def mutations(name: str, document: Document, *, every: bool = False) -> list[Mutation]:
    """Return the breaks to try on the backend *name*: of each kind a few, drawn by a seed from all there are."""
    found: list[Mutation] = []
    for operator, most in OPERATORS.items():
        candidates = [each for each in operator(document) if (name, each.kind, each.what) not in EQUIVALENT]
        if len(candidates) > most and not every:
            # The name alone is the seed, and not the file: a new backend changes nothing in the draw of the others.
            candidates = random.Random(f"{name} {operator.__name__}").sample(candidates, most)
        found += candidates
    return found


EQUIVALENT: dict[tuple[str, str, str], str] = {
    ("sge", "groups swapped", "monitor.row: state and reason"): "the two groups are the same word",
}
"""Breaks that change nothing in meaning, each with the reason."""
