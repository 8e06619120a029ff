"""A lamp, horn or relay that is on while a machine alarms: sinks of the kind `gpio`."""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from edge_ad.detect.decision import Decision
from edge_ad.errors import MissingDependencyError
from edge_ad.runtime.backoff import Backoff
from edge_ad.runtime.sinks.sink import DecisionSink, InService, SinkContext, TakeDecision
from edge_ad.runtime.troubles import Note

_ANY = "alarm"
_HIGHEST_PIN = 53


@dataclass(frozen=True)
class GpioOptions:
    """`kind = "gpio"`: which outputs, and when they are on."""

    pin: int
    """GPIO number (BCM), not the position on the header."""
    active_high: bool = True
    """Whether the output is high when it is on."""
    on: str = _ANY
    """On from which severity up, or `alarm`: at any alarm."""
    unknown_pin: int | None = None
    """A second output, on while the newest decision on an asset is `unknown`."""

    def __post_init__(self) -> None:
        for pin in (self.pin, self.unknown_pin):
            if pin is not None and not 0 <= pin <= _HIGHEST_PIN:
                raise ValueError(f"there is no GPIO {pin}: pin and unknown_pin are numbers from 0 to 27")
        if self.pin == self.unknown_pin:
            raise ValueError("unknown_pin must be another pin than pin")


Options = GpioOptions


def open_sink(options: GpioOptions, context: SinkContext) -> Gpio:
    """The sink. Raises MissingDependencyError."""
    try:
        import_module("gpiozero")
    except ImportError as error:
        raise MissingDependencyError(
            "sinks of the kind gpio need gpiozero: pip install 'edge-ad[gpio]', or on Raspberry Pi OS "
            "apt-get install python3-gpiozero python3-lgpio"
        ) from error
    return Gpio(options, context.note, context.say)


class Gpio(DecisionSink):
    """On while the newest decision with a score, of any asset, is an alarm of at least the severity.

    Decisions `unknown` and `warming` tell nothing of the machine and switch nothing off. A bundle without
    the severity that is waited for is noted, and its alarms all count: better once too often.
    The outputs are off before the first decision and after `close`. What a process that was killed leaves
    behind is up to the board: most keep the output as it was until the next start.
    """

    def __init__(
        self,
        options: GpioOptions,
        note: Note,
        say: Callable[[str], None],
        *,
        first_wait_s: float = 1.0,
    ) -> None:
        self._on = options.on
        self._note = note
        self._alarming: set[str] = set()
        self._unknown: set[str] = set()
        self._outputs = [_Output(options.pin, options.active_high, self._alarming)]
        if options.unknown_pin is not None:
            self._outputs.append(_Output(options.unknown_pin, options.active_high, self._unknown))
        self._say = say
        self._backoff = Backoff(first_wait_s)
        self._opening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take the pins, or try to from now on."""
        self._opening = asyncio.create_task(self._open())

    async def close(self) -> None:
        """Switch off, and let go of the pins."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait({self._opening})
        for output in self._outputs:
            try:
                output.close()
            except Exception as error:  # noqa: BLE001  what drives the pins has errors of its own
                self._note("gpio", f"cannot switch off GPIO {output.pin}: {error}")

    def begin(self, service: InService) -> TakeDecision:
        """Decisions from now on are this bundle's."""
        wanted = self._wanted(service)
        asset, alarming, unknown = service.asset, self._alarming, self._unknown

        def take(decision: Decision, stamp: str) -> None:
            state = decision.state
            is_alarm = state == "alarm" and (wanted is None or decision.severity in wanted)
            # the same as last time, nearly always
            if state in ("normal", "alarm") and is_alarm != (asset in alarming):
                alarming.symmetric_difference_update({asset})
                self._switch()
            if (state == "unknown") != (asset in unknown):
                unknown.symmetric_difference_update({asset})
                self._switch()

        return take

    def _wanted(self, service: InService) -> frozenset[str] | None:
        """The severities that count; None where all do."""
        if self._on == _ANY:
            return None
        if self._on not in service.severities:
            known = ", ".join(service.severities) or "none"
            self._note(
                "severity",
                f"the bundle of {service.asset} has no severity {self._on!r} (it has: {known}); all of its "
                "alarms switch the output on",
            )
            return None
        return frozenset(service.severities[service.severities.index(self._on) :])

    def _switch(self) -> None:
        for output in self._outputs:
            try:
                output.show()
            except Exception as error:  # noqa: BLE001  what drives the pins has errors of its own
                self._note("gpio", f"cannot switch GPIO {output.pin}: {error}; it is tried again")
                output.forget()
                if self._opening is None or self._opening.done():
                    self._opening = asyncio.create_task(self._open())

    async def _open(self) -> None:
        has_failed = False
        while True:
            try:
                for output in self._outputs:
                    output.open()
            except Exception as error:  # noqa: BLE001  what drives the pins has errors of its own
                has_failed = True
                self._note(
                    "gpio",
                    f"GPIO {output.pin} cannot be used: {type(error).__name__}: {error}; it is tried again. "
                    "On a Raspberry Pi the agent's account must be in the group gpio, and python3-lgpio "
                    "installed",
                )
                await asyncio.sleep(self._backoff.next())
            else:
                break
        self._backoff.reset()
        if has_failed:
            self._say("the GPIO outputs can be used now")


class _Output:
    """One pin, which shows whether a set has anything in it."""

    def __init__(self, pin: int, active_high: bool, assets: set[str]) -> None:
        self.pin = pin
        self._active_high = active_high
        self._assets = assets
        self._device: Any = None

    def open(self) -> None:
        """Take the pin, where it is not taken yet."""
        if self._device is not None:
            return
        gpiozero = import_module("gpiozero")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", gpiozero.PinFactoryFallback)  # which one does it is no matter
            self._device = gpiozero.DigitalOutputDevice(
                self.pin, active_high=self._active_high, initial_value=bool(self._assets)
            )

    def show(self) -> None:
        if self._device is not None:
            self._device.value = bool(self._assets)

    def forget(self) -> None:
        """Let go of a pin that does not do what it should."""
        device, self._device = self._device, None
        if device is not None:
            with contextlib.suppress(Exception):  # as before
                device.close()

    def close(self) -> None:
        device, self._device = self._device, None
        if device is not None:
            try:
                device.off()
            finally:
                device.close()
