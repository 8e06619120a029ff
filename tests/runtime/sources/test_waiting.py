import asyncio
import os
import time

import pytest

from edge_ad.runtime.sources.waiting import Pause, readable
from tests.runtime.sources.reading import run


def test_waits_double_up_to_the_longest():
    pause = Pause(1.0, 60.0)
    for longest in (1, 2, 4, 8, 16, 32, 60, 60):
        assert 0.75 * longest <= pause.failed() <= 1.25 * longest
    pause.worked()
    assert pause.failed() <= 1.25


def test_not_all_come_back_at_once():
    assert len({Pause().failed() for _ in range(20)}) > 10


def test_a_wait_that_is_cancelled_goes_on_the_next_time():
    async def check():
        pause = Pause(0.2)
        start = time.monotonic()
        wait_s = pause.failed()
        for _ in range(3):
            task = asyncio.create_task(pause.wait())
            await asyncio.sleep(0.01)
            task.cancel()
        await pause.wait()
        assert time.monotonic() - start >= wait_s
        pause.failed()
        pause.worked()
        start = time.monotonic()
        await pause.wait()  # of which nothing is left

    run(check())


def test_a_descriptor_can_be_waited_for_again_and_again():
    out, into = os.pipe()

    async def check():
        for _ in range(3):
            task = asyncio.create_task(readable(out))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            os.write(into, b"x")
            await readable(out)
            assert os.read(out, 9) == b"x"
        os.close(into)
        await readable(out)  # the end can be read as well

    run(check())
    os.close(out)


def test_what_one_cannot_wait_for(tmp_path):
    path = tmp_path / "file"
    path.touch()

    async def check():
        with path.open() as file, pytest.raises(PermissionError):
            await readable(file.fileno())

    run(check())
