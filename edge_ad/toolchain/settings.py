"""Everything a build can be told, with its defaults: the seed notebook's protocol."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from edge_ad.bundle.codec import DecodeError, decode, encode
from edge_ad.bundle.manifest import MAX_BUILD_NUMBER, AlarmRuleEntry, Precision
from edge_ad.bundle.tflite import MAX_TENSOR_BYTES
from edge_ad.detect.limit import LimitRule
from edge_ad.detect.scaler import ScalerKind
from edge_ad.detect.score import ScoreKind
from edge_ad.errors import ConfigurationError
from edge_ad.toolchain.architecture import Activation
from edge_ad.toolchain.bootstrap import BootstrapSettings
from edge_ad.toolchain.detector_settings import DetectorSettings, HeadSettings, needs_network
from edge_ad.toolchain.models import MODELS

MAX_BATCH_SIZE = 2**14
"""Windows. Every batch has that many, filled up with zeros, and all that layers make of them is in memory."""
LONGEST_WINDOW = MAX_TENSOR_BYTES // 4
"""In samples: a longer one, be it of a single channel, is larger than the tensors of a bundle may be."""
MAX_TEACHERS = 32
"""Each of them takes as long to train as the network that ships."""

Optimize = Literal["size", "speed", "auto"]
"""What a converted form is made for: see `edge_ad.toolchain.convert`."""


@dataclass(frozen=True)
class TrainingSettings:
    """How the autoencoder is trained: adam on the mean absolute error, windows in order of time."""

    epochs: int = 100
    """Largest number of epochs."""
    batch_size: int = 32
    validation_share: float = 0.1
    """Share of the training windows, the last ones, that are held out for early stopping."""
    patience: int = 5
    """Epochs without a better validation loss after which training stops."""
    learning_rate: float = 0.001
    noise: float = 0.0
    """Standard deviation, in scaled units, of the noise that is added to the windows an epoch learns from,
    and that the network learns to take off again (a denoising autoencoder; Vincent et al. 2008). 0: none."""
    teachers: int = 0
    """Autoencoders of the same shape, each with a seed of its own, whose mean reconstruction the one that
    ships learns in place of the window itself (distillation; Hinton et al. 2015). 0: none."""
    kernel_l2: float = 0.0
    """Factor of the squares of the first layer's kernel that are added to the loss (L2, weight decay)."""
    keep: Literal["best", "last"] = "best"
    """Weights of which epoch are kept: the one with the best validation loss, or the last one, which
    is what the seed notebook does."""
    seed: int = 0
    """Together with the recording's digest it seeds the initial weights: every asset gets a draw of
    its own, as in the notebook, and the same one in every build."""

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.patience < 1:
            raise ValueError("epochs and patience must be at least 1")
        if not 1 <= self.batch_size <= MAX_BATCH_SIZE:
            raise ValueError(f"batch_size must lie between 1 and {MAX_BATCH_SIZE}")
        if self.seed < 0:
            raise ValueError("seed must not be negative")
        if not 0 < self.validation_share < 1:
            raise ValueError("validation_share must lie between 0 and 1")
        if not 0 < self.learning_rate < 1:
            raise ValueError("learning_rate must lie between 0 and 1")
        if not 0 <= self.noise <= 10:
            raise ValueError("noise must lie between 0 and 10")
        if not 0 <= self.teachers <= MAX_TEACHERS:
            raise ValueError(f"teachers must lie between 0 and {MAX_TEACHERS}")
        if not 0 <= self.kernel_l2 <= 1:
            raise ValueError("kernel_l2 must lie between 0 and 1")


@dataclass(frozen=True)
class Margins:
    """How much worse than its reference a model may be. Fractions, not percent."""

    f1_drop: float
    """Where the interval of `(F1 of the reference - F1) / F1 of the reference` must end at the latest."""
    far_rise: float
    """Largest allowed `FAR - FAR of the reference`."""
    mar_rise: float
    min_agreement: float
    """Smallest share of rows on which both decide alike."""
    min_asset_agreement: float
    """The same for the worst asset alone: one broken machine must not hide among many."""
    min_episode_agreement: float
    """Smallest share of alarm episodes, of both, that overlap one of the other."""
    delay_shift: float
    """Largest allowed mean lateness, in samples, over the anomalies that both detect."""
    min_rank_correlation: float
    """Smallest Spearman correlation of the scores, mean over assets; scores above ten UCLs rank as equal."""
    ucl_shift: float
    """Largest allowed `|UCL / UCL of the reference - 1|` of any asset."""


@dataclass(frozen=True)
class GateSettings:
    """The parity gate: all margins hold under both rules, over all assets of the build together."""

    max_score_error: float = 1e-3
    """float32 against Keras: largest difference of a window's score, relative to the larger of
    score and UCL, among windows that score at most ten times the UCL."""
    max_oracle_error: float = 1e-4
    """float32 against the network in float64: the same, over training, test and stress windows. Of both,
    three times what float32 arithmetic alone costs on the same windows is allowed where that is more."""
    conversion: Margins = Margins(
        f1_drop=0.005,
        far_rise=0.005,
        mar_rise=0.005,
        min_agreement=0.995,
        min_asset_agreement=0.98,
        min_episode_agreement=0.9,
        delay_shift=1.0,
        min_rank_correlation=0.999,
        ucl_shift=0.001,
    )
    """float32 against Keras."""
    quantization: Margins = Margins(
        f1_drop=0.03,
        far_rise=0.02,
        mar_rise=0.02,
        min_agreement=0.97,
        min_asset_agreement=0.85,
        min_episode_agreement=0.7,
        delay_shift=10.0,
        min_rank_correlation=0.95,
        ucl_shift=0.1,
    )
    """int8 and int8-full against float32 of the same model."""
    reduction: Margins = Margins(
        f1_drop=0.1,
        far_rise=0.15,
        mar_rise=0.15,
        min_agreement=0.75,
        min_asset_agreement=0.4,
        min_episode_agreement=0.4,
        delay_shift=60.0,
        min_rank_correlation=0.5,
        ucl_shift=1.0,
    )
    """tiny against full, both float32. Two networks trained apart settle at different trade-offs of
    false and missed alarms, even two of the same size (docs/results.md), hence the width."""
    bootstrap: BootstrapSettings = BootstrapSettings()


@dataclass(frozen=True)
class CardSettings:
    """What the model card says that no program can know. Plain text; empty means not stated."""

    data_source: str = ""
    """Where the recordings come from: plant, machine, who recorded them, a web address."""
    data_licence: str = ""
    model_licence: str = ""
    """Under which terms the trained models may be used and passed on."""
    contact: str = ""
    """Whom to ask, or to tell of a fault."""
    intended_use: str = ""


@dataclass(frozen=True)
class ProtocolSettings:
    """How the settings of a build came to be what they are, for those who read its figures."""

    chosen_on: str = ""
    """In words: what was chosen on which data. Empty means not stated."""
    labels_of: tuple[str, ...] = ()
    """Groups (folders) of recordings whose labels any choice was made on; the others are untouched."""


@dataclass(frozen=True)
class BuildSettings:
    """The settings of a build; the TOML file of `--config` has the same keys."""

    window_length: int = 10
    models: tuple[str, ...] = ("full", "tiny")
    activation: Activation = "relu"
    """Of all layers but the last; the seed notebook's is relu."""
    precisions: tuple[Precision, ...] = ("float32", "int8")
    optimize: Optimize = "size"
    scaler: ScalerKind = "standard"
    """Fitted on the train span; see docs/detection.md for what the kinds are worth."""
    score: ScoreKind = "sum"
    """Of the reconstruction's errors; not used where there is a detector."""
    detector: DetectorSettings | None = None
    """Heads that score in its place; None: none."""
    fit_share: float = 1.0
    """Share of the train span's windows, the first ones, that network and heads are fitted on. The others,
    after a gap of a window, are for the limit alone. 1: both on all of them, as the seed notebook does."""
    limit_on: Literal["rest", "train-span"] = "rest"
    """Where `fit_share` is below 1: set limits by the windows that nothing was fitted on, or by all of the
    train span."""
    training: TrainingSettings = TrainingSettings()
    limit: LimitRule = LimitRule()
    alarm: AlarmRuleEntry = AlarmRuleEntry()
    gate: GateSettings = GateSettings()
    card: CardSettings = CardSettings()
    protocol: ProtocolSettings = ProtocolSettings()
    build_number: int = 1
    """Increase it for a bundle that is to replace an earlier one."""
    model_version: str = "1"
    variants: tuple[str, ...] = field(default=())
    """Which converted forms go into the bundles; empty means all."""

    @property
    def needs_network(self) -> bool:
        """Whether reconstructions take part in the score, and so weights that are drawn at random."""
        return needs_network(self.detector.heads if self.detector else ())

    def __post_init__(self) -> None:
        if not 1 <= self.build_number <= MAX_BUILD_NUMBER:
            raise ValueError(
                f"build_number must lie between 1 and {MAX_BUILD_NUMBER}: a larger number is not read as the "
                "same by every program that reads JSON, which a bundle's manifest is"
            )
        if self.window_length < 1:
            raise ValueError("window_length must be at least 1")
        if self.window_length > LONGEST_WINDOW:
            raise ValueError(f"window_length must be at most {LONGEST_WINDOW}")
        if not 0 < self.fit_share <= 1:
            raise ValueError("fit_share must lie above 0 and at most at 1")
        if not self.models or not set(self.models) <= set(MODELS):
            raise ValueError(f"models can be {', '.join(MODELS)}")
        for model in self.models:
            if self.window_length < (shortest := MODELS[model].shortest_window):
                raise ValueError(
                    f"window_length is {self.window_length}, and the model {model} needs at least {shortest}"
                )
        if len(set(self.precisions)) < len(self.precisions) or len(set(self.models)) < len(self.models):
            raise ValueError("a model or a precision stands twice")
        if "float32" not in self.precisions:
            raise ValueError("precisions must include float32, the reference of the others")
        if not set(self.precisions) <= set(get_args(Precision)):
            raise ValueError(f"precisions can be {', '.join(get_args(Precision))}")
        known = [f"{model}-{precision}" for model in self.models for precision in self.precisions]
        for variant in self.variants:
            if variant not in known:
                raise ValueError(f"no variant {variant!r} in this build; there are: {', '.join(known)}")


BEARING_SETTINGS = BuildSettings(
    window_length=1,
    models=("stacked",),
    scaler="min-max",
    score="mean",
    training=TrainingSettings(epochs=100, batch_size=10, validation_share=0.05, patience=100, keep="last"),
    limit=LimitRule(percentile=100.0, factor=1.1, digits=3),
)
"""The protocol of the bearing post: all epochs, the last weights, and a UCL that is 110 % of the largest
training score, rounded to 3 decimals."""

SKAB_BEST_SETTINGS = BuildSettings(
    window_length=15,
    models=("tiny",),
    detector=DetectorSettings(
        heads=(
            HeadSettings(
                "t2",
                of="window-moments",
                channels=(
                    *("Accelerometer1RMS", "Accelerometer2RMS", "Current", "Pressure", "Voltage"),
                    "Volume Flow RateRMS",
                ),
                covariance="per-channel",
                ridge=0.0,
                follow=1200,
            ),
        ),
    ),
    fit_share=0.75,
    limit=LimitRule(percentile=99.0, factor=1.1),
    alarm=AlarmRuleEntry(k=5),
    protocol=ProtocolSettings(
        chosen_on="head, channels, window, limit and alarm rule on labels of valve1, how the center follows "
        "on hours of normal operation; the other labels were looked at several times meanwhile "
        "(docs/detection.md)",
        labels_of=("valve1", "valve2", "other"),
    ),
)
"""`--preset skab-best`: for SKAB's recordings; docs/detection.md says how the values were chosen.
The two temperatures, which drift for hours, are left out; its center follows what else drifts."""

_BY_PRESET = {"bearing": BEARING_SETTINGS, "skab-best": SKAB_BEST_SETTINGS}


def preset_settings(preset: str | None) -> BuildSettings:
    """The settings that belong to a preset, before anybody says otherwise."""
    return _BY_PRESET.get(preset or "", BuildSettings())


def _over(defaults: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """What was given, in front of the defaults; table by table."""
    merged = dict(defaults)
    for key, value in given.items():
        table = defaults.get(key)
        if isinstance(table, dict) and isinstance(value, dict):
            merged[key] = _over(table, value)
        else:
            merged[key] = value
    return merged


def load_settings(path: Path, defaults: BuildSettings | None = None) -> BuildSettings:
    """Read settings from a TOML file; what it leaves out is as in `defaults`.

    Raises ConfigurationError naming the file and the key.
    """
    try:
        with path.open("rb") as file:
            return decode(BuildSettings, _over(encode(defaults or BuildSettings()), tomllib.load(file)))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, DecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
