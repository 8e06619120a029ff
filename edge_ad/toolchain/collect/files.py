"""Health and events from files: what a device's own files hold, fetched by whatever means."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from edge_ad.errors import DataError
from edge_ad.toolchain.collect.observation import (
    AlarmEvent,
    Observation,
    ReportError,
    iso,
    of_event,
    of_report,
    of_summary,
    parse_object,
)

_LARGEST_LINE = 4 << 20


@dataclass(frozen=True)
class LeftOut:
    """Something that could not be made sense of."""

    text: str
    """Where it stood, and what of it."""
    why: str
    """Of which kind that is, to be counted."""


@dataclass(frozen=True)
class Heard:
    """What files or messages told."""

    observations: list[Observation] = field(default_factory=list)
    events: list[AlarmEvent] = field(default_factory=list)
    bad: list[LeftOut] = field(default_factory=list)


def read_file(path: Path, *, asset: str | None, host: str) -> Heard:
    """A file of one of these kinds, told apart by what is in it.

    Lines of JSON, each a health report or an alarm event, mixed as they may be; or the summary of
    `edge-ad run`, whose asset is `asset` or else the file's name without its suffix, and whose time is the
    file's. A line that makes no sense is told and left out. Raises DataError for a file that cannot be read
    or holds nothing else.
    """
    heard = Heard()
    lines = 0
    try:
        with path.open("rb") as file:
            whole = file.read(_LARGEST_LINE)
            if _is_summary(whole):
                when = iso(datetime.fromtimestamp(path.stat().st_mtime, timezone.utc))
                name = asset or path.stem
                heard.observations.append(of_summary(parse_object(whole), name, host, when))
                return heard
            file.seek(0)
            for number, line in enumerate(_lines(file.readline), 1):
                lines += 1
                try:
                    take_line(heard, line, host)
                except ReportError as error:
                    heard.bad.append(LeftOut(f"{path}, line {number}: {error}", error.why))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except ReportError as error:
        raise DataError(f"{path}: {error}") from error
    if lines and not heard.observations and not heard.events:
        raise DataError(f"{path} holds neither health reports nor alarm events; {heard.bad[0].text}")
    return heard


def take_line(heard: Heard, line: bytes, host: str) -> None:
    """A health report or an alarm event. Raises ReportError."""
    record = parse_object(line)
    if "change" in record:
        heard.events.append(of_event(record, host))
    else:
        heard.observations.append(of_report(record, host))


def _is_summary(text: bytes) -> bool:
    """Whether it is one object that is no line of ours: a summary may be spread over many lines."""
    try:
        record = parse_object(text)
    except ReportError:
        return False
    return "schema" not in record and "change" not in record and "variant" in record


def _lines(readline: Callable[[int], bytes]) -> Iterator[bytes]:
    """Lines that are not empty; one without an end or beyond all measure is cut."""
    while line := readline(_LARGEST_LINE):
        if line.strip():
            yield line
