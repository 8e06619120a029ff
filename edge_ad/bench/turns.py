"""Timing several calls against each other on a machine that is not always equally fast."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter_ns


def take_turns(calls: Mapping[str, Callable[[], object]], *, rounds: int, each: int) -> dict[str, list[int]]:
    """Raw nanoseconds by name: in every round each is called `each` times in a row."""
    raw: dict[str, list[int]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            for _ in range(each):
                start = perf_counter_ns()
                call()
                raw[name].append(perf_counter_ns() - start)
    return raw
