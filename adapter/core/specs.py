"""The commands of a backend file as data: submit, monitor, result, find, kill, logs, and how a step is launched."""

from __future__ import annotations

import re
from collections import ChainMap
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import jmespath

from adapter.core import units
from adapter.core.defaults import DEFAULTS
from adapter.core.grammars import JsonRows, grammar_from, json_rows
from adapter.core.state import Reason, State
from adapter.core.template import Condition, PlainTemplate, Template

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jmespath.parser import ParsedResult

    from adapter.core.grammars import Grammar

GONE = "gone"
DROP, KEEP = "drop", "keep"
_ENVIRONMENT = re.compile(r"\$\{?([A-Z_][A-Z0-9_]*)")  # shell text of ours has names in small letters for its own


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
    options: tuple[Option, ...]
    timeout_s: float

    @property
    def variables(self) -> frozenset[str]:
        """The names that the command and its options use."""
        return self.command.variables.union(*(option.text.variables for option in self.options))

    @property
    def takes_many(self) -> bool:
        """Whether one command serves many jobs (it uses ``job_ids``)."""
        return "job_ids" in self.variables

    @property
    def takes_one(self) -> bool:
        """Whether one command serves one job."""
        return bool({"job_id", "job_directory"} & self.variables)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitSpec(CommandSpec):
    """How a job is handed over. ``job_id_inside`` is shell text giving, inside the job, the id that submit answered.

    ``environment`` says by name (``ABC_*``: all that begin so) which variables of the target's environment the
    command does not see (``drop``): those of a job that we are in. ``ended_is_any_end``: the scheduler keeps a job that
    waits with ``after_ended``, however the other one ends. ``goes_to`` gives the qualifier that its answer will have,
    if that is known before.
    """

    job_id: re.Pattern[str] | JsonRows
    job_id_inside: str | None
    environment: Mapping[str, str]
    ended_is_any_end: bool
    goes_to: PlainTemplate | None

    def drops(self, name: str) -> bool:
        """Whether the submit command is run without the variable *name*.

        >>> spec = submit_from({"command": "x", "job_id": "", "environment": {"A_*": "drop", "A_CONF": "keep"}})
        >>> spec.drops("A_ID"), spec.drops("A_CONF"), spec.drops("B")
        (True, False, False)
        """
        said = {word for pattern, word in self.environment.items() if fnmatchcase(name, pattern)}
        return said == {DROP}

    @property
    def has_qualifier(self) -> bool:
        """Whether the answer names, beside the id, the place that knows it."""
        names = self.job_id.names if isinstance(self.job_id, JsonRows) else self.job_id.groupindex
        return "qualifier" in names

    @property
    def inside_reads(self) -> frozenset[str]:
        """The variables of the environment from which a job learns its id."""
        return frozenset(_ENVIRONMENT.findall(self.job_id_inside or ""))

    @property
    def knows_itself(self) -> bool:
        """Whether a job computes its id from what is surely its own, such as its process: no variable is read."""
        return self.job_id_inside is not None and not self.inside_reads


Meaning = tuple[State, Reason | None]


class StateMap(dict[str, Meaning]):
    """What a scheduler's words mean: word by word, and then by patterns in order, ``/.../`` in a backend file."""

    def __init__(self, ours: Mapping[str, Iterable[object]] | None = None) -> None:
        """Read what stands under ``states`` or ``reasons``: our words, and the scheduler's that mean them."""
        named = [(str(native), parse_state_word(word)) for word, natives in (ours or {}).items() for native in natives]
        super().__init__((native, meaning) for native, meaning in named if pattern_in(native) is None)
        self.patterns = tuple(
            (re.compile(text), meaning) for native, meaning in named if (text := pattern_in(native)) is not None
        )

    def meaning(self, native: str) -> Meaning | None:
        """Return what *native* means; ``None`` for a word that nobody named."""
        if native in self:
            return self[native]
        return next((meaning for pattern, meaning in self.patterns if pattern.fullmatch(native)), None)

    def meanings(self) -> set[Meaning]:
        """Return everything that a word here may mean."""
        return {*self.values(), *(meaning for _, meaning in self.patterns)}


def pattern_in(native: str) -> str | None:
    """Return the pattern in an entry ``/.../`` of ``states`` or ``reasons``; ``None`` for a plain word.

    >>> pattern_in("/PEND.*/"), pattern_in("PEND")
    ('PEND.*', None)
    """
    return native[1:-1] if len(native) > 2 and native[0] == native[-1] == "/" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuerySpec(CommandSpec):
    """How jobs are asked about: ``monitor``, ``result`` and ``find`` are all this; ``grammar`` reads the answers.

    ``states`` and ``reasons`` map the scheduler's words to ours; ``exit_codes`` maps the command's own exit code to
    a word of ours or to ``gone``, for commands that ask about one job. ``gone_after_s`` is how long a job may be absent
    from good answers, without an exit file, before it is lost. ``requeues``: a running job may go back to the queue.
    ``success_needs_exit_file``: the job's wrapper always writes one, and success without it needs accounting's word.
    """

    grammar: Grammar | None
    states: StateMap
    reasons: StateMap
    exit_codes: dict[int, str]
    exit_code_decode: str
    exit_code_reasons: dict[int, Reason]
    max_ids: int
    gone_after_s: float
    requeues: bool
    success_needs_exit_file: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSpec:
    """A command that goes on and tells by itself which jobs something happened to; ``grammar`` reads its lines."""

    command: Template
    grammar: Grammar


@dataclass(frozen=True, slots=True, kw_only=True)
class KillSpec(CommandSpec):
    """How jobs are killed, and the harder way used ``escalate_after_s`` later for those still there."""

    max_ids: int
    harder: CommandSpec | None
    escalate_after_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSpec(CommandSpec):
    """A log that is no file on the target: what the command prints, or ``text`` of the JSON that it prints."""

    text: ParsedResult | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSpec:
    """How a step with an image is started. ``setup`` is script text before all steps, ``stop`` ends what was left.

    ``program`` names what a job needs for it on the machine that it runs on; ``None`` where nothing needs to be said.
    """

    command: Template
    options: tuple[Option, ...]
    program: Template | None
    setup: Template | None
    stop: Template | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArraySpec:
    """How many like tasks are handed over in one submit.

    ``option`` is the text that asks for it, ``index`` the shell variable that counts inside the job from ``first`` on,
    and ``job_id`` gives an element's id from the id that submit answered.
    """

    option: Template
    index: str
    job_id: PlainTemplate
    first: int
    min_size: int
    max_size: int


def filled(part: str, spec: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return *spec*, what stands under *part* in a file, with the defaults of the keys that it leaves out.

    >>> filled("array", {"first": 1})["first"], filled("array", {"first": 1})["min_size"]
    (1, 2)
    """
    return ChainMap(spec or {}, DEFAULTS[part])  # type: ignore[arg-type]  # nothing is written into it


def options_from(entries: Mapping[str, Any]) -> tuple[Option, ...]:
    """Return the options of a backend file, in order."""
    return tuple(
        Option(name, Condition(entry["when"]), Template(entry["text"]))
        if isinstance(entry, dict)
        else Option(name, Condition(f"{name} is not none and {name}"), Template(entry))
        for name, entry in entries.items()
    )


def _common(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "command": Template(spec["command"]),
        "options": options_from(spec["options"]),
        "timeout_s": units.recorded_seconds(spec["timeout"]),
    }


def submit_from(spec: Mapping[str, Any]) -> SubmitSpec:
    """Return what ``submit`` of a backend file describes."""
    spec = filled("submit", spec)
    job_id = json_rows(spec["json"]) if "json" in spec else re.compile(spec["job_id"], re.MULTILINE)
    return SubmitSpec(
        **_common(spec),
        job_id=job_id,
        job_id_inside=spec.get("job_id_inside"),
        environment=spec["environment"],
        ended_is_any_end=spec["ended_is_any_end"],
        goes_to=PlainTemplate(spec["goes_to"]) if "goes_to" in spec else None,
    )


def query_from(spec: Mapping[str, Any]) -> QuerySpec:
    """Return what ``monitor`` of a backend file describes, or ``result`` or ``find``, which have fewer keys."""
    spec = filled("monitor", spec)
    decoding = filled("monitor.exit_code", spec["exit_code"])
    return QuerySpec(
        **_common(spec),
        grammar=grammar_from(spec),
        states=StateMap(spec.get("states")),
        reasons=StateMap(spec.get("reasons")),
        exit_codes={int(code): word for code, word in spec["exit_codes"].items()},
        exit_code_decode=decoding["decode"],
        exit_code_reasons={int(code): Reason(word) for code, word in decoding["reasons"].items()},
        max_ids=spec["max_ids"],
        gone_after_s=units.recorded_seconds(filled("monitor.absent", spec["absent"])["gone_after"]),
        requeues=spec["requeues"],
        success_needs_exit_file=spec["success_needs_exit_file"],
    )


def watch_from(spec: Mapping[str, Any], monitor: Mapping[str, Any]) -> WatchSpec | None:
    """Return what ``watch`` of a backend file describes; it reads as the *monitor* does if it does not say how."""
    grammar = grammar_from(spec) or grammar_from(monitor)
    return WatchSpec(command=Template(spec["command"]), grammar=grammar) if grammar else None


def kill_from(spec: Mapping[str, Any]) -> KillSpec:
    """Return what ``kill`` of a backend file describes."""
    spec = filled("kill", spec)
    harder = spec.get("escalate")
    return KillSpec(
        **_common(spec),
        max_ids=spec["max_ids"],
        harder=CommandSpec(**_common(filled("kill.escalate", harder))) if harder else None,
        escalate_after_s=units.recorded_seconds(harder["after"]) if harder else 0.0,
    )


def parse_state_word(word: str) -> tuple[State, Reason | None]:
    """Return the state and reason in ``failed/time_limit``.

    Raises:
        ValueError: it names no state or reason of ours.
    """
    state, _, reason = word.partition("/")
    return State(state), Reason(reason) if reason else None


def log_from(spec: str | Mapping[str, Any]) -> Template | LogSpec:
    """Return what an entry of ``logs`` describes: the path of a file, or a command."""
    if isinstance(spec, str):
        return Template(spec)
    text = jmespath.compile(spec["json"]) if "json" in spec else None
    return LogSpec(**_common(filled("logs.stdout", spec)), text=text)


def launch_from(spec: Mapping[str, Any]) -> LaunchSpec:
    """Return what ``launch`` of a backend file describes."""
    setup, stop, program = (Template(spec[key]) if key in spec else None for key in ("setup", "stop", "program"))
    return LaunchSpec(
        command=Template(spec["command"]),
        options=options_from(filled("launch", spec)["options"]),
        setup=setup,
        stop=stop,
        program=program,
    )


def array_from(spec: Mapping[str, Any]) -> ArraySpec:
    """Return what ``array`` of a backend file describes."""
    spec = filled("array", spec)
    plain = {key: spec[key] for key in ("index", "first", "min_size", "max_size")}
    return ArraySpec(option=Template(spec["option"]), job_id=PlainTemplate(spec["job_id"]), **plain)
