"""Whether two benchmarks were made on like machines, so that their ratio is that of what was measured."""

from __future__ import annotations

from edge_ad.bench.machine import MachineFacts
from edge_ad.bench.results import BenchmarkFile, InstructionCount, Result


def differences(a: BenchmarkFile, b: BenchmarkFile) -> list[str]:
    """What is unlike and shifts durations, in words: `board: Raspberry Pi 4 …, and Raspberry Pi 5 …`."""
    pairs = zip(_facts(a).items(), _facts(b).items(), strict=True)
    found = [f"{name}: {mine}, and {its}" for (name, mine), (_, its) in pairs if mine != its]
    ours, theirs = _engine_versions(a), _engine_versions(b)
    for engine in ours.keys() & theirs.keys():
        if ours[engine] != theirs[engine]:
            found.append(f"engine: {', '.join(ours[engine])}, and {', '.join(theirs[engine])}")
    return found


def remarks(a: BenchmarkFile, b: BenchmarkFile) -> list[str]:
    """What differs besides, and may be the very thing that is compared."""
    facts = {
        "edge_ad": (a.versions.get("edge-ad"), b.versions.get("edge-ad")),
        "bundle": (a.bundle.bundle_id[:12], b.bundle.bundle_id[:12]),
        "kernel": (a.machine_before.kernel, b.machine_before.kernel),
    }
    return [f"{name}: {mine}, and {its}" for name, (mine, its) in facts.items() if mine != its]


def _facts(benchmark: BenchmarkFile) -> dict[str, object]:
    machine = benchmark.machine_before
    frequency = machine.max_frequency_khz
    return {
        "board": machine.board,
        "processor": machine.cpu_model,
        "architecture": machine.architecture,
        "processors": machine.n_cpus,
        "highest clock": None if frequency is None else f"{frequency // 1000} MHz",
        "governor": _governors(machine),
        "Python": machine.python,
        "numpy": benchmark.versions.get("numpy"),
        "emulated": machine.translator or "no",
        "virtual machine": machine.hypervisor or "no",
    }


def _governors(machine: MachineFacts) -> str | None:
    return ", ".join(sorted({clock.governor or "unknown" for clock in machine.state.clocks})) or None


def _engine_versions(benchmark: BenchmarkFile) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    both: list[Result | InstructionCount] = [*benchmark.results, *benchmark.instructions]
    for result in both:
        if not result.problem:
            found.setdefault(result.engine, set()).add(result.engine_version)
    return {engine: sorted(versions) for engine, versions in found.items()}
