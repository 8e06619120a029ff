"""Golden vectors: does this machine score as the workstation did?

The models run in a process of their own, one for each installed interpreter: a model that kills the
interpreter must not take the installer along.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass

import numpy as np

from edge_ad.bench.machine import machine_facts
from edge_ad.bundle.bundle import Bundle, unpack
from edge_ad.bundle.codec import decode, encode
from edge_ad.errors import BundleError, BundleGoldenError, BundleModelError, MissingDependencyError
from edge_ad.runtime.detector import Detector
from edge_ad.runtime.interpreter import installed_interpreters, interpreter_version, use_interpreter

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


def self_test(bundle: Bundle, variant: str) -> SelfTest:
    """Replay the golden windows through a variant, in this process. Raises what loading it raises."""
    entry = bundle.manifest.variant(variant)
    scores = Detector.load(bundle, variant).score_windows(bundle.golden_windows())
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


def replay_on_interpreters(data: bytes, interpreters: list[str] | None = None) -> list[InterpreterTest]:
    """Replay the golden windows of a verified bundle's bytes, in a process per interpreter.

    All that are installed, for None. Raises MissingDependencyError where there is none.
    """
    names = installed_interpreters() if interpreters is None else interpreters
    if not names:
        raise MissingDependencyError(
            "no TFLite interpreter is installed; install one with: pip install 'edge-ad[device]'"
        )
    return [_test_interpreter(data, name) for name in names]


def require_golden_scores(data: bytes) -> list[InterpreterTest]:
    """As `replay_on_interpreters`, for the interpreter that would run the bundle here.

    Raises BundleModelError where it refuses a model or dies of it, BundleGoldenError where a score differs.
    """
    tests = replay_on_interpreters(data, installed_interpreters()[:1] or None)
    for test in tests:
        if test.problem:
            raise BundleModelError(f"{test.interpreter}: {test.problem}")
        failed = [result for result in test.results if not result.passed]
        if failed:
            raise BundleGoldenError(mismatch_text(test.interpreter, failed))
    return tests


def mismatch_text(interpreter: str, failed: list[SelfTest]) -> str:
    """What differs, where, and on which machine."""
    lines = "; ".join(result.text() for result in failed)
    return (
        f"it does not score here as it did where it was built. {lines}. Interpreter {interpreter}, processor "
        f"{machine_facts().cpu_model}"
    )


def _test_interpreter(data: bytes, name: str) -> InterpreterTest:
    # -P: a file in the folder the user happens to stand in is no module of ours
    command = [sys.executable, "-P", "-m", "edge_ad.runtime.selftest", name]
    try:
        process = subprocess.run(command, input=data, capture_output=True, timeout=TIME_LIMIT_S, check=False)
        output, code, errors = process.stdout, process.returncode, process.stderr
    except subprocess.TimeoutExpired as expired:
        output, code, errors = expired.stdout or b"", None, b""
    lines = [json.loads(line) for line in output.decode().splitlines() if line.endswith("}")]
    version = next((line["interpreter"] for line in lines if "interpreter" in line), name)
    results = tuple(decode(SelfTest, line["result"]) for line in lines if "result" in line)
    problem = next((line["problem"] for line in lines if "problem" in line), "")
    if code != 0 and not problem:
        at = next((line["variant"] for line in reversed(lines) if "variant" in line), "its first variant")
        problem = f"{at}: {_ending(code, errors)}"
    return InterpreterTest(version, results, problem)


def _ending(code: int | None, errors: bytes) -> str:
    if code is None:
        return f"the interpreter did not answer within {TIME_LIMIT_S} s and was ended"
    if code < 0:
        return f"the interpreter died of {signal.Signals(-code).name}"
    last = errors.decode(errors="replace").strip().splitlines()[-1:]
    return f"the interpreter's process ended with code {code}: {''.join(last) or 'it said nothing'}"


def _serve(name: str) -> None:
    """The process that runs models: a bundle on stdin, a line of JSON for each thing that happens."""

    def say(**fields: object) -> None:
        print(json.dumps(fields), flush=True)

    use_interpreter(name)
    try:
        bundle = unpack(sys.stdin.buffer.read())
        say(interpreter=interpreter_version())
        for variant in bundle.manifest.variants:
            say(variant=variant.name)
            say(result=encode(self_test(bundle, variant.name)))
    except (BundleError, MissingDependencyError) as error:
        say(problem=str(error))


if __name__ == "__main__":
    _serve(sys.argv[1])
