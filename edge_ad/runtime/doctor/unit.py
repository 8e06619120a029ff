"""The agent's systemd unit, as systemd has it."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_ad.runtime.doctor.account import Account
from edge_ad.runtime.doctor.machine import Machine

UNIT = "edge-ad-agent.service"
_PROPERTIES = (
    "LoadState",
    "UnitFileState",
    "ActiveState",
    "SubState",
    "WatchdogUSec",
    "NRestarts",
    "User",
    "SupplementaryGroups",
    "PrivateDevices",
    "DeviceAllow",
)


@dataclass(frozen=True)
class Unit:
    """What `systemctl show` says of it."""

    has_systemd: bool
    """Whether systemd started this machine."""
    values: dict[str, str] = field(default_factory=dict)
    """Property -> value; empty where systemd does not answer."""

    def value(self, name: str) -> str:
        """A property; empty where there is none."""
        return self.values.get(name, "")

    @property
    def is_installed(self) -> bool:
        """Whether systemd knows it."""
        return self.value("LoadState") == "loaded"

    def account(self, machine: Machine) -> Account:
        """The account that the service runs under; that of this process where there is no service."""
        if not self.is_installed:
            return machine.account
        groups = self.value("SupplementaryGroups").split()
        return Account.named(self.value("User") or "root", groups) or machine.account


def read_unit(machine: Machine) -> Unit:
    """Ask systemd."""
    if not (machine.exists("/run/systemd/system") or machine.text("/proc/1/comm") == "systemd"):
        return Unit(has_systemd=False)
    answer = machine.run("systemctl", "show", UNIT, f"--property={','.join(_PROPERTIES)}")
    return Unit(has_systemd=True, values=answer.values() if answer is not None else {})
