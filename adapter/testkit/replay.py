"""Replaying a capture: the answer goes through everything that an answer of a real scheduler goes through."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from adapter.core.answers import classify, is_no_answer, parse_job_id, parse_query
from adapter.core.backend import for_version
from adapter.core.job import Job
from adapter.core.lifecycle import Evidence, Patience, advance
from adapter.core.specs import LogSpec
from adapter.core.state import State
from adapter.core.task import Step, Task
from adapter.core.watching import job_ids_told
from adapter.errors import OutputError
from adapter.execution.scheduler_client import SchedulerClient
from adapter.transports.scripted import ScriptedTransport

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adapter.core.answers import Observation
    from adapter.core.backend import Backend
    from adapter.core.batch import Command
    from adapter.core.specs import CommandSpec
    from adapter.results import CompletedCommand
    from adapter.testkit.capture import Capture

WORKSPACE = "/adapter-workspace"
NO_WORDS = "words of no class"
ONE_TASK = Task(steps=(Step(argv=("true",)),))
_LONG_AFTER_S = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Job):
    """A job that carries the mark which a capture names, whatever it looks like."""

    mark: str

    @property
    def token(self) -> str:
        """The mark."""
        return self.mark


def player(answer: CompletedCommand) -> ScriptedTransport:
    """Return a machine on which every command gives *answer*; a page after the first is empty."""
    said: list[Command] = []

    def answered(command: Command) -> CompletedCommand:
        said.append(command)
        return answer if len(said) == 1 else replace(answer, stdout="")

    return ScriptedTransport(answered)


def asked_jobs(ids: Sequence[str], *, are_tokens: bool = False) -> list[Job]:
    """Return running jobs of those *ids*, or jobs without an id that carry them as their tokens."""
    return [
        Asked(
            run="replay",
            index=index,
            task=ONE_TASK,
            state=State.WAITING if are_tokens else State.RUNNING,
            submit_began=True,
            job_id=None if are_tokens else one,
            mark=one if are_tokens else f"adapter-replay-{index}-1",
            directory=f"{WORKSPACE}/replay/{index:04d}-task",
        )
        for index, one in enumerate(ids, 1)
    ]


def poll(backend: Backend, answer: CompletedCommand, ids: Sequence[str]) -> dict[str, Evidence]:
    """Return what the executor takes from *answer* to its monitor command, by job id."""
    jobs = asked_jobs(ids)
    client = _client(backend, answer)
    polled = asyncio.run(client.poll(jobs))
    return {job.job_id or "": polled.evidence[job.key] for job in jobs}


def look(backend: Backend, answer: CompletedCommand, tokens: Sequence[str]) -> tuple[dict[str, str], bool]:
    """Return what the executor takes from *answer* to its find command: ids by token, and whether there is no other."""
    jobs = asked_jobs(tokens, are_tokens=True)
    came, is_complete = asyncio.run(_client(backend, answer).find(jobs))
    return {job.token: came[job.key] for job in jobs if job.key in came}, is_complete


def results(backend: Backend, answer: CompletedCommand, ids: Sequence[str]) -> dict[str, Observation]:
    """Return what the executor takes from *answer* to its result command, by job id."""
    jobs = asked_jobs(ids)
    found = asyncio.run(_client(backend, answer).results(jobs))
    return {job.job_id or "": found[job.key] for job in jobs if job.key in found}


def _client(backend: Backend, answer: CompletedCommand) -> SchedulerClient:
    client = SchedulerClient(backend, player(answer))
    client.workspace = WORKSPACE
    return client


def verdict(seen: Observation, *, by_result: bool = False) -> tuple[State, Any]:
    """Return the state and reason of a job of which nothing but *seen* is known, long enough after."""
    if not seen.state.is_final or seen.stuck:
        return seen.state, seen.reason
    evidence = Evidence(answered=True, observation=None if by_result else seen, result=seen if by_result else None)
    job = Job(run="replay", index=1, task=ONE_TASK, state=State.RUNNING, job_id=seen.job_id, left_since=1.0)
    after = advance(job, evidence, _LONG_AFTER_S, Patience())
    return after.state, after.reason


def backend_for(backend: Backend, capture: Capture) -> Backend:
    """Return *backend* as it is for the scheduler's version that *capture* names."""
    return for_version(backend, capture.version) if capture.version else backend


def replay(backend: Backend, capture: Capture) -> list[str]:
    """Return every difference between what *capture* expects and what comes: an empty list where it fits."""
    return _REPLAYS[capture.action](backend_for(backend, capture), capture)


def _differs(what: str, expected: object, came: object) -> str:
    return f"{what}: expected {_said(expected)}, came {_said(came)}"


def _said(value: object) -> str:
    return "none" if value is None else str(value) if isinstance(value, State | int | float) else repr(value)


def _class(kind: str | None) -> str:
    return kind or NO_WORDS


def _submit(backend: Backend, capture: Capture) -> list[str]:
    """As the submitter reads it: the exit code decides whether it was accepted, the words why it was not."""
    completed = capture.completed
    if completed.exit_code == 0:
        try:
            came = f"job id {parse_job_id(backend.submit.job_id, completed)!r}"
        except OutputError as error:
            came = f"unreadable ({error})"
    else:
        came = f"a refusal: {_class(classify(backend, completed))}"
    if "job_id" in capture.expect:
        expected = f"job id {capture.expect['job_id']!r}"
    elif capture.expect["error"] == "unreadable":
        expected = "unreadable"
    else:
        expected = f"a refusal: {_class(capture.expect['error'])}"
    same = came == expected or (expected == "unreadable" and came.startswith("unreadable ("))
    return [] if same else [f"submit: expected {expected}, came {came}"]


def _too_many(spec: CommandSpec, capture: Capture) -> list[str]:
    """A capture is one answer of one command: it cannot be about two jobs where each is asked about alone."""
    if {"job_id", "job_directory"} & spec.variables and len(capture.asked) > 1:
        return [f"the {capture.action} command is about one job at a time, and `asked` names {len(capture.asked)}"]
    return []


def _monitor(backend: Backend, capture: Capture) -> list[str]:
    spec = backend.monitor
    if wrong := _too_many(spec, capture):
        return wrong
    evidence = poll(backend, capture.completed, capture.asked)
    found = []
    for one in capture.asked:
        seen = evidence[one].observation
        if one in capture.jobs:
            found += _job(one, capture.jobs[one], seen, by_result=False)
        elif seen is not None:
            found.append(f"{one}: expected nothing of it, came {seen.native_state!r}, which is {seen.state}")
        elif one in capture.absent and not evidence[one].answered:
            found.append(
                f"{one}: expected a good answer that does not show it, came {_why_no_answer(backend, capture)}"
            )
        elif "no_answer" in capture.expect and evidence[one].answered:
            found.append(f"{one}: expected no answer, came a good answer that does not show it")
    return [*found, *_no_answer_class(backend, capture), *_unreadable(backend, capture)]


def _result(backend: Backend, capture: Capture) -> list[str]:
    spec = backend.result
    if spec is None:
        return ["the backend has no `result`"]
    if wrong := _too_many(spec, capture):
        return wrong
    known = results(backend, capture.completed, capture.asked)
    found = []
    for one in capture.asked:
        if one in capture.jobs:
            found += _job(one, capture.jobs[one], known.get(one), by_result=True)
        elif one in known:
            found.append(f"{one}: expected nothing of it, came {known[one].native_state!r}")
    answer = parse_query(spec, backend, capture.completed, capture.asked)
    is_good = answer is not None and not is_no_answer(spec, backend, capture.completed)
    if capture.absent and not is_good:
        found.append(f"expected a good answer, came {_why_no_answer(backend, capture)}")
    if "no_answer" in capture.expect and is_good:
        found.append("expected no answer, came a good one")
    return [*found, *_no_answer_class(backend, capture), *_unreadable(backend, capture)]


def _why_no_answer(backend: Backend, capture: Capture) -> str:
    kind = classify(backend, capture.completed)
    if kind is None and capture.exit_code == 0:
        return "no answer (nothing in it is a row, and its lines were not seen beside rows: they may be jobs)"
    return f"no answer ({_class(kind)})"


def _no_answer_class(backend: Backend, capture: Capture) -> list[str]:
    if "no_answer" not in capture.expect:
        return []
    expected, came = capture.expect["no_answer"], classify(backend, capture.completed)
    return [] if expected == came else [f"no answer: expected {_class(expected)}, came {_class(came)}"]


def _unreadable(backend: Backend, capture: Capture) -> list[str]:
    spec = getattr(backend, capture.action)
    expected = capture.expect.get("unreadable")
    answer = parse_query(spec, backend, capture.completed, capture.asked)
    if expected is None or answer is None or len(answer.unreadable) == expected:
        return []
    return [f"unreadable: expected {expected}, came {len(answer.unreadable)}: {list(answer.unreadable)[:3]}"]


def _job(job_id: str, expected: Mapping[str, Any], seen: Observation | None, *, by_result: bool) -> list[str]:
    if seen is None:
        return [f"{job_id}: expected {expected.get('state', 'it')}, came nothing about it"]
    state, reason = verdict(seen, by_result=by_result)
    came = {
        "state": state,
        "native_state": seen.native_state,
        "native_reason": seen.native_reason,
        "exit_code": seen.exit_code,
        "signal": seen.signal,
        "stuck": seen.stuck,
        "message": getattr(seen, "message", ""),
        **{name: getattr(seen.usage, name) for name in ("wall_s", "cpu_s", "user_s", "system_s", "peak_ram_bytes")},
    }
    found = [
        _differs(f"{job_id}: {key}", State(value) if key == "state" else value, came[key])
        for key, value in expected.items()
        if key != "reason" and came[key] != value
    ]
    if "reason" in expected and expected["reason"] not in (seen.reason, reason):
        found.append(_differs(f"{job_id}: reason", expected["reason"], reason and str(reason)))
    return found


def _find(backend: Backend, capture: Capture) -> list[str]:
    if backend.find is None:
        return ["the backend has no `find`"]
    came, is_complete = look(backend, capture.completed, capture.asked)
    expected = capture.expect.get("found", {})
    found = [
        _differs(token, expected.get(token), came.get(token))
        for token in capture.asked
        if expected.get(token) != came.get(token)
    ]
    if "no_answer" in capture.expect and is_complete:
        found.append("expected no answer, came a good one")
    if "no_answer" not in capture.expect and not is_complete:
        found.append(f"expected a good answer, came {_why_no_answer(backend, capture)}")
    return [*found, *_no_answer_class(backend, capture)]


def _kill(backend: Backend, capture: Capture) -> list[str]:
    if wrong := _too_many(backend.kill, capture):
        return wrong
    jobs = asked_jobs(capture.asked)
    said = asyncio.run(_client(backend, capture.completed).kill(jobs))
    # A job that is gone needs no kill: the capture calls it done. The poller looks whether that is true.
    refused = [answer for answer in said.values() if answer is not None and classify(backend, answer) != "gone"]
    came = f"refused: {_class(classify(backend, refused[0]))}" if refused else "done"
    expected = "done" if "done" in capture.expect else f"refused: {_class(capture.expect['refused'])}"
    return [] if came == expected else [f"kill: expected {expected}, came {came}"]


def _version(backend: Backend, capture: Capture) -> list[str]:
    pattern = backend.version_pattern
    if pattern is None:
        return ["the backend has no `version`"]
    match = pattern.search(capture.stdout + capture.stderr)
    came = match["version"] if match else None
    return [] if came == capture.expect["version"] else [_differs("version", capture.expect["version"], came)]


def _log(backend: Backend, capture: Capture) -> list[str]:
    stream, expected = next(iter(capture.expect.items()))
    spec = backend.logs.get(stream)
    if not isinstance(spec, LogSpec):
        return [f"logs.{stream} is no command: there is no answer to read"]
    came = asyncio.run(_client(backend, capture.completed).print_log(spec, asked_jobs(capture.asked or ("1",))[0]))
    return [] if came == expected else [_differs(f"logs.{stream}", expected, came)]


def _watch(backend: Backend, capture: Capture) -> list[str]:
    if backend.watch is None:
        return ["the backend has no `watch`"]
    expected, came = set(capture.expect["told"]), set(job_ids_told(backend.watch, capture.stdout))
    return [] if came == expected else [_differs("watch", sorted(expected), sorted(came))]


def _words(backend: Backend, capture: Capture) -> list[str]:
    found = []
    for expected, messages in capture.expect.items():
        for message in messages:
            came = classify(backend, replace(capture.completed, stdout="", stderr=message)) or "none"
            if came != expected:
                found.append(f"{message!r}: expected {expected}, came {came}")
    return found


_REPLAYS = {
    "submit": _submit,
    "monitor": _monitor,
    "result": _result,
    "find": _find,
    "watch": _watch,
    "kill": _kill,
    "version": _version,
    "log": _log,
    "words": _words,
}
