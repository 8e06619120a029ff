"""What every sink of the agent is. One may take decisions, events, or both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from edge_ad.bundle.manifest import Channel
from edge_ad.detect.decision import Decision
from edge_ad.runtime.events import Event
from edge_ad.runtime.health_report import HealthReport
from edge_ad.runtime.troubles import Note


@dataclass(frozen=True)
class SinkContext:
    """What a sink may know of the agent that it serves."""

    agent: str
    """The agent's name, unique on a broker."""
    name: str
    """The sink's own, as configured."""
    note: Note
    """Where it reports trouble."""
    say: Callable[[str], None]
    """Where it tells what is no trouble, such as that it is connected again."""


@dataclass(frozen=True)
class InService:
    """A bundle that decides on an asset's stream."""

    asset: str
    """Its name in this agent's configuration."""
    bundle_id: str
    build_number: int
    model_version: str
    overlay_id: str | None
    """Of the recalibration in force."""
    variant: str
    engine: str
    channels: tuple[Channel, ...]
    ucl: float
    severities: tuple[str, ...]
    """From mild to severe."""
    sample_period_s: float

    @property
    def label(self) -> str:
        """The bundle as decisions and events name it: 12 characters of its id, and of its overlay's."""
        overlay = "" if self.overlay_id is None else f"+{self.overlay_id[:12]}"
        return self.bundle_id[:12] + overlay


TakeDecision: TypeAlias = Callable[[Decision, str], None]
"""Called with every decision and its time as written; must not wait for anything."""


class DeliveryError(Exception):
    """An event did not get through; it is tried again."""

    def __init__(self, text: str, *, hopeless: bool = False) -> None:
        """`hopeless`: the other side understood the event and will never take it."""
        super().__init__(text)
        self.hopeless = hopeless


class Sink(ABC):  # noqa: B024  a sink overrides what it needs
    """Something the agent tells. Whatever becomes of the other side ends no monitoring."""

    async def start(self) -> None:  # noqa: B027  most have nothing to do
        """Begin to connect; does not wait for a connection, nor fail for want of one."""

    async def close(self) -> None:  # noqa: B027
        """Say goodbye, within a few seconds."""


class DecisionSink(Sink):
    """Takes every decision as it is made, as well as it can: what cannot be handed on is counted and lost."""

    @abstractmethod
    def begin(self, service: InService) -> TakeDecision:
        """A bundle goes into service for an asset, in place of an earlier one where there was one.

        What is returned takes the decisions that it makes.
        """

    def flush(self) -> None:
        """A batch of samples is decided: hand on what was gathered."""

    async def drain(self) -> None:
        """Wait, for a second or so at the most, where more would be lost: sources can wait, too."""


class EventSink(Sink):
    """Takes the events of alarm episodes, each at least once: what fails is tried again."""

    at_once: int = 1
    """How many deliveries may be under way at the same time; with 1 they keep their order."""
    longest_s: float = 30.0
    """Seconds after which a delivery has failed."""

    @abstractmethod
    async def deliver(self, event: Event) -> None:
        """Hand an event over; to return says that the other side has it. Raises DeliveryError."""


class HealthSink(Sink):
    """Takes a report on every asset now and then."""

    health_every_s: float
    """How often; 0: never."""

    @abstractmethod
    def report(self, report: HealthReport) -> None:
        """Hand on the newest report on an asset; must not wait for anything."""
