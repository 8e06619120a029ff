"""Which device profile fits the machine."""

from __future__ import annotations

from collections.abc import Iterator

from edge_ad.errors import ConfigurationError
from edge_ad.profiles import pick
from edge_ad.runtime.doctor.finding import Finding, ok, skip
from edge_ad.runtime.doctor.machine import Machine


def device_profile(machine: Machine) -> Iterator[Finding]:
    """The profile's name, or that there is none."""
    try:
        profile = pick(machine.board(), machine.python.wheel_machine)
    except ConfigurationError as error:
        yield skip("device-profile", str(error))
        return
    yield ok("device-profile", f"{profile.name}, {profile.title}: edge-ad profiles show {profile.name}")
