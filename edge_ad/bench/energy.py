"""Sensors of energy and power, where a machine has any."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event, Thread
from time import monotonic
from typing import Protocol

from edge_ad.bench.host import Host

_MONITORS = re.compile(r"(ina|sy|ltc|pac)[0-9]{3,5}[a-z]?")
"""Chips that measure what flows through them, such as ina219, ina226, ina228, ina260.

https://docs.kernel.org/hwmon/ina2xx.html; the names of other chips are those of processors and graphics.
"""
_POWER_PERIOD_S = 0.1
_PMIC_PERIOD_S = 0.5
"""Asking the firmware takes a process each time."""


class Sensor(Protocol):
    """Tells joules since some moment, or watts now."""

    @property
    def source(self) -> str:
        """Where the figures come from."""
        ...

    @property
    def scope(self) -> str:
        """What of the machine they include."""
        ...

    def meter(self) -> Meter:
        """What measures from now on."""
        ...


class Meter(Protocol):
    """Energy between two moments."""

    def joules(self) -> float | None:
        """Since it was made; None where the sensor has failed meanwhile. Asked once."""
        ...


def find_sensor(host: Host | None = None) -> Sensor | None:
    """The sensor that includes most of the machine, and can be read; None without one.

    A chip in the supply line comes before the board's own power management, and that before the processor's
    own counters.
    """
    host = host or Host()
    candidates = (*_monitors(host), *_pmic(host), *_rapl(host))
    return next(iter(candidates), None)


@dataclass(frozen=True)
class _Counter:
    """Files that count microjoules."""

    host: Host
    files: tuple[str, ...]
    wraps_at_uj: tuple[int | None, ...]
    source: str
    scope: str

    def meter(self) -> Meter:
        return _CounterMeter(self)

    def read(self) -> list[int | None]:
        return [self.host.integer(file) for file in self.files]


class _CounterMeter:
    def __init__(self, counter: _Counter) -> None:
        self._counter = counter
        self._begin = counter.read()

    def joules(self) -> float | None:
        total = 0
        for begin, end, wraps_at in zip(
            self._begin, self._counter.read(), self._counter.wraps_at_uj, strict=True
        ):
            if begin is None or end is None or (end < begin and not wraps_at):
                return None
            total += end - begin + (wraps_at or 0) * (end < begin)
        return total / 1e6


@dataclass(frozen=True)
class _Gauge:
    """What tells watts now; joules are the sum of what it tells over and over."""

    host: Host
    file: str | None
    """With microwatts; None for the firmware."""
    period_s: float
    source: str
    scope: str

    def meter(self) -> Meter:
        return _GaugeMeter(self)

    def watts(self) -> float | None:
        if self.file is None:
            return pmic_watts(self.host)
        microwatts = self.host.integer(self.file)
        return None if microwatts is None else microwatts / 1e6


class _GaugeMeter:
    """Asks in a thread, which waits nearly all of the time."""

    def __init__(self, gauge: _Gauge) -> None:
        self._gauge = gauge
        self._watts: list[float | None] = []
        self._over = Event()
        self._begin = monotonic()
        self._thread = Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        while True:
            self._watts.append(self._gauge.watts())
            if self._over.wait(self._gauge.period_s):
                return

    def joules(self) -> float | None:
        self._over.set()
        self._thread.join()
        seconds = monotonic() - self._begin
        watts = [value for value in self._watts if value is not None and math.isfinite(value)]
        return sum(watts) / len(watts) * seconds if len(watts) == len(self._watts) else None


def _monitors(host: Host) -> Iterator[Sensor]:
    """https://docs.kernel.org/hwmon/sysfs-interface.html: microjoules, and microwatts."""
    for path in host.matches("/sys/class/hwmon/hwmon*/name"):
        folder, name = path.rpartition("/")[0], host.text(path) or ""
        if not _MONITORS.fullmatch(name):
            continue
        scope = f"what flows through the {name}, wherever it was wired in"
        if host.integer(f"{folder}/energy1_input") is not None:
            file = f"{folder}/energy1_input"
            yield _Counter(host, (file,), (None,), f"{name} (hwmon, energy1_input)", scope)
        elif host.integer(f"{folder}/power1_input") is not None:
            yield _Gauge(
                host, f"{folder}/power1_input", _POWER_PERIOD_S, f"{name} (hwmon, power1_input)", scope
            )


def _pmic(host: Host) -> Iterator[Sensor]:
    if pmic_watts(host) is not None:
        yield _Gauge(
            host,
            None,
            _PMIC_PERIOD_S,
            "power management of the Raspberry Pi 5 (vcgencmd pmic_read_adc)",
            "the board's own supplies; not what USB and HATs take at 5 V, nor what is lost on the way",
        )


def pmic_watts(host: Host) -> float | None:
    """The sum over all supplies for which the firmware tells both current and voltage; None without any.

    Lines such as `  VDD_CORE_A current(7)=1.08053000A` and `  VDD_CORE_V volt(15)=0.72178200V`; the numbers
    in brackets are of the converter's channels, the name is what they have in common.
    """
    answer = host.run("vcgencmd", "pmic_read_adc")
    values: dict[str, dict[str, float]] = {"A": {}, "V": {}}
    found = r"(\w+)_([AV])\s+(?:current|volt)\([0-9]+\)=([0-9]{1,4}\.[0-9]{1,12})[AV]\s*$"
    for name, kind, digits in re.findall(found, answer.text if answer else "", re.MULTILINE):
        values[kind][name] = float(digits)
    supplies = values["A"].keys() & values["V"].keys()
    return sum(values["A"][name] * values["V"][name] for name in supplies) if supplies else None


def _rapl(host: Host) -> Iterator[Sensor]:
    """https://docs.kernel.org/power/powercap/powercap.html; only root may read it since CVE-2020-8694."""
    zones = [
        path.rpartition("/")[0]
        for path in host.matches("/sys/class/powercap/*-rapl:*/energy_uj")
        if path.split("/")[-2].count(":") == 1 and host.integer(path) is not None
    ]
    packages = [zone for zone in zones if (host.text(f"{zone}/name") or "").startswith("package")]
    if packages:
        yield _Counter(
            host,
            tuple(f"{zone}/energy_uj" for zone in packages),
            tuple(host.integer(f"{zone}/max_energy_range_uj") for zone in packages),
            "RAPL of the processor (powercap, energy_uj)",
            "the processor's packages only",
        )
