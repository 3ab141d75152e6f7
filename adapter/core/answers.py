"""What schedulers answer, read by the patterns of a backend file. One unreadable line disturbs no other."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from adapter.core import bounds, units
from adapter.core.exit_file import signal_in
from adapter.core.grammars import JsonRows, Row, Rows
from adapter.core.job import OUR_MARK, Usage
from adapter.core.job_id import whole_id
from adapter.core.specs import GONE, parse_state_word
from adapter.core.state import Reason, State
from adapter.errors import AmbiguousJobId, JobIdNotFound
from adapter.results import CompletedCommand

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from adapter.core.backend import Backend
    from adapter.core.specs import QuerySpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one answer said about one job. ``exit_code`` and ``signal`` are ``None`` where it did not say.

    ``message`` is what the scheduler says to a person.
    ``stuck`` marks a job that the scheduler still holds and that can never start: it has to be killed.
    """

    job_id: str
    state: State
    reason: Reason | None = None
    native_state: str = ""
    native_reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    usage: Usage = Usage()
    stuck: bool = False
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One good answer: what it said of each job, and which lines nobody could read (noise, usually).

    ``next`` names the page that follows, ``None`` after the last one.
    """

    observations: Mapping[str, Observation]
    unreadable: tuple[str, ...] = ()
    next: str | None = None


MOST_SUBMIT_LETTERS = 1 << 16
MOST_MESSAGE_LETTERS = 2000


def parse_job_id(pattern: re.Pattern[str] | JsonRows, completed: CompletedCommand) -> str:
    """Return the job id in the answer of a submit command: standard output is read first, then standard error.

    Raises:
        JobIdNotFound: there is none.
        AmbiguousJobId: there are two different ones.
    """
    for text in (completed.stdout, completed.stderr):
        found = list(dict.fromkeys(_job_ids(pattern, text)))
        if len(found) > 1:
            raise AmbiguousJobId(f"the submit answer holds two job ids, {found[0]} and {found[1]}", completed=completed)
        if found:
            return found[0]
    said = completed.words or "nothing"
    raise JobIdNotFound(f"the submit answer holds no job id; it said: {said}", completed=completed)


def _job_ids(pattern: re.Pattern[str] | JsonRows, text: str) -> list[str]:
    if isinstance(pattern, JsonRows):
        answer = pattern.read(text)
        return [whole_id(row) for row in answer.rows] if answer else []
    if len(text) > MOST_SUBMIT_LETTERS:
        return []
    found = (bounds.job_id(whole_id(match.groupdict())) for match in pattern.finditer(text))
    return [job_id for job_id in found if job_id]


def classify(backend: Backend, completed: CompletedCommand) -> str | None:
    """Return the error class (``transient``, ...) of what *completed* printed; ``None`` for no known words.

    Words that name a cause decide, wherever they stand; only without any, the sentence that is said around every cause.
    """
    text = completed.stdout + "\n" + completed.stderr
    for classes in (backend.errors, backend.errors_otherwise):
        for kind, patterns in classes.items():
            if any(pattern.search(text) for pattern in patterns):
                return kind
    return None


def parse_query(spec: QuerySpec, backend: Backend, completed: CompletedCommand, asked: Iterable[str]) -> Answer | None:
    """Return what *completed* says of the jobs *asked* about; ``None`` if it is no answer at all.

    The exit code alone decides nothing (unknown ids are answered differently everywhere): standard output is read
    first, then what standard error says is classed. A failure without known words and without a row is no answer.
    """
    asked = list(asked)
    if spec.exit_codes:
        return _by_exit_code(spec, completed, asked)
    answer = parse_rows(spec, completed.stdout)
    if answer is None or completed.exit_code == 0:
        return answer
    return answer if answer.observations or classify(backend, completed) == "gone" else None


def is_no_answer(spec: QuerySpec, backend: Backend, completed: CompletedCommand) -> bool:
    """Whether what *completed* printed on standard error says that the rows, if any, are not to be trusted."""
    return not spec.exit_codes and classify(backend, replace(completed, stdout="")) in {"transient", "auth"}


def words_beside(spec: QuerySpec, backend: Backend, answer: Answer, completed: CompletedCommand) -> tuple[str, ...]:
    """Return what stands beside the rows of *answer*: without rows, any of it may be why there are none.

    These are the unreadable lines, and where jobs are asked about by their ids, the lines of standard error that do not
    say that a job is gone: an empty answer with words beside it is none.
    """
    if spec.exit_codes or not (spec.takes_many or spec.takes_one):
        return answer.unreadable
    return (*answer.unreadable, *_unexplained(backend, completed.stderr))


def is_noise(line: str, noise: Collection[str]) -> bool:
    """Whether the like of *line* is in *noise*, and it does not hold a mark of ours."""
    return bounds.likeness(line) in noise and OUR_MARK not in line


def _unexplained(backend: Backend, stderr: str) -> list[str]:
    """Return the lines of *stderr* that do not say that something is gone."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    return [
        line
        for line in lines
        if classify(backend, CompletedCommand(command="", exit_code=0, stdout="", stderr=line)) != "gone"
    ]


def names(line: str, job_id: str) -> bool:
    """Whether *line* holds *job_id* as a word, or as the first part of a longer name (``7`` in ``7.server``)."""
    return re.search(rf"(?<![\w.]){re.escape(job_id)}(?!\w)", line) is not None


def _by_exit_code(spec: QuerySpec, completed: CompletedCommand, asked: list[str]) -> Answer | None:
    word = spec.exit_codes.get(completed.exit_code)
    if word is None:
        return None
    if word == GONE:
        return Answer(observations={})
    state, reason = parse_state_word(word)
    native = str(completed.exit_code)
    return Answer(
        observations={i: Observation(job_id=i, state=state, reason=reason, native_state=native) for i in asked}
    )


def parse_rows(spec: QuerySpec, stdout: str) -> Answer | None:
    """Return the jobs in *stdout*, ``None`` if it is no answer. A second row for a job adds what the first lacks."""
    read = spec.grammar.read(stdout) if spec.grammar else Rows(unreadable=tuple(filter(str.strip, stdout.splitlines())))
    if read is None:
        return None
    observations: dict[str, Observation] = {}
    for row in read.rows:
        seen = _observation(spec, row)
        earlier = observations.get(seen.job_id)
        observations[seen.job_id] = seen if earlier is None else _joined(earlier, seen)
    return Answer(observations=observations, unreadable=read.unreadable, next=read.next)


def parse_tokens(
    spec: QuerySpec,
    backend: Backend,
    completed: CompletedCommand,
    *,
    wanted: Collection[str] = (),
    noise: Collection[str] = (),
) -> tuple[dict[str, list[str]], str | None] | None:
    """Return the job ids by token that ``find`` was told, and the next page; ``None`` if *completed* is no answer.

    A token has several ids where a job was submitted more than once. A job that is not found is submitted again, so an
    answer has to be whole. It is none from a command that failed, even with rows; with words of a class that distrusts
    them; with nothing but words that nobody can read; and where a row may be among what cannot be read, or the token
    of one of those *wanted* is cut, or stands in no row. *noise* are likenesses of lines that say nothing: they were
    seen beside good answers before.
    """
    read = spec.grammar.read(completed.stdout) if spec.grammar else None
    if read is None or is_no_answer(spec, backend, completed):
        return None
    if completed.exit_code != 0 and classify(backend, completed) != "gone":
        return None
    unreadable = [line for line in read.unreadable if not is_noise(line, noise)]
    if not read.rows:
        beside = [] if completed.stdout.strip() else _unexplained(backend, completed.stderr)
        if unreadable or not all(is_noise(line, noise) for line in beside):
            return None
    if any(OUR_MARK in line for line in unreadable) or _breaks_off(spec, completed.stdout):
        return None
    found = _ids_by_token(read.rows, wanted)
    if found is None or any(_stands_in(token, completed.stdout) for token in wanted if token not in found):
        return None
    return found, read.next


def _stands_in(token: str, text: str) -> bool:
    return re.search(rf"{re.escape(token)}(?!\d)", text) is not None


def _ids_by_token(rows: Iterable[Row], wanted: Collection[str]) -> dict[str, list[str]] | None:
    """Return the job ids in *rows* by token; ``None`` if a row of ours is damaged."""
    found: dict[str, list[str]] = {}
    for row in rows:
        token, job_id = (row.get("token") or "").strip(), bounds.job_id(whole_id(row))
        if _is_cut(token, wanted) or (job_id is None and token.startswith(OUR_MARK)):
            return None
        if token and job_id is not None:
            found.setdefault(token, []).append(job_id)
    return found


def _breaks_off(spec: QuerySpec, stdout: str) -> bool:
    """Whether the last line of *stdout* has no end: more may have followed it. JSON says itself where it ends."""
    return not isinstance(spec.grammar, JsonRows) and bool(stdout.strip()) and not stdout.endswith("\n")


def _is_cut(text: str, wanted: Collection[str]) -> bool:
    """Whether *text* is the beginning of a token: listings cut names that are too long for their column."""
    if not text.startswith(OUR_MARK) or re.fullmatch(r".*-\d+-\d+", text):
        return False
    return any(token.startswith(text) for token in wanted)


def _joined(first: Observation, later: Observation) -> Observation:
    peaks = [usage.peak_ram_bytes for usage in (first.usage, later.usage) if usage.peak_ram_bytes is not None]
    usage = replace(first.usage.or_else(later.usage), peak_ram_bytes=max(peaks, default=None))
    return replace(first, usage=usage)


def _observation(spec: QuerySpec, groups: Mapping[str, str | None]) -> Observation:
    native_state, native_reason, message = (
        (groups.get(name) or "").strip()[:MOST_MESSAGE_LETTERS] for name in ("state", "reason", "message")
    )
    state, reason = spec.states.meaning(native_state) or (State.UNKNOWN, None)
    stuck = False
    if not state.is_final and (meaning := spec.reasons.meaning(native_reason)):
        state, reason = meaning
        stuck = state.is_final
    said = groups.get("exit_code"), groups.get("signal")
    exit_code, signal = decode_exit_code(spec.exit_code_decode, *said)
    if exit_code is not None and exit_code in spec.exit_code_reasons:
        reason = spec.exit_code_reasons[exit_code]
    elif exit_code not in _EXIT_CODES and any(letter.isdigit() for text in said for letter in text or ""):
        exit_code = signal = None  # it says one that cannot be: who knows what of the row is true
        if state is State.SUCCEEDED:
            state, native_state = State.UNKNOWN, f"{native_state} with an exit code that is none"
    return Observation(
        job_id=(groups["job_id"] or "").strip(),
        state=state,
        reason=reason,
        native_state=native_state,
        native_reason=native_reason,
        exit_code=exit_code if exit_code in _EXIT_CODES else None,
        signal=signal,
        usage=Usage(
            wall_s=_duration(groups.get("wall")),
            cpu_s=_duration(groups.get("cpu")),
            user_s=_duration(groups.get("user_cpu")),
            system_s=_duration(groups.get("system_cpu")),
            peak_ram_bytes=_memory(groups.get("peak_ram")),
        ),
        stuck=stuck,
        message=message,
    )


_EXIT_CODES = range(256)


def decode_exit_code(decode: str, code: str | None, signal: str | None) -> tuple[int | None, int | None]:
    """Return exit code and signal (each ``None`` if not said) in a scheduler's words.

    ``plain``: as it stands. ``code_signal``: ``3:0``. ``wait_status``: the raw status of wait(2). ``plus_128`` and
    ``plus_256``: a larger number is a signal. A death by signal n has the exit code 128+n, as a shell gives it.

    >>> decode_exit_code("wait_status", "768", None), decode_exit_code("plus_256", "271", None)
    ((3, None), (143, 15))
    """
    if code is not None and decode == "code_signal":
        code, _, signal = code.partition(":")
    killed_by = bounds.whole(signal) or 0
    stripped = (code or "").strip()
    number = bounds.whole(stripped.removeprefix("-"))
    if number is None:
        return _by_signal(killed_by)
    if stripped.startswith("-"):
        number = -number
    if decode == "wait_status":
        number, killed_by = number >> 8, number & 0x7F
    elif decode == "plus_256" and number > 256:
        number, killed_by = 0, number - 256
    elif decode == "plus_128":
        return number, signal_in(number)
    return _by_signal(killed_by) if killed_by else (number, signal_in(number))


def _by_signal(number: int) -> tuple[int | None, int | None]:
    """Return exit code and signal of a death by signal *number*; beyond 64 there is none, though some say 125."""
    return (128 + number, number) if 0 < number <= 64 else (None, None)


_CLOCK = re.compile(
    r"^(?:(?P<days>[0-9]{1,9})-)?(?:(?P<hours>[0-9]{1,9}):)?"
    r"(?P<minutes>[0-9]{1,9}):(?P<seconds>[0-9]{1,9}(?:\.[0-9]+)?)$"
)


def _duration(text: str | None) -> float | None:
    """Return the seconds in ``[[D-]HH:]MM:SS[.mmm]``, a plain number, or between two RFC 3339 times, ``FROM/TO``."""
    if text is None:
        return None
    if "T" in text and "/" in text:
        began, _, ended = text.partition("/")
        try:
            return max(0.0, (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds())
        except (ValueError, TypeError, OverflowError):
            return None
    if match := _CLOCK.match(text.strip()):
        part = {name: float(value or 0) for name, value in match.groupdict().items()}
        return _possible(((part["days"] * 24 + part["hours"]) * 60 + part["minutes"]) * 60 + part["seconds"])
    try:
        return _possible(float(text))
    except ValueError:
        return None


def _possible(seconds: float) -> float | None:
    return seconds if 0 <= seconds < _NOBODY_WAITS_S else None  # neither are inf and nan


_NOBODY_WAITS_S = 1e12


def _memory(text: str | None) -> int | None:
    if text is None or not text.strip():
        return None
    try:
        count = bounds.whole(text)
        return units.parse_bytes(text) if count is None else count
    except ValueError:
        return None
