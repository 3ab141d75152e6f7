"""Rules about what a backend file reads: the answers in its captures, and the same with something wrong in them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from adapter.core.answers import classify, names, parse_job_id, parse_query
from adapter.core.grammars import JsonRows, Lines, Records
from adapter.core.job import OUR_MARK
from adapter.core.lifecycle import Patience, advance
from adapter.core.pattern import can_take_for_ever
from adapter.core.specs import GONE, parse_state_word
from adapter.core.state import State
from adapter.errors import OutputError
from adapter.results import CompletedCommand
from adapter.testkit.replay import asked_jobs, look, poll, replay
from adapter.testkit.rules_render import exit_file
from adapter.testkit.subject import OK, failed, not_applicable, outcome_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from adapter.core.answers import Observation
    from adapter.core.backend import Backend
    from adapter.core.lifecycle import Evidence
    from adapter.core.specs import QuerySpec
    from adapter.testkit.capture import Capture
    from adapter.testkit.subject import Outcome, Subject

NO_JOBS_SHOWN = "no monitor capture shows a job"
_MOST_CAPTURES = 12  # are tried with something wrong in them: more would say the same
_MOST_WORDS = 400

# ---- ids and states ----------------------------------------------------------------------------------------------


def job_id(subject: Subject) -> Outcome:
    """The job-id pattern reads every accepted answer in the captures, and finds nothing in the refusals."""
    problems = []
    tried = False
    for backend, capture in subject.of("submit"):
        tried = True
        try:
            came = parse_job_id(backend.submit.job_id, capture.completed)
        except OutputError as error:
            came, why = None, str(error)
        expected = capture.expect.get("job_id")
        if expected is not None and came is None:
            problems.append(f"{capture.file}: {why}")
        elif came != expected:
            problems.append(f"{capture.file}: it reads {came!r}, expected {expected or 'no id'}")
        elif came is not None:
            problems += _quoted_ids(backend, capture, came)
    return outcome_of(problems) if tried else not_applicable("no submit capture")


def _quoted_ids(backend: Backend, capture: Capture, came: str) -> Iterator[str]:
    """Lines that speak of another job, beside the answer: what is read of them would make the answer ambiguous."""
    if isinstance(backend.submit.job_id, JsonRows):
        return
    is_stdout = came in capture.stdout
    text = capture.stdout if is_stdout else capture.stderr
    line = next((line for line in text.splitlines() if came in line), "")
    other = line.replace(came, re.sub(r"\d", lambda digit: str((int(digit[0]) + 1) % 10), came), 1)
    quoted = [f"note: {other}"]
    if line.strip() == came:
        quoted.append(f"{other} is the number of jobs that wait")
    for words in quoted if other != line else ():
        noisy = f"{words}\n{text}"
        said = capture.completed
        answer = replace(said, stdout=noisy) if is_stdout else replace(said, stderr=noisy)
        try:
            read = parse_job_id(backend.submit.job_id, answer)
        except OutputError as error:
            read = str(error)
        if read != came:
            yield f"{capture.file}: a line before the answer, {words!r}, is taken for an answer"


def states(subject: Subject) -> Outcome:
    """Every state in the captures is mapped to one of ours."""
    problems = []
    tried = False
    ends: dict[str, set[str]] = {}
    for backend, capture in subject.of("monitor", "result"):
        spec: QuerySpec | None = getattr(backend, capture.action)
        answer = parse_query(spec, backend, capture.completed, capture.asked) if spec else None
        for seen in answer.observations.values() if answer else ():
            tried = True
            meant = capture.jobs.get(seen.job_id, {}).get("state") == "unknown"
            if seen.state is State.UNKNOWN and not meant:
                problems.append(f"{seen.native_state!r} is not in {capture.action}.states ({capture.file})")
            if seen.state is State.SUCCEEDED and seen.job_id in capture.jobs:
                expected = capture.jobs[seen.job_id].get("state", "succeeded")
                ends.setdefault(repr(seen.native_state), set()).add(expected)
    problems += [f"{word} means success, and is seen with failed jobs only" for word in _never_good(ends)]
    return outcome_of(list(dict.fromkeys(problems))) if tried else not_applicable("no capture shows a job's state")


def _never_good(ends: dict[str, set[str]]) -> list[str]:
    """The words for success that are seen with failed jobs only, where another word is seen with those that succeeded.

    One word may well mean "ended", whatever the exit code; but then there is no second one.
    """
    if not any(seen == {"succeeded"} for seen in ends.values()):
        return []
    return [word for word, seen in ends.items() if "succeeded" not in seen]


def endings(subject: Subject) -> Outcome:
    """A job can be seen to have succeeded and to have failed: by a word, an exit code or the job's exit file."""
    problems = []
    for words, backend in subject.variants():
        specs = [spec for spec in (backend.monitor, backend.result) if spec is not None]
        finals = [_finals(spec) for spec in specs]
        if not any(finals) and not exit_file(backend):
            problems.append(f"no word ends a job, and its script leaves no exit file{words}")
        for ends, key in zip(finals, ("monitor", "result"), strict=False):
            problems += [f"{key} has words for ended jobs, and none that leads to {one}{words}" for one in _lacks(ends)]
    return outcome_of(problems)


def _finals(spec: QuerySpec) -> set[State]:
    """Return the final states that an answer can lead to."""
    mapped = {state for state, _ in spec.states.meanings()}
    mapped |= {parse_state_word(word)[0] for word in spec.exit_codes.values() if word != GONE}
    ends = {state for state in mapped if state.is_final}
    reads_code = spec.grammar is not None and "exit_code" in spec.grammar.names
    if reads_code and ends & {State.SUCCEEDED, State.FAILED}:
        ends |= {State.SUCCEEDED, State.FAILED}
    return ends


def _lacks(ends: set[State]) -> list[str]:
    """Where a scheduler tells ends at all, it must be able to tell the good from the bad."""
    if not ends & {State.SUCCEEDED, State.FAILED}:
        return []
    return [str(state) for state in (State.SUCCEEDED, State.FAILED) if state not in ends]


# ---- answers with something wrong in them ------------------------------------------------------------------------


def _with_jobs(subject: Subject) -> list[tuple[Backend, Capture]]:
    """The monitor captures that show jobs and replay well: the others are told about elsewhere."""
    shown = [
        (backend, capture)
        for backend, capture in subject.of("monitor")
        if capture.jobs and "no_answer" not in capture.expect and not backend.monitor.exit_codes
    ]
    return [(backend, capture) for backend, capture in shown if not replay(subject.backend, capture)][:_MOST_CAPTURES]


def _tampered(subject: Subject, tamper: Callable[[Backend, Capture], Iterator[CompletedCommand]]) -> Outcome:
    """Whether nothing that *tamper* makes of an answer changes what is taken from it."""
    problems = []
    tried = False
    for backend, capture in _with_jobs(subject):
        before = poll(backend, capture.completed, capture.asked)
        for answer in tamper(backend, capture):
            tried = True
            after = poll(backend, answer, capture.asked)
            found = _changes(
                before,
                after,
                added=_added(capture.completed, answer),
                may_be_no_answer=isinstance(backend.monitor.grammar, JsonRows),
            )
            problems += [f"{capture.file}: {change}" for change in found]
    return outcome_of(list(dict.fromkeys(problems))) if tried else not_applicable(NO_JOBS_SHOWN)


def _added(before: CompletedCommand, after: CompletedCommand) -> list[str]:
    """Return the lines of *after* that *before* does not have."""
    known = {*before.stdout.splitlines(), *before.stderr.splitlines()}
    return [line for line in (*after.stdout.splitlines(), *after.stderr.splitlines()) if line not in known]


def _changes(
    before: dict[str, Evidence], after: dict[str, Evidence], *, added: Sequence[str], may_be_no_answer: bool
) -> Iterator[str]:
    """What changed; that a line which nobody can read names a job is no absence, so that nothing is told of it then."""
    for job, was in before.items():
        now = after[job]
        same = now.observation == was.observation and now.answered == was.answered
        is_named = was.observation is None and any(names(line, job) for line in added)
        if same or ((may_be_no_answer or is_named) and not now.answered):
            continue
        yield f"{job} was {_shown(was)}, and is {_shown(now)}"


def _shown(evidence: Evidence) -> str:
    if evidence.observation is not None:
        return str(evidence.observation.state)
    return "absent" if evidence.answered else "not told"


def _inserted(capture: Capture, *pieces: str) -> Iterator[CompletedCommand]:
    """*capture* with each of *pieces* before, between and after its lines."""
    lines = capture.stdout.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    for piece in pieces:
        for at in sorted({0, 1, len(lines) // 2, len(lines)}):
            if at <= len(lines):
                yield replace(capture.completed, stdout="".join([*lines[:at], f"{piece}\n", *lines[at:]]))


def unreadable_line(subject: Subject) -> Outcome:
    """A line that nobody can read disturbs no job, wherever it stands."""
    return _tampered(subject, lambda _, capture: _inserted(capture, "%% unreadable %%", "error: 0 | ? | x=y"))


def banner(subject: Subject) -> Outcome:
    """A banner before or after an answer disturbs no job, even one that speaks of a job."""
    return _tampered(subject, _with_banner)


def _with_banner(backend: Backend, capture: Capture) -> Iterator[CompletedCommand]:
    completed = capture.completed
    text = (
        "\n*** Welcome to login1 ***\nLast login: Mon Jan 15 10:00:00 2024 from 192.0.2.7\n"
        f"  note: job {capture.asked[0]} was moved, 3 jobs are running | queue: open\n\n"
    )
    end = "" if completed.stdout.endswith("\n") or not completed.stdout else "\n"
    # A row that somebody quotes, with another job's id in it, is no row.
    quoted = "".join(f"note: {row}\n" for row in _misleading_rows(backend.monitor, capture))
    yield replace(completed, stdout=quoted + text + completed.stdout)
    yield replace(completed, stdout=completed.stdout + end + text)
    yield replace(completed, stderr=text + completed.stderr)


def _misleading_rows(spec: QuerySpec, capture: Capture) -> list[str]:
    """The lines of an answer that name a job, each with the next one's id: to read them changes what is known."""
    lines = capture.stdout.splitlines()
    match spec.grammar:
        case Lines(pattern=pattern):
            rows = [(line, match["job_id"]) for line in lines if (match := pattern.search(line))]
        case Records(fields=fields, begin=begin):
            named = [line for line in lines if begin.search(line)]
            rows = [(line, match[1]) for line in named if (match := fields["job_id"].search(line)) and match[1]]
        case _:
            rows = []
    ids = list(dict.fromkeys([*(one for _, one in rows), *capture.asked]))
    after = dict(zip(ids, [*ids[1:], *ids[:1]], strict=True))
    return [line.replace(one, after[one], 1) for line, one in rows]


def bytes_not_utf8(subject: Subject) -> Outcome:
    """Bytes that are not UTF-8 disturb no job."""
    junk = "\N{REPLACEMENT CHARACTER}" * 3
    return _tampered(subject, lambda _, capture: _inserted(capture, junk, f"caf{junk[0]} {junk}"))


def empty_answer(subject: Subject) -> Outcome:
    """An empty answer ends no job at once, and a command that failed without a word is no answer."""
    if subject.backend.monitor.exit_codes:
        return not_applicable("the monitor command's exit code is its answer")
    ids = next((capture.asked for _, capture in _with_jobs(subject)), ("1",))
    if subject.backend.monitor.takes_one:
        ids = ids[:1]
    problems = []
    for words, backend in subject.variants():
        patience = Patience(gone_after_s=backend.monitor.gone_after_s)
        said_nothing = CompletedCommand(command="monitor", exit_code=0, stdout="", stderr="")
        evidence = poll(backend, said_nothing, ids)
        for job in asked_jobs(ids):
            after = advance(job, evidence[job.job_id or ""], 0.0, patience)
            if after.state.is_final:
                problems.append(f"an empty answer makes {job.job_id} {after.state}{words}")
        failing = poll(backend, replace(said_nothing, exit_code=1), ids)
        problems += [
            f"a monitor command that failed without a word is taken as an answer about {one}{words}"
            for one, told in failing.items()
            if told.answered
        ]
    return outcome_of(problems)


def unknown_state(subject: Subject) -> Outcome:
    """A state that nobody named is `unknown`, and disturbs no other job."""
    spec = subject.backend.monitor
    if spec.exit_codes:
        code = next(number for number in range(200, 1000) if number not in spec.exit_codes)
        told = poll(subject.backend, CompletedCommand(command="monitor", exit_code=code, stdout="", stderr=""), ["1"])
        return failed(f"exit code {code}, which nobody named, is taken as an answer") if told["1"].answered else OK
    shown = _with_jobs(subject)
    tried = [_with_unknown_states(backend, capture) for backend, capture in shown]
    problems = [
        f"{capture.file}: {wrong}" for (_, capture), found in zip(shown, tried, strict=True) for wrong in found or ()
    ]
    if not shown:
        return not_applicable(NO_JOBS_SHOWN)
    if all(found is None for found in tried):
        return failed("no state but those named is read at all: let the pattern take any word")
    return outcome_of(problems)


def _with_unknown_states(backend: Backend, capture: Capture) -> list[str] | None:
    """Write a word that nobody named where a job's state stands; return what went wrong, ``None`` if no place is one.

    Where a state stands is not known (it may be worked out from several things), so every word is tried in turn.
    """
    before = poll(backend, capture.completed, capture.asked)
    known = {one: told.observation for one, told in before.items() if told.observation is not None}
    native = {part for seen in known.values() for part in re.findall(r"\w+", seen.native_state)}
    found = list(re.finditer(r"\w+", capture.stdout))
    for match in sorted(found, key=lambda one: (one[0] not in native, one.start()))[:_MOST_WORDS]:
        for word in _words_like(match[0]):
            text = capture.stdout[: match.start()] + word + capture.stdout[match.end() :]
            answer = replace(capture.completed, stdout=text)
            changed = parse_query(backend.monitor, backend, answer, capture.asked)
            now = changed.observations if changed else {}
            hit = next((one for one in known if one in now and _is_newly_unknown(known[one], now[one])), None)
            if hit is None:
                continue
            after = poll(backend, answer, capture.asked)
            others = [one for one in before if one != hit and before[one].observation != after[one].observation]
            return [f"the state {word!r} of {hit} disturbs {one}" for one in others]
    return None


def _words_like(word: str) -> list[str]:
    """Return words of the same look that no scheduler uses."""
    if word.isdigit():
        return ["9" * len(word), "97"]
    return ["ZQX"[: len(word)] if len(word) < 4 else "Z" * len(word), word[0] + "zqx", "zqx"[: len(word)]]


def _is_newly_unknown(before: Observation, now: Observation) -> bool:
    return before.state is not State.UNKNOWN and now.state is State.UNKNOWN and bool(now.native_state)


def finished_ids(subject: Subject) -> Outcome:
    """Ids that the scheduler no longer knows, or that ended, spoil no answer."""
    problems = []
    tried = False
    for backend, capture in subject.of("monitor", "result"):
        ended = [one for one, job in capture.jobs.items() if job.get("state") in {"succeeded", "failed", "killed"}]
        if "no_answer" in capture.expect or not (capture.absent or ended):
            continue
        tried = True
        if wrong := replay(backend, replace(capture, version=None)):
            problems.append(f"{capture.file}: {wrong[0]}")
    return outcome_of(problems) if tried else not_applicable("no capture asks about an unknown or a finished job")


def kill_finished(subject: Subject) -> Outcome:
    """To kill what has ended already is success."""
    done = [(backend, capture) for backend, capture in subject.of("kill") if "done" in capture.expect]
    if not any(capture.exit_code or capture.stdout.strip() or capture.stderr.strip() for _, capture in done):
        return not_applicable("no kill capture of a job that had ended")
    problems = [
        f"{capture.file}: {wrong[0]}"
        for backend, capture in done
        if (wrong := replay(backend, replace(capture, version=None)))
    ]
    return outcome_of(problems)


def find(subject: Subject) -> Outcome:
    """Find finds a job by its token."""
    if subject.backend.find is None:
        return not_applicable("the backend has no find")
    shown = [(backend, capture) for backend, capture in subject.of("find") if capture.expect.get("found")]
    if not shown:
        return not_applicable("no find capture shows a job")
    problems = [
        f"{capture.file}: {wrong[0]}"
        for backend, capture in shown
        if (wrong := replay(backend, replace(capture, version=None)))
    ]
    for backend, capture in shown:
        quoted = "".join(f"note: {row}\n" for row in _misleading_finds(backend, capture))
        for text in (quoted + capture.stdout, f"{capture.stdout.rstrip()}\n{quoted}"):
            came, _ = look(backend, replace(capture.completed, stdout=text), capture.asked)
            problems += [
                f"{capture.file}, with a line beside it that quotes one of its lines: {token} is taken for {job_id}"
                for token, job_id in came.items()
                if job_id != capture.expect["found"].get(token)
            ]
    return outcome_of(problems)


def find_answers(subject: Subject) -> Outcome:
    """What find cannot read is no answer: a job that is not found is handed over again."""
    shown = [
        (backend, capture)
        for backend, capture in subject.of("find")
        if capture.expect.get("found") and not replay(backend, replace(capture, version=None))
    ]
    if not shown:
        return not_applicable("no find capture shows a job")
    problems = []
    for backend, capture in shown:
        for what, answer in _hostile_finds(capture):
            came, is_complete = look(backend, answer, capture.asked)
            lost = [token for token in capture.expect["found"] if token not in came]
            if is_complete and lost:
                problems.append(f"{capture.file}: {what} is taken for a good answer in which {lost[0]} is not there")
        others = re.sub(rf"{OUR_MARK}[\w-]+", "nightly", capture.stdout)
        came, is_complete = look(backend, replace(capture.completed, stdout=others), capture.asked)
        if came or not (is_complete or _is_named_by_us(backend)):
            problems.append(f"{capture.file}: the jobs of others alone are no good answer: let find read every row")
    return outcome_of(list(dict.fromkeys(problems)))


def _is_named_by_us(backend: Backend) -> bool:
    """Whether a job's id is our token: then no other job fits."""
    return isinstance(backend.submit.job_id, re.Pattern) and OUR_MARK in backend.submit.job_id.pattern


def _hostile_finds(capture: Capture) -> Iterator[tuple[str, CompletedCommand]]:
    """What may come instead of the answer in *capture*, with the exit code 0."""
    completed = replace(capture.completed, exit_code=0, stderr="")
    lines = capture.stdout.rstrip("\n").splitlines(keepends=True)
    for what, text in _INSTEAD.items():
        yield what, replace(completed, stdout=text)
        yield f"{what} on standard error", replace(completed, stdout="", stderr=text)
    yield "an answer that breaks off", replace(completed, stdout="".join(lines)[: -len(lines[-1].strip()) // 2 or None])
    other = "".join(f"JOB<{re.sub(r'[^A-Za-z0-9-]+', '> <', line.strip())}>\n" for line in lines)
    yield "another form of rows", replace(completed, stdout=other)


_INSTEAD = {
    "an error text": "internal failure: the listing is not to be had at this time\n",
    "a page of HTML": "<!DOCTYPE html>\n<html><head><title>Sign in</title></head>\n<body>Sign in.</body></html>\n",
    "a sentence in another language": "Die Auftragsliste ist zur Zeit nicht verf\u00fcgbar.\n",
}


def _misleading_finds(backend: Backend, capture: Capture) -> list[str]:
    """The lines of an answer that show a token, each with another id."""
    found = capture.expect.get("found", {}).values()
    if backend.find is None or not isinstance(backend.find.grammar, Lines):
        return []
    return [
        line.replace(one, re.sub(r"\d", lambda digit: str((int(digit[0]) + 1) % 10), one), 1)
        for line in capture.stdout.splitlines()
        for one in found
        if one in line
    ]


# ---- errors ------------------------------------------------------------------------------------------------------


def errors(subject: Subject) -> Outcome:
    """What passes by itself is classed as transient, and no class hides the words of another."""
    problems = []
    for words, backend in subject.variants():
        declared = backend.document.get("errors", {})
        if not backend.errors.get("transient") and "transient" not in declared and not backend.limits.capacity:
            problems.append(f"no words are transient: a hiccup of the scheduler fails jobs{words}")
        for kind, patterns in (*backend.errors.items(), *backend.errors_otherwise.items()):
            problems += [problem + words for pattern in patterns for problem in _hidden(backend, kind, pattern)]
    for backend, capture in subject.of("submit", "monitor", "result", "find", "kill"):
        kind = next((capture.expect[key] for key in ("error", "no_answer", "refused") if key in capture.expect), "none")
        if kind not in {"none", "transient", "unreadable"} and classify(backend, capture.completed) == "transient":
            problems.append(f"the words in {capture.file} are {kind or 'of no class'}, and are taken as transient")
    if not problems and not subject.backend.errors:
        return not_applicable("there is no scheduler that could say no")
    return outcome_of(list(dict.fromkeys(problems)))


def _hidden(backend: Backend, kind: str, pattern: re.Pattern[str]) -> Iterator[str]:
    """Words that stand under *kind*, and that another class takes first."""
    if re.search(r"(?<!\\)[\[\](){}.*+?^$|]|\\[A-Za-z0-9]", pattern.pattern):
        return  # no plain words
    said = re.sub(r"\\(.)", r"\1", pattern.pattern)
    came = classify(backend, CompletedCommand(command="", exit_code=1, stdout="", stderr=said))
    if came != kind:
        yield f"{said!r} stands under {kind}, and is taken as {came}"


# ---- patterns ----------------------------------------------------------------------------------------------------

_MOST_S = 1.0
_LONG = 3000
_PATIENCE_S = 60
_TRY = """
import json, re, signal, sys
patterns, texts, most = json.load(sys.stdin)
class Slow(Exception): pass
def ring(*_): raise Slow
signal.signal(signal.SIGVTALRM, ring)
for index, (pattern, flags) in enumerate(patterns):
    compiled = re.compile(pattern, flags)
    try:
        for text in texts:
            signal.setitimer(signal.ITIMER_VIRTUAL, most)
            compiled.search(text)
    except Slow:
        print(index, flush=True)
signal.setitimer(signal.ITIMER_VIRTUAL, 0)
print("end")
"""


def patterns(subject: Subject) -> Outcome:
    """No pattern takes for ever on text that does not match."""
    named = list(dict.fromkeys((name, each) for _, backend in subject.variants() for name, each in _patterns(backend)))
    problems = [
        f"{name} can take for ever: a repeat inside a repeat" for name, each in named if can_take_for_ever(each.pattern)
    ]
    if problems:
        return outcome_of(problems)
    return outcome_of(
        [f"{name} takes longer than {_MOST_S:g} s on {_LONG} characters" for name in _slow(named, subject)]
    )


def _slow(named: Sequence[tuple[str, re.Pattern[str]]], subject: Subject) -> list[str]:
    """Try every pattern on long texts, in a process of its own: what hangs there, hangs nothing here."""
    given = json.dumps([[(each.pattern, each.flags) for _, each in named], _long_texts(subject), _MOST_S])
    command = [sys.executable, "-I", "-c", _TRY]
    try:
        tried = subprocess.run(command, input=given.encode(), capture_output=True, timeout=_PATIENCE_S, check=False)
    except subprocess.TimeoutExpired as error:
        lines = (error.stdout or b"").decode().split()
    else:
        lines = tried.stdout.decode().split()
    slow = [named[int(line)][0] for line in lines if line.isdigit()]
    return slow if slow or "end" in lines else ["one of the patterns"]


def _long_texts(subject: Subject) -> list[str]:
    shapes = [
        "a",
        "A",
        "0",
        " ",
        "|",
        ":",
        "-",
        "_",
        ".",
        "=",
        "\t",
        ",",
        "a ",
        "0.",
        "a|",
        "1:",
        "a=",
        "a, ",
        "\n",
        "a\n",
    ]
    lines = {max(capture.stdout.splitlines() or [""], key=len) for capture in subject.captures}
    shapes += sorted(line for line in lines if line.strip())[:20]
    return [(shape * (_LONG // len(shape) + 1))[:_LONG] + "\x01!" for shape in shapes]


def _patterns(backend: Backend) -> Iterator[tuple[str, re.Pattern[str]]]:
    if isinstance(backend.submit.job_id, re.Pattern):
        yield "submit.job_id", backend.submit.job_id
    for key, spec in (("monitor", backend.monitor), ("result", backend.result), ("find", backend.find)):
        grammar = spec.grammar if spec else None
        if isinstance(grammar, Lines):
            yield f"{key}.row", grammar.pattern
        if isinstance(grammar, Records):
            yield f"{key}.record", grammar.begin
            yield from ((f"{key}.fields.{name}", each) for name, each in grammar.fields.items())
    for key in ("states", "reasons"):
        maps = [getattr(spec, key) for spec in (backend.monitor, backend.result) if spec]
        yield from ((f"{key}: {one.pattern}", one) for words in maps for one, _ in words.patterns)
    for kind, each in (*backend.errors.items(), *((f"otherwise.{k}", e) for k, e in backend.errors_otherwise.items())):
        yield from ((f"errors.{kind}[{index}]", one) for index, one in enumerate(each))
    if backend.version_pattern:
        yield "version.pattern", backend.version_pattern
