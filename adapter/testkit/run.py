"""One backend through the whole kit: its rules, its captures and its goldens."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING

from adapter.config.document import MOST_BYTES, read_file
from adapter.config.load import load_backend, load_merged
from adapter.config.search import Found, files_in, is_path, shipped
from adapter.config.tasks import load_tasks
from adapter.errors import AdapterError, BackendNotFound, ConfigError
from adapter.testkit.capture import find_captures
from adapter.testkit.golden import difference, more
from adapter.testkit.replay import replay
from adapter.testkit.rules import RULES, check, check_file, sentence
from adapter.testkit.subject import Outcome, Status, Subject, failed, not_applicable, outcome_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from adapter.core.backend import Backend
    from adapter.core.task import Task
    from adapter.results import Problem
    from adapter.testkit.capture import Capture, Folder

    Render = Callable[[Backend, Sequence[Task]], str]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a report: a ``rule``, a ``capture`` or a ``golden``, its name, what it is about, how it came out."""

    kind: str
    name: str
    about: str
    outcome: Outcome


@dataclass(slots=True)
class Report:
    """What became of one backend; ``notes`` are what a reader has to know, such as whose captures these are."""

    backend: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        """Whether nothing failed."""
        return self.count(Status.FAILED) == 0

    def count(self, status: Status) -> int:
        """Return how many rows came out like that."""
        return sum(row.outcome.status is status for row in self.rows)


def shipped_backends() -> list[str]:
    """Return the files of the backends that came with this package and are not only there to be extended."""
    home = shipped("templates")
    return [found.shown for found in files_in(Found(str(home), home)) if not _is_abstract(found.shown)]


def _is_abstract(file: str) -> bool:
    try:
        return bool(load_merged(file).document.get("abstract"))
    except ConfigError:
        return False  # its mistakes are to be seen


def examine(name_or_path: str, extra: Sequence[Path], render: Render) -> Report:
    """Return the report on a backend; *extra* are further folders of captures, *render* gives a golden's text.

    Raises:
        BackendNotFound: there is none of that name.
    """
    try:
        loaded = load_backend(name_or_path, trust=True)  # nothing of it is executed
    except BackendNotFound:
        raise
    except ConfigError as error:
        return _not_valid(name_or_path, error.problems)
    backend = loaded.backend
    found = find_captures(backend.name, backend.lineage, loaded.provenance, extra)
    report = Report(backend.name, notes=_notes(backend, found.folders))
    report.rows += [Row("rule", name, sentence(name), outcome) for name, outcome in check_file(()).items()]
    subject = Subject(backend, tuple(capture for folder in found.folders for capture in folder.captures))
    report.rows += [Row("rule", name, sentence(name), check(subject, name)) for name in RULES]
    report.rows += [Row("capture", one.file or "?", "it can be read", failed(str(one))) for one in found.problems]
    for folder in found.folders:
        report.rows += [capture_row(backend, capture) for capture in folder.captures]
        report.rows += [row for golden in folder.goldens for row in golden_rows(backend, golden, render)]
    return report


def _not_valid(name: str, problems: Sequence[Problem]) -> Report:
    """What can be said of a file that cannot be loaded."""
    report = Report(PurePath(name).stem if is_path(name) else name)
    report.rows += [Row("rule", rule, sentence(rule), outcome) for rule, outcome in check_file(problems).items()]
    report.rows += [Row("rule", rule, sentence(rule), not_applicable("the file is not valid")) for rule in RULES]
    return report


def _notes(backend: Backend, folders: Sequence[Folder]) -> list[str]:
    notes = [
        f"{backend.name} has no captures of its own: those of {folder.inherited_from} are replayed ({folder.shown})"
        for folder in folders
        if folder.inherited_from
    ]
    if not any(folder.captures for folder in folders):
        notes.append("no captures were found: nothing is proved yet about how answers are read")
    return notes


def capture_row(backend: Backend, capture: Capture) -> Row:
    """Return how a capture comes out."""
    try:
        outcome = outcome_of(replay(backend, capture))
    except AdapterError as error:
        outcome = failed(str(error))
    return Row("capture", capture.file, capture.about, outcome)


def golden_rows(backend: Backend, golden: Path, render: Render) -> Iterator[Row]:
    """Return how a golden comes out; ``NAME.more.txt`` beside it, if there is one, is compared too."""
    yield _golden_row(golden, golden.with_suffix(".txt"), lambda: render(backend, load_tasks(golden)))
    further = golden.with_suffix(".more.txt")
    if further.exists():
        yield _golden_row(further, further, lambda: more(backend))


def _golden_row(shown: Path, expected: Path, render: Callable[[], str]) -> Row:
    try:
        text = render()
        wanted = read_file(expected, str(expected), most=MOST_BYTES).decode("utf-8", "replace")
    except AdapterError as error:
        outcome = failed(str(error))
    except OSError as error:
        outcome = failed(f"{expected.name} cannot be read: {error.strerror}; write there what should be rendered")
    else:
        why = difference(wanted, text)
        outcome = outcome_of([why] if why else [])
    return Row("golden", str(shown), f"it is rendered as {expected.name} says", outcome)
