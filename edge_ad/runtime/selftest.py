"""Golden vectors: does this machine score as the workstation did?

The models run in a process of their own, one for each engine: a model that kills the interpreter must not
take the installer along.
"""

from __future__ import annotations

import json
import signal
import warnings
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.bench.machine import machine_facts
from edge_ad.bundle.bundle import Bundle
from edge_ad.bundle.codec import decode, encode
from edge_ad.detect.fusion import needs_network
from edge_ad.errors import BundleGoldenError, BundleModelError, EdgeAdError, InterpreterError
from edge_ad.runtime.detector import Detector
from edge_ad.runtime.engine import available_engines
from edge_ad.runtime.interpreter import engine_in_use, interpreter_version, use_interpreter
from edge_ad.runtime.process import signal_name

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

TIME_LIMIT_S = 120
"""For one interpreter and all variants; a Pi of the first generations needs a few seconds."""


@dataclass(frozen=True)
class SelfTest:
    """How far one variant's scores are from the expected ones."""

    variant: str
    windows: int
    worst_window: int
    """Index of the golden window with the largest error."""
    expected: float
    """Score of that window where the bundle was built."""
    score: float | None
    """Its score here; None where it is not a finite number."""
    error: float
    """Largest relative difference."""
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether every score is within the tolerance."""
        return self.error <= self.tolerance

    def text(self) -> str:
        """One line for people."""
        verdict = "ok" if self.passed else "FAILED"
        score = "not finite" if self.score is None else f"{self.score:.6g}"
        return (
            f"{self.variant}: {verdict}, {self.windows} windows, largest relative error {self.error:.2g} "
            f"(window {self.worst_window}: {score} here, {self.expected:.6g} where it was built), "
            f"tolerance {self.tolerance:g}"
        )


@dataclass(frozen=True)
class InterpreterTest:
    """What one interpreter made of a bundle's variants."""

    interpreter: str
    """Package and version."""
    results: tuple[SelfTest, ...]
    problem: str = ""
    """Why the variants after `results` could not be tested; empty where all were."""

    @property
    def passed(self) -> bool:
        """Whether all variants were tested and passed."""
        return not self.problem and all(result.passed for result in self.results)

    def complaint(self) -> str:
        """What is wrong, where, and on which machine; for a test that has not passed."""
        if self.problem:
            return f"{self.interpreter}: {self.problem}"
        lines = "; ".join(result.text() for result in self.results if not result.passed)
        return (
            f"it does not score here as it did where it was built. {lines}. Interpreter {self.interpreter}, "
            f"processor {machine_facts().cpu_model}"
        )


def self_test(bundle: Bundle, variant: str) -> SelfTest:
    """Replay the golden windows through a variant, in this process.

    Through its network as well where no head looks at that. Raises what loading it raises, and
    BundleModelError for a network that fails.
    """
    entry, scoring = bundle.manifest.variant(variant), bundle.manifest.scoring(variant)
    detector, windows = Detector.load(bundle, variant), bundle.golden_windows()
    scores = detector.score_windows(windows)
    if not needs_network(scoring):
        try:
            detector.try_network(windows)
        except InterpreterError as error:
            raise BundleModelError(f"{variant}: {error}") from error
    expected = np.array(entry.golden_scores)
    errors = np.abs(scores - expected) / np.maximum(np.abs(expected), 1e-9)
    errors = np.where(np.isfinite(errors), errors, np.finfo(np.float64).max)
    worst = int(errors.argmax())
    score = float(scores[worst]) if np.isfinite(scores[worst]) else None
    return SelfTest(
        variant,
        len(scores),
        worst,
        float(expected[worst]),
        score,
        float(errors[worst]),
        entry.golden_tolerance,
    )


def replay_on_interpreters(bundle: Bundle, interpreters: list[str] | None = None) -> list[InterpreterTest]:
    """Replay the golden windows of a verified bundle, in a process for each interpreter.

    For None these are all engines of this machine: the interpreters that are installed and then numpy, which
    is what boards without any would run the bundle on.
    """
    return [_replay_on(bundle, name) for name in interpreters or available_engines()]


def require_golden_scores(bundle: Bundle) -> list[InterpreterTest]:
    """As `replay_on_interpreters`, for the engine that would run the bundle here.

    Raises BundleModelError where it refuses a model or dies of it, BundleGoldenError where a score differs,
    ConfigurationError.
    """
    tests = replay_on_interpreters(bundle, [engine_in_use()])
    for test in tests:
        if not test.passed:
            error = BundleModelError if test.problem else BundleGoldenError
            raise error(test.complaint())
    return tests


def _replay_on(bundle: Bundle, name: str) -> InterpreterTest:
    # Forked: the child has numpy and the bundle already, which on a small board is half of the time.
    import multiprocessing  # a service, which tests nothing, has better uses for its memory

    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_replay, args=(bundle, name, sender))
    with warnings.catch_warnings():
        # Python 3.12 warns of threads; numpy's are idle, and its library minds the fork.
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    sender.close()
    version, variant, problem = name, "its first variant", ""
    results: list[SelfTest] = []
    deadline = monotonic() + TIME_LIMIT_S
    try:
        while receiver.poll(max(0.0, deadline - monotonic())):
            said = json.loads(receiver.recv_bytes())  # not `recv`: a model may have taken the child over
            version, variant = said.get("version", version), said.get("variant", variant)
            problem = said.get("problem", problem)
            if "result" in said:
                results.append(decode(SelfTest, said["result"]))
        problem = problem or f"{variant}: no answer within {TIME_LIMIT_S} s"
    except EOFError:  # the child has ended
        child.join()
        if child.exitcode and not problem:
            problem = f"{variant}: {_ending(child.exitcode)}"
    finally:
        if child.is_alive():
            child.kill()
            child.join()
        receiver.close()
    return InterpreterTest(version, tuple(results), problem)


def _ending(code: int) -> str:
    if code < 0:
        return f"the interpreter died of {signal_name(-code)}"
    return f"the interpreter's process ended with code {code}"


def _replay(bundle: Bundle, name: str, sender: Connection) -> None:
    """In the child: say each thing before it is tried, so that what killed the process is known."""

    def say(**fields: object) -> None:
        sender.send_bytes(json.dumps(fields).encode())

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    use_interpreter(name)
    try:
        say(version=interpreter_version())
        for variant in bundle.manifest.variants:
            say(variant=variant.name)
            say(result=encode(self_test(bundle, variant.name)))
    except EdgeAdError as error:
        say(problem=str(error))
