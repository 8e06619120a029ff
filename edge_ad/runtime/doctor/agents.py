"""Agents that run now: two of them must not share a spool."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_ad.runtime.doctor.agent_files import read_agent_files
from edge_ad.runtime.doctor.finding import Finding, fail, ok, skip
from edge_ad.runtime.doctor.machine import Machine


@dataclass(frozen=True)
class RunningAgent:
    """A process that is an agent."""

    pid: int
    spool: str
    """File of the events that are not delivered yet; the configuration where that cannot be read."""


def agents(machine: Machine, default_store: Path) -> Iterator[Finding]:
    """Which run, and whether each has a spool of its own."""
    running = list(running_agents(machine, default_store))
    by_spool: dict[str, list[int]] = {}
    for agent in running:
        by_spool.setdefault(agent.spool, []).append(agent.pid)
    for spool, pids in by_spool.items():
        if len(pids) > 1:
            yield fail(
                "agents",
                f"{len(pids)} agents share {spool}: processes {', '.join(map(str, pids))}. Whatever one of "
                "them begins, the other disturbs",
                f"ps -o pid,lstart,args -p {','.join(map(str, pids))}",
                f"kill {pids[-1]}  # or the other one, whichever should not be",
            )
    if not running:
        yield skip("agents", "none runs")
    elif len(by_spool) == len(running):
        yield ok("agents", ", ".join(f"process {agent.pid} with {agent.spool}" for agent in running))


def running_agents(machine: Machine, default_store: Path) -> Iterator[RunningAgent]:
    """All of them, as far as their command lines can be read."""
    for path in machine.matches("/proc/[0-9]*/cmdline"):
        pid = path.split("/")[2]
        words = _arguments((machine.text(path) or "").split("\0"))
        if words is not None and pid.isascii() and pid.isdigit():
            folder = machine.link(f"/proc/{pid}/cwd") or "/"
            yield RunningAgent(int(pid), _spool(words, folder, default_store))


def _arguments(words: list[str]) -> list[str] | None:
    """What follows `edge-ad agent`, or `python -m edge_ad agent`, on a command line; None for all others."""
    for i, (word, following) in enumerate(itertools.pairwise(words)):
        if following == "agent" and word.rpartition("/")[2] in ("edge-ad", "edge_ad"):
            return None if "--check" in words else words[i + 2 :]
    return None


def _spool(words: list[str], folder: str, default_store: Path) -> str:
    store, config, rest = str(default_store), "", iter(words)
    for word in rest:
        if word == "--store":
            store = next(rest, store)
        elif word.startswith("--store="):
            store = word.partition("=")[2]
        elif not word.startswith("-"):
            config = config or word
    path = os.path.join(folder, config)
    files = read_agent_files(Path(path))
    if files.problem:  # of another account, it may be: the same file is then the same spool
        return path
    return os.path.join(folder, files.spool or os.path.join(store, "agent", "spool.db"))
