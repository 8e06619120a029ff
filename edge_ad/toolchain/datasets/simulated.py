"""The simulated pump's recordings as CSV files in the layout of SKAB, or as Parquet files."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from edge_ad.errors import MissingDependencyError
from edge_ad.files import make_folder, write_atomic
from edge_ad.toolchain.datasets.formats import PUMP
from edge_ad.toolchain.datasets.pump import Fault, PumpRun, standard_run

N_STANDARD_RUNS = len(Fault)


def write_pump_recordings(folder: Path, machines: int = N_STANDARD_RUNS, *, parquet: bool = False) -> Path:
    """Write standard runs, each of another machine, as `pump-0.csv` …; returns the folder.

    Raises OutputError, MissingDependencyError.
    """
    make_folder(folder)
    for index in range(machines):
        run = standard_run(index)
        content = pump_parquet(run) if parquet else pump_csv(run).encode()
        write_atomic(folder / f"pump-{index}.{'parquet' if parquet else 'csv'}", content)
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


def pump_parquet(run: PumpRun) -> bytes:
    """A run as a Parquet file with the columns and values of `pump_csv`. Raises MissingDependencyError."""
    try:
        import pyarrow
        from pyarrow import csv, parquet
    except ModuleNotFoundError as error:
        raise MissingDependencyError("Parquet files need: pip install 'edge-ad[distributed]'") from error
    text = pyarrow.py_buffer(pump_csv(run).encode())
    table = csv.read_csv(
        pyarrow.BufferReader(text), parse_options=csv.ParseOptions(delimiter=PUMP.input.separator)
    )
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(table, sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content
