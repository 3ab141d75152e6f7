"""Bringing back what ended jobs left: their declared outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapter.core.render import job_values
from adapter.core.state import State
from adapter.errors import ConnectError, TransportError
from adapter.transports.base import Download

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapter.core.job import Job
    from adapter.core.task import Output
    from adapter.execution.book import Book


class Collector:
    """Brings the declared outputs of the ended jobs of an executor."""

    def __init__(self, book: Book) -> None:
        """Nothing is brought before the executor says so."""
        self._book = book

    async def collect(self) -> None:
        """Bring the outputs of every job that ended and was not collected yet, all in one go."""
        book = self._book
        ended = [job for job in book.mine() if job.state.is_final and not job.collected]
        without = [job for job in ended if not _brought(job) or job.directory is None]
        await book.update(*(job.but(collected=True) for job in without))
        jobs = [job for job in ended if _brought(job) and job.directory is not None]
        if not jobs:
            return
        wanted = {job.key: self._downloads(job) for job in jobs}
        try:
            brought = await book.site.get([download for each in wanted.values() for download in each])
        except ConnectError:
            raise
        except TransportError:
            await self._one_by_one(jobs, wanted)
            return
        files = iter(brought)
        collected = [self._collected(job, [next(files) for _ in wanted[job.key]]) for job in jobs]
        await book.update(*collected)

    async def _one_by_one(self, jobs: Sequence[Job], wanted: dict[str, list[Download]]) -> None:
        """One job's files cannot be brought: it alone has a problem."""
        for job in jobs:
            try:
                files = await self._book.site.get(wanted[job.key])
            except ConnectError:
                raise
            except TransportError as error:
                await self._book.update(job.but(collected=True, collect_problem=str(error)))
            else:
                await self._book.update(self._collected(job, files))

    def _downloads(self, job: Job) -> list[Download]:
        values = job_values(self._book.backend, job, self._book.site.workspace)
        return [
            Download(folder=values["work_directory"], pattern=output.path, to=output.to, exclude=output.exclude)
            for output in _brought(job)
        ]

    def _collected(self, job: Job, files: Sequence[Sequence[str]]) -> Job:
        missing = [
            output.path for output, found in zip(_brought(job), files, strict=True) if not found and not output.optional
        ]
        if missing and job.state is State.SUCCEEDED:
            return job.but(collected=True, collect_problem=f"declared outputs are missing: {', '.join(missing)}")
        return job.but(collected=True)


def _brought(job: Job) -> list[Output]:
    """Return the outputs of *job* that are brought here; what has a URL is put there by the service itself."""
    return [output for output in job.task.outputs if output.url is None]
