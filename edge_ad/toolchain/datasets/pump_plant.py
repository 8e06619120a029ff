"""The simulated pump's physics, free of noise: tank, centrifugal pump, motor on a drive, valves, heat.

Every equation and the reason of every constant is in docs/pump.md. Flows are in m³/s and heads in m of
water. All states are stepped with the linearly implicit Euler method, `x += dt * f / (c + dt * slope)`:
stable for any step, and exact where it comes to rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ad.toolchain.datasets.pump_faults import Condition

_STEP_S = 0.1
_STEPS_PER_SECOND = 10
_GRAVITY = 9.81  # m/s2
_WEIGHT = 997 * _GRAVITY  # N/m3, of water
BAR_PER_METRE = _WEIGHT / 1e5

# Operating point at which the losses below are stated.
NOMINAL_FLOW = 127 / 60_000  # m3/s
NOMINAL_SPEED = 270.0  # rad/s
NOMINAL_VOLTAGE = 230.0  # V

# Hydraulics: head at nominal speed and no flow; losses at nominal flow.
_SHUTOFF_HEAD = 7.0  # m
_IMPELLER_LOSS = 2.4 / NOMINAL_FLOW**2  # the falling part of the pump curve
_INLET_LOSS = 0.6 / NOMINAL_FLOW**2
_OUTLET_LOSS = 1.2 / NOMINAL_FLOW**2
_PIPE_LOSS = 2.8 / NOMINAL_FLOW**2
_INERTANCE = 510.0  # m per m3/s2: length / (g * area) of 4 m of pipe, 32 mm wide
_TANK_GAUGE_HEAD = -3.1  # m, the tank is kept at 0.7 bar absolute
_STATIC_HEAD = 0.2  # m from the pump up to the tank's water level
_ATMOSPHERE_HEAD = 10.33  # m
_NPSH_REQUIRED = 2.0  # m at nominal flow, where cavitation takes 3 % of the head
_HEAD_DROP_WIDTH = 0.35  # of the ratio NPSH / NPSH required
_NOISE_RATIO = 2.0  # NPSH / NPSH required where the noise of cavitation is at half of its height
_NOISE_WIDTH = 0.18
_DISCHARGE = 0.62  # sharp-edged orifice
_BEST_FLOW = 1.05 * NOMINAL_FLOW  # at nominal speed
_BEST_EFFICIENCY = 0.45

# Motor and drive.
_POLE_PAIRS = 1
_SLIP_TORQUE = 0.06  # N m per rad/s of slip, at nominal voltage
_INERTIA = 0.010  # kg m2, mostly the disc on the shaft that carries the imbalance
_FRICTION = 3.0e-4  # N m per rad/s, bearings and seal
_MAGNETIZING_CURRENT = 2.27  # A
_WINDING_RESISTANCE = 14.0  # ohm at 20 degC
_COPPER_COEFFICIENT = 0.0039  # 1/K
_IRON_LOSS = 35.0  # W

# Heat capacities in J/K, conductances in W/K.
_WINDING_HEAT = 420.0
_BODY_HEAT = 1500.0
_WATER_HEAT = 50_000.0
_WINDING_TO_BODY = 11.0
_BODY_TO_AIR = 2.4
_BODY_TO_WATER = 0.3
_WATER_TO_COOLER = 1250.0
# Winding and body warm together, and a warmer winding makes more heat.
_COPPER_FEEDBACK = _WINDING_RESISTANCE * _COPPER_COEFFICIENT * _MAGNETIZING_CURRENT**2
BODY_TIME_CONSTANT_S = (_WINDING_HEAT + _BODY_HEAT) / (_BODY_TO_AIR + _BODY_TO_WATER - _COPPER_FEEDBACK)
WATER_TIME_CONSTANT_S = _WATER_HEAT / (_WATER_TO_COOLER + _BODY_TO_WATER)


@dataclass(frozen=True)
class Plant:
    """What differs between two machines of the same make; the factors are 1 for the nominal one."""

    drive_frequency: float = 45.0
    """Hz that the drive is set to."""
    shutoff_head: float = 1.0
    pipe_loss: float = 1.0
    magnetizing: float = 1.0
    cooling: float = 1.0
    imbalance: float = 1.0
    turbulence: float = 1.0
    setpoint: float = 28.0
    """degC that the cooler's thermostat is set to."""


@dataclass(frozen=True)
class Surroundings:
    """What acts on the plant from outside, a value per second, each `(n,)` float64."""

    supply: NDArray[np.float64]
    """V"""
    air: NDArray[np.float64]
    """degC"""
    draught: NDArray[np.float64]
    """Factor on the cooling of the motor by air."""
    coolant: NDArray[np.float64]
    """K above or below the thermostat's set point."""
    swirl: NDArray[np.float64]
    """Factor on the losses of the loop: eddies in tank and valves."""

    @classmethod
    def steady(cls, n: int) -> Surroundings:
        """Mean surroundings for `n` seconds."""
        ones = np.ones(n)
        return cls(NOMINAL_VOLTAGE * ones, 23.0 * ones, ones, 0.0 * ones, ones)


@dataclass(frozen=True)
class PlantTrace:
    """The plant's true quantities, a value per second, each `(n,)` float64."""

    speed: NDArray[np.float64]
    """rad/s"""
    pump_flow: NDArray[np.float64]
    """m³/s through the pump."""
    loop_flow: NDArray[np.float64]
    """m³/s after the leak, where the flow meter is."""
    head: NDArray[np.float64]
    """m, made by the pump."""
    pressure: NDArray[np.float64]
    """bar above the atmosphere, between pump and outlet valve."""
    cavitation: NDArray[np.float64]
    """0 … 1: how fully developed the noise of cavitation is."""
    shaft_power: NDArray[np.float64]
    """W from the motor to the pump, without friction."""
    electrical_power: NDArray[np.float64]
    """W from the drive to the motor."""
    current: NDArray[np.float64]
    """A in each line to the motor."""
    winding: NDArray[np.float64]
    """degC"""
    body: NDArray[np.float64]
    """degC"""
    water: NDArray[np.float64]
    """degC"""


def run_plant(plant: Plant, conditions: Sequence[Condition], surroundings: Surroundings) -> PlantTrace:
    """Follow the plant for a second per condition, from its balance in the first one.

    `surroundings` has as many values as there are conditions.
    """
    rig = _Rig(plant)
    inputs = list(
        zip(
            surroundings.supply.tolist(),
            surroundings.air.tolist(),
            surroundings.draught.tolist(),
            surroundings.coolant.tolist(),
            surroundings.swirl.tolist(),
            strict=True,
        )
    )
    rig.settle(conditions[0], inputs[0])
    rows = [rig.second(condition, now, 1.0) for condition, now in zip(conditions, inputs, strict=True)]
    return PlantTrace(*np.array(rows, np.float64).T)


class _Rig:
    """The six states of the plant: speed, flow, three temperatures, and the leak's driving head."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._synchronous = 2 * math.pi * plant.drive_frequency / _POLE_PAIRS
        ratio = plant.drive_frequency / 45.0
        self._speed = NOMINAL_SPEED * ratio
        self._flow = NOMINAL_FLOW * ratio
        self._tap = 1.0
        self._winding, self._body, self._water = 95.0, 86.0, plant.setpoint

    def settle(self, condition: Condition, now: tuple[float, ...]) -> None:
        """Go to the balance: heat may take any step, so an hour in each second of flow does."""
        for _ in range(60):
            self.second(condition, now, 3600.0)

    def second(self, condition: Condition, now: tuple[float, ...], heat_step_s: float) -> tuple[float, ...]:
        """Step flow and speed by a second and heat by `heat_step_s`; returns the fields of PlantTrace."""
        plant = self._plant
        supply, air, draught, coolant, swirl = now
        inlet_loss = _INLET_LOSS / condition.inlet_opening**2
        outlet_loss = (plant.pipe_loss * _PIPE_LOSS + _OUTLET_LOSS / condition.outlet_opening**2) * swirl
        shutoff = plant.shutoff_head * _SHUTOFF_HEAD / NOMINAL_SPEED**2
        tank = _TANK_GAUGE_HEAD - condition.tank_pressure_loss + _STATIC_HEAD
        suction = _ATMOSPHERE_HEAD + tank - _vapour_head(self._water)
        leak_factor = _DISCHARGE * condition.leak_area * math.sqrt(2 * _GRAVITY)
        voltage = supply / NOMINAL_VOLTAGE
        slip_torque = _SLIP_TORQUE * voltage**2
        flow, speed = self._flow, self._speed
        for _ in range(_STEPS_PER_SECOND):
            leak = leak_factor * math.sqrt(max(0.0, self._tap))
            onward = max(0.0, flow - leak)
            # A rest below NPSH required stands for the inflow to an eye that hardly any water passes.
            required = _NPSH_REQUIRED * (flow / NOMINAL_FLOW) ** 2 + 0.1
            npsh_ratio = (suction - inlet_loss * flow**2) / required
            drop = min(0.9, 0.03 * math.exp(min(10.0, (1 - npsh_ratio) / _HEAD_DROP_WIDTH)))
            head = (shutoff * speed**2 - _IMPELLER_LOSS * flow**2) * (1 - drop)
            surplus = head - inlet_loss * flow**2 - outlet_loss * onward**2
            slope = 2 * (_IMPELLER_LOSS + inlet_loss) * flow + 2 * outlet_loss * onward
            # Efficiency is a parabola in the flow; written so that no flow needs no exception.
            relative_speed = speed / NOMINAL_SPEED
            part = min(1.9, flow / (relative_speed * _BEST_FLOW))
            shaft_power = (
                _WEIGHT * max(0.0, head) * relative_speed * _BEST_FLOW / (_BEST_EFFICIENCY * (2 - part))
            )
            load = shaft_power / speed + _FRICTION * speed
            torque = slip_torque * (self._synchronous - speed)
            flow = max(0.0, flow + _STEP_S * surplus / (_INERTANCE + _STEP_S * slope))
            speed += _STEP_S * (torque - load) / (_INERTIA + _STEP_S * (slip_torque + 2 * load / speed))
            self._tap = tank - inlet_loss * flow**2 + head
        self._flow, self._speed = flow, speed

        airgap_power = torque * self._synchronous
        magnetizing = plant.magnetizing * _MAGNETIZING_CURRENT * voltage
        current = math.hypot(magnetizing, airgap_power / (math.sqrt(3) * supply))
        resistance = _WINDING_RESISTANCE * (1 + _COPPER_COEFFICIENT * (self._winding - 20))
        copper, iron = resistance * current**2, _IRON_LOSS * voltage**2
        rotor = airgap_power - shaft_power
        self._heat(heat_step_s, copper, iron + rotor, shaft_power, air, draught, coolant)
        cavitation = 1 / (1 + math.exp(max(-60.0, min(60.0, (npsh_ratio - _NOISE_RATIO) / _NOISE_WIDTH))))
        return (
            *(speed, flow, onward, head, BAR_PER_METRE * self._tap, cavitation),
            *(shaft_power, airgap_power + copper + iron, current),
            *(self._winding, self._body, self._water),
        )

    def _heat(
        self, dt: float, copper: float, body: float, water: float, air: float, draught: float, coolant: float
    ) -> None:
        """Warm the winding by `copper` W, the body by `body` W, the water by `water` W."""
        to_air = self._plant.cooling * _BODY_TO_AIR * draught
        out = _WINDING_TO_BODY * (self._winding - self._body)
        self._winding += dt * (copper - out) / (_WINDING_HEAT + dt * _WINDING_TO_BODY)
        out = _WINDING_TO_BODY * (self._winding - self._body)
        surplus = body + out - to_air * (self._body - air) - _BODY_TO_WATER * (self._body - self._water)
        self._body += dt * surplus / (_BODY_HEAT + dt * (_WINDING_TO_BODY + to_air + _BODY_TO_WATER))
        cooler = self._plant.setpoint + coolant
        surplus = (
            water + _BODY_TO_WATER * (self._body - self._water) - _WATER_TO_COOLER * (self._water - cooler)
        )
        self._water += dt * surplus / (_WATER_HEAT + dt * (_WATER_TO_COOLER + _BODY_TO_WATER))


def _vapour_head(celsius: float) -> float:
    """Vapour pressure of water in m (Magnus formula)."""
    return 611.2 * math.exp(17.62 * celsius / (243.12 + celsius)) / _WEIGHT
