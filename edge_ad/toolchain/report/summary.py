"""`summary.json`: quality, size and latency per model, variant and rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from statistics import median

from edge_ad.bundle.manifest import ControlLimit
from edge_ad.detect.budget import Sampling
from edge_ad.toolchain.datasets.fetch import skab_files
from edge_ad.toolchain.gate import GateRecord
from edge_ad.toolchain.metrics import Confusion
from edge_ad.toolchain.parity import RULES
from edge_ad.toolchain.records import EvaluationRecord, Records
from edge_ad.toolchain.workspace import BuildPlan, Workspace, save_record


@dataclass(frozen=True)
class Row:
    """One model x variant x rule over all assets."""

    model: str
    variant: str
    """Precision of the converted form: `float32`, `int8`."""
    rule: str
    f1: float | None
    """Fraction, over the test rows of all assets together; None without labels."""
    far: float | None
    mar: float | None
    size_bytes: int
    """Size of the `.tflite` file; the median over assets."""
    latency_p50_us: float
    """Median time from sample to decision in the stream; the median over assets."""


@dataclass(frozen=True)
class AssetRow:
    """The same for one asset."""

    asset: str
    model: str
    variant: str
    rule: str
    f1: float | None
    far: float | None
    mar: float | None
    size_bytes: int
    latency_p50_us: float
    ucl: float


@dataclass(frozen=True)
class Summary:
    """The whole of `summary.json`."""

    preset: str | None
    rows: tuple[Row, ...]
    assets: tuple[AssetRow, ...]
    n_test_rows: int
    """Labelled rows after the train spans."""
    anomalous_share: float | None
    """Share of the labelled test rows that are anomalous."""
    unknown_share: float
    """Share of all test rows on which the stream had no whole window."""
    always_on_f1: float | None
    """F1 of an alarm that never ends: the least that a detector must beat."""
    gate_passed: bool | None
    """None where the gate has not judged these models."""
    caveats: tuple[str, ...]


_SKAB_AMPLITUDE = "SKAB: mean |z| with no model at all scores F1 0.660 over all 34 recordings."
_SKAB_WINDOW, _SKAB_TRAIN_ROWS = 10, 400
"""What that holds for."""
_SKAB_POSITION = (
    "SKAB: the position in the file alone (rows 570-970 of each) scores F1 0.929; distrust any result "
    "that nears it."
)


def summarize(workspace: Workspace, plan: BuildPlan) -> Summary:
    """Gather the evaluations of a build and write `summary.json`. Raises OutputError."""
    rows: list[Row] = []
    asset_rows: list[AssetRow] = []
    limits: list[ControlLimit] = []
    n_unknown = n_unlabelled = 0
    made = Records(workspace, plan)
    counts = Confusion()
    for model in plan.settings.models:
        for precision in plan.settings.precisions:
            records = {a.name: made.evaluation(a, model, precision) for a in plan.assets}
            limits += [record.limit for record in records.values()]
            n_unlabelled = sum(record.leaderboard is None for record in records.values())
            n_unknown = sum(record.n_unknown for record in records.values())
            for rule in RULES:
                judged = {name: _counts(record, rule) for name, record in records.items()}
                counts = reduce(add, judged.values(), Confusion())
                rows.append(
                    Row(
                        model,
                        precision,
                        rule,
                        *(counts.f1, counts.far, counts.mar),
                        round(median(record.size_bytes for record in records.values())),
                        median(record.latency_p50_us for record in records.values()),
                    )
                )
                for name, record in records.items():
                    own = judged[name]
                    asset_rows.append(
                        AssetRow(
                            *(name, model, precision, rule, own.f1, own.far, own.mar),
                            *(record.size_bytes, record.latency_p50_us, record.limit.ucl),
                        )
                    )
    gate = workspace.load(workspace.root / "gate.json", GateRecord)
    n_test = sum(asset.n_rows for asset in plan.assets) - _train_rows(workspace, plan)
    unknown_share = n_unknown / n_test
    summary = Summary(
        preset=plan.preset,
        rows=tuple(rows),
        assets=tuple(asset_rows),
        n_test_rows=counts.n_rows,
        anomalous_share=_anomalous_share(counts),
        unknown_share=unknown_share,
        always_on_f1=_always_on_f1(counts),
        gate_passed=gate.passed if gate else None,
        caveats=(
            *limit_caveats(plan.sampling, limits),
            *caveats(plan, counts, unknown_share, n_unlabelled),
        ),
    )
    save_record(workspace.root / "summary.json", summary)
    return summary


def _counts(record: EvaluationRecord, rule: str) -> Confusion:
    found = record.leaderboard if rule == "leaderboard" else record.streaming
    return found or Confusion()


def _train_rows(workspace: Workspace, plan: BuildPlan) -> int:
    if plan.format.train.rows is not None and plan.format.train.since is None:
        return plan.format.train.rows * len(plan.assets)
    return sum(workspace.recording(plan, asset).train_rows for asset in plan.assets)


def _anomalous_share(counts: Confusion) -> float | None:
    return (counts.true_positive + counts.false_negative) / counts.n_rows if counts.n_rows else None


def _always_on_f1(counts: Confusion) -> float | None:
    anomalous = counts.true_positive + counts.false_negative
    return Confusion(anomalous, counts.n_rows - anomalous, 0, 0).f1


def leaderboard_note(window_length: int, alarm: str) -> str:
    """What tells the two rules apart, for people."""
    device = f"a device decides by the streaming rule ({alarm})"
    if window_length == 1:
        return f"The leaderboard rule flags each row whose own score exceeds the UCL; {device}."
    ahead = max(window_length - 2, 0)
    return f"The leaderboard rule looks ahead by {ahead} samples, as the published figures do; {device}."


def limit_caveats(sampling: Sampling, limits: Sequence[ControlLimit]) -> list[str]:
    """What limits do not promise although they were asked to, each reason once; windows follow one another
    as `sampling` says.
    """
    fallbacks = [limit.budget.fallback for limit in limits if limit.budget and limit.budget.fallback]
    notes = []
    if fallbacks:
        notes.append(f"{len(fallbacks)} of {len(limits)} limits: {fallbacks[0]}.")
    doubted = [limit for limit in limits if limit.rule.doubt(limit.n_train_windows, sampling)]
    if doubted:
        fewest = min(doubted, key=lambda limit: limit.n_train_windows)
        notes.append(f"{fewest.rule.doubt(fewest.n_train_windows, sampling)}.")
    return notes


def caveats(plan: BuildPlan, counts: Confusion, unknown_share: float, n_unlabelled: int = 0) -> list[str]:
    """What a reader must know beside an F1 over the rows in `counts`, whichever model it is of."""
    share, always_on = _anomalous_share(counts), _always_on_f1(counts)
    notes = []
    if share is None:
        notes.append("The recordings have no labels, so there is no F1, FAR or MAR.")
    elif always_on is not None:
        notes.append(
            f"{share:.1%} of the labelled test rows are anomalous: an always-on alarm scores F1 "
            f"{always_on:.3f}."
        )
    if share is not None and n_unlabelled:
        notes.append(f"{n_unlabelled} of {len(plan.assets)} recordings have no labels; F1 leaves them out.")
    published = {file.sha256 for file in skab_files()}
    if plan.assets and all(asset.sha256 in published for asset in plan.assets):
        if plan.settings.window_length == _SKAB_WINDOW and plan.format.train.rows == _SKAB_TRAIN_ROWS:
            notes.append(_SKAB_AMPLITUDE)
        notes.append(_SKAB_POSITION)
    if plan.preset == "pump":
        notes.append(
            "The recordings are simulated: they show that the chain works, not how well it "
            "detects on your machine."
        )
    if plan.format.train.share is not None:
        notes.append(
            f"The training rows are {plan.format.train.share:.0%} of all, drawn at random: what was wrong "
            "with the machine is among them."
        )
    if plan.settings.scaler == "robust":
        notes.append(
            "The scaler is robust: a channel that keeps nearly one value for most of its train span gets a "
            "tiny scale and outweighs the others. Look at the contributions, or at the scales by "
            "'edge-ad inspect'."
        )
    notes += [
        leaderboard_note(plan.settings.window_length, plan.settings.alarm.text()),
        f"{unknown_share:.1%} of the test rows are 'unknown' in the stream (no whole window); they count "
        "as no alarm.",
        "Scores are per row and never point-adjusted.",
    ]
    return notes
