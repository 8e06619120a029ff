"""A device profile and its parts, as its TOML file has them; docs/profiles.md tells of every key."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from edge_ad.errors import ConfigurationError
from edge_ad.profiles.agent_template import check_template, render
from edge_ad.profiles.drop_in import drop_in
from edge_ad.profiles.fact import Fact, unmatched_key, without_source
from edge_ad.profiles.patterns import NAME
from edge_ad.profiles.system import System

Governor = Literal["performance", "schedutil", "ondemand", "conservative", "powersave", "userspace"]

STORE = "/var/lib/edge-ad"
"""Where the unit has the store."""


@dataclass(frozen=True)
class Hardware:
    """What the board is made of."""

    processor: str
    """System on a chip, cores and highest clock."""
    cores: int | None = None
    """Left out where machines differ."""
    memory_mb: tuple[int, ...] = ()
    """The sizes that are sold, in MiB; empty where machines differ."""
    serial: str = "/dev/ttyUSB0"
    """The serial line that templates name: that of the pins, or an adapter's."""

    def __post_init__(self) -> None:
        if self.cores is not None and self.cores < 1:
            raise ValueError("cores must be at least 1")
        if any(size < 1 for size in self.memory_mb):
            raise ValueError("memory_mb must be sizes above 0")


@dataclass(frozen=True)
class RuntimeDefaults:
    """How the runtime runs here unless told otherwise. These are choices, not measurements."""

    threads: int
    """Of the interpreter."""
    governor: Governor
    """Of the processor's clock."""
    memory_limit_mb: int
    """MemoryMax of the agent's unit, in MiB."""
    sample_period_s: float
    """Seconds from sample to sample that the board is meant for."""
    deadline_ms: float
    """Milliseconds from a sample to its decision, at most."""
    variant: str
    """Converted form of the model to prefer, such as tiny-int8."""
    form: Literal["size", "speed"]
    """What the model is to be converted for (`--optimize`)."""
    latency: str
    """Where measurements on such a board are to be found, or "not measured"."""
    start_timeout_s: int = 120
    """Seconds that the agent's unit may take to start."""

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ValueError("threads must be at least 1")
        if not 64 <= self.memory_limit_mb <= 1_000_000:
            raise ValueError("memory_limit_mb must lie between 64 (the agent takes some 60) and 1000000")
        if not 0 < self.sample_period_s <= 86_400:
            raise ValueError("sample_period_s must lie above 0, and at most at 86400")
        if not 0 < self.deadline_ms <= self.sample_period_s * 1000:
            raise ValueError("deadline_ms must lie above 0, and not beyond sample_period_s")
        if not NAME.fullmatch(self.variant):
            raise ValueError(f"variant must be a name such as tiny-int8, not {self.variant!r}")
        if not self.latency:
            raise ValueError('latency must say where measurements are, or "not measured"')
        if not 1 <= self.start_timeout_s <= 3600:
            raise ValueError("start_timeout_s must lie between 1 and 3600")


@dataclass(frozen=True)
class Agent:
    """What the agent's configuration starts from."""

    template: str
    """Text of an agent.toml; $asset, $name, $store, $samples and $serial stand between double quotes."""

    def __post_init__(self) -> None:
        check_template(self.template)


@dataclass(frozen=True)
class DeviceProfile:
    """What a board is, which packages it takes, and how the runtime runs on it."""

    name: str
    title: str
    hardware: Hardware
    runtime: RuntimeDefaults
    systems: tuple[System, ...]
    """The preferred one first."""
    agent: Agent
    aliases: tuple[str, ...] = ()
    """Shorter names, such as rpi4."""
    boards: tuple[str, ...] = ()
    """How /proc/device-tree/model begins, in whole words. Empty: every board of the architecture."""
    facts: tuple[Fact, ...] = ()
    """Sources of what is so outside of edge_ad."""

    def __post_init__(self) -> None:
        for name in (self.name, *self.aliases):
            if not NAME.fullmatch(name):
                raise ValueError(f"the name {name!r} must be small letters and digits, joined by . _ or -")
        _require_unique("name or alias", (self.name, *self.aliases))
        _require_unique("board", self.boards)
        if not all(board.strip() == board != "" for board in self.boards):
            raise ValueError("boards must be names without blanks at their ends")
        if not self.systems:
            raise ValueError("there must be at least one [[systems]]")
        _require_unique("system", [system.label for system in self.systems])
        if self.hardware.cores is not None and self.runtime.threads > self.hardware.cores:
            raise ValueError("runtime.threads must not be more than hardware.cores")
        known = self.sourced_values()
        stray = unmatched_key(self.facts, known)
        if stray is not None:
            raise ValueError(f"facts: {stray!r} is no value of this file; there are: {', '.join(known)}")

    @property
    def architectures(self) -> tuple[str, ...]:
        """Of its systems, each once."""
        return tuple(dict.fromkeys(system.architecture for system in self.systems))

    def system(self, os_name: str, architecture: str) -> System:
        """The system of that code name and architecture. Raises ConfigurationError."""
        for system in self.systems:
            if (system.os, system.architecture) == (os_name, architecture):
                return system
        there = ", ".join(f"{system.os} ({system.architecture})" for system in self.systems)
        raise ConfigurationError(
            f"the profile {self.name} has no system {os_name} ({architecture}); it has: {there}"
        )

    def variant(self, system: System) -> str:
        """The converted form to prefer on a system, if a bundle has it."""
        return system.variant or self.runtime.variant

    def limited_to(self, memory_mb: int) -> DeviceProfile:
        """The profile for a machine with so much memory (MiB): the unit's limit is half of it at most."""
        limit_mb = max(64, min(self.runtime.memory_limit_mb, memory_mb // 2))
        return replace(self, runtime=replace(self.runtime, memory_limit_mb=limit_mb))

    def agent_config(
        self, asset: str, *, name: str = "edge-ad", store: str = STORE, samples: str | None = None
    ) -> str:
        """Text of an agent.toml that watches one asset.

        `name` is the agent's, `samples` the file that the asset's samples are appended to. Raises
        ConfigurationError for an asset or agent whose name the agent would not take.
        """
        return render(
            self.agent.template,
            asset=asset,
            name=name,
            store=store,
            samples=samples or f"/var/log/edge-ad/{asset}.csv",
            serial=self.hardware.serial,
        )

    def unit_drop_in(self) -> str:
        """Text of a drop-in for the agent's unit; it belongs at `drop_in.DROP_IN`."""
        return drop_in(
            self.name, self.runtime.memory_limit_mb, self.runtime.start_timeout_s, self.runtime.threads
        )

    def sourced_values(self) -> dict[str, object]:
        """Key -> value of what is so outside of edge_ad, and needs a source; without what is left out."""
        values: dict[str, object] = {
            "boards": self.boards,
            "hardware.processor": self.hardware.processor,
            "hardware.cores": self.hardware.cores,
            "hardware.memory_mb": self.hardware.memory_mb,
        }
        if self.hardware.serial != Hardware.serial:
            values["hardware.serial"] = self.hardware.serial
        for system in self.systems:
            for key in ("python", "glibc", "interpreter", "interpreter_version", "numpy", "apt", "pip"):
                values[f"systems.{system.label}.{key}"] = getattr(system, key)
        return {key: value for key, value in values.items() if value not in (None, ())}

    def unsourced(self) -> tuple[str, ...]:
        """Keys of values that no fact gives a source for."""
        return without_source(self.facts, self.sourced_values())


def _require_unique(what: str, names: tuple[str, ...] | list[str]) -> None:
    for name in names:
        if list(names).count(name) > 1:
            raise ValueError(f"the {what} {name!r} stands there twice")
