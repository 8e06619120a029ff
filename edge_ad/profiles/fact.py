"""Where the values of a profile come from that are so outside of edge_ad."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase

from edge_ad.profiles.patterns import DATE, SOURCE


@dataclass(frozen=True)
class Fact:
    """Where values of the file come from."""

    keys: tuple[str, ...]
    """Such as hardware.cores or systems.bookworm-aarch64.glibc; a * stands for anything."""
    source: str
    """Address of public documentation; or where it stands: `package index: numpy`."""
    looked_up: str
    """Date, such as 2026-11-28."""

    def __post_init__(self) -> None:
        if not self.keys:
            raise ValueError("keys must name at least one value")
        if not SOURCE.fullmatch(self.source):
            raise ValueError(
                'source must be an address (https://…), or say where to look, as "Debian bookworm: package '
                f'python3" does, not {self.source!r}'
            )
        if not DATE.fullmatch(self.looked_up) or not _is_date(self.looked_up):
            raise ValueError(f'looked_up must be a date such as "2026-11-28", not {self.looked_up!r}')


def unmatched_key(facts: Iterable[Fact], names: Iterable[str]) -> str | None:
    """The first key of a fact that is about nothing; None where there is none."""
    known = list(names)
    for fact in facts:
        for key in fact.keys:
            if not any(fnmatchcase(name, key) for name in known):
                return key
    return None


def without_source(facts: Iterable[Fact], names: Iterable[str]) -> tuple[str, ...]:
    """The names that no fact is about."""
    keys = [key for fact in facts for key in fact.keys]
    return tuple(name for name in names if not any(fnmatchcase(name, key) for key in keys))


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
