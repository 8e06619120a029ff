import asyncio
import os
import random
import subprocess
import sys
import threading

from edge_ad.runtime.sources.in_thread import BlockingSource
from edge_ad.runtime.sources.waiting import Pause
from tests.runtime.sources.reading import Told, lines_of, run, texts, until


def opened(make, told=None, **options):
    context = (told or Told()).context()
    return BlockingSource(make, context, name="driver", pause=Pause(0.01, 0.05), **options)


def read_all(make, told=None, **options):
    async def check():
        source = opened(make, told, **options)
        lines = await lines_of(source)
        assert await source.read() == []
        await source.close()
        return lines

    return run(check())


def test_an_iterable_is_read_to_its_end():
    lines = read_all(lambda: iter(["t;a\n", "1;2\r\n", "", "é\udcff"]))
    assert texts(lines) == ["t;a", "1;2", "", "é?"]
    assert [(line.number, line.first) for line in lines] == [(1, True), (2, False), (3, False), (4, False)]
    assert all(line.arrived is not None for line in lines)


def test_a_driver_that_fails_is_made_anew():
    told, tries = Told(), []

    def make():
        tries.append(1)
        if len(tries) == 1:
            raise OSError("no such bus")
        yield f"{len(tries)}a"
        if len(tries) < 4:
            raise ZeroDivisionError
        yield "end"

    lines = read_all(make, told)
    assert texts(lines) == ["2a", "3a", "4a", "end"]
    assert [line.first for line in lines] == [True, True, True, False]
    assert told.kinds == ["source-failed"] * 3
    assert told.notes[0][1].startswith("driver: OSError: no such bus; begun anew in")
    assert told.notes[1][1].startswith("driver: ZeroDivisionError: no reason given")
    assert told.said == ["driver gives lines again"] * 3


def test_what_is_no_text_is_a_bad_line():
    lines = read_all(lambda: [b"1;2", None, "ok", "x" * (1 << 21)])
    assert [line.problem for line in lines[:3]] == [
        "the source gave bytes, not text",
        "the source gave NoneType, not text",
        None,
    ]
    assert lines[3].problem.startswith("longer than")
    assert len(lines[3].text) == 1 << 20


def test_what_is_not_read_waits_in_the_thread():
    given = []

    def make():
        for n in range(1000):
            given.append(n)
            yield str(n)

    async def check():
        source = opened(make, most_held=10)
        lines = list(await source.read())
        await until(lambda: len(given) == len(lines) + 11)
        await asyncio.sleep(0.05)
        assert len(given) == len(lines) + 11  # ten wait, and one is held by the thread
        lines += await lines_of(source)
        await source.close()
        return lines

    assert texts(run(check())) == [str(n) for n in range(1000)]


def test_a_reader_that_is_cancelled_loses_nothing():
    async def check():
        source, lines, chance = opened(lambda: map(str, range(3000)), most_held=7), [], random.Random(1)
        while len(lines) < 3000:
            task = asyncio.create_task(source.read())
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                lines += task.result()
        await source.close()
        return lines

    assert texts(run(check())) == [str(n) for n in range(3000)]


def test_closing_ends_the_thread():
    out, into = os.pipe()

    def make():
        with os.fdopen(out) as stream:
            yield from stream

    async def check():
        source = opened(make, wake=lambda: os.close(into))
        os.write(into, b"a\n")
        lines = await source.read()
        task = asyncio.create_task(source.read())
        await asyncio.sleep(0.01)
        task.cancel()
        await source.close()
        return lines

    assert texts(run(check())) == ["a"]
    for thread in threading.enumerate():
        if thread.name == "source driver":
            thread.join(30)
            assert not thread.is_alive()


def test_closing_while_the_queue_is_full_ends_the_thread():
    async def check():
        source = opened(lambda: iter(lambda: "x", None), most_held=3)
        await source.read()
        await source.close()
        return source._thread

    thread = run(check())
    thread.join(30)
    assert not thread.is_alive()


def test_a_driver_that_never_returns_does_not_keep_the_process():
    code = (
        "import asyncio, threading\n"
        "from edge_ad.runtime.sources.in_thread import BlockingSource\n"
        "from edge_ad.runtime.sources.source import SourceContext\n"
        "def make():\n"
        "    yield 'a'\n"
        "    threading.Event().wait()\n"
        "async def main():\n"
        "    source = BlockingSource(make, SourceContext('a', 1.0, None, print, print), name='x')\n"
        "    print(len(await source.read()))\n"
        "    await source.close()\n"
        "asyncio.run(main())\n"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, timeout=60
    )
    assert (result.stdout, result.stderr) == (b"1\n", b"")
