from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ad.bundle.bundle import unpack
from edge_ad.bundle.manifest import CsvFormat
from edge_ad.detect.decision import Decision
from edge_ad.runtime.detector import Detector
from edge_ad.runtime.normal_recorder import FLUSH_EVERY_S, TRY_AGAIN_S, NormalRecorder
from edge_ad.runtime.recalibrate import derive_overlay
from edge_ad.runtime.sources.csv_lines import CsvLines

NAMES = ["Pressure", "Flow, total"]
LAYOUT = CsvFormat(time_format="seconds")
REASONS = {
    "unknown": "duplicate: left out",
    "refilling": "refilling: 3 of 10 samples since gap: 9 s",
    "warming": "warming: 3 of 10 samples",
}


def decision(time, state="normal"):
    if state in REASONS:
        kind = "warming" if state == "warming" else "unknown"
        return Decision(time, kind, None, 2.0, None, REASONS[state])
    return Decision(time, state, 1.0, 2.0, np.ones(2))


def recorder(path, said=None, *, n_rows=50, guard_rows=3, layout=LAYOUT):
    say = pytest.fail if said is None else said.append
    return NormalRecorder(path, layout, NAMES, n_rows=n_rows, guard_rows=guard_rows, say=say)


def feed(subject, states, start=0.0):
    """A sample a second; its values tell its row."""
    for row, state in enumerate(states):
        time = start + row
        subject.add(decision(time, state), [time, time / 3], repr(time))


def rows_of(path, layout=LAYOUT):
    with path.open(newline="") as lines:
        return list(CsvLines(lines, layout, NAMES, name=str(path), strict=True))


def times_of(*paths):
    return [sample.time for path in paths if path.exists() for sample in rows_of(path)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "normal.csv"


@pytest.fixture
def part(path):
    return path.with_name("normal.csv.part")


def wanted_rows(states, guard):
    """Between two alarms: normal rows with enough others since what is to be distrusted; not the last few."""
    wanted, stretch, n_since = [], [], guard
    for row, state in enumerate([*states, "alarm"]):
        if state == "normal":
            n_since += 1
            stretch += [row] if n_since > guard else []
        elif state in ("alarm", "refilling"):
            n_since = 0
        if state == "alarm":
            wanted += stretch[: max(0, len(stretch) - guard)]
            stretch = []
    return wanted


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["normal"] * 12 + ["alarm", "unknown", "refilling", "warming"]), max_size=150)
)
def test_what_is_kept_is_normal_and_not_near_an_alarm(tmp_path_factory, states):
    path = tmp_path_factory.mktemp("recorded") / "normal.csv"
    subject = recorder(path, n_rows=1000)
    feed(subject, states)
    subject.close()
    kept = times_of(path.with_name("normal.csv.part"))
    assert kept == wanted_rows(states, 3)


def test_a_recording_replaces_the_last_one_when_it_is_whole(path, part):
    subject = recorder(path, n_rows=50)
    feed(subject, ["normal"] * 40)
    subject.close()
    assert not path.exists()
    feed(subject, ["normal"] * 200, start=40.0)
    subject.close()
    assert times_of(path) == list(range(150, 200)) == times_of(path)[:50]
    assert times_of(part) == list(range(200, 237))


def test_values_and_times_come_back_to_the_last_digit(path):
    rng = np.random.default_rng(0)
    values = (rng.standard_normal((60, 2)) * 10.0 ** rng.integers(-30, 29, (60, 2))).tolist()
    for layout in (
        LAYOUT,
        CsvFormat(";", "Zeit; lokal", "%d.%m.%Y %H:%M:%S,%f", ","),
        CsvFormat(" ", 'the "time"', "iso"),
    ):
        stamps = {
            "seconds": "{}.25",
            "iso": "2026-01-01 00:00:{:02d}.250",
            "%d.%m.%Y %H:%M:%S,%f": "01.01.2026 00:00:{:02d},250",
        }
        subject = recorder(path, n_rows=50, layout=layout)
        written = [stamps[layout.time_format].format(row) for row in range(60)]
        for row, stamp in enumerate(written):
            subject.add(decision(float(row)), values[row], stamp)
        subject.close()
        rows = rows_of(path, layout)
        assert [list(sample.values) for sample in rows] == values[:50]
        assert [sample.stamp for sample in rows] == written[:50]


def test_it_is_written_rarely(path, part):
    subject, sizes = recorder(path, n_rows=10_000), []
    for time in range(1000):
        feed(subject, ["normal"], start=float(time))
        sizes.append(part.stat().st_size if part.exists() else 0)
    assert sum(a != b for a, b in pairwise(sizes)) <= 1000 / FLUSH_EVERY_S


def test_a_fast_stream_does_not_fill_the_memory(path, part):
    subject = recorder(path, n_rows=10**6)
    for row in range(10_000):
        subject.add(decision(row / 1e6), [row, row / 3], str(row / 1e6))
    assert part.stat().st_size > 150_000


def test_what_another_process_left_is_gone_on_with(path, part):
    first = recorder(path)
    feed(first, ["normal"] * 70, start=0.0)  # of which 50 are whole, and some are never written
    first = recorder(path, n_rows=200)
    feed(first, ["normal"] * 100, start=1000.0)
    before = part.read_bytes()
    part.write_bytes(before + b"1999.0,1.5")  # killed in the middle of a write
    second = recorder(path, n_rows=200)
    assert part.read_bytes() == before
    feed(second, ["normal"] * 300, start=2000.0)
    times = times_of(path)
    assert len(times) == 200
    assert times[: len(before.splitlines()) - 1] == times_of_text(before)
    assert times[-1] > 2000


def times_of_text(content):
    return [float(line.split(b",")[0]) for line in content.splitlines()[1:]]


@pytest.mark.parametrize("end", [b"", b"\n", b"\n1.0,2.0,3.0\n"])
def test_zeros_after_a_power_cut(path, part, end):
    feed(recorder(path, n_rows=200), ["normal"] * 100)
    before = part.read_bytes()
    part.write_bytes(before + bytes(4096) + end)
    subject = recorder(path, n_rows=200)
    assert part.read_bytes() == before
    feed(subject, ["normal"] * 200, start=1000.0)
    assert len(times_of(path)) == 200


@pytest.mark.parametrize("left", [b"", b"time,Other\n1.0,2.0\n", b"\xff\xfe\x00", b"time"])
def test_what_is_not_ours_is_begun_anew(path, part, left):
    part.write_bytes(left)
    subject = recorder(path)
    feed(subject, ["normal"] * 80)
    assert times_of(path) == list(range(50))


def test_more_was_left_than_is_wanted_now(path, part):
    feed(recorder(path, n_rows=1000), ["normal"] * 130)
    left = times_of(part)
    feed(recorder(path, n_rows=len(left) - 10), ["normal"] * 70, start=1000.0)
    assert times_of(path) == left


def test_somebody_takes_the_part_away(path, part):
    subject = recorder(path, n_rows=200)
    feed(subject, ["normal"] * 100)
    part.unlink()
    feed(subject, ["normal"] * 300, start=100.0)
    assert len(times_of(path)) == 200


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told_once_and_tried_again(path, part):
    said, span = [], int(TRY_AGAIN_S + 2 * FLUSH_EVERY_S)
    subject = recorder(path, said)
    part.symlink_to("/dev/full")
    feed(subject, ["normal"] * 3 * span)
    assert said == [f"normal operation cannot be recorded to {path} for now: No space left on device"]
    assert not path.exists()
    part.unlink()
    feed(subject, ["normal"] * span, start=3.0 * span)
    assert len(times_of(path)) == 50
    path.unlink()
    path.mkdir()
    feed(subject, ["normal"] * 3 * span, start=4.0 * span)
    assert len(said) == 2  # it had worked in between
    path.rmdir()
    feed(subject, ["normal"] * span, start=7.0 * span)
    assert len(times_of(path)) == 50


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_what_was_written_before_the_disk_was_full_is_kept(path, part):
    said, span = [], int(TRY_AGAIN_S)
    subject = recorder(path, said, n_rows=500)
    feed(subject, ["normal"] * 300)
    before = times_of(part)
    aside = part.rename(path.with_name("aside"))
    part.symlink_to("/dev/full")
    feed(subject, ["normal"] * span, start=300.0)
    assert len(said) == 1
    aside.rename(part)
    with part.open("ab") as file:
        file.write(b"350.0,3")
    feed(subject, ["normal"] * span, start=300.0 + span)
    times = times_of(path)
    assert len(times) == 500
    assert times[: len(before)] == before
    assert times[len(before)] >= 300 + span


@pytest.mark.parametrize("make", ["mkdir", "touch"])
def test_a_folder_that_is_none(tmp_path, make):
    said = []
    folder = tmp_path / "gone"
    if make == "touch":
        folder.touch()
    subject = recorder(folder / "normal.csv", said)
    feed(subject, ["normal"] * 3000)
    subject.close()
    assert len(said) == 1


def test_a_clock_set_back_harms_nothing(path):
    subject = recorder(path)
    for start in (1e6, 1000.0, 2e6, 0.0):
        feed(subject, ["normal"] * 30, start=start)
    assert len(times_of(path)) == 50


def test_recalibration_reads_it_back(path, data, normal_csv):
    """As a service does: what the detector found normal is what new limits are derived from."""
    bundle = unpack(data)
    manifest = bundle.manifest
    detector = Detector.load(bundle)
    subject = NormalRecorder.of(manifest, path, minutes=5, say=pytest.fail)
    names = [channel.name for channel in manifest.channels]
    with normal_csv.open(newline="") as lines:
        samples = list(CsvLines(lines, manifest.input, names, name="normal", strict=True))
    by_stamp = {sample.stamp: sample for sample in samples}
    for sample in samples:
        subject.add(detector.push(sample.values, sample.time), sample.values, sample.stamp)
    subject.close()
    with path.open(newline="") as lines:
        recorded = list(CsvLines(lines, manifest.input, names, name="recorded", strict=True))
    assert len(recorded) == 300
    for sample in recorded:
        original = by_stamp[sample.stamp]
        assert sample.time == original.time
        assert list(sample.values) == list(original.values)
    overlay = derive_overlay(bundle, path, with_scaler=True, by="me", created="2026-01-01", force=True)
    assert overlay.n_samples == 300
    assert overlay.n_unusable == 0
    limit = next(x for x in overlay.limits if x.variant == manifest.default_variant)
    n_in_piece, n_windows, last = 0, 0, -np.inf
    for sample in recorded:
        n_in_piece = n_in_piece + 1 if sample.time - last <= manifest.largest_gap_s else 1
        n_windows += n_in_piece >= manifest.window_length
        last = sample.time
    assert limit.n_windows == n_windows
