"""How a fleet does: what every asset needs, of all that is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal, get_args

from edge_ad.toolchain.collect.table import prepare_health
from edge_ad.toolchain.fleet.store import FleetStore
from edge_ad.toolchain.rollout.hosts import prepare_hosts
from edge_ad.toolchain.rollout.results import WELL, prepare_results

Flag = Literal[
    "unbuilt", "silent", "late", "down", "alarm", "unknown", "drift", "old-bundle", "rollout-failed"
]
FLAGS: tuple[Flag, ...] = get_args(Flag)
"""`unbuilt`: no bundle in the fleet. `silent`: never heard of. `late`: no word for too long, or its agent is
known to be offline. `down`: no bundle in service there. `unknown`: the newest decision, or many of the last
day, without a score. `old-bundle`: runs another one than the fleet has for it. `rollout-failed`: its host did
not come out well of the last rollout, and it still does not run what it should."""
Advice = Literal["recalibrate", "retrain"]
_DRIFTS = ("moderate", "major")
MANY_UNKNOWN = 0.2
"""Share of the last day's decisions."""
MANY_ALARMS = 0.05
"""Share of the last day's decisions; and of its scores above all of training."""

_QUERY = """
SELECT a.asset, a.bundle_id, a.build_number,
    coalesce(h.host, nullif(n.host, ''), r.host, ''),
    n.time, n.state, n.reason, n.bundle_id, n.score, n.ucl,
    n.decisions, n.alarms, n.episodes, n.unknown_share, n.drift, n.psi, n.ks, n.beyond_share,
    r.bundle_id, r.time, x.rollout, x.state, x.problem, g.status, g.time
FROM assets a
LEFT JOIN host_assets h ON h.asset = a.asset
LEFT JOIN health_now n ON n.asset = a.asset
LEFT JOIN running r ON r.asset = a.asset
LEFT JOIN (
    SELECT host, max(rollout) AS rollout, state, problem FROM rollout_hosts
    WHERE state <> 'waiting' GROUP BY host
) x ON x.host = coalesce(h.host, r.host)
LEFT JOIN agents g ON g.host = coalesce(h.host, nullif(n.host, ''))
ORDER BY a.asset
"""


@dataclass(frozen=True)
class AssetStatus:
    """One asset. None where nothing is known."""

    asset: str
    host: str
    """Empty where no host is known."""
    flags: tuple[Flag, ...]
    """What somebody should look at; empty where all is well."""
    advice: Advice | None
    """`recalibrate`: scores are distributed otherwise than in training, and nothing alarms: limits from
    normal samples of that very machine. `retrain`: so otherwise that it alarms, or leaves all that training
    had: if the machine is well, train it anew."""
    state: str | None
    reason: str | None
    time: str | None
    """Of the newest word, UTC."""
    age_s: float | None
    running: str | None
    """Id of the bundle there, as far as it is known."""
    running_build: int | None
    """None where the fleet does not know that bundle."""
    wanted_build: int
    """0 where there is none."""
    score: float | None
    ucl: float | None
    drift: str | None
    psi: float | None
    ks: float | None
    alarm_share: float | None
    episodes: int | None
    unknown_share: float | None
    rollout: str | None
    rollout_state: str | None
    rollout_problem: str | None


def fleet_status(store: FleetStore, *, late_after_s: float, now: datetime | None = None) -> list[AssetStatus]:
    """Every asset of a fleet, by name. Raises OutputError, StoreError."""
    moment = now or datetime.now(timezone.utc)
    with store.transaction() as db:
        prepare_hosts(db)
        prepare_results(db)
        prepare_health(db)
        rows = db.execute(_QUERY).fetchall()
        history = db.execute("SELECT asset, bundle_id, build_number FROM history").fetchall()
    builds = {(asset, bundle_id[:12]): build for asset, bundle_id, build in history}
    builds.update({(row[0], row[1][:12]): row[2] for row in rows if row[1]})
    return [_status(row, builds, moment, late_after_s) for row in rows]


def _status(
    row: tuple[Any, ...], builds: dict[tuple[str, str], int], now: datetime, late_after_s: float
) -> AssetStatus:
    (asset, wanted, wanted_build, host, time, state, reason, heard, score, ucl) = row[:10]
    (decisions, alarms, episodes, unknown_share, drift, psi, ks, beyond_share) = row[10:18]
    (rolled, rolled_time, rollout, rollout_state, problem, agent, agent_time) = row[18:]
    running = rolled if rolled and (not heard or not time or rolled_time > time) else heard
    age_s = None if time is None else (now - datetime.fromisoformat(time)).total_seconds()
    is_current = bool(running and wanted and wanted.startswith(running[:12]))
    alarm_share = alarms / decisions if decisions and alarms is not None else None
    is_offline = agent == "offline" and (time is None or agent_time >= time)
    applies: dict[Flag, bool] = {
        "unbuilt": not wanted,
        "silent": time is None,
        "late": is_offline or (age_s is not None and age_s > late_after_s),
        "down": state == "down",
        "alarm": state == "alarm",
        "unknown": state == "unknown" or (unknown_share or 0.0) > MANY_UNKNOWN,
        "drift": drift in _DRIFTS,
        "old-bundle": bool(running and wanted) and not is_current,
        "rollout-failed": rollout_state not in (None, *WELL) and not is_current,
    }
    return AssetStatus(
        asset=asset,
        host=host,
        flags=tuple(flag for flag in FLAGS if applies[flag]),
        advice=_advice(drift, alarm_share, episodes, beyond_share) if is_current else None,
        state=state,
        reason=reason,
        time=time,
        age_s=age_s,
        running=running,
        running_build=builds.get((asset, running[:12])) if running else None,
        wanted_build=wanted_build if wanted else 0,
        score=score,
        ucl=ucl,
        drift=drift,
        psi=psi,
        ks=ks,
        alarm_share=alarm_share,
        episodes=episodes,
        unknown_share=unknown_share,
        rollout=rollout,
        rollout_state=rollout_state,
        rollout_problem=problem or None,
    )


def _advice(
    drift: str | None, alarm_share: float | None, episodes: int | None, beyond_share: float | None
) -> Advice | None:
    """Only for scores of the bundle that the asset is to run."""
    if drift not in _DRIFTS:
        return None
    if not alarm_share and not episodes:
        return "recalibrate"
    if drift == "major" and max(alarm_share or 0.0, beyond_share or 0.0) >= MANY_ALARMS:
        return "retrain"
    return None
