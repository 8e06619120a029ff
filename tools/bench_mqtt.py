"""Does an MQTT stream of 1,000 messages a second get through to decisions, and how late are they?

A process of its own publishes a message per sample, with QoS 1, to a mosquitto that is configured as Debian
does, but for its listener. The source reads them as the agent does, a decoder and a detector decide on every
one, and every batch is acknowledged. Every sample carries a time stamp of its own, so that none is lost
unseen. Lag is from the moment at which the publisher handed a message to its library to the decision on it,
by a clock that both processes share. Writes JSON with raw lags of every 10th message; ends with exit code 1
where a message is lost.

Usage: bench_mqtt.py BUNDLE OUTPUT [--seconds 60] [--rate 1000] [--qos 1] [--protocol 5] [--stall 0]
                     [--set "max_queued_messages 20000"]

`--stall` lets the reader pause for so many seconds in the middle.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_ad.bench.machine import machine_facts
from edge_ad.bundle import bundle as bundles
from edge_ad.bundle.codec import encode
from edge_ad.runtime.detector import Detector
from edge_ad.runtime.monitor import Monitor
from edge_ad.runtime.mqtt.brokers import Brokers
from edge_ad.runtime.mqtt.options import BrokerOptions
from edge_ad.runtime.process import cpu_seconds, resident_bytes
from edge_ad.runtime.sources.decoder import FormatOptions, open_decoder
from edge_ad.runtime.sources.mqtt import MqttSourceOptions, open_source
from edge_ad.runtime.sources.source import SourceContext
from edge_ad.runtime.troubles import Troubles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_ad.bundle.bundle import Bundle

TOPIC = "bench/samples"
_START = datetime(2026, 1, 1)
_SILENCE_S = 5.0
"""After the last message, before what is missing counts as lost."""
_RAW_EVERY = 10


# --- mosquitto ----------------------------------------------------------------------------------------------


@contextmanager
def mosquitto(settings: list[str]) -> Iterator[tuple[int, str]]:
    """One of its own, on a free port; yields that and its version."""
    program = shutil.which("mosquitto", path=f"/usr/sbin:{os.environ.get('PATH', '')}")
    if program is None:
        sys.exit("needs mosquitto")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        # As /etc/mosquitto/mosquitto.conf of the package, and a listener: without, it takes no login.
        lines = [
            "persistence true",
            f"persistence_location {folder}/",
            f"log_dest file {folder}/mosquitto.log",
        ]
        lines += [
            f"user {getpass.getuser()}",
            *settings,
            f"listener {port} 127.0.0.1",
            "allow_anonymous true",
        ]
        config = Path(folder) / "mosquitto.conf"
        config.write_text("\n".join(lines) + "\n")
        process = subprocess.Popen([program, "-c", config], stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.05)
            log = (Path(folder) / "mosquitto.log").read_text()
            yield port, log.partition("version ")[2].partition(" ")[0]
        finally:
            process.terminate()
            process.wait(10)


# --- the publisher, a process of its own --------------------------------------------------------------------


def payload(number: int, period_s: float, sent: float, values: list[float]) -> str:
    """A sample as CSV: its time by the bundle's period, when it was sent, the channels."""
    stamp = _START + timedelta(seconds=number * period_s)
    return ";".join([stamp.isoformat(timespec="milliseconds"), repr(sent), *(f"{x:.6g}" for x in values)])


def publish(port: int, bundle_path: Path, rate: float, seconds: float, qos: int) -> None:
    """Send messages at a steady rate; prints how many, and how late the last one was."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    bundle = bundles.read(bundle_path)
    rows, period_s = samples(bundle), bundle.manifest.sample_period_s
    client = Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1", port)
    client.loop_start()
    while not client.is_connected():
        time.sleep(0.01)
    n = int(rate * seconds)
    start = time.monotonic() + 0.1
    late, answer = 0.0, None
    for number in range(n):
        due = start + number / rate
        while (left := due - time.monotonic()) > 0:
            time.sleep(left)
        late = max(late, time.monotonic() - due)
        values = rows[number % len(rows)]
        answer = client.publish(TOPIC, payload(number, period_s, time.monotonic(), values), qos)
    if answer is not None:
        answer.wait_for_publish(60)
    took = time.monotonic() - start
    client.disconnect()
    client.loop_stop()
    print(json.dumps({"sent": n, "took_s": took, "largest_delay_s": late}))


def samples(bundle: Bundle) -> list[list[float]]:
    """Rows of normal operation."""
    windows = bundle.golden_windows()
    rows: list[list[float]] = windows[: max(1, len(windows) // 2)].reshape(-1, windows.shape[-1]).tolist()
    return rows


# --- the agent's part ---------------------------------------------------------------------------------------


class Reader:
    """Source, decoder and detector, with a note of every message."""

    def __init__(self, bundle: Bundle, rate: float, seconds: float, stall_s: float) -> None:
        self._bundle, self._rate = bundle, rate
        self._n = int(rate * seconds)
        self._stall_s = stall_s
        self.seen = np.zeros(self._n, np.int32)
        self.lags = np.full(self._n, np.nan, np.float32)
        self.largest_queue = 0
        self.largest_batch = 0
        self.states: dict[str, int] = {}
        self.log: list[str] = []
        self.troubles = Troubles(self.log.append)
        self.cpu_s = self.busy_s = self.elapsed_s = 0.0
        self.resident = (0, 0)

    async def run(self, port: int, protocol: Any, qos: Any, publisher: list[str]) -> dict[str, Any]:
        """Read until all messages have come, or nothing more does; what the publisher said at its end."""
        options = BrokerOptions("127.0.0.1", port, protocol)
        brokers = Brokers({"bench": options}, "bench", self.troubles)
        note = self.troubles.at("pump")
        context = SourceContext("pump", 1 / self._rate, None, note, lambda text: None)
        source = open_source(MqttSourceOptions("bench", TOPIC, qos), context, brokers)
        while not source.is_subscribed:
            await asyncio.sleep(0.01)
        names = [channel.name for channel in self._bundle.manifest.channels]
        layout = self._bundle.manifest.input
        form = FormatOptions(
            separator=";", decimal=".", columns=(layout.time_column, "sent", *names), time_format="iso"
        )
        decoder = open_decoder(form, layout, names, note)
        monitor = Monitor(self._bundle, Detector.load(self._bundle))
        process = await asyncio.create_subprocess_exec(*publisher, stdout=asyncio.subprocess.PIPE)
        began, cpu_before, first = time.monotonic(), cpu_seconds(), resident_bytes()
        n, stall_at = 0, self._n // 2 if self._stall_s else self._n + 1
        while n < self._n:
            try:
                lines = await asyncio.wait_for(source.read(), _SILENCE_S + self._stall_s)
            except TimeoutError:
                break
            self.largest_queue = max(self.largest_queue, source.queued + len(lines))
            self.largest_batch = max(self.largest_batch, len(lines))
            start = time.monotonic()
            for line in lines:
                sample = decoder.decode(line)
                if sample is None:
                    continue
                decision = monitor.take(sample)
                number = round((sample.time - _EPOCH) / self._bundle.manifest.sample_period_s)
                self.seen[number] += 1
                self.lags[number] = time.monotonic() - float(line.text.split(";")[1])
                self.states[decision.state] = self.states.get(decision.state, 0) + 1
                n += 1
            source.done()
            self.busy_s += time.monotonic() - start
            if n >= stall_at:
                stall_at = self._n + 1
                await asyncio.sleep(self._stall_s)
        self.elapsed_s = time.monotonic() - began
        self.cpu_s = cpu_seconds() - cpu_before
        self.resident = first, resident_bytes()
        said, _ = await process.communicate()
        await source.close()
        await brokers.close()
        monitor.close()
        return dict(json.loads(said))


_EPOCH = (_START - datetime(1970, 1, 1)).total_seconds()


def percentiles(lags: Any) -> dict[str, float]:
    """Milliseconds."""
    found = lags[~np.isnan(lags)] * 1000
    if not len(found):
        return {}
    p50, p90, p99, p999 = np.percentile(found, [50, 90, 99, 99.9]).tolist()
    return {"p50": p50, "p90": p90, "p99": p99, "p99.9": p999, "max": float(found.max())}


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--qos", type=int, default=1, choices=[0, 1])
    parser.add_argument("--protocol", default="5", choices=["5", "3.1.1"])
    parser.add_argument("--stall", type=float, default=0.0)
    parser.add_argument("--set", action="append", default=[], metavar="LINE", help="of mosquitto.conf")
    parser.add_argument("--publish", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.publish is not None:
        publish(chosen.publish, chosen.bundle, chosen.rate, chosen.seconds, chosen.qos)
        return 0
    bundle = bundles.read(chosen.bundle)
    reader = Reader(bundle, chosen.rate, chosen.seconds, chosen.stall)
    with mosquitto(chosen.set) as (port, version):
        publisher = [sys.executable, *sys.argv, "--publish", str(port)]
        said = asyncio.run(reader.run(port, chosen.protocol, chosen.qos, publisher))
    lost, repeated = int((reader.seen == 0).sum()), int(np.maximum(reader.seen - 1, 0).sum())
    lags = percentiles(reader.lags)
    cpu_share = reader.cpu_s / reader.elapsed_s
    print(
        f"mosquitto {version}, MQTT {chosen.protocol}, QoS {chosen.qos}: {said['sent']:,} messages in "
        f"{said['took_s']:.1f} s; lost {lost}, repeated {repeated}; lag p50 {lags.get('p50', 0):.2f} ms, p99 "
        f"{lags.get('p99', 0):.2f} ms, max {lags.get('max', 0):.1f} ms; largest queue "
        f"{reader.largest_queue}; {100 * cpu_share:.0f} % of a processor; resident "
        f"{reader.resident[1] / 1e6:.1f} MB"
    )
    for line in reader.log:
        print(line)
    record = {
        "schema": "1.0",
        "machine": encode(machine_facts()),
        "mosquitto": version,
        "settings": chosen.set,
        "protocol": chosen.protocol,
        "qos": chosen.qos,
        "rate_per_s": chosen.rate,
        "seconds": chosen.seconds,
        "stall_s": chosen.stall,
        "publisher": said,
        "lost": lost,
        "repeated": repeated,
        "lag_ms": lags,
        "largest_queue": reader.largest_queue,
        "largest_batch": reader.largest_batch,
        "cpu_share": cpu_share,
        "deciding_share": reader.busy_s / reader.elapsed_s,
        "resident_bytes": reader.resident,
        "states": reader.states,
        "log": reader.log,
        "raw_lag_s": [None if np.isnan(x) else round(float(x), 6) for x in reader.lags[::_RAW_EVERY]],
    }
    chosen.output.write_text(json.dumps(record))
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
