"""Kill an agent, and the broker it tells of alarms, at random moments: is any episode lost?

A writer appends samples with anomalies to a file, rotating it now and then. An agent follows the file and
brings the events of alarm episodes to a real Mosquitto, to which a subscriber listens, and to a file. Both
agent and broker are killed (SIGKILL) at random moments and started again. In the end, everything that was
heard is compared with what an agent says that reads the same samples undisturbed. Exits with 1 where an
event is missing or differs; the same event may come several times, with equal bytes.

Usage: drill_kill.py [--kills 200] [--broker-kills 40] [--seed 0] [--output FILE.json]
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from time import monotonic, sleep

import paho.mqtt.client as paho
from agent_rig import TOY, AgentProcess, Mosquitto, ToyStream, records, wait_for

from edge_ad.bench.machine import machine_facts
from edge_ad.bundle.codec import encode

_SAMPLES_PER_S = 400
_ROTATE_EVERY = 1500
"""Samples."""


class Writer(threading.Thread):
    """Appends samples, in pieces that end anywhere, until told to stop; then the line under way is ended."""

    def __init__(self, path: Path, stream: ToyStream, rng: random.Random) -> None:
        super().__init__(daemon=True)
        self._path, self._stream, self._rng = path, stream, rng
        self.everything = [stream.header]
        self.stopped = threading.Event()

    def run(self) -> None:
        """Write."""
        number = 0
        file = self._path.open("w")
        file.write(self._stream.header)
        while not self.stopped.is_set():
            if number and number % _ROTATE_EVERY == 0:
                file.close()
                for older in range(number // _ROTATE_EVERY - 1, -1, -1):  # as logrotate does: 1 is the newest
                    self._numbered(older).rename(self._numbered(older + 1))
                file = self._path.open("w")
                file.write(self._stream.header)
            line = self._stream.line(number)
            cut = self._rng.randrange(len(line))
            for piece in (line[:cut], line[cut:]):
                file.write(piece)
                file.flush()
            self.everything.append(line)
            number += 1
            sleep(1 / _SAMPLES_PER_S)
        file.close()

    def _numbered(self, age: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{age}") if age else self._path


class Subscriber:
    """Hears events, with a session that the broker keeps."""

    def __init__(self, port: int) -> None:
        self.heard: list[bytes] = []
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id="drill", clean_session=False, protocol=paho.MQTTv311
        )
        self._client.on_connect = lambda client, *_: client.subscribe("edge-ad/drill/+/events", 1)
        self._client.on_message = lambda client, data, message: self.heard.append(message.payload)
        self._client.reconnect_delay_set(1, 1)
        self._client.connect_async("127.0.0.1", port)
        self._client.loop_start()
        wait_for(self._client.is_connected, "the subscriber is connected")

    def close(self) -> None:
        """Listen no more."""
        self._client.disconnect()
        self._client.loop_stop()


def config(folder: Path, source: str, sinks: str) -> str:
    """Of the agent."""
    return f"""
[agent]
name = "drill"
spool = "{folder}/spool.db"
save_every_s = 0.3
[[asset]]
name = "toy"
bundle = "{TOY}"
source = {source}
[[sink]]
kind = "events"
path = "{folder}/events.ndjson"
{sinks}
"""


def main() -> int:
    """Kill, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--broker-kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edge-ad-drill-") as name:
        result = drill(Path(name), options)
    print(json.dumps(result))
    if options.output is not None:
        facts = encode(machine_facts())
        options.output.write_text(json.dumps({"machine": facts, "seed": options.seed, **result}, indent=1))
    return 0 if not result["missing"] and not result["different"] and not result["unknown"] else 1


def drill(folder: Path, options: argparse.Namespace) -> dict[str, object]:
    """Kill, restart, compare."""
    rng = random.Random(options.seed)
    stream = ToyStream(every=61)
    path = folder / "samples.csv"
    mosquitto = Mosquitto(folder).start()
    subscriber = Subscriber(mosquitto.port)
    sinks = (
        f'[broker.b]\nhost = "127.0.0.1"\nport = {mosquitto.port}\n[[sink]]\nkind = "mqtt"\nbroker = "b"\n'
    )
    agent = AgentProcess(folder, config(folder, f'{{ kind = "follow", path = "{path}" }}', sinks))
    writer = Writer(path, stream, rng)
    writer.start()
    broker_kills = set(rng.sample(range(options.kills), min(options.kills, options.broker_kills)))
    started = monotonic()
    for kill in range(options.kills):
        # Half of them while it starts: before, during or after it goes on where it was.
        agent.start(wait=False)
        sleep(rng.uniform(0.0, 1.6) if rng.random() < 0.5 else rng.uniform(0.8, 2.4))
        if kill in broker_kills:
            mosquitto.kill()
            sleep(rng.uniform(0, 0.3))
            if rng.random() < 0.5:
                agent.kill()
                mosquitto.start()
                continue
            mosquitto.start()
            sleep(rng.uniform(0, 0.5))
        agent.kill()
        if sys.stderr.isatty() or kill % 20 == 19:
            print(f"{kill + 1} of {options.kills} kills, {len(subscriber.heard)} events", file=sys.stderr)
    writer.stopped.set()
    writer.join()
    (folder / "all.csv").write_text("".join(writer.everything))
    expected = undisturbed(folder, "all.csv")
    agent.start()
    await_all(agent, subscriber, expected)
    code = agent.stop()
    subscriber.close()
    mosquitto.kill()
    by_mqtt = [json.loads(body) for body in subscriber.heard]
    by_file = list(records(folder / "events.ndjson"))
    return {
        "kills": options.kills,
        "broker_kills": len(broker_kills),
        "seconds": round(monotonic() - started, 1),
        "samples": len(writer.everything) - 1,
        "events": len(expected),
        "missing": len(set(expected) - {e["id"] for e in by_mqtt})
        + len(set(expected) - {e["id"] for e in by_file}),
        "missing_by_file": len(set(expected) - {e["id"] for e in by_file}),
        "unknown": sum(len({e["id"] for e in heard} - set(expected)) for heard in (by_mqtt, by_file)),
        "different": sum(e != expected.get(e["id"], e) for e in [*by_mqtt, *by_file]),
        "twice_by_mqtt": sum(n - 1 for n in Counter(e["id"] for e in by_mqtt).values()),
        "twice_by_file": sum(n - 1 for n in Counter(e["id"] for e in by_file).values()),
        "exit_code": code,
    }


def await_all(agent: AgentProcess, subscriber: Subscriber, expected: dict[str, dict[str, object]]) -> None:
    """Until everything was heard; what is still missing after two minutes will be told."""
    try:
        wait_for(
            lambda: set(expected) <= {json.loads(body)["id"] for body in list(subscriber.heard)},
            "all events were heard",
            120,
        )
    except TimeoutError:
        print(agent.log()[-5000:], file=sys.stderr)


def undisturbed(folder: Path, name: str) -> dict[str, dict[str, object]]:
    """What an agent tells that reads a file from its begin to its end, by id; not what the end causes."""
    place = folder / "undisturbed"
    place.mkdir()
    agent = AgentProcess(place, config(place, f'{{ kind = "file", path = "{folder / name}" }}', ""))
    agent.start()
    agent.process.wait(120)
    events = {str(event["id"]): event for event in records(place / "events.ndjson")}
    last = list(events.values())[-1] if events else None
    # An episode that is open at the end of a file ends with it; that of a stream does not.
    if last is not None and last["change"] == "ended" and last["last"] == last["end"]:
        del events[str(last["id"])]
    return events


if __name__ == "__main__":
    sys.exit(main())
