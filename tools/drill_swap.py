"""Swap the bundle under load, many times: is a sample lost, and does every decision say what made it?

An agent follows a file that grows by hundreds of samples a second. Build after build is installed and
activated in its store, with a SIGHUP each. In the end, every sample must have one decision, in order, each
with the label of a bundle, the labels in the order of the builds, and none without a score after the first
window. Exits with 1 otherwise.

Usage: drill_swap.py [--swaps 100] [--rate 400] [--output FILE.json]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
import tempfile
import threading
from itertools import pairwise
from pathlib import Path
from time import monotonic, sleep

from agent_rig import TOY, AgentProcess, ToyStream, records, wait_for

from edge_ad.bench.machine import machine_facts
from edge_ad.bundle import bundle as bundles
from edge_ad.bundle.archive import MANIFEST, deserialize
from edge_ad.bundle.codec import encode
from edge_ad.runtime.store.store import Store


def main() -> int:
    """Swap, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--swaps", type=int, default=100)
    parser.add_argument("--rate", type=float, default=400.0)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edge-ad-drill-") as name:
        result = drill(Path(name), options.swaps, options.rate)
    print(json.dumps(result))
    if options.output is not None:
        options.output.write_text(json.dumps({"machine": encode(machine_facts()), **result}, indent=1))
    good = result["decisions"] == result["samples"] and not result["out_of_order"]
    return 0 if good and not result["without_score"] and result["bundles"] == options.swaps + 1 else 1


def drill(folder: Path, n_swaps: int, rate: float) -> dict[str, object]:
    """Swap, then count."""
    stream = ToyStream()
    store = Store(folder / "store")
    labels = [install(store, 1)]
    path = folder / "samples.csv"
    written = [0]
    stopped = threading.Event()

    def write() -> None:
        with path.open("w") as file:
            file.write(stream.header)
            while not stopped.is_set():
                file.write(stream.line(written[0]))
                file.flush()
                written[0] += 1
                sleep(1 / rate)

    agent = AgentProcess(
        folder,
        f'[agent]\nspool = "{folder}/spool.db"\n[[asset]]\nname = "toy"\nsource = {{ kind = "follow", '
        f'path = "{path}" }}\n[[sink]]\nkind = "decisions"\npath = "{folder}/decisions.ndjson"\n'
        "max_mb = 1000\n",
    ).start()
    writer = threading.Thread(target=write)
    writer.start()
    started = monotonic()
    try:
        for build in range(2, n_swaps + 2):
            labels.append(install(store, build))
            agent.signal(signal.SIGHUP)
            taken_over = f"build {build} ({labels[-1]}) has taken over"
            wait_for(lambda line=taken_over: line in agent.log(), taken_over)
    finally:
        stopped.set()
        writer.join()
    seconds = monotonic() - started
    decisions = folder / "decisions.ndjson"
    wait_for(lambda: sum(1 for _ in records(decisions)) >= written[0], "every sample is decided on")
    code = agent.stop()
    made = list(records(decisions))
    expected = [stream.line(number).split(";", 1)[0] for number in range(written[0])]
    order = {label: number for number, label in enumerate(labels)}
    by = [order[str(decision["bundle"])] for decision in made]
    return {
        "swaps": n_swaps,
        "seconds": round(seconds, 1),
        "samples": written[0],
        "decisions": len(made),
        "out_of_order": sum(d["time"] != e for d, e in zip(made, expected, strict=False))
        + sum(b < a for a, b in pairwise(by)),
        "without_score": sum(decision["score"] is None for decision in made[9:]),
        "bundles": len(set(by)),
        "exit_code": code,
    }


def install(store: Store, build: int) -> str:
    """The toy bundle with another build number, active; its label."""
    data = TOY.read_bytes()
    manifest = dataclasses.replace(bundles.unpack(data).manifest, build_number=build)
    members = {name: content for name, content in deserialize(data).items() if name != MANIFEST}
    state = store.install_bytes(bundles.pack(manifest, members), f"build {build}")
    newest = state.generations[-1].bundle_id
    store.activate(state.asset, newest)
    return newest[:12]


if __name__ == "__main__":
    sys.exit(main())
