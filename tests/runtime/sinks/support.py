"""What the tests of sinks share."""

from __future__ import annotations

import numpy as np

from edge_ad.bundle.manifest import Channel
from edge_ad.detect.decision import Decision
from edge_ad.runtime.sinks.sink import InService, SinkContext


def context(log, name="it"):
    return SinkContext("agent-1", name, log.note, log.say)


def service(asset="pump-1", severities=("watch", "warning", "critical"), names=("Pressure", "Flow")):
    channels = tuple(Channel(name, "bar") for name in names)
    return InService(
        asset=asset,
        bundle_id="0123456789abcdef" * 4,
        build_number=3,
        model_version="1.0",
        overlay_id="fedcba9876543210" * 4,
        variant="tiny-int8",
        engine="numpy",
        channels=channels,
        ucl=2.0,
        severities=tuple(severities),
        sample_period_s=1.0,
    )


def decision(state="normal", severity=None, time=0.0):
    if state in ("unknown", "warming"):
        return Decision(time, state, None, 2.0, None, f"{state}: as it is")
    return Decision(time, state, 1.5, 2.0, np.array([1.0, 0.5], np.float32), None, severity)
