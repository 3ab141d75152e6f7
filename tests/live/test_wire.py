"""The bad network of the SSH tests is as bad as it says, and no worse."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.live.wire import Wire, reset

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator, Callable, Coroutine

WAIT_S = 10.0  # for what must come
SILENCE_S = 0.3  # for what must not
MEGABYTE = 1024 * 1024


class Echo:
    """A server that answers what it hears, and keeps it too. No streams: they forget what they hold at a reset."""

    def __init__(self) -> None:
        self._heard: list[bytes] = []
        self.ends: asyncio.Queue[str] = asyncio.Queue()
        self.mute = False

    @property
    def heard(self) -> bytes:
        return b"".join(self._heard)

    def hear(self, data: bytes) -> None:
        self._heard.append(data)

    def __call__(self) -> asyncio.Protocol:
        return _EchoOfOne(self)


class _EchoOfOne(asyncio.Protocol):
    def __init__(self, echo: Echo) -> None:
        self.echo = echo

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.echo.hear(data)
        if not self.echo.mute:
            self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.echo.ends.put_nowait("reset" if isinstance(exc, ConnectionResetError) else "end")


@contextlib.asynccontextmanager
async def echo_behind_wire(*, delay_s: float = 0.0) -> AsyncIterator[tuple[Wire, Echo]]:
    echo = Echo()
    server = await asyncio.get_running_loop().create_server(echo, "127.0.0.1", 0)
    async with Wire(server.sockets[0].getsockname()[1], delay_s=delay_s) as wire:
        yield wire, echo
    server.close()


def story(told: Callable[[], Coroutine[None, None, None]]) -> Callable[[], None]:
    def test() -> None:
        asyncio.run(asyncio.wait_for(told(), 60))

    test.__name__ = told.__name__
    return test


async def connect(wire: Wire) -> tuple[StreamReader, StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", wire.port)


async def ask(reader: StreamReader, writer: StreamWriter, word: bytes = b"hello") -> bytes:
    writer.write(word)
    return await asyncio.wait_for(reader.readexactly(len(word)), WAIT_S)


async def round_trip_of(data: bytes, reader: StreamReader, writer: StreamWriter) -> float:
    """Send all of *data*, read it back meanwhile, and return the seconds this took."""
    began = time.monotonic()
    writer.write(data)
    assert await asyncio.wait_for(reader.readexactly(len(data)), WAIT_S) == data
    return time.monotonic() - began


@story
async def test_bytes_pass_unchanged_and_are_counted() -> None:
    async with echo_behind_wire() as (wire, _):
        streams = await connect(wire)
        await round_trip_of(os.urandom(3 * MEGABYTE), *streams)
        await ask(*await connect(wire))
        assert (wire.connections, wire.bytes_up, wire.bytes_down) == (2, 3 * MEGABYTE + 5, 3 * MEGABYTE + 5)


@story
async def test_every_message_is_late_by_the_delay_however_many_are_under_way() -> None:
    delay_s, gap_s, messages = 0.1, 0.003, 150  # about 66 under way at any time
    async with echo_behind_wire(delay_s=delay_s) as (wire, _):
        reader, writer = await connect(wire)
        sent: list[float] = []
        late: list[float] = []

        async def send() -> None:
            for number in range(messages):
                sent.append(time.monotonic())
                writer.write(b"%07d\n" % number)
                await asyncio.sleep(gap_s)

        async def receive() -> None:
            for number in range(messages):
                assert await reader.readexactly(8) == b"%07d\n" % number
                late.append(time.monotonic() - sent[number])

        await asyncio.wait_for(asyncio.gather(send(), receive()), WAIT_S)
        late.sort()
        assert late[0] >= 2 * delay_s
        assert late[len(late) // 2] < 2 * delay_s + 0.02
        assert late[-1] < 2 * delay_s + 0.2  # one hiccup of a busy machine


@story
async def test_the_delay_does_not_limit_the_bandwidth() -> None:
    data = os.urandom(32 * MEGABYTE)
    async with echo_behind_wire() as (wire, _):
        streams = await connect(wire)
        undelayed_s = await round_trip_of(data, *streams)
        wire.delay_s = 0.2
        delayed_s = await round_trip_of(data, *streams)
        # In chunks of 256 KiB that waited for each other it would be 51 s.
        assert 0.4 <= delayed_s < 0.4 + 2 * undelayed_s + 0.5


@story
async def test_a_delay_that_shrinks_reorders_nothing() -> None:
    async with echo_behind_wire(delay_s=0.3) as (wire, echo):
        reader, writer = await connect(wire)
        writer.write(b"first ")
        while wire.connections == 0 or not wire._ends:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        wire.delay_s = 0.0
        writer.write(b"second")
        assert await asyncio.wait_for(reader.readexactly(12), WAIT_S) == b"first second"
        assert echo.heard == b"first second"


@story
async def test_a_cut_resets_both_ends_and_the_next_connection_is_welcome() -> None:
    async with echo_behind_wire() as (wire, echo):
        streams = await connect(wire)
        await ask(*streams)
        wire.cut()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(streams[0].read(1), WAIT_S)
        assert await asyncio.wait_for(echo.ends.get(), WAIT_S) == "reset"
        assert await ask(*await connect(wire)) == b"hello"
        assert wire.cuts == 1


@story
async def test_a_cut_loses_what_is_under_way() -> None:
    async with echo_behind_wire(delay_s=0.2) as (wire, echo):
        reader, writer = await connect(wire)
        await ask(reader, writer)
        writer.write(b"too late")
        await asyncio.sleep(0.05)
        wire.cut()
        assert await asyncio.wait_for(echo.ends.get(), WAIT_S) == "reset"
        assert echo.heard == b"hello"


@story
async def test_a_cut_on_the_way_up_lets_exactly_so_many_bytes_arrive() -> None:
    async with echo_behind_wire() as (wire, echo):
        reader, writer = await connect(wire)
        await ask(reader, writer)
        echo.mute = True  # it would meet the reset while writing, and read no further
        wire.cut_after(bytes_up=100_000)
        writer.write(os.urandom(MEGABYTE))
        assert await asyncio.wait_for(echo.ends.get(), WAIT_S) == "reset"
        assert len(echo.heard) == 5 + 100_000 == wire.bytes_up
        echo.mute = False
        assert await ask(*await connect(wire)) == b"hello"  # once


@story
async def test_a_cut_on_the_way_down_lets_exactly_so_many_bytes_arrive() -> None:
    async with echo_behind_wire() as (wire, echo):
        reader, writer = await connect(wire)
        await ask(reader, writer)
        wire.cut_after(bytes_down=3)
        writer.write(b"abcdef")
        assert await asyncio.wait_for(reader.readexactly(3), WAIT_S) == b"abc"
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(1), WAIT_S)
        assert (echo.heard, wire.bytes_down, wire.cuts) == (b"helloabcdef", 8, 1)


@story
async def test_refused_connections_end_at_once_and_old_ones_go_on() -> None:
    async with echo_behind_wire() as (wire, echo):
        old = await connect(wire)
        await ask(*old)
        wire.refuse = True
        with pytest.raises(ConnectionResetError):
            await ask(*await connect(wire), b"refused")
        assert await ask(*old) == b"hello"
        assert (wire.connections, echo.heard) == (2, b"hellohello")
        wire.refuse = False
        assert await ask(*await connect(wire)) == b"hello"


@story
async def test_a_black_hole_is_silent_and_loses_nothing() -> None:
    async with echo_behind_wire() as (wire, echo):
        old = await connect(wire)
        await ask(*old)
        wire.black_hole = True
        new = await connect(wire)
        for reader, writer in (old, new):
            writer.write(b"anybody there?")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), SILENCE_S)
        assert echo.heard == b"hello"
        wire.black_hole = False
        for reader, _ in (old, new):
            assert await asyncio.wait_for(reader.readexactly(14), WAIT_S) == b"anybody there?"


@story
async def test_a_black_hole_can_be_cut() -> None:
    async with echo_behind_wire() as (wire, _):
        wire.black_hole = True
        reader, _writer = await connect(wire)
        while not wire.connections:
            await asyncio.sleep(0.01)
        wire.cut()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(1), WAIT_S)


@story
async def test_the_end_of_one_direction_leaves_the_other_open() -> None:
    async with echo_behind_wire(delay_s=0.05) as (wire, echo):
        reader, writer = await connect(wire)
        writer.write(b"the last word")
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), WAIT_S) == b"the last word"
        assert await asyncio.wait_for(echo.ends.get(), WAIT_S) == "end"


@story
async def test_a_reset_by_the_client_reaches_the_server_after_what_was_sent_before() -> None:
    async with echo_behind_wire(delay_s=0.1) as (wire, echo):
        reader, writer = await connect(wire)
        await ask(reader, writer)
        writer.write(b"and gone")
        await asyncio.sleep(0.05)
        reset(writer)
        assert await asyncio.wait_for(echo.ends.get(), WAIT_S) == "reset"
        assert echo.heard == b"helloand gone"


@story
async def test_a_target_that_does_not_listen_is_a_reset() -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with Wire(port) as wire:
        reader, _ = await connect(wire)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(1), WAIT_S)


@story
async def test_a_receiver_that_does_not_read_holds_the_sender_back() -> None:
    async def deaf(_reader: StreamReader, writer: StreamWriter) -> None:
        await asyncio.sleep(WAIT_S)
        writer.close()

    server = await asyncio.start_server(deaf, "127.0.0.1", 0, limit=1)
    async with Wire(server.sockets[0].getsockname()[1], delay_s=0.01) as wire:
        _, writer = await connect(wire)
        writer.write(bytes(100 * MEGABYTE))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(writer.drain(), 1)
        assert writer.transport.get_write_buffer_size() > 50 * MEGABYTE
    server.close()
