"""Instructions counted by valgrind, which executes a program in a processor of its own making."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edge_ad.errors import EdgeAdError, MissingDependencyError
from edge_ad.runtime.benchmark.instructions.counter import Counted, run


class Valgrind:
    """Its tool cachegrind, without a simulated cache: https://valgrind.org/docs/manual/cg-manual.html."""

    def __init__(self) -> None:
        """Raises MissingDependencyError."""
        program = shutil.which("valgrind")
        if program is None:
            raise MissingDependencyError("valgrind is not installed: sudo apt-get install -y valgrind")
        self._program = program
        self.name = run([program, "--version"]).stdout.strip()

    def python(self) -> str:
        """The one that runs now."""
        return sys.executable

    def count(self, words: Sequence[str]) -> Counted:
        """Run a program under valgrind."""
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder, "log")
            options = ["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
            result = run([self._program, *options, f"--log-file={log}", *words])
            text = log.read_text(errors="replace")
        # ==4711== I   refs:      1,206,772,089
        found = re.search(r"\bI\s+refs:\s+([0-9,]+)", text)
        if found is None:
            last = text.strip().splitlines()[-1:] or ["it said nothing"]
            raise EdgeAdError(f"{self.name} did not count: {last[0]}")
        return Counted(int(found[1].replace(",", "")), result.stdout)
