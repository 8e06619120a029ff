"""Snapshot files to recordings: the numbers, the order, and everything that can be wrong with a file."""

import dataclasses
import io
import lzma
import os
import resource
import tarfile
from pathlib import Path

import pytest

from edge_ad.bundle.manifest import Channel, CsvFormat
from edge_ad.errors import DataError
from edge_ad.runtime.sources.snapshot_text import SnapshotError, parse_snapshot, snapshot_time
from edge_ad.toolchain.datasets.formats import BEARING, RecordingFormat, TrainSpan
from edge_ad.toolchain.datasets.ingest import ingest, ingestion_of
from edge_ad.toolchain.datasets.recording import read_recording
from edge_ad.toolchain.datasets.snapshots import read_snapshots
from edge_ad.toolchain.workspace import Workspace
from tests import naive_features as naive
from tests.snapshots import FEATURES, name, text, write

LAYOUT = CsvFormat()


def read(path, *, skip=False, settings=FEATURES):
    return read_snapshots(path, settings, LAYOUT, jobs=2, skip=skip)


def archive(path, contents, mode="w:xz"):
    with tarfile.open(path, mode) as tar:
        for member, content in contents.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def values(table):
    return {
        line.split(",")[0]: [float(x) for x in line.split(",")[1:]] for line in table.text.splitlines()[1:]
    }


def test_a_row_per_file_in_order_of_time_with_the_features_of_plain_python(tmp_path):
    made = write(tmp_path / "data", 20)
    table = read(tmp_path / "data")
    assert table.n_snapshots == 20
    assert table.text.splitlines()[0] == "time,Bearing 1,Bearing 2"
    found = values(table)
    assert list(found) == sorted(found)
    for (stamp, row), (file, content) in zip(found.items(), made.items(), strict=True):
        assert stamp == snapshot_time(file, FEATURES).strftime("%Y-%m-%d %H:%M:%S")
        signals = zip(*naive.readings(content.decode()), strict=True)
        assert row == pytest.approx([naive.mean_abs(signal) for signal in signals], rel=0, abs=1e-12)


@pytest.mark.parametrize("mode", ["w:xz", "w:gz", "w:bz2", "w"])
def test_an_archive_gives_what_the_folder_gives_in_whatever_order(tmp_path, mode):
    made = write(tmp_path / "data", 20)
    mixed = {f"2nd_test/{file}": made[file] for file in sorted(made, key=lambda file: file[::-1])}
    packed = archive(tmp_path / f"data.tar{mode[1:].replace(':', '.')}", mixed, mode)
    assert read(packed).text == read(tmp_path / "data").text


FLAWS = {
    "columns": (lambda c: c.replace(b"\t", b"\t0.1\t", 1), r"line 1 has 3 columns, not the 2 of Bearing 1, "),
    "bearing": (
        lambda c: b"".join(x.split(b"\t")[0] + b"\n" for x in c.splitlines()),
        "line 1 has 1 columns",
    ),
    "shifted": (lambda c: c.replace(b"\t", b"\n", 1).replace(b"\n", b"\t", 2), "line 2 has 3 columns"),
    "rows": (lambda c: c + b"0.1\t0.1\r\n", "has 41 rows, not 40"),
    "short": (lambda c: b"\n".join(c.split(b"\n")[:30]) + b"\n", "has 30 rows, not 40"),
    "cut": (lambda c: c[: c.rindex(b"\t")], "line 40 has 1 columns"),
    "empty": (lambda c: b"", "is empty"),
    "text": (lambda c: b"x" + c[1:], r"line 1: Bearing 1 is 'x[^']*', not a number"),
    "underscore": (lambda c: c.replace(b"0.", b"0_0.", 1), "not a number"),
    "binary": (lambda c: bytes(range(256)) * 10, "columns"),
    "huge": (lambda c: c * 1000, "bytes or more"),
}


@pytest.mark.parametrize("flaw", FLAWS)
@pytest.mark.parametrize("packed", [False, True])
def test_a_bad_file_is_named_and_can_be_skipped(tmp_path, flaw, packed):
    change, said = FLAWS[flaw]
    made = write(tmp_path / "data", 5)
    bad = name(2)
    (tmp_path / "data" / bad).write_bytes(change(made[bad]))
    path = tmp_path / "data"
    if packed:
        contents = {file.name: file.read_bytes() for file in sorted(path.iterdir())}
        path = archive(tmp_path / "data.tar.xz", contents)
    with pytest.raises(DataError, match=f"1 of 5 files cannot be used(.|\n)*{bad}: (.|\n)*{said}"):
        read(path)
    table = read(path, skip=True)
    assert (table.n_snapshots, [found.name for found in table.flaws]) == (4, [bad])


def test_names_that_are_no_times_and_times_that_stand_twice(tmp_path):
    write(tmp_path / "data", 4)
    write(tmp_path / "data" / "again", 1)
    (tmp_path / "data" / "readme.txt").write_text("of these files")
    (tmp_path / "data" / ".hidden").write_text("no matter")
    with pytest.raises(DataError) as caught:
        read(tmp_path / "data")
    assert caught.value.exit_code == 5
    assert "2 of 6 files" in str(caught.value)
    assert "readme.txt: its name is no time of the form %Y.%m.%d.%H.%M.%S" in str(caught.value)
    assert f"again/{name(0)}: is of the same time as {name(0)}" in str(caught.value)
    assert read(tmp_path / "data", skip=True).n_snapshots == 4


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_named(tmp_path):
    write(tmp_path / "data", 3)
    (tmp_path / "data" / name(1)).chmod(0)
    with pytest.raises(DataError, match=rf"{name(1)}: cannot be read: Permission denied"):
        read(tmp_path / "data")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    write(tmp_path / "data", 3)
    (tmp_path / "data" / name(5)).symlink_to("nowhere")
    with pytest.raises(DataError, match=rf"{name(5)}: cannot be read: No such file"):
        read(tmp_path / "data")
    assert read(tmp_path / "data", skip=True).n_snapshots == 3


def test_links_in_an_archive_are_no_snapshots(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for index in (0, 1):
            info = tarfile.TarInfo(name(index))
            info.size = len(text(index))
            tar.addfile(info, io.BytesIO(text(index)))
        link = tarfile.TarInfo(name(2))
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(DataError, match=f"{name(2)}: is no regular file"):
        read(tmp_path / "a.tar")
    assert read(tmp_path / "a.tar", skip=True).n_snapshots == 2


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_an_archive_that_is_cut_off(tmp_path, share):
    whole = archive(tmp_path / "a.tar.xz", {name(i): text(i, rows=40) for i in range(200)})
    data = whole.read_bytes()
    whole.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError, match=r"a\.tar\.xz.*(cut off after \d+ files|as an archive)"):
        read(whole)


def test_what_came_before_the_cut_can_be_used(tmp_path):
    packed = lzma.LZMACompressor(preset=0)
    plain = archive(tmp_path / "a.tar", {name(i): text(i) for i in range(30)}, "w").read_bytes()
    data = packed.compress(plain[:20480]) + packed.flush()
    (tmp_path / "a.tar.xz").write_bytes(data)
    table = read(tmp_path / "a.tar.xz", skip=True)
    assert 0 < table.n_snapshots < 30
    assert "cut off after" in table.flaws[0].reason


@pytest.mark.parametrize("content", [b"", b"no archive at all", b"\xfd7zXZ\x00garbage", os.urandom(5000)])
def test_what_is_no_archive_says_so(tmp_path, content):
    (tmp_path / "a.tar.xz").write_bytes(content)
    with pytest.raises(DataError, match="as an archive|holds no snapshot files"):
        read(tmp_path / "a.tar.xz")


def test_nothing_to_read(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read(tmp_path / "none")
    with pytest.raises(DataError, match="holds no snapshot files"):
        read(tmp_path)
    (tmp_path / "x").write_text("")
    with pytest.raises(DataError, match="nothing left to use"):
        read(tmp_path, skip=True)


def test_other_separators_and_features(tmp_path):
    made = text(0).replace(b"\t", b";")
    settings = dataclasses.replace(FEATURES, separator=";")
    assert (parse_snapshot(made, settings) == parse_snapshot(text(0), FEATURES)).all()
    spaced = text(0).replace(b"\t", b"   ")
    settings = dataclasses.replace(FEATURES, separator=" ")
    assert (parse_snapshot(spaced, settings) == parse_snapshot(text(0), FEATURES)).all()
    with pytest.raises(SnapshotError, match="line 1 has 3 columns"):
        parse_snapshot(spaced.replace(b"   ", b" 1 ", 1), settings)


# --- kept in the build folder ----------------------------------------------------------------------------

FORMAT = RecordingFormat(
    channels=tuple(Channel(signal) for signal in FEATURES.signals),
    train=TrainSpan(rows=10),
    sample_period_s=600.0,
    largest_gap_s=3000.0,
    snapshots=FEATURES,
)


class Told:
    def __init__(self):
        self.steps, self.pieces = [], 0

    def start(self, step, total, skipped):
        self.steps.append((step, total, skipped))

    def advance(self, name, detail):
        self.pieces += 1

    def finish(self):
        pass


def ingested(tmp_path, *, skip=False, recording_format=FORMAT):
    told = Told()
    workspace = Workspace(tmp_path / "build")
    data = tmp_path / "data"
    return ingest(workspace, data, recording_format, skip=skip, jobs=1, progress=told), told


def test_a_recording_is_made_once_for_the_same_contents(tmp_path):
    write(tmp_path / "data", 12)
    path, told = ingested(tmp_path)
    assert told.pieces == told.steps[0][1]
    recording = read_recording(path, FORMAT, "data")
    assert (len(recording), recording.train_rows) == (12, 10)
    again, told = ingested(tmp_path)
    assert (again, told.steps, told.pieces) == (path, [("features", 0, 12)], 0)
    (tmp_path / "data" / name(3)).write_bytes(text(99))
    before = path.read_text()
    assert ingested(tmp_path)[1].pieces
    assert path.read_text() != before
    path.write_text("damaged")
    assert ingested(tmp_path)[1].pieces
    drops = dataclasses.replace(FORMAT, snapshots=dataclasses.replace(FEATURES, drop_first_row=True))
    assert ingested(tmp_path, recording_format=drops)[1].pieces


def test_what_was_skipped_once_stops_a_build_that_does_not_skip(tmp_path):
    write(tmp_path / "data", 12)
    (tmp_path / "data" / name(3)).write_bytes(b"")
    path, _ = ingested(tmp_path, skip=True)
    assert [flaw.name for flaw in ingestion_of(path).skipped] == [name(3)]
    assert not ingested(tmp_path, skip=True)[1].pieces
    with pytest.raises(DataError, match="is empty"):
        ingested(tmp_path)


# --- the real data ---------------------------------------------------------------------------------------

REAL = Path(os.environ.get("EDGE_AD_TEST_DATA", "/nonexistent")) / "ims_2nd_test.tar.xz"


@pytest.mark.skipif(not REAL.exists(), reason="EDGE_AD_TEST_DATA has no ims_2nd_test.tar.xz")
def test_all_of_nasas_second_test(tmp_path):
    """Against plain Python on some files, and the first row against the numbers that the post shows."""
    settings = BEARING.snapshots
    table = read_snapshots(REAL, settings, LAYOUT, jobs=2, skip=False)
    # the largest of the workers; this process holds all of pytest besides
    peak_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert peak_kb < 150_000
    found = values(table)
    assert (len(found), min(found), max(found)) == (984, "2004-02-12 10:32:39", "2004-02-19 06:22:39")
    drops = dataclasses.replace(settings, drop_first_row=True)
    with tarfile.open(REAL, "r|xz") as tar:
        files = (member for member in tar if member.isfile())
        for member, _ in zip(files, range(8), strict=False):
            content = tar.extractfile(member).read()
            stamp = snapshot_time(Path(member.name).name, settings).strftime("%Y-%m-%d %H:%M:%S")
            signals = list(zip(*naive.readings(content.decode()), strict=True))
            wanted = [naive.mean_abs(signal) for signal in signals]
            assert found[stamp] == pytest.approx(wanted, rel=0, abs=1e-12)
            dropped = drops.extract(parse_snapshot(content, drops))
            wanted = [naive.mean_abs(signal[1:]) for signal in signals]
            assert dropped == pytest.approx(wanted, rel=0, abs=1e-12)
