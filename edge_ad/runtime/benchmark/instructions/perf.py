"""Instructions counted by the processor itself, through the kernel."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edge_ad.errors import EdgeAdError, MissingDependencyError
from edge_ad.runtime.benchmark.instructions.counter import Counted, run

_EVENT = "instructions:u"
"""In user mode: what the kernel does meanwhile depends on everything else."""


class Perf:
    """The kernel's `perf stat`; see perf-stat(1)."""

    def __init__(self) -> None:
        """Raises MissingDependencyError where there is none, or it does not count."""
        program = shutil.which("perf")
        if program is None:
            raise MissingDependencyError("perf is not installed: sudo apt-get install -y linux-perf")
        self._program = program
        try:
            self.name = run([program, "--version"]).stdout.strip().replace("perf version", "perf")
            self.count(["true"])
        except EdgeAdError as error:
            raise MissingDependencyError(f"perf does not count here: {error}") from error

    def python(self) -> str:
        """The one that runs now."""
        return sys.executable

    def count(self, words: Sequence[str]) -> Counted:
        """Run a program, with the processor counting."""
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder, "log")
            options = ["stat", "-x", ",", "-e", _EVENT, "-o", str(log)]
            result = run([self._program, *options, "--", *words])
            text = log.read_text(errors="replace")
        # 1206772089,,instructions:u,805340923,100.00,, -- a line for each kind of core
        counts = re.findall(r"^([0-9]+),[^,]*,[^,]*instructions[^,]*,", text, re.MULTILINE)
        if not counts:
            why = re.search(r"<([^>]+)>", text)
            raise EdgeAdError(f"{_EVENT} is {why[1] if why else 'not counted'} by this processor")
        return Counted(sum(map(int, counts)), result.stdout)
