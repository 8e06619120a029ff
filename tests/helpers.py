"""Small things that several tests use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from edge_ad.toolchain.datasets.pump import Fault, FaultEpisode, simulate_pump
from edge_ad.toolchain.datasets.simulated import pump_csv

COMMAND = [sys.executable, "-m", "edge_ad"]


def edge_ad(*arguments, **options):
    """Run the `edge-ad` command to its end."""
    streams = {} if "stdout" in options else {"capture_output": True}
    options = {**streams, "text": True, "timeout": 600, **options}
    return subprocess.run([*COMMAND, *map(str, arguments)], check=False, **options)


def pump_recording(path: Path, seed: int, duration_s: int = 640) -> Path:
    """A short recording of the simulated pump with a valve that closes near the end."""
    episode = FaultEpisode(Fault.VALVE_CLOSING, duration_s - 160, duration_s - 40, ramp_s=20)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(pump_csv(simulate_pump(seed, duration_s=duration_s, episodes=[episode])))
    return path


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
