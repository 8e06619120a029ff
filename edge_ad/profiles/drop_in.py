"""What a profile changes of the agent's systemd unit."""

DROP_IN = "/etc/systemd/system/edge-ad-agent.service.d/10-board.conf"
"""Where it belongs. Of several drop-ins the last by name wins: `override.conf` of `systemctl edit` does."""


def drop_in(profile: str, memory_limit_mb: int, start_timeout_s: int, threads: int) -> str:
    """Text for systemd: memory, the time that a start may take, and threads of numpy's library."""
    return f"""\
# What the device profile {profile} sets. Your own: systemctl edit edge-ad-agent, which comes after it.
[Service]
MemoryMax={memory_limit_mb}M
TimeoutStartSec={start_timeout_s}
Environment=OPENBLAS_NUM_THREADS={threads}
"""
