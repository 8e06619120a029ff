import asyncio
import fcntl
import os
import random
import subprocess
import sys
import termios

import pytest

from edge_ad.bundle.codec import DecodeError, decode
from edge_ad.runtime.sources.serial_line import SerialLine, SerialOptions
from edge_ad.runtime.sources.waiting import Pause
from tests.runtime.sources.reading import Told, lines_of, run, texts, until
from tests.runtime.sources.test_whole_file import forbidden

pytest.importorskip("serial", reason="needs pyserial")


class Device:
    """A pseudo-terminal under a name that stays, as udev gives one."""

    def __init__(self, path):
        self.path = path
        self.master = -1

    def plug_in(self):
        self.master, slave = os.openpty()
        self._slave = os.ttyname(slave)
        os.close(slave)
        self.path.symlink_to(self._slave)

    def unplug(self):
        self.path.unlink()
        os.close(self.master)
        self.master = -1

    def send(self, data):
        os.write(self.master, data)

    async def opened(self):
        """Wait until somebody listens, with the line set up as it is to be."""

        def is_raw():
            slave = os.open(self._slave, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            try:
                return not termios.tcgetattr(slave)[3] & termios.ICANON and locked(slave)
            finally:
                os.close(slave)

        await until(is_raw)


def locked(descriptor):
    """Whether somebody else has it for himself."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


@pytest.fixture
def device(tmp_path):
    subject = Device(tmp_path / "ttyDevice")
    yield subject
    if subject.master >= 0:
        os.close(subject.master)


def with_source(device, check, told=None, **options):
    async def checked():
        options_ = SerialOptions(str(device.path), **options)
        source = SerialLine(options_, (told or Told()).context(), Pause(0.01, 0.05))
        try:
            return await check(source)
        finally:
            await source.close()

    return run(checked())


def test_the_first_line_after_opening_is_left_out(device):
    told = Told()
    device.plug_in()

    async def check(source):
        task = asyncio.create_task(source.read())
        await device.opened()
        device.send(b"7;8")
        device.send(b";9\r\n1;2\r\n3;")
        lines = list(await task)
        device.send(b"4\r\n")
        return lines + await lines_of(source, 1)

    lines = with_source(device, check, told, baud=9600, parity="even", bytesize=7, stopbits=2)
    assert texts(lines) == ["1;2", "3;4"]
    assert [(line.number, line.first) for line in lines] == [(2, True), (3, False)]
    assert all(line.arrived is not None for line in lines)
    assert told.kinds == ["partial-line"]


def test_a_device_that_disappears_and_comes_back(device):
    told = Told()

    async def check(source):
        lines = []
        task = asyncio.create_task(source.read())
        await until(lambda: told.notes)
        for n in range(3):
            device.plug_in()
            await device.opened()
            device.send(f"partial\n{n}\n{n}{n}\nhalf".encode())
            lines += await task
            task = asyncio.create_task(source.read())
            while len(lines) % 3 != 2:
                lines += await task
                task = asyncio.create_task(source.read())
            device.unplug()
            lines += await task
            task = asyncio.create_task(source.read())
        task.cancel()
        return lines

    lines = with_source(device, check, told)
    assert texts(lines) == [text for n in "012" for text in (n, n + n, ("half", "cut off"))]
    assert [line.first for line in lines] == [True, False, False] * 3
    assert told.kinds.count("partial-line") == 3
    assert set(told.kinds) == {"device-lost", "partial-line"}
    assert "there is no such device; is it plugged in?" in told.notes[0][1]
    assert told.said == [f"{device.path} is open again"] * 3


def test_a_device_that_disappears_within_its_first_line(device):
    told = Told()

    async def check(source):
        device.plug_in()
        task = asyncio.create_task(source.read())
        await device.opened()
        device.send(b"half")
        await until(lambda: source._splitter._rest)
        device.unplug()
        await until(lambda: "device-lost" in told.kinds)
        device.plug_in()
        await device.opened()
        device.send(b"partial\n1\n")
        return await task

    assert texts(with_source(device, check, told)) == ["1"]
    assert told.kinds.count("partial-line") == 2


def test_a_reader_that_is_cancelled_loses_nothing(device):
    told = Told()
    device.plug_in()

    async def check(source):
        lines, chance = [], random.Random(1)
        task = asyncio.create_task(source.read())
        await device.opened()
        device.send(b"partial\n")
        for n in range(300):
            device.send(f"{n}\n".encode())
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                lines += task.result()
            task = asyncio.create_task(source.read())
        while len(lines) < 300:
            lines += await task
            task = asyncio.create_task(source.read())
        task.cancel()
        return lines

    assert texts(with_source(device, check, told)) == [str(n) for n in range(300)]
    assert told.kinds == ["partial-line"]


def test_a_device_in_use_is_waited_for(device):
    told = Told()
    device.plug_in()

    async def check(source):
        slave = os.open(device.path, os.O_RDWR | os.O_NOCTTY)
        fcntl.flock(slave, fcntl.LOCK_EX)
        task = asyncio.create_task(source.read())
        await until(lambda: told.notes)
        os.close(slave)
        await device.opened()
        device.send(b"partial\n1\n")
        return await task

    assert texts(with_source(device, check, told)) == ["1"]
    assert "another program uses it" in told.notes[0][1]


def test_no_permission_says_what_helps(device):
    told = Told()
    device.path.touch()

    async def check(source):
        with forbidden(device.path):
            task = asyncio.create_task(source.read())
            await until(lambda: told.notes)
            task.cancel()

    with_source(device, check, told)
    assert "sudo usermod -aG dialout USER" in told.last


@pytest.mark.parametrize("make", ["file", "folder", "fifo"])
def test_what_is_no_serial_line(device, make):
    told = Told()
    {"file": device.path.touch, "folder": device.path.mkdir, "fifo": lambda: os.mkfifo(device.path)}[make]()

    async def check(source):
        task = asyncio.create_task(source.read())
        await until(lambda: told.notes)
        task.cancel()

    with_source(device, check, told)
    assert told.kinds[0] == "device-lost"
    assert "Traceback" not in told.last


def test_without_pyserial_the_extra_is_named():
    code = (
        "import sys; sys.modules['serial'] = None\n"
        "from edge_ad.runtime.sources.kinds import load_source\n"
        "from edge_ad.runtime.sources.source import SourceContext\n"
        "options, opener = load_source('serial', {'device': '/dev/ttyUSB0'})\n"
        "opener(options, SourceContext('a', 1.0, None, print, print))"
    )
    result = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (
        "MissingDependencyError: a serial line needs pyserial: pip install 'edge-ad[serial]'" in result.stderr
    )


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"device": ""},
        {"device": "d", "baud": 0},
        {"device": "d", "parity": "mark"},
        {"device": "d", "bytesize": 9},
        {"device": "d", "stopbits": 3},
    ],
)
def test_tables_that_make_no_sense(table):
    with pytest.raises(DecodeError):
        decode(SerialOptions, table)
