"""A bad network between a test and a server on this machine: late, silent, or cut, whenever the test says so."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

    Direction = Literal["up", "down"]
    # When it is due, by the loop's clock, and what: bytes, their end (b"") or a reset (None).
    Line = asyncio.Queue[tuple[float, bytes | None]]

CHUNK = 256 * 1024
SIOCOUTQNSD = 0x894B  # linux/sockios.h: bytes the kernel has not sent yet


class Wire:
    """Carries TCP connections from ``127.0.0.1:port`` to the target; up is towards the target.

    ``delay_s`` is one-way, in both directions. It is a latency only: any number of bytes may be under way, in order.
    The handshake of TCP is not delayed.
    ``refuse`` resets new connections as soon as they are accepted; established ones go on.
    ``connections`` counts all that were accepted, refused ones too; bytes are counted when they are handed over.
    """

    def __init__(self, target_port: int, *, target_host: str = "127.0.0.1", delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.refuse = False
        self.connections = 0
        self.cuts = 0
        self.bytes: dict[Direction, int] = {"up": 0, "down": 0}
        self._target = (target_host, target_port)
        self._left: dict[Direction, int | None] = {"up": None, "down": None}
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._ends: set[StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=CHUNK)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self._reset_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def bytes_up(self) -> int:
        return self.bytes["up"]

    @property
    def bytes_down(self) -> int:
        return self.bytes["down"]

    @property
    def black_hole(self) -> bool:
        """Whether nothing arrives any more: new connections are accepted, and then silence, as on established ones.

        As on a real network nothing is lost: what is under way arrives when the hole is closed, unless cut before.
        """
        return not self._flowing.is_set()

    @black_hole.setter
    def black_hole(self, value: bool) -> None:
        if value:
            self._flowing.clear()
        else:
            self._flowing.set()

    def cut(self) -> None:
        """Reset every connection at both ends; what is under way is lost. New connections are welcome."""
        self._left = {"up": None, "down": None}
        self.cuts += 1
        self._reset_all()

    def cut_after(self, *, bytes_up: int | None = None, bytes_down: int | None = None) -> None:
        """Cut once, as soon as so many more bytes have been handed over, to the byte; ``None`` takes that limit away.

        All connections count together.
        """
        self._left = {"up": bytes_up, "down": bytes_down}
        if 0 in self._left.values():
            self.cut()

    # --- one connection -----------------------------------------------------------------------------------------------

    def _accept(self, from_client: StreamReader, to_client: StreamWriter) -> None:
        self.connections += 1
        # Not a coroutine for start_server: before Python 3.12 it complains about each that is cancelled.
        task = asyncio.create_task(self._serve(from_client, to_client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, from_client: StreamReader, to_client: StreamWriter) -> None:
        ends = [to_client]
        try:
            if self.refuse:
                return
            self._ends.add(to_client)
            await self._flowing.wait()
            from_target, to_target = await asyncio.open_connection(*self._target, limit=CHUNK)
            ends.append(to_target)
            if to_client.is_closing():  # cut meanwhile
                return
            self._ends.add(to_target)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry("up", from_client, to_target))
                both.create_task(self._carry("down", from_target, to_client))
            # Both have said their last word, and heard the other's: a close in good order.
            for end in ends:
                end.close()
        except OSError:  # the target does not listen: the client learns it below
            pass
        finally:
            for end in ends:
                reset(end)
            self._ends.difference_update(ends)

    async def _carry(self, direction: Direction, reader: StreamReader, writer: StreamWriter) -> None:
        line: Line = asyncio.Queue()
        stalled = asyncio.Lock()
        async with asyncio.TaskGroup() as both:
            both.create_task(self._take(reader, line, stalled))
            both.create_task(self._hand_over(direction, line, stalled, writer))

    async def _take(self, reader: StreamReader, line: Line, stalled: asyncio.Lock) -> None:
        clock = asyncio.get_running_loop().time
        chunk: bytes | None = b"not the end"
        while chunk:
            await self._flowing.wait()
            async with stalled:  # a receiver that does not read holds the sender back, whatever the delay
                pass
            try:
                chunk = await reader.read(CHUNK)
            except OSError:
                chunk = None
            line.put_nowait((clock() + self.delay_s, chunk))

    async def _hand_over(self, direction: Direction, line: Line, stalled: asyncio.Lock, writer: StreamWriter) -> None:
        clock = asyncio.get_running_loop().time
        chunk: bytes | None = b"not the end"
        writer.transport.set_write_buffer_limits(0)  # so that drain() means: the kernel has it
        while chunk:
            due, chunk = await line.get()
            if (wait_s := due - clock()) > 0:
                await asyncio.sleep(wait_s)
            await self._flowing.wait()
            if chunk is None:
                reset(writer)
            elif not chunk:
                with contextlib.suppress(OSError):  # it has closed both directions already
                    writer.write_eof()
            else:
                await self._write(direction, chunk, stalled, writer)

    async def _write(self, direction: Direction, chunk: bytes, stalled: asyncio.Lock, writer: StreamWriter) -> None:
        if writer.is_closing():
            return
        left = self._left[direction]
        last = left is not None and len(chunk) >= left
        chunk = chunk[:left] if last else chunk
        if left is not None:
            self._left[direction] = left - len(chunk)
        self.bytes[direction] += len(chunk)
        writer.write(chunk)
        async with stalled:
            # A receiver that is gone is the business of its own reader.
            with contextlib.suppress(OSError):
                await writer.drain()
        if last:
            while _unsent(writer):  # the receiver's window is full, and a reset would throw this away
                await asyncio.sleep(0.001)
            if self._left[direction] == 0:  # else somebody else has cut meanwhile
                self.cut()

    def _reset_all(self) -> None:
        for end in list(self._ends):
            reset(end)


def _unsent(end: StreamWriter) -> int:
    if end.is_closing():
        return 0
    answer = fcntl.ioctl(end.get_extra_info("socket").fileno(), SIOCOUTQNSD, bytes(4))
    return int.from_bytes(answer, "little")


def reset(end: StreamWriter) -> None:
    """Close with RST instead of FIN, now, throwing away what is not sent."""
    if end.is_closing():
        return
    with contextlib.suppress(OSError):  # the other side was faster
        end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.transport.abort()
