"""One environment from nothing to its figures."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

import pi_rootfs

from pi_tests import compare, workstation
from pi_tests.environments import Environment
from pi_tests.install import install, measure
from pi_tests.place import Listener, MachinePlace, Place, StepFailed
from pi_tests.report import Result
from pi_tests.suite import run_device_tests

_SAY_EVERY_S = 15.0
_START = monotonic()
_SAY = threading.Lock()


@dataclass(frozen=True)
class Supplies:
    """What every environment takes from outside."""

    wheel: Path
    pytest: Path
    logs: Path
    pairs: Future[Path]
    """Bundles and recordings; they are being made meanwhile."""
    answers: Future[Path]
    """The workstation's decisions on them."""


def say(name: str, text: str) -> None:
    """A line of progress."""
    with _SAY:
        print(f"[{monotonic() - _START:5.0f} s] {name}: {text}", flush=True)


def listener(name: str) -> Listener:
    """Says what it hears, but not more often than a person wants to read."""
    last = monotonic()

    def hear(line: str) -> None:
        nonlocal last
        if monotonic() - last > _SAY_EVERY_S and line.strip():
            last = monotonic()
            say(name, line.strip()[:100])

    return hear


def run(environment: Environment, supplies: Supplies) -> Result:
    """Make it, measure it, test it, and compare its decisions; failures become complaints."""
    name, started = environment.name, monotonic()
    result = Result(environment)
    try:
        with _place(environment, supplies.logs / f"{name}.log") as place:
            result = _figures(result, place, supplies)
    except StepFailed as error:
        result = replace(result, complaints=(str(error),), code=error.code)
    except pi_rootfs.RootError as error:
        result = replace(result, complaints=(str(error),), code=1)
    result = replace(result, seconds=monotonic() - started)
    say(name, f"{'FAILED' if result.complaints else 'done'} after {result.seconds:.0f} s")
    return result


def _figures(result: Result, place: Place, supplies: Supplies) -> Result:
    environment = result.environment
    name = environment.name
    hear = listener(name)
    step = _steps(name, place)
    step("installing from the package index")
    wheel = place.folder / supplies.wheel.name
    wheel.write_bytes(supplies.wheel.read_bytes())
    python = install(environment, place, wheel, hear)
    step("device tests")
    result = replace(result, counts=run_device_tests(place, python, supplies.pytest, hear))
    size = measure(environment, place)
    result = replace(result, size=size)
    step("decisions on the recordings")
    answers = workstation.decide(place, python, supplies.pairs.result(), environment.decides, hear)
    comparison = compare.compare(supplies.pairs.result(), supplies.answers.result(), answers)
    step("compared")
    found = compare.complaints(comparison, environment.leeway)
    if comparison.engine.split()[0] != environment.engine:
        found.append(f"models ran on {comparison.engine}, not on {environment.engine}")
    if environment.largest_mb is not None and size.total_mb > environment.largest_mb:
        found.append(f"it takes {size.text()} on disk, and may take {environment.largest_mb:g} MB")
    return replace(result, comparison=comparison, complaints=tuple(found), code=int(bool(found)))


def _steps(name: str, place: Place) -> Callable[[str], None]:
    begun, cpu_s, doing = monotonic(), 0.0, ""

    def step(text: str) -> None:
        nonlocal begun, cpu_s, doing
        took = f"{monotonic() - begun:.0f} s, of a processor {place.cpu_s - cpu_s:.0f} s"
        say(name, f"{text} ({doing} took {took})" if doing else text)
        begun, cpu_s, doing = monotonic(), place.cpu_s, text

    return step


@contextmanager
def _place(environment: Environment, log: Path) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="edge-ad-pi-") as scratch:
        if environment.root is None:
            yield Place(Path(scratch), log)
            return
        with pi_rootfs.Machine.open(environment.root, Path(scratch)) as machine:
            yield MachinePlace(machine, log)
