"""The main job on the simulated pump, step by step, as a user would type it.

Usage: demo.py FOLDER
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path


def edge_ad(*arguments: str | Path, stdout: Path | None = None) -> None:
    """Run `edge-ad` with the command shown first; a failure ends the demo with its exit code."""
    words = ["edge-ad", *map(str, arguments)]
    target = f" > {stdout}" if stdout else ""
    print(f"\n$ {shlex.join(words)}{target}", flush=True)
    command = [sys.executable, "-m", "edge_ad", *words[1:]]
    if stdout is None:
        code = subprocess.run(command, check=False).returncode
    else:
        with stdout.open("w") as file:
            code = subprocess.run(command, stdout=file, check=False).returncode
    if code:
        sys.exit(code)


def main() -> None:
    """Build, check, run and measure."""
    folder = Path(sys.argv[1])
    bundle = folder / "bundles" / "pump-0.edgead"
    edge_ad("build", "--preset", "pump", "-o", folder)
    edge_ad("gate", folder)
    edge_ad("verify", bundle)
    edge_ad("run", bundle, folder / "recordings" / "pump-0.csv", stdout=folder / "decisions.ndjson")
    edge_ad("bench", bundle, "--windows", "1000", "--processes", "2", "--keras-windows", "20")
    print(f"\nThe bundles are in {folder / 'bundles'}, every decision in {folder / 'decisions.ndjson'}.")


if __name__ == "__main__":
    main()
