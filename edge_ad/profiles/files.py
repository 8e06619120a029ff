"""The files of `firmware_configs/`: profiles, the systemd unit, an example of the agent's configuration."""

from __future__ import annotations

from pathlib import Path

from edge_ad.errors import ConfigurationError

FOLDER = Path(__file__).with_name("firmware_configs")
"""A link to the repository's folder, or what a wheel brought along."""
UNIT = "edge-ad-agent.service"
"""The agent's unit."""


def firmware_file(name: str) -> bytes:
    """The content of a file, such as `edge-ad-agent.service`.

    Raises ConfigurationError for a name that is not there.
    """
    names = sorted(path.name for path in FOLDER.glob("*"))
    if name not in names:
        raise ConfigurationError(f"firmware_configs/ has no file {name!r}; there are: {', '.join(names)}")
    return (FOLDER / name).read_bytes()
