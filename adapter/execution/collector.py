"""Bringing back what ended jobs left: their declared outputs.

The files of all jobs arrive in folders of their own and are then put in their places. A file that is here already is
replaced only if the run was told to, or if an earlier attempt of the same task brought it; otherwise both are kept.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from adapter.config.local_paths import same_file
from adapter.core.local_files import Claim
from adapter.core.render import job_values
from adapter.core.state import State
from adapter.errors import ConnectError, TransportError
from adapter.transports.base import Download
from adapter.transports.place import arrivals, put_in_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapter.core.job import Job
    from adapter.core.task import Output
    from adapter.execution.job_table import JobTable

_MOST_NAMED = 3
_ARRIVALS = (".adapter-*.part/*", "*/.adapter-*.part/*")


@dataclass
class _Arrival:
    """The files of one job on their way: the folder that each output arrives in, and what became of them."""

    job: Job
    work: str
    folders: list[Path] = field(default_factory=list)
    files: list[list[str]] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)  # by path here: the path on the target
    kept: dict[Path, tuple[Path, Claim | None]] = field(default_factory=dict)  # where it is instead, and why

    def downloads(self) -> list[Download]:
        """Return what to bring; where files arrive in a folder that the task works in, those are not its outputs."""
        never = _ARRIVALS if self.job.task.workdir is not None else ()
        return [
            Download(folder=self.work, pattern=output.path, to=str(folder), exclude=(*output.exclude, *never))
            for output, folder in zip(_brought(self.job), self.folders, strict=True)
        ]


class Collector:
    """Brings the declared outputs of the ended jobs of an executor."""

    def __init__(self, table: JobTable) -> None:
        """Nothing is brought before the executor says so."""
        self._table = table
        self._claims: dict[str, dict[str, Claim]] = {}  # by run: the files here that its jobs brought

    async def collect(self) -> None:
        """Bring the outputs of every job that ended and was not collected yet, all in one go."""
        table = self._table
        for run in table.foreign:  # another process brings its files, and knows better
            self._claims.pop(run, None)
        ended = [job for job in table.mine() if job.state.is_final and not job.collected]
        without = [job for job in ended if not _brought(job) or job.directory is None]
        await table.update(*(job.but(collected=True) for job in without))
        jobs = [job for job in ended if _brought(job) and job.directory is not None]
        if not jobs:
            return
        try:
            await self._bring(jobs)
        except ConnectError:
            raise
        except TransportError:
            for job in jobs:  # one job's files cannot be brought: it alone has a problem
                await self._bring_alone(job)

    async def _bring_alone(self, job: Job) -> None:
        try:
            await self._bring([job])
        except ConnectError:
            raise
        except TransportError as error:
            await self._table.update(job.but(collected=True, collect_problem=str(error)))

    async def _bring(self, jobs: Sequence[Job]) -> None:
        table = self._table
        for run in {job.run for job in jobs} - self._claims.keys():
            brought = await table.clock.in_thread(table.store.brought, run)
            self._claims[run] = {path: Claim(*entry) for path, entry in brought.items()}
        with ExitStack() as stack:
            arriving = [self._arrival(job, stack) for job in jobs]
            downloads = [each.downloads() for each in arriving]
            files = iter(await table.client.get([download for each in downloads for download in each]))
            for each, wanted in zip(arriving, downloads, strict=True):
                each.files = [next(files) for _ in wanted]
            await asyncio.to_thread(self._put_all, arriving)
        await table.clock.in_thread(table.store.add_brought, [(each.job, each.sources) for each in arriving])
        await table.update(*(self._collected(each) for each in arriving))

    def _arrival(self, job: Job, stack: ExitStack) -> _Arrival:
        work = job_values(self._table.backend, job, self._table.client.workspace)["work_directory"]
        names = (f"{job.token}-{number}" for number, _ in enumerate(_brought(job), 1))
        folders = [
            stack.enter_context(arrivals(output.to, name)) for output, name in zip(_brought(job), names, strict=True)
        ]
        return _Arrival(job, work, folders)

    # -- from where they arrived to where they belong

    def _put_all(self, arriving: Sequence[_Arrival]) -> None:
        for each in arriving:
            for output, folder, files in zip(_brought(each.job), each.folders, each.files, strict=True):
                for file in files:
                    self._put(each, Path(file), Path(file).relative_to(folder), Path(output.to))

    def _put(self, its: _Arrival, file: Path, path: Path, to: Path) -> None:
        """Put *file*, which is *path* in the work folder, to its place below *to*."""
        if not file.exists():
            return  # a stand-in for a machine only says what it would bring
        job, claims, target = its.job, self._claims[its.job.run], to / path
        here, own = same_file(str(target)), Claim(its.job.index, f"{its.work}/{path.as_posix()}")
        claim = claims.get(here)
        if claim is None:
            may_replace = job.replaces
        else:  # two files of one job are never one
            may_replace = claim.is_shared_with(own) and its.sources.get(here, own.source) == own.source

        def is_taken(place: Path) -> bool:
            other = claims.get(same_file(str(place)))
            return other is not None and not other.is_shared_with(own)

        place = put_in_place(file, target, may_replace=may_replace, is_taken=is_taken, mark=job.key)
        placed = same_file(str(place))
        claims[placed], its.sources[placed] = own, own.source
        if place != target:
            its.kept[target] = (place, claim)

    def _collected(self, its: _Arrival) -> Job:
        """Return the job with its files here, and with what is wrong with them."""
        problems = [self._why_kept(its.job, target, *why) for target, why in list(its.kept.items())[:_MOST_NAMED]]
        if len(its.kept) > _MOST_NAMED:
            problems.append(f"and {len(its.kept) - _MOST_NAMED} more files are beside others of their name")
        missing = [
            output.path
            for output, found in zip(_brought(its.job), its.files, strict=True)
            if not found and not output.optional
        ]
        if missing and its.job.state is State.SUCCEEDED:
            problems.append(f"declared outputs are missing: {', '.join(missing)}")
        return its.job.but(collected=True, collect_problem="; ".join(problems))

    def _why_kept(self, job: Job, target: Path, place: Path, claim: Claim | None) -> str:
        if claim is None:
            return f"{target} was here already and stays; what this task brought is {place} (--force replaces)"
        task = next(
            (f"task {each.task.name!r}" for each in self._table.jobs_of(job.run) if each.index == claim.number), ""
        )
        return f"{target} was brought by {task} (job {job.run}.{claim.number}); what this task brought is {place}"


def _brought(job: Job) -> list[Output]:
    """Return the outputs of *job* that are brought here; what has a URL is put there by the service itself."""
    return [output for output in job.task.outputs if output.url is None]
