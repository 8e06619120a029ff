"""Faults of the simulated pump: when each is present, how far it has grown, what it changes in the plant."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from edge_ad.errors import ConfigurationError


class Fault(StrEnum):
    """Kinds of faults the test bed can have."""

    VALVE_CLOSING = "valve-closing"
    CAVITATION = "cavitation"
    ROTOR_IMBALANCE = "rotor-imbalance"
    LEAK = "leak"
    SENSOR_DRIFT = "sensor-drift"
    INLET_VALVE_CLOSING = "inlet-valve-closing"


# What each fault does at severity 1; docs/pump.md gives the reasons.
_VALVE_CLOSING = 0.50  # share of the outlet valve's opening that is lost
_INLET_VALVE_CLOSING = 0.50  # share of the inlet valve's opening that is lost
_TANK_PRESSURE_LOSS = 4.2  # m of water
_ADDED_IMBALANCE = 0.30  # as a share of the rotor's own imbalance
_LEAK_AREA = 6.5e-5  # m2, a hole of 9 mm
_BODY_SENSOR_DRIFT = -3.0  # K


@dataclass(frozen=True)
class FaultEpisode:
    """A fault from its onset to its repair. Raises ConfigurationError if its numbers make no sense."""

    kind: Fault
    start_s: float
    """Onset, in seconds after the start of the run."""
    end_s: float
    """Moment of the repair; the plant then recovers by itself."""
    severity: float = 1.0
    """Above 0, up to 1."""
    ramp_s: float = 60.0
    """Time over which the fault grows, linearly, to its severity; 0 for at once."""

    def __post_init__(self) -> None:
        if self.kind not in tuple(Fault):
            raise ConfigurationError(f"no fault {self.kind!r}; there are: {', '.join(Fault)}")
        if not 0 < self.severity <= 1:
            raise ConfigurationError(
                f"{self.kind}: severity must be above 0 and at most 1, not {self.severity}"
            )
        if not 0 <= self.ramp_s < math.inf:
            raise ConfigurationError(
                f"{self.kind}: ramp_s must be 0 or a number of seconds, not {self.ramp_s}"
            )
        if not 0 <= self.start_s < self.end_s < math.inf:
            raise ConfigurationError(
                f"{self.kind}: from {self.start_s} s to {self.end_s} s is no episode; "
                "it must start at 0 or later and end after it starts"
            )

    def present(self, time_s: float) -> bool:
        """Whether the fault exists at `time_s`, however little it has grown."""
        return self.start_s <= time_s < self.end_s

    def level(self, time_s: float) -> float:
        """How far the fault has grown, 0 … severity."""
        if not self.present(time_s):
            return 0.0
        grown = (time_s - self.start_s) / self.ramp_s if self.ramp_s > 0 else 1.0
        return self.severity * min(1.0, grown)


@dataclass(frozen=True)
class Condition:
    """The parameters that faults act on, at one moment; the defaults are a healthy plant."""

    outlet_opening: float = 1.0
    inlet_opening: float = 1.0
    """Valve openings relative to the normal ones; a valve's loss goes with 1 / opening²."""
    tank_pressure_loss: float = 0.0
    """Fall of the pressure above the water in the tank, in m of water."""
    imbalance: float = 1.0
    """The rotor's imbalance (mass times radius) relative to its own."""
    leak_area: float = 0.0
    """m² of a hole after the pump."""
    body_sensor_offset: float = 0.0
    """K that the sensor of the motor body is wrong by."""


HEALTHY = Condition()


def check_episodes(episodes: Sequence[FaultEpisode], duration_s: float) -> None:
    """Raise ConfigurationError unless the episodes start within the run, one after the other."""
    ordered = sorted(episodes, key=lambda episode: episode.start_s)
    for before, after in itertools.pairwise(ordered):
        if after.start_s < before.end_s:
            raise ConfigurationError(
                f"{after.kind} starts at {after.start_s} s, but {before.kind} lasts until {before.end_s} s; "
                "one fault at a time, so that every row has one label"
            )
    if ordered and ordered[-1].start_s >= duration_s:
        raise ConfigurationError(
            f"{ordered[-1].kind} starts at {ordered[-1].start_s} s, but the run ends at {duration_s} s"
        )


def present_fault(episodes: Sequence[FaultEpisode], time_s: float) -> str:
    """Kind of the fault that exists at `time_s`, or an empty string."""
    return next((str(episode.kind) for episode in episodes if episode.present(time_s)), "")


def condition_at(episodes: Sequence[FaultEpisode], time_s: float) -> Condition:
    """State of the plant at `time_s`, in seconds after the start of the run."""
    for episode in episodes:
        if episode.present(time_s):
            return _faulty(episode.kind, episode.level(time_s))
    return HEALTHY


def _faulty(kind: Fault, level: float) -> Condition:
    match kind:
        case Fault.VALVE_CLOSING:
            return Condition(outlet_opening=1 - _VALVE_CLOSING * level)
        case Fault.INLET_VALVE_CLOSING:
            return Condition(inlet_opening=1 - _INLET_VALVE_CLOSING * level)
        case Fault.CAVITATION:
            return Condition(tank_pressure_loss=_TANK_PRESSURE_LOSS * level)
        case Fault.ROTOR_IMBALANCE:
            return Condition(imbalance=1 + _ADDED_IMBALANCE * level)
        case Fault.LEAK:
            return Condition(leak_area=_LEAK_AREA * level)
        case Fault.SENSOR_DRIFT:
            return Condition(body_sensor_offset=_BODY_SENSOR_DRIFT * level)
