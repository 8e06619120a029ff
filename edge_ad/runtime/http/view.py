"""What the agent lets its HTTP face see."""

from __future__ import annotations

from typing import Protocol

from edge_ad.runtime.snapshot import AgentSnapshot, History


class AgentView(Protocol):
    """The agent from outside. Both are called in its event loop, and should take a few milliseconds."""

    def snapshot(self) -> AgentSnapshot:
        """Everything as it is now."""
        ...

    def history(self, asset: str) -> History | None:
        """The newest decisions of an asset; None where there is no such asset."""
        ...
