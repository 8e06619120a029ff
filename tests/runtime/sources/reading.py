"""Reading sources in tests: what they noted, and their lines up to a number or the end."""

import asyncio
import time
from contextlib import suppress

from edge_ad.runtime.sources.source import SourceContext

DEADLINE_S = 60.0


class Told:
    """What a source told: `notes` are (kind, text), `said` are texts."""

    def __init__(self):
        self.notes = []
        self.said = []

    def note(self, kind, text, n=1):
        assert "\n" not in text
        self.notes += [(kind, text)] * n

    @property
    def kinds(self):
        return [kind for kind, _ in self.notes]

    @property
    def last(self):
        """Text of the last note."""
        return self.notes[-1][1] if self.notes else ""

    def context(self, position=None, period_s=0.01):
        return SourceContext("pump", period_s, position, self.note, self.said.append)


def run(coroutine):
    """The result of a coroutine; a test that hangs fails."""

    async def bounded():
        async with asyncio.timeout(DEADLINE_S):
            return await coroutine

    return asyncio.run(bounded())


async def lines_of(source, n=None):
    """The next `n` lines, or all to the end of the stream."""
    lines = []
    while n is None or len(lines) < n:
        got = await source.read()
        if not got:
            break
        lines += got
    return lines


async def nothing_more(source, wait_s=0.1):
    """Whether no line comes for a while, but for a header that is given again."""
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            while lines := await source.read():
                if any(line.number for line in lines):
                    return False
    return True


async def until(condition):
    """Wait for something to become true."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


def texts(lines):
    """Whole lines as they are, those with a problem as a pair with the problem's first word."""
    return [
        line.text if line.problem is None else (line.text, line.problem.partition(":")[0]) for line in lines
    ]
