"""Whether models can run here: numpy, the interpreters, and whether they go together."""

from __future__ import annotations

from collections.abc import Iterator

from edge_ad.runtime.doctor.facts import EngineFact, NumpyFact, ProbeFacts
from edge_ad.runtime.doctor.finding import Finding, fail, ok, warn
from edge_ad.runtime.doctor.machine import Machine
from edge_ad.runtime.doctor.wheels import install_commands, suitable_wheel

_TFLITE_RUNTIME = "tflite-runtime"
_DEBIAN_PACKAGES = {
    "libopenblas": "libopenblas0",
    "libatlas": "libatlas3-base",
    "libcblas": "libatlas3-base",
    "libf77blas": "libatlas3-base",
    "libgfortran": "libgfortran5",
}
"""Library that a numpy not from the package index looks for -> Debian package that has it.

https://numpy.org/doc/stable/user/troubleshooting-importerror.html
"""


def engines(machine: Machine, facts: ProbeFacts) -> Iterator[Finding]:
    """First numpy, since nothing runs without it; then every engine that is installed."""
    yield _numpy(machine, facts)
    yield from _mismatch(machine, facts)
    if facts.numpy is None or facts.numpy.problem:
        return
    if facts.engine_problem:
        yield fail("engine", facts.engine_problem, "unset EDGE_AD_ENGINE")
    for engine in facts.engines:
        yield _engine(machine, engine)
    if facts.ending and not facts.engines and not facts.engine_problem:
        yield fail(
            "engine",
            f"the engines could not be tried: {facts.ending} at {facts.step}",
            f"{machine.python.executable} -c 'import edge_ad.runtime.detector'",
        )
    yield from _want_of_interpreter(machine, facts)


def _numpy(machine: Machine, facts: ProbeFacts) -> Finding:
    # Nothing said at all: it died before it could say that numpy was missing.
    fact = facts.numpy or NumpyFact(problem=facts.ending or "it did not answer")
    if not fact.problem:
        return ok("numpy", fact.version)
    return fail("numpy", f"it cannot be loaded: {fact.problem}", *_numpy_fix(machine, fact.problem))


def _numpy_fix(machine: Machine, problem: str) -> tuple[str, ...]:
    python = machine.python
    if "SIGILL" in problem and python.wheel_machine == "aarch64":
        # https://github.com/numpy/numpy/issues/18131: OpenBLAS takes the processor for another one
        return (
            f"OPENBLAS_CORETYPE=ARMV8 {python.executable} -c 'import numpy'  # where this works:",
            "sudo systemctl edit edge-ad-agent  # [Service] Environment=OPENBLAS_CORETYPE=ARMV8",
        )
    for library, package in _DEBIAN_PACKAGES.items():
        if library in problem:
            return (f"sudo apt-get install -y {package}",)
    if python.bits == 32:
        # A package for another processor, or none at all: Debian's is made for this one.
        return (
            f"{python.executable} -m pip uninstall -y numpy",
            "sudo apt-get install -y python3-numpy  # seen by environments with --system-site-packages",
        )
    return (machine.pip_install("--force-reinstall", "--no-cache-dir", _numpy_requirement(machine)),)


def _numpy_requirement(machine: Machine) -> str:
    return "numpy<2" if _TFLITE_RUNTIME in machine.python.packages else "numpy>=1.24"


def _mismatch(machine: Machine, facts: ProbeFacts) -> Iterator[Finding]:
    packages = machine.python.packages
    version = facts.numpy.version if facts.numpy and facts.numpy.version else packages.get("numpy", "")
    major = version.partition(".")[0]
    if _TFLITE_RUNTIME not in packages or not (major.isascii() and major.isdigit() and int(major) >= 2):
        return
    text = f"tflite-runtime {packages[_TFLITE_RUNTIME]} was built for numpy 1 and cannot use numpy {version}"
    if "ai-edge-litert" in packages:
        yield warn(
            "numpy-version",
            f"{text}; ai-edge-litert is installed, and does without it",
            f"{machine.python.executable} -m pip uninstall -y {_TFLITE_RUNTIME}",
        )
    else:
        yield fail("numpy-version", text, machine.pip_install("numpy<2"))


def _engine(machine: Machine, engine: EngineFact) -> Finding:
    check = f"engine-{engine.name}"
    what = f"{engine.name} {machine.python.packages.get(engine.name, '')}".strip()
    role = ", in use here" if engine.in_use else ""
    if not engine.problem:
        return ok(check, f"{what} runs a model and computes what it should{role}")
    fix: tuple[str, ...]
    wheel = suitable_wheel(machine.python)
    if engine.signal and engine.name != "numpy":
        # What kills a process is nothing a program can catch: without it there is still numpy.
        fix = (
            *(machine.pip_install("--force-reinstall", *wheel.requirements) for _ in "1" if wheel),
            f"{machine.python.executable} -m pip uninstall -y {engine.name}  # models then run on numpy",
        )
    elif engine.name == "numpy" or wheel is None:
        fix = (machine.pip_install("--force-reinstall", _numpy_requirement(machine)),)
    else:
        fix = install_commands(machine, wheel)
    text = f"{what} does not work: {engine.problem}"
    if engine.in_use:
        return fail(check, f"{text}. It is the one that models run on here", *fix)
    return warn(check, f"{text}. It is not in use", *fix)


def _want_of_interpreter(machine: Machine, facts: ProbeFacts) -> Iterator[Finding]:
    if not facts.engines or any(engine.name != "numpy" for engine in facts.engines):
        return
    wheel = suitable_wheel(machine.python)
    if wheel is None:
        yield ok("interpreter", "none is installed, and none is made for this Python: models run on numpy")
        return
    yield warn(
        "interpreter",
        "no TFLite interpreter is installed: models run on numpy, with the same decisions, but slower, "
        "int8-full variants most of all",
        *install_commands(machine, wheel),
    )
