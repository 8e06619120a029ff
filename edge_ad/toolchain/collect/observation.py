"""What was heard of an asset at a moment, from whatever kind of message or file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from edge_ad.bundle.codec import DecodeError, parse_json

STATES = ("normal", "alarm", "unknown", "warming", "waiting", "down", "ended")
_LONGEST_TEXT = 500
_CLOCKS = timedelta(days=1)
"""What comes from the future by more than that would never be late, and nothing would ever be newer."""


NO_JSON, OTHER_SCHEMA, NONSENSE = "no whole JSON", "another schema", "a value that makes no sense"


class ReportError(ValueError):
    """A message or line that cannot be made sense of; says what of it, and in `why` of which kind that is."""

    def __init__(self, text: str, why: str = NONSENSE) -> None:
        super().__init__(text)
        self.why = why


@dataclass(frozen=True)
class Observation:
    """None where the message does not tell."""

    asset: str
    host: str
    """Name of the device's agent; empty where a file does not tell."""
    time: str
    """ISO 8601, UTC, whole seconds: `2026-11-29T23:30:00Z`."""
    state: str
    reason: str | None = None
    bundle_id: str | None = None
    """As far as it is told: 12 characters at least."""
    overlay_id: str | None = None
    build_number: int | None = None
    score: float | None = None
    ucl: float | None = None
    decisions: int | None = None
    """This and what follows: of the last day of the stream."""
    alarms: int | None = None
    episodes: int | None = None
    unknown_share: float | None = None
    drift: str | None = None
    psi: float | None = None
    ks: float | None = None
    beyond_share: float | None = None

    @property
    def has_health(self) -> bool:
        """Whether it tells of the last day, not only of a moment."""
        return self.decisions is not None


@dataclass(frozen=True)
class AlarmEvent:
    """A change of an alarm episode."""

    id: str
    asset: str
    host: str
    change: str
    start: str
    severity: str | None
    bundle_id: str | None


def parse_object(text: bytes) -> Mapping[str, Any]:
    """A JSON object. Raises ReportError, for one that is cut off as for anything else."""
    try:
        value = parse_json(text)
    except DecodeError as error:
        raise ReportError(f"no whole JSON ({error})", NO_JSON) from error
    if not isinstance(value, dict):
        raise ReportError("no JSON object", NO_JSON)
    return value


def of_report(record: Mapping[str, Any], host: str = "") -> Observation:
    """Of an agent's HealthReport. Raises ReportError."""
    if str(record.get("schema", "")).partition(".")[0] != "1":
        raise ReportError(
            f"a report of schema {record.get('schema')!r}, which this edge_ad does not know", OTHER_SCHEMA
        )
    return Observation(
        asset=_text(record, "asset"),
        host=host or _text(record, "agent"),
        time=_utc(_text(record, "time")),
        state=_state(record),
        reason=_maybe_text(record, "reason"),
        bundle_id=_maybe_text(record, "bundle_id"),
        overlay_id=_maybe_text(record, "overlay_id"),
        build_number=_maybe_int(record, "build_number"),
        score=_maybe_number(record, "score"),
        ucl=_maybe_number(record, "ucl"),
        **_health(record.get("health")),
    )


def of_state(record: Mapping[str, Any], asset: str, host: str, received: str | None) -> Observation:
    """Of the newest decision that an agent publishes, `received` just now.

    None for `received`: it was retained, and the stream's own time counts. Raises ReportError.
    """
    label = _maybe_text(record, "bundle") or ""
    bundle_id, _, overlay_id = label.partition("+")
    return Observation(
        asset=asset,
        host=host,
        time=received or _utc(_maybe_text(record, "time") or ""),
        state=_state(record),
        reason=_maybe_text(record, "reason"),
        bundle_id=bundle_id or None,
        overlay_id=overlay_id or None,
        score=_maybe_number(record, "score"),
        ucl=_maybe_number(record, "ucl"),
    )


def of_summary(record: Mapping[str, Any], asset: str, host: str, time: str) -> Observation:
    """Of the JSON summary of `edge-ad run`, which names neither asset nor time. Raises ReportError."""
    if "variant" not in record or not isinstance(record.get("health"), dict):
        raise ReportError("no summary of edge-ad run")
    return Observation(asset=asset, host=host, time=time, state="ended", **_health(record["health"]))


def of_event(record: Mapping[str, Any], host: str) -> AlarmEvent:
    """Of an alarm event. Raises ReportError."""
    change = _text(record, "change")
    if change not in ("began", "worsened", "ended"):
        raise ReportError(f"change {change!r} is none that an episode has")
    return AlarmEvent(
        id=_text(record, "id"),
        asset=_text(record, "asset"),
        host=host,
        change=change,
        start=_text(record, "start"),
        severity=_maybe_text(record, "severity"),
        bundle_id=_maybe_text(record, "bundle"),
    )


def _health(value: object) -> dict[str, Any]:
    if value is None:
        return {}
    day = value.get("day") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(day, dict):
        raise ReportError("health must have the counts of a day")
    drift = value.get("drift")
    if drift is not None and not isinstance(drift, dict):
        raise ReportError("drift must be an object")
    found = drift or {}
    level = _maybe_text(found, "level")
    if level not in (None, "unclear", "stable", "moderate", "major"):
        raise ReportError(f"drift {level!r} is no level")
    return {
        "decisions": _maybe_int(day, "decisions"),
        "alarms": _maybe_int(day, "alarm"),
        "episodes": _maybe_int(day, "episodes"),
        "unknown_share": _maybe_number(day, "unknown_share"),
        "drift": level,
        "psi": _maybe_number(found, "psi"),
        "ks": _maybe_number(found, "ks"),
        "beyond_share": _maybe_number(found, "beyond_share"),
    }


def _state(record: Mapping[str, Any]) -> str:
    state = _text(record, "state")
    if state not in STATES:
        raise ReportError(f"state {state!r} is none that an asset has")
    return state


def _text(record: Mapping[str, Any], key: str) -> str:
    value = _maybe_text(record, key)
    if not value:
        raise ReportError(f"{key} is missing")
    return value


def _maybe_text(record: Mapping[str, Any], key: str) -> str | None:
    value = record.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or (key != "reason" and len(value) > _LONGEST_TEXT):
        raise ReportError(f"{key} must be text")
    return value[:_LONGEST_TEXT]


def _maybe_number(record: Mapping[str, Any], key: str) -> float | None:
    value = record.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ReportError(f"{key} must be a number")
    return float(value)


def _maybe_int(record: Mapping[str, Any], key: str) -> int | None:
    value = record.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise ReportError(f"{key} must be a whole number")
    return value


def _utc(text: str) -> str:
    """A time with its zone, UTC without one, in the form that compares as text."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        moment = moment.astimezone(timezone.utc)
    except (ValueError, OverflowError) as error:
        raise ReportError(f"time {text[:40]!r} is none") from error
    if moment > datetime.now(timezone.utc) + _CLOCKS:
        raise ReportError(f"time {text[:40]!r} has not come yet: is the clock right there?")
    return iso(moment)


def iso(moment: datetime) -> str:
    """As the index has times."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
