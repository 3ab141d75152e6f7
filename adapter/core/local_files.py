"""The files of tasks on this machine: where outputs come to, who writes them, and who reads them as inputs. Pure.

Paths are compared by a function that the caller hands in: it says which paths are the same file here.
"""

from __future__ import annotations

import posixpath
import stat
from bisect import bisect_left
from collections import defaultdict
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from adapter.core.task import is_pattern, is_template, rendered_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from adapter.core.task import Input, Output, Task

    Same = Callable[[str], str]


def from_here(task: Task, index: int, absolute: Callable[[str], str]) -> Task:
    """Return *task*, number *index* of its run, with its paths on this machine absolute and its output folders filled.

    Raises:
        RenderError: the text of an output's folder cannot be filled in.
    """
    inputs = (item if item.path is None else replace(item, path=absolute(item.path)) for item in task.inputs)
    outputs = tuple(_output_from_here(item, task.name, index, absolute) for item in task.outputs)
    return replace(task, inputs=tuple(inputs), outputs=outputs)


def _output_from_here(output: Output, name: str, index: int, absolute: Callable[[str], str]) -> Output:
    if output.url is not None:
        return output
    to = absolute(rendered_folder(output, name, index))
    return replace(output, to=to, literal=is_template(to))


def named_files(task: Task) -> Iterator[tuple[int, str]]:
    """Yield the files here that *task* names: the number of the output (from 0) and the path.

    A pattern and a folder (a path that ends in /) name no file: what they bring shows only when it is there.
    """
    for number, output in enumerate(task.outputs):
        if output.url is None and not is_pattern(output.path) and not output.path.endswith("/"):
            yield number, posixpath.join(output.to, *_parts(output.path))


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in {"", "."}]


def writer_problems(tasks: Sequence[Task], same: Same) -> Iterator[tuple[int, int, str]]:
    """Yield where two tasks write one file: number of the later task, number of its output (both from 0), message.

    Two tasks that run in one folder of their own choice name the same file there, too: that is no second writer.
    """
    writers: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    sources: dict[str, set[object]] = defaultdict(set)
    for number, task in enumerate(tasks):
        for place, target, shown in _written(task, same):
            source = (task.workdir, posixpath.normpath(task.outputs[place].path)) if task.workdir else number
            if source not in sources[target]:
                sources[target].add(source)
                writers[target].append((number, place, shown))
    for (first, *_), *others in (each for each in writers.values() if len(each) > 1):
        number, place, shown = others[0]
        both = " and ".join(f"task {tasks[each].name!r} (number {each + 1})" for each in (number, first))
        more = f", as do {len(others) - 1} more" if len(others) > 1 else ""
        fix = _FIX if tasks[number].outputs[place].url is None else "give each its own url"
        yield number, place, f"{both} both write {shown}{more}; {fix}"


_FIX = "give each its own folder, as in to: 'results/{{ name }}', or end the path with / if it is a folder"


def _written(task: Task, same: Same) -> Iterator[tuple[int, str, str]]:
    for place, target in named_files(task):
        yield place, same(target), target
    for place, output in enumerate(task.outputs):
        if output.url is not None and not output.url.endswith("/") and not is_pattern(output.path):
            yield place, output.url, output.url


# -- inputs that are outputs of other tasks


class Maker(NamedTuple):
    """A task that brings what another one takes as an input: its name, and whether the other one comes after it."""

    task: str
    comes_before: bool


class Makers:
    """Finds which tasks of a run bring what a task of it takes as an input."""

    def __init__(self, tasks: Sequence[Task], same: Same) -> None:
        """Take all *tasks* of the run, their paths as :func:`from_here` gives them."""
        self._tasks, self._same = tasks, same
        self._after: dict[str, set[str]] = defaultdict(set)
        self._brought: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))  # folder, pattern: tasks
        for task in tasks:
            self._after[task.name].update(after.task for after in task.after)
            for output in task.outputs:
                if output.url is None:
                    folder, rest = _fixed_part(output, same)
                    self._brought[folder][rest].add(task.name)
        self._folders = sorted(self._brought)

    def of(self, number: int, item: Input) -> list[Maker]:
        """Return the tasks that bring files at, below or above *item*, an input of the task *number* (from 0)."""
        if item.path is None or not self._folders:
            return []
        task, path = self._tasks[number], self._same(item.path)
        names = {name for folder, rest in self._near(path) for name in self._brought[folder][rest]} - {task.name}
        if not names:
            return []
        before = self._all_before(task)
        return [Maker(name, name in before) for name in sorted(names)]

    def names_of(self, number: int) -> tuple[str, ...]:
        """Return the tasks before the task *number* whose files are inputs of it."""
        task = self._tasks[number]
        if not task.after:
            return ()
        makers = (maker for item in task.inputs for maker in self.of(number, item))
        return tuple(sorted({maker.task for maker in makers if maker.comes_before}))

    def _near(self, path: str) -> Iterator[tuple[str, str]]:
        """Yield the folder and the pattern of what may bring a file at, below or above *path*."""
        above = path
        while True:
            below = posixpath.relpath(path, above)
            for rest in self._brought.get(above, ()):
                if _may_meet(below, rest):
                    yield above, rest
            if above == posixpath.dirname(above):
                break
            above = posixpath.dirname(above)
        inside = path.rstrip("/") + "/"
        for folder in self._folders[bisect_left(self._folders, inside) :]:
            if not folder.startswith(inside):
                break
            for rest in self._brought[folder]:
                yield folder, rest

    def _all_before(self, task: Task) -> set[str]:
        found: set[str] = set()
        waiting = [after.task for after in task.after]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self._after.get(name, ())
        return found


def reading_hints(tasks: Sequence[Task], same: Same, *, most: int = 3) -> list[str]:
    """Return a sentence for the first inputs that lie where a task writes that the reader does not come after."""
    makers, hints = Makers(tasks, same), dict[str, None]()
    for number, task in enumerate(tasks):
        for item in task.inputs:
            unordered = [maker.task for maker in makers.of(number, item) if not maker.comes_before]
            if unordered and len(hints) < most:
                hints[f"task {task.name!r} reads {item.path}, {after_hint(unordered)}"] = None
    return list(hints)


def missing_input(path: str, makers: Sequence[Maker]) -> str | None:
    """Return what is wrong with an input that is not here, ``None`` if a task before it will bring it."""
    if any(maker.comes_before for maker in makers):
        return None
    hint = f", {after_hint([maker.task for maker in makers])}" if makers else ""
    return f"no input file {path}{hint}"


_SPECIAL = {
    stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


def special_kind(mode: int) -> str | None:
    """Return what a file of this *mode* is, ``None`` for a file or a folder: reading from others may never end."""
    return _SPECIAL.get(stat.S_IFMT(mode))


def special_input(kind: str) -> str:
    """Return why what is *kind* cannot be sent."""
    return f"it is {kind}, and only files and folders can be an input"


def after_hint(makers: Sequence[str]) -> str:
    """Return who makes a file, and what to write so that a task waits for them."""
    shown = ", ".join(makers[:3]) + (", ..." if len(makers) > 3 else "")
    who = f"task {makers[0]!r} makes" if len(makers) == 1 else f"tasks {shown} make"
    return f"which {who}; add after: [{shown}]"


def _fixed_part(output: Output, same: Same) -> tuple[str, str]:
    """Return the folder below which *output* brings files, links followed, and the pattern that is left."""
    parts = _parts(output.path)
    at = next((number for number, part in enumerate(parts) if is_pattern(part)), len(parts))
    return same(posixpath.join(output.to, *parts[:at])), "/".join(parts[at:])


def _may_meet(path: str, pattern: str) -> bool:
    """Whether *path* may be, hold, or lie in what *pattern* matches; both are seen from the same folder.

    >>> _may_meet("a.txt", "*.txt"), _may_meet("a.log", "*.txt"), _may_meet("sub", "*/x.txt"), _may_meet(".", "*")
    (True, False, True, True)
    """
    if path == "." or not pattern:
        return True
    for part, glob in zip(path.split("/"), pattern.split("/"), strict=False):
        if glob == "**":
            return True
        if not fnmatchcase(part, glob):
            return False
    return True


# -- names for what may not take its place


def beside(name: str, mark: str) -> str:
    """Return a file name for what may not replace *name*: with *mark* before its ending.

    >>> beside("out.txt", "k3v5.2"), beside("log", "k3v5.2"), beside(".rc", "k3v5.2")
    ('out.k3v5.2.txt', 'log.k3v5.2', '.rc.k3v5.2')
    """
    stem, ending = posixpath.splitext(name)
    return f"{stem}.{mark}{ending}"


class Claim(NamedTuple):
    """Who brought a file here: the number of the task in its run, and the file's path on the target."""

    number: int
    source: str

    def is_shared_with(self, other: Claim) -> bool:
        """Whether *other* may replace it: another attempt of the same task, or the same file on the target."""
        return self.number == other.number or self.source == other.source
