"""The manifest: everything a device has to know about a model besides its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from edge_ad.bundle.codec import DecodeError, canonical_json, decode, encode, parse_json
from edge_ad.detect.budget import Budget, Sampling
from edge_ad.detect.features import SnapshotFeatures
from edge_ad.detect.fusion import Scoring
from edge_ad.detect.heads import Heads
from edge_ad.detect.limit import LimitRule
from edge_ad.detect.scaler import ScalerKind
from edge_ad.detect.window import LARGEST_VALUE
from edge_ad.errors import BundleManifestError, BundleVersionError

SCHEMA_VERSION = "1.5"
"""Major.minor of the manifest's schema. A reader refuses another major; see SPEC.md."""

_BEFORE_HEADS, _BEFORE_KINDS = "1.3", "1.4"

ManifestScore = Literal["sum", "mean", "heads"]
"""`sum`, `mean`: see `ScoreKind`. `heads`: every model has a detector of its own; since schema 1.4, and
refused by readers of older ones, which would score by something else than what the UCL was set for."""

ModelKind = Literal["lstm", "conv", "dense"]
"""LSTM layers around a code; convolutions; dense layers on the window as one row of numbers."""

Precision = Literal["float32", "int8", "int8-full"]
"""`int8`: int8 weights and float activations. `int8-full`: integers only, int8 in and out."""

MAX_ALARM_WINDOWS = 10_000
"""Of an alarm rule."""
MAX_BUILD_NUMBER = 2**53 - 1
"""The largest integer up to which every JSON reader tells all of them apart (RFC 8259, section 6)."""
MAX_FLAT_AFTER = 100_000
"""A detector remembers as many samples."""


@dataclass(frozen=True)
class Channel:
    """One sensor signal."""

    name: str
    """Name of the column the signal is read from."""
    unit: str = ""
    """Engineering unit, for people: `bar`, `degC`."""
    low: float | None = None
    """Lowest plausible value in engineering units; None where it is not known."""
    high: float | None = None
    """Highest plausible value in engineering units."""
    flat_after: int | None = None
    """After how many equal values in a row the sensor counts as stuck; None or 0: never. Since schema 1.2."""

    def __post_init__(self) -> None:
        if not 0 < len(self.name) <= 500:
            raise ValueError("a channel needs a name, of at most 500 characters")
        if self.flat_after and not 2 <= self.flat_after <= MAX_FLAT_AFTER:
            raise ValueError(f"channel {self.name!r}: flat_after must be 0, or 2 to {MAX_FLAT_AFTER}")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"channel {self.name!r}: low must be below high")


@dataclass(frozen=True)
class CsvFormat:
    """How a sample is written as a line of text."""

    separator: str = ","
    """One character between the cells."""
    time_column: str = "time"
    time_format: str = "iso"
    """`iso` (ISO 8601; UTC where no zone is given), `seconds` (since the epoch), or a strptime pattern."""
    decimal: Literal[".", ","] = "."

    def __post_init__(self) -> None:
        if len(self.separator) != 1 or self.separator in '\r\n"':
            raise ValueError("separator must be one character, not a line end or a quote")
        if self.separator == self.decimal:
            raise ValueError(f"separator and decimal are both {self.decimal!r}")
        if len(self.time_format) > 100:
            raise ValueError("time_format has more than 100 characters")
        if self.time_format not in ("iso", "seconds"):
            _check_pattern(self.time_format)


def _check_pattern(pattern: str) -> None:
    """Raise ValueError for what strptime cannot use as a pattern."""
    try:
        datetime.strptime("", pattern)
    except re.error as error:
        raise ValueError(f"time_format {pattern!r} names a directive twice") from error
    except ValueError as error:
        if "does not match" not in str(error) or "%" not in pattern:
            raise ValueError(f"time_format {pattern!r} is not iso, seconds or a strptime pattern") from error


@dataclass(frozen=True)
class ScalerEntry:
    """The scaler's numbers, one per channel, in engineering units."""

    kind: ScalerKind
    """How it was fitted; all kinds are applied alike. `robust` is known since schema 1.5."""
    offset: tuple[float, ...]
    scale: tuple[float, ...]


@dataclass(frozen=True)
class SeverityEntry:
    """How bad an alarm is, by its score."""

    name: str
    above: float
    """As a multiple of the UCL: scores above it are of this severity."""

    def __post_init__(self) -> None:
        if not 0 < len(self.name) <= 100:
            raise ValueError("a severity needs a name, of at most 100 characters")
        if not 0 <= self.above < LARGEST_VALUE:
            raise ValueError(f"severity {self.name!r}: above must lie between 0 and {LARGEST_VALUE:g}")


@dataclass(frozen=True)
class AlarmRuleEntry:
    """How exceedances become an alarm, and alarms an episode."""

    kind: Literal["consecutive", "k-of-n"] = "consecutive"
    k: int = 3
    """Number of windows that must exceed the UCL: the newest `k` (`consecutive`), or any `k` of the newest
    `n` (`k-of-n`, since schema 1.2)."""
    n: int = 0
    """Of `k-of-n`; 0 for `consecutive`."""
    clear_ratio: float = 1.0
    """Hysteresis: an alarm lasts until a score is at or below this multiple of the UCL. Since schema 1.2."""
    hold_off_s: float = 0.0
    """An alarm within this time of the last one belongs to the same episode. Since schema 1.2."""
    severities: tuple[SeverityEntry, ...] = (SeverityEntry("warning", 0.0), SeverityEntry("critical", 3.0))
    """From mild to severe. Since schema 1.2."""

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError("k must be at least 1")
        if self.kind == "consecutive" and (self.n or self.k > MAX_ALARM_WINDOWS):
            raise ValueError(f"the consecutive rule has no n, and a k of at most {MAX_ALARM_WINDOWS}")
        if self.kind == "k-of-n" and not self.k <= self.n <= MAX_ALARM_WINDOWS:
            raise ValueError(f"k must be at most n, and n at most {MAX_ALARM_WINDOWS}")
        if not 0 < self.clear_ratio <= 1:
            raise ValueError("clear_ratio must lie above 0 and at most at 1")
        if not 0 <= self.hold_off_s < LARGEST_VALUE:
            raise ValueError(f"hold_off_s must lie between 0 and {LARGEST_VALUE:g}")
        levels = [severity.above for severity in self.severities]
        if not levels or levels[0] != 0 or levels != sorted(set(levels)):
            raise ValueError("severities must start at above = 0, and rise")
        if len({severity.name for severity in self.severities}) < len(self.severities):
            raise ValueError("two severities have the same name")

    def text(self) -> str:
        """What makes an alarm, in words that follow `alarm: `."""
        count = f"{self.k} scores in a row" if self.kind == "consecutive" else f"{self.k} of {self.n} scores"
        until = f", until one is at or below {self.clear_ratio:g} of it" if self.clear_ratio < 1 else ""
        return f"{count} above the UCL{until}"


@dataclass(frozen=True)
class BudgetEntry:
    """A budget of false alarms that a limit was set for."""

    kind: Literal["gpd", "conformal"]
    """By a generalized Pareto distribution of the highest scores, or by the rank of a score."""
    budget: str
    """`1 per week`."""
    tail_share: float = 0.1
    """Of `gpd`: the share of the scores that the distribution was fitted to."""
    fallback: str = ""
    """Why the limit is the percentile times the factor all the same; empty where it is not."""

    def __post_init__(self) -> None:
        Budget(self.budget)
        if not 0 < self.tail_share <= 0.5:
            raise ValueError("tail_share must lie above 0 and at most at 0.5")
        if len(self.fallback) > 500:
            raise ValueError("fallback has more than 500 characters")


@dataclass(frozen=True)
class ControlLimit:
    """The UCL of a variant and how it came to be."""

    ucl: float
    percentile: float
    """Percentile of the training windows' scores, 0…100."""
    factor: float
    """What the percentile was multiplied with."""
    n_train_windows: int
    """How many whole windows of the train span were scored."""
    score_quantiles: tuple[float, ...] = ()
    """Quantiles of these scores at equal steps from 0 to 1: what scores in service are compared with. Since
    schema 1.2."""
    digits: int | None = None
    """Decimals that the product was rounded to; None: not rounded. Since schema 1.3."""
    budget: BudgetEntry | None = None
    """None where the UCL is the percentile times the factor, and nothing was promised. Since schema 1.4; not
    written where there is none."""

    def __post_init__(self) -> None:
        if self.digits is not None and not 0 <= self.digits <= 15:
            raise ValueError("digits must be 0 to 15")
        quantiles = self.score_quantiles
        if quantiles and (not 3 <= len(quantiles) <= 1001 or list(quantiles) != sorted(quantiles)):
            raise ValueError("score_quantiles must be 3 to 1001 numbers that do not fall")

    @property
    def rule(self) -> LimitRule:
        """How it came to be, to be done again with other scores. Raises ValueError for what is no rule."""
        entry = self.budget
        if entry is None:
            return LimitRule(self.percentile, self.factor, self.digits)
        return LimitRule(
            self.percentile, self.factor, self.digits, entry.kind, entry.budget, entry.tail_share
        )

    def notes(self, sampling: Sampling) -> list[str]:
        """What must be known of its budget: where it is not kept, or cannot be promised; empty otherwise."""
        if self.budget is None:
            return []
        return [
            note for note in (self.budget.fallback, self.rule.doubt(self.n_train_windows, sampling)) if note
        ]


@dataclass(frozen=True)
class ModelEntry:
    """A trained autoencoder, of which the variants are converted forms."""

    name: str
    """`full` or `tiny`."""
    encoder_units: tuple[int, ...]
    """Units of its layers before and with the code; of convolutions, their filters."""
    decoder_units: tuple[int, ...]
    """Of those behind it, without the last one, which gives the channels back."""
    activation: str
    n_parameters: int
    detector: Heads | None = None
    """What scores a window and its reconstruction, where the manifest's `score` is `heads`. Since schema 1.4;
    not written where there is none."""
    kind: ModelKind = "lstm"
    """Which layers it has. Since schema 1.5; not written for `lstm`."""


@dataclass(frozen=True)
class CheckEntry:
    """One figure that the parity gate looked at."""

    reference: str
    """What the variant was compared with: `keras`, `full-float32`."""
    figure: str
    """`f1_drop`, `far_rise`, `mar_rise`, `agreement`, `asset_agreement`, `episode_agreement`, `delay_shift`,
    `max_score_error`, `rank_correlation`, `ucl_shift`."""
    rule: str
    """Under which alarm rule; `-` for a figure of scores."""
    value: float
    limit: float
    passed: bool
    low: float | None = None
    """Ends of the confidence interval, for a figure that has one; the worse end is what passes or fails."""
    high: float | None = None


@dataclass(frozen=True)
class ProofEntry:
    """Scores of one set of windows against those of the network in float64: `|score - expected|`, relative
    to the larger of the expected score and the UCL.
    """

    windows: str
    """`training`, `test`, `synthetic anomalies`, …"""
    n: int
    p50: float
    p99: float
    maximum: float
    near_maximum: float
    """Among windows whose score is at most ten times the UCL."""
    float32_maximum: float
    """The same for the network itself in float32: what its arithmetic alone costs."""


@dataclass(frozen=True)
class MetricsEntry:
    """Quality on the labelled test rows of this asset, as fractions; None where not defined."""

    rule: Literal["leaderboard", "streaming"]
    n_rows: int
    f1: float | None
    far: float | None
    """False alarm rate: alarmed normal rows / normal rows."""
    mar: float | None
    """Missed alarm rate: anomalous rows without alarm / anomalous rows."""


@dataclass(frozen=True)
class Quantization:
    """How a tensor's stored integers stand for numbers: `real = scale * (stored - zero_point)`."""

    scale: float
    zero_point: int = 0


@dataclass(frozen=True)
class CalibrationPoint:
    """One tried headroom of an integer-only model."""

    group: str
    """Which quantities had it; all others the best one found before."""
    headroom: float
    """Factor on the training windows whose ranges are then taken."""
    error: float
    """Mean difference of the score over the UCL from the float network's, both cut at 2, on synthetic
    anomalies."""


@dataclass(frozen=True)
class Calibration:
    """The ranges of an integer-only model: what was chosen, and everything that was tried."""

    headrooms: dict[str, float]
    """By group of quantities."""
    error: float
    curve: tuple[CalibrationPoint, ...]


@dataclass(frozen=True)
class FormEntry:
    """A form that a model could take, as measured where it was converted."""

    form: str
    size_bytes: int
    invoke_p50_us: float


@dataclass(frozen=True)
class VariantEntry:
    """One converted form of a model."""

    name: str
    """`<model>-<precision>`, for example `tiny-int8`."""
    model: str
    precision: Precision
    file: str
    """Archive member that holds the `.tflite` bytes."""
    input_dtype: str
    output_dtype: str
    stateful: bool
    """Whether the model has variable tensors, to be reset before every window."""
    form: str
    """`compact`, `fast` or `integer`: which lowering made it."""
    limit: ControlLimit
    golden_scores: tuple[float, ...]
    """Expected score of each golden window."""
    golden_tolerance: float
    """Largest relative difference from `golden_scores` on any machine."""
    evaluation: tuple[MetricsEntry, ...] = ()
    parity: tuple[CheckEntry, ...] = ()
    input_quantization: Quantization | None = None
    """None where the input is float32."""
    output_quantization: Quantization | None = None
    calibration: Calibration | None = None
    """None where nothing had to be calibrated."""
    measured_forms: tuple[FormEntry, ...] = ()
    """What the form was chosen by; empty where it was asked for."""
    proof: tuple[ProofEntry, ...] = ()


@dataclass(frozen=True)
class Provenance:
    """Where the bundle's contents come from."""

    data_sha256: str
    """SHA-256 of the recording file."""
    train_rows: int
    seed: int
    epochs: int
    """Largest number of epochs allowed; training stops early."""
    batch_size: int
    validation_share: float
    patience: int
    versions: dict[str, str]
    """Package name -> version that took part in the build."""


@dataclass(frozen=True)
class MemberEntry:
    """An archive member besides the manifest."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The whole manifest; `SPEC.md` describes the rules that go beyond types."""

    schema: str
    bundle_id: str
    """SHA-256 of the canonical manifest with this entry empty."""
    minimum_runtime: str
    """Oldest version of edge_ad that can run the bundle."""
    model_version: str
    build_number: int
    """Increases with every build that is meant to replace an earlier one."""
    asset: str
    channels: tuple[Channel, ...]
    input: CsvFormat
    window_length: int
    stride: int
    sample_period_s: float
    """Nominal time between samples."""
    largest_gap_s: float
    """A longer step in time ends the window."""
    scaler: ScalerEntry
    score: ManifestScore
    alarm_rule: AlarmRuleEntry
    models: tuple[ModelEntry, ...]
    variants: tuple[VariantEntry, ...]
    default_variant: str
    parity_passed: bool
    """False only where the bundle was packed without a passed gate, on request."""
    unchecked: bool
    """True where the builder asked for a bundle although the gate failed or did not run."""
    golden_file: str
    members: tuple[MemberEntry, ...]
    provenance: Provenance
    card_file: str = ""
    """Archive member with the model card as Markdown; empty where there is none. Since schema 1.1."""
    rate_tolerance: float = 0.5
    """Largest `|mean step in time / sample_period_s - 1|` over some minutes; 0: not checked. Since schema
    1.2."""
    snapshots: SnapshotFeatures | None = None
    """Where a sample is made of a file of raw readings: what such a file holds, and which features become the
    channels, in order. Since schema 1.3."""
    unknown_keys: tuple[str, ...] = field(default=(), compare=False)
    """Keys of a newer minor schema that this reader ignored; never written."""

    def variant(self, name: str | None = None) -> VariantEntry:
        """The variant called `name`, or the default one. Raises BundleManifestError."""
        wanted = name or self.default_variant
        for entry in self.variants:
            if entry.name == wanted:
                return entry
        names = ", ".join(v.name for v in self.variants)
        raise BundleManifestError(f"the bundle has no variant {wanted!r}; it has: {names}")

    @property
    def sampling(self) -> Sampling:
        """How its windows follow one another."""
        return Sampling(self.sample_period_s, self.window_length)

    def scoring(self, variant: str | None = None) -> Scoring:
        """How a variant's windows are scored. Raises BundleManifestError."""
        if self.score != "heads":
            return self.score
        wanted = self.variant(variant).model
        for model in self.models:
            if model.name == wanted and model.detector is not None:
                return model.detector
        raise BundleManifestError(f"the model {wanted!r} has no detector, and the score is that of one")


def to_json(manifest: Manifest) -> bytes:
    """Canonical JSON of a manifest."""
    plain = encode(manifest)
    del plain["unknown_keys"]
    for model in plain["models"]:  # what a reader of 1.3 has no key for
        _drop_none(model, "detector")
        if model["kind"] == "lstm":
            del model["kind"]
        for head in model.get("detector", {}).get("heads", ()):  # what a reader of 1.4 has none for
            _drop_none(head, "follow")
    for variant in plain["variants"]:
        _drop_none(variant["limit"], "budget")
    return canonical_json(plain)


def schema_for(manifest: Manifest) -> str:
    """The oldest schema that can say what the manifest says, so that bundles without what is new stay as they
    were.
    """
    follows = any(model.detector and model.detector.follows for model in manifest.models)
    if manifest.scaler.kind == "robust" or follows or any(model.kind != "lstm" for model in manifest.models):
        return SCHEMA_VERSION
    budgets = any(variant.limit.budget for variant in manifest.variants)
    return _BEFORE_KINDS if manifest.score == "heads" or budgets else _BEFORE_HEADS


def _drop_none(table: dict[str, object], key: str) -> None:
    if table[key] is None:
        del table[key]


def from_json(text: bytes) -> Manifest:
    """Read a manifest, checking its version before anything else in it.

    Raises BundleVersionError for another major schema, BundleManifestError for all other faults.
    """
    return decode_manifest(parse_manifest(text))


def parse_manifest(text: bytes) -> dict[str, object]:
    """The manifest as plain JSON of a schema that is known here. Raises as `from_json`."""
    try:
        plain = parse_json(text)
        if not isinstance(plain, dict):
            raise DecodeError("the top level must be an object with keys")
        _is_newer(plain.get("schema"))
        return plain
    except DecodeError as error:
        raise BundleManifestError(f"manifest.json: {error}") from error


def decode_members(plain: Mapping[str, object]) -> tuple[MemberEntry, ...]:
    """What the manifest says of the other members, before the rest of it is looked at.

    Raises BundleManifestError.
    """
    try:
        listed = plain.get("members")
        if not isinstance(listed, list):
            raise DecodeError("members must be a list")
        return tuple(decode(MemberEntry, entry, lambda key: None) for entry in listed)
    except DecodeError as error:
        raise BundleManifestError(f"manifest.json: members: {error}") from error


def decode_manifest(plain: Mapping[str, object]) -> Manifest:
    """The manifest of its plain JSON. Raises as `from_json`."""
    unknown: list[str] = []
    known = {key: value for key, value in plain.items() if key != "unknown_keys"}
    try:
        newer = _is_newer(plain.get("schema"))
        if len(known) < len(plain) and not newer:
            raise DecodeError("unknown key unknown_keys")
        manifest = decode(Manifest, known, unknown.append if newer else None)
    except DecodeError as error:
        raise BundleManifestError(f"manifest.json: {error}") from error
    object.__setattr__(manifest, "unknown_keys", tuple(unknown))
    return manifest


def _is_newer(schema: object) -> bool:
    """Whether the manifest's minor version is newer than this reader's."""
    if not isinstance(schema, str) or not re.fullmatch(r"[0-9]{1,4}\.[0-9]{1,4}", schema):
        raise DecodeError(f"schema must be a version like {SCHEMA_VERSION!r}, not {schema!r}")
    major, minor = (int(part) for part in schema.split("."))
    own_major, own_minor = (int(part) for part in SCHEMA_VERSION.split("."))
    if major != own_major:
        raise BundleVersionError(
            f"the bundle has schema {schema}, this edge_ad reads {own_major}.x: "
            f"{'upgrade edge_ad on this machine' if major > own_major else 'build it anew'}"
        )
    return minor > own_minor
