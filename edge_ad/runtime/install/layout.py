"""Where things lie on a board."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

UNIT = "edge-ad-agent.service"


@dataclass(frozen=True)
class Layout:
    """Folders and files of one installation: the system's, or an account's own where it may not be root."""

    prefix: Path
    store: Path
    config: Path
    """The agent's configuration."""
    units: Path
    """Folder of systemd's units."""
    account: str | None
    """Who owns the store and runs the agent; None: whoever installs."""

    @classmethod
    def here(cls) -> Layout:
        """That of the account that this process runs under."""
        if os.geteuid() == 0:
            return cls(
                Path("/opt/edge-ad"),
                Path("/var/lib/edge-ad"),
                Path("/etc/edge-ad/agent.toml"),
                Path("/etc/systemd/system"),
                "edge-ad",
            )
        home = Path.home()
        return cls(
            home / ".local/lib/edge-ad",
            home / ".local/share/edge-ad",
            home / ".config/edge-ad/agent.toml",
            home / ".config/systemd/user",
            None,
        )

    @property
    def is_system(self) -> bool:
        """Whether it is the whole machine's, with a service that starts by itself."""
        return self.account is not None

    @property
    def releases(self) -> Path:
        """Environments by id."""
        return self.prefix / "releases"

    @property
    def bin(self) -> Path:
        """Link to the programs in service."""
        return self.prefix / "bin"

    @property
    def work(self) -> Path:
        """Lock, log and record of what is done here."""
        return self.prefix / "deploy"

    @property
    def unit(self) -> Path:
        """The agent's unit."""
        return self.units / UNIT

    @property
    def drop_in(self) -> Path:
        """What the board's profile adds to the unit."""
        return self.units / f"{UNIT}.d" / "10-board.conf"

    def release(self, name: str) -> Path:
        """The folder of an environment."""
        return self.releases / name

    def release_in_service(self) -> str | None:
        """Id of the release that `bin` leads to."""
        try:
            return Path(os.readlink(self.bin)).parent.name
        except OSError:
            return None

    def is_complete(self, name: str) -> bool:
        """Whether an environment was made to its end."""
        return bool(name) and (self.release(name) / ".complete").is_file()
