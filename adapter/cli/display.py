"""What a person sees on standard error while jobs run. Standard output belongs to the jobs, or to ``--json``."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Protocol

import click

from adapter.cli.text import counts, counts_text, elapsed_s, job_title, printable, shortened, verdict_text
from adapter.core.state import State
from adapter.core.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.text import Text

    from adapter.core.job import Job
    from adapter.transports.base import Transfer

MOST_SHOWN = 6
MOST_REASONS = 3
_LEAST_BETWEEN_S = 1.0  # between two plain lines; it grows, so that a day-long run does not fill a log
_MOST_BETWEEN_S = 60.0
_FIRST_MOVE_S, _BETWEEN_MOVES_S = 2.0, 10.0  # plain lines about files on their way
_MOVES_FOR_S = 2.0  # how long a word about files on their way holds


class Display(Protocol):
    """Shows how jobs stand. ``show`` is called several times a second."""

    def show(self, jobs: Sequence[Job], waits: Sequence[str] = ()) -> None:
        """Show how *jobs* stand now, and why some of them wait, in lines: the most common reason first."""
        ...

    def say(self, line: str) -> None:
        """Print *line* for good."""
        ...

    def move(self, transfer: Transfer) -> None:
        """Show how far files are on their way; called several times a second while they are."""
        ...

    def pause(self) -> None:
        """Leave the terminal to something else until the next ``show``."""
        ...


class Silent:
    """Shows nothing."""

    def show(self, jobs: Sequence[Job], waits: Sequence[str] = ()) -> None:
        """Show nothing."""

    def say(self, line: str) -> None:
        """Print nothing."""

    def move(self, transfer: Transfer) -> None:
        """Show nothing."""

    def pause(self) -> None:
        """Nothing has to stop."""


class Lines:
    """One plain line for each change: for log files and pipes. Many changes share a line."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = ""
        self._next_at = 0.0
        self._wait_s = _LEAST_BETWEEN_S
        self._next_move_at: float | None = None

    def show(self, jobs: Sequence[Job], waits: Sequence[str] = ()) -> None:
        """Print how many jobs are in which state, if that changed and it is time."""
        text = counts_text(jobs) if len(jobs) > 1 else "".join(f"{job.key} {job.verdict}" for job in jobs)
        text += f" ({shortened(waits[0])})" if waits else ""
        now = self._clock()
        has_begun = bool(waits) or any(job.state is not State.WAITING for job in jobs)
        is_news = has_begun and not all(job.state.is_final for job in jobs)
        if text == self._last or not is_news or now < self._next_at:
            return
        self._last, self._next_at = text, now + self._wait_s
        self._wait_s = min(self._wait_s * 1.2, _MOST_BETWEEN_S)
        self.say(text)

    def say(self, line: str) -> None:
        """Print *line*."""
        click.echo(f"adapter: {line}", err=True)

    def move(self, transfer: Transfer) -> None:
        """Print a line now and then, for what takes longer than a moment."""
        now = self._clock()
        if self._next_move_at is None or transfer.done >= transfer.size:
            self._next_move_at = now + _FIRST_MOVE_S if transfer.done < transfer.size else None
        elif now >= self._next_move_at:
            self._next_move_at = now + _BETWEEN_MOVES_S
            self.say(transfer_text(transfer))

    def pause(self) -> None:
        """Nothing has to stop."""


class StatusLine:
    """One line that is written over, for a single task: it gives way as soon as the task itself writes something."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._shown = ""
        self._moving = _Moving(clock)
        self.is_over = False

    def show(self, jobs: Sequence[Job], waits: Sequence[str] = ()) -> None:
        """Show the state and for how long."""
        moving = self._moving.text()
        if self.is_over or (all(job.state.is_final for job in jobs) and not moving):
            self.pause()
            return
        job, now = jobs[0], time.time()
        known = f" as job {job.job_id}" if job.job_id else ""
        doing = moving or f"{job.verdict}{known}{f' ({shortened(waits[0])})' if waits else ''}"
        text = f"{job.key} {doing}, {format_seconds(elapsed_s(jobs, now))}"
        if text != self._shown:
            self._shown = text
            self._write(f"\r\x1b[K{text[: _width()]}")

    def say(self, line: str) -> None:
        """Print *line* for good."""
        self.pause()
        click.echo(f"adapter: {line}", err=True)

    def pause(self) -> None:
        """Take the line away."""
        if self._shown:
            self._shown = ""
            self._write("\r\x1b[K")

    def move(self, transfer: Transfer) -> None:
        """Remember it for the next ``show``."""
        self._moving.take(transfer)

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


class _Moving:
    """The last word on files on their way, for as long as it holds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._transfer: Transfer | None = None
        self._until = 0.0

    def take(self, transfer: Transfer) -> None:
        """Take the newest."""
        self._transfer, self._until = transfer, self._clock() + _MOVES_FOR_S

    def text(self) -> str:
        """Return it in words; empty if nothing is on its way."""
        transfer = self._transfer
        if transfer is None or transfer.done >= transfer.size or self._clock() > self._until:
            return ""
        return transfer_text(transfer)


def transfer_text(transfer: Transfer) -> str:
    """Return how far files are on their way: ``sending files, 45% of 2.0 GiB``."""
    return f"{transfer.what} files, {100 * transfer.done // transfer.size}% of {format_bytes(transfer.size)}"


def _width() -> int:
    import shutil

    return shutil.get_terminal_size().columns - 1


class Live:
    """A few lines that stay up to date, for many tasks on a terminal."""

    def __init__(self, title: str) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive

        self._title = title
        self._jobs: Sequence[Job] = ()
        self._waits: Sequence[str] = ()
        self._moving = _Moving(time.monotonic)
        self._console = Console(stderr=True, highlight=False)
        self._live = RichLive(get_renderable=self._picture, console=self._console, refresh_per_second=4, transient=True)

    def show(self, jobs: Sequence[Job], waits: Sequence[str] = ()) -> None:
        """Show *jobs* until told otherwise."""
        self._jobs, self._waits = jobs, waits
        if not self._live.is_started and not all(job.state.is_final for job in jobs):
            self._live.start()

    def say(self, line: str) -> None:
        """Print *line* above."""
        from rich.text import Text

        self._console.print(Text(f"adapter: {line}"))

    def pause(self) -> None:
        """Take the lines away."""
        self._live.stop()

    def move(self, transfer: Transfer) -> None:
        """Show it among the lines."""
        self._moving.take(transfer)

    def _picture(self) -> Text:
        from rich.text import Text

        now = time.time()
        lines = [Text(f"{self._title}  {format_seconds(elapsed_s(self._jobs, now))}", style="bold")]
        tally = counts(self._jobs).items()
        lines.append(Text("  ").join(Text(f"{count} {state}", style=_STYLES.get(state, "")) for state, count in tally))
        if moving := self._moving.text():
            lines.append(Text(f"  {moving}"))
        lines += [Text(f"  {shortened(wait, _width() - 2)}") for wait in self._waits[:MOST_REASONS]]
        lines += [_job_line(job, now) for job in _worth_showing(self._jobs)]
        return Text("\n").join(lines)


_STYLES = {"succeeded": "green", "failed": "red", "killed": "yellow", "lost": "red", "running": "cyan"}


def _worth_showing(jobs: Sequence[Job]) -> list[Job]:
    """The last that went wrong, and of those that run the ones that do so for longest."""
    wrong = sorted((job for job in jobs if has_gone_wrong(job)), key=lambda job: job.ended_at or 0)
    running = sorted((job for job in jobs if job.state.has_started), key=lambda job: job.started_at or 0)
    return [*wrong[-MOST_SHOWN // 2 :], *running[:MOST_SHOWN]]


def _job_line(job: Job, now: float) -> Text:
    from rich.text import Text

    since = "" if job.state.is_final else f" {format_seconds(now - (job.started_at or now))}"
    line = Text(f"  {job_title(job)} {verdict_text(job)}{since}", style=_STYLES.get(str(job.state), ""), no_wrap=True)
    line.truncate(_width(), overflow="ellipsis")
    return line


def has_gone_wrong(job: Job) -> bool:
    """Whether it ended in any other way than well, files included."""
    return job.state.is_final and (job.state is not State.SUCCEEDED or bool(job.collect_problem))


def display_for(jobs: Sequence[Job], *, title: str, quiet: bool) -> Display:
    """Return the display that fits: nothing, plain lines, one live line or several."""
    if quiet:
        return Silent()
    if not sys.stderr.isatty():
        return Lines()
    return StatusLine() if len(jobs) == 1 else Live(printable(title))
