"""Arrays: many like tasks in one submit. The first of them leads: the scheduler knows its name and its mark. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from adapter.core.document import Document
from adapter.core.job import Element
from adapter.core.job_id import parts, whole_id
from adapter.core.render import RenderedJob, directive_lines, job_values, render_command, render_job
from adapter.core.template import quote, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapter.core.backend import Backend
    from adapter.core.job import Job
    from adapter.core.specs import ArraySpec

_LIST = "array"  # the file in the leader's folder that names the folders of the elements, in order


def grouped(backend: Backend, jobs: Sequence[Job], workspace: str, *, most: int | None = None) -> list[list[Job]]:
    """Return *jobs* (placed, in order) in groups to be submitted by one command each; most groups are of one.

    Jobs are alike if the scheduler would be asked the same for each but for the name. No array is larger than *most*;
    ``None`` is the backend's own bound.
    """
    spec = backend.array if backend.limits.arrays else None
    if spec is None:
        return [[job] for job in jobs]
    alike: dict[str, list[Job]] = {}
    for job in jobs:
        alike.setdefault(_shape(backend, job, workspace), []).append(job)
    groups = []
    for members in alike.values():
        size = min(spec.max_size, most or spec.max_size)
        pieces = [members[at : at + size] for at in range(0, len(members), size)]
        for piece in pieces:
            groups += [as_array(piece, spec)] if len(piece) >= spec.min_size else [[job] for job in piece]
    return groups


def _shape(backend: Backend, job: Job, workspace: str) -> str:
    """Return what the scheduler is asked for *job*, without what is its own: name, mark and paths."""
    task = replace(job.task, name="like", env={}, stdout=None, stderr=None, stdin=None)
    if isinstance(backend.script, Document):
        task = replace(task, env=job.task.env, stdin=job.task.stdin)
    like = job.but(task=task, index=0, directory=f"{workspace}/like")
    values = job_values(backend, like, workspace)
    own = backend.script.render(values) if isinstance(backend.script, Document) else ""
    return "\n".join([directive_lines(backend, values), render_command(backend.submit, values), own])


def as_array(jobs: Sequence[Job], spec: ArraySpec) -> list[Job]:
    """Return *jobs* as the elements of one array that the first of them leads."""
    leader = jobs[0]
    assert leader.directory is not None
    return [
        job.but(
            array=Element(
                directory=leader.directory, token=leader.token, submit_try=leader.submit_try,
                index=spec.first + place, size=len(jobs),
            )
        )
        for place, job in enumerate(jobs)
    ]  # fmt: skip


def element_id(backend: Backend, job: Job, job_id: str) -> str:
    """Return the id of *job* where its submit answered *job_id*: that itself, unless it is an element of an array."""
    if job.array is None or backend.array is None:
        return job_id
    bare, qualifier = parts(backend.submit, job_id)
    own = backend.array.job_id.render({"job_id": bare, "index": job.array.index}).strip()
    return whole_id({"job_id": own, "qualifier": qualifier})


def render_array(backend: Backend, jobs: Sequence[Job], workspace: str) -> RenderedJob:
    """Return what is handed over for an array, with the files that its elements need."""
    spec, leader = backend.array, jobs[0]
    assert spec is not None
    assert leader.array is not None
    values = job_values(backend, leader, workspace)
    bounds = {"size": len(jobs), "first": spec.first, "last": spec.first + len(jobs) - 1}
    option = spec.option.render({**values, **bounds})
    if isinstance(backend.script, Document):
        return render_job(backend, leader, workspace)
    if backend.directive_prefix:
        submit = render_command(backend.submit, values)
        directives = directive_lines(backend, values, more=[option])
    else:
        submit = render_command(backend.submit, values, more=[option])
        directives = ""
    files = {f"{job.directory}/script": render_job(backend, job, workspace).script for job in jobs[1:]}
    files[f"{leader.directory}/element"] = render_job(backend, leader, workspace).script
    places = [f"{leader.directory}/element", *(f"{job.directory}/script" for job in jobs[1:])]
    files[f"{leader.directory}/{_LIST}"] = "".join(f"{place}\n" for place in places)
    script = _dispatching(directives, spec, backend.shell, f"{leader.directory}/{_LIST}")
    return RenderedJob(script, submit, backend.submit.environment, files)


def _dispatching(directives: str, spec: ArraySpec, shell: Sequence[str], places: str) -> str:
    """Return a script that becomes the script of the element in which it runs, read by *shell*."""
    line = f"$(({spec.index} - {spec.first} + 1))"
    return f'#!/bin/sh\n{directives}\nexec {words(shell)} "$(sed -n "{line}p" {quote(places)})"\n'
