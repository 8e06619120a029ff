"""Benchmarks made up for tests."""

import dataclasses

import numpy as np

from edge_ad.bench.finding import trust_of
from edge_ad.bench.machine import MachineFacts
from edge_ad.bench.machine_state import Clock, MachineState
from edge_ad.bench.results import (
    BenchmarkFile,
    BundleFacts,
    ColdStart,
    InstructionCount,
    Measurement,
    ProcessRun,
    Result,
    Settings,
)

STAGES = ("admit", "scale", "infer", "score", "decide")

GOOD = MachineState(
    clocks=tuple(Clock(cpu, "performance", 1_500_000) for cpu in range(4)),
    clock_changes=7,
    temperature_c=48.2,
    firmware_flags=0,
    throttle_events=None,
    load_1min=0.1,
    busy_s=1000.0,
    stolen_s=0.0,
)
PI_4 = MachineFacts(
    cpu_model="Cortex-A72",
    board="Raspberry Pi 4 Model B Rev 1.4",
    architecture="aarch64",
    n_cpus=4,
    max_frequency_khz=1_500_000,
    kernel="6.6.31+rpt-rpi-v8",
    memory_bytes=3_977_564_160,
    python="CPython 3.11.2",
    translator=None,
    hypervisor=None,
    state=GOOD,
)


def durations(n=400, us=100.0, seed=0, noise=0.02):
    """Nanoseconds around a median."""
    values = us * 1000 * np.exp(noise * np.random.default_rng(seed).normal(size=n))
    return tuple(int(value) for value in values)


def process(us=100.0, n=400, seed=0, stable=True, noise=0.02):
    """What one process measured."""
    return ProcessRun(
        measurements=tuple(
            Measurement(name, 200, stable, durations(n, share * us, seed, noise))
            for name, share in (
                ("invoke", 0.6),
                *((stage, 0.2) for stage in STAGES),
                ("sample-to-decision", 1.0),
            )
        ),
        cold_start=ColdStart(200_000_000, 220_000_000, 300_000_000, 301_000_000 + seed),
        rss_bytes=50_000_000,
        peak_rss_bytes=52_000_000,
        cpu_ns=int(n * us * 1000),
        wall_ns=int(n * us * 1000),
        preemptions=1,
    )


def result(us=100.0, engine="ai-edge-litert", variant="tiny-int8", threads=1, processes=5, seed=0, **changes):
    """One variant on one engine."""
    made = Result(
        engine=engine,
        engine_version=f"{engine} 2.3.0",
        variant=variant,
        threads=threads,
        runs=tuple(process(us, seed=100 * seed + number) for number in range(processes)),
        before=GOOD,
        after=GOOD,
        others_cpus=0.01,
        stolen_cpus=0.0,
    )
    return dataclasses.replace(made, **changes)


def counted(**changes):
    """Instructions of one variant on one engine: 1000 per window."""
    facts = {
        "counter": "valgrind-3.19.0",
        "architecture": "x86_64",
        "engine": "ai-edge-litert",
        "engine_version": "ai-edge-litert 2.3.0",
        "variant": "tiny-int8",
        "few_windows": 1024,
        "many_windows": 2048,
        "few": (1_000_000, 1_000_100),
        "many": (2_024_000, 2_024_050),
    }
    return InstructionCount(**(facts | changes))


def benchmark(*results, machine=PI_4, findings=(), instructions=(), **changes):
    """A whole file."""
    made = BenchmarkFile(
        schema="2.0",
        created="2026-03-01T12:00:00+00:00",
        bundle=BundleFacts("ab" * 32, "pump", "1", 1),
        profile="rpi-4b",
        sample_period_s=1.0,
        deadline_s=0.1,
        settings=Settings(2000, 5, 200, 60.0),
        versions={"edge-ad": "0.1.0", "numpy": "2.2.6"},
        machine_before=machine,
        machine_after=machine,
        results=results,
        instructions=instructions,
        trust=trust_of(findings),
        findings=tuple(findings),
    )
    return dataclasses.replace(made, **changes)
