"""A simulated pump test bed: a closed water loop with eight sensors and labelled faults.

The channels, units, sampling and noise are those of SKAB's test bed; the machine is this project's own.
The physics is in `pump_plant`, the faults are in `pump_faults`; here are the surroundings, the sensors and
the recordings. docs/pump.md explains all of it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ad.errors import ConfigurationError
from edge_ad.toolchain.datasets.pump_faults import (
    HEALTHY,
    Condition,
    Fault,
    FaultEpisode,
    check_episodes,
    condition_at,
    present_fault,
)
from edge_ad.toolchain.datasets.pump_plant import (
    NOMINAL_FLOW,
    NOMINAL_SPEED,
    NOMINAL_VOLTAGE,
    Plant,
    PlantTrace,
    Surroundings,
    run_plant,
)

__all__ = ["PUMP_CHANNELS", "Fault", "FaultEpisode", "PumpRun", "simulate_pump", "standard_run"]

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
"""Name, unit, lowest and highest plausible value of the sensor."""

_START = 1_767_600_000  # 2026-01-05 08:00:00 UTC
_RUN_IN_S = 900  # so that the wander of the surroundings has reached the temperatures
_LITRES_PER_MINUTE = 60_000.0  # in a m3/s
_PRESSURE_STEP, _PRESSURE_ZERO = 0.327927, 0.054711  # bar, the converter of SKAB's transducer
_FLOW_STEP = 1.0  # L/min


@dataclass(frozen=True)
class PumpRun:
    """A recording of the simulated test bed."""

    times: NDArray[np.float64]
    """`(n,)` seconds since the epoch (UTC), whole and strictly increasing."""
    samples: NDArray[np.float64]
    """`(n, 8)` engineering units, channels as in `PUMP_CHANNELS`."""
    labels: NDArray[np.bool_]
    """`(n,)`, True while a fault is present."""
    fault_kinds: tuple[str, ...]
    """Kind of the fault present at each row, or an empty string."""


def simulate_pump(
    seed: int,
    *,
    duration_s: int = 1200,
    episodes: Sequence[FaultEpisode] = (),
    gaps: Sequence[tuple[int, int]] = (),
    cold_start_k: float = 0.0,
) -> PumpRun:
    """Run the test bed for `duration_s` seconds; equal arguments give equal bytes.

    The seed chooses the machine (slightly different constants), its surroundings and the noise. The
    recorder needs 1.05 s per row and writes whole seconds, so that one step in twenty is 2 s; in each
    of `gaps` (start and end, in seconds after the start of the run) it writes nothing. Hall and cooling water
    are `cold_start_k` kelvin colder at the start, and lose two thirds of that in every hour. Raises
    ConfigurationError for a seed, a duration, an episode or a gap that makes no sense.
    """
    _check(seed, duration_s, gaps)
    check_episodes(episodes, duration_s)
    rng = np.random.Generator(np.random.PCG64(seed))
    plant = _make_plant(rng)
    surroundings = _warming(_wandering_surroundings(_RUN_IN_S + duration_s, rng), cold_start_k)
    conditions = [HEALTHY] * _RUN_IN_S + [condition_at(episodes, second) for second in range(duration_s)]
    trace = run_plant(plant, conditions, surroundings)
    samples = _read_sensors(plant, trace, conditions, surroundings, rng)[_RUN_IN_S:]
    recorded = _recorded_seconds(duration_s, gaps, rng)
    fault_kinds = tuple(present_fault(episodes, second) for second in recorded.tolist())
    return PumpRun(
        times=(_START + recorded).astype(np.float64),
        samples=np.ascontiguousarray(samples[recorded]),
        labels=np.array([kind != "" for kind in fault_kinds], np.bool_),
        fault_kinds=fault_kinds,
    )


_STANDARD_SHAPES: dict[Fault, tuple[float, float]] = {
    Fault.VALVE_CLOSING: (0.30, 200.0),
    Fault.CAVITATION: (1.00, 120.0),
    Fault.ROTOR_IMBALANCE: (0.60, 120.0),
    Fault.LEAK: (0.80, 200.0),
    Fault.SENSOR_DRIFT: (0.90, 200.0),
    Fault.INLET_VALVE_CLOSING: (0.50, 200.0),
}
"""Severity and ramp in the preset: hard to see at first, plain at the end."""


def standard_run(index: int) -> PumpRun:
    """The preset's recordings: number 0, 1, … has the first, second, … kind of `Fault`, and so on in turn.

    About 1,200 rows: the first 400 and a while beyond are normal, then comes the fault, then recovery.
    Each number is a machine of its own. Raises ConfigurationError for a negative index.
    """
    if index < 0:
        raise ConfigurationError(f"standard runs are numbered from 0; there is no {index}")
    kind = list(Fault)[index % len(Fault)]
    severity, ramp = _STANDARD_SHAPES[kind]
    start = 590.0 + 25 * (index % 4)
    return simulate_pump(
        1000 + index, duration_s=1250, episodes=[FaultEpisode(kind, start, start + 400, severity, ramp)]
    )


def _check(seed: int, duration_s: int, gaps: Sequence[tuple[int, int]]) -> None:
    if seed < 0:
        raise ConfigurationError(f"a seed is 0 or above, not {seed}")
    if not 1 <= duration_s < math.inf or duration_s != int(duration_s):
        raise ConfigurationError(f"a run lasts a whole number of seconds from 1 up, not {duration_s}")
    for start, end in gaps:
        if not 0 < start < end < duration_s:
            raise ConfigurationError(
                f"from {start} s to {end} s is no gap in a run of {duration_s} s; "
                "it must lie within the run and end after it starts"
            )


def _make_plant(rng: np.random.Generator) -> Plant:
    spread = np.clip(rng.normal(size=7), -2, 2).tolist()
    return Plant(
        shutoff_head=1 + 0.010 * spread[0],
        pipe_loss=1 + 0.030 * spread[1],
        magnetizing=1 + 0.020 * spread[2],
        cooling=1 + 0.015 * spread[3],
        imbalance=1 + 0.060 * spread[4],
        turbulence=1 + 0.060 * spread[5],
        setpoint=28 + 1.0 * spread[6],
    )


def _wandering_surroundings(n: int, rng: np.random.Generator) -> Surroundings:
    """Surroundings that never leave their mean for long, a value per second."""
    return Surroundings(
        supply=NOMINAL_VOLTAGE + _wander(rng, n, 0.5, 25.0),
        air=23 + _wander(rng, n, 0.05, 200.0),
        draught=1 + _wander(rng, n, 0.006, 8.0),
        coolant=_wander(rng, n, 0.04, 15.0),
        swirl=1 + _wander(rng, n, 0.004, 5.0),
    )


def _warming(surroundings: Surroundings, cold_start_k: float) -> Surroundings:
    seconds = np.arange(len(surroundings.air)) - _RUN_IN_S
    missing = cold_start_k * np.exp(-np.maximum(seconds, 0) / 3600)
    return dataclasses.replace(
        surroundings, air=surroundings.air - missing, coolant=surroundings.coolant - missing
    )


def _wander(rng: np.random.Generator, n: int, sigma: float, time_constant_s: float) -> NDArray[np.float64]:
    """An Ornstein-Uhlenbeck process around 0 with standard deviation `sigma`: it always comes back."""
    keep = math.exp(-1 / time_constant_s)
    kicks = sigma * math.sqrt(1 - keep**2) * rng.normal(size=n)
    kicks[0] = sigma * rng.normal()
    return _decaying_sum(kicks, keep)


def _decaying_sum(values: NDArray[np.float64], keep: float) -> NDArray[np.float64]:
    """Sums with `y[i] = keep * y[i-1] + values[i]`, from 0."""
    total, sums = 0.0, []
    for value in values.tolist():
        total = keep * total + value
        sums.append(total)
    return np.array(sums, np.float64)


def _read_sensors(
    plant: Plant,
    trace: PlantTrace,
    conditions: Sequence[Condition],
    surroundings: Surroundings,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """What the eight sensors show, `(n, 8)`: vibration of the true state, lag, noise, resolution."""
    n = len(trace.speed)
    noise = rng.normal(size=(7, n))
    eddies = 1 + _wander(rng, n, 0.016, 8.0)
    mixing = _wander(rng, n, 0.016, 4.0)
    fin = _wander(rng, n, 0.15, 12.0)  # the body's sensor sits on a fin, in the draught
    # The RMS is taken over a time that is no multiple of the drive's period: what the cut adds depends
    # on the phase and on the length of the rest, and is common to voltage and current.
    cut = np.sin(rng.uniform(0, 2 * math.pi, n)) * rng.uniform(0, 1, n)
    # The rest of the current's noise is bounded and reaches further down than up, as in SKAB.
    ripple = rng.beta(4.0, 1.5, n) - 4.0 / 5.5
    added_imbalance = np.array([condition.imbalance for condition in conditions])
    sensor_offset = np.array([condition.body_sensor_offset for condition in conditions])

    # Centrifugal force of the unbalanced mass goes with the square of the speed, the forces of the flow
    # with the square of the flow; away from its best point the impeller recirculates.
    imbalance = plant.imbalance * added_imbalance * (trace.speed / NOMINAL_SPEED) ** 2
    relative_flow = trace.pump_flow / NOMINAL_FLOW
    turbulence = plant.turbulence * eddies * relative_flow**2
    recirculation = np.maximum(0.0, 0.9 - relative_flow)
    boiling = trace.cavitation * (1 + 0.15 * noise[6])
    vibration1 = np.sqrt(
        (0.150 * imbalance) ** 2
        + (0.170 * turbulence) ** 2
        + (0.90 * recirculation) ** 2
        + (0.075 * boiling) ** 2
    )
    vibration2 = np.sqrt(
        (0.190 * imbalance) ** 2
        + (0.190 * turbulence) ** 2
        + (1.00 * recirculation) ** 2
        + (0.110 * boiling) ** 2
    )
    readings = [
        vibration1 + 0.0022 * noise[0],
        vibration2 + 0.0030 * noise[1],
        trace.current + 0.45 * cut + 2.4 * ripple,
        _quantize(trace.pressure + 0.24 * noise[2], _PRESSURE_STEP, _PRESSURE_ZERO),
        trace.body + fin + sensor_offset + 0.17 * noise[3],
        _lag(trace.water + mixing, 3.0) + 0.005 * noise[4],
        surroundings.supply + 26.0 * cut,
        _quantize(_lag(_LITRES_PER_MINUTE * trace.loop_flow, 1.5) + 0.36 * noise[5], _FLOW_STEP, 0.0),
    ]
    return np.column_stack(readings)


def _lag(values: NDArray[np.float64], time_constant_s: float) -> NDArray[np.float64]:
    """A first-order lag that starts at rest."""
    keep = math.exp(-1 / time_constant_s)
    lagged: NDArray[np.float64] = values[0] + _decaying_sum((1 - keep) * (values - values[0]), keep)
    return lagged


def _quantize(values: NDArray[np.float64], step: float, zero: float) -> NDArray[np.float64]:
    """Round to multiples of the converter's step from its zero."""
    quantized: NDArray[np.float64] = np.round((values - zero) / step) * step + zero
    return quantized


def _recorded_seconds(
    duration_s: int, gaps: Sequence[tuple[int, int]], rng: np.random.Generator
) -> NDArray[np.int64]:
    """The seconds of the run that have a row."""
    # Between 1 and 2 s, so that whole seconds always increase.
    periods = np.clip(1.051 + 0.02 * rng.normal(size=duration_s), 1.0, 1.2)
    ends = rng.random() + np.cumsum(periods) - periods[0]
    seconds: NDArray[np.int64] = np.floor(ends).astype(np.int64)
    seconds = seconds[seconds < duration_s]
    for start, end in gaps:
        seconds = seconds[(seconds < start) | (seconds >= end)]
    return seconds
