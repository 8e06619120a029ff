import asyncio
import contextlib
import fcntl
import json
import os
import subprocess
import sys
import termios
import time

import pytest

from edge_ad.errors import ConfigurationError
from edge_ad.runtime.sources.standard_input import StandardInput, StdinOptions, open_source
from tests.runtime.sources.reading import DEADLINE_S, Told, lines_of, run, texts


def read_from(descriptor, check=lines_of, told=None):
    async def checked():
        source = StandardInput((told or Told()).context(), descriptor)
        result = await check(source)
        assert await source.read() == []
        await source.close()
        return result

    return run(checked())


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):
            os.close(end)


def test_a_pipe_is_read_as_lines_come(pipe):
    out, into = pipe

    async def check(source):
        reading = asyncio.create_task(source.read())
        await asyncio.sleep(0.01)
        os.write(into, b"one\r\ntw")
        lines = list(await reading)
        reading = asyncio.create_task(source.read())
        await asyncio.sleep(0.01)
        assert not reading.done()
        os.write(into, b"o\nlast")
        lines += await reading
        os.close(into)
        return lines + await lines_of(source)

    lines = read_from(out, check)
    assert texts(lines) == ["one", "two", "last"]
    assert [line.first for line in lines] == [True, False, False]
    assert all(abs(time.monotonic() - line.arrived) < DEADLINE_S for line in lines)
    assert not fcntl.fcntl(out, fcntl.F_GETFL) & os.O_NONBLOCK
    os.fstat(out)  # it is still open


def test_a_reader_that_is_cancelled_loses_nothing(pipe):
    out, into = pipe

    async def check(source):
        lines = []
        for n in range(200):
            reading = asyncio.create_task(source.read())
            for _ in range(n % 4):
                await asyncio.sleep(0)
            os.write(into, f"{n}\n".encode())
            for _ in range(n % 3):
                await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait([reading])
            if not reading.cancelled():
                lines += reading.result()
        os.close(into)
        return lines + await lines_of(source)

    assert texts(read_from(out, check)) == [str(n) for n in range(200)]


def test_what_is_not_read_waits_with_the_writer(pipe):
    out, into = pipe
    os.set_blocking(into, False)
    line = b"x" * 99 + b"\n"

    async def check(source):
        written = 0
        while True:
            try:
                written += os.write(into, line)
            except BlockingIOError:
                break
        assert written < 1 << 20
        lines = list(await source.read())
        assert len(lines) == 256
        os.close(into)
        return (lines + await lines_of(source)), written

    lines, written = read_from(out, check)
    assert 0 <= written - 100 * len(lines) < 100 or texts(lines)[-1] != "x" * 99


def test_a_file(tmp_path):
    path = tmp_path / "samples.csv"
    path.write_text("".join(f"{n}\n" for n in range(10_000)))
    with path.open() as file:
        lines = read_from(file.fileno())
    assert texts(lines) == [str(n) for n in range(10_000)]
    assert {line.arrived for line in lines} == {None}


def test_nothing():
    with open(os.devnull) as file:
        assert read_from(file.fileno()) == []


def test_a_terminal():
    master, slave = os.openpty()

    async def check(source):
        reading = asyncio.create_task(source.read())
        await asyncio.sleep(0.01)
        os.write(master, b"typed\n")
        lines = list(await reading)
        os.write(master, b"last\n\x04")  # Ctrl-D
        return lines + await lines_of(source)

    try:
        assert texts(read_from(slave, check)) == ["typed", "last"]
        assert termios.tcgetattr(slave)[3] & termios.ICANON
    finally:
        os.close(master)
        os.close(slave)


def test_a_terminal_that_is_gone():
    master, slave = os.openpty()
    told = Told()

    async def check(source):
        os.write(master, b"typed\nhalf")
        lines = list(await source.read())
        os.close(master)
        return lines + await lines_of(source)

    try:
        assert texts(read_from(slave, check, told)) == ["typed"]
    finally:
        os.close(slave)


READER = """
import asyncio, json
from edge_ad.errors import ConfigurationError
from edge_ad.runtime.sources.source import SourceContext
from edge_ad.runtime.sources.standard_input import StdinOptions, open_source

async def main():
    try:
        source = open_source(StdinOptions(), SourceContext("a", 1.0, None, print, print))
    except ConfigurationError as error:
        print(json.dumps(str(error)))
        return
    while lines := await source.read():
        for line in lines:
            print(json.dumps(line.text))

asyncio.run(main())
"""


def read_by_process(**options):
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", READER], check=False, capture_output=True, **options
    )
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_the_standard_input_of_a_process(tmp_path):
    assert read_by_process(input=b"a\n\xff\nc") == ["a", "\ufffd", "c"]
    path = tmp_path / "samples.csv"
    path.write_text("a\nb\n")
    with path.open() as file:
        assert read_by_process(stdin=file) == ["a", "b"]
    assert read_by_process(stdin=subprocess.DEVNULL) == []


def test_a_process_without_standard_input():
    assert read_by_process(preexec_fn=lambda: os.close(0)) == [
        "there is no standard input to read: it is closed"
    ]


def test_a_descriptor_that_is_closed(monkeypatch, pipe):
    out, _ = pipe
    monkeypatch.setattr(sys, "__stdin__", os.fdopen(os.dup(out)))
    os.close(sys.__stdin__.fileno())
    with pytest.raises(ConfigurationError, match="no standard input"):
        open_source(StdinOptions(), Told().context())
    with pytest.raises(OSError):
        sys.__stdin__.close()
