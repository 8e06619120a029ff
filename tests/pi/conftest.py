"""Tests on root file systems as on a Raspberry Pi. `make test-pi` runs them; elsewhere they are skipped."""

import os
from pathlib import Path

import pi_rootfs
import pytest

WANTED = "EDGE_AD_PI_TESTS"


def pytest_collection_modifyitems(items):
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    reason = _reason() if here else None
    if reason is not None:
        for item in here:
            item.add_marker(pytest.mark.skip(reason=reason))


def _reason():
    """Why they cannot run; in CI, what could have been installed is an error."""
    if not os.environ.get(WANTED):
        return f"make test-pi runs these, as root and with minutes of building: {WANTED}=1"
    reason = pi_rootfs.unavailable()
    if reason is not None and os.environ.get("CI") and pi_rootfs.missing_packages():
        raise pytest.UsageError(f"{reason}: CI must not skip tests/pi")
    return reason


@pytest.fixture(autouse=True)
def no_mount_left_behind(tmp_path_factory):
    """Machines mount in namespaces of their own: this side never sees one."""
    yield
    folders = (str(tmp_path_factory.getbasetemp()), str(pi_rootfs.cache.folder()))
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    assert not [line for line in mounts if any(folder in line for folder in folders)]
