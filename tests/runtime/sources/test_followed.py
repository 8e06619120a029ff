import asyncio
import os
import random
import shutil
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_ad.bundle.codec import DecodeError, decode
from edge_ad.runtime.sources import followed, regular_file
from edge_ad.runtime.sources.followed import FollowedFile, FollowOptions, open_source
from edge_ad.runtime.sources.waiting import Pause
from tests.runtime.sources.reading import DEADLINE_S, Told, lines_of, nothing_more, run, texts, until
from tests.runtime.sources.test_whole_file import forbidden


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pump.csv"


def opened(path, told, position=None, **options):
    options = FollowOptions(str(path), **{"poll_s": 0.002, **options})
    return FollowedFile(options, told.context(position), Pause(0.01, 0.05))


def append(path, text):
    with path.open("a") as file:
        file.write(text)


def following(path, check, told=None, **options):
    """What `check(source)` returns."""
    told = told or Told()

    async def checked():
        source = opened(path, told, **options)
        try:
            return await check(source)
        finally:
            await source.close()

    return run(checked())


def test_a_file_is_waited_for_and_followed(path):
    told = Told()

    async def check(source):
        reading = asyncio.create_task(source.read())
        await until(lambda: told.notes)
        assert source.position() is None
        append(path, "t;a\n1;2\n3")
        lines = list(await reading)
        append(path, ";4\n\n")
        return lines + await lines_of(source, 2)

    lines = following(path, check, told)
    assert texts(lines) == ["t;a", "1;2", "3;4", ""]
    assert [(line.number, line.first) for line in lines] == [(1, True), (2, False), (3, False), (4, False)]
    assert told.kinds == ["no-file"]
    assert told.said == [f"{path} is there"]


def test_rotated_files_whose_numbers_rise(path):
    """The newest has the highest number, not the lowest as with logrotate: none is read again."""
    append(path, "t;a\n0\n")

    async def check(source):
        lines = await lines_of(source, 2)
        for number in range(1, 5):
            path.rename(path.with_name(f"{path.name}.{number}"))
            append(path, f"t;a\n{number}\n")
            lines += await lines_of(source, 2)
        await nothing_more(source)
        return lines

    assert [text for text in texts(following(path, check)) if text != "t;a"] == ["0", "1", "2", "3", "4"]


def test_lines_are_timed_once_the_end_was_reached(path):
    append(path, "old\n")

    async def check(source):
        (old,) = await source.read()
        reading = asyncio.create_task(source.read())
        await asyncio.sleep(0.01)
        append(path, "new\n")
        (new,) = await reading
        return old.arrived, new.arrived

    old, new = following(path, check)
    assert old is None
    assert abs(time.monotonic() - new) < DEADLINE_S


def test_only_what_comes_from_now_on(path):
    append(path, "t;a\n1;2\n3;4")

    async def check(source):
        lines = list(await source.read())
        assert [(line.text, line.number, line.first) for line in lines] == [("t;a", 0, True)]
        append(path, "5\n6;7\n")
        lines = await lines_of(source, 2)
        return [(line.text, line.number) for line in lines]

    assert following(path, check, from_start=False) == [("3;45", 3), ("6;7", 4)]


def test_only_what_comes_from_now_on_of_a_file_that_comes_later(path):
    async def check(source):
        reading = asyncio.create_task(source.read())
        await asyncio.sleep(0.02)
        append(path, "t;a\n1;2\n")
        return await reading

    assert texts(following(path, check, from_start=False)) == ["t;a", "1;2"]


@pytest.mark.parametrize("name", ["pump.csv.1", "pump.csv-20260105", "pump-20260105.csv", "elsewhere"])
def test_a_renamed_file_is_read_to_its_end(path, name):
    append(path, "a\nb\n")

    async def check(source):
        lines = await lines_of(source, 2)
        old = path.rename(path.with_name(name))
        append(old, "c\n")  # its writer has it open
        lines += await lines_of(source, 1)
        path.touch()
        assert await nothing_more(source, 0.03)
        append(old, "d\n")  # and did not hear of it yet
        lines += await lines_of(source, 1)
        append(old, "e\n12;")
        append(path, "f\n")
        return lines + await lines_of(source, 3)

    lines = following(path, check)
    assert texts(lines) == ["a", "b", "c", "d", "e", ("12;", "cut off"), "f"]
    assert [line.number for line in lines] == [1, 2, 3, 4, 5, 6, 1]
    assert lines[-1].first


def test_what_is_written_between_the_last_look_and_the_rotation_is_read(path, monkeypatch):
    append(path, "a\n")

    def rotated_just_now(name):
        monkeypatch.undo()
        append(path, "b\n")
        path.rename(path.with_name("pump.csv.1"))
        append(path, "c\n")
        return followed._status(name)

    async def check(source):
        lines = await lines_of(source, 1)
        monkeypatch.setattr(followed, "_status", rotated_just_now)
        return lines + await lines_of(source, 2)

    assert texts(following(path, check)) == ["a", "b", "c"]


@pytest.mark.parametrize("scheme", ["number", "date"])
def test_files_that_were_rotated_between_two_looks_are_read_in_order(path, scheme):
    def rotate(n):
        if scheme == "date":
            path.rename(path.with_name(f"pump.csv-202601{n:02d}"))
            return
        for i in range(20, 0, -1):
            if path.with_name(f"pump.csv.{i}").exists():
                path.with_name(f"pump.csv.{i}").rename(path.with_name(f"pump.csv.{i + 1}"))
        path.rename(path.with_name("pump.csv.1"))

    append(path.with_name("pump.csv.gz"), "no text")
    append(path, "0\n")

    async def check(source):
        lines = await lines_of(source, 1)
        for n in range(1, 15):
            rotate(n)
            append(path, f"{n}\n")
        return lines + await lines_of(source, 14)

    assert texts(following(path, check)) == [str(n) for n in range(15)]


def test_a_file_that_is_replaced_by_another(path):
    append(path, "a\nb")
    append(path.with_name("pump.csv.1"), "long ago\n")
    append(path.with_name("new"), "c\n")

    async def check(source):
        lines = await lines_of(source, 1)
        path.with_name("new").rename(path)
        return lines + await lines_of(source, 2)

    os.utime(path.with_name("pump.csv.1"), (1, 1))
    assert texts(following(path, check)) == ["a", ("b", "cut off"), "c"]


@pytest.mark.parametrize("grown", ["", "x\n", "another\nline\nand more than there was\n"])
def test_a_file_that_is_emptied_in_place(path, grown):
    told = Told()
    append(path, "one\ntwo\nthr")

    async def check(source):
        lines = await lines_of(source, 2)
        assert await nothing_more(source)
        path.write_text(grown)
        lines += await lines_of(source, 1)
        if not grown:
            append(path, "x\n")
        lines += await lines_of(source, max(1, grown.count("\n")))
        assert await nothing_more(source)
        return lines

    lines = following(path, check, told)
    assert texts(lines) == ["one", "two", ("thr", "cut off"), *(grown or "x\n").splitlines()]
    assert lines[3].first
    assert lines[3].number == 1
    assert told.said == [f"{path} was rewritten: it is read from its beginning"]


def test_what_was_copied_before_it_was_emptied_is_read_there(path, monkeypatch):
    """As with logrotate's copytruncate, before which somebody wrote once more."""
    monkeypatch.setattr(regular_file, "MOST_AT_ONCE", 2)
    monkeypatch.setattr(regular_file, "_CHUNK", 6)
    append(path, "one\ntwo\nthree\nfour\nfive\nsi")

    async def check(source):
        lines = await lines_of(source, 2)
        shutil.copy(path, path.with_name("pump.csv.1"))
        os.truncate(path, 0)
        append(path, "x\nseven\n")
        return lines + await lines_of(source, 6)

    lines = following(path, check)
    assert texts(lines) == ["one", "two", "three", "four", "five", ("si", "cut off"), "x", "seven"]


def test_an_old_file_with_the_same_header_is_no_copy(path):
    append(path, "t;a;b;c\n")
    append(path.with_name("pump.csv.1"), "t;a;b;c\n1;2;3;4\n")

    async def check(source):
        lines = await lines_of(source, 1)
        os.truncate(path, 0)
        append(path, "t;x\n5;6\n")
        return lines + await lines_of(source, 2)

    assert texts(following(path, check)) == ["t;a;b;c", "t;x", "5;6"]


def test_a_link_that_moves_on(path):
    one, two = path.with_name("pump.csv-20260101"), path.with_name("pump.csv-20260102")
    append(one, "a\n")
    path.symlink_to(one)

    async def check(source):
        lines = await lines_of(source, 1)
        append(one, "b\n")
        two.touch()
        path.unlink()
        path.symlink_to(two)
        lines += await lines_of(source, 1)
        append(one, "c\n")
        lines += await lines_of(source, 1)
        append(two, "d\n")
        return lines + await lines_of(source, 1)

    assert texts(following(path, check)) == ["a", "b", "c", "d"]


# --- what cannot be read --------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["folder", "fifo", "forbidden"])
def test_what_cannot_be_read_is_told_and_tried_again(path, what):
    told = Told()

    async def check(source):
        append(path, "a\n")
        lines = await lines_of(source, 1)
        reading = asyncio.create_task(source.read())
        append(path, "b\n")
        path.rename(path.with_name("pump.csv.1"))
        lines += await reading
        reading = asyncio.create_task(source.read())
        if what == "folder":
            path.mkdir()
            await until(lambda: "Is a directory" in told.last)
            path.rmdir()
        elif what == "fifo":
            os.mkfifo(path)
            await until(lambda: "it is no regular file" in told.last)
            path.unlink()
        else:
            append(path, "c\n")
            with forbidden(path):
                await until(lambda: "must be allowed to read it" in told.last)
            path.unlink()
        append(path, "c\n")
        return lines + list(await reading)

    assert texts(following(path, check, told)) == ["a", "b", "c"]
    assert set(told.kinds) == {"unreadable-file"}


def test_a_fifo_is_refused_without_waiting(path):
    os.mkfifo(path)
    told = Told()

    async def check(source):
        reading = asyncio.create_task(source.read())
        await until(lambda: told.notes)
        path.unlink()
        append(path, "a\n")
        return await reading

    assert texts(following(path, check, told)) == ["a"]
    assert "it is no regular file" in told.notes[0][1]


# --- restarts -------------------------------------------------------------------------------------------


def restarted(path, before, meanwhile, after, told=None):
    """Read `before` lines, stop, do something, and read `after` lines; the texts of both."""
    told = told or Told()

    async def check():
        source = opened(path, told)
        lines = await lines_of(source, before)
        position = source.position()
        await source.close()
        assert source.position() == position
        meanwhile()
        source = opened(path, told, position)
        again = await lines_of(source, after + 1)
        assert again[0].number == 0  # the header, given again
        assert await nothing_more(source, 0.02)
        await source.close()
        return texts(lines), texts(again[1:])

    return run(check())


TEN = "".join(f"line {n}\n" for n in range(10))


@pytest.fixture
def few_at_once(monkeypatch):
    monkeypatch.setattr(regular_file, "MOST_AT_ONCE", 4)


@pytest.mark.usefixtures("few_at_once")
class TestRestart:
    def test_in_the_same_file(self, path):
        append(path, TEN + "li")
        assert restarted(path, 4, lambda: append(path, "ne 10\n"), 7)[1] == [
            f"line {n}" for n in range(4, 11)
        ]

    def test_in_a_file_whose_last_line_is_written_slowly(self, path, monkeypatch):
        monkeypatch.setattr(regular_file, "_CHUNK", 3)
        n = 400  # more than what a place is known by
        append(path, "".join(f"{i}\n" for i in range(n)) + "c;1")
        told = Told()

        async def check():
            source = opened(path, told)
            await lines_of(source, n)
            assert await nothing_more(source)  # which reads on, in several pieces
            position = source.position()
            await source.close()
            append(path, "7\n")
            source = opened(path, told, position)
            lines = await lines_of(source, 2)
            await source.close()
            return lines

        assert [(line.text, line.number) for line in run(check())] == [("0", 0), ("c;17", n + 1)]
        assert told.notes == []

    @pytest.mark.parametrize("name", ["pump.csv.1", "pump.csv-20260105", "pump-20260105.csv", "pump.csv.old"])
    def test_in_a_file_that_was_rotated(self, path, name):
        append(path, TEN)

        def meanwhile():
            path.rename(path.with_name(name))
            append(path, "next\n")

        assert restarted(path, 4, meanwhile, 7)[1] == [*(f"line {n}" for n in range(4, 10)), "next"]

    def test_in_a_file_that_was_rotated_several_times(self, path):
        append(path, TEN)

        def meanwhile():
            path.rename(path.with_name("pump.csv.3"))
            append(path.with_name("pump.csv.2"), "between\n")
            append(path.with_name("pump.csv.1"), "torn")
            append(path.with_name("pump.csv.4"), "long ago\n")
            append(path, "next\n")

        _, after = restarted(path, 4, meanwhile, 9)
        assert after[6:] == ["between", ("torn", "cut off"), "next"]

    def test_in_a_file_that_was_copied_and_emptied(self, path):
        append(path, TEN)

        def meanwhile():
            shutil.copy(path, path.with_name("pump.csv.1"))
            path.write_text("next\n")

        assert restarted(path, 4, meanwhile, 7)[1] == [*(f"line {n}" for n in range(4, 10)), "next"]

    def test_in_a_file_that_came_from_a_backup(self, path):
        append(path, TEN)

        def meanwhile():
            shutil.copy(path, path.with_name("copy"))
            path.unlink()
            path.with_name("copy").rename(path)

        assert restarted(path, 4, meanwhile, 6)[1] == [f"line {n}" for n in range(4, 10)]

    @pytest.mark.parametrize("content", ["x\ny\n", "0123456789" * 10 + "\ny\n"])
    def test_in_a_file_that_is_gone(self, path, content):
        append(path, TEN)
        told = Told()

        def meanwhile():
            path.unlink()
            append(path, content)

        async def check():
            source = opened(path, told)
            await lines_of(source, 4)
            position = source.position()
            await source.close()
            meanwhile()
            source = opened(path, told, position)
            lines = await lines_of(source, 2)
            await source.close()
            return lines

        lines = run(check())
        assert texts(lines) == content.splitlines()
        assert told.kinds == ["lines-missing"]

    def test_in_a_file_whose_number_another_one_has_now(self, path):
        """File systems use an inode again soon; what is before the place tells the files apart."""
        append(path, TEN)
        told = Told()

        async def check():
            source = opened(path, told)
            await lines_of(source, 4)
            position = source.position()
            await source.close()
            path.write_text(TEN.replace("line", "LINE"))  # the same inode for sure
            source = opened(path, told, position)
            lines = await lines_of(source, 10)
            await source.close()
            return lines

        assert texts(run(check())) == [f"LINE {n}" for n in range(10)]
        assert told.kinds == ["lines-missing"]


# --- any sequence of what can happen --------------------------------------------------------------------

OPERATIONS = st.sampled_from(
    ["write"] * 6 + ["torn", "torn", "read", "read", "restart", "rotate", "rotate late", "copy", "empty"]
)


class World:
    """A followed file, and what of it a slow oracle says must be read."""

    def __init__(self, folder):
        self.path = folder / "pump.csv"
        self.path.touch()
        self.contents = [""]
        """Of every file that there was, the present one last; None while there is none."""
        self.n = 0
        self.n_read = 0
        """Lines and torn ones."""

    def write(self, text):
        append(self.path, text)
        self.contents[-1] = (self.contents[-1] or "") + text

    def expected(self):
        """All that can have been read by now."""
        lines, files = [], self.contents
        last = len(files) - 1
        for i, content in enumerate(files):
            *whole, torn = (content or "").split("\n")
            lines += whole
            # One goes on only to what has something in it, or is rotated already.
            if i == last or (i + 1 == last and not files[last]):
                break
            if torn:
                lines.append((torn, "cut off"))
        return lines

    def rotate(self, *, new):
        if self.contents[-1] is None:
            return
        numbers = sorted((int(p.suffix[1:]) for p in self.path.parent.glob("pump.csv.*")), reverse=True)
        for number in numbers:
            self.path.with_name(f"pump.csv.{number}").rename(self.path.with_name(f"pump.csv.{number + 1}"))
        self.path.rename(self.path.with_name("pump.csv.1"))
        self.contents.append("" if new else None)
        if new:
            self.path.touch()

    def read_of_present(self):
        """How many lines of the present file were read."""
        former = World.__new__(World)
        former.contents = [*self.contents[:-1], "\n"]
        return self.n_read - (len(former.expected()) - 1)

    def empty(self, *, copy):
        """In place; not where nobody could know it, or where what was not read would be lost."""
        if self.contents[-1] is None or self.read_of_present() < 2:
            return
        if copy:
            numbers = sorted((int(p.suffix[1:]) for p in self.path.parent.glob("pump.csv.*")), reverse=True)
            for number in numbers:
                self.path.with_name(f"pump.csv.{number}").rename(
                    self.path.with_name(f"pump.csv.{number + 1}")
                )
            shutil.copy(self.path, self.path.with_name("pump.csv.1"))
        elif self.n_read < len(self.expected()) or not self.contents[-1].endswith("\n"):
            return
        os.truncate(self.path, 0)
        self.contents.append("")


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(OPERATIONS, max_size=40), st.integers(1, 4), st.integers(5, 60))
def test_every_line_is_read_once_whatever_happens(tmp_path_factory, operations, most, chunk):
    world = World(tmp_path_factory.mktemp("followed"))
    told, got = Told(), []

    async def read(source, n):
        while len(got) < n:
            got.extend(line for line in await source.read() if line.number)
        world.n_read = len(got)

    async def scenario():
        source = opened(world.path, told, poll_s=0.001)
        await read(source, 0)
        for operation in operations:
            match operation:
                case "write":
                    world.write(f"{world.n};{'x' * (world.n % 7)}\n")
                    world.n += 1
                case "torn":
                    world.write(f"{world.n};")
                    world.n += 1
                case "read" if len(got) < len(world.expected()):
                    await read(source, len(got) + 1)
                case "restart" if source.position() is not None:
                    position = source.position()
                    await source.close()
                    source = opened(world.path, told, position, poll_s=0.001)
                case "rotate" | "rotate late":
                    # Where it is at, one knows only from the first line on.
                    if source.position() is not None:
                        world.rotate(new=operation == "rotate")
                case "copy" | "empty":
                    world.empty(copy=operation == "copy")
        await read(source, len(world.expected()))
        assert await nothing_more(source, 0.01)
        await source.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regular_file, "MOST_AT_ONCE", most)
        patch.setattr(regular_file, "_CHUNK", chunk)
        run(scenario())
    assert texts(got) == world.expected()
    # After a restart nobody knows what was in a file that was emptied without a copy.
    assert set(told.kinds) <= {"no-file", *(["lines-missing"] if "empty" in operations else [])}


# --- live -----------------------------------------------------------------------------------------------

WRITER = """
import logging, logging.handlers, sys
handler = logging.handlers.RotatingFileHandler(sys.argv[1], maxBytes=20_000, backupCount=10_000)
handler.setFormatter(logging.Formatter("%(message)s"))
log = logging.getLogger()
log.addHandler(handler)
for n in range(1, int(sys.argv[2])):
    log.warning("%d;%s", n, "x" * (n % 50))
"""


def writing(path, n):
    """A process that goes on after line 0, to before line n."""
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(n)])


def test_a_process_that_writes_and_rotates_all_the_time(path):
    n, writers = 12_000, []
    append(path, "0;\n")

    async def check(source):
        lines = await lines_of(source, 1)
        writers.append(writing(path, n))
        while len(lines) < n:
            # a reader that is cancelled now and then
            reading = asyncio.create_task(source.read())
            await asyncio.wait([reading], timeout=0.003)
            if not reading.done():
                reading.cancel()
                await asyncio.wait([reading])
            if not reading.cancelled():
                lines += reading.result()
        return lines

    try:
        lines = following(path, check)
    finally:
        for writer in writers:
            writer.wait()
    assert texts(lines) == [f"{n};{'x' * (n % 50)}" for n in range(n)]


def test_a_reader_that_is_stopped_and_started_while_a_process_writes(path):
    n, told, chance, writers = 6000, Told(), random.Random(1), []
    append(path, "0;\n")

    async def check():
        position, lines = None, []
        while len(lines) < n:
            source = opened(path, told, position)
            if position is None:
                lines += await lines_of(source, 1)
                writers.append(writing(path, n))
            for _ in range(chance.randrange(1, 6)):
                if len(lines) < n:
                    lines += [line for line in await source.read() if line.number]
            position = source.position()
            await source.close()
        return lines

    try:
        lines = run(check())
    finally:
        for writer in writers:
            writer.wait()
    assert texts(lines) == [f"{n};{'x' * (n % 50)}" for n in range(n)]
    assert set(told.kinds) <= {"no-file"}


def test_a_thread_that_writes_in_torn_pieces(path):
    text = "".join(f"{n};{'é' * (n % 9)}\n" for n in range(3000)).encode()

    def write():
        chance = random.Random(2)
        with path.open("wb", buffering=0) as file:
            at = 0
            while at < len(text):
                n = chance.randrange(1, 60)
                file.write(text[at : at + n])
                at += n

    thread = threading.Thread(target=write)
    thread.start()
    lines = following(path, lambda source: lines_of(source, 3000))
    thread.join()
    assert texts(lines) == text.decode().splitlines()


@pytest.mark.parametrize("how", ["rename", "copy and empty"])
def test_a_thread_that_rotates_in_the_middle_of_lines(path, how):
    """What was torn is told, in two halves; every other line comes once."""
    text = "".join(f"{n};{'x' * (n * 7 % 40)}\n" for n in range(3000)).encode()
    contents, n_read = [b""], [0]
    stop = threading.Event()

    def rotate():
        aside = path.with_name(f"pump.csv-2026{len(contents):04d}")
        if how == "rename":
            path.rename(aside)
        else:
            # Where the reader is, it knows from the second line on.
            before = sum(n_lines(content) for content in contents[:-1])
            while n_read[0] < before + min(2, n_lines(contents[-1])) and not stop.is_set():
                time.sleep(0.0005)
            shutil.copy(path, aside)
            os.truncate(path, 0)
        contents.append(b"")

    def put(piece):
        with path.open("ab") as file:
            file.write(piece)
        contents[-1] += piece

    def write():
        chance, at = random.Random(3), 0
        while at < len(text) and not stop.is_set():
            n = chance.randrange(1, 60)
            put(text[at : at + n])
            at += n
            if contents[-1].count(b"\n") > 2 and chance.random() < 0.02:
                rotate()
        put(b"\nend\n")

    def n_lines(content):
        return content.count(b"\n") + (not content.endswith(b"\n"))

    async def check(source):
        reading = asyncio.create_task(source.read())
        await until(lambda: source.position() is not None)
        writer.start()
        lines = list(await reading)
        while lines[-1].text != "end":
            lines += await source.read()
            n_read[0] = len(lines)
        return lines

    path.touch()
    writer = threading.Thread(target=write)
    try:
        lines = following(path, check)
    finally:
        stop.set()
        writer.join()
    expected = []
    for content in contents:
        *whole, torn = content.decode().split("\n")
        expected += [*whole, (torn, "cut off")] if torn else whole
    assert len(contents) > 20
    assert texts(lines) == expected


@pytest.mark.skipif(shutil.which("logrotate") is None, reason="needs logrotate")
@pytest.mark.parametrize("how", ["create", "nocreate", "copytruncate", "dateext\ndateformat -%Y%m%d-%s"])
def test_logrotate(path, tmp_path, how):
    config, state = tmp_path / "rotate.conf", tmp_path / "state"
    user = "su root root\n" if os.geteuid() == 0 else ""
    config.write_text(f"{user}{path} {{\nrotate 99\n{how}\n}}\n")
    config.chmod(0o600)
    tmp_path.chmod(0o700)

    async def check(source):
        lines = []
        for n in range(3):
            append(path, "".join(f"{n};{i}\n" for i in range(5)))
            lines += await lines_of(source, 6 * n + 5 - len(lines))
            append(path, f"{n};last\n")
            if "%s" in how:  # a name a second, by a clock that lags a little
                free = int(time.time()) + 1.05
                await until(lambda free=free: time.time() > free)
            result = subprocess.run(
                ["logrotate", "-v", "-f", "-s", state, config], check=False, capture_output=True, text=True
            )
            assert result.returncode == 0, result.stderr
        append(path, "end\n")
        return lines + await lines_of(source, 19 - len(lines))

    lines = following(path, check)
    assert texts(lines) == [
        *(f"{n};{i}" for n in range(3) for i in [*range(5), "last"]),
        "end",
    ]


def test_a_poll_interval_follows_the_sample_period(path):
    for period, poll in ((0.001, 0.02), (1.0, 0.25), (60.0, 0.5)):
        source = open_source(FollowOptions(str(path)), Told().context(period_s=period))
        assert source._poll_s == poll


@pytest.mark.parametrize("table", [{}, {"path": ""}, {"path": "x", "poll_s": 0}, {"path": "x", "poll": 1}])
def test_tables_that_make_no_sense(table):
    with pytest.raises(DecodeError):
        decode(FollowOptions, table)
