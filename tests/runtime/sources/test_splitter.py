import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.runtime.sources import splitter
from edge_ad.runtime.sources.splitter import LineSplitter

DATA = st.binary(max_size=200) | st.text(alphabet="ab\n\r\0é", max_size=200).map(str.encode)


def split(pieces, most=1000, **options):
    """All lines of a stream in pieces, the unfinished one last, and the splitter."""
    subject, lines = LineSplitter(**options), []
    for piece in pieces:
        subject.push(piece)
        while taken := subject.take(most):
            assert len(taken) <= most
            lines += taken
    rest = subject.flush("cut off")
    return lines + ([] if rest is None else [rest]), subject


def naive(data):
    """Number, text, whether it is the first, and whether it is whole."""
    *whole, rest = data.split(b"\n")
    lines = [(text, True) for text in whole] + ([(rest, False)] if rest.strip(b"\r") else [])
    return [
        (number, text.rstrip(b"\r").decode("utf-8", "replace"), number == 1, is_whole)
        for number, (text, is_whole) in enumerate(lines, 1)
    ]


@st.composite
def chunked(draw):
    data = draw(DATA)
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=20)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@given(chunked(), st.integers(1, 5))
def test_the_lines_are_the_same_however_the_bytes_come(pieces, most):
    lines, subject = split(pieces, most)
    data = b"".join(pieces)
    assert [(x.number, x.text, x.first, x.problem is None) for x in lines] == naive(data)
    assert subject.consumed == len(data)
    assert subject.number == len(lines)


@given(chunked(), st.integers(1, 5), st.integers(0, 20))
def test_overlong_lines_are_cut_and_every_byte_is_counted(pieces, most, longest):
    data = b"".join(pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splitter, "LONGEST_LINE", longest)
        lines, subject = split(pieces, most)
    *whole, rest = data.split(b"\n")
    everything = whole + ([rest] if rest[: longest + 1].strip(b"\r") or len(rest) > longest + 1 else [])
    assert len(lines) == len(everything)
    for number, (line, raw) in enumerate(zip(lines, everything, strict=True)):
        assert line.text == raw[:longest].rstrip(b"\r").decode("utf-8", "replace") or len(raw) > longest
        assert len(line.text.encode()) <= 3 * longest
        assert (line.problem is None) == (len(raw) <= longest and number < len(whole))
    assert subject.consumed == len(data)


def test_a_position_counts_only_the_lines_taken():
    subject = LineSplitter(number=7, first=False)
    subject.push(b"one\r\ntwo\nthr", arrived=5.0)
    assert [line.text for line in subject.take(1)] == ["one"]
    assert (subject.consumed, subject.number) == (5, 8)
    (line,) = subject.take(9)
    assert (line.text, line.number, line.arrived, line.first) == ("two", 9, 5.0, False)
    assert subject.consumed == 9
    subject.push(b"ee\n", arrived=6.0)
    assert subject.take(9)[0].arrived == 6.0
    assert subject.flush("cut off") is None


def test_a_line_without_end_takes_bounded_memory():
    subject = LineSplitter()
    piece = b"x" * 65536
    for _ in range(200):
        subject.push(piece)
    assert len(subject._rest) <= splitter.LONGEST_LINE + 1
    subject.push(b"\nnext\n")
    overlong, line = subject.take(9)
    assert len(overlong.text) == splitter.LONGEST_LINE
    assert overlong.problem == "longer than 1048576 bytes, the rest is dropped"
    assert (line.text, line.problem) == ("next", None)
    assert subject.consumed == 200 * len(piece) + 6


def test_byte_by_byte_is_not_quadratic():
    subject = LineSplitter()
    for _ in range(300_000):  # with a copy of the rest for each, 45 GB would be moved
        subject.push(b"x")
    subject.push(b"\n")
    assert len(subject.take(1)[0].text) == 300_000


def test_bytes_that_are_no_text_spoil_nothing_else():
    lines, _ = split([b"a\xff\x00b\n", b"\xc3", b"\xa9\n", b"\x00\n"])
    assert [line.text for line in lines] == ["a\ufffd\x00b", "é", "\x00"]
