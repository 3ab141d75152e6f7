"""Which folders of finished jobs may go, and the commands that remove those and nothing else. Pure.

A path is never taken from the store as it is: it must be WORKSPACE/RUN/NAME with names of our own making. What
happens on the target is in ``templates/lib/clean.sh``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapter.core.batch import Command
from adapter.core.state import State
from adapter.core.template import quote, words
from adapter.core.units import format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from adapter.core.job import Job

_RUN = re.compile(r"[0-9a-hjkmnp-tv-z]{10}")
_FOLDER = re.compile(r"[0-9]{4,}-[A-Za-z0-9._-]{1,40}(\.[0-9]+)?")
_CONTENT = re.compile(r"[0-9a-f]{64}(\.x)?")
_PART = re.compile(r"([0-9a-f]{64}(\.x)?|bundle-[0-9a-f]{12})\.part(\.d)?")
_OUT = re.compile(r"out-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Selection:
    """What may be removed of one run: ``jobs`` whose folder may go, ``kept`` those of jobs that went wrong.

    ``why_not`` says why the whole run is left alone; it is empty where it is not.
    """

    jobs: tuple[Job, ...] = ()
    kept: tuple[Job, ...] = ()
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What a step says about one name: ``what`` happened to it, its size in bytes, and why (mostly empty).

    ``found`` (it is there, nothing was done), ``removed``, ``gone`` (it was not there), ``refused`` (it is not what it
    should be), ``failed`` (it could not be removed), ``unknown`` (no answer came).
    """

    what: str
    size_bytes: int = 0
    text: str = ""


def select(
    jobs: Sequence[Job], *, now: float, older_than_s: float | None = None, with_failed: bool = False
) -> Selection:
    """Return which folders of one run's *jobs* may go. A run with a job that is not at its very end keeps them all.

    *older_than_s* is the age of the run's end, ``None`` for any.
    """
    for job in jobs:
        if not job.state.is_final:
            return Selection(why_not=f"job {job.key} has not ended ({job.verdict})")
        if not job.collected:
            return Selection(why_not=f"job {job.key} is not collected")
    age_s = now - max((now if job.ended_at is None else job.ended_at for job in jobs), default=now)
    if older_than_s is not None and age_s < older_than_s:
        return Selection(why_not=f"it ended {format_seconds(age_s)} ago")
    there = [job for job in jobs if job.directory is not None]
    kept = () if with_failed else tuple(job for job in there if _went_wrong(job))
    return Selection(jobs=tuple(job for job in there if job not in kept), kept=kept)


def _went_wrong(job: Job) -> bool:
    """Outputs that could not be brought are still in the job's folder, and nowhere else."""
    return job.state is not State.SUCCEEDED or bool(job.collect_problem)


def workspace_of(job: Job) -> str | None:
    """Return the workspace in which *job*'s folder stands; ``None`` if the store's path is not one of our making."""
    end = f"/{job.run}/{job.folder_name}"
    if job.directory is None or not (_RUN.fullmatch(job.run) and _FOLDER.fullmatch(job.folder_name)):
        return None
    workspace = job.directory.removesuffix(end)
    is_ours = job.directory.endswith(end) and workspace.startswith("/") and ".." not in workspace.split("/")
    return workspace if is_ours else None


def folders_step(where: str, workspace: str, jobs: Sequence[Job], *, remove: bool) -> Command:
    """Return the command that lists, or removes, the folders of *jobs* of one run in *workspace*.

    *where* is shell text for the workspace as the backend file has it: where that leads elsewhere now, nothing is done.
    """
    names = words(job.folder_name for job in jobs)
    text = f"clean_run {'remove' if remove else 'list'} {jobs[0].run} {names}"
    return _clean(where, workspace, text)


def _clean(where: str, workspace: str, *lines: str) -> Command:
    text = "\n".join([f"# clean\nbegin_clean {where} {quote(workspace)}", *lines, ":"])
    return Command(text, library=("clean",))


def store_list_step(where: str, workspace: str) -> Command:
    """Return the command that lists what of the store of *workspace* may go, now or once no job directory links to it.

    To be asked before job directories go: what they link to was placed, and belongs to no upload under way.
    """
    return _clean(where, workspace, "list_store")


@dataclass(frozen=True, slots=True)
class ContentStore:
    """What of a store may go, by name, with sizes in bytes.

    ``unlinked`` content and ``left_behind`` pieces of transfers may go now, ``linked`` content once no job needs it.
    """

    unlinked: dict[str, int]
    linked: dict[str, int]
    left_behind: dict[str, int]


def read_store(stdout: str) -> ContentStore:
    """Return what :func:`store_list_step`'s answer says; names that are not of our making are left out."""
    rows = [(match[1], match[3], int(match[2]) * 1024) for match in _STORE_ROW.finditer(stdout)]
    named = {word: {name: size for kind, name, size in rows if kind == word} for word in _STORE_NAMES}
    ours = {
        word: {name: size for name, size in named[word].items() if p.fullmatch(name)}
        for word, p in _STORE_NAMES.items()
    }
    return ContentStore(ours["unlinked"], ours["linked"], {**ours["out"], **ours["part"]})


_STORE_NAMES = {"unlinked": _CONTENT, "linked": _CONTENT, "out": _OUT, "part": _PART}
_STORE_ROW = re.compile(r"^([a-z]+) ([0-9]{1,15}) (\S+)$", re.MULTILINE)


def store_remove_step(where: str, workspace: str, names: Iterable[str]) -> Command:
    """Return the command that removes *names* from the store of *workspace*: content only if nothing links to it."""
    names = list(names)
    outs = [name for name in names if _OUT.fullmatch(name)]
    parts = [name for name in names if _PART.fullmatch(name)]
    contents = [name for name in names if _CONTENT.fullmatch(name)]
    lines = [f"into_files\nremove_left {words(outs)}", f"into_store\nremove_left {words(parts)}"]
    return _clean(where, workspace, *lines, f"remove_content {words(contents)}")


def read_found(stdout: str) -> dict[str, Found]:
    """Return what a step's answer says, by the names that it was about."""
    return {
        match["name"]: Found(match["what"], int(match["kib"]) * 1024, (match["text"] or "").strip())
        for match in _FOUND_ROW.finditer(stdout)
    }


_FOUND_ROW = re.compile(
    r"^(?P<what>found|removed|gone|refused|failed) (?P<kib>[0-9]{1,15}) (?P<name>\S+)(?: (?P<text>.*))?$", re.MULTILINE
)
