"""The machine as the checks see it: files below a root folder, programs, its account and its Python."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass, field

from edge_ad.bench.host import Host
from edge_ad.runtime.doctor.account import Account
from edge_ad.runtime.doctor.interpreter_facts import PythonFacts


@dataclass(frozen=True)
class Machine(Host):
    """Where facts come from. Whatever cannot be read, or makes no sense, is None: no method raises."""

    account: Account = field(default_factory=Account.here)
    python: PythonFacts = field(default_factory=PythonFacts.here)
    now_s: float | None = None
    """Seconds since the epoch; None for what the clock says."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time() if self.now_s is None else self.now_s

    def pip_install(self, *packages: str) -> str:
        """The command that installs packages for the Python that this program runs on."""
        return f"{shlex.quote(self.python.executable)} -m pip install {shlex.join(packages)}"
