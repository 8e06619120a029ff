"""What the agent takes: memory with one asset and with 64, and 64 assets with ten samples a second each.

Memory: agents with one asset and with 64 that have decided on as many samples of the toy bundle, with the
plain sinks (decisions and events in files), and with what is optional on top (status page, metrics, MQTT).

Load: a process sends each of 64 TCP connections a sample every 100 ms, with the time of its sending; another
follows the decisions as the agent writes them. From sending to decision on file, every one that took longer
than the 100 ms until the next sample has missed its deadline. Processor time is the agent's own.

Writes JSON with raw values. Usage: bench_agent.py [--assets 64] [--seconds 60] [--output FILE.json]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import socket
import sys
import tempfile
import threading
from pathlib import Path
from time import monotonic, sleep, time

from agent_rig import TOY, AgentProcess, Mosquitto, ToyStream, free_port, wait_for

from edge_ad.bench.machine import machine_facts
from edge_ad.bundle import bundle as bundles
from edge_ad.bundle.codec import encode

_MEMORY_SAMPLES = 1500
PERIOD_S = 0.1


def main() -> int:
    """Measure, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--assets", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    result: dict[str, object] = {}
    for name, everything in (("plain", False), ("everything", True)):
        one, many = (resident_kb(n, everything=everything) for n in (1, options.assets))
        result[f"memory_{name}"] = {
            "one_asset_mb": round(one / 1000, 2),
            f"assets_{options.assets}_mb": round(many / 1000, 2),
            "each_further_mb": round((many - one) / (options.assets - 1) / 1000, 3),
        }
        print(json.dumps({name: result[f"memory_{name}"]}), file=sys.stderr)
    result["load"] = load(options.assets, options.seconds)
    print(json.dumps({key: value for key, value in result.items() if key != "raw"}))
    if options.output is not None:
        options.output.write_text(json.dumps({"machine": encode(machine_facts()), **result}, indent=1))
    return 0


def resident_kb(n_assets: int, *, everything: bool) -> int:
    """Of an agent whose assets have decided on so many samples each."""
    with tempfile.TemporaryDirectory(prefix="edge-ad-bench-") as name:
        folder = Path(name)
        stream = ToyStream()
        path = folder / "samples.csv"
        path.write_text(stream.header + "".join(map(stream.line, range(_MEMORY_SAMPLES))))
        config = [f'[agent]\nspool = "{folder}/spool.db"\nsave_every_s = 1\n', *sinks(folder)]
        for number in range(n_assets):
            source = f'{{ kind = "follow", path = "{path}" }}'
            config.append(f'[[asset]]\nname = "a{number}"\nbundle = "{TOY}"\nsource = {source}\n')
        broker = None
        if everything:
            broker = Mosquitto(folder).start()
            config.append(
                f'[broker.b]\nhost = "127.0.0.1"\nport = {broker.port}\n[[sink]]\nkind = "mqtt"\n'
                f'broker = "b"\nhome_assistant = true\n[http]\nlisten = "127.0.0.1:{free_port()}"\n'
            )
        agent = AgentProcess(folder, "".join(config)).start()
        decisions = folder / "decisions.ndjson"
        wait_for(lambda: n_lines(decisions) >= n_assets * _MEMORY_SAMPLES, "all is decided on", 300)
        sleep(3)
        resident = agent.resident_kb()
        agent.stop()
        if broker is not None:
            broker.kill()
        return resident


def n_lines(path: Path) -> int:
    """Of a file that may not be there yet."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def sinks(folder: Path) -> list[str]:
    """Decisions and events in files."""
    return [
        f'[[sink]]\nkind = "decisions"\npath = "{folder}/decisions.ndjson"\nmax_mb = 10000\n',
        f'[[sink]]\nkind = "events"\npath = "{folder}/events.ndjson"\n',
    ]


def load(n_assets: int, seconds: float) -> dict[str, object]:
    """Latency and processor time under load."""
    with tempfile.TemporaryDirectory(prefix="edge-ad-bench-") as name:
        folder = Path(name)
        port = free_port()
        period = bundles.read(TOY).manifest.sample_period_s
        sender = multiprocessing.get_context("spawn").Process(
            target=send, args=(port, n_assets, seconds + 5), daemon=True
        )
        sender.start()
        config = [f'[agent]\nspool = "{folder}/spool.db"\nsave_every_s = 30\n', *sinks(folder)]
        for number in range(n_assets):
            source = f'{{ kind = "tcp", host = "127.0.0.1", port = {port} }}'
            config.append(
                f'[[asset]]\nname = "a{number}"\nbundle = "{TOY}"\nsource = {source}\n'
                f'format = {{ time_format = "seconds" }}\n'
            )
        agent = AgentProcess(folder, "".join(config)).start()
        decisions = folder / "decisions.ndjson"
        wait_for(decisions.exists, "the first decision", 60)
        ways = follow(decisions, 5.0)  # until all are connected
        cpu, began = agent.cpu_s(), monotonic()
        ways = follow(decisions, seconds - 5)
        cpu, took = agent.cpu_s() - cpu, monotonic() - began
        log = agent.log()
        agent.stop()
        sender.join(20)
    ways.sort()
    return {
        "assets": n_assets,
        "samples_per_s": round(len(ways) / took, 1),
        "nominal_period_s_of_the_bundle": period,
        "cpu_share_of_one_core": round(cpu / took, 4),
        "way_ms": {q: round(1000 * ways[int(len(ways) * q / 100)], 2) for q in (50, 95, 99)},
        "way_max_ms": round(1000 * ways[-1], 2),
        "missed_deadlines": sum(way > PERIOD_S for way in ways),
        "decisions": len(ways),
        "log_lines": log.count("\n"),
    }


def follow(path: Path, seconds: float) -> list[float]:
    """Seconds from the sending of every sample to its decision on file, for decisions written meanwhile."""
    ways: list[float] = []
    rest = b""
    until = monotonic() + seconds
    with path.open("rb") as file:
        file.seek(0, 2)
        file.readline()
        while monotonic() < until:
            sleep(0.002)
            piece = file.read()
            now = time()
            *lines, rest = (rest + piece).split(b"\n")
            ways += [now - float(json.loads(line)["time"]) for line in lines if line.startswith(b"{")]
    return ways


def send(port: int, n_assets: int, seconds: float) -> None:
    """Serve as many connections as there are assets, a sample each every 100 ms, spread over that time."""
    stream = ToyStream()
    with socket.create_server(("127.0.0.1", port), backlog=n_assets) as server:
        server.settimeout(60)
        connections: list[socket.socket] = []

        def accept() -> None:
            while len(connections) < n_assets:
                connection, _ = server.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.sendall(stream.header.encode())
                connections.append(connection)

        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        acceptor.join(60)
        start = monotonic()
        for tick in range(int((seconds + 10) / PERIOD_S) * n_assets):
            due = start + tick * PERIOD_S / n_assets
            if (wait := due - monotonic()) > 0:
                sleep(wait)
            number, asset = divmod(tick, n_assets)
            try:
                connections[asset].sendall(stream.line(number, f"{time():.6f}").encode())
            except OSError:
                return


if __name__ == "__main__":
    sys.exit(main())
