"""Make the small bundle and recording that device tests run without TensorFlow.

Writes toy.edgead (the tiny model of a simulated pump in every precision), toy-fast.edgead (the same,
optimized for speed), toy.csv (normal rows, a
fault, a gap, an empty cell) and toy_decisions.ndjson (what a workstation decides on it).

Usage: make_toy_bundle.py FOLDER
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from edge_ad.bundle.archive import SIGNATURE, deserialize
from edge_ad.bundle.secret_key import SecretKey, public_part
from edge_ad.bundle.signing import sign
from edge_ad.toolchain.datasets.pump import Fault, FaultEpisode, simulate_pump
from edge_ad.toolchain.datasets.simulated import pump_csv


def edge_ad(*arguments: str | Path, stdout: Path | None = None) -> None:
    """Run `edge-ad`; a failure ends the program."""
    command = [sys.executable, "-m", "edge_ad", *map(str, arguments)]
    if stdout is None:
        subprocess.run(command, check=True)
    else:
        with stdout.open("w") as file:
            subprocess.run(command, stdout=file, check=True)


def main() -> None:
    """Build, pack and run."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    run = simulate_pump(7, duration_s=900, episodes=[FaultEpisode(Fault.VALVE_CLOSING, 650, 800)])
    header, *rows = pump_csv(run).splitlines()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        (work / "toy.csv").write_text("\n".join([header, *rows]) + "\n")
        build = ["build", work / "toy.csv", "-o", work / "build", "--models", "tiny", "--preset", "pump"]
        build += ["--precisions", "float32,int8,int8-full"]
        for optimize, name in (("speed", "toy-fast.edgead"), ("size", "toy.edgead")):
            edge_ad(*build, "--optimize", optimize)
            (folder / name).write_bytes((work / "build" / "bundles" / "toy.edgead").read_bytes())
    # A key that is no secret: what signs the toy is for tests alone.
    key = SecretKey(b"toy key.", b"\1" * 32, public_part(b"\1" * 32))
    signed = sign((folder / "toy.edgead").read_bytes(), key)
    (folder / "toy.minisig").write_bytes(deserialize(signed)[SIGNATURE])
    (folder / "toy.pub").write_text(key.public.text())
    stream = rows[560:760]
    del stream[30:45]  # a gap
    cells = stream[70].split(";")
    stream[70] = ";".join([*cells[:3], "", *cells[4:]])  # an empty cell
    (folder / "toy.csv").write_text("\n".join([header, *stream]) + "\n")
    edge_ad("run", folder / "toy.edgead", folder / "toy.csv", stdout=folder / "toy_decisions.ndjson")


if __name__ == "__main__":
    main()
