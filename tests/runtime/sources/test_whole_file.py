import asyncio
import os
from contextlib import contextmanager

import pytest

from edge_ad.bundle.codec import DecodeError, decode
from edge_ad.runtime.sources import regular_file
from edge_ad.runtime.sources.waiting import Pause
from edge_ad.runtime.sources.whole_file import FileOptions, WholeFile, open_source
from tests.runtime.sources.reading import Told, lines_of, run, texts, until


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pump.csv"


def opened(path, told, position=None):
    return WholeFile(FileOptions(str(path)), told.context(position), Pause(0.01, 0.05))


async def read_all(source, n=None):
    try:
        return await lines_of(source, n)
    finally:
        await source.close()


def test_a_file_is_read_to_its_end(path):
    path.write_bytes(b"t;a\r\n1;2\n\n3;\xff\n4;5")
    told = Told()

    async def check():
        source = open_source(FileOptions(str(path)), told.context())
        lines = await lines_of(source)
        assert await source.read() == []  # it stays ended
        await source.close()
        return lines

    lines = run(check())
    assert texts(lines) == ["t;a", "1;2", "", "3;\ufffd", "4;5"]
    assert [line.number for line in lines] == [1, 2, 3, 4, 5]
    assert [line.first for line in lines] == [True] + [False] * 4
    assert {line.arrived for line in lines} == {None}
    assert told.notes == []


@pytest.mark.parametrize("most", [1, 3, 256])
def test_a_restart_anywhere_goes_on_there(path, most, monkeypatch):
    monkeypatch.setattr(regular_file, "MOST_AT_ONCE", most)
    monkeypatch.setattr(regular_file, "_CHUNK", 700)
    expected = [f"{n};{'x' * (n * 37 % 200)}" for n in range(300)]
    path.write_text("\n".join(expected))
    told = Told()

    async def check():
        position, lines = None, []
        while True:
            source = opened(path, told, position)
            got = list(await source.read())
            if position is not None and got and got[0].number == 0:  # the header, given again
                assert (got[0].text, got[0].first) == (expected[0], True)
                got = list(await source.read())
            position = source.position()
            await source.close()
            if not got:
                return lines
            lines += got

    lines = run(check())
    assert texts(lines) == expected
    assert [line.number for line in lines] == list(range(1, 301))
    assert told.notes == []


def test_a_file_that_is_not_there_is_waited_for(path):
    told = Told()

    async def check():
        source = opened(path, told)
        reading = asyncio.create_task(source.read())
        await until(lambda: told.notes)
        path.write_text("a\nb\n")
        lines = await reading
        await source.close()
        return lines

    assert texts(run(check())) == ["a", "b"]
    assert told.kinds[0] == "unreadable-file"
    assert "No such file or directory; tried again in" in told.notes[0][1]
    assert told.said == [f"{path} can be read again"]


@contextmanager
def forbidden(path):
    """Nobody may read it; root is somebody else meanwhile."""
    path.chmod(0)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        path.chmod(0o600)


@pytest.mark.parametrize("what", ["folder", "fifo", "forbidden"])
def test_what_cannot_be_read_is_told_and_tried_again(path, what):
    told = Told()

    async def check():
        source = opened(path, told)
        reading = asyncio.create_task(source.read())
        if what == "folder":
            path.mkdir()
            await until(lambda: "Is a directory" in told.notes[-1][1] if told.notes else False)
            path.rmdir()
        elif what == "fifo":
            os.mkfifo(path)
            await until(lambda: "it is no regular file" in told.notes[-1][1] if told.notes else False)
            path.unlink()
        else:
            path.write_text("a\n")
            with forbidden(path):
                await until(
                    lambda: "must be allowed to read it" in told.notes[-1][1] if told.notes else False
                )
        path.write_text("a\n")
        lines = await reading
        await source.close()
        return lines

    assert texts(run(check())) == ["a"]


def test_another_file_under_the_name_is_read_from_its_beginning(path):
    path.write_text("a\nb\nc\n")
    told = Told()
    source = opened(path, told)
    assert len(run(read_all(source))) == 3
    position = source.position()
    path.write_text("d\ne\nf\n")
    assert texts(run(read_all(opened(path, told, position)))) == ["d", "e", "f"]
    assert told.kinds == ["other-file"]


def test_what_was_appended_is_read_after_a_restart(path):
    path.write_text("a\nb\n")
    told = Told()
    source = opened(path, told)
    run(read_all(source))
    with path.open("a") as file:
        file.write("c\n")
    lines = run(read_all(opened(path, told, source.position())))
    assert [(line.text, line.number) for line in lines] == [("a", 0), ("c", 3)]


def test_a_file_that_is_rewritten_while_it_is_read(path, monkeypatch):
    monkeypatch.setattr(regular_file, "_CHUNK", 8)
    path.write_text("one\ntwo\nthree\nfour\n")
    told = Told()

    async def check():
        source = opened(path, told)
        lines = await lines_of(source, 2)
        path.write_text("1111111111111\n2222222222222\n")
        lines += await lines_of(source)
        await source.close()
        return lines

    assert texts(run(check())) == ["one", "two", "1111111111111", "2222222222222"]
    assert told.kinds == ["other-file"]


@pytest.mark.parametrize(
    "position", ["", "17", "{}", "[]", '{"device": 1}', "\ud800", '{"offset": -1}', "null"]
)
def test_positions_that_make_no_sense(path, position):
    path.write_text("a\n")
    told = Told()
    assert texts(run(read_all(opened(path, told, position)))) == ["a"]
    assert told.kinds == ["position-lost"]


@pytest.mark.parametrize("offset", [7, 2**61])
def test_positions_that_are_none_of_this_file(path, offset):
    path.write_text("a\n")
    told = Told()
    mark = regular_file.Mark(1, 2, offset, 3, "00")
    assert texts(run(read_all(opened(path, told, mark.text())))) == ["a"]
    assert told.kinds == ["other-file"]


@pytest.mark.parametrize("name", ["", "folder/", "a\0b"])
def test_names_of_no_file(name):
    with pytest.raises(DecodeError, match="is not the name of a file"):
        decode(FileOptions, {"path": name})
