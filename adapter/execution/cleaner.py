"""Removing what finished jobs left on the target: looked at first, removed only when asked, written down when it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING

from adapter.core.clean import (
    ContentStore,
    Found,
    Selection,
    folders_step,
    read_found,
    read_store,
    select,
    store_list_step,
    store_remove_step,
    workspace_of,
)
from adapter.core.template import target_path
from adapter.errors import TransportError
from adapter.execution.lease import OWNED_FOR_S, is_alive, this_process

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from adapter.core.job import Job
    from adapter.execution.clock import Clock
    from adapter.execution.scheduler_client import SchedulerClient
    from adapter.store.base import Store

_AT_ONCE = 200  # folders in one `run`: what an interruption leaves unsaid is at most this much
_TIMEOUT_S = 1800.0  # millions of files on a busy shared file system
_NOT_OURS = Found("refused", text="the path in the store is not one that adapter makes")
_NO_ANSWER = Found("unknown", text="no answer came; clean again")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the asker wants: runs that ended before *older_than_s* (``None``: any), also what went wrong, for real."""

    older_than_s: float | None = None
    with_failed: bool = False
    remove: bool = False


class Cleaner:
    """Looks at, or removes, the folders of finished runs of one backend. Its transport is open."""

    def __init__(self, client: SchedulerClient, store: Store, clock: Clock) -> None:
        """Nothing is asked yet. *site* needs no preparing: nothing is to be made there."""
        self._client, self._store, self._clock = client, store, clock
        self._where = target_path(client.backend.workspace)

    async def folders(self, run: str, options: Options) -> tuple[Selection, list[tuple[Job, Found]]]:
        """Look at the folders of *run*, or remove them; return what was chosen, and what became of each.

        Raises:
            TransportError: the target cannot be asked.
        """
        if not options.remove:
            selection = self._select(run, options)
            return selection, await self._each(selection.jobs, remove=False)
        owner = this_process()
        if not self._store.claim(run, owner, self._clock.now(), OWNED_FOR_S, is_alive):
            return Selection(why_not="another process is at it"), []
        try:
            selection = self._select(run, options)  # as it stands now that nobody else writes it
            return selection, await self._each(selection.jobs, remove=True)
        finally:
            self._store.release(run, owner)

    def _select(self, run: str, options: Options) -> Selection:
        jobs = self._store.jobs(run)
        return select(jobs, now=self._clock.now(), older_than_s=options.older_than_s, with_failed=options.with_failed)

    async def _each(self, jobs: Sequence[Job], *, remove: bool) -> list[tuple[Job, Found]]:
        results = [(job, _NOT_OURS) for job in jobs if workspace_of(job) is None]
        ours = sorted((job for job in jobs if workspace_of(job) is not None), key=lambda job: workspace_of(job) or "")
        for workspace, group in groupby(ours, key=lambda job: workspace_of(job) or ""):
            members = list(group)
            for at in range(0, len(members), _AT_ONCE):
                chunk = members[at : at + _AT_ONCE]
                results += await self._chunk(workspace, chunk, remove=remove)
        return results

    async def _chunk(self, workspace: str, jobs: Sequence[Job], *, remove: bool) -> list[tuple[Job, Found]]:
        completed = (await self._client.ask([folders_step(self._where, workspace, jobs, remove=remove)], _TIMEOUT_S))[0]
        if completed is None:
            return [(job, _NO_ANSWER) for job in jobs]
        said = read_found(completed.stdout)
        missing = Found("refused", text=completed.words) if completed.exit_code else _NO_ANSWER
        results = [(job, said.get(job.folder_name, missing)) for job in jobs]
        if remove:
            self._write_down([job for job, found in results if found.what in {"removed", "gone"}])
        return results

    def _write_down(self, jobs: Iterable[Job]) -> None:
        now = self._clock.now()
        day = datetime.fromtimestamp(now, UTC).isoformat(sep=" ", timespec="seconds")
        self._store.mark_cleaned(jobs, now, f"its folder on the target was removed by adapter clean on {day}")

    # -- the store

    async def store(self) -> ContentStore:
        """Return what of the store may go; to be asked before folders are removed.

        Raises:
            TransportError: the target cannot be asked.
        """
        workspace = await self._workspace()
        if not workspace:
            return ContentStore({}, {}, {})
        completed = (await self._client.ask([store_list_step(self._where, workspace)], _TIMEOUT_S))[0]
        if completed is None or completed.exit_code != 0:
            raise TransportError(f"cannot look at the store: {completed.words if completed else 'no answer'}")
        return read_store(completed.stdout)

    async def empty_store(self, store: ContentStore) -> dict[str, Found]:
        """Remove what of *store* nothing links to now; return what became of what was there to remove.

        Raises:
            TransportError: the target cannot be asked.
        """
        names = [*store.left_behind, *store.unlinked, *store.linked]
        if not names:
            return {}
        step = store_remove_step(self._where, await self._workspace(), names)
        completed = (await self._client.ask([step], _TIMEOUT_S))[0]
        if completed is None or completed.exit_code != 0:
            raise TransportError(f"cannot clean the store: {completed.words if completed else 'no answer'}")
        return read_found(completed.stdout)

    async def _workspace(self) -> str:
        """Return where the workspace really is; empty where there is none."""
        step = f'workspace={self._where}\n[ -d "$workspace" ] || exit 0\ncd -P "$workspace" && pwd -P'
        completed = (await self._client.ask([step], 60))[0]
        if completed is None or completed.exit_code != 0:
            raise TransportError(f"cannot find the workspace: {completed.words if completed else 'no answer'}")
        return completed.stdout.strip("\n")
