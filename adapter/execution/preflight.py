"""Looking whether a backend can be used from here: rows of what was found. No job is submitted."""

from __future__ import annotations

import hashlib
import re
import secrets
import statistics
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from adapter.config.library import library
from adapter.core import bounds
from adapter.core.batch import Command
from adapter.core.library import commands_text
from adapter.core.template import quote, target_path
from adapter.core.units import format_bytes
from adapter.errors import OutcomeUnknown, TransportError
from adapter.transports.base import Upload

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adapter.core.backend import Backend
    from adapter.core.batch import BatchResult
    from adapter.errors import OutcomeUnknown
    from adapter.execution.clock import Clock
    from adapter.results import CompletedCommand
    from adapter.transports.base import Transport

TRIPS = 5
SHELL = "sh -s"  # what the commands of a job's life are run by
MOST_SKEW_S = 60.0
LEAST_SPACE_BYTES, LITTLE_SPACE_BYTES = 64 << 20, 1 << 30
_TIMEOUT_S = 60.0


class Health(StrEnum):
    """How a row stands. ``NOTE``: worth knowing, and nothing that stops a job."""

    OK = "ok"
    NOTE = "note"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was looked at; ``fix`` is what to do about it, empty where there is nothing to do."""

    name: str
    health: Health
    found: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Trip:
    """One batch, and when it began and ended."""

    result: BatchResult
    began_at: float
    ended_at: float

    @property
    def took_s(self) -> float:
        """How long it took, in seconds."""
        return self.ended_at - self.began_at

    @property
    def answers(self) -> list[CompletedCommand | None]:
        """The answers, ``None`` where there is none."""
        return self.result.completed

    def lines(self, number: int) -> list[str]:
        """Return what the command *number* printed; nothing where there is no answer."""
        answer = self.answers[number]
        return answer.stdout.splitlines() if answer else []


class Preflight:
    """Looks at one backend over one transport, which is open.

    *shells* are other ways to begin a shell there, by what a person calls them: their noise is measured too, and a
    program that is missing is looked for in them.
    """

    def __init__(
        self, backend: Backend, transport: Transport, clock: Clock, shells: Mapping[str, str] | None = None
    ) -> None:
        """Nothing is asked yet."""
        self._backend, self._transport, self._clock = backend, transport, clock
        self._shells = dict(shells or {})
        self._mark = secrets.token_hex(6)

    async def check(self) -> list[Row]:
        """Return what was found. A target that cannot be asked is a row, and the last one."""
        rows: list[Row] = []
        try:
            rows.append(connection_row(await self._ask([":"])))
            await self._check(rows)
        except TransportError as error:
            at = "answers" if rows else "connection"
            rows.append(Row(at, Health.FAILED, str(error), _CONNECT_FIX))
        return rows

    async def _check(self, rows: list[Row]) -> None:
        trips = [await self._ask(["date +%s"]) for _ in range(TRIPS)]
        rows.append(trip_row(trips))
        if not self._shells:
            rows.append(noise_row("shell noise", trips[-1]))
        others = {name: await self._other(shell) for name, shell in self._shells.items()}
        rows += [noise_row(f"shell noise {name}", trip) for name, trip in others.items()]
        steps = [workspace_step(self._backend, self._mark), programs_step(self._backend), _TOOLS]
        trip = await self._ask([*steps, *self._version_steps()])
        rows += program_rows(trip.lines(1), {name: other.lines(0) if other else [] for name, other in others.items()})
        if program := self._backend.launch_program:
            rows.append(launcher_row(program, (await self._ask([_launcher_step(self._backend)])).lines(0)))
        rows += self._version_rows(trip)
        rows += workspace_rows(self._backend.workspace, trip.answers[0])
        rows.append(clock_row(trips))
        if self._is_far:
            rows += tool_rows(trip.lines(2))
            rows.append(await self._transfer_row(trip.lines(0)))

    @property
    def _is_far(self) -> bool:
        return bool(self._backend.connection.get("kind", "local") != "local")

    async def _other(self, shell: str) -> Trip | None:
        """Ask another shell for the programs; one that gives no answer is no reason to stop."""
        try:
            return await self._ask([programs_step(self._backend)], shell)
        except TransportError:
            return None

    def _version_steps(self) -> list[str]:
        if self._backend.version_command is None:
            return []
        prelude = f'workspace={target_path(self._backend.workspace)}\nPATH="$workspace/.programs:$PATH"\n'
        return [prelude + "export PATH\n" + self._backend.version_command.render(self._backend.values)]

    def _version_rows(self, trip: Trip) -> list[Row]:
        pattern = self._backend.version_pattern
        return [version_row(trip.answers[3], pattern)] if pattern is not None and len(trip.answers) > 3 else []

    async def _transfer_row(self, workspace_lines: Sequence[str]) -> Row:
        """Send a small file and look whether it is there: what a noisy shell breaks first."""
        workspace = _told(workspace_lines).get("workspace")
        if not workspace:
            return Row("file transfer", Health.FAILED, "not tried: there is no workspace", "see workspace")
        content = f"adapter check {self._mark}\n".encode()
        folder, scratch = f"{workspace}/.check-{self._mark}", f"{workspace}/.files"
        try:
            sent = Upload(target=f"{folder}/sent", content=content)
            await self._transport.put([sent], scratch=scratch)
            read = (await self._ask([f"cat {quote(folder)}/sent"])).lines(0)
        except TransportError as error:
            return Row("file transfer", Health.FAILED, str(error), _TRANSFER_FIX)
        finally:
            name = hashlib.sha256(content).hexdigest()
            await self._tidy(
                [f"rm -f {quote(folder)}/sent; rmdir {quote(folder)}; rm -f {quote(scratch)}/store/{name}*"]
            )
        if read != content.decode().splitlines():
            return Row("file transfer", Health.FAILED, "a file that was sent did not arrive as it was", _TRANSFER_FIX)
        return Row("file transfer", Health.OK, "a small file was sent and read back")

    async def _tidy(self, commands: Sequence[str]) -> None:
        try:
            await self._ask(commands)
        except TransportError:
            return  # the target is gone; what it is lacking is told by the row

    async def _ask(self, commands: Sequence[str | Command], shell: str = SHELL) -> Trip:
        """Run *commands* in one ``run`` of *shell*.

        Raises:
            TransportError: they were not run, or their answers were lost.
        """
        batch = [Command(each) if isinstance(each, str) else each for each in commands]
        prelude = commands_text(self._backend, batch, library())
        began_at = self._clock.now()
        result = await self._transport.run_batch(batch, timeout_s=_TIMEOUT_S, prelude=prelude, shell=shell)
        ended_at = self._clock.now()
        if result.lost:
            raise OutcomeUnknown(result.lost)
        return Trip(result, began_at, ended_at)


_CONNECT_FIX = "try the connection by hand with the same user and host; nothing more was looked at"
_TRANSFER_FIX = "let the shell's start-up files print nothing where it is not interactive, and look at the space left"


# -- what is asked


def workspace_step(backend: Backend, mark: str) -> Command:
    """Return the command that makes the workspace, as a first job would, and tells what is to be known of it."""
    programs = " ".join(f"{quote(name)} {target_path(path)}" for name, path in backend.programs.items())
    text = f"enter_workspace {target_path(backend.workspace)}\ntell_workspace .check-{mark}\nuse_programs {programs}"
    return Command(text, library=("workspace",))


def programs_step(backend: Backend) -> Command:
    """Return the command that prints each program that is needed, and where it is: nothing where it is missing."""
    places = " ".join(f"{quote(name)} {target_path(path)}" for name, path in backend.programs.items())
    needs = " ".join(quote(name) for name in backend.needs if name not in backend.programs)
    return Command(f"tell_places {places}\ntell_programs {needs}", library=("workspace",))


def _launcher_step(backend: Backend) -> str:
    """Return shell text that looks for the program that starts a step in an image as a job does: after the prologue."""
    program = quote(backend.launch_program or "")
    prologue = "".join(f"{line}\n" for line in backend.prologue)
    return f"({prologue}command -v {program}) </dev/null 2>/dev/null | tail -n 1"


# Sending and bringing files needs these: adapter.transports.ssh_files.
_TOOLS = Command("tell_programs tar sha256sum shasum mkdir find\ntell_mkdir", library=("workspace",))


# -- what it means


def connection_row(trip: Trip) -> Row:
    """Return the row for the first answer: connecting, logging in, and one round trip."""
    return Row("connection", Health.OK, f"connected, logged in and answered in {_ms(trip.took_s)}")


def trip_row(trips: Sequence[Trip]) -> Row:
    """Return the row for the median of trivial runs."""
    times = [trip.took_s for trip in trips]
    return Row(
        "round trip", Health.OK, f"{_ms(statistics.median(times))} (median of {len(times)}; slowest {_ms(max(times))})"
    )


def noise_row(name: str, trip: Trip | None) -> Row:
    """Return the row for what the shell printed by itself; ``None`` for a shell that gave no answer."""
    if trip is None:
        return Row(name, Health.NOTE, "such a shell gave no answer")
    said = [
        f"{stream}: {len(noise.encode())} bytes, first line {_first_line(noise)!r}"
        for stream, noise in (("stdout", trip.result.noise_out), ("stderr", trip.result.noise_err))
        if noise
    ]
    if not said:
        return Row(name, Health.OK, "none")
    fix = "answers are told apart from it; it can break sending files (see file transfer), so print only on a terminal"
    return Row(name, Health.NOTE, "; ".join(said), fix)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")[:80]


def program_rows(lines: Sequence[str], elsewhere: Mapping[str, Sequence[str]]) -> list[Row]:
    """Return a row for each program; *elsewhere* are the same lines as other shells printed them, by their names."""
    others = {shell: _told(said) for shell, said in elsewhere.items()}
    return [_program_row(name, path, others) for name, path in _told(lines).items()]


def _program_row(name: str, path: str, others: Mapping[str, Mapping[str, str]]) -> Row:
    if path:
        return Row(f"program {name}", Health.OK, path)
    fix = f"load what provides it, or give its path: `programs: {{{name}: /path/to/{name}}}` in the backend file"
    for shell, said in others.items():
        if said.get(name):
            fix = f"it is found {shell} ({said[name]}): change `connection.login_shell`, or give its path in `programs`"
    return Row(f"program {name}", Health.FAILED, "not found where the backend's commands run", fix)


def launcher_row(program: str, lines: Sequence[str]) -> Row:
    """Return the row for the program that starts a step in an image: jobs may run where this was not looked for."""
    if lines and lines[0]:
        return Row(f"launcher {program}", Health.OK, f"{lines[0]} (jobs look for their own)")
    fix = "the row `launcher` of the jobs says whether it is where they run; a line of `prologue` may load it there"
    return Row(f"launcher {program}", Health.NOTE, "not found on this machine", fix)


def version_row(answer: CompletedCommand | None, pattern: re.Pattern[str]) -> Row:
    """Return the row for the scheduler's version."""
    match = pattern.search(answer.stdout + answer.stderr) if answer else None
    if match:
        return Row("scheduler version", Health.OK, match["version"])
    said = (answer.words if answer else "") or "nothing"
    return Row(
        "scheduler version", Health.NOTE, f"not understood: {said[:120]}", "look at `version` in the backend file"
    )


def workspace_rows(wanted: str, answer: CompletedCommand | None) -> list[Row]:
    """Return the rows for the workspace: where it is, whether it can be written, and how much space is left."""
    told = _told(answer.stdout.splitlines() if answer else [])
    if "workspace" not in told:
        why = (answer.words if answer else "") or "no answer"
        return [Row("workspace", Health.FAILED, f"{wanted}: {why}", "set `workspace` to a folder that you may make")]
    fix = "set `workspace` to a folder that you may write, with space and quota left"
    written = Row("writable", Health.OK, "yes") if "writable" in told else Row(
        "writable", Health.FAILED, (answer.words if answer else "") or "no", fix
    )  # fmt: skip
    return [Row("workspace", Health.OK, told["workspace"]), written, space_row(told.get("space", ""))]


def space_row(line: str) -> Row:
    """Return the row for the free space that *line* of df(1) tells, in its portable form."""
    match = re.search(r"\s[0-9]+\s+[0-9]+\s+([0-9]{1,18})\s+[0-9]+%\s", line[:4096])
    if match is None:
        return Row("free space", Health.NOTE, "df does not tell", "look at it by hand")
    free = int(match[1]) * 1024
    health = Health.FAILED if free < LEAST_SPACE_BYTES else Health.NOTE if free < LITTLE_SPACE_BYTES else Health.OK
    fix = (
        ""
        if health is Health.OK
        else "make room (`adapter clean` removes what finished runs left), or move `workspace`"
    )
    return Row("free space", health, format_bytes(free), fix)


def clock_row(trips: Sequence[Trip]) -> Row:
    """Return the row for the target's clock against ours, from the fastest trip: there the middle is surest."""
    best = min(trips, key=lambda trip: trip.took_s)
    said = "".join(best.lines(0)).strip()
    told = bounds.whole(said)
    if told is None:
        return Row("clock", Health.NOTE, f"date says {said[:40]!r}", "times of jobs may be wrong")
    # date cuts its seconds: on average half of one is missing
    skew_s = told + 0.5 - (best.began_at + best.took_s / 2)
    found = f"{round(skew_s):+d} s against ours (within {0.5 + best.took_s / 2:.1f} s)"
    if abs(skew_s) <= MOST_SKEW_S:
        return Row("clock", Health.OK, found)
    fix = "start and end of jobs are told by the target's clock; ask the site to set it, or set yours"
    return Row("clock", Health.NOTE, found, fix)


def tool_rows(lines: Sequence[str]) -> list[Row]:
    """Return the rows for what sending and bringing files needs."""
    told = _told(lines)
    needed = {
        "tar": told.get("tar"),
        "sha256sum": told.get("sha256sum") or told.get("shasum"),
        "find": told.get("find"),
        "mkdir -p": told.get("mkdir") if "mkdir-p" in told else "",
    }
    fix = "files cannot be sent or brought without it: have it installed, or put it on the PATH"
    return [
        Row(f"tool {name}", Health.OK, path) if path else Row(f"tool {name}", Health.FAILED, "missing", fix)
        for name, path in needed.items()
    ]


def _told(lines: Sequence[str]) -> dict[str, str]:
    return {name: value.strip() for name, _, value in (line.partition(" ") for line in lines)}


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def is_usable(rows: Sequence[Row]) -> bool:
    """Whether nothing necessary is amiss."""
    return all(row.health is not Health.FAILED for row in rows)
