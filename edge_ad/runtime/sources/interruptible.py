"""Reading a descriptor such that no signal is overlooked."""

from __future__ import annotations

import io
import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


@contextmanager
def interruptible(descriptor: int) -> Iterator[io.BufferedReader]:
    """A reader of the descriptor, whose reads end as soon as a handler of a signal raises. Main thread only.

    A plain read has a gap: of a signal between Python's last look and the system call nothing is heard until
    the next byte arrives, which on a stream that has fallen silent is never. So every read waits for the
    signals' own pipe as well. The descriptor stays open.
    """
    woken, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    try:
        yield io.BufferedReader(_Reader(descriptor, woken))
    finally:
        signal.set_wakeup_fd(before)
        os.close(wakes)
        os.close(woken)


class _Reader(io.RawIOBase):
    def __init__(self, descriptor: int, woken: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._woken = woken
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._poll.register(woken, select.POLLIN)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        # The handler itself runs between two steps of this loop.
        while any(ready == self._woken for ready, _ in self._poll.poll()):
            os.read(self._woken, 4096)
        return os.readv(self._descriptor, [buffer])
