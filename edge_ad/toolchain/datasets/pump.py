"""A simulated pump test bed: closed water loop, motor, eight sensors, labelled faults.

The channels, units, sampling and noise are those of the SKAB test bed; the constants are this module's own,
reasoned in docs/pump.md. Physics is integrated in steps of 0.1 s; sensors are read once a second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from edge_ad.errors import ConfigurationError

PUMP_CHANNELS: tuple[tuple[str, str, float, float], ...] = (
    ("Accelerometer1RMS", "g", 0.0, 2.0),
    ("Accelerometer2RMS", "g", 0.0, 2.0),
    ("Current", "A", 0.0, 10.0),
    ("Pressure", "bar", -2.0, 10.0),
    ("Temperature", "degC", -20.0, 150.0),
    ("Thermocouple", "degC", -20.0, 100.0),
    ("Voltage", "V", 0.0, 400.0),
    ("Volume Flow RateRMS", "L/min", 0.0, 200.0),
)
"""Name, unit, lowest and highest value the sensor can show."""

_STEP_S = 0.1
_STEPS_PER_SAMPLE = 10
_START = 1_767_600_000  # 2026-01-05 08:00:00 UTC

# The plant. Flow is in L/min inside the equations, so hydraulic constants carry that unit.
_SPEED = 303.0  # rad/s, a two-pole motor at 50 Hz less its slip
_SYNCHRONOUS = 314.16  # rad/s
_SLIP_TORQUE = 0.022  # N m per rad/s of slip, the linear part of the torque curve
_ROTOR_INERTIA = 4e-4  # kg m2
_FRICTION = 2.6e-4  # N m per rad/s, bearings and seal
_SHUTOFF_HEAD = 4.2  # m at nominal speed
_HEAD_LOSS = 1.17e-3  # m per (L/min)2, falling part of the pump curve
_EFFICIENCY = 0.38
_PIPE_LOSS = 1.2e-3  # m per (L/min)2
_VALVE_LOSS = 7.0e-4  # m per (L/min)2, outlet valve fully open
_INLET_LOSS = 3.0e-4  # m per (L/min)2
_FLOW_INERTANCE = 0.06  # m per (L/min per s): 4 m of pipe
_NPSH_REQUIRED = 1.2e-3  # m per (L/min)2
_ATMOSPHERE_HEAD = 10.1  # m of water
_CAVITATION_MARGIN = 3.0  # m of NPSH margin at which half of the eye is filled with vapour
_BODY_HEAT = 520.0  # J/K, motor body; with the conductances, a time constant of 11 minutes
_BODY_TO_AIR = 0.55  # W/K
_BODY_TO_WATER = 0.25  # W/K
_WATER_HEAT = 29_000.0  # J/K, 7 L of water
_WATER_TO_AIR = 9.0  # W/K
_WINDING_RESISTANCE = 24.0  # ohm
_MAGNETIZING_CURRENT = 0.86  # A
_IRON_LOSS = 13.0  # W at nominal voltage
_SUPPLY_VOLTAGE = 231.0  # V


class Fault(StrEnum):
    """Kinds of faults the test bed can have."""

    VALVE_CLOSING = "valve-closing"
    CAVITATION = "cavitation"
    ROTOR_IMBALANCE = "rotor-imbalance"
    LEAK = "leak"
    SENSOR_DRIFT = "sensor-drift"


@dataclass(frozen=True)
class FaultEpisode:
    """A fault from its onset to its repair."""

    kind: Fault
    start_s: float
    """Onset, in seconds after the start of the run."""
    end_s: float
    """Moment of the repair; the plant then recovers by itself."""
    severity: float = 1.0
    """Above 0, up to 1."""
    ramp_s: float = 60.0
    """Time over which the fault grows to its severity."""

    def level(self, time_s: float) -> float:
        """How far the fault has grown, 0 … severity."""
        if not self.start_s <= time_s < self.end_s:
            return 0.0
        grown = (time_s - self.start_s) / self.ramp_s if self.ramp_s > 0 else 1.0
        return self.severity * min(1.0, grown)


@dataclass(frozen=True)
class PumpRun:
    """A recording of the simulated test bed."""

    times: NDArray[np.float64]
    """`(n,)` seconds since the epoch (UTC), whole and strictly increasing."""
    samples: NDArray[np.float64]
    """`(n, 8)` engineering units, channels as in `PUMP_CHANNELS`."""
    labels: NDArray[np.bool_]
    """`(n,)`, True while a fault is present."""
    faults: tuple[str, ...]
    """Kind of the fault present at each row, or an empty string."""


@dataclass(frozen=True)
class _Plant:
    """What differs between two machines of the same make."""

    imbalance: float
    turbulence: float
    head: float
    valve: float
    magnetizing: float
    ambient: float


@dataclass(frozen=True)
class _Health:
    """What the faults do to the plant at one moment."""

    valve_opening: float = 1.0
    static_loss: float = 0.0
    """Fall of the loop's static pressure, in m of water."""
    imbalance: float = 1.0
    leak: float = 0.0
    thermocouple_offset: float = 0.0


def simulate_pump(seed: int, *, duration_s: int = 1200, episodes: Sequence[FaultEpisode] = ()) -> PumpRun:
    """Run the test bed for `duration_s` seconds; equal arguments give equal bytes.

    The seed chooses the machine (slightly different constants) and the noise. About one row in
    twenty is missing, as in SKAB, so that some steps are 2 s. Raises ConfigurationError for a
    duration or an episode that makes no sense.
    """
    _check(duration_s, episodes)
    rng = np.random.Generator(np.random.PCG64(seed))
    plant = _make_plant(rng)
    physics = _integrate(plant, duration_s, episodes, rng)
    samples = _read_sensors(physics, plant, rng)
    faults = [
        next((str(e.kind) for e in episodes if e.start_s <= second < e.end_s), "")
        for second in range(duration_s)
    ]
    kept = _kept_rows(duration_s, rng)
    return PumpRun(
        times=(_START + kept).astype(np.float64),
        samples=samples[kept],
        labels=np.array([bool(faults[i]) for i in kept]),
        faults=tuple(faults[i] for i in kept),
    )


def standard_run(index: int) -> PumpRun:
    """The preset's recordings: number 0 … 4 has one kind of fault each, in the order of `Fault`.

    20 minutes: the first 400 rows and a while beyond are normal, then comes the fault, then recovery.
    """
    kind = list(Fault)[index % len(Fault)]
    start = 610.0 + 25 * (index % 4)
    return simulate_pump(
        1000 + index, duration_s=1250, episodes=[FaultEpisode(kind, start, start + 380, 0.9, 60.0)]
    )


def _check(duration_s: int, episodes: Sequence[FaultEpisode]) -> None:
    if duration_s < 1:
        raise ConfigurationError(f"a run lasts at least 1 s, not {duration_s}")
    end = 0.0
    for episode in sorted(episodes, key=lambda e: e.start_s):
        if not 0 < episode.severity <= 1:
            raise ConfigurationError(f"severity must be above 0 and at most 1, not {episode.severity}")
        if not episode.ramp_s >= 0:
            raise ConfigurationError(f"ramp_s must not be negative: {episode.ramp_s}")
        if not 0 <= episode.start_s < episode.end_s:
            raise ConfigurationError(f"{episode.kind}: it must end after it starts, and start at 0 or later")
        if episode.start_s < end:
            raise ConfigurationError(f"{episode.kind}: it starts before the fault before it has ended")
        end = episode.end_s


def _make_plant(rng: np.random.Generator) -> _Plant:
    spread = np.clip(rng.normal(size=6), -2, 2)
    return _Plant(
        imbalance=1 + 0.06 * spread[0],
        turbulence=1 + 0.08 * spread[1],
        head=1 + 0.015 * spread[2],
        valve=1 + 0.05 * spread[3],
        magnetizing=1 + 0.03 * spread[4],
        ambient=22 + 0.8 * spread[5],
    )


def _health(episodes: Sequence[FaultEpisode], time_s: float) -> _Health:
    health = _Health()
    for episode in episodes:
        level = episode.level(time_s)
        if level == 0:
            continue
        if episode.kind is Fault.VALVE_CLOSING:
            health = replace(health, valve_opening=1 - 0.35 * level)
        elif episode.kind is Fault.CAVITATION:
            health = replace(health, static_loss=5.6 * level)
        elif episode.kind is Fault.ROTOR_IMBALANCE:
            health = replace(health, imbalance=1 + 0.3 * level)
        elif episode.kind is Fault.LEAK:
            health = replace(health, leak=2.5 * level)
        else:
            health = replace(health, thermocouple_offset=0.15 * level)
    return health


@dataclass(frozen=True)
class _Physics:
    """Noise-free quantities once a second, each `(duration_s,)`."""

    speed: NDArray[np.float64]
    flow: NDArray[np.float64]
    head: NDArray[np.float64]
    """At the pressure tap, in m of water above the loop's normal static pressure."""
    current: NDArray[np.float64]
    voltage: NDArray[np.float64]
    body: NDArray[np.float64]
    water: NDArray[np.float64]
    imbalance: NDArray[np.float64]
    cavitation: NDArray[np.float64]
    thermocouple_offset: NDArray[np.float64]


def _integrate(
    plant: _Plant, duration_s: int, episodes: Sequence[FaultEpisode], rng: np.random.Generator
) -> _Physics:
    """Explicit Euler on the plant's five states, after a run-in to the steady state."""
    # Slow wander of the surroundings, each an Ornstein-Uhlenbeck process: it always comes back.
    supply = _wander(rng, duration_s, sigma=0.8, time_constant_s=60.0)
    ambient = _wander(rng, duration_s, sigma=0.05, time_constant_s=900.0)
    swirl = _wander(rng, duration_s, sigma=0.006, time_constant_s=8.0)
    speed, flow, body, water = _SPEED, 32.0, 60.0, 24.0
    rows: list[tuple[float, ...]] = []
    run_in = 300  # enough for speed and flow; temperatures start from their balance below
    for second in range(-run_in, duration_s):
        health = _health(episodes, second)
        now = max(second, 0)
        running_in = second < 0  # in mean surroundings, so that the start is no special moment
        voltage = _SUPPLY_VOLTAGE + (0.0 if running_in else supply[now])
        air = plant.ambient + (0.0 if running_in else ambient[now])
        valve = plant.valve * _VALVE_LOSS / health.valve_opening**2
        loss = (_PIPE_LOSS + valve + _INLET_LOSS) * (1 + swirl[now])
        slip_torque = _SLIP_TORQUE * (voltage / _SUPPLY_VOLTAGE) ** 2
        for _ in range(_STEPS_PER_SAMPLE):
            leak = health.leak * math.sqrt(max(0.0, flow * flow * (_PIPE_LOSS + valve)))
            through = flow + leak
            suction = _ATMOSPHERE_HEAD - health.static_loss - _INLET_LOSS * through**2 - 0.02 * water
            margin = suction - _NPSH_REQUIRED * through**2
            cavitation = 1 / (1 + math.exp(min(60.0, (margin - _CAVITATION_MARGIN) / 0.4)))
            ideal = plant.head * _SHUTOFF_HEAD * (speed / _SPEED) ** 2 - _HEAD_LOSS * through**2
            head = ideal * (1 - 0.12 * cavitation)
            flow += _STEP_S * (head - loss * flow * flow - _INLET_LOSS * leak * leak) / _FLOW_INERTANCE
            flow = max(flow, 0.0)
            shaft_power = 9.81 * max(head, 0.0) * through / 60 / _EFFICIENCY
            load = shaft_power / speed + _FRICTION * speed * (1 + 0.1 * (health.imbalance - 1))
            torque = slip_torque * (_SYNCHRONOUS - speed)
            # The rotor settles within milliseconds, faster than a step: take its balance.
            speed += (torque - load) * min(1.0, _STEP_S / (_ROTOR_INERTIA / slip_torque)) / slip_torque
        active = load * speed / (0.8 * voltage)
        current = math.hypot(plant.magnetizing * _MAGNETIZING_CURRENT * voltage / _SUPPLY_VOLTAGE, active)
        heat = _WINDING_RESISTANCE * current**2 + _IRON_LOSS * (voltage / _SUPPLY_VOLTAGE) ** 2
        conductance = _BODY_TO_AIR + _BODY_TO_WATER
        if running_in:
            warming = _BODY_TO_WATER * (body - water) + shaft_power
            body = (heat + _BODY_TO_AIR * air + _BODY_TO_WATER * water) / conductance
            water = air + warming / _WATER_TO_AIR
            continue
        warming = _BODY_TO_WATER * (body - water) + shaft_power - _WATER_TO_AIR * (water - air)
        body += (heat - _BODY_TO_AIR * (body - air) - _BODY_TO_WATER * (body - water)) / _BODY_HEAT
        water += warming / _WATER_HEAT
        rows.append(
            (
                *(speed, flow, head - _INLET_LOSS * through**2 - health.static_loss),
                *(current, voltage, body, water),
                *(health.imbalance, cavitation, health.thermocouple_offset),
            )
        )
    return _Physics(*np.array(rows).T)


def _wander(rng: np.random.Generator, n: int, *, sigma: float, time_constant_s: float) -> NDArray[np.float64]:
    """An Ornstein-Uhlenbeck process around 0, a value per second."""
    keep = math.exp(-1 / time_constant_s)
    kicks = sigma * math.sqrt(1 - keep**2) * rng.normal(size=n)
    values = np.empty(n)
    value = sigma * float(rng.normal())
    for i in range(n):
        value = keep * value + kicks[i]
        values[i] = value
    return values


def _read_sensors(physics: _Physics, plant: _Plant, rng: np.random.Generator) -> NDArray[np.float64]:
    """What the eight sensors show, `(duration_s, 8)`: lag, noise, resolution."""
    n = len(physics.speed)
    noise = rng.normal(size=(8, n))
    # Centrifugal force of the unbalanced mass grows with the square of the speed.
    imbalance = plant.imbalance * physics.imbalance * (physics.speed / _SPEED) ** 2
    turbulence = plant.turbulence * (physics.flow / 32) ** 2
    # A pump away from its best point is rougher: recirculation at part load.
    part_load = np.maximum(0.0, 1 - physics.flow / 32) ** 2
    boiling = physics.cavitation
    vibration1 = np.sqrt(
        (0.0145 * imbalance) ** 2
        + (0.0212 * turbulence) ** 2
        + (0.055**2) * part_load
        + (0.020 * boiling) ** 2
    )
    vibration2 = np.sqrt(
        (0.0300 * imbalance) ** 2
        + (0.0262 * turbulence) ** 2
        + (0.080**2) * part_load
        + (0.036 * boiling) ** 2
    )
    pressure = 0.0981 * physics.head - 0.20  # bar; the transducer's zero lies 0.20 bar low
    readings = [
        vibration1 * (1 + 0.011 * (1 + boiling) * noise[0]),
        vibration2 * (1 + 0.019 * (1 + boiling) * noise[1]),
        physics.current + 0.26 * noise[2],
        _quantize(pressure + 0.25 * noise[3], 0.327927, 0.054711),
        physics.body + 0.14 * noise[4],
        _lag(physics.water, 15.0) + physics.thermocouple_offset + 0.02 * noise[5],
        physics.voltage + 10.0 * noise[6],
        _quantize(_lag(physics.flow, 2.0) + 0.18 * noise[7], 1.0, 0.0),
    ]
    return np.column_stack(readings)


def _lag(values: NDArray[np.float64], time_constant_s: float) -> NDArray[np.float64]:
    """A first-order lag, sampled once a second."""
    keep = math.exp(-1 / time_constant_s)
    lagged = np.empty_like(values)
    state = values[0]
    for i, value in enumerate(values):
        state = keep * state + (1 - keep) * value
        lagged[i] = state
    return lagged


def _quantize(values: NDArray[np.float64], step: float, zero: float) -> NDArray[np.float64]:
    """Round to multiples of the converter's step."""
    quantized: NDArray[np.float64] = np.round((values - zero) / step) * step + zero
    return quantized


def _kept_rows(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The seconds that reach the file: one in twenty is lost, never two in a row."""
    lost = rng.random(n) < 0.053
    lost[1:] &= ~lost[:-1]
    lost[0] = False
    return np.flatnonzero(~lost)
