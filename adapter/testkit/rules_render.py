"""Rules about what a backend file writes: the job's script and the commands."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from adapter.config.library import library
from adapter.core.grammars import JsonRows
from adapter.core.job_id import parts
from adapter.core.library import files_for
from adapter.core.render import function_text, job_values, render_job
from adapter.core.requirements import is_possible
from adapter.core.specs import LogSpec
from adapter.core.task import RESOURCE_FIELDS, Input, Resources, Step
from adapter.core.template import Template
from adapter.core.validate_advice import unused_values
from adapter.errors import RenderError, TaskError, UnsupportedResource
from adapter.testkit.shelltext import Place, directive_words, places
from adapter.testkit.subject import (
    RUN,
    WORKSPACE,
    Hostile,
    about,
    asked,
    finding,
    hostile_task,
    image_for,
    is_shell,
    job_of,
    not_applicable,
    outcome_of,
    plain_task,
    queries,
    shell_refusal,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from adapter.core.backend import Backend
    from adapter.core.render import RenderedJob
    from adapter.core.task import Task
    from adapter.testkit.subject import Outcome, Subject

MOST_BYTES = 100_000  # a command travels inside others, and Linux takes 128 KiB for one word of a command line
MUST_ARRIVE = ("env", "argv", "step env", "step workdir", "step stdout", "stdin", "stdout", "stderr", "workdir")


def quoting(subject: Subject) -> Outcome:
    """Hostile names, arguments, paths and ids arrive as they are, and a shell acts upon none of their characters."""
    problems = []
    for words, backend in subject.variants():
        problems += [problem + words for problem in _hostile_jobs(backend)]
        problems += [problem + words for problem in _hostile_ids(backend)]
    return outcome_of(list(dict.fromkeys(problems)))


def _hostile_jobs(backend: Backend) -> Iterator[str]:
    images = [True] if "image" in backend.requires else [False, True] if backend.is_supported("image") else [False]
    for newline in (False, True):
        for with_image in images:
            value = Hostile()
            task = hostile_task(backend, value, newline=newline, with_image=with_image)
            rendered = _hostile_render(backend, task, "/scratch" + value("workspace"), may_refuse=newline)
            if rendered is not None:  # refused, as it should be where it cannot be written
                yield from _seen_in_job(backend, rendered, value)


def _hostile_render(backend: Backend, task: Task, workspace: str, *, may_refuse: bool) -> RenderedJob | None:
    """Return the job in *workspace*, without what the scheduler would read there as its own; ``None``: refused."""
    while True:
        try:
            return render_job(backend, job_of(task, workspace), workspace)
        except RenderError as error:
            if error.part and error.part in workspace:
                workspace = workspace.replace(error.part, "")
            elif may_refuse:
                return None
            else:
                raise


def _seen_in_job(backend: Backend, rendered: RenderedJob, value: Hostile) -> Iterator[str]:
    yield from _acted_upon("submit", rendered.submit, value)
    if is_shell(backend):
        yield from _acted_upon("script", rendered.script, value)
        yield from _unread(backend, rendered.script, value)
        for label in MUST_ARRIVE:
            if label in value.cores and value.cores[label] not in rendered.script + rendered.submit:
                yield f"the {label} of a task is not in its script, or was changed on its way"
        return
    try:
        json.loads(rendered.script)
    except ValueError as error:
        yield f"with hostile values the document is no JSON: {error}"
    as_it_is = rendered.script.replace("$$", "$")  # some services read `$$` as one `$`
    for label in ("env", "argv"):
        if value.cores[label] not in as_it_is:
            yield f"the {label} of a task is not in its document, or was changed on its way"


def _directive_lines(backend: Backend, script: str) -> list[str]:
    prefix = backend.directive_prefix
    return [line.removeprefix(prefix) for line in script.splitlines() if prefix and line.startswith(prefix)]


def _unread(backend: Backend, script: str, value: Hostile) -> Iterator[str]:
    """Which hostile values do not arrive as they are where the scheduler reads its directives."""
    for line in _directive_lines(backend, script):
        if backend.directive_quote == "shell":
            yield from _acted_upon("directives", line, value)
        try:
            words = directive_words(line, backend.directive_quote)
        except ValueError as error:
            yield f"with hostile values the scheduler cannot read the directive{line}: {error}"
            continue
        for number, (label, core) in enumerate(value.cores.items()):
            is_there = re.search(rf"\(h{number}\\?\)", line) is not None
            if is_there and label != "workspace" and not any(core in word for word in words):
                yield f"the {label} does not arrive in the directive{line}"


_HEREDOC_BODY = re.compile(r"<<-?[ ]*'(?P<word>\w+)'[^\n]*\n(?P<body>.*?)\n(?P=word)(?=\n|$)", re.DOTALL)


def _acted_upon(where: str, text: str, value: Hostile) -> Iterator[str]:
    """Which hostile values stand in *text* so that a shell would act upon them."""
    seen = places(text)
    for label, core in value.cores.items():
        for match in re.finditer(re.escape(core), text):
            found = set(seen[match.start() : match.end()]) - {Place.LITERAL, Place.COMMENT}
            if found:
                yield f"the {label} stands {min(found)} in {where}: a shell would act upon it"
                break
    for inner in _HEREDOC_BODY.finditer(text):  # values are written as words for a shell: one reads them there too
        yield from _acted_upon(f"{where}, in a here-document", inner["body"], value)
    if why := shell_refusal(text):
        yield f"with hostile values sh cannot read {where}: {why}"


def _hostile_ids(backend: Backend) -> Iterator[str]:
    value = Hostile()
    ids = [value("first job id"), value("second job id")]
    directory = "/scratch" + value("job directory")
    for name, spec in queries(backend).items():
        yield from _acted_upon(name, about(backend, spec, ids, directory), value)
    if text := finding(backend, [value("token")]):
        yield from _acted_upon("find", text, value)
    for stream, log in backend.logs.items():
        if isinstance(log, LogSpec):
            yield from _acted_upon(f"logs.{stream}", about(backend, log, ids, directory), value)


_DASHED = "--dashed-value"


def operands(subject: Subject) -> Outcome:
    """A value that begins with - is no option: it is behind --, in --option=value, behind its option, or refused."""
    problems = [
        f"a {label} that begins with - would be an option in {where}; write -- before it, or use `| operand`{words}"
        for words, backend in subject.variants()
        for label, task in _dashed_tasks(backend)
        for where in _where_options(backend, task)
    ]
    return outcome_of(list(dict.fromkeys(problems)))


def _dashed_tasks(backend: Backend) -> Iterator[tuple[str, Task]]:
    """Yield tasks one value of which begins with -, as far as *backend* takes it."""
    task = plain_task(backend)
    yield "name", replace(task, name=_DASHED)
    for name in ("queue", "account"):
        if backend.is_supported(name) and not backend.queues:
            asked_for: dict[str, Any] = {name: _DASHED}
            yield name, plain_task(backend, Resources(**asked_for))
    for name in ("stdin", "stdout", "stderr", "workdir"):
        if is_possible(backend, name):
            path: dict[str, Any] = {name: _DASHED}
            yield name, replace(task, **path)
    if backend.is_supported("image") or "image" in backend.requires:
        yield "image", replace(task, image=image_for(backend, _DASHED))
    yield "workdir", replace(task, steps=(replace(task.steps[0], workdir=_DASHED),))
    if is_possible(backend, "inputs"):
        yield "input", replace(task, inputs=(Input(to=_DASHED, content=""),))


def _where_options(backend: Backend, task: Task) -> Iterator[str]:
    """Yield where a word of *task*'s texts would be taken for an option."""
    job = job_of(task)
    try:
        rendered = render_job(backend, job, WORKSPACE)
        values = job_values(backend, job, WORKSPACE)
    except TaskError:
        return  # refused
    written = [
        _shell_words(each.text.render(values))
        for each in (*backend.directives, *backend.submit.options)
        if each.when.holds(values)
    ]
    behind = {words[0] for words in written if len(words) == 2 and words[0].startswith("-")} | {"="}
    texts = {"submit": rendered.submit.splitlines()}
    if is_shell(backend):
        prefix = backend.directive_prefix
        lines = [line for line in rendered.script.splitlines() if not (prefix and line.startswith(prefix))]
        texts |= {"directives": _directive_lines(backend, rendered.script), "script": lines}
    for where, lines in texts.items():
        if any(_is_option(_shell_words(line), behind) for line in lines if _DASHED in line):
            yield where


def _is_option(words: list[str], behind: set[str]) -> bool:
    return any(
        word == _DASHED and "--" not in words[:at] and (at == 0 or words[at - 1] not in behind)
        for at, word in enumerate(words)
    )


def _shell_words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # a quote that ends in another line
        return line.replace("'", " ").replace('"', " ").split()


def shell(subject: Subject) -> Outcome:
    """A shell can read the script and every command, with all that can be asked for."""
    problems = []
    for words, backend in subject.variants():
        for task in _tasks(backend):
            rendered = render_job(backend, job_of(task), WORKSPACE)
            texts = {"submit": rendered.submit, **({"script": rendered.script} if is_shell(backend) else {})}
            texts |= {name: about(backend, spec, ["1", "2"]) for name, spec in queries(backend).items()}
            texts["find"] = finding(backend, ["token"]) or ""
            texts |= {
                f"functions.{name}": function_text(name, body.render(backend.values))
                for name, body in backend.functions.items()
            }
            if backend.version_command:
                texts["version"] = backend.version_command.render(backend.values)
            problems += [f"{name}{words}: {why}" for name, text in texts.items() if (why := shell_refusal(text))]
    return outcome_of(list(dict.fromkeys(problems)))


def _tasks(backend: Backend) -> Iterator[Task]:
    """A task that asks for nothing, and one for each thing that can be asked for."""
    yield plain_task(backend)
    for name in RESOURCE_FIELDS:
        for value in _values(backend, name)[:1]:
            task = plain_task(backend, _resources(name, value))
            try:
                text_of(backend, task)
            except TaskError:
                continue
            yield task


def _resources(name: str, value: Any) -> Resources:
    return Resources(**{RESOURCE_FIELDS[name]: value})


_GIB = 1024**3
_PAIRS: dict[str, tuple[Any, ...]] = {
    "cpu": (2, 3), "cpu_limit": (2, 3), "gpu": (1, 2), "nodes": (1, 2), "ranks": (2, 3), "priority": (1, 2),
    "ram": (_GIB, 2 * _GIB), "ram_limit": (_GIB, 2 * _GIB), "disk": (_GIB, 2 * _GIB), "walltime": (600, 1200),
    "queue": ("one", "two"), "account": ("one", "two"), "preemptible": (None, True),
}  # fmt: skip


def _values(backend: Backend, name: str) -> tuple[Any, ...]:
    if name == "queue" and backend.queues:
        return tuple(queue.name for queue in backend.queues[:2])
    return _PAIRS[name]


def resources(subject: Subject) -> Outcome:
    """Every resource that a task may ask for changes what is written, or is refused: none is dropped in silence."""
    problems = []
    for words, backend in subject.variants():
        for name in RESOURCE_FIELDS:
            if name in backend.limits.capacity:
                continue  # adapter itself keeps to it
            texts, refused = _texts(backend, name)
            if len(texts) == 2 and len(set(texts)) == 1:
                problems.append(f"{name} is taken and changes nothing{words}")
            if backend.is_supported(name) and not texts and not isinstance(refused, UnsupportedResource):
                problems.append(f"{name} cannot be written{words}: {refused}")
    return outcome_of(problems)


def _texts(backend: Backend, name: str) -> tuple[list[str], TaskError | None]:
    texts: list[str] = []
    for value in _values(backend, name):
        try:
            texts.append(text_of(backend, plain_task(backend, _resources(name, value))))
        except TaskError as error:
            return texts, error
    return texts, None


# ---- units -------------------------------------------------------------------------------------------------------

_BYTE_UNITS = (1, 1024, 1024**2, 1024**3, 1024**4, 1000, 1000**2, 1000**3, 1000**4)
_IN_BYTES = ("ram", "ram_limit", "disk")
_SECOND_UNITS = (1, 60, 3600, 86400)
_LARGE = tuple(gib * _GIB for gib in (1024, 64, 16, 4, 2))
_NUMBER = re.compile(r"\d+(?:[-:.]\d+)*(?:[kmgtKMGT]?i?[bB]?\b)?")
_SUFFIX = re.compile(r"(?P<power>[kmgt]?)i?(?P<byte>b?)$", re.IGNORECASE)
_ODD_BYTES = 1_500_000_001
_AMOUNTS: dict[str, tuple[float, float, tuple[float, ...]]] = {  # an odd one, the least, and those to compare with
    "walltime": (3661, 1, (7322, 4000)),
    "cpu": (1.5, 0.5, (4, 2)),
    "cpu_limit": (1.5, 0.5, (4, 2)),
}


def units(subject: Subject) -> Outcome:
    """What is asked for is never written smaller, nor as zero, whatever the unit."""
    problems = []
    tried = False
    for words, backend in subject.variants():
        for name in ("ram", "ram_limit", "disk", "walltime", "cpu", "cpu_limit"):
            if not backend.is_supported(name):
                continue
            found = _losses(backend, name)
            tried = tried or found is not None
            problems += [f"{name}: {problem}{words}" for problem in found or ()]
    return outcome_of(problems) if tried or problems else not_applicable("nothing with a unit is written anywhere")


def _losses(backend: Backend, name: str) -> list[str] | None:
    """Return what is lost of *name*; ``None`` where its amount is not written."""
    field = RESOURCE_FIELDS[name]
    odd, tiny, large = _AMOUNTS.get(name, (_ODD_BYTES, 1, _LARGE))
    for other in large:
        try:
            small, least, big = (asked(backend, **{field: value}) for value in (odd, tiny, other))
        except TaskError:
            continue
        pairs = _changed(small, big)
        if not pairs:
            return None
        lost = [f"{odd} is written as {mine}" for mine, its in pairs if _is_less(name, mine, odd, its, other)]
        lost += [f"{other} is written as {its}" for _, its in pairs if name in _IN_BYTES and _is_misnamed(its, other)]
        zeros = [f"{tiny} is written as {mine}" for mine, _ in _changed(least, big) if not _digits(mine)]
        return [*dict.fromkeys(lost), *dict.fromkeys(zeros)]
    return None


def _changed(one: str, other: str) -> list[tuple[str, str]]:
    """Return the numbers that differ between two texts that differ in nothing else."""
    mine, its = _NUMBER.findall(one), _NUMBER.findall(other)
    return [pair for pair in zip(mine, its, strict=True) if pair[0] != pair[1]] if len(mine) == len(its) else []


def _digits(text: str) -> bool:
    return any(digit in text for digit in "123456789")


def _is_less(name: str, written: str, value: float, large: str, large_value: float) -> bool:
    if name == "walltime":
        meant = _seconds(written)
        return bool(meant) and min(meant, key=lambda seconds: abs(seconds - value)) < value
    amount, reference = _amount(written), _amount(large)
    if amount is None or reference is None:
        return False
    fitting = _fitting((1, 1 / 1000) if name.startswith("cpu") else _BYTE_UNITS, reference, large_value)
    return bool(fitting) and all(amount * unit < value * (1 - 1e-9) for unit in fitting)


def _amount(written: str) -> float | None:
    try:
        return float(_SUFFIX.sub("", written))
    except ValueError:
        return None


def _fitting(units_known: tuple[float, ...], written: float, value: float) -> list[float]:
    """Return the units in which *value* may have been written as that number."""
    return [unit for unit in units_known if written and abs(value / unit - written) < 1]


def _is_misnamed(written: str, value: float) -> bool:
    """Whether the unit behind a number is another than the one that it was counted in."""
    suffix, amount = _SUFFIX.search(written), _amount(written)
    if suffix is None or amount is None or not suffix[0]:
        return False
    power = " kmgt".index(suffix["power"].lower() or " ")
    fitting = _fitting(_BYTE_UNITS, amount, value)
    return bool(fitting) and not {1000**power, 1024**power} & set(fitting)


def _seconds(text: str) -> list[float]:
    """Return what a written time may mean, in seconds."""
    days, dash, rest = text.rpartition("-")
    if dash and not days.isdigit():
        return []
    parts = rest.split(":")
    if not all(re.fullmatch(r"\d+(?:\.\d+)?", part) for part in parts):
        return []
    numbers = [float(part) for part in parts]
    base = float(days or 0) * 86400
    match numbers:
        case [one]:
            return [one * unit for unit in _SECOND_UNITS]
        case [one, two]:
            return [base + one * 3600 + two * 60, base + one * 60 + two]
        case [one, two, three]:
            return [base + one * 3600 + two * 60 + three]
    return []


# ---- ids and tokens ----------------------------------------------------------------------------------------------

_FIRST, _SECOND, _THIRD = "7310001", "7310002", "7310003"


def kill(subject: Subject) -> Outcome:
    """Kill names the job it is asked to end, and no other."""
    problems = []
    for words, backend in subject.variants():
        for name in ("kill", "kill.escalate"):
            spec = queries(backend).get(name)
            if spec is None:
                continue
            one, other = about(backend, spec, [_FIRST]), about(backend, spec, [_THIRD])
            if _FIRST not in one:
                problems.append(f"{name} does not name the job{words}")
            elif one.replace(_FIRST, _THIRD) != other:
                problems.append(f"{name} changes with the job in more than its id{words}")
    return outcome_of(problems)


_PLACE = "far-away-7"


def qualifier(subject: Subject) -> Outcome:
    """What a submit answers beside an id (cluster, region, server) is kept, and used by each command about the job."""
    problems = []
    for backend, capture in subject.of("submit"):
        kept = capture.expect.get("job_id")
        bare = parts(backend.submit, kept)[0]
        rest = (
            re.search(rf"(?<![\w.]){re.escape(bare)}[;@.:](?P<place>[A-Za-z][\w.-]*)", capture.stdout) if bare else None
        )
        if rest and rest["place"] not in (kept or ""):
            problems.append(
                f"{capture.file}: the answer says {rest[0]}, and {bare} is kept: "
                "let job_id take all of it, or give its pattern a group `qualifier`"
            )
    tried = [variant for variant in subject.variants() if variant[1].submit.has_qualifier]
    for words, backend in tried:
        specs = queries(backend) | {
            f"logs.{name}": log for name, log in backend.logs.items() if isinstance(log, LogSpec)
        }
        problems += [
            f"{name} is about a job of {_PLACE} and does not name that{words}: use `qualifier`"
            for name, spec in specs.items()
            if (spec.takes_one or spec.takes_many) and _PLACE not in about(backend, spec, [f"{_FIRST};{_PLACE}"])
        ]
        grammar = backend.find.grammar if backend.find else None
        if grammar is not None and "qualifier" not in grammar.names:
            problems.append(f"find reads no `qualifier`, so that half of an id is found{words}")
    if problems or tried or any(subject.of("submit")):
        return outcome_of(problems)
    return not_applicable("no submit capture, and no qualifier is read")


def many_ids(subject: Subject) -> Outcome:
    """A command about many jobs names each of them, so that they can be told apart."""
    problems = []
    tried = False
    for words, backend in subject.variants():
        for name, spec in queries(backend).items():
            if not spec.takes_many:
                continue
            tried = True
            text = about(backend, spec, [_FIRST, _SECOND])
            missing = [one for one in (_FIRST, _SECOND) if one not in text]
            if missing:
                problems.append(f"{name} names only some of the jobs it is asked about{words}")
            elif glued := _glued(text):
                problems.append(f"{name} makes one word of two ids, {glued!r}{words}")
    return outcome_of(problems) if tried else not_applicable("every command is about one job")


def _glued(text: str) -> str | None:
    try:
        words = shlex.split(text)
    except ValueError:
        words = [text]
    return next((word for word in words if re.search(rf"{_FIRST}(\s*|\\n){_SECOND}", word)), None)


def length(subject: Subject) -> Outcome:
    """No command is longer than 100 kB, with as many jobs as it takes."""
    ids = [one for _, capture in subject.of("monitor", "result", "kill") for one in capture.asked]
    longest = max([*ids, "1234567890"], key=len)
    problems = []
    for words, backend in subject.variants():
        for name, spec in queries(backend).items():
            most = backend.kill.max_ids if name.startswith("kill") else getattr(spec, "max_ids", 1)
            text = about(backend, spec, [longest] * most)
            if len(text.encode()) > MOST_BYTES:
                problems.append(f"{name} for {most} jobs (max_ids) is {len(text.encode()) // 1000} kB long{words}")
        tokens = [f"adapter-{RUN}-{index}-1" for index in range(1, backend.limits.submit_batch + 1)]
        text = finding(backend, tokens) or ""
        if len(text.encode()) > MOST_BYTES:
            problems.append(
                f"find for {len(tokens)} tokens (submit_batch) is {len(text.encode()) // 1000} kB long{words}"
            )
    return outcome_of(problems)


def token(subject: Subject) -> Outcome:
    """What find looks for is put on the job when it is handed over."""
    shown = [capture for _, capture in subject.of("find") if capture.expect.get("found")]
    if subject.backend.find is None:
        return not_applicable("the backend has no find: a lost submit answer is told by the job's directory alone")
    if not shown and "tokens" not in subject.backend.find.variables:
        return not_applicable("no capture shows that find finds something")
    problems = []
    for words, backend in subject.variants():
        job = job_of(plain_task(backend))
        if job.token not in text_of(backend, job.task):
            problems.append(f"neither script nor submit command holds the token{words}")
    return outcome_of(problems)


def logs(subject: Subject) -> Outcome:
    """The files that logs name are those that the job's script writes."""
    problems = []
    tried = False
    for words, backend in subject.variants():
        if not is_shell(backend):
            continue
        text = text_of(backend, plain_task(backend))
        for stream, spec in backend.logs.items():
            if isinstance(spec, Template):
                tried = True
                path = _log_path(backend, spec)
                if path not in text:
                    problems.append(f"logs.{stream} is {path}, which the job never writes{words}")
                elif " " not in _log_path(backend, spec, "/scratch/a b"):
                    problems.append(f"logs.{stream} is cut where a blank stands in the path{words}")
    return outcome_of(problems) if tried else not_applicable("no log is a file that a script writes")


def _log_path(backend: Backend, spec: Template, workspace: str = WORKSPACE) -> str:
    values = job_values(backend, job_of(plain_task(backend), workspace), workspace)
    return shlex.split(spec.render(values))[0]


def submits(subject: Subject) -> Outcome:
    """The submit command hands over the script that was rendered."""
    problems = []
    for words, backend in subject.variants():
        job = job_of(plain_task(backend))
        rendered = render_job(backend, job, WORKSPACE)
        beside = (job.directory or "") in rendered.submit and "./script" in rendered.submit
        if not beside and f"{job.directory}/script" not in rendered.submit:
            problems.append(f"submit does not name the job's script{words}")
    return outcome_of(problems)


def outer_job(subject: Subject) -> Outcome:
    """What tells a job its id and its place in an array is never handed on by a job from which it was submitted."""
    problems = []
    tried = False
    for words, backend in subject.variants():
        if not is_shell(backend):
            continue
        names = {*backend.submit.inside_reads, *([backend.array.index] if backend.array else [])}
        tried = tried or bool(names)
        problems += [
            f"submit.environment does not drop {name}, by which a job knows itself{words}"
            for name in sorted(names)
            if not backend.submit.drops(name)
        ]
    return outcome_of(problems) if tried else not_applicable("no job learns from a variable who it is")


def prologue(subject: Subject) -> Outcome:
    """The lines of a prologue stand in the job's script, before its steps."""
    problems = []
    if not is_shell(subject.backend):
        return not_applicable("no shell reads what is handed over")
    for words, backend in subject.variants():
        script = render_job(replace(backend, prologue=("load a-module",)), job_of(_marked(backend)), WORKSPACE).script
        loads, step = script.find("load a-module"), script.find("a-step")
        if loads == -1 or step == -1:
            problems.append(f"a line of a prologue is not in the script{words}")
        elif loads > step:
            problems.append(f"a line of a prologue stands after the steps{words}")
    return outcome_of(problems)


def _marked(backend: Backend) -> Task:
    return replace(plain_task(backend), name="marked", steps=(Step(argv=("a-step",)),))


def values(subject: Subject) -> Outcome:
    """Every value of the file is used: one that nothing uses is misspelt, or what used it is gone."""
    document = subject.backend.document
    named = document.get("values") or {}
    if not named:
        return not_applicable("the file has no values")
    return outcome_of([f"values.{name} is used by nothing" for name in unused_values(document)])


def pages(subject: Subject) -> Outcome:
    """A command that can ask for a further page is told by the answer where it begins."""
    problems = []
    specs = {"monitor": subject.backend.monitor, "result": subject.backend.result, "find": subject.backend.find}
    asking = {name: spec for name, spec in specs.items() if spec is not None and "next" in spec.variables}
    for name, spec in asking.items():
        if not isinstance(spec.grammar, JsonRows) or spec.grammar.next is None:
            problems.append(f"{name} asks for further pages with `next`, and {name}.json reads none")
    return outcome_of(problems) if asking else not_applicable("no command asks for further pages")


def exit_file(backend: Backend) -> bool:
    """Whether the job's own wrapper leaves an exit file, which tells how it ended."""
    if not is_shell(backend):
        return False
    script = render_job(backend, job_of(plain_task(backend)), WORKSPACE).script
    read = [library()[name] for name in files_for(backend, "job") if f"/{name}.sh" in script]
    return any("exit_code" in text for text in (script, *read))
