"""A watched folder: every whole file once, in order, whatever its writer does."""

import asyncio
import dataclasses
import os
import re

import pytest

from edge_ad.bundle.manifest import CsvFormat
from edge_ad.errors import ConfigurationError, DataError
from edge_ad.runtime.sources.snapshot_text import feature_line
from edge_ad.runtime.sources.snapshots import SnapshotOptions, folder_lines, open_source
from edge_ad.runtime.sources.waiting import Pause
from tests.runtime.sources.reading import Told, lines_of, nothing_more, run
from tests.snapshots import FEATURES, name, text, write

LAYOUT = CsvFormat()


def source(folder, told, position=None, **options):
    context = dataclasses.replace(told.context(position), snapshots=FEATURES, layout=LAYOUT)
    return open_source(SnapshotOptions(str(folder), **{"poll_s": 0.01, **options}), context)


def line(index):
    return feature_line(name(index), text(index), FEATURES, LAYOUT)


async def after_header(opened):
    (header,) = await opened.read()
    assert (header.text, header.first) == ("time,Bearing 1,Bearing 2", True)
    return opened


def test_what_is_there_comes_in_order_of_time_and_what_comes_later_as_it_comes(tmp_path):
    write(tmp_path / "in", 3)

    async def scenario():
        opened = await after_header(source(tmp_path / "in", Told()))
        first = await lines_of(opened, 3)
        assert [found.text for found in first] == [line(0), line(1), line(2)]
        assert [found.arrived for found in first] == [None] * 3
        assert await nothing_more(opened)
        (tmp_path / "in" / name(3)).write_bytes(text(3))
        (later,) = await lines_of(opened, 1)
        assert later.text == line(3)
        assert later.arrived is not None

    run(scenario())


def test_a_file_that_is_being_written_is_waited_for_and_those_after_it_wait(tmp_path):
    made = write(tmp_path / "in", 3)
    file = tmp_path / "in" / name(1)
    content = made[name(1)]

    async def scenario():
        told = Told()
        opened = await after_header(source(tmp_path / "in", told))
        for size in (0, 1, len(content) // 2, len(content) - 3):
            file.write_bytes(content[:size])
            if not size:
                assert [found.text for found in await lines_of(opened, 1)] == [line(0)]
            assert await nothing_more(opened)
        file.write_bytes(content)
        assert [found.text for found in await lines_of(opened, 2)] == [line(1), line(2)]
        assert told.notes == []

    run(scenario())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (text(1)[:300], "columns|rows"),
        (text(1, rows=30), "has 30 rows, not 40"),
        (text(1) * 2, "has 80 rows, not 40"),
        (text(1).replace(b"0.", b"x.", 1), "not a number"),
        (text(1) * 200, "no snapshot"),
    ],
)
def test_a_file_that_stays_bad_is_a_sample_with_a_problem(tmp_path, content, said):
    write(tmp_path / "in", 3)
    (tmp_path / "in" / name(1)).write_bytes(content)

    async def scenario():
        opened = await after_header(source(tmp_path / "in", Told(), wait_s=0.05))
        before, bad, after = await lines_of(opened, 3)
        assert (before.text, after.text) == (line(0), line(2))
        assert before.problem is after.problem is None
        assert bad.problem.startswith(name(1))
        return bad.problem

    assert re.search(said, run(scenario()))


def test_a_last_line_without_its_end_counts_once_nothing_changes(tmp_path):
    write(tmp_path / "in", 1)
    (tmp_path / "in" / name(0)).write_bytes(text(0).rstrip())

    async def scenario():
        waits = await after_header(source(tmp_path / "in", Told(), wait_s=3600))
        assert await nothing_more(waits)
        opened = await after_header(source(tmp_path / "in", Told(), wait_s=0.05))
        assert [found.text for found in await lines_of(opened, 1)] == [line(0)]

    run(scenario())


def test_a_restart_goes_on_where_it_was(tmp_path):
    write(tmp_path / "in", 5)

    async def scenario():
        told = Told()
        opened = await after_header(source(tmp_path / "in", told))
        await lines_of(opened, 2)
        position = opened.position()
        await opened.close()
        again = await after_header(source(tmp_path / "in", told, position))
        assert [found.text for found in await lines_of(again, 3)] == [line(2), line(3), line(4)]
        assert told.notes == []
        (tmp_path / "in" / name(4)).unlink()  # whoever writes them removes them
        last = await after_header(source(tmp_path / "in", told, again.position()))
        assert await nothing_more(last)
        (tmp_path / "in" / name(5)).write_bytes(text(5))
        assert [found.text for found in await lines_of(last, 1)] == [line(5)]

    run(scenario())


@pytest.mark.parametrize("position", ["", "{}", '{"snapshot": "x"}', "[1]", '{"snapshot": null}'])
def test_a_place_that_makes_no_sense(tmp_path, position):
    write(tmp_path / "in", 1)
    told = Told()

    async def scenario():
        opened = await after_header(source(tmp_path / "in", told, position))
        assert [found.text for found in await lines_of(opened, 1)] == [line(0)]

    run(scenario())
    assert told.kinds == ["position-lost"]


def test_only_what_comes_from_now_on(tmp_path):
    write(tmp_path / "in", 3)

    async def scenario():
        opened = await after_header(source(tmp_path / "in", Told(), from_start=False))
        assert await nothing_more(opened)
        (tmp_path / "in" / name(3)).write_bytes(text(3))
        assert [found.text for found in await lines_of(opened, 1)] == [line(3)]

    run(scenario())


def test_names_that_are_no_times_and_files_that_come_too_late_are_told_of_once(tmp_path):
    write(tmp_path / "in", 1)
    for other in ("readme\n.txt", ".hidden", f"{name(2)}.tmp"):
        (tmp_path / "in" / other).write_text("x")
    told = Told()

    async def scenario():
        opened = await after_header(source(tmp_path / "in", told))
        (tmp_path / "in" / name(4)).write_bytes(text(4))
        assert [found.text for found in await lines_of(opened, 2)] == [line(0), line(4)]
        assert told.kinds == ["no-snapshot"]
        (tmp_path / "in" / name(3)).write_bytes(text(3))
        reading = asyncio.ensure_future(opened.read())
        while "late-snapshot" not in told.kinds:
            await asyncio.sleep(0.01)
        assert not reading.done()
        reading.cancel()

    run(scenario())
    assert told.kinds == ["no-snapshot", "late-snapshot"]
    assert name(3) in told.last


def test_a_folder_that_is_not_there_is_waited_for(tmp_path):
    told = Told()

    async def scenario():
        opened = await after_header(source(tmp_path / "in", told))
        opened._pause = Pause(0.01, 0.01)
        reading = asyncio.ensure_future(opened.read())
        while not told.notes:
            await asyncio.sleep(0.01)
        write(tmp_path / "new", 1)
        os.rename(tmp_path / "new", tmp_path / "in")
        assert [found.text for found in await reading] == [line(0)]

    run(scenario())
    assert set(told.kinds) == {"unreadable-folder"}
    assert told.said == [f"{tmp_path / 'in'} can be read again"]


def test_a_bundle_of_another_kind_has_no_use_for_it(tmp_path):
    with pytest.raises(ConfigurationError, match="not made of snapshot files"):
        open_source(SnapshotOptions(str(tmp_path)), Told().context())


@pytest.mark.parametrize(
    "options",
    [{"path": ""}, {"path": "a\0"}, {"path": "a", "poll_s": 0.0}, {"path": "a", "wait_s": -1.0}],
)
def test_options_that_cannot_be(options):
    with pytest.raises(ValueError, match="path|poll_s|wait_s"):
        SnapshotOptions(**options)


def test_a_folder_as_a_recording(tmp_path):
    write(tmp_path / "in", 4)
    (tmp_path / "in" / name(2)).write_bytes(b"1\t2\n")
    (tmp_path / "in" / "readme").write_text("x")
    told = []
    header, *lines = folder_lines(tmp_path / "in", FEATURES, LAYOUT, told.append)
    assert header == "time,Bearing 1,Bearing 2\n"
    assert lines == [f"{line(0)}\n", f"{line(1)}\n", "2004-02-12 10:52:39\n", f"{line(3)}\n"]
    assert [text.partition(":")[0] for text in told] == ["readme", name(2)]
    with pytest.raises(DataError, match="holds no snapshot files"):
        list(folder_lines(tmp_path, FEATURES, LAYOUT, told.append))
