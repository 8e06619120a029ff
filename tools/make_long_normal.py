"""Hours of normal operation, to see whom slow drift alarms: recordings with a label that is never set.

`skab-valve1.csv` joins what the recordings of SKAB's valve1 hold before their anomaly, in order of time: nine
thousand rows of one morning, with steps from one recording to the next. `pump-cold.csv` is the simulated pump
for 2.6 hours in a hall that warms up by 6 K.

Usage: make_long_normal.py SKAB_FOLDER OUTPUT_FOLDER
"""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from pathlib import Path

from edge_ad.toolchain.datasets.pump import PUMP_CHANNELS, simulate_pump

_HOURS = 2.6


def main() -> None:
    """Write both."""
    skab, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "skab-valve1.csv").write_text(joined(skab / "valve1"))
    (folder / "pump-cold.csv").write_text(warming_pump())


def joined(folder: Path) -> str:
    """The rows of each recording before its first anomalous one."""
    parts = []
    for path in folder.glob("*.csv"):
        header, *lines = path.read_text().splitlines()
        label = header.split(";").index("anomaly")
        first = next(i for i, line in enumerate(lines) if float(line.split(";")[label]) != 0)
        parts.append(lines[:first])
    rows = [line for part in sorted(parts) for line in part]
    return "\n".join([header, *rows, ""])


def warming_pump() -> str:
    """The pump, written as SKAB writes it."""
    run = simulate_pump(7, duration_s=int(_HOURS * 3600), cold_start_k=6.0)
    lines = [";".join(["datetime", *(name for name, *_ in PUMP_CHANNELS), "anomaly", "changepoint"])]
    for time, sample in zip(run.times.tolist(), run.samples.tolist(), strict=True):
        stamp = datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
        lines.append(";".join([stamp, *(f"{value:.6g}" for value in sample), "0.0", "0.0"]))
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
