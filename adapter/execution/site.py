"""One backend over one transport: render, run, parse. Every method is one ``run``; no state, no waiting."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapter.core.backend import for_version
from adapter.core.frame import began, frame, unframe
from adapter.core.lifecycle import Evidence
from adapter.core.parse import Answer, Observation, classify, is_no_answer, parse_query
from adapter.core.receipt import probe_step, read_probe, receipt_step, submit_step
from adapter.core.render import expand_workspace, render_command, render_job
from adapter.core.template import quote
from adapter.errors import CommandError, CompletedCommand, ConnectError, MonitorError, OutcomeUnknown, TransportError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adapter.core.backend import Backend, CommandSpec, QuerySpec
    from adapter.core.job import Job
    from adapter.core.receipt import Probe
    from adapter.transports.base import Download, Transport, Upload

SUBMITS_BEGIN_WITHIN_S = 30.0  # for a batch of a hundred or fewer; a larger one has as much for each of its jobs


@dataclass(frozen=True, slots=True)
class StepAnswer:
    """What became of one command in a batch: its answer, ``None`` if there is none; ``began``: it was reached."""

    completed: CompletedCommand | None
    began: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """What one poll brought: evidence by job key, and for a person the unreadable lines and what went wrong."""

    evidence: Mapping[str, Evidence]
    probes: Mapping[str, Probe]
    unreadable: tuple[str, ...] = ()
    problem: CompletedCommand | None = None


class Site:
    """One backend over one transport."""

    def __init__(self, backend: Backend, transport: Transport) -> None:
        """Nothing is asked yet; :meth:`prepare` comes first."""
        self.backend = backend
        self.transport = transport
        self.workspace = ""
        self.capacity: dict[str, float] = {}
        self._prelude = ""
        self._result_is_off = False
        self._noise: set[str] = set()

    async def prepare(self) -> None:
        """Make the workspace on the target and learn what has to be known of it; one ``run``.

        Raises:
            TransportError: the target cannot be asked, or the workspace cannot be made.
        """
        commands = [_prepare_step(self.backend)]
        if self.backend.version_command:
            commands.append(self.backend.version_command.render(self.backend.values))
        answers = await self._run(commands, timeout_s=60)
        made = answers[0].completed
        if made is None:  # lost on its way: to make it again does no harm
            raise ConnectError(f"backend {self.backend.name}: the answer about the workspace was lost")
        if made.exit_code != 0:
            raise TransportError(
                f"cannot use the workspace {self.backend.workspace} of backend {self.backend.name}: {made.words}"
            )
        lines = made.stdout.strip().splitlines()
        if missing := [line.removeprefix("missing ") for line in lines if line.startswith("missing ")]:
            raise CommandError(
                f"backend {self.backend.name} needs {', '.join(missing)}, not found where its commands run; "
                "load it, or give its path under `programs` in the backend file",
                completed=made,
            )
        self.workspace = lines[0]
        machine = {name: float(value) for name, value in (line.split() for line in lines[1:])}
        capacity = self.backend.limits.capacity
        self.capacity = {name: machine[name] if value is None else value for name, value in capacity.items()}
        if self.backend.programs:
            self._prelude = f"PATH={quote(self.workspace + '/.programs')}:$PATH; export PATH\n"
        if len(commands) > 1 and self.backend.version_pattern and answers[1].completed:
            said = answers[1].completed
            if match := self.backend.version_pattern.search(said.stdout + said.stderr):
                self.backend = for_version(self.backend, match["version"])

    # -- submit

    async def submit(self, jobs: Sequence[Job]) -> list[StepAnswer]:
        """Hand *jobs* over, each once per try, and return the answer of each submit step.

        Raises:
            ConnectError: nothing happened.
        """
        end = f"END-{secrets.token_hex(4)}"
        steps = [submit_step(job, render_job(self.backend, job, self.workspace), end) for job in jobs]
        begin_within_s = SUBMITS_BEGIN_WITHIN_S * max(1, len(jobs) / 100)
        timeout_s = begin_within_s + self.backend.submit.timeout_s
        return await self._run(steps, timeout_s=timeout_s, begin_within_s=begin_within_s)

    async def receipts(self, jobs: Sequence[Job]) -> list[StepAnswer]:
        """Return what is kept of the last try of each of *jobs*; submits nothing."""
        return await self._run([receipt_step(job) for job in jobs], timeout_s=60)

    async def find(self, jobs: Sequence[Job]) -> tuple[dict[str, str], bool]:
        """Look for *jobs* by their directories and their tokens.

        Return the job ids that were found, by the jobs' keys, and whether those not found are surely not there:
        ``False`` when the scheduler gave no good answer, or the backend has no ``find``.
        """
        spec = self.backend.find
        commands = [probe_step(jobs)]
        if spec:
            commands.append(render_command(spec, {**self._values(), "tokens": [job.token for job in jobs]}))
        answers = await self._run(commands, timeout_s=60 + (spec.timeout_s if spec else 0))
        probed = answers[0].completed
        probes = read_probe(probed.stdout, jobs) if probed else {}
        found = {key: probe.job_id for key, probe in probes.items() if probe.job_id}
        listed = _listed(spec, self.backend, answers[1].completed) if spec else None
        for job in jobs:
            if listed and job.token in listed:
                found.setdefault(job.key, listed[job.token])
        return found, listed is not None and probed is not None

    # -- monitor and result

    async def poll(self, jobs: Sequence[Job]) -> Poll:
        """Ask about *jobs*: the monitor command, and the exit files, in one ``run``."""
        spec = self.backend.monitor
        chunks = _chunks(jobs, spec, spec.max_ids)
        commands = [self._about(spec, chunk) for chunk in chunks]
        answers = await self._run(
            [*commands, probe_step(jobs)], timeout_s=spec.timeout_s * (len(chunks) if spec.takes_many else 1) + 30
        )
        probed = answers[-1].completed
        probes = read_probe(probed.stdout, jobs) if probed else {}
        evidence: dict[str, Evidence] = {}
        unreadable: list[str] = []
        problem = None
        for chunk, step in zip(chunks, answers, strict=False):
            answer, trusted = _read(spec, self.backend, step.completed, chunk)
            if answer is not None and not self._is_noise(answer):
                trusted = False
            if answer is None or not trusted:
                problem = step.completed or _no_answer(commands[0])
            if answer is not None and any(job.job_id not in answer.observations for job in chunk):
                unreadable += answer.unreadable  # one of them may be the row that is missing
            for job in chunk:
                seen = answer.observations.get(job.job_id or "") if answer else None
                report = probes[job.key].report if job.key in probes else None
                known = seen is not None or (answer is not None and trusted)
                evidence[job.key] = Evidence(answered=known, observation=seen, report=report)
        return Poll(evidence=evidence, probes=probes, unreadable=tuple(unreadable), problem=problem)

    def _is_noise(self, answer: Answer) -> bool:
        """Whether the unreadable lines of *answer* mean nothing: they were seen beside rows, or rows are beside them.

        An answer of unreadable lines alone may be the row of a job, written in a form that nobody expected.
        """
        if answer.observations:
            self._noise.update(answer.unreadable)
        return bool(answer.observations) or self._noise.issuperset(answer.unreadable)

    async def results(self, jobs: Sequence[Job]) -> dict[str, Observation]:
        """Ask accounting about *jobs* that ended; what it does not know, or cannot say, is left out."""
        spec = self.backend.result
        if spec is None or self._result_is_off:
            return {}
        chunks = _chunks(jobs, spec, spec.max_ids)
        answers = await self._run(
            [self._about(spec, chunk) for chunk in chunks], timeout_s=spec.timeout_s * len(chunks)
        )
        found: dict[str, Observation] = {}
        for chunk, step in zip(chunks, answers, strict=True):
            answer, _ = _read(spec, self.backend, step.completed, chunk)
            if answer is None and step.completed and classify(self.backend, step.completed) == "permanent":
                self._result_is_off = True
            known = answer.observations if answer else {}
            found.update((job.key, known[job.job_id]) for job in chunk if job.job_id and job.job_id in known)
        return found

    @property
    def has_result(self) -> bool:
        """Whether accounting can be asked."""
        return self.backend.result is not None and not self._result_is_off

    # -- kill and clean

    async def kill(self, jobs: Sequence[Job], *, harder: bool = False) -> dict[str, CompletedCommand | None]:
        """Send the kill command for *jobs*; return by key ``None`` for "done" (or gone) or what was said instead."""
        kill = self.backend.kill
        spec = kill.harder if harder and kill.harder else kill
        chunks = _chunks(jobs, spec, kill.max_ids)
        commands = [self._about(spec, chunk) for chunk in chunks]
        answers = await self._run(commands, timeout_s=spec.timeout_s * len(chunks) + 30)
        said: dict[str, CompletedCommand | None] = {}
        for chunk, step, command in zip(chunks, answers, commands, strict=True):
            completed = step.completed or _no_answer(command)
            done = completed.exit_code == 0 or classify(self.backend, completed) == "gone"
            said.update((job.key, None if done else completed) for job in chunk)
        return said

    async def read_log(self, path: str, *, offset: int = 0, lines: int | None = None) -> tuple[str, int]:
        """Return the text of *path* on the target from byte *offset* on (or its last *lines*), and its size in bytes.

        Raises:
            TransportError: it cannot be read; the message says why.
        """
        show = f"tail -c +{offset + 1} -- {quote(path)} | head -c $((size > {offset} ? size - {offset} : 0))"
        if lines is not None:
            show = f"tail -n {lines} -- {quote(path)}"
        command = f"[ -e {quote(path)} ] || exit 2; size=$(wc -c <{quote(path)}) && echo $((size)) && {show}"
        completed = (await self._run([command], timeout_s=120))[0].completed
        if completed is None or completed.exit_code != 0:
            why = (
                "it is not there yet"
                if completed and completed.exit_code == 2
                else completed.words
                if completed
                else "no answer"
            )
            raise TransportError(f"cannot read {path}: {why}")
        size, _, text = completed.stdout.partition("\n")
        return text, int(size)

    async def read_bytes(self, wanted: Sequence[tuple[str, int]], *, most: int) -> list[tuple[bytes, int] | None]:
        """Return, for each path and offset, up to *most* bytes from there on and the file's size; ``None``: not there.

        The bytes travel as od(1) writes them, because an answer is text. One ``run``.

        Raises:
            TransportError: there was no answer.
        """
        answers = await self._run([_od_step(path, offset, most) for path, offset in wanted], timeout_s=120)
        if any(step.completed is None for step in answers):
            raise TransportError("cannot read what the job wrote: no answer")
        return [_od_answer(step.completed) for step in answers]

    async def ask(self, commands: Sequence[str], timeout_s: float) -> list[CompletedCommand | None]:
        """Run shell text that is no step of a job's life; ``None`` for what was not answered whole. One ``run``.

        Raises:
            ConnectError: nothing happened.
        """
        return [step.completed for step in await self._run(commands, timeout_s=timeout_s)]

    # -- files

    async def put(self, uploads: Sequence[Upload]) -> None:
        """Put files on the target; see :meth:`adapter.transports.base.Transport.put`."""
        await self.transport.put(uploads, scratch=f"{self.workspace}/.files")

    async def get(self, downloads: Sequence[Download]) -> list[list[str]]:
        """Bring files from the target; see :meth:`adapter.transports.base.Transport.get`."""
        return await self.transport.get(downloads, scratch=f"{self.workspace}/.files")

    # -- the one door

    def _values(self) -> dict[str, object]:
        return {**self.backend.values, "workspace": self.workspace}

    def _about(self, spec: CommandSpec, jobs: Sequence[Job]) -> str:
        values = {**self._values(), "job_ids": [job.job_id for job in jobs], "job_id": jobs[0].job_id}
        return render_command(spec, {**values, "job_directory": jobs[0].directory})

    async def _run(
        self, commands: Sequence[str], *, timeout_s: float, begin_within_s: float | None = None
    ) -> list[StepAnswer]:
        nonce = f"adapter-{secrets.token_hex(8)}"
        script = self._prelude + frame(commands, nonce, begin_within_s=begin_within_s)
        try:
            completed = await self.transport.run("sh -s", stdin=script, timeout_s=timeout_s)
        except OutcomeUnknown as error:
            completed = error.partial or CompletedCommand(command="sh -s", exit_code=-1, stdout="", stderr="")
            lost = True
        else:
            lost = False
            if f"{nonce} 0 start" not in completed.stdout:
                raise ConnectError(
                    f"the target's shell ran nothing (exit code {completed.exit_code}): {completed.words}"
                )
        answers = unframe(commands, nonce, completed.stdout, completed.stderr)
        return [StepAnswer(answer, lost or began(n, nonce, completed.stdout)) for n, answer in enumerate(answers)]


def _prepare_step(backend: Backend) -> str:
    lines = [
        "# prepare",
        f"workspace={expand_workspace(backend.workspace)}",
        '(umask 077 && mkdir -p "$workspace") && cd "$workspace" && [ -w . ] || exit 73',
        "pwd -P",
    ]
    if None in backend.limits.capacity.values():
        lines += [
            'echo "cpu $(getconf _NPROCESSORS_ONLN)"',
            """awk '/^MemTotal/ { printf "ram %.0f\\n", $2 * 1024 }' /proc/meminfo""",
        ]
    if backend.programs:
        lines.append("mkdir -p .programs")
    lines += [f"ln -sfn {quote(path)} .programs/{quote(name)}" for name, path in backend.programs.items()]
    lines.append("PATH=$PWD/.programs:$PATH")
    lines += [f"[ -x {quote(path)} ] || echo missing {quote(path)}" for path in backend.programs.values()]
    lines += [f"command -v {quote(name)} >/dev/null || echo missing {quote(name)}" for name in backend.needs]
    return "\n".join(lines)


def _od_step(path: str, offset: int, most: int) -> str:
    name = quote(path)
    return (
        f"[ -f {name} ] && size=$(wc -c <{name}) && echo $((size)) || exit 2\n"
        f'if [ "$size" -gt {offset} ]; then od -An -v -tx1 -j {offset} -N {most} {name}; fi'
    )


def _od_answer(completed: CompletedCommand | None) -> tuple[bytes, int] | None:
    if completed is None or completed.exit_code != 0:
        return None
    size, _, octets = completed.stdout.partition("\n")
    return bytes.fromhex(octets), int(size)


def _chunks(jobs: Sequence[Job], spec: CommandSpec, max_ids: int) -> list[Sequence[Job]]:
    if "job_id" in spec.variables or "job_directory" in spec.variables:
        return [[job] for job in jobs]
    if not spec.takes_many:
        return [jobs]
    return [jobs[at : at + max_ids] for at in range(0, len(jobs), max_ids)]


def _read(
    spec: QuerySpec, backend: Backend, completed: CompletedCommand | None, jobs: Sequence[Job]
) -> tuple[Answer | None, bool]:
    """Return the answer, and whether a job that it does not show may be taken as absent."""
    if completed is None:
        return None, False
    answer = parse_query(spec, backend, completed, [job.job_id or "" for job in jobs])
    return answer, not is_no_answer(spec, backend, completed)


def _listed(spec: QuerySpec, backend: Backend, completed: CompletedCommand | None) -> dict[str, str] | None:
    if completed is None or spec.row is None:
        return None
    rows = [match for line in completed.stdout.splitlines() if (match := spec.row.search(line))]
    if completed.exit_code != 0 and not rows and classify(backend, completed) != "gone":
        return None
    return {match["token"].strip(): match["job_id"].strip() for match in rows}


def _no_answer(command: str) -> CompletedCommand:
    return CompletedCommand(command=command, exit_code=-1, stdout="", stderr="no answer in time")


def monitor_error(problem: CompletedCommand) -> MonitorError:
    """Return the error for a monitor command that gave no good answer."""
    return MonitorError(f"the monitor command gave no answer: {problem.words or 'nothing'}", completed=problem)
