"""Building a fleet: find the recordings, leave out what is done, have the rest built, keep the index.

The process that runs this is the only one that writes into the fleet's folder. What it has recorded stays,
whatever becomes of it or of the workers: the same command again does what is left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_ad.errors import DataError
from edge_ad.files import make_folder, write_atomic
from edge_ad.toolchain.fleet.engines import Engine
from edge_ad.toolchain.fleet.plan import FleetPlan, save_plan
from edge_ad.toolchain.fleet.record import AssetRecord
from edge_ad.toolchain.fleet.sources import Source
from edge_ad.toolchain.fleet.store import FleetStore
from edge_ad.toolchain.fleet.work import AssetResult, FleetTask
from edge_ad.toolchain.records import file_sha256

ASSETS_PER_TASK = 32
"""Twice the slots of the stack: long enough to keep them busy, short enough to lose."""
_ATTEMPTS = 3
"""A worker that is lost may have been killed by one of its assets: the others are tried without it."""


@dataclass(frozen=True)
class Tally:
    """How far a build has come."""

    total: int
    """Assets of the data set."""
    skipped: int
    """Assets that had been built before from the same data and settings."""
    done: int = 0
    """Assets of this run, with or without a bundle."""
    failed: int = 0
    """Those of them that have none."""
    seconds: float = 0.0
    """Since this run began to build."""

    @property
    def per_minute(self) -> float:
        """Assets of this run a minute."""
        return 60 * self.done / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """None before the first asset is done."""
        left = self.total - self.skipped - self.done
        return left * self.seconds / self.done if self.done else None


Watcher = Callable[[AssetRecord, Tally], None]


def build_fleet(
    root: Path,
    plan: FleetPlan,
    sources: Sequence[Source],
    engine: Engine,
    *,
    assets_per_task: int = ASSETS_PER_TASK,
    watch: Watcher = lambda record, tally: None,
) -> tuple[Tally, list[AssetRecord]]:
    """Build what is missing or was built from other data or settings; call it with the folder locked.

    Returns the tally and the assets of the data set that have no bundle now. Raises OutputError, StoreError,
    DataError where the data set holds nothing.
    """
    if not sources:
        raise DataError(f"{plan.dataset} holds no asset")
    with FleetStore.open(root, create=True) as store:
        save_plan(root, plan)
        todo = _what_is_left(store, plan, sources)
        tally = Tally(len(sources), len(sources) - len(todo))
        start = time.monotonic()
        for result in _results(engine, plan, todo, assets_per_task):
            record = _keep(store, root, result)
            failed = tally.failed + (not record.is_built)
            tally = replace(tally, done=tally.done + 1, failed=failed, seconds=time.monotonic() - start)
            watch(record, tally)
        names = {source.asset for source in sources}
        missing = [r for r in store.assets() if r.asset in names and not r.is_built]
    return tally, missing


def _what_is_left(store: FleetStore, plan: FleetPlan, sources: Sequence[Source]) -> list[Source]:
    known, digest = {record.asset: record for record in store.assets()}, plan.settings_digest
    left = [s for s in sources if not _is_done(store.root, known.get(s.asset), s, digest)]
    store.record(*(AssetRecord(source.asset, source.address) for source in left if source.asset not in known))
    return left


def _is_done(root: Path, record: AssetRecord | None, source: Source, settings_digest: str) -> bool:
    """Whether an asset would come out the same. What failed is tried again: a worker may have been lost."""
    if record is None or record.settings_digest != settings_digest or record.data_stamp != source.stamp:
        return False
    if not source.stamp:
        return False  # nobody can tell whether the recording has changed
    if record.state == "built":
        return file_sha256(root / record.bundle_path) == record.sha256
    return record.state == "gate-failed"


def _results(
    engine: Engine, plan: FleetPlan, todo: Sequence[Source], assets_per_task: int
) -> Iterator[AssetResult]:
    """Every asset once. Those of a lost worker are tried again, each on its own."""
    left, size = list(todo), assets_per_task
    for attempt in range(1, _ATTEMPTS + 1):
        tasks = [FleetTask(plan, tuple(left[i : i + size])) for i in range(0, len(left), size)]
        left, size = [], 1
        if not tasks:
            return
        for finished in engine.run(tasks):
            yield from finished.results
            if not finished.lost:
                continue
            if attempt < _ATTEMPTS:
                left += finished.task.sources
            else:
                yield from (_lost(plan, source, finished.lost) for source in finished.task.sources)


def _lost(plan: FleetPlan, source: Source, reason: str) -> AssetResult:
    record = AssetRecord(
        source.asset,
        source.address,
        state="failed",
        error=f"its worker was lost {_ATTEMPTS} times, the last time: {reason}",
        build_number=plan.settings.build_number,
        settings_digest=plan.settings_digest,
        data_stamp=source.stamp,
    )
    return AssetResult(record, None)


def _keep(store: FleetStore, root: Path, result: AssetResult) -> AssetRecord:
    """The bundle first, then the row that says it is there."""
    record = result.record
    if result.bundle is not None:
        path = root / record.bundle_path
        make_folder(path.parent)
        write_atomic(path, result.bundle)
    store.record(record)
    return record
