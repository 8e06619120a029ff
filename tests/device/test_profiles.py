"""The device profiles come along with the wheel, and one of them is this machine's, if any."""

import json
import platform
import subprocess
import sys

COMMAND = [sys.executable, "-m", "edge_ad"]


def test_the_profiles_come_along():
    result = subprocess.run(
        [*COMMAND, "profiles", "list", "--json"], capture_output=True, text=True, check=True, timeout=120
    )
    rows = {row["name"]: row for row in json.loads(result.stdout)["profiles"]}
    assert {"rpi-zero-w", "rpi-4b", "generic-arm64", "generic-x86_64"} <= set(rows)
    chosen = [name for name, row in rows.items() if row["this_machine"]]
    if platform.machine() == "x86_64":
        assert chosen == ["generic-x86_64"]
    else:
        assert len(chosen) <= 1


def test_the_unit_comes_along():
    code = """
from edge_ad.profiles import all_profiles, firmware_file
assert b"ExecStart=" in firmware_file("edge-ad-agent.service")
assert all(profile.agent_config("pump-1") for profile in all_profiles())
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
