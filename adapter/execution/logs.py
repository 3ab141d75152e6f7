"""What jobs wrote: read from their files on the target, or from what a log command of the backend prints."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from adapter.core import bounds
from adapter.core.render import job_values
from adapter.core.specs import LogSpec
from adapter.core.template import quote
from adapter.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adapter.core.job import Job
    from adapter.execution.scheduler_client import SchedulerClient
    from adapter.results import CompletedCommand


class Logs:
    """The logs of the jobs of one client. A stream is ``stdout`` or ``stderr``, or another that the backend names."""

    def __init__(self, client: SchedulerClient) -> None:
        """Nothing is asked yet."""
        self._client = client

    async def read(self, job: Job, stream: str, *, offset: int, lines: int | None) -> tuple[str, int]:
        """Return the text of *stream* from byte *offset* on (or its last *lines*), and its size in bytes.

        Raises:
            TransportError: it cannot be read; the message says why.
        """
        place = self._place(job, stream)
        if isinstance(place, LogSpec):
            printed = await self._client.print_log(place, job)
            if printed is None:
                raise TransportError(f"cannot read the {stream} of job {job.key}: there is none (yet)")
            data = printed.encode()
            text = data[offset:].decode(errors="replace") if lines is None else _last(printed, lines)
            return text, len(data)
        completed = (await self._client.ask([_show_step(place, offset, lines)], 120))[0]
        if completed is None or completed.exit_code != 0:
            raise TransportError(f"cannot read {place}: {_why_not(completed)}")
        first, _, text = completed.stdout.partition("\n")
        size = bounds.whole(first)
        if size is None:
            raise TransportError(f"cannot read {place}: its size is told as {first[:40]!r}")
        return text, size

    async def read_bytes(self, job: Job, offsets: Mapping[str, int], *, most: int) -> dict[str, tuple[bytes, int]]:
        """Return for each stream up to *most* bytes from its offset on, and its size; one not there (yet) is left out.

        The bytes of files travel as od(1) writes them, because an answer is text; all files in one ``run``.

        Raises:
            TransportError: there was no answer.
        """
        places = {stream: self._place(job, stream) for stream in offsets}
        found: dict[str, tuple[bytes, int]] = {}
        files = {stream: place for stream, place in places.items() if isinstance(place, str)}
        if files:
            steps = [_od_step(place, offsets[stream], most) for stream, place in files.items()]
            answers = await self._client.ask(steps, 120)
            if any(answer is None for answer in answers):
                raise TransportError("cannot read what the job wrote: no answer")
            read = zip(files, map(_od_answer, answers), strict=True)
            found.update({stream: brought for stream, brought in read if brought is not None})
        for stream, place in places.items():
            if isinstance(place, LogSpec) and (printed := await self._client.print_log(place, job)) is not None:
                data = printed.encode()
                found[stream] = (data[offsets[stream] : offsets[stream] + most], len(data))
        return found

    def _place(self, job: Job, stream: str) -> str | LogSpec:
        backend = self._client.backend
        spec = backend.logs.get(stream)
        if isinstance(spec, LogSpec):
            return spec
        values = job_values(backend, job, self._client.workspace)
        return shlex.split(spec.render(values))[0] if spec else str(values[stream])


def _last(text: str, lines: int) -> str:
    return "".join(text.splitlines(keepends=True)[-lines:]) if lines else ""


def _show_step(path: str, offset: int, lines: int | None) -> str:
    show = f"tail -c +{offset + 1} -- {quote(path)} | head -c $((size > {offset} ? size - {offset} : 0))"
    if lines is not None:
        show = f"tail -n {lines} -- {quote(path)}"
    return f"[ -e {quote(path)} ] || exit 2; size=$(wc -c <{quote(path)}) && echo $((size)) && {show}"


def _why_not(completed: CompletedCommand | None) -> str:
    if completed is None:
        return "no answer"
    return "it is not there yet" if completed.exit_code == 2 else completed.words


def _od_step(path: str, offset: int, most: int) -> str:
    name = quote(path)
    return (
        f"[ -f {name} ] && size=$(wc -c <{name}) && echo $((size)) || exit 2\n"
        f'if [ "$size" -gt {offset} ]; then od -An -v -tx1 -j {offset} -N {most} {name}; fi'
    )


def _od_answer(completed: CompletedCommand | None) -> tuple[bytes, int] | None:
    if completed is None or completed.exit_code != 0:
        return None
    first, _, octets = completed.stdout.partition("\n")
    size = bounds.whole(first)
    try:
        return None if size is None else (bytes.fromhex(octets), size)
    except ValueError:
        return None
