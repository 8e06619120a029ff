import asyncio
import json
import os
import signal
import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ad.bundle.codec import DecodeError
from edge_ad.errors import ConfigurationError
from edge_ad.runtime.sinks.decision_file import FileOptions
from edge_ad.runtime.sinks.kinds import load_sink
from edge_ad.runtime.sinks.line_writer import LineWriter
from edge_ad.runtime.sinks.rotating_file import RotatingFile
from edge_ad.runtime.sinks.sink import DeliveryError
from tests.runtime.agent.support import DEADLINE_S, ROOT, Log, event, on_own_disk, until
from tests.runtime.sinks.support import context, decision, service


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lines.ndjson"


@pytest.fixture
def log():
    return Log()


def open_sink(kind, log, **table):
    options, opener = load_sink(kind, {name: str(v) if name == "path" else v for name, v in table.items()})
    return opener(options, context(log))


def older(path):
    return sorted(path.parent.glob(f"{path.name}.*"), key=lambda p: int(p.suffix[1:]))


class TestRotatingFile:
    @settings(deadline=None, max_examples=80)
    @given(
        st.lists(
            st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"")), max_size=4), max_size=20
        ),
        st.integers(20, 100),
        st.integers(0, 3),
        st.booleans(),
    )
    def test_nothing_is_lost_but_what_is_too_old(self, tmp_path_factory, batches, most, keep, sync):
        path = tmp_path_factory.mktemp("rotated") / "lines"
        file = RotatingFile(path, max_bytes=most, keep=keep, sync=sync)
        wanted = []
        for lines in batches:
            file.append(b"".join(line + b"\n" for line in lines))
            wanted += lines
        file.close()
        found = [*reversed(older(path)), path] if path.exists() else []
        assert len(found) <= keep + 1
        for one in found:
            # A batch goes into one file, and only one that is alone in it may be too long.
            assert one.stat().st_size <= max(most, *(sum(len(x) + 1 for x in b) for b in batches))
        text = b"".join(p.read_bytes() for p in found)
        everything = b"".join(line + b"\n" for line in wanted)
        assert everything.endswith(text)
        if len(found) <= keep:
            assert text == everything

    def test_the_newest_has_the_lowest_number(self, path):
        file = RotatingFile(path, max_bytes=10, keep=2, sync=False)
        for n in range(5):
            file.append(b"line %d .\n" % n)
        file.close()
        assert [p.read_bytes() for p in [path, *older(path)]] == [b"line 4 .\n", b"line 3 .\n", b"line 2 .\n"]

    def test_fewer_are_kept_than_there_were(self, path):
        for n in range(1, 8):
            path.with_name(f"{path.name}.{n}").write_bytes(b"%d" % n)
        file = RotatingFile(path, max_bytes=10, keep=2, sync=False)
        file.append(b"0123456789\n")
        file.append(b"x\n")
        file.close()
        assert [p.read_bytes() for p in older(path)] == [b"0123456789\n", b"1"]

    def test_a_line_that_was_cut_off_stands_alone(self, path):
        path.write_bytes(b'{"a": 1}\n{"b": ')
        file = RotatingFile(path, max_bytes=1000, keep=1, sync=True)
        file.append(b'{"c": 3}\n')
        file.append(b'{"d": 4}\n')
        file.close()
        assert path.read_bytes() == b'{"a": 1}\n{"b": \n{"c": 3}\n{"d": 4}\n'

    @pytest.mark.parametrize("how", ["moved", "removed", "replaced", "emptied"])
    def test_logrotate(self, path, how):
        file = RotatingFile(path, max_bytes=1000, keep=1, sync=False)
        file.append(b"1\n")
        if how == "removed":
            path.unlink()
        elif how == "emptied":
            os.truncate(path, 0)
        else:
            path.rename(path.with_name("elsewhere"))
            if how == "replaced":
                path.write_bytes(b"theirs\n")
        file.append(b"2\n")
        file.close()
        assert path.read_bytes() == (b"theirs\n2\n" if how == "replaced" else b"2\n")

    def test_a_link_is_rotated_where_it_leads_to(self, path, tmp_path):
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        path.symlink_to(elsewhere / "real")
        file = RotatingFile(path, max_bytes=3, keep=1, sync=False)
        file.append(b"1\n")
        file.append(b"23\n")
        file.close()
        assert path.is_symlink()
        assert path.read_bytes() == b"23\n"
        assert sorted(p.name for p in elsewhere.iterdir()) == ["real", "real.1"]

    def test_a_device_is_not_renamed(self, tmp_path):
        with pytest.raises(ConfigurationError, match="/dev/null is no ordinary file"):
            RotatingFile(tmp_path.__class__("/dev/null"), max_bytes=10, keep=1, sync=False)

    def test_what_becomes_something_else(self, path):
        file = RotatingFile(path, max_bytes=10, keep=1, sync=False)
        os.mkfifo(path)
        with pytest.raises(OSError, match="no ordinary file"):
            file.append(b"1\n")
        path.unlink()
        file.append(b"2\n")
        file.close()
        assert path.read_bytes() == b"2\n"


class TestDecisions:
    def test_a_line_says_which_machine_and_which_bundle(self, path, log):
        async def main():
            sink = open_sink("decisions", log, path=path)
            await sink.start()
            take = sink.begin(service())
            other = sink.begin(service("pump-%d", names=("100 %s", '"x"')))
            take(decision("warming", time=1.0), "2026-01-01 00:00:01")
            take(decision("alarm", "critical"), "2026-01-01 00:00:02")
            other(decision("normal"), "2026-01-01 00:00:03")
            sink.flush()
            other(decision("unknown"), 'stamp "4"')
            await sink.close()

        asyncio.run(main())
        bundle = "0123456789ab+fedcba987654"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [list(line)[:3] for line in lines] == [["asset", "bundle", "time"]] * 4
        assert lines[0] == {
            "asset": "pump-1",
            "bundle": bundle,
            "time": "2026-01-01 00:00:01",
            "state": "warming",
            "score": None,
            "ucl": 2.0,
            "alarm": False,
            "contributions": None,
            "reason": "warming: as it is",
        }
        assert lines[1]["contributions"] == {"Pressure": 1.0, "Flow": 0.5}
        assert (lines[1]["severity"], lines[1]["alarm"]) == ("critical", True)
        assert (lines[2]["asset"], lines[2]["contributions"]) == ("pump-%d", {"100 %s": 1.0, '"x"': 0.5})
        assert (lines[3]["state"], lines[3]["time"]) == ("unknown", 'stamp "4"')
        assert log.notes == []

    def test_they_are_written_when_a_batch_is_decided(self, path, log):
        async def main():
            sink = open_sink("decisions", log, path=path)
            take = sink.begin(service())
            for n in range(100):
                take(decision(), str(n))
                assert not path.exists()
            sink.flush()
            sink.flush()
            await until(lambda: path.exists() and path.read_text().count("\n") == 100)
            await sink.close()

        asyncio.run(main())

    def test_the_disk_is_not_filled(self, path, log):
        async def main():
            sink = open_sink("decisions", log, path=path, max_mb=0.1, keep=2)
            take = sink.begin(service())
            for n in range(5000):
                take(decision(), str(n))
                if n % 100 == 99:
                    sink.flush()
                    await asyncio.sleep(0)
            await sink.close()

        asyncio.run(main())
        found = [*reversed(older(path)), path]
        assert len(found) == 3
        assert sum(p.stat().st_size for p in found) <= 300_000
        times = [int(json.loads(line)["time"]) for p in found for line in p.read_text().splitlines()]
        assert times == list(range(times[0], 5000))

    def test_a_folder_that_is_not_there_yet(self, tmp_path, log):
        path = tmp_path / "usb" / "decisions.ndjson"

        async def main():
            sink = open_sink("decisions", log, path=path)
            take = sink.begin(service())
            take(decision(), "1")
            take(decision(), "2")
            sink.flush()
            await until(lambda: log.notes)
            path.parent.mkdir()
            take(decision(), "3")
            sink.flush()
            await until(path.exists)
            await sink.close()

        asyncio.run(main())
        assert [json.loads(line)["time"] for line in path.read_text().splitlines()] == ["3"]
        text = f"cannot write {path}: No such file or directory; 2 lines are lost, the next are tried again"
        assert log.notes == [("lines-lost", text, 2)]
        assert log.said == [f"{path} is written again"]


class Stuck(RotatingFile):
    """A disk that takes its time."""

    def __init__(self, path):
        super().__init__(path, max_bytes=10**9, keep=1, sync=False)
        self.goes_on = threading.Event()

    def append(self, lines):
        assert self.goes_on.wait(DEADLINE_S)
        super().append(lines)


def test_a_slow_disk_keeps_nobody_waiting_and_fills_no_memory(path, log):
    file = Stuck(path)

    async def main():
        writer = LineWriter(path, file, log.note, log.say)
        for n in range(5000):
            writer.put([f"{n} {'x' * 990}\n"])
        writer.put([])
        file.goes_on.set()
        await until(lambda: path.exists() and path.read_text().count("\n") > 1000)
        writer.put(["after\n", "it\n"])
        await writer.close()

    asyncio.run(main())
    written = [line.split()[0] for line in path.read_text().splitlines()]
    n_lost = sum(n for kind, _, n in log.notes if kind == "lines-lost")
    assert len(written) + n_lost == 5002
    assert 4000 < len(written) < 5000
    assert written[-2:] == ["after", "it"]
    assert list(map(int, written[:-2])) == sorted(map(int, written[:-2]))
    assert f"{path} takes lines too slowly: 1 are lost" in log.text()


class TestEvents:
    def test_an_event_is_a_line(self, path, log):
        async def main():
            sink = open_sink("events", log, path=path, max_mb=0.1, keep=1)
            for n in range(30):
                await sink.deliver(event(n, size=5000))
                assert path.read_bytes().endswith(event(n, size=5000).body.encode() + b"\n")
            await sink.close()

        asyncio.run(main())
        lines = [json.loads(line) for p in [*older(path), path] for line in p.read_text().splitlines()]
        assert [line["id"] for line in lines] == [str(n) for n in range(30)]

    def test_a_file_that_cannot_be_written(self, tmp_path, log):
        path = tmp_path / "usb" / "events.ndjson"

        async def main():
            sink = open_sink("events", log, path=path)
            with pytest.raises(
                DeliveryError, match=f"cannot write {path}: No such file or directory"
            ) as caught:
                await sink.deliver(event(1))
            assert not caught.value.hopeless
            path.parent.mkdir()
            await sink.deliver(event(1))
            await sink.close()

        asyncio.run(main())
        assert json.loads(path.read_text())["id"] == "1"

    def test_what_was_delivered_survives_a_kill(self, path):
        code = (
            "import asyncio, sys; from edge_ad.runtime.sinks.kinds import load_sink;"
            "from tests.runtime.agent.support import event;"
            "options, opener = load_sink('events', {'path': sys.argv[1]});"
            "sink = opener(options, None)\n"
            "async def main():\n"
            "    for n in range(10**9):\n"
            "        await sink.deliver(event(n, size=n % 9000))\n"
            "        print(n, flush=True)\n"
            "asyncio.run(main())"
        )
        command = [sys.executable, "-c", code, str(path)]
        for n_lines in (1, 30, 77):
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
                said = [int(process.stdout.readline()) for _ in range(n_lines)]
                process.send_signal(signal.SIGKILL)
            lines = path.read_text().splitlines()
            whole = [json.loads(line)["id"] for line in lines if line.endswith("}")]
            assert {str(n) for n in said} <= set(whole)


@pytest.mark.parametrize("kind", ["decisions", "events"])
def test_a_full_disk(tmp_path, kind):
    assert on_own_disk("tests.runtime.sinks.full_disk", tmp_path / kind, "size=400k") == "done\n"


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, "missing key path"),
        ({"path": ""}, "path must name a file"),
        ({"path": "/var/log/"}, "path must name a file"),
        ({"path": "x", "max_mb": 0}, "max_mb must lie between 0.1 and"),
        ({"path": "x", "keep": -1}, "keep must lie between 0 and"),
        ({"path": "x", "kep": 1}, "unknown key kep; known here: path, max_mb, keep"),
        ({"path": 5}, "path must be of type str"),
    ],
)
def test_options_that_make_no_sense(table, words):
    for kind in ("decisions", "events"):
        with pytest.raises(DecodeError, match=words):
            load_sink(kind, table)
    assert FileOptions("x").max_mb == 10
