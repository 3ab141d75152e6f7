"""Recording: the answers that a live scheduler gave to a backend's commands, as captures that ``adapter test`` replays.

What is expected is taken from what was true by other means, where there are any: the task's own end, the id that the
job saw, a job that was killed. Where there are none, the file says that a person has to confirm it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from adapter.core import bounds
from adapter.core.answers import classify, is_no_answer, parse_job_id, parse_query, parse_tokens, words_beside
from adapter.core.grammars import Lines
from adapter.core.receipt import SubmitStatus, probe_step, read_probe, read_receipt
from adapter.core.state import Reason, State
from adapter.core.variables import ID_NOT_LEARNT
from adapter.errors import OutputError
from adapter.testkit.conformance import Open
from adapter.testkit.replay import results, verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from adapter.core.answers import Answer, Observation
    from adapter.core.backend import Backend
    from adapter.core.batch import BatchResult, Command
    from adapter.core.exit_file import ExitReport
    from adapter.core.job import Job
    from adapter.core.specs import QuerySpec
    from adapter.execution.executor import Executor
    from adapter.results import CompletedCommand
    from adapter.transports.base import Transport

MOST_OF_AN_ACTION = 12
_AT_ONCE = 200  # exit files read in one `run`
_MOST_LIKE = 2  # jobs of one answer that look alike and mean the same
_MOST_BYTES = 40_000  # of an answer worth keeping
_MOST_OTHERS = 3  # lines about jobs of ours that nobody asked about
_CERTAIN_S = 2.0  # exit files tell whole seconds, and answers take their time


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What travelled in one ``run``: the commands and their answers, and when, by this machine's clock."""

    began_at: float
    ended_at: float
    answers: tuple[tuple[Command, CompletedCommand], ...]


class Recording(Open):
    """A transport that keeps every command and its answer, and changes nothing."""

    def __init__(self, transport: Transport, now: Callable[[], float]) -> None:
        """*transport* is open; *now* gives seconds since the epoch."""
        super().__init__(transport)
        self._now = now
        self.batches: list[Batch] = []

    async def run_batch(self, commands: Sequence[Command], **options: Any) -> BatchResult:
        """Hand it on, and keep what came whole."""
        began_at = self._now()
        result = await super().run_batch(commands, **options)
        answers = zip(commands, result.completed, strict=True)
        whole = tuple((command, completed) for command, completed in answers if completed)
        self.batches.append(Batch(began_at=began_at, ended_at=self._now(), answers=whole))
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a job by other means than the scheduler's answers, once all is over.

    ``case`` is what it was run for; ``job`` how it ended; ``started_at`` and ``ended_at`` are of its exit file, by the
    clock of the machine that ran it; ``inside`` is the id that it saw itself. All ``None`` where there is no such file.
    """

    case: str
    job: Job
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    inside: str | None = None


@dataclass(slots=True)
class Record:
    """One answer on its way to become a capture. ``notes`` are for the person who is to confirm it."""

    action: str
    about: str
    completed: CompletedCommand
    expect: dict[str, Any]
    asked: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    shapes: frozenset[str] = frozenset()


async def learn(executor: Executor) -> list[Known]:
    """Return what is known of all jobs in the store of *executor*; their folders are still there.

    Raises:
        TransportError: the target cannot be asked.
    """
    cases = {run.id: run.name for run in executor.store.summaries()}
    jobs = [job for job in executor.store.jobs() if job.directory]
    known = []
    for at in range(0, len(jobs), _AT_ONCE):
        chunk = jobs[at : at + _AT_ONCE]
        asked_at = time.time()
        probed, date = await executor.client.ask([probe_step(chunk), "date +%s"], 120)
        told = bounds.whole(date.stdout) if date else None
        ahead_s = 0.0 if told is None else told + 0.5 - asked_at
        probes = read_probe(probed.stdout, chunk) if probed else {}
        for job in chunk:
            report = probes[job.key].report if job.key in probes else None
            known.append(_known(cases[job.run], job, report, ahead_s if abs(ahead_s) > _CERTAIN_S else 0.0))
    return known


def _known(case: str, job: Job, report: ExitReport | None, ahead_s: float) -> Known:
    if report is None:
        return Known(case=case, job=job)
    return Known(
        case=case,
        job=job,
        started_at=None if report.started_at is None else report.started_at - ahead_s,
        ended_at=None if report.ended_at is None else report.ended_at - ahead_s,
        exit_code=report.exit_code,
        inside=None if report.job_id == ID_NOT_LEARNT else report.job_id,
    )


# ---- what was asked ----------------------------------------------------------------------------------------------


class Reader:
    """Tells what each command was that a batch holds, and what its answer should mean."""

    def __init__(self, backend: Backend, known: Iterable[Known]) -> None:
        """*backend* is as it was for the scheduler's version."""
        self._backend = backend
        self._known = list(known)
        self._by_directory = {each.job.directory: each for each in self._known if each.job.directory}

    def records(self, batches: Iterable[Batch]) -> list[Record]:
        """Return what is worth keeping of *batches*, like ones left out."""
        found = [record for batch in batches for record in self._of_batch(batch)]
        return _distinct(found)

    def _of_batch(self, batch: Batch) -> Iterable[Record]:
        for command, completed in batch.answers:
            record = self._of(command, completed, batch)
            if record is not None:
                yield record

    def _of(self, command: Command, completed: CompletedCommand, batch: Batch) -> Record | None:
        about = [known for job in command.jobs if (known := self._by_directory.get(job.directory or ""))]
        match command.action:
            case "version":
                return self._version(completed)
            case "submit":
                return self._submit(command, about, completed)
            case "monitor" | "result" if about:
                return self._query(command.action, completed, about, batch)
            case "find" if about:
                return self._find("find", completed, about, batch)
            case "kill" | "harder" if about:
                return self._kill("kill", completed, about, batch)
        return None

    # -- what each answer means

    def _submit(self, command: Command, about: Sequence[Known], completed: CompletedCommand) -> Record | None:
        receipt, own = read_receipt(completed)
        if not about or receipt.status is not SubmitStatus.ANSWERED:
            return None
        known, own = about[0], replace(own, command=command.inner)
        if own.exit_code != 0:
            kind = classify(self._backend, own)
            confirm = f"refused for {_case(known)}: is {kind or 'null (no class knows its words)'} the right class?"
            return Record("submit", f"Refused: {known.case}", own, {"error": kind}, notes=[confirm])
        try:
            job_id = parse_job_id(self._backend.submit.job_id, own)
        except OutputError:
            return Record("submit", f"Taken: {known.case}", own, {"error": "unreadable"}, notes=[_CONFIRM])
        note = _CONFIRM
        if known.job.array is None and known.inside is not None:
            same = known.inside == job_id
            note = "the id that the job itself saw" if same else f"CONTRADICTED: the job itself saw {known.inside}"
            job_id = known.inside
        return Record("submit", f"Taken: {known.case}", own, {"job_id": job_id}, notes=[note])

    def _version(self, completed: CompletedCommand) -> Record:
        pattern = self._backend.version_pattern
        match = pattern.search(completed.stdout + completed.stderr) if pattern else None
        if match is None:
            return Record("version", "The version", completed, {"version": "?"}, notes=["nobody could read it"])
        return Record("version", "The version", completed, {"version": match["version"]}, notes=[_CONFIRM])

    def _query(self, action: str, completed: CompletedCommand, about: Sequence[Known], batch: Batch) -> Record:
        spec: QuerySpec = self._backend.monitor if action == "monitor" else self._backend.result  # type: ignore[assignment]
        ids = [each.job.job_id or "" for each in about]
        record = Record(action, _about(about), completed, {}, asked=tuple(dict.fromkeys(ids)))
        completed = self._without_others(spec, record, ids)
        answer = parse_query(spec, self._backend, completed, ids)
        if answer is None or self._is_doubtful(spec, answer, completed):
            record.expect = {"no_answer": classify(self._backend, completed)}
            record.notes.append(f"no answer: {_CONFIRM}")
            return record
        seen = answer.observations if action == "monitor" else results(self._backend, completed, list(record.asked))
        jobs, absent, notes = {}, [], {}
        for each in about:
            job_id = each.job.job_id or ""
            if job_id in seen:
                jobs[job_id], notes[job_id] = expected_of(each, seen[job_id], batch, by_result=action == "result")
            else:
                absent.append(job_id)
                notes[job_id] = f"not shown; {_life(each, batch)}"
        if isinstance(spec.grammar, Lines):
            self._leave_out_like(spec.grammar, record, jobs, absent)
        record.notes += [f"{one}: {notes[one]}" for one in record.asked]
        record.expect = {**({"jobs": jobs} if jobs else {}), **({"absent": absent} if absent else {})}
        return record

    def _is_doubtful(self, spec: QuerySpec, answer: Answer, completed: CompletedCommand) -> bool:
        """Whether *answer* shows no job, and holds words that may be why."""
        if answer.observations:
            return False
        kind = classify(self._backend, completed)
        said = words_beside(spec, self._backend, answer, completed)
        return is_no_answer(spec, self._backend, completed) or (bool(said) and kind != "gone")

    def _leave_out_like(self, grammar: Lines, record: Record, jobs: dict[str, Any], absent: list[str]) -> None:
        """Leave out of *record* the jobs whose line and meaning are those of others in it, but for one or two."""
        lines = record.completed.stdout.splitlines(keepends=True)
        rows = [row.groupdict() if (row := grammar.pattern.search(line)) else {} for line in lines]
        ids = [row.get("job_id") for row in rows]
        forms = {row["job_id"]: _row_form(row) for row in rows if row}
        counts: dict[str, int] = {}
        dropped = set()
        for one in record.asked:
            form = f"{jobs[one]} {forms.get(one)}" if one in jobs else "absent"
            counts[form] = counts.get(form, 0) + 1
            if counts[form] > _MOST_LIKE:
                dropped.add(one)
        if not dropped:
            return
        kept = "".join(line for job_id, line in zip(ids, lines, strict=True) if job_id not in dropped)
        record.completed = replace(record.completed, stdout=kept)
        record.asked = tuple(one for one in record.asked if one not in dropped)
        record.notes.append(f"{len(dropped)} jobs like others here were left out")
        for one in dropped:
            jobs.pop(one, None)
        absent[:] = [one for one in absent if one not in dropped]

    def _find(self, action: str, completed: CompletedCommand, about: Sequence[Known], batch: Batch) -> Record:
        spec = self._backend.find
        assert spec is not None
        tokens = _tokens(about)
        record = Record(action, _about(about), completed, {}, asked=tuple(tokens))
        completed = self._without_others(spec, record, [each.job.job_id or "" for each in about])
        answer = parse_tokens(spec, self._backend, completed)
        if answer is None:
            record.expect, record.notes = {"no_answer": classify(self._backend, completed)}, [_CONFIRM]
            return record
        found = {}
        for each in about:
            token = each.job.array.token if each.job.array else each.job.token
            if token in answer[0] and each.job.array is None and each.job.job_id is not None:
                found[token] = each.job.job_id
                record.notes.append(f"{token}: the id that its submit answered")
            elif token in answer[0]:
                found[token] = answer[0][token][-1]
                record.notes.append(f"{token}: {_CONFIRM}")
            else:
                record.notes.append(f"{token}: not found; {_life(each, batch)}")
        record.expect = {"found": found}
        return record

    def _without_others(self, spec: QuerySpec, record: Record, ids: Sequence[str]) -> CompletedCommand:
        """Leave out of *record* the lines about jobs that are not ours, and most of those nobody asked about."""
        if not isinstance(spec.grammar, Lines):
            return record.completed
        ours = {each.job.job_id for each in self._known}
        kept, others, left_out = [], 0, 0
        for line in record.completed.stdout.splitlines(keepends=True):
            row = spec.grammar.pattern.search(line)
            job_id = row["job_id"] if row else None
            others += job_id is not None and job_id not in ids
            if job_id is None or job_id in ids or (job_id in ours and others <= _MOST_OTHERS):
                kept.append(line)
            else:
                left_out += 1
        if left_out:
            record.notes.append(f"{left_out} lines about other jobs were left out here")
            record.completed = replace(record.completed, stdout="".join(kept))
        return record.completed

    def _kill(self, action: str, completed: CompletedCommand, about: Sequence[Known], batch: Batch) -> Record:
        record = Record(action, _about(about), completed, {}, asked=tuple(each.job.job_id or "" for each in about))
        kind = classify(self._backend, completed)
        done = completed.exit_code == 0 or kind == "gone"
        ended = all(each.job.state.is_final for each in about)
        lives = "; ".join(_life(each, batch) for each in about)
        record.notes.append(f"{lives}; {'it did end' if ended else _CONFIRM}")
        record.expect = {"done": True} if done or (ended and kind != "transient") else {"refused": kind}
        return record


_CONFIRM = "read from this answer alone: confirm it"


def _case(known: Known) -> str:
    return f"the case {known.case!r}"


def _about(about: Sequence[Known]) -> str:
    cases = list(dict.fromkeys(each.case for each in about))
    shown = ", ".join(cases[:4]) + (f" and {len(cases) - 4} more" if len(cases) > 4 else "")
    return f"Jobs of: {shown}" if len(about) > 1 else f"A job of: {shown}"


def _tokens(about: Sequence[Known]) -> list[str]:
    return list(dict.fromkeys(each.job.array.token if each.job.array else each.job.token for each in about))


def _in_order(command: str, known: Sequence[Known], name: str) -> list[Known]:
    """Return those of *known* whose id (or token) stands in *command* as a word, in the order of the command."""
    places = []
    for each in known:
        word = each.job.token if name == "tokens" else each.job.job_id
        if word and (at := re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w-]|\.\w)", command)):
            places.append((at.start(), each))
    return [each for _, each in sorted(places, key=lambda place: place[0])]


# ---- what is expected --------------------------------------------------------------------------------------------


def expected_of(known: Known, seen: Observation, batch: Batch, *, by_result: bool) -> tuple[dict[str, Any], str]:
    """Return what a capture expects of a job that was *seen* so, and how that is known."""
    state, reason = verdict(seen, by_result=by_result)
    life = _life(known, batch)
    if seen.stuck:
        expect = {"state": str(state), "stuck": True, "reason": reason and str(reason)}
        return expect, f"{life}; it can never start: {_CONFIRM}"
    if not state.is_final:
        return _expected_living(_certainly(known, batch), state, life)
    return _expected_ended(known, seen, (state, reason), life)


def _expected_living(sure: tuple[str, ...] | None, state: State, life: str) -> tuple[dict[str, Any], str]:
    if sure is None or state.value in sure:
        return {"state": str(state)}, f"{life}; {'as the answer says' if sure else _CONFIRM}"
    return {"state": sure[0]}, f"{life}; CONTRADICTED: the answer is read as {state}"


def _expected_ended(
    known: Known, seen: Observation, read: tuple[State, Reason | None], life: str
) -> tuple[dict[str, Any], str]:
    job, code, (state, reason) = known.job, known.exit_code, read
    if job.state is State.KILLED:
        if state in {State.KILLED, State.FAILED}:
            return {"state": str(state)}, f"{life}; it was killed, and this is what the answer alone tells of it"
        return {"state": "killed"}, f"{life}; CONTRADICTED: it was killed, and the answer is read as {state}"
    if code is None:
        return _unreported({"state": str(state)}, job, state, life)
    expect: dict[str, Any] = {"state": "succeeded" if job.state is State.SUCCEEDED else "failed"}
    note = f"{life}; its own exit code was {code}"
    if job.reason not in {None, Reason.EXIT_CODE, Reason.SIGNAL}:
        note = f"{life}; it ended for {job.reason}"
        if reason is job.reason:
            expect["reason"] = str(reason)
    elif seen.exit_code is not None and seen.signal is None:
        expect["exit_code"] = code
        if seen.exit_code != code:
            note += f"; CONTRADICTED: the answer is read as exit code {seen.exit_code}"
    if expect["state"] != state.value:
        note += f"; CONTRADICTED: the answer is read as {state}"
    return expect, note


def _unreported(expect: dict[str, Any], job: Job, state: State, life: str) -> tuple[dict[str, Any], str]:
    if job.reason is Reason.TIME_LIMIT and state is State.FAILED:
        return {**expect, "reason": str(job.reason)}, f"{life}; it ran over its walltime and left no exit file"
    return expect, f"{life}; it left no exit file: {_CONFIRM}"


def _certainly(known: Known, batch: Batch) -> tuple[str, ...] | None:
    """Return the states in which the job certainly was when it was asked about, ``None`` where that is not certain."""
    start, end = known.started_at, known.ended_at
    if start is not None and batch.ended_at < start - _CERTAIN_S:
        return ("queued", "held")
    if start is not None and end is not None and start + _CERTAIN_S < batch.began_at and batch.ended_at < end:
        return ("running", "suspended")
    return None


def _life(known: Known, batch: Batch) -> str:
    """Say where the job was when it was asked about, by its exit file."""
    case = _case(known)
    start, end = known.started_at, known.ended_at
    if start is None:
        return f"{case}, without an exit file"
    if batch.ended_at < start:
        return f"{case}, asked {start - batch.ended_at:.0f} s before it began"
    if end is None or batch.began_at < end:
        return f"{case}, asked {max(0.0, batch.began_at - start):.0f} s after it began"
    return f"{case}, asked {batch.began_at - end:.0f} s after it ended"


# ---- like ones left out ------------------------------------------------------------------------------------------


def _distinct(records: Sequence[Record]) -> list[Record]:
    """Return the records that show something new, the smallest first, and few of each action."""
    kept: list[Record] = []
    shapes: dict[str, set[str]] = {}
    for record in sorted(records, key=lambda one: len(one.completed.stdout) + len(one.asked)):
        mine = _shapes(record)
        known = shapes.setdefault(record.action, set())
        count = sum(one.action == record.action for one in kept)
        is_small = len(record.completed.stdout) <= _MOST_BYTES
        if is_small and count < MOST_OF_AN_ACTION and not mine <= known:
            known |= mine
            kept.append(record)
    return sorted(kept, key=lambda one: _ACTIONS.index(one.action))


_ACTIONS = ("version", "submit", "monitor", "result", "find", "kill")


def _shapes(record: Record) -> set[str]:
    """Return what is new in a record: what its answer says of a job, and the form of what was said beside."""
    told = record.expect.get("jobs", {})
    by_job = {json.dumps(each, sort_keys=True) for each in told.values()}
    others = {key for key, value in record.expect.items() if key != "jobs" and value}
    if isinstance(error := record.expect.get("error"), str):
        others.add(error)
    said = record.completed.stderr if record.action in {"monitor", "result", "find"} else record.completed.words
    text = {_form(line) for line in said.splitlines()}
    return {f"exit {record.completed.exit_code}", *by_job, *others, *text} | ({"empty"} if not told else set())


def _form(line: str) -> str:
    return re.sub(r"\d+", "0", re.sub(r"adapter-\w+-\d+-\d+", "TOKEN", line))


def _row_form(row: Mapping[str, str | None]) -> str:
    told = {name: _form(text) for name, text in row.items() if text and name not in {"job_id", "token"}}
    return json.dumps(told, sort_keys=True)
