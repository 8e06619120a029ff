"""What a profile changes of the agent's systemd unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_ad.profiles.profile import DeviceProfile

DROP_IN = "/etc/systemd/system/edge-ad-agent.service.d/50-profile.conf"
"""Where it belongs; drop-ins with a higher number come after it and win."""


def drop_in(profile: DeviceProfile) -> str:
    """Text for systemd: memory, threads of numpy's library, and the time that a start may take."""
    runtime = profile.runtime
    return f"""\
# What the device profile {profile.name} sets; put your own into a drop-in that comes later (systemctl edit).
[Service]
MemoryMax={runtime.memory_limit_mb}M
TimeoutStartSec={runtime.start_timeout_s}
Environment=OPENBLAS_NUM_THREADS={runtime.threads}
"""
