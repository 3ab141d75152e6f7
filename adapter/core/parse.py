"""What schedulers answer, read by the patterns of a backend file. One unreadable line disturbs no other."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from adapter.core import units
from adapter.core.exit_file import signal_in
from adapter.core.job import Usage
from adapter.core.job_id import whole_id
from adapter.core.rows import JsonRows, Rows
from adapter.core.specs import GONE, parse_state_word
from adapter.core.state import Reason, State
from adapter.errors import AmbiguousJobId, JobIdNotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from adapter.core.backend import Backend
    from adapter.core.specs import QuerySpec
    from adapter.errors import CompletedCommand


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
    return [whole_id(match.groupdict()) for match in pattern.finditer(text)]


def classify(backend: Backend, completed: CompletedCommand) -> str | None:
    """Return the error class (``transient``, ...) of what *completed* printed; ``None`` for no known words."""
    text = completed.stdout + "\n" + completed.stderr
    for kind, patterns in backend.errors.items():
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
    spec: QuerySpec, backend: Backend, completed: CompletedCommand
) -> tuple[dict[str, list[str]], str | None] | None:
    """Return the job ids by token that ``find`` was told, and the next page; ``None`` if *completed* is no answer.

    A token has several ids where a job was handed over more than once.
    A command that failed may have shown only some of the jobs: it is no answer, even with rows.
    """
    read = spec.grammar.read(completed.stdout) if spec.grammar else None
    if read is None or (completed.exit_code != 0 and classify(backend, completed) != "gone"):
        return None
    found: dict[str, list[str]] = {}
    for row in read.rows:
        if token := (row.get("token") or "").strip():
            found.setdefault(token, []).append(whole_id(row))
    return found, read.next


def _joined(first: Observation, later: Observation) -> Observation:
    peaks = [usage.peak_ram_bytes for usage in (first.usage, later.usage) if usage.peak_ram_bytes is not None]
    usage = replace(first.usage.or_else(later.usage), peak_ram_bytes=max(peaks, default=None))
    return replace(first, usage=usage)


def _observation(spec: QuerySpec, groups: Mapping[str, str | None]) -> Observation:
    native_state, native_reason = (groups.get("state") or "").strip(), (groups.get("reason") or "").strip()
    state, reason = spec.states.get(native_state, (State.UNKNOWN, None))
    stuck = False
    if not state.is_final and native_reason in spec.reasons:
        state, reason = spec.reasons[native_reason]
        stuck = state.is_final
    exit_code, signal = decode_exit_code(spec.exit_code_decode, groups.get("exit_code"), groups.get("signal"))
    if exit_code is not None and exit_code in spec.exit_code_reasons:
        reason = spec.exit_code_reasons[exit_code]
    return Observation(
        job_id=(groups["job_id"] or "").strip(),
        state=state,
        reason=reason,
        native_state=native_state,
        native_reason=native_reason,
        exit_code=exit_code if exit_code is None or exit_code >= 0 else None,
        signal=signal,
        usage=Usage(
            wall_s=_duration(groups.get("wall")),
            cpu_s=_duration(groups.get("cpu")),
            user_s=_duration(groups.get("user_cpu")),
            system_s=_duration(groups.get("system_cpu")),
            peak_ram_bytes=_memory(groups.get("peak_ram")),
        ),
        stuck=stuck,
        message=(groups.get("message") or "").strip(),
    )


def decode_exit_code(decode: str, code: str | None, signal: str | None) -> tuple[int | None, int | None]:
    """Return exit code and signal (each ``None`` if not said) in a scheduler's words.

    ``plain``: as it stands. ``code_signal``: ``3:0``. ``wait_status``: the raw status of wait(2). ``plus_128`` and
    ``plus_256``: a larger number is a signal. A death by signal n has the exit code 128+n, as a shell gives it.

    >>> decode_exit_code("wait_status", "768", None), decode_exit_code("plus_256", "271", None)
    ((3, None), (143, 15))
    """
    if code is not None and decode == "code_signal":
        code, _, signal = code.partition(":")
    killed_by = int(signal) if signal and signal.strip().isdigit() else 0
    if code is None or not re.fullmatch(r"-?\d+", code.strip()):
        return (128 + killed_by, killed_by) if killed_by else (None, None)
    number = int(code)
    if decode == "wait_status":
        number, killed_by = number >> 8, number & 0x7F
    elif decode == "plus_256" and number > 256:
        number, killed_by = 0, number - 256
    elif decode == "plus_128":
        return number, signal_in(number)
    return (128 + killed_by, killed_by) if killed_by else (number, signal_in(number))


_CLOCK = re.compile(r"^(?:(?P<days>\d+)-)?(?:(?P<hours>\d+):)?(?P<minutes>\d+):(?P<seconds>\d+(?:\.\d+)?)$")


def _duration(text: str | None) -> float | None:
    """Return the seconds in ``[[D-]HH:]MM:SS[.mmm]``, a plain number, or between two RFC 3339 times, ``FROM/TO``."""
    if text is None:
        return None
    if "T" in text and "/" in text:
        began, _, ended = text.partition("/")
        try:
            return max(0.0, (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds())
        except (ValueError, TypeError):
            return None
    if match := _CLOCK.match(text.strip()):
        part = {name: float(value or 0) for name, value in match.groupdict().items()}
        return ((part["days"] * 24 + part["hours"]) * 60 + part["minutes"]) * 60 + part["seconds"]
    try:
        return float(text)
    except ValueError:
        return None


def _memory(text: str | None) -> int | None:
    if text is None or not text.strip():
        return None
    try:
        return int(text) if text.strip().isdigit() else units.parse_bytes(text)
    except ValueError:
        return None
