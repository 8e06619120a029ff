"""How tools score that tell one arithmetic of a network from another."""

from __future__ import annotations

from edge_ad.detect.fusion import Scoring
from edge_ad.detect.heads import Heads


def network_scoring(scoring: Scoring) -> Scoring:
    """How a build scores, if its network takes part in that; else by the network's errors.

    Where no head looks at the network, a score is the same whatever becomes of a window.
    """
    return "sum" if isinstance(scoring, Heads) and not scoring.needs_network else scoring
