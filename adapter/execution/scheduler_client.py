"""One backend over one transport: render, run, parse. Every method is one ``run``; no state, no waiting."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from adapter.config.library import library
from adapter.core import bounds
from adapter.core.answers import (
    Answer,
    Observation,
    classify,
    is_no_answer,
    is_noise,
    names,
    parse_query,
    parse_tokens,
    words_beside,
)
from adapter.core.array import element_id, render_array
from adapter.core.backend import for_version
from adapter.core.batch import BatchAnswer, BatchResult, Command
from adapter.core.bounds import likeness
from adapter.core.grammars import json_text
from adapter.core.job import Job
from adapter.core.job_id import id_values, parts
from adapter.core.library import commands_text, digest, files_for, stage_text, store_of
from adapter.core.lifecycle import Evidence
from adapter.core.receipt import (
    CANNOT_WRITE,
    Probe,
    probe_step,
    read_probe,
    read_receipt,
    receipt_step,
    submit_step,
    which_id,
)
from adapter.core.redact import redactor
from adapter.core.render import placed, render_command, render_job
from adapter.core.submission import read_submission
from adapter.core.task import Step, Task
from adapter.core.template import quote, target_path
from adapter.core.watching import WATCH_PRELUDE, read_watch, watch_step
from adapter.errors import (
    CommandError,
    ConfigError,
    ConnectError,
    MonitorError,
    RenderError,
    TransportError,
    UnsupportedResource,
)
from adapter.results import CompletedCommand

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from adapter.core.backend import Backend
    from adapter.core.specs import CommandSpec, LogSpec, QuerySpec, SubmitSpec
    from adapter.core.watching import WatchResult
    from adapter.transports.base import Download, Transport, Upload

MOST_PAGES = 1000
MOST_NOISE = 1000
NO_EXIT_CODE = -1  # of a command that was not answered
WATCH_S = 60.0
SUBMITS_BEGIN_WITHIN_S = 30.0  # for a batch of a hundred or fewer; a larger one has as much for each of its jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """What one poll brought: evidence by job key, and for a person the unreadable lines and what went wrong."""

    evidence: Mapping[str, Evidence]
    probes: Mapping[str, Probe]
    unreadable: tuple[str, ...] = ()
    problem: CompletedCommand | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a look for jobs found, by their keys.

    ``ids`` are those that the scheduler has under the jobs' tokens, or that are sure without it. ``began`` are jobs
    that began in their directories and whose ids nothing confirms. ``complete``: a job in neither is surely not there;
    ``False`` when the scheduler gave no good answer, or the backend has no ``find``. ``said`` is what it said instead.
    """

    ids: dict[str, str] = field(default_factory=dict)
    began: dict[str, Probe] = field(default_factory=dict)
    complete: bool
    said: str = ""


class SchedulerClient:
    """One backend over one transport."""

    def __init__(self, backend: Backend, transport: Transport, *, secrets: Mapping[str, str] | None = None) -> None:
        """Nothing is asked yet; :meth:`prepare` comes first. *secrets* are the texts of the backend's secrets."""
        self.backend = backend
        self.transport = transport
        self._secrets = dict(secrets or {})
        self._redact = redactor(self._secrets.values())
        self.workspace = ""
        self.capacity: dict[str, float] = {}
        self._path = ""
        self._staged: set[str] = set()
        self._result_is_off = False
        self._noise: set[str] = set()  # likenesses of lines that were seen beside good answers
        self._noise_about: set[tuple[str, str]] = set()  # the same with the id of a job that was shown beside them

    async def prepare(self) -> None:
        """Make the workspace on the target and learn what has to be known of it; one ``run``.

        Raises:
            TransportError: the target cannot be asked, or the workspace cannot be made.
            ConfigError: the scheduler cannot be told the path of the workspace.
        """
        commands = [_prepare_step(self.backend, map(digest, self._of_jobs().values()))]
        if self.backend.version_command:
            commands.append(Command(self.backend.version_command.render(self.backend.values), "version"))
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
        self._staged = {line.removeprefix("library ") for line in lines if line.startswith("library ")}
        self.workspace, machine = _prepared(self.backend, lines)
        capacity = self.backend.limits.capacity
        self.capacity = {name: machine[name] if value is None else value for name, value in capacity.items()}
        self._refuse_workspace()
        if self.backend.programs:
            self._path = f"PATH={quote(self.workspace + '/.programs')}:$PATH; export PATH"
        if len(commands) > 1 and self.backend.version_pattern and answers[1].completed:
            said = answers[1].completed
            if match := self.backend.version_pattern.search(said.stdout + said.stderr):
                if said.exit_code == 0 and classify(self.backend, said) is None:
                    self._remember([*said.stdout.splitlines(), *said.stderr.splitlines()])
                self.backend = for_version(self.backend, match["version"])

    def _refuse_workspace(self) -> None:
        """Refuse a workspace whose path this scheduler cannot be told, before a job is in its way.

        Raises:
            ConfigError: its letters mean something to the scheduler.
        """
        job = placed(Job(run="0" * 10, index=1, task=Task(steps=(Step(argv=("true",)),))), self.workspace)
        try:
            render_job(self.backend, job, self.workspace)
        except RenderError as error:
            raise ConfigError(f"the workspace of backend {self.backend.name} cannot be used: {error}") from error
        except UnsupportedResource:
            return  # a task without an image, say: each task is looked at for itself

    # -- submit

    async def submit(self, groups: Sequence[Sequence[Job]]) -> list[BatchAnswer]:
        """Hand over *groups* of jobs (an array each, or a job by itself), once per try; return the answer for each.

        Raises:
            ConnectError: nothing happened.
        """
        end = f"END-{secrets.token_hex(4)}"
        steps = [self._submit_step(group, end) for group in groups]
        begin_within_s = SUBMITS_BEGIN_WITHIN_S * max(1, len(groups) / 100)
        timeout_s = begin_within_s + self.backend.submit.timeout_s
        needed = {digest(text): text for text in self._of_jobs().values()}
        missing = [text for content, text in needed.items() if content not in self._staged]
        prelude = stage_text(self.workspace, missing, secrets.token_hex(6)) if missing else ""
        answers = await self._run(steps, timeout_s=timeout_s, begin_within_s=begin_within_s, prelude=prelude)
        written = [answer.completed.exit_code != CANNOT_WRITE for answer in answers if answer.completed]
        self._staged = set(needed) if any(written) and all(written) else set()  # perhaps it was cleaned meanwhile
        for answer in answers:
            receipt, own = read_receipt(answer.completed) if answer.completed else (None, None)
            if receipt and own and receipt.exit_code == 0 and read_submission(self.backend, own).accepted:
                self._remember([*own.stdout.splitlines(), *own.stderr.splitlines()])
        return answers

    def _submit_step(self, group: Sequence[Job], end: str) -> Command:
        first = group[0]
        if first.array is None:
            rendered = render_job(self.backend, first, self.workspace)
        else:
            rendered = render_array(self.backend, group, self.workspace)
        store = store_of(self.workspace)
        library = {f"{name}.sh": f"{store}/{digest(text)}" for name, text in self._of_jobs().items()}
        return submit_step(first, rendered, end, others=group[1:], library=library)

    def _of_jobs(self) -> dict[str, str]:
        """Return the files of the library that a job of this backend needs, by name."""
        return {name: library()[name] for name in files_for(self.backend, "job")}

    async def receipts(self, jobs: Sequence[Job]) -> list[BatchAnswer]:
        """Return what is kept of the last try of each of *jobs*; submits nothing."""
        return await self._run([receipt_step(job) for job in jobs], timeout_s=60)

    async def find(self, jobs: Sequence[Job]) -> tuple[dict[str, str], bool]:
        """Return what :meth:`look` found: job ids by the jobs' keys, and whether the others are surely not there."""
        look = await self.look(jobs)
        return look.ids, look.complete

    async def look(self, jobs: Sequence[Job]) -> Look:
        """Look for *jobs* by their tokens and in their directories."""
        spec = self.backend.find
        probed = (await self._run([probe_step(jobs)], timeout_s=60))[0].completed if spec is None else None
        said = ""
        listed: dict[str, list[str]] | None = None
        if spec is not None:
            chunks = _chunks(self.backend.submit, jobs, spec, len(jobs))
            first = [self._about("find", spec, chunk, tokens=_tokens(chunk)) for chunk in chunks]
            answers = await self._run([probe_step(jobs), *first], timeout_s=60 + spec.timeout_s * len(chunks))
            probed, listed = answers[0].completed, {}
            for chunk, step in zip(chunks, answers[1:], strict=True):
                tokens = await self._all_tokens(spec, chunk, step.completed)
                listed = None if listed is None or tokens is None else {**listed, **tokens}
                said = said or (step.completed.words if tokens is None and step.completed else "")
        probes = read_probe(probed.stdout, jobs) if probed else {}
        look = Look(complete=listed is not None and probed is not None, said=said)
        for job in jobs:
            token, probe = job.array.token if job.array else job.token, probes.get(job.key, Probe())
            known = [element_id(self.backend, job, each) for each in (listed or {}).get(token, ())]
            job_id = which_id(self.backend.submit, job, probe, known, is_listed=spec is not None)
            if job_id is not None:
                look.ids[job.key] = job_id
            elif job.key in probes:  # it wrote there, whether or not it knows its id
                look.began[job.key] = probe
        return look

    async def _all_tokens(
        self, spec: QuerySpec, jobs: Sequence[Job], completed: CompletedCommand | None
    ) -> dict[str, list[str]] | None:
        """Return the job ids by token in *completed* and the pages after it; ``None`` if one of them is no answer."""
        found: dict[str, list[str]] = {}
        for _ in range(MOST_PAGES):
            if completed is None:
                return None
            page = parse_tokens(spec, self.backend, completed, wanted=_tokens(jobs), noise=self._noise)
            if page is None:
                return None
            for token, job_ids in page[0].items():
                found[token] = list(dict.fromkeys([*found.get(token, ()), *job_ids]))
            if page[1] is None:
                return found
            completed = await self._next_page("find", spec, jobs, page[1])
        return None

    async def _next_page(
        self, action: str, spec: QuerySpec, jobs: Sequence[Job], following: str
    ) -> CompletedCommand | None:
        command = self._about(action, spec, jobs, tokens=_tokens(jobs), next=following)
        return (await self._run([command], timeout_s=spec.timeout_s + 30))[0].completed

    # -- monitor and result

    async def poll(self, jobs: Sequence[Job]) -> Poll:
        """Ask about *jobs*: the monitor command, and the exit files, in one ``run``."""
        spec = self.backend.monitor
        chunks = _chunks(self.backend.submit, jobs, spec, spec.max_ids)
        commands = [self._about("monitor", spec, chunk) for chunk in chunks]
        timeout_s = spec.timeout_s * (1 if spec.takes_one else len(chunks)) + 30
        answers = await self._run([*commands, probe_step(jobs)], timeout_s=timeout_s)
        probed = answers[-1].completed
        probes = read_probe(probed.stdout, jobs) if probed else {}
        evidence: dict[str, Evidence] = {}
        unreadable: list[str] = []
        problem = None
        for chunk, step in zip(chunks, answers, strict=False):
            answer, trusted = await self._read("monitor", spec, chunk, step.completed)
            trusted = trusted and answer is not None
            beside = self._learn_noise(chunk, answer, step.completed) if answer and step.completed else ()
            for job in chunk:
                seen = answer.observations.get(self._bare(job)) if answer else None
                report = probes[job.key].report if job.key in probes else None
                absent = trusted and (report is not None or not self._may_be_there(job, answer, beside, step.completed))
                evidence[job.key] = Evidence(answered=seen is not None or absent, observation=seen, report=report)
            if not trusted or not all(evidence[job.key].answered for job in chunk):
                problem = step.completed or _no_answer(commands[0])
            if answer is not None and any(self._bare(job) not in answer.observations for job in chunk):
                unreadable += answer.unreadable  # one of them may be the row that is missing
        return Poll(evidence=evidence, probes=probes, unreadable=tuple(unreadable), problem=problem)

    async def _read(
        self, action: str, spec: QuerySpec, jobs: Sequence[Job], completed: CompletedCommand | None
    ) -> tuple[Answer | None, bool]:
        """Return the answer with all its pages, and whether a job that it does not show may be taken as absent."""
        answer, trusted = _page(spec, self.backend, completed, jobs)
        for _ in range(MOST_PAGES):
            if answer is None or answer.next is None:
                return answer, trusted
            completed = await self._next_page(action, spec, jobs, answer.next)
            page, page_trusted = _page(spec, self.backend, completed, jobs)
            if page is None or page.next == answer.next:
                break
            answer = Answer(
                observations={**answer.observations, **page.observations},
                unreadable=(*answer.unreadable, *page.unreadable),
                next=page.next,
            )
            trusted = trusted and page_trusted
        return answer, False

    def _learn_noise(self, jobs: Sequence[Job], answer: Answer, completed: CompletedCommand) -> tuple[str, ...]:
        """Return what stands beside the rows of *answer*, and keep in mind what is said whatever they show.

        That is what stands beside rows, and what names a job beside the row of that job.
        """
        said = words_beside(self.backend.monitor, self.backend, answer, completed)
        if answer.observations:
            self._remember(said)
        shown = [job_id for job_id in map(self._bare, jobs) if job_id in answer.observations] if said else ()
        self._noise_about.update((likeness(line), job_id) for line in said for job_id in shown if names(line, job_id))
        return said

    def _remember(self, lines: Sequence[str]) -> None:
        if len(self._noise) < MOST_NOISE:
            self._noise.update(map(likeness, lines))

    def _may_be_there(
        self, job: Job, answer: Answer | None, beside: Sequence[str], completed: CompletedCommand | None
    ) -> bool:
        """Whether one of the lines *beside* the rows of *answer* may be the row of *job*, or why there is none.

        A line that names the job may be its row, cut or in a form that nobody expected; beside good rows it has to
        begin with the job's id, as they do. Other lines matter only where there are no rows at all: noise aside, and
        unless the scheduler says in its own words that something is gone.
        """
        own, none_shown = self._bare(job), answer is None or not answer.observations
        naming = [line for line in beside if names(line if none_shown else _beginning(line), own)]
        if any((likeness(line), own) not in self._noise_about for line in naming):
            return True
        if not none_shown or completed is None or classify(self.backend, completed) == "gone":
            return False
        return any(not is_noise(line, self._noise) for line in beside)

    def _bare(self, job: Job) -> str:
        """Return the id of *job* as commands take it and rows show it."""
        return parts(self.backend.submit, job.job_id)[0]

    async def results(self, jobs: Sequence[Job]) -> dict[str, Observation]:
        """Ask accounting about *jobs* that ended; what it does not know, or cannot say, is left out."""
        spec = self.backend.result
        if spec is None or self._result_is_off:
            return {}
        chunks = _chunks(self.backend.submit, jobs, spec, spec.max_ids)
        answers = await self._run(
            [self._about("result", spec, chunk) for chunk in chunks], timeout_s=spec.timeout_s * len(chunks)
        )
        found: dict[str, Observation] = {}
        for chunk, step in zip(chunks, answers, strict=True):
            answer, _ = await self._read("result", spec, chunk, step.completed)
            if answer is None and step.completed and classify(self.backend, step.completed) == "permanent":
                self._result_is_off = True
            known = answer.observations if answer else {}
            found.update((job.key, known[self._bare(job)]) for job in chunk if self._bare(job) in known)
        return found

    @property
    def has_result(self) -> bool:
        """Whether accounting can be asked."""
        return self.backend.result is not None and not self._result_is_off

    # -- watch

    @property
    def is_watched(self) -> bool:
        """Whether there is a command that tells of changes by itself."""
        return bool(self.backend.watch_command(self.workspace))

    async def watch(self) -> WatchResult:
        """Wait until the backend's ``watch`` tells something, or a minute is over. One ``run``.

        Raises:
            TransportError: it could not be run.
        """
        assert self.backend.watch is not None
        nonce = f"adapter-{secrets.token_hex(8)}"
        step = watch_step(self.backend.watch_command(self.workspace), nonce, most_s=WATCH_S)
        result = await self._batch([step], timeout_s=WATCH_S + 30, prelude=WATCH_PRELUDE)
        completed = result.answers[0].completed
        if completed is None:
            raise ConnectError(f"the watch was cut off: {result.lost or 'its answer is not whole'}")
        return read_watch(self.backend.watch, nonce, completed.stdout)

    # -- kill and clean

    async def kill(self, jobs: Sequence[Job], *, harder: bool = False) -> dict[str, CompletedCommand | None]:
        """Send the kill command for *jobs*; return by key ``None`` for "done", or what was said instead.

        That a job is "gone" is no proof that it ended: another cluster may have been asked. It is for the poller.
        """
        kill = self.backend.kill
        action, spec = ("harder", kill.harder) if harder and kill.harder else ("kill", kill)
        chunks = _chunks(self.backend.submit, jobs, spec, kill.max_ids)
        commands = [self._about(action, spec, chunk) for chunk in chunks]
        answers = await self._run(commands, timeout_s=spec.timeout_s * len(chunks) + 30)
        said: dict[str, CompletedCommand | None] = {}
        for chunk, step, command in zip(chunks, answers, commands, strict=True):
            completed = step.completed or _no_answer(command)
            gone = classify(self.backend, completed) == "gone"
            lines = (completed.stdout + completed.stderr).splitlines()
            for job in chunk:
                is_named = any(names(line, job.job_id or "") for line in lines)
                done = completed.exit_code == 0 and not gone
                said[job.key] = None if done or (gone and len(chunk) > 1 and not is_named) else completed
        return said

    async def ask(self, commands: Sequence[str | Command], timeout_s: float) -> list[CompletedCommand | None]:
        """Run shell text that is no step of a job's life; ``None`` for what was not answered whole. One ``run``.

        Raises:
            ConnectError: nothing happened.
        """
        batch = [Command(each) if isinstance(each, str) else each for each in commands]
        return [answer.completed for answer in await self._run(batch, timeout_s=timeout_s)]

    async def print_log(self, spec: LogSpec, job: Job) -> str | None:
        """Return what the command *spec* prints as a log of *job*; ``None`` if it gave none (yet). One ``run``."""
        completed = (await self._run([self._about("log", spec, [job])], timeout_s=spec.timeout_s + 30))[0].completed
        if completed is None or completed.exit_code != 0:
            return None
        return completed.stdout if spec.text is None else json_text(spec.text, completed.stdout)

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

    def _about(self, action: str, spec: CommandSpec, jobs: Sequence[Job], **more: object) -> Command:
        first = jobs[0]
        values = {**self._values(), **id_values(self.backend.submit, [job.job_id for job in jobs]), "next": None}
        about = {**values, "job_directory": first.directory, "run": first.run, **more}
        return Command(render_command(spec, about), action, jobs=tuple(jobs))

    def _prelude(self, commands: Sequence[Command]) -> str:
        """What stands before a batch: where the programs are, the secrets, the functions that its commands call."""
        lines = [self._path] if self._path else []
        lines += [f"secret_{name}={quote(text)}" for name, text in self._secrets.items()]
        return "".join(f"{line}\n" for line in lines) + commands_text(self.backend, commands, library())

    async def _run(
        self,
        commands: Sequence[Command],
        *,
        timeout_s: float,
        begin_within_s: float | None = None,
        prelude: str = "",
    ) -> list[BatchAnswer]:
        batch = self._batch(commands, timeout_s=timeout_s, begin_within_s=begin_within_s, prelude=prelude)
        return (await batch).answers

    async def _batch(
        self,
        commands: Sequence[Command],
        *,
        timeout_s: float,
        begin_within_s: float | None = None,
        prelude: str = "",
    ) -> BatchResult:
        prelude = self._prelude(commands) + prelude
        try:
            result = await self.transport.run_batch(
                commands, timeout_s=timeout_s, begin_within_s=begin_within_s, prelude=prelude
            )
        except ConnectError as error:  # it may quote what the shell said about the prelude
            raise ConnectError(self._redact(str(error))) from error
        return result.edited(self._redact) if self._secrets else result


def _prepare_step(backend: Backend, contents: Iterable[str]) -> Command:
    programs = " ".join(f"{quote(name)} {target_path(path)}" for name, path in backend.programs.items())
    needed = " ".join([*map(target_path, backend.programs.values()), *map(quote, backend.needs)])
    lines = [
        f"# prepare\nenter_workspace {target_path(backend.workspace)}",
        "[ -w . ] || exit 73\npwd -P",
        f"tell_library {' '.join(contents)}",
        *(["tell_machine"] if None in backend.limits.capacity.values() else []),
        f"use_programs {programs}\ntell_missing {needed}",
    ]
    return Command("\n".join(lines), "prepare", library=("workspace",))


def _prepared(backend: Backend, lines: Sequence[str]) -> tuple[str, dict[str, float]]:
    """Return the workspace and what the machine has, as :func:`_prepare_step` printed them.

    Raises:
        TransportError: the answer is something else.
    """
    workspace = lines[0] if lines else ""
    if not workspace.startswith("/") or not workspace.isprintable():
        raise TransportError(f"backend {backend.name}: {workspace[:200]!r} is not the path of a workspace")
    told = {name: bounds.number(value) for name, _, value in (line.partition(" ") for line in lines[1:])}
    machine = {name: amount for name, amount in told.items() if amount}
    for name, amount in backend.limits.capacity.items():
        if amount is None and name not in machine:
            raise TransportError(
                f"backend {backend.name}: the machine does not say how much {name} it has; "
                f"write it into `limits.capacity` in the backend file"
            )
    return workspace, machine


def _chunks(submit: SubmitSpec, jobs: Sequence[Job], spec: CommandSpec, max_ids: int) -> list[Sequence[Job]]:
    """Return the groups of *jobs* that one command of *spec* is about: of one cluster, of one run if it names it."""
    if spec.takes_one:
        return [[job] for job in jobs]
    together: dict[tuple[str | None, str], list[Job]] = {}
    for job in jobs:
        run = job.run if "run" in spec.variables else ""
        together.setdefault((parts(submit, job.job_id)[1], run), []).append(job)
    groups: list[Sequence[Job]] = list(together.values())
    if not spec.takes_many:
        return groups
    return [group[at : at + max_ids] for group in groups for at in range(0, len(group), max_ids)]


def _tokens(jobs: Sequence[Job]) -> list[str]:
    """Return the marks by which the scheduler knows *jobs*."""
    return list(dict.fromkeys(job.array.token if job.array else job.token for job in jobs))


def _page(
    spec: QuerySpec, backend: Backend, completed: CompletedCommand | None, jobs: Sequence[Job]
) -> tuple[Answer | None, bool]:
    """Return one page of an answer, and whether it may be trusted in what it does not show."""
    if completed is None:
        return None, False
    answer = parse_query(spec, backend, completed, [parts(backend.submit, job.job_id)[0] for job in jobs])
    return answer, not is_no_answer(spec, backend, completed)


def _beginning(line: str) -> str:
    """Return the first word of *line*, up to what may stand between columns."""
    return re.split(r"[\s|,:;!]", line.strip(), maxsplit=1)[0]


def _no_answer(command: Command) -> CompletedCommand:
    return CompletedCommand(command=command.text, exit_code=NO_EXIT_CODE, stdout="", stderr="no answer in time")


def monitor_error(problem: CompletedCommand) -> MonitorError:
    """Return the error for a monitor command that gave no good answer."""
    return MonitorError(f"the monitor command gave no answer: {problem.words or 'nothing'}", completed=problem)
