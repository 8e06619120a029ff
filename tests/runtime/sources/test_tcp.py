import asyncio
import contextlib
import random
import socket
import struct

import pytest

from edge_ad.bundle.codec import DecodeError, decode
from edge_ad.runtime.sources.tcp import TcpLines, TcpOptions, open_source
from edge_ad.runtime.sources.waiting import Pause
from tests.runtime.sources.reading import Told, lines_of, nothing_more, run, texts, until


class Server:
    """Listens on a free port of loopback; every connection is handed to `next_()`."""

    def __init__(self, host="127.0.0.1", port=0):
        self.host, self.port = host, port
        self._connections = asyncio.Queue()
        self._writers = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._connected, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for writer in self._writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        await self._server.wait_closed()

    async def _connected(self, reader, writer):
        self._writers.append(writer)
        await self._connections.put(writer)

    async def next_(self):
        """The writer of the next connection."""
        return await self._connections.get()


def opened(server, told, timeout_s=None):
    return TcpLines(TcpOptions(server.host, server.port, timeout_s), told.context(), Pause(0.01, 0.05))


def with_server(check, told=None, timeout_s=None, **options):
    """What `check(server, source)` returns."""

    async def checked():
        async with Server(**options) as server:
            source = opened(server, told or Told(), timeout_s)
            try:
                return await check(server, source)
            finally:
                await source.close()

    return run(checked())


async def reading(source):
    task = asyncio.create_task(source.read())
    await asyncio.sleep(0)
    return task


def test_lines_of_a_server():
    async def check(server, source):
        task = await reading(source)
        writer = await server.next_()
        writer.write(b"t;a\r\n1;2\n3;")
        lines = list(await task)
        task = await reading(source)
        writer.write(b"4\n")
        return lines + list(await task)

    lines = with_server(check)
    assert texts(lines) == ["t;a", "1;2", "3;4"]
    assert [(line.number, line.first) for line in lines] == [(1, True), (2, False), (3, False)]
    assert all(line.arrived is not None for line in lines)


def test_a_server_that_closes_is_connected_to_again():
    told = Told()

    async def check(server, source):
        lines = []
        for n in range(3):
            task = await reading(source)
            writer = await server.next_()
            writer.write(f"t;a\n{n};1\n".encode() + b"torn" * (n == 1))
            writer.close()
            lines += await task
            if n == 1:
                lines += await source.read()
        return lines

    lines = with_server(check, told)
    assert texts(lines) == ["t;a", "0;1", "t;a", "1;1", ("torn", "cut off"), "t;a", "2;1"]
    assert [line.first for line in lines] == [True, False, True, False, False, True, False]
    assert [line.number for line in lines] == list(range(1, 8))
    assert set(told.kinds) == {"disconnected"}
    assert "is lost: the other side closed the connection; tried again in" in told.notes[0][1]
    assert set(told.said) == {told.notes[0][1].split()[0] + " is connected again"}


def test_lines_that_came_before_a_reset_are_read():
    told = Told()

    async def check(server, source):
        task = await reading(source)
        writer = await server.next_()
        writer.write(b"a\n")
        lines = list(await task)
        writer.write(b"b\nc\nhalf")
        await until(lambda: writer.transport.get_write_buffer_size() == 0)
        await asyncio.sleep(0.05)  # for loopback to deliver it
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        lines += await lines_of(source, 3)
        task = await reading(source)
        (await server.next_()).write(b"d\n")
        return lines + list(await task)

    lines = with_server(check, told)
    assert texts(lines) == ["a", "b", "c", ("half", "cut off"), "d"]
    assert "Connection reset by peer" in told.notes[0][1]


def test_a_server_that_comes_later():
    told = Told()

    async def check():
        async with Server() as server:
            pass
        source = opened(server, told)
        task = await reading(source)
        await until(lambda: len(told.notes) > 2)
        async with Server(port=server.port) as server:
            (await server.next_()).write(b"a\n")
            lines = await task
            await source.close()
        return lines

    assert texts(run(check())) == ["a"]
    assert "cannot be reached" in told.notes[0][1]
    assert "refused" in told.notes[0][1].lower()
    assert len(told.said) == 1


def test_a_silent_server_is_left():
    told = Told()

    async def check(server, source):
        task = await reading(source)
        writer = await server.next_()
        writer.write(b"a\nha")
        lines = list(await task)
        lines += await source.read()
        task = await reading(source)
        (await server.next_()).write(b"b\n")
        return lines + list(await task)

    lines = with_server(check, told, timeout_s=0.2)
    assert texts(lines) == ["a", ("ha", "cut off"), "b"]
    assert "is lost: nothing came for 0.2 s" in told.notes[0][1]


def test_what_came_while_nobody_read_is_no_silence():
    told = Told()

    async def check(server, source):
        task = await reading(source)
        writer = await server.next_()
        writer.write(b"a\n")
        lines = list(await task)
        writer.write(b"b\n")
        await asyncio.sleep(0.3)
        return lines + list(await source.read())

    assert texts(with_server(check, told, timeout_s=0.15)) == ["a", "b"]
    assert told.notes == []


def test_a_reader_that_is_cancelled_loses_nothing():
    n = 300

    async def check(server, source):
        async def write():
            writer = await server.next_()
            for i in range(n):
                writer.write(f"{i}\n".encode())
                await asyncio.sleep(0)

        writing, lines, chance = asyncio.create_task(write()), [], random.Random(1)
        while len(lines) < n:
            task = asyncio.create_task(source.read())
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                lines += task.result()
        await writing
        return lines

    told = Told()
    assert texts(with_server(check, told)) == [str(i) for i in range(n)]
    assert told.notes == []


def test_what_is_not_read_waits_with_the_sender():
    async def check(server, source):
        task = await reading(source)
        writer = await server.next_()
        line = b"x" * 999 + b"\n"
        for _ in range(20_000):
            writer.write(line)
        lines = list(await task)
        await asyncio.sleep(0.1)
        assert writer.transport.get_write_buffer_size() > 1_000_000
        return len(lines + await lines_of(source, 20_000 - len(lines)))

    assert with_server(check) == 20_000


def test_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("needs IPv6 on loopback")
    told = Told()

    async def check(server, source):
        task = await reading(source)
        writer = await server.next_()
        writer.write(b"a\n")
        lines = list(await task)
        writer.close()
        task = await reading(source)
        await until(lambda: told.notes)
        task.cancel()
        return lines

    assert texts(with_server(check, told, host="::1")) == ["a"]
    assert told.notes[0][1].startswith("[::1]:")


def test_a_name_is_looked_up():
    async def check(server, source):
        task = await reading(source)
        (await server.next_()).write(b"a\n")
        return await task

    assert texts(with_server(check, host="localhost")) == ["a"]


def test_a_name_that_nobody_has():
    told = Told()

    async def check():
        source = TcpLines(TcpOptions("no-such-host.invalid", 9), told.context(), Pause(0.01, 0.05))
        task = await reading(source)
        await until(lambda: told.notes)
        task.cancel()
        await asyncio.wait([task])
        await source.close()

    run(check())
    assert "no-such-host.invalid:9 cannot be reached: " in told.notes[0][1]


def test_it_is_closed_while_it_connects():
    async def check():
        with socket.socket() as full:  # whose queue takes no more connections
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            port = full.getsockname()[1]
            others = [socket.socket() for _ in range(4)]
            for other in others:
                other.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    other.connect(("127.0.0.1", port))
            source = open_source(TcpOptions("127.0.0.1", port), Told().context())
            assert await nothing_more(source)
            await source.close()
            for other in others:
                other.close()

    run(check())


def test_a_dead_peer_is_found_out():
    async def check(server, source):
        task = await reading(source)
        (await server.next_()).write(b"a\n")
        await task
        return source._socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    assert with_server(check) == 1


def test_the_timeout_follows_the_sample_period():
    for period_s, timeout_s in ((0.1, 60.0), (60.0, 600.0)):
        source = open_source(TcpOptions("h", 1), Told().context(period_s=period_s))
        assert source._timeout_s == timeout_s


@pytest.mark.parametrize(
    "table",
    [
        {"host": "h"},
        {"host": "", "port": 1},
        {"host": "a b", "port": 1},
        {"host": "h", "port": 0},
        {"host": "h", "port": 65536},
        {"host": "h", "port": 1, "timeout_s": 0},
        {"host": "h", "port": "1"},
    ],
)
def test_tables_that_make_no_sense(table):
    with pytest.raises(DecodeError):
        decode(TcpOptions, table)
