"""Whether the agent runs as a service that starts by itself, is watched, and reaches its devices."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edge_ad.runtime.doctor.agent_files import AgentFiles
from edge_ad.runtime.doctor.finding import Finding, fail, ok, skip, warn
from edge_ad.runtime.doctor.unit import UNIT, Unit

_LOG = f"journalctl -u {UNIT} -n 50 --no-pager"
_STARTS_BY_ITSELF = ("enabled", "enabled-runtime", "static", "generated", "alias")


def service(unit: Unit, files: AgentFiles | None) -> Iterator[Finding]:
    """systemd, the unit, its watchdog and its devices."""
    if not unit.has_systemd:
        yield skip("service", "systemd does not run here: what starts the agent must also start it anew")
    elif not unit.value("LoadState"):
        yield skip("service", "systemd does not answer", f"systemctl status {UNIT}")
    elif not unit.is_installed:
        yield warn(
            "service",
            f"{UNIT} is not installed ({unit.value('LoadState')}): nothing starts the agent after a power "
            "cut",
            "sudo useradd --system --home-dir /var/lib/edge-ad --shell /usr/sbin/nologin edge-ad",
            f"sudo cp firmware_configs/{UNIT} /etc/systemd/system/  # from the source of edge_ad",
            f"sudo systemctl daemon-reload && sudo systemctl enable --now {UNIT}",
        )
    else:
        yield _state(unit)
        yield from _start(unit)
        yield from _watchdog(unit)
        yield from _restarts(unit)
        yield from _devices(unit, files)


def _state(unit: Unit) -> Finding:
    active = unit.value("ActiveState")
    if active == "failed":
        return fail("service", f"{UNIT} has failed", _LOG, f"sudo systemctl restart {UNIT}")
    if active not in ("active", "reloading"):
        return warn("service", f"{UNIT} does not run ({active})", f"sudo systemctl start {UNIT}", _LOG)
    return ok("service", f"{UNIT} runs ({unit.value('SubState')}) as {unit.value('User') or 'root'}")


def _start(unit: Unit) -> Iterator[Finding]:
    enabled = unit.value("UnitFileState")
    if enabled not in _STARTS_BY_ITSELF:
        yield warn(
            "service-start",
            f"{UNIT} is {enabled or 'not enabled'}: it does not start after a power cut",
            f"sudo systemctl enable {UNIT}",
        )


def _watchdog(unit: Unit) -> Iterator[Finding]:
    if unit.value("WatchdogUSec") in ("", "0", "infinity"):
        yield warn(
            "watchdog",
            f"{UNIT} has no watchdog: an agent that hangs stays hanging",
            f"sudo systemctl edit {UNIT}  # [Service] WatchdogSec=60",
            f"sudo systemctl restart {UNIT}",
        )


def _restarts(unit: Unit) -> Iterator[Finding]:
    restarts = unit.value("NRestarts")
    if re.fullmatch(r"[1-9][0-9]{0,9}", restarts):
        yield warn("restarts", f"systemd had to start {UNIT} anew {restarts} times since the boot", _LOG)


def _devices(unit: Unit, files: AgentFiles | None) -> Iterator[Finding]:
    """Devices that the configuration names, and that the unit keeps from the agent."""
    if files is None or unit.value("PrivateDevices") != "yes":
        return
    for device in (*files.devices, *(["/dev/gpiochip0"] if "gpio" in files.kinds else [])):
        if device not in unit.value("DeviceAllow"):
            yield fail(
                "unit-devices",
                f"{UNIT} keeps all devices from the agent (PrivateDevices=yes), {device} too",
                f"sudo systemctl edit {UNIT}  # [Service] PrivateDevices=no DeviceAllow={device} rw, a "
                "line each",
                f"sudo systemctl restart {UNIT}",
            )
