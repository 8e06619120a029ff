"""Plain text for a terminal: columns of equal width, and nothing a terminal could take for a command."""

from __future__ import annotations

import json
from collections.abc import Sequence


def align(rows: Sequence[Sequence[str]], left: int) -> str:
    """Text columns of equal width; the first `left` ones are left-aligned, numbers right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join([line(rows[0]), "  ".join("-" * w for w in widths), *map(line, rows[1:])])


def percent(fraction: float | None) -> str:
    """A fraction in percent; `-` where there is none."""
    # adding zero turns -0.0 into 0.0
    return "-" if fraction is None else f"{round(100 * fraction, 1) + 0.0:.1f}"


def counted(n: int, noun: str) -> str:
    """So many of something.

    >>> counted(1, "host"), counted(0, "host")
    ('1 host', '0 hosts')
    """
    return f"{n} {noun}" + ("" if n == 1 else "s")


def number(value: float | None, digits: int) -> str:
    """A number with so many decimals; `-` where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def printable(text: str) -> str:
    r"""The text with every character escaped that is not for reading: controls, line ends, direction marks.

    >>> printable("bar\x1b[2J")
    'bar\\x1b[2J'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable_json(text: str) -> str:
    r"""JSON that means the same, with those characters as `\u` escapes; they can only stand in its strings.

    >>> printable_json('["\x9b"]')
    '["\\u009b"]'
    """
    # json.dumps leaves DEL, which is ASCII, as it is
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1].replace("\x7f", "\\u007f") for c in text)
