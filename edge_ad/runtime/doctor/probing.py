"""Starting the probe, and making facts of what it says."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_ad.bench.command import Answer, Command
from edge_ad.bundle.codec import DecodeError, decode, parse_json
from edge_ad.runtime.doctor.facts import AssetFact, EngineFact, KeysFact, NumpyFact, ProbeFacts, StoreFact
from edge_ad.runtime.doctor.machine import Machine
from edge_ad.runtime.process import signal_name

TIME_LIMIT_S = 20.0
"""For all engines and all assets together."""
_KINDS: Mapping[str, type] = {
    "numpy": NumpyFact,
    "engine": EngineFact,
    "store": StoreFact,
    "keys": KeysFact,
    "asset": AssetFact,
}
# numpy is imported before anything of ours, which may import it as well: what it dies of is then its own.
_PROGRAM = """
import json, os, sys
out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
def say(**fields):
    print(json.dumps(fields), file=out, flush=True)
say(step="numpy")
try:
    import numpy
    say(numpy={"version": str(numpy.__version__)})
except Exception as error:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    say(numpy={"problem": str(error).strip() or type(error).__name__})
else:
    from edge_ad.runtime.doctor.probe import probe
    probe(sys.argv[1], say)
say(step="")
"""


class Probe:
    """The probe at work; on a board with several processors other checks go on meanwhile."""

    def __init__(self, machine: Machine, store: Path, time_limit_s: float = TIME_LIMIT_S) -> None:
        self._time_limit_s = time_limit_s
        words = [machine.python.executable, "-c", _PROGRAM, str(store)]
        self._command: Command | None = None
        self._facts: ProbeFacts | None = None
        try:
            self._command = Command(words, time_limit_s, with_errors=False)
        except (OSError, ValueError) as error:
            self._facts = ProbeFacts(ending=f"{machine.python.executable} cannot be started: {error}")

    def facts(self) -> ProbeFacts:
        """Wait for its end, or end it."""
        if self._facts is None and self._command is not None:
            self._facts = facts_of(self._command.answer(), self._time_limit_s)
        return self._facts or ProbeFacts()

    def close(self) -> None:
        """End it where it still runs."""
        if self._command is not None:
            self._command.close()


def facts_of(answer: Answer, time_limit_s: float) -> ProbeFacts:
    """What an answer says. Lines that the probe did not write, such as a library's, are left out."""
    found: dict[str, list[Any]] = {name: [] for name in _KINDS}
    step, engine_problem = "Python", ""
    for line in answer.text.splitlines():
        with contextlib.suppress(DecodeError):
            said = parse_json(line.encode(errors="replace"))
            for name, value in said.items() if isinstance(said, dict) else ():
                if name in _KINDS:
                    found[name].append(decode(_KINDS[name], value))
                elif name == "step" and isinstance(value, str):
                    step = value
                elif name == "engine_problem" and isinstance(value, str):
                    engine_problem = value
    return ProbeFacts(
        numpy=_last(found["numpy"]),
        engines=tuple(found["engine"]),
        engine_problem=engine_problem,
        store=_last(found["store"]),
        keys=_last(found["keys"]),
        assets=tuple(found["asset"]),
        step=step,
        ending=_ending(answer.code, time_limit_s) if step else "",
    )


def _last(values: list[Any]) -> Any:
    return values[-1] if values else None


def _ending(code: int | None, time_limit_s: float) -> str:
    if code is None:
        return f"it had not ended after {time_limit_s:g} s"
    return f"it died of {signal_name(-code)}" if code < 0 else f"it ended with code {code}"
