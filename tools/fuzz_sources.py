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
import csv
import importlib
import json
import math
import os
import random
import re
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
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from edge_ad.bundle import bundle as bundles
from edge_ad.bundle.bundle import Bundle
from edge_ad.runtime.detector import Detector
from edge_ad.runtime.sources import followed, serial_line, standard_input, tcp, whole_file
from edge_ad.runtime.sources.decoder import FormatOptions, open_decoder
from edge_ad.runtime.sources.source import LONGEST_LINE, Line, Source, SourceContext

DATA = Path(__file__).resolve().parents[1] / "tests" / "data"
FORMATS = ("csv", "ndjson")
BLOCK = 5000
"""Lines after which a file is rotated and a connection closed; in CSV, a header follows."""
GOOD, BAD, BLANK, HEADER = "gb-h"
_LEFT_OUT = b"the end of a line that was sent before anybody listened"
_START = datetime(2026, 1, 5)


# --- lines ------------------------------------------------------------------------------------------


class Lines:
    """Lines in one format, good and mutated; the same for the same seed."""

    def __init__(self, bundle: Bundle, form: str, seed: int) -> None:
        self._random = random.Random(f"{form} {seed}")
        self.layout = bundle.manifest.input
        self.channels = [channel.name for channel in bundle.manifest.channels]
        rows = (DATA / "toy.csv").read_text().splitlines()
        self._columns = rows[0].split(self.layout.separator)
        self._rows = [row.split(self.layout.separator) for row in rows[1:31]]
        self._form = form
        self._second = 0

    @property
    def header(self) -> bytes:
        """The line of column names."""
        return self.layout.separator.join(self._columns).encode()

    def block(self, n: int) -> list[bytes]:
        """So many lines, a header first where the format has one; none has a line end in it."""
        lines = [self.header] if self._form == "csv" else []
        while len(lines) < n:
            # By turns, so that windows fill now and then.
            share = self._random.choice((0, 0.1, 0.9))
            for _ in range(min(self._random.randrange(1, 60), n - len(lines))):
                line = self._mutated() if self._random.random() < share else self._good()
                lines.append(line.replace(b"\n", b" "))
        return lines

    def _good(self) -> bytes:
        cells = self._cells()
        if self._form == "csv":
            return self.layout.separator.join(cells).encode() + b"\r" * (self._random.random() < 0.1)
        return json.dumps(self._fields(cells)).encode()

    def _cells(self) -> list[str]:
        self._second += 1
        stamp = _START + timedelta(seconds=self._second)
        return [str(stamp), *self._rows[self._second % len(self._rows)][1:]]

    def _fields(self, cells: list[str]) -> dict[str, Any]:
        fields: dict[str, Any] = {"datetime": cells[0]}
        return fields | {
            name: float(cell) for name, cell in zip(self._columns[1:], cells[1:], strict=True) if cell
        }

    def _mutated(self) -> bytes:
        chance = self._random.random()
        if chance < 0.00002:
            return self._random.randbytes(1000) * (LONGEST_LINE // self._random.choice((500, 1001)))
        if chance < 0.0002:
            return self._random.choice(_MONSTERS)
        if chance < 0.02:
            return self._random.choice((b"", b" ", b"\r", b"\t \r", self.header))
        if chance < 0.1:
            return self._random.randbytes(self._random.randrange(200))
        if chance < 0.6:
            return self._with_other_cells()
        line = bytearray(self._good())
        for _ in range(self._random.choice((1, 1, 1, 2, 5))):
            self._garble(line)
        return bytes(line)

    def _with_other_cells(self) -> bytes:
        cells = self._cells()
        if self._form == "csv":
            for _ in range(self._random.choice((1, 1, 2))):
                cells[self._random.randrange(len(cells))] = self._random.choice(_CELLS)
            return self.layout.separator.join(cells).encode("utf-8", "surrogatepass")
        fields = {json.dumps(name): json.dumps(value) for name, value in self._fields(cells).items()}
        for _ in range(self._random.choice((1, 1, 2))):
            name = self._random.choice(list(fields))
            match self._random.randrange(5):
                case 0:
                    del fields[name]
                case 1:
                    fields[name] += f", {name}: 1.5"  # once more
                case 2:
                    fields['"more"'] = self._random.choice(_VALUES)
                case _:
                    fields[name] = self._random.choice(_VALUES)
        body = ", ".join(f"{name}: {value}" for name, value in fields.items())
        return ("{" + body + "}" + self._random.choice(_AFTER)).encode("utf-8", "surrogatepass")

    def _garble(self, line: bytearray) -> None:
        at = self._random.randrange(len(line) + 1)
        end = at + self._random.choice((1, 1, 2, 8, 64))
        match self._random.randrange(6):
            case 0:
                line[at : at + 1] = self._random.randbytes(1)
            case 1:
                del line[at:end]
            case 2:
                line[at:at] = line[at:end]
            case 3:
                line[at:end] = self._random.randbytes(end - at)
            case 4:
                line[at:at] = self._random.choice(_PIECES)
            case _:
                del line[at:]


_CELLS = [
    *("", " ", "nan", "-inf", "Infinity", "1e999", "-1e-999", "1_0", "0x1f", "1,5", "1.5.2", "--1", "1e"),
    *(".", "+.5", " 7 ", "٣", "²", "½", "9" * 400, "1" * 5000, "true", "None", "e1", "-1", ";", ";;", "\r1"),
    *('"', '"1"', '"1', '1"2', '"1;2"', "\0", "1\0", "\ufeff1", "\u00a01", "\ud800", "\x1b[2J", "\x7f", "💧"),
    *("2026-13-45", "2026-01-05T08:00Z", "2026-01-05 08:00:00." + "1" * 500, "1e308", "1e-320", "a" * 300),
]
_VALUES = [
    *("null", "true", "false", "NaN", "-Infinity", "1e999", "9" * 400, "9" * 5000, "-0", "1e308", "1e-400"),
    *('"1.5"', '""', '"\\ud800"', '"\\u0000"', "[]", "[1]", "{}", '{"a": 1, "a": 2}', "[[[[1]]]]", "01"),
    *("1.", ".5", "+1", "0x10", "'1'", "1_0", "", "17", "tru", '"2026-01-05 08:00:00"'),
    *('"2026-01-05\\ud80008:00:00"', '"2026-01-05 08:00:00.' + "1" * 500 + '"'),
]
_AFTER = ["", "", "", "", " ", "\r", "\t\r", "}", " {}", ",", "\0", "\ufeff", "//"]
_PIECES = [
    *(b'"', b'""', b"\0", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b";", b",", b"{", b"}", b"[", b"_"),
    b"\\u",
]
_MONSTERS = [
    *(b"[" * 100_000, b'{"a":' * 50_000, b";" * 100_000, b'"' * 100_001, b"9" * 100_000, b"\0" * 100_000),
    *(b'{"datetime": "' + b"\\" * 100_000, b"x" * LONGEST_LINE, b"x" * (LONGEST_LINE + 1), b"\r" * 70_000),
]


class SlowCheck:
    """What a line is, told in another way than by the decoders."""

    _NUMBER = re.compile(
        r"\s*[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[iI][nN][fF](?:[iI][nN][iI][tT][yY])?|[nN][aA][nN])\s*"
    )

    def __init__(self, lines: Lines, form: str) -> None:
        self._layout, self._channels = lines.layout, lines.channels
        self._header = lines.header.decode().split(lines.layout.separator)
        self._is_csv = form == "csv"

    def kind(self, raw: bytes) -> str:
        """GOOD, BAD, BLANK or HEADER."""
        if len(raw) > LONGEST_LINE:
            return BAD
        text = self.text(raw)
        if not text.strip():
            return BLANK
        if self._is_csv and text.split(self._layout.separator) == self._header:
            return HEADER
        return GOOD if (self._is_good_row if self._is_csv else self._is_good_object)(text) else BAD

    @staticmethod
    def text(raw: bytes) -> str:
        """The line as a source gives it."""
        return raw.rstrip(b"\r").decode("utf-8", "replace")

    def _is_good_row(self, text: str) -> bool:
        cells = text.split(self._layout.separator)
        if '"' in text:
            try:
                (cells,) = csv.reader([text], delimiter=self._layout.separator, strict=True)
            except (csv.Error, ValueError):
                return False
        if len(cells) != len(self._header):
            return False
        row = dict(zip(self._header, cells, strict=True))
        if not self._is_time(row[self._layout.time_column]):
            return False
        return all(not row[name].strip() or self._NUMBER.fullmatch(row[name]) for name in self._channels)

    def _is_good_object(self, text: str) -> bool:
        def known_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            names = Counter(name for name, _ in pairs)
            return dict(pairs) | {"twice": max(names.values(), default=1) > 1}

        def constant(name: str) -> None:
            raise ValueError(name)

        try:
            found = json.loads(
                text,
                object_pairs_hook=known_once,
                parse_int=Decimal,
                parse_float=Decimal,
                parse_constant=constant,
            )
        except (ValueError, RecursionError):
            return False
        if not isinstance(found, dict) or found["twice"] or not {"datetime", *self._channels} <= found.keys():
            return False
        values = [found[name] for name in self._channels]
        numbers = [value for value in values if value is not None]
        if not all(isinstance(value, Decimal) for value in numbers):
            return False
        # An integer of more digits than Python reads is no number that anything measures.
        if re.search(r"(?<![\d.eE+-])-?\d{4301}", text):
            return False
        is_time = isinstance(found["datetime"], str) and self._is_time(found["datetime"])
        return is_time and all(math.isfinite(float(value)) for value in numbers)

    def _is_time(self, stamp: str) -> bool:
        try:
            datetime.fromisoformat(stamp.strip())
        except ValueError:
            return False
        return len(stamp) <= 100


@dataclass(frozen=True)
class Corpus:
    """Lines in a file, with what each of them is."""

    form: str
    path: Path
    kinds: str
    blocks: tuple[int, ...]
    """Offsets at which a header stands, or may stand; that of the end is the last."""
    lines: Lines

    @classmethod
    def write(cls, path: Path, bundle: Bundle, form: str, n: int, seed: int) -> Corpus:
        """Make `n` lines."""
        lines = Lines(bundle, form, seed)
        check = SlowCheck(lines, form)
        kinds, blocks = [], [0]
        with path.open("wb") as file:
            for start in range(0, n, BLOCK):
                block = lines.block(min(BLOCK, n - start))
                kinds += map(check.kind, block)
                file.write(b"\n".join(block) + b"\n")
                blocks.append(file.tell())
        return cls(form, path, "".join(kinds), tuple(blocks), lines)

    def expected(self) -> Iterator[tuple[bytes, str]]:
        """Every line with its kind."""
        with self.path.open("rb") as file:
            for raw, kind in zip(file, self.kinds, strict=True):
                yield raw[:-1], kind

    def pieces(self, seed: int, block: int) -> Iterator[bytes]:
        """A block in pieces of any size."""
        chance = random.Random(seed)
        with self.path.open("rb") as file:
            file.seek(self.blocks[block])
            left = self.blocks[block + 1] - self.blocks[block]
            while left:
                piece = file.read(min(left, chance.choice((1, 7, 100, 4096, 65536, 65536, 65536))))
                left -= len(piece)
                yield piece

    @property
    def n_blocks(self) -> int:
        """How many there are."""
        return len(self.blocks) - 1


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
