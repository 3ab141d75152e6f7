"""What a stand-in has to know of a backend: how its programs are called and what they answer, as plain data.

Everything is tried before it is taken: an answer is only used if the backend's own commands and patterns, run on it,
read what was meant.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, field
from itertools import islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter.core.answers import classify, parse_job_id, parse_query, parse_tokens
from adapter.core.backend import for_version
from adapter.core.grammars import JsonRows, Lines, Records
from adapter.core.job import Job
from adapter.core.job_id import id_values
from adapter.core.render import placed, render_command, render_job
from adapter.core.specs import GONE, parse_state_word
from adapter.core.state import Reason, State
from adapter.core.task import Resources
from adapter.core.template import Template
from adapter.errors import AdapterError, CannotSimulate, CompletedCommand, TaskError
from adapter.testkit.simulate.answers import Form, RowText, row_texts
from adapter.testkit.simulate.calls import Recorder
from adapter.testkit.simulate.text import Slot, filled, fitting, joined, number_in
from adapter.testkit.subject import plain_task

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from adapter.core.backend import Backend
    from adapter.core.specs import CommandSpec, QuerySpec
    from adapter.core.task import Task
    from adapter.testkit.simulate.calls import Call
    from adapter.testkit.simulate.text import Pieces

FIRST = 20001  # far from the small numbers that stand in options
_NUMBERS = ("7777001", "8888002")  # of the two jobs that commands are tried with
_MARK = "adapter-"
_MOST_WORDS = 4  # of the scheduler's for one of ours that are tried
ENDED = ("succeeded", "failed", "killed", "time_limit", "dependency")
KINDS = ("queued", "held", "running", *ENDED, "unknown")
"""How a job may stand, for the simulator."""
_MEANS: dict[str, list[tuple[State, Reason | None]]] = {
    "queued": [(State.QUEUED, None), (State.RUNNING, None)],
    "held": [(State.HELD, None)],
    "running": [(State.RUNNING, None)],
    "succeeded": [(State.SUCCEEDED, None)],
    "failed": [(State.FAILED, None), (State.SUCCEEDED, None)],
    "killed": [(State.KILLED, None), (State.FAILED, None), (State.SUCCEEDED, None)],
    "dependency": [(State.FAILED, Reason.DEPENDENCY), (State.FAILED, None), (State.KILLED, None)],
    "time_limit": [(State.FAILED, Reason.TIME_LIMIT), (State.FAILED, None), (State.SUCCEEDED, None)],
}
"""What may be said of it, the best first; what comes later leaves more to the exit file."""
_UNHEARD = ("UNHEARD_OF", "UNHEARDOF", "unheard_of", "unheardof", "QQQ", "qqq", "qq", "9999", "~")
_ENCODED = {"plain": "3", "code_signal": "3:0", "wait_status": "768", "plus_128": "3", "plus_256": "3"}


@dataclass(slots=True)
class Plan:
    """``data`` is what the stand-ins read; ``notes`` say what the simulated scheduler lacks."""

    programs: tuple[str, ...]
    data: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def make_plan(backend: Backend) -> Plan:
    """Return the plan for a scheduler that answers as *backend* reads.

    Raises:
        CannotSimulate: the file does not say enough; it is told what is missing.
    """
    if backend.programs:
        raise _cannot(backend, "`programs` gives the paths of its programs, so that none can stand in for them")
    if not isinstance(backend.script, Template):
        raise _cannot(backend, "its jobs are documents for a service, not scripts")
    backend, version = _version(backend)
    with tempfile.TemporaryDirectory(prefix="adapter-simulate-") as folder:
        return _Maker(backend, Path(folder), version).plan()


def _cannot(backend: Backend, why: str) -> CannotSimulate:
    return CannotSimulate(f"backend {backend.name} cannot be simulated: {why}")


def _version(backend: Backend) -> tuple[Backend, str]:
    """Return the backend as it is for the version that is simulated, and what the version command prints."""
    if backend.version_pattern is None:
        return backend, ""
    for number in ("99.0.0", "99.0", "99"):
        for made in fitting(backend.version_pattern, {"version": (number,)}):
            text = filled(made.pieces + made.later, {})
            found = backend.version_pattern.search(text)
            if found and found["version"] == number:
                return for_version(backend, number), text
    return backend, ""


class _Maker:
    """Makes the plan for one backend in a folder of its own."""

    def __init__(self, backend: Backend, folder: Path, version: str) -> None:
        self._backend = backend
        self._workspace = folder / "workspace"
        self._recorder = Recorder(backend, folder / "recorder")
        self._version = version
        self._notes: list[str] = []
        self._id: Pieces = ()
        self._jobs = [
            placed(Job(run=run, index=index, task=_task(backend, name=name)), str(self._workspace))
            for run, index, name in (("k7f3q9z2wx", 1, "simulated"), ("2mw8c4t6ye", 2, "another"))
        ]

    def plan(self) -> Plan:
        submit, by, calls = self._submit()
        errors = self._errors()
        for action, spec, ids in self._actions():
            calls += self._calls(action, spec, ids=ids)
        queries = self._queries(calls)
        if self._backend.version_command and self._version:
            seen = self._recorder.run(self._backend.version_command.render(self._backend.values)).calls
            calls += [_shape("version", call, call, ids=False) for call in seen]
        inside = self._inside()
        data: dict[str, Any] = {
            "name": self._backend.name,
            "first": FIRST,
            "token": _MARK,
            "id": [piece if isinstance(piece, str) else None for piece in self._id],
            "calls": calls,
            "submit": {"by": by, "answer": _listed(submit)},
            "queries": queries,
            "version": self._version,
            "errors": errors,
            "inside": inside,
            "walltime": self._walltime(),
            "prefix": self._backend.directive_prefix,
            "after": self._after(),
            "array": self._array(),
            "stuck": (State.FAILED, Reason.DEPENDENCY) in self._backend.monitor.reasons.meanings(),
        }
        return Plan(tuple(self._recorder.programs), data, self._notes)

    # -- ids and submit

    def _submit(self) -> tuple[Pieces, str, list[dict[str, Any]]]:
        """Return what submit answers, how the script comes to the program, and the calls of the submit command."""
        backend = self._backend
        recorded = [self._hand_over(job) for job in self._jobs]
        if not recorded[0]:
            named = ", ".join(self._recorder.programs) or "any program of a scheduler"
            raise _cannot(backend, f"its submit command does not call {named}")
        ways = [_carries(call, job) for call, job in zip(recorded[0], self._jobs[:1] * len(recorded[0]), strict=True)]
        if not any(ways):
            raise _cannot(backend, "its submit command gives no program the script")
        which = next(number for number, way in enumerate(ways) if way)
        for form in self._id_forms():
            self._id = form
            if (answer := self._submit_answer()) is not None:
                break
        else:
            raise _cannot(backend, "no job id was found that all its patterns read")
        calls = [_shape("submit", recorded[0][which], recorded[1][which], ids=False)]
        again = self._hand_over(self._jobs[0], say=filled(answer, self._numbered(0)))
        calls += [
            _shape("echo", call, call, ids=True) for call in again if call.program and not _carries(call, self._jobs[0])
        ]
        return answer, ways[which], calls

    def _hand_over(self, job: Job, say: str = "") -> list[Call]:
        assert job.directory is not None
        directory = Path(job.directory)
        (directory / "work").mkdir(parents=True, exist_ok=True)
        rendered = render_job(self._backend, job, str(self._workspace))
        (directory / "script").write_text(rendered.script, encoding="utf-8")
        return list(self._recorder.run(rendered.submit, say=say, cwd=directory).calls)

    def _id_forms(self) -> Iterator[Pieces]:
        backend = self._backend
        patterns: list[tuple[re.Pattern[str], str]] = []
        if isinstance(backend.submit.job_id, re.Pattern):
            patterns.append((backend.submit.job_id, "job_id"))
        for spec in (backend.monitor, backend.result, backend.find):
            if spec and isinstance(spec.grammar, Lines):
                patterns.append((spec.grammar.pattern, "job_id"))
            if spec and isinstance(spec.grammar, Records):
                patterns.append((spec.grammar.fields["job_id"], ""))
        forms = [pieces for pattern, group in patterns for pieces in number_in(pattern, group)]
        yield from dict.fromkeys([*forms, (Slot("number"),)])

    def _submit_answer(self) -> Pieces | None:
        """Return what submit prints for a job, if the whole submit command then answers its id."""
        pattern = self._backend.submit.job_id
        if isinstance(pattern, JsonRows):
            texts: Iterator[Pieces] = (
                joined([made.form.head, *made.pieces, made.form.tail])
                for made in row_texts(pattern, {"job_id": self._id})
            )
        else:
            texts = (joined([*made.pieces, *made.later, "\n"]) for made in fitting(pattern, {"job_id": self._id}))
        for tried, text in enumerate(texts):
            said = filled(text, self._numbered(0))
            plain = CompletedCommand(command="", exit_code=0, stdout=said, stderr="")
            if self._id_in(plain) and self._reads_id() and self._id_in(self._answer_to_submit(said)):
                return text
            if tried > 20:
                break
        return None

    def _answer_to_submit(self, said: str) -> CompletedCommand:
        job = self._jobs[0]
        rendered = render_job(self._backend, job, str(self._workspace))
        assert job.directory is not None
        return self._recorder.run(rendered.submit, say=said, cwd=Path(job.directory)).completed

    def _id_in(self, completed: CompletedCommand) -> bool:
        try:
            return parse_job_id(self._backend.submit.job_id, completed) == self._ids()[0]
        except AdapterError:
            return False

    def _reads_id(self) -> bool:
        """Whether the monitor may say something about a job of this id."""
        grammar = self._backend.monitor.grammar
        return (
            grammar is None
            or next(self._read_rows([self._backend.monitor], {}, _some_word(self._backend)), None) is not None
        )

    def _ids(self) -> list[str]:
        return [filled(self._id, {"number": number}) for number in _NUMBERS]

    def _numbered(self, which: int) -> dict[str, str]:
        return {
            "number": _NUMBERS[which], "token": self._jobs[which].token, "wall": "7",
            "exit_code": "3", "signal": "0",
        }  # fmt: skip

    # -- the commands about jobs

    def _actions(self) -> Iterator[tuple[str, CommandSpec, bool]]:
        backend = self._backend
        yield "monitor", backend.monitor, True
        if backend.result:
            yield "result", backend.result, True
        if backend.find:
            yield "find", backend.find, True
        yield "kill", backend.kill, True
        if backend.kill.harder:
            yield "harder", backend.kill.harder, True

    def _about(self, spec: CommandSpec, *which: int) -> str:
        ids, jobs = self._ids(), self._jobs
        first = which[0]
        values = {**self._backend.values, "workspace": str(self._workspace), "run": jobs[first].run, "next": None}
        return render_command(
            spec,
            {
                **values,
                "job_directory": jobs[first].directory,
                **id_values(self._backend.submit, [ids[one] for one in which]),
                "tokens": [jobs[one].token for one in which],
            },
        )

    def _calls(self, action: str, spec: CommandSpec, *, ids: bool) -> list[dict[str, Any]]:
        """Return the calls that the command of *action* makes, whatever the programs answer meanwhile."""
        words = [*_live_words(self._backend), self._ids()[0]]
        both: list[list[Call]] = [[], []]
        for which in (0, 1):
            both[which] = list(self._recorder.run(self._about(spec, which)).calls)
            for word in words if any(call.captured for call in both[which]) else ():
                seen = self._recorder.run(self._about(spec, which), say=f"{word}\n").calls
                known = {(call.program, call.arguments) for call in both[which]}
                both[which] += [call for call in seen if (call.program, call.arguments) not in known]
        if not both[0] and spec.command.text.strip() != ":":
            self._notes.append(f"{action} calls no program of the scheduler")
        deeds = [call for call in both[0] if not call.captured]
        shapes = []
        for one, other in zip(both[0], both[1], strict=False):
            is_question = action in {"kill", "harder"} and one.captured and bool(deeds)
            shapes.append(_shape("question" if is_question else action, one, other, ids=ids))
        return shapes

    # -- what they answer

    def _queries(self, calls: list[dict[str, Any]]) -> dict[str, Any]:
        backend = self._backend
        specs = {"monitor": backend.monitor, "result": backend.result, "find": backend.find}
        words = self._words()
        queries: dict[str, Any] = {"question": {"kinds": {kind: [word] for kind, word in words.items()}}}
        merged = _same_calls(calls)
        for action, spec in specs.items():
            if spec is None:
                continue
            together = [specs[name] for name in merged.get(action, [action])]
            made = (
                self._by_exit_code(spec) if spec.exit_codes else self._query(action, spec, [s for s in together if s])
            )
            if made is not None:
                queries[action] = made
            elif action == "monitor":
                raise _cannot(
                    backend,
                    f"no answer was found that its monitor command and patterns read:\n{spec.command.text.strip()}",
                )
            else:
                self._notes.append(f"{action} is not answered: no answer was found that its command and patterns read")
        return queries

    def _words(self) -> dict[str, str]:
        """Return the native word for each way in which a job may stand."""
        states = self._backend.monitor.states
        found: dict[str, str] = {}
        for kind, meanings in _MEANS.items():
            for meaning in meanings[:1] if kind in {"held", "queued"} else meanings:
                word = next((word for word, means in states.items() if means == meaning), None)
                if word is not None:
                    found.setdefault(kind, word)
        return found

    def _by_exit_code(self, spec: QuerySpec) -> dict[str, Any]:
        codes = {word: code for code, word in spec.exit_codes.items()}
        kinds: dict[str, int] = {}
        for kind, meanings in _MEANS.items():
            for meaning in meanings:
                code = next((c for w, c in codes.items() if w != GONE and parse_state_word(w) == meaning), None)
                if code is not None:
                    kinds.setdefault(kind, code)
        if GONE not in codes:
            raise _cannot(self._backend, "monitor.exit_codes has no code for a job that is gone")
        return {"codes": kinds, "gone": codes[GONE]}

    def _query(self, action: str, spec: QuerySpec, together: Sequence[QuerySpec]) -> dict[str, Any] | None:
        kinds: dict[str, Any] = {}
        forms: dict[str, Form] = {}
        only = (
            ["any"]
            if action == "find" and len(together) == 1
            else [k for k in KINDS if k in ENDED or action != "result"]
        )
        for kind in only:
            found = self._row(action, spec, together, kind)
            if found is not None:
                kinds[kind], forms[kind] = found
        needed = {"find": {"any", "running"}, "result": {"succeeded"}, "monitor": {"running"}}[action]
        if not needed & kinds.keys():
            return None
        form = forms[next(iter(forms))]
        kinds = {kind: _listed(row.pieces) for kind, row in kinds.items() if forms[kind] == form}
        made = {"head": form.head, "between": form.between, "tail": form.tail, "kinds": kinds}
        return {**made, "decode": spec.exit_code_decode}

    def _row(
        self, action: str, spec: QuerySpec, together: Sequence[QuerySpec], kind: str
    ) -> tuple[RowText, Form] | None:
        for word, meaning, more in self._said(spec if action != "find" else together[0], kind):
            for text in self._read_rows(together, self._filling(spec, kind) | more, word):
                form = self._through(action, spec, text, meaning)
                if form is not None:
                    return text, form
        return None

    def _said(
        self, spec: QuerySpec, kind: str
    ) -> Iterator[tuple[str | None, tuple[State, Reason | None] | None, dict[str, Pieces]]]:
        """Yield the words that may stand for *kind*, what each means, and what else has to be said with it."""
        if kind == "any":
            yield None, None, {}
        elif kind == "unknown":
            yield from ((word, (State.UNKNOWN, None), {}) for word in _UNHEARD if not spec.states.meaning(word))
        else:
            for number, meaning in enumerate(_MEANS[kind]):
                words = (word for word, means in spec.states.items() if means == meaning)
                yield from ((word, meaning, {}) for word in islice(words, _MOST_WORDS))
                if number == 0 and (word := _some_word(self._backend)):  # a reason that says more than the state
                    for reason, means in spec.reasons.items():
                        if means == meaning:
                            yield word, meaning, {"reason": (reason,)}

    def _filling(self, spec: QuerySpec, kind: str) -> dict[str, Pieces]:
        names = spec.grammar.names if spec.grammar else frozenset[str]()
        filling: dict[str, Pieces] = {"token": (Slot("token"),)}
        if kind in ENDED:
            filling |= {name: (Slot(name),) for name in ("exit_code", "signal", "wall") if name in names}
        return filling

    def _read_rows(
        self, specs: Sequence[QuerySpec], filling: Mapping[str, Pieces], word: str | None
    ) -> Iterator[RowText]:
        """Yield rows, the fullest first, in which the grammars of all *specs* read the id, the token and *word*."""
        grammars = [spec.grammar for spec in specs if spec.grammar]
        wanted: dict[str, Pieces] = {"job_id": self._id}
        if word is not None:
            wanted["state"] = (word,)
        values = self._numbered(0)
        for fewer in _fewer(filling):
            asked = {**wanted, **fewer}
            try:
                for text in row_texts(grammars[0], asked):
                    answer = text.answer(values)
                    if all(_holds(grammar.read(answer), asked, values, grammar.names) for grammar in grammars):
                        yield text
                        break
            except ValueError as error:
                if fewer.keys() <= {"token", "reason"}:
                    raise _cannot(self._backend, str(error)) from error

    def _through(
        self, action: str, spec: QuerySpec, text: RowText, meaning: tuple[State, Reason | None] | None
    ) -> Form | None:
        """Return the form in which the whole command, run on this row, still says what was meant; ``None`` for none."""
        values = {**self._numbered(0), "exit_code": _ENCODED[spec.exit_code_decode]}
        heading = Form("HEADING\n", text.form.between, text.form.tail)
        ids_alone = RowText(Form(), self._id) if action == "find" else None
        tries: list[tuple[Form, RowText]] = [(text.form, text)]
        if text.form.head == "":
            tries.append((heading, text))
        if ids_alone:
            tries.append((Form("", "\n", "\n"), ids_alone))
        for form, row in tries:
            said = form.head + filled(row.pieces, values) + form.tail
            completed = self._recorder.run(self._about(spec, 0), say=said).completed
            if action == "find":
                tokens = parse_tokens(spec, self._backend, completed)
                if tokens and tokens[0].get(self._jobs[0].token, [""])[-1] == self._ids()[0]:
                    if row is not text:
                        object.__setattr__(text, "pieces", row.pieces)
                    return form
                continue
            answer = parse_query(spec, self._backend, completed, [self._ids()[0]])
            seen = answer.observations.get(self._ids()[0]) if answer else None
            if seen is None or meaning is None:
                continue
            holds_code = Slot("exit_code") in text.pieces
            if (seen.state, seen.reason) == meaning and (not holds_code or seen.exit_code == 3):
                return form
        return None

    # -- the rest

    def _errors(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for kind, patterns in self._backend.errors.items():
            for pattern in patterns:
                for made in fitting(pattern, {}):
                    text = filled(made.pieces + made.later, {})
                    completed = CompletedCommand(command="", exit_code=1, stdout="", stderr=text)
                    if classify(self._backend, completed) == kind:
                        found.setdefault(kind, text)
                        break
        return found

    def _inside(self) -> list[str]:
        """Return the variables by which a job learns its id; each is set to that id."""
        text = self._backend.submit.job_id_inside
        if text is None:
            return []
        names = list(dict.fromkeys(re.findall(r"\$\{?([A-Za-z_]\w*)", text)))
        wanted = self._ids()[0]
        # The last one first: what is taken where an array's is not set.
        for chosen in [*([name] for name in reversed(names)), names]:
            if self._said_inside(chosen, wanted, {}) == wanted:
                return chosen
        raise _cannot(self._backend, f"no variable was found by which a job learns its id: {text}")

    def _said_inside(self, names: Sequence[str], value: str, more: Mapping[str, str]) -> str:
        """Return what a job takes for its id where *names* are set to *value*."""
        sets = {**dict.fromkeys(names, value), **more}
        exports = "".join(f"export {name}={_quoted(text)}; " for name, text in sets.items())
        command = f"{exports}printf %s {self._backend.submit.job_id_inside}"
        return self._recorder.run(command, say=f"{value}\n").completed.stdout

    def _walltime(self) -> dict[str, str] | None:
        """Return where a job's walltime stands in what is handed over, and how it is written."""
        if not self._backend.is_supported("walltime"):
            return None
        texts = {}
        for seconds in (60, 7260, 90060):
            try:
                rendered = render_job(
                    self._backend,
                    self._jobs[0].but(task=_task(self._backend, Resources(walltime_s=seconds))),
                    str(self._workspace),
                )
            except TaskError:
                return None
            texts[seconds] = (rendered.script.splitlines(), rendered.submit.splitlines())
        for place in (0, 1):
            lines = {seconds: both[place] for seconds, both in texts.items()}
            if len({len(each) for each in lines.values()}) != 1:
                continue
            for number, line in enumerate(lines[60]):
                others = [lines[seconds][number] for seconds in lines]
                if len(set(others)) > 1 and (place == 1 or line.startswith(self._backend.directive_prefix or "\0")):
                    return _written(dict(zip(lines, others, strict=True)), whole_line=place == 0)
        return None

    def _after(self) -> dict[str, str]:
        """Return the words that stand before the id of a job that another one waits for, by how it waits."""
        found = {}
        number = _NUMBERS[1]
        other = self._ids()[1]
        for name in ("succeeded", "ended"):
            if f"after_{name}" not in self._backend.job_variables:
                continue
            rendered = render_job(self._backend, self._jobs[0].but(**{f"after_{name}": (other,)}), str(self._workspace))
            for line in (*rendered.script.splitlines(), *rendered.submit.splitlines()):
                before, there, _ = line.partition(number)
                if there and before.strip():
                    found[name] = before[re.search(r"[^\s=,'\"]*\s*$", before).start() :]  # type: ignore[union-attr]
                    break
        return found

    def _array(self) -> dict[str, Any] | None:
        """Return how an array is asked for and how its elements are named, ``None`` where there are none.

        With ``begin`` alone, arrays are seen and refused.
        """
        spec = self._backend.array
        if spec is None:
            return None
        values = {**self._backend.values, "token": self._jobs[0].token, "name": "simulated"}
        sizes = (2, 7)
        made = [
            spec.option.render({**values, "size": size, "first": spec.first, "last": spec.first + size - 1})
            for size in sizes
        ]
        begin = _common(*made).split(self._jobs[0].token)[0].rstrip("0123456789")
        prefix = f"{self._backend.directive_prefix} " if self._backend.directive_prefix else ""
        plan: dict[str, Any] = {"begin": prefix + begin}
        numbers = [int(text[len(begin) :]) for text in made if text[len(begin) :].isdigit()]
        named = self._elements()
        more = 0 if numbers == [*sizes] else 1 - spec.first if numbers == [spec.first + 1, spec.first + 6] else None
        if named is None or more is None:
            self._notes.append("arrays are refused: the file does not tell enough about their elements")
            return plan
        return plan | named | {"more": more, "first": spec.first, "index": spec.index}

    def _elements(self) -> dict[str, Any] | None:
        """Return how an array and its elements are named: what stands where a job by itself has its number."""
        backend, spec, number = self._backend, self._backend.array, _NUMBERS[0]
        before, after = filled(self._id, {"number": "\0"}).split("\0")
        if spec is None or not isinstance(backend.submit.job_id, re.Pattern):
            return None
        for form in number_in(backend.submit.job_id, "job_id"):
            whole = filled(form, {"number": number})
            one, other = (spec.job_id.render({"job_id": whole, "index": index}).strip() for index in (5, 6))
            if one == other or not all(_frames(text, before, after) for text in (whole, one)):
                continue
            for inside in (whole, one):
                if self._said_inside(self._inside(), inside, {spec.index: "5"}) == one:
                    cut = slice(len(before), -len(after) or None)
                    element = one[cut].removeprefix(number)
                    return {
                        "whole": whole[cut].removeprefix(number),
                        "before": element.partition("5")[0],
                        "after": element.partition("5")[2],
                        "inside": "whole" if inside == whole else "element",
                    }
        return None


def _task(backend: Backend, resources: Resources | None = None, name: str = "simulated") -> Task:
    return plain_task(backend, resources, name=name)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _listed(pieces: Pieces) -> list[Any]:
    return [piece if isinstance(piece, str) else (piece.name,) for piece in pieces]


def _carries(call: Call, job: Job) -> str:
    """Return how *call* gets the script of *job*: ``argument``, ``stdin``, ``file`` (which names it); or nothing."""
    script = f"{job.directory}/script"
    if script in call.arguments:
        return "argument"
    body = Path(script).read_text(encoding="utf-8")
    if call.stdin.strip() and body.startswith(call.stdin[:200]):
        return "stdin"
    for argument in call.arguments:
        file = Path(job.directory or "") / argument
        if (
            not argument.startswith("-")
            and file.is_file()
            and script in file.read_text(encoding="utf-8", errors="replace")
        ):
            return "file"
    return ""


def _shape(action: str, one: Call, other: Call, *, ids: bool) -> dict[str, Any]:
    """Return what two such calls have in common: arguments that are the same, beginnings of those that are not."""
    exact, begins = [], []
    for mine, its in zip(one.arguments, other.arguments, strict=False):
        if mine == its and not any(number in mine for number in _NUMBERS):
            exact.append(mine)
        else:
            begin = _common(mine, its)
            begin = re.split(r"[/\d]", begin)[0]
            if begin:
                begins.append(begin)
    varies = one.arguments != other.arguments or any(n in a for n in _NUMBERS for a in one.arguments)
    return {"program": one.program, "action": action, "exact": exact, "begins": begins, "ids": ids and varies}


def _same_calls(calls: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the queries that call a program in the same way, so that one answer has to serve them all."""
    by_call: dict[str, list[str]] = {}
    for call in calls:
        if call["action"] in {"monitor", "find", "result"}:
            key = repr([call["program"], call["exact"], call["begins"], call["ids"]])
            by_call.setdefault(key, []).append(call["action"])
    return {action: actions for actions in by_call.values() if len(actions) > 1 for action in actions}


def _live_words(backend: Backend) -> list[str]:
    """Return one native word for each state of a job that has not ended."""
    words: dict[State, str] = {}
    for word, (state, _) in backend.monitor.states.items():
        if state in {State.QUEUED, State.RUNNING, State.HELD, State.SUSPENDED}:
            words.setdefault(state, word)
    return list(words.values())


def _some_word(backend: Backend) -> str | None:
    return next(iter(_live_words(backend)), None)


def _fewer(filling: Mapping[str, Pieces]) -> Iterator[dict[str, Pieces]]:
    """Yield *filling*, and then less and less of it; the token stays."""
    optional = [name for name in filling if name not in {"token", "reason"}]
    kept = {name: pieces for name, pieces in filling.items() if name not in optional}
    for count in range(len(optional), -1, -1):
        yield {**kept, **{name: filling[name] for name in optional[:count]}}


def _holds(read: Any, asked: Mapping[str, Pieces], values: Mapping[str, str], names: frozenset[str]) -> bool:
    if read is None or read.unreadable or len(read.rows) != 1:
        return False
    row = read.rows[0]
    return all(
        (row.get(name) or "").strip() == filled(pieces, values).strip()
        for name, pieces in asked.items()
        if name in names
    )


def _written(lines: Mapping[int, str], *, whole_line: bool) -> dict[str, str] | None:
    """Return the words before a walltime, and how it is written: ``seconds``, ``minutes`` or ``clock``."""
    before = re.sub(r"\d*$", "", _common(*lines.values()))
    texts = {seconds: _time_at(line[len(before) :]) for seconds, line in lines.items()}
    if not whole_line:
        before = re.split(r"[\s,'\"/]", before.rstrip())[-1] + before[len(before.rstrip()) :]
    for unit, factor in (("seconds", 1), ("minutes", 60)):
        if all(text.isdigit() and int(text) * factor == seconds for seconds, text in texts.items()):
            return {"before": before, "unit": unit, "where": "script" if whole_line else "arguments"}
    if all(_clock(text) == seconds for seconds, text in texts.items()):
        return {"before": before, "unit": "clock", "where": "script" if whole_line else "arguments"}
    return None


def _common(*texts: str) -> str:
    """Return how all *texts* begin."""
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*texts, strict=False))
    return "".join(letters[0] for letters in same)


def _frames(text: str, before: str, after: str) -> bool:
    return text.startswith(before + _NUMBERS[0]) and text.endswith(after)


def _time_at(text: str) -> str:
    found = re.match(r"[\d:-]*", text)
    return found[0] if found else ""


def _clock(text: str) -> int | None:
    days, _, rest = text.rpartition("-")
    parts = rest.split(":")
    if not all(part.isdigit() for part in (*parts, days or "0")) or len(parts) != 3:
        return None
    hours, minutes, seconds = map(int, parts)
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
