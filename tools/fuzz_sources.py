"""Send garbled lines through every kind of source and both decoders into a detector.

More than half of the lines are as a device sends them, the others are mutated: garbled cells, binary, quotes,
halves of surrogate pairs, huge numbers, NUL, nesting, lines beyond any length. Every line must come out once
and in order, and be counted bad just where a slow check says so, which shares no code with the decoders.
Whatever goes wrong ends the program with a traceback. Prints counts and rates as JSON.

Usage: fuzz_sources.py [--lines 1000000] [--seed 1] [--only tcp,serial] [--formats csv,ndjson] [--bare]
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import termios
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from fuzz_lines import BAD, BLANK, BLOCK, DATA, GOOD, HEADER, Corpus, SlowCheck

from edge_ad.bundle import bundle as bundles
from edge_ad.bundle.bundle import Bundle
from edge_ad.runtime.detector import Detector
from edge_ad.runtime.sources import followed, serial_line, standard_input, tcp, whole_file
from edge_ad.runtime.sources.decoder import FormatOptions, open_decoder
from edge_ad.runtime.sources.source import LONGEST_LINE, Line, Source, SourceContext

FORMATS = ("csv", "ndjson")
_LEFT_OUT = b"the end of a line that was sent before anybody listened"


# --- sources ----------------------------------------------------------------------------------------


@dataclass
class Bench:
    """What the sources of all kinds are opened with."""

    corpus: Corpus
    folder: Path
    seed: int
    notes: Counter[str]
    n_read: int = 0
    """Lines read so far, for a sender that must not run ahead."""

    def context(self) -> SourceContext:
        """For a source."""
        return SourceContext("fuzz", 1.0, None, self.note, lambda text: None)

    def note(self, kind: str, text: str, n: int = 1) -> None:
        """Count what a source tells."""
        self.notes[kind] += n

    def send(self, put: Callable[[bytes], object], block: int) -> None:
        """Hand over a block piece by piece."""
        for piece in self.corpus.pieces(self.seed + block, block):
            put(piece)


@asynccontextmanager
async def _thread(work: Callable[[], None]) -> Any:
    """Run a sender meanwhile; one that fails is told of by Python, and its lines are missing."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    thread.join(60)


def _put(descriptor: int) -> Callable[[bytes], None]:
    def put(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    return put


@asynccontextmanager
async def _file(bench: Bench) -> Any:
    yield whole_file.open_source(whole_file.FileOptions(str(bench.corpus.path)), bench.context())


@asynccontextmanager
async def _follow(bench: Bench) -> Any:
    path = bench.folder / "followed.csv"

    def write() -> None:
        for block in range(bench.corpus.n_blocks):
            if block % 3 == 2:  # the file is copied and emptied, once all of it was read
                while bench.n_read < block * BLOCK:
                    sleep(0.001)
                path.write_bytes(b"")
            elif block:
                path.rename(path.with_name(f"followed.csv-2026{block:06d}"))
            with path.open("ab", buffering=0) as file:
                bench.send(file.write, block)
            for old in sorted(path.parent.glob("followed.csv-*"))[:-50]:
                old.unlink()

    path.touch()
    options = followed.FollowOptions(str(path), poll_s=0.001)
    async with _thread(write):
        yield followed.open_source(options, bench.context())


@asynccontextmanager
async def _stdin(bench: Bench) -> Any:
    out, into = os.pipe()

    def write() -> None:
        for block in range(bench.corpus.n_blocks):
            bench.send(_put(into), block)
        os.close(into)

    async with _thread(write):
        yield standard_input.StandardInput(bench.context(), out)
    os.close(out)


@asynccontextmanager
async def _tcp(bench: Bench) -> Any:
    def write() -> None:
        for block in range(bench.corpus.n_blocks):
            connection, _ = server.accept()
            with connection:
                bench.send(connection.sendall, block)

    with socket.create_server(("127.0.0.1", 0)) as server:
        options = tcp.TcpOptions("127.0.0.1", server.getsockname()[1])
        backoff = tcp.Pause(0.0001)
        async with _thread(write):
            yield tcp.TcpLines(options, bench.context(), backoff)


@asynccontextmanager
async def _serial(bench: Bench) -> Any:
    master, slave = os.openpty()

    def write() -> None:
        while termios.tcgetattr(slave)[3] & termios.ICANON or termios.tcgetattr(slave)[6][termios.VMIN] != 1:
            sleep(0.001)
        _put(master)(_LEFT_OUT + b"\n")
        for block in range(bench.corpus.n_blocks):
            bench.send(_put(master), block)

    async with _thread(write):
        yield serial_line.open_source(serial_line.SerialOptions(os.ttyname(slave)), bench.context())
    os.close(master)
    os.close(slave)


@asynccontextmanager
async def _mqtt(bench: Bench) -> Any:
    """Through a mosquitto of its own, with one or many lines to a message."""
    mqtt = importlib.import_module("edge_ad.runtime.sources.mqtt")
    brokers = importlib.import_module("edge_ad.runtime.mqtt.brokers")
    options = importlib.import_module("edge_ad.runtime.mqtt.options")
    troubles = importlib.import_module("edge_ad.runtime.troubles").Troubles(lambda text: None)
    client = importlib.import_module("paho.mqtt.client")
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    config = bench.folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_packet_size 20000000\n")
    program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        raise SystemExit("kind mqtt needs mosquitto")
    broker = subprocess.Popen([program, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ready = threading.Event()

    def publish() -> None:
        ready.wait()
        publisher = client.Client(client.CallbackAPIVersion.VERSION2, "fuzz-publisher")
        publisher.connect("127.0.0.1", port)
        publisher.loop_start()
        sent, message, chance = 0, [], random.Random(bench.seed)
        for raw, kind in bench.corpus.expected():
            # A mark of the byte order is left out at the beginning of a message.
            if len(message) > chance.choice((0, 0, 10, 40)) and not raw.startswith(b"\xef\xbb\xbf"):
                publisher.publish("fuzz", b"\n".join(message), qos=1)
                message = []
                while sent - bench.n_read > 800:  # so that the broker need not drop what it holds
                    sleep(0.0005)
            message.append(raw)
            sent += kind != BLANK
        publisher.publish("fuzz", b"\n".join(message), qos=1).wait_for_publish(60)
        publisher.disconnect()
        publisher.loop_stop()

    try:
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            await asyncio.sleep(0.01)
        hub = brokers.Brokers({"plant": options.BrokerOptions("127.0.0.1", port)}, "fuzz", troubles)
        source = mqtt.open_source(mqtt.MqttSourceOptions("plant", "fuzz"), bench.context(), hub)
        async with _thread(publish):
            while not source.is_subscribed:
                await asyncio.sleep(0.01)
            ready.set()
            yield source
        await hub.close()
    finally:
        broker.terminate()
        broker.wait()


KINDS = {
    "file": _file,
    "follow": _follow,
    "stdin": _stdin,
    "tcp": _tcp,
    "serial": _serial,
    "mqtt": _mqtt,
}


# --- the way through --------------------------------------------------------------------------------


class Judge:
    """Takes what comes out, and compares it with what went in."""

    def __init__(self, bench: Bench, kind: str, bundle: Bundle) -> None:
        corpus = bench.corpus
        self._expected: Iterator[tuple[bytes, str]] = corpus.expected()
        # MQTT leaves empty lines out; neither it nor a serial line gives a first line that may be a header.
        if kind == "mqtt":
            self._expected = (pair for pair in self._expected if pair[1] != BLANK)
        form = FormatOptions(corpus.form, columns=self._columns(corpus, kind))  # type: ignore[arg-type]
        self._decoder = open_decoder(form, corpus.lines.layout, corpus.lines.channels, bench.note)
        self._detector = Detector.load(bundle)
        self.counts: Counter[str] = Counter()
        self.states: Counter[str] = Counter()

    @staticmethod
    def _columns(corpus: Corpus, kind: str) -> tuple[str, ...]:
        if corpus.form != "csv" or kind not in ("mqtt", "serial"):
            return ()
        return tuple(corpus.lines.header.decode().split(corpus.lines.layout.separator))

    def take(self, lines: Sequence[Line]) -> None:
        """The next lines."""
        for line in lines:
            raw, kind = next(self._expected)
            where = f"line {sum(self.counts.values()) + 1}, {raw[:200]!r}"
            if len(raw) <= LONGEST_LINE:
                text = line.text.rstrip("\r")  # MQTT leaves some
                assert text == SlowCheck.text(raw), f"{where}: came as {line.text[:200]!r}"
                assert line.problem is None, f"{where}: {line.problem}"
            sample = self._decoder.decode(line)
            if sample is None:
                assert kind in (BLANK, HEADER), f"{where}: is {kind}, and no sample came of it"
                self.counts[kind] += 1
                continue
            found = GOOD if sample.problem is None else BAD
            assert found == kind, f"{where}: is {kind}, and was decoded to {sample}"
            json.dumps([sample.stamp, sample.problem]).encode()
            (sample.stamp + (sample.problem or "")).encode()
            self.counts[kind] += 1
            decision = self._detector.push(sample.values, sample.time, sample.problem, sample.arrived)
            self.states[decision.state] += 1

    def take_bare(self, lines: Sequence[Line]) -> None:
        """The next lines, decoded and no more."""
        for line in lines:
            sample = self._decoder.decode(line)
            self.counts["none" if sample is None else GOOD if sample.problem is None else BAD] += 1

    def end(self) -> None:
        """Nothing more comes."""
        assert next(self._expected, None) is None, "lines are missing at the end"


async def _fuzz(kind: str, corpus: Corpus, bundle: Bundle, folder: Path, seed: int, *, bare: bool) -> Any:
    bench = Bench(corpus, folder, seed, Counter())
    judge = Judge(bench, kind, bundle)
    n = len(corpus.kinds) - (corpus.kinds.count(BLANK) if kind == "mqtt" else 0)
    async with AsyncExitStack() as stack:
        source: Source = await stack.enter_async_context(KINDS[kind](bench))
        start = perf_counter()
        while bench.n_read < n:
            async with asyncio.timeout(60):
                lines = await source.read()
            assert lines, f"{n - bench.n_read} lines are missing at the end"
            (judge.take_bare if bare else judge.take)(lines)
            source.done()
            bench.n_read += len(lines)
        seconds = perf_counter() - start
        await source.close()
    if not bare:
        judge.end()
    return {
        "kind": kind,
        "format": corpus.form,
        "lines": bench.n_read,
        "bytes": corpus.blocks[-1],
        "samples": judge.counts[GOOD] + judge.counts[BAD],
        "bad": judge.counts[BAD],
        "blank": judge.counts[BLANK],
        "headers": judge.counts[HEADER],
        "states": dict(judge.states),
        "notes": dict(bench.notes),
        "seconds": round(seconds, 3),
        "lines_per_s": round(bench.n_read / seconds),
    }


def main() -> int:
    """Make the lines, send them through every kind, print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lines", type=int, default=1_000_000, help="per kind and format (1000000)")
    parser.add_argument("--seed", type=int, default=1, help="of everything (1)")
    parser.add_argument("--only", default=",".join(KINDS), help=f"kinds ({','.join(KINDS)})")
    parser.add_argument("--formats", default=",".join(FORMATS), help=f"formats ({','.join(FORMATS)})")
    parser.add_argument("--bare", action="store_true", help="no checks and no detector, for the rate alone")
    arguments = parser.parse_args()
    kinds, formats = arguments.only.split(","), arguments.formats.split(",")
    if not set(kinds) <= set(KINDS) or not set(formats) <= set(FORMATS):
        parser.error(f"kinds are {','.join(KINDS)}; formats are {','.join(FORMATS)}")
    bundle, rows = bundles.read(DATA / "toy.edgead"), []
    with tempfile.TemporaryDirectory() as folder:
        for form in formats:
            print(f"{form}: making {arguments.lines:,} lines …", file=sys.stderr, flush=True)
            corpus = Corpus.write(Path(folder) / form, bundle, form, arguments.lines, arguments.seed)
            for kind in kinds:
                own = Path(folder) / f"{kind}-{form}"
                own.mkdir()
                row = asyncio.run(_fuzz(kind, corpus, bundle, own, arguments.seed, bare=arguments.bare))
                print(f"{form}: {kind}: {row['lines_per_s']:,} lines/s", file=sys.stderr, flush=True)
                rows.append(row)
                shutil.rmtree(own)
    print(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
