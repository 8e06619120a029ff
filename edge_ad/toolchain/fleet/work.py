"""What a worker does for some assets: train them side by side, then convert, evaluate, gate and pack each.

A worker gets plain values and returns plain values; it writes nowhere but into a scratch folder of its own,
so that it can run on any machine, be killed at any moment and be run again. What becomes of an asset
depends on its recording and the settings alone.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

from edge_ad.bundle.archive import sha256
from edge_ad.bundle.bundle import unpack
from edge_ad.errors import EdgeAdError, GateFailedError
from edge_ad.toolchain.datasets.recording import read_recording
from edge_ad.toolchain.distill import train_networks
from edge_ad.toolchain.fleet.figures import gate_figures, quality_figures
from edge_ad.toolchain.fleet.plan import FleetPlan
from edge_ad.toolchain.fleet.record import AssetRecord
from edge_ad.toolchain.fleet.sources import Source
from edge_ad.toolchain.fleet.store import bundle_path
from edge_ad.toolchain.gate import require_passed, run_gate
from edge_ad.toolchain.pack import pack_bundles
from edge_ad.toolchain.preparation import Prepared, prepare
from edge_ad.toolchain.records import Records
from edge_ad.toolchain.steps import Task, VariantTask, convert_model, evaluate_model, save_training
from edge_ad.toolchain.train import trainer_for
from edge_ad.toolchain.workspace import AssetSource, BuildPlan, Workspace

MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108  as the scratch folder is private
"""A file system in memory: what is thrown away need not reach a disk."""


@dataclass(frozen=True)
class FleetTask:
    """Some assets for one worker."""

    plan: FleetPlan
    sources: tuple[Source, ...]

    @property
    def name(self) -> str:
        """For people."""
        first, *others = self.sources
        return first.asset + (f" and {len(others)} more" if others else "")


@dataclass(frozen=True)
class AssetResult:
    """What became of an asset."""

    record: AssetRecord
    bundle: bytes | None
    """None where the record says why."""


@dataclass
class _Asset:
    """An asset on its way through the steps."""

    source: Source
    workspace: Workspace
    record: AssetRecord
    plan: BuildPlan = field(init=False)
    prepared: Prepared = field(init=False)
    bundle: bytes | None = None

    @contextmanager
    def step(self) -> Iterator[None]:
        """One asset's error, and its time, are its own."""
        start = time.process_time()
        try:
            yield
        except GateFailedError as error:
            self.record = replace(self.record, state="gate-failed", error=str(error))
        except (EdgeAdError, OSError, ValueError, ArithmeticError) as error:
            text = str(error) if isinstance(error, EdgeAdError) else f"{type(error).__name__}: {error}"
            self.record = replace(self.record, state="failed", error=text)
        finally:
            self.record = replace(self.record, seconds=self.record.seconds + time.process_time() - start)


def build_assets(task: FleetTask) -> list[AssetResult]:
    """Build each asset of a task, in order. What cannot be built becomes a record with the reason."""
    scratch = MEMORY_FOLDER if os.access(MEMORY_FOLDER, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="edge-ad-fleet-", dir=scratch) as folder:
        assets = [_start(task.plan, source, Path(folder) / f"{i}") for i, source in enumerate(task.sources)]
        for model in task.plan.settings.models:
            _train([asset for asset in assets if asset.record.state == "pending"], model)
        for asset in assets:
            if asset.record.state == "pending":
                _finish(asset)
    return [AssetResult(_dated(asset.record), asset.bundle) for asset in assets]


def _start(plan: FleetPlan, source: Source, folder: Path) -> _Asset:
    record = AssetRecord(
        source.asset,
        source.address,
        build_number=plan.settings.build_number,
        settings_digest=plan.settings_digest,
        data_stamp=source.stamp,
    )
    asset = _Asset(source, Workspace(folder), record)
    with asset.step():
        folder.mkdir()
        path = source.fetch(folder)
        recording = read_recording(path, plan.format, source.asset)
        asset.record = replace(asset.record, data_digest=recording.sha256)
        asset.plan = plan.for_asset(AssetSource(source.asset, str(path), recording.sha256, len(recording)))
        asset.prepared = prepare(recording, asset.plan)
        asset.workspace.save_plan(asset.plan)
    return asset


def _train(assets: list[_Asset], model: str) -> None:
    """Train one model of every asset, side by side if it can be."""
    if not assets:
        return
    plan = assets[0].plan
    architecture, settings = plan.architecture(model), plan.settings.training
    start = time.process_time()
    network = trainer_for(architecture, settings.batch_size, settings.kernel_l2)
    windows = [asset.prepared.windows[asset.prepared.fit] for asset in assets]
    digests = [asset.prepared.recording.sha256 for asset in assets]
    results = train_networks(network, architecture, windows, settings, digests)
    share = (time.process_time() - start) / len(assets)
    for asset, result in zip(assets, results, strict=True):
        asset.record = replace(asset.record, seconds=asset.record.seconds + share)
        with asset.step():
            if isinstance(result, EdgeAdError):
                raise result
            [source] = asset.plan.assets
            key = Records(asset.workspace, asset.plan).training_key(source, model)
            own = Task(asset.workspace.root, asset.plan, source, model, key)
            save_training(own, asset.prepared, result, partial(network.reconstruct, result.weights))


def _finish(asset: _Asset) -> None:
    """From trained models to a bundle."""
    workspace, plan = asset.workspace, asset.plan
    with asset.step():
        records = Records(workspace, plan)
        for source, model, precision in plan.variants():
            key = records.conversion_key(source, model, precision)
            convert_model(VariantTask(workspace.root, plan, source, model, key, precision))
            key = records.evaluation_key(source, model, precision)
            evaluate_model(VariantTask(workspace.root, plan, source, model, key, precision))
        gate = run_gate(workspace, plan)
        asset.record = replace(asset.record, **quality_figures(records, plan), **gate_figures(gate, plan))
        require_passed(gate, plan)
        [path] = pack_bundles(workspace, plan, allow_unchecked=False)
        content = path.read_bytes()
        asset.record = replace(
            asset.record,
            state="built",
            bundle_path=bundle_path(asset.source.asset),
            bundle_id=unpack(content).manifest.bundle_id,
            sha256=sha256(content),
            size_bytes=len(content),
        )
        asset.bundle = content


def _dated(record: AssetRecord) -> AssetRecord:
    return replace(record, made=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))
