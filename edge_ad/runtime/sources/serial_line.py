"""Lines from a serial line: a microcontroller on USB, an RS-232 or RS-485 adapter."""

from __future__ import annotations

import errno
import os
import termios
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Literal

from edge_ad.errors import MissingDependencyError
from edge_ad.runtime.sources.source import MOST_AT_ONCE, Line, Source, SourceContext
from edge_ad.runtime.sources.splitter import LineSplitter
from edge_ad.runtime.sources.waiting import Pause, readable

_CHUNK = 1 << 12
_PARITIES = {"none": "N", "even": "E", "odd": "O"}
_VMIN = 6
"""Where `termios` has the control characters."""


@dataclass(frozen=True)
class SerialOptions:
    """Table of a source of kind `serial`.

    Devices seldom send column names, and what they send first is lost: for csv, name the columns in the
    asset's table `format`, such as `format = { columns = ["Pressure", "Flow"], time = "arrival" }`.
    """

    device: str
    """Best a name that stays the same over unplugging: `/dev/serial/by-id/…`."""
    baud: int = 115200
    """Bits per second."""
    bytesize: Literal[7, 8] = 8
    """Bits in a character."""
    parity: Literal["none", "even", "odd"] = "none"
    stopbits: Literal[1, 2] = 1

    def __post_init__(self) -> None:
        if not self.device or "\0" in self.device:
            raise ValueError(f"device {self.device!r} is not the name of one")
        if not 50 <= self.baud <= 20_000_000:
            raise ValueError("baud must lie between 50 and 20000000")

    @property
    def address(self) -> str:
        """Where the stream comes from."""
        return self.device


Options = SerialOptions


def open_source(options: SerialOptions, context: SourceContext) -> Source:
    """The source; a device that is not there is waited for. Raises MissingDependencyError."""
    _serial_class()
    return SerialLine(options, context)


class SerialLine:
    """Reads a device, and opens it again when it comes back.

    After each opening, the first line is left out: who listens in the middle of a stream hears the end of a
    line first.
    """

    def __init__(self, options: SerialOptions, context: SourceContext, pause: Pause | None = None) -> None:
        """`pause` tells how long to wait before opening the device again."""
        self._options = options
        self._note, self._say = context.note, context.say
        self._pause = pause or Pause()
        self._splitter = LineSplitter()
        self._port: Any = None
        self._skips = False
        """Whether the next line is the first since the opening."""
        self._is_missed = False

    async def read(self) -> Sequence[Line]:
        """See Source."""
        while True:
            if self._skips:
                self._skip()
            if lines := self._splitter.take(MOST_AT_ONCE):
                self._pause.worked()
                return lines
            await self._pause.wait()
            try:
                if self._port is None:
                    self._port = self._opened()
                descriptor = self._port.fileno()
                await readable(descriptor)
                data = os.read(descriptor, _CHUNK)
                if data:
                    self._splitter.push(data, monotonic())
                    continue
                torn = self._lost("it is gone")
            except BlockingIOError:
                continue
            except OSError as error:
                torn = self._lost(_said(error))
            except ValueError as error:  # a rate that the device does not have
                torn = self._lost(str(error))
            if torn is not None:
                return [torn]

    def _opened(self) -> Any:
        """The device, open. Raises OSError, ValueError."""
        options = self._options
        port = _serial_class()(
            options.device,
            options.baud,
            bytesize=options.bytesize,
            parity=_PARITIES[options.parity],
            stopbits=options.stopbits,
            timeout=0,
            exclusive=True,
        )
        try:
            # So that to read nothing means that the device is gone, and nothing else.
            attributes = termios.tcgetattr(port.fileno())
            attributes[_VMIN][termios.VMIN] = 1
            termios.tcsetattr(port.fileno(), termios.TCSANOW, attributes)
        except termios.error as error:
            port.close()
            raise OSError(*error.args) from error
        self._splitter = LineSplitter(self._splitter.number, first=False)
        self._skips = True
        if self._is_missed:
            self._say(f"{options.device} is open again")
            self._is_missed = False
        return port

    def _skip(self) -> None:
        """Leave out the first line since the opening, once it is over."""
        if self._splitter.take(1):
            self._leave_out()

    def _leave_out(self) -> None:
        self._skips = False
        self._splitter.first = True
        self._note(
            "partial-line",
            f"{self._options.device}: the first line after opening it is left out, it may be cut off",
        )

    def _lost(self, why: str) -> Line | None:
        """Let go of the device, and say why; its last line, if that is cut off."""
        torn = None
        if self._port is not None:
            torn = self._splitter.flush("cut off: the device is gone")
            if self._skips and torn is not None:
                self._leave_out()
                torn = None
        self._is_missed, self._skips = True, False
        self._let_go()
        wait_s = self._pause.failed()
        self._note(
            "device-lost", f"{self._options.device} cannot be read: {why}; tried again in {wait_s:.1f} s"
        )
        return torn

    def position(self) -> str | None:
        """See Source. What was read is gone."""
        return None

    def done(self) -> None:
        """See Source."""

    async def close(self) -> None:
        """See Source."""
        self._let_go()

    def _let_go(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            port.close()


def _serial_class() -> Any:
    try:
        from serial import Serial  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingDependencyError("a serial line needs pyserial: pip install 'edge-ad[serial]'") from error
    return Serial


def _said(error: OSError) -> str:
    """What is wrong with the device, and what helps."""
    # pyserial's errors have the number, and a text that says it twice
    number = error.errno
    match number:
        case errno.EACCES | errno.EPERM:
            return (
                "permission denied; let the agent's user use serial lines, then start the agent anew: "
                "sudo usermod -aG dialout USER"
            )
        case errno.ENOENT | errno.ENODEV | errno.ENXIO:
            return "there is no such device; is it plugged in?"
        case errno.EAGAIN | errno.EBUSY:
            return "another program uses it"
        case errno.EIO:
            return "it is gone (input/output error)"
        case errno.ENOTTY | errno.EINVAL:
            return "it is no serial line"
    return os.strerror(number) if number else str(error)
