"""The simulated pump's recordings as CSV files, in the layout of SKAB."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from edge_ad.files import make_folder, write_atomic
from edge_ad.toolchain.datasets.formats import PUMP
from edge_ad.toolchain.datasets.pump import Fault, PumpRun, standard_run

N_STANDARD_RUNS = len(Fault)


def write_pump_recordings(folder: Path) -> Path:
    """Write the preset's recordings as `pump-0.csv` …; returns the folder. Raises OutputError."""
    make_folder(folder)
    for index in range(N_STANDARD_RUNS):
        write_atomic(folder / f"pump-{index}.csv", pump_csv(standard_run(index)).encode())
    return folder


def pump_csv(run: PumpRun) -> str:
    """A run as CSV text with a label column and the kind of fault."""
    separator = PUMP.input.separator
    header = [PUMP.input.time_column, *(channel.name for channel in PUMP.channels), "anomaly", *PUMP.marks]
    lines = [separator.join(header)]
    rows = zip(run.times.tolist(), run.samples, run.labels, run.fault_kinds, strict=True)
    for time, sample, label, fault in rows:
        stamp = datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
        cells = [f"{value:.6g}" for value in sample]
        lines.append(separator.join([stamp, *cells, str(int(label)), fault]))
    return "\n".join(lines) + "\n"
