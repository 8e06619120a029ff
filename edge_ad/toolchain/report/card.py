"""The model card: what a person has to know of a bundle's models before relying on them, as Markdown.

Equal inputs give equal text: no date, no machine, no measured time is in it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from edge_ad.bundle.manifest import Channel, Manifest, MetricsEntry, ModelEntry, ModelKind, VariantEntry
from edge_ad.detect.limit import LimitRule
from edge_ad.text import number, percent, printable
from edge_ad.toolchain.datasets.fetch import skab_files
from edge_ad.toolchain.settings import CardSettings
from edge_ad.toolchain.workspace import AssetSource, BuildPlan

_SKAB = CardSettings(
    data_source="SKAB v0.9, Skoltech Anomaly Benchmark, https://github.com/waico/SKAB",
    data_licence="GPL-3.0",
    intended_use="comparing detectors on the recordings of SKAB's water circulation testbed",
)
_PUMP = CardSettings(
    data_source="simulated by edge_ad; no machine was recorded",
    data_licence="none needed, since edge_ad makes the recordings",
    intended_use="trying edge_ad out",
)
_UNCHECKED = "UNCHECKED: packed although the parity gate failed or did not run."
_KINDS: dict[ModelKind, str] = {"lstm": "LSTM", "conv": "convolutional", "dense": "dense"}
_KEPT: dict[Literal["best", "last"], str] = {
    "best": "the epoch with the best validation loss",
    "last": "the last epoch",
}


def stated(plan: BuildPlan, asset: AssetSource) -> CardSettings:
    """What the user says about the build, completed by what is known of the built-in data sets.

    Recordings count as SKAB's by their digests: other recordings may have the same columns, and their
    source and licence are not to be guessed.
    """
    known = CardSettings()
    if plan.preset == "pump":
        known = _PUMP
    elif asset.sha256 in {file.sha256 for file in skab_files()}:
        known = _SKAB
    given = dataclasses.asdict(plan.settings.card)
    return dataclasses.replace(known, **{key: text for key, text in given.items() if text.strip()})


def model_card(
    manifest: Manifest,
    plan: BuildPlan,
    asset: AssetSource,
    members: Mapping[str, bytes],
    caveats: Sequence[str],
) -> str:
    """The card of one bundle, as it is about to be packed; `caveats` belong to its asset's F1."""
    said = stated(plan, asset)
    sections = (
        _head(manifest, plan),
        _use(manifest, said),
        _channels(manifest),
        _data(manifest, asset, plan),
        _quality(manifest, plan, members, caveats),
        _making(manifest, plan),
        _terms(said),
    )
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _head(manifest: Manifest, plan: BuildPlan) -> list[str]:
    checked = "The parity gate passed." if manifest.parity_passed else f"**{_UNCHECKED}**"
    return [
        f"# Model card: {_inline(manifest.asset)}",
        "",
        f"Autoencoders that learned the normal operation of {_inline(manifest.asset)} from "
        f"{plan.format.train.which} {manifest.provenance.train_rows} rows of one recording. They score "
        f"how badly the last {manifest.window_length} samples fit what they learned. An alarm is "
        f"{manifest.alarm_rule.text()} (upper control limit).",
        "",
        f"Model version {_inline(manifest.model_version)}, build {manifest.build_number}. {checked}",
    ]


def _use(manifest: Manifest, said: CardSettings) -> list[str]:
    train_rows, n_channels = manifest.provenance.train_rows, len(manifest.channels)
    return [
        "## Use and limits",
        "",
        f"- Meant for: {_stated(said, 'intended_use')}",
        "- Not a safety function: it must not be what stops a machine or protects people, and its silence "
        "proves nothing.",
        f"- It knows {train_rows} rows. Whatever this machine does in good health that is not in them scores "
        "as anomalous, and whatever was wrong with it in them counts as normal.",
        "- One machine only: scaler, weights and UCL are this asset's own.",
        "- A channel's contribution says where a window fits badly, not what is broken.",
        f"- It sees the {n_channels} channels below and nothing else, in these units, a sample each "
        f"{manifest.sample_period_s:g} s.",
        f"- The state is `unknown`, and there is no alarm, until {manifest.window_length} samples are "
        f"together: at the start, after a gap of more than {manifest.largest_gap_s:g} s, and after a value "
        "that is missing, not plausible, or has not changed for too long.",
    ]


def _channels(manifest: Manifest) -> list[str]:
    rows = [(_inline(c.name), _inline(c.unit) or "-", _range(c)) for c in manifest.channels]
    return ["## Channels", "", *_table(("channel", "unit", "plausible range"), rows)]


def _data(manifest: Manifest, asset: AssetSource, plan: BuildPlan) -> list[str]:
    said = plan.settings.card
    windows = manifest.variants[0].limit.n_train_windows
    return [
        "## Training data",
        "",
        f"- Source: {_stated(said, 'data_source')}",
        f"- Licence: {_stated(said, 'data_licence')}",
        f"- Rows: {asset.n_rows}, of which {plan.format.train.which} "
        f"{manifest.provenance.train_rows} were learned from ({windows} whole windows)",
        f"- SHA-256 of the recording: `{manifest.provenance.data_sha256}`",
    ]


def _quality(
    manifest: Manifest, plan: BuildPlan, members: Mapping[str, bytes], caveats: Sequence[str]
) -> list[str]:
    header = ("variant", "precision", "size KB", "UCL", "rule", "F1", "FAR %", "MAR %", "parity gate")
    rows = [
        (
            f"{variant.name}{' (default)' * (variant.name == manifest.default_variant)}",
            variant.precision,
            f"{len(members[variant.file]) / 1000:.1f}",
            f"{variant.limit.ucl:.6g}",
            *_figures(metrics),
            _verdict(variant),
        )
        for variant in manifest.variants
        for metrics in variant.evaluation or (None,)
    ]
    n_rows = max((m.n_rows for v in manifest.variants for m in v.evaluation), default=0)
    where = f"F1, FAR and MAR are over the {n_rows} labelled rows after the training rows. " if n_rows else ""
    n_assets = len(plan.assets)
    together = f"all {n_assets} recordings of the build together" if n_assets > 1 else "this recording"
    return [
        "## Quality",
        "",
        *_table(header, rows),
        "",
        f"{where}The parity gate, which compares each variant with its reference, judged {together}.",
        "",
        *(f"- {caveat}" for caveat in caveats),
    ]


def _making(manifest: Manifest, plan: BuildPlan) -> list[str]:
    training, limit = plan.settings.training, plan.settings.limit
    models = [
        f"- Model `{model.name}`: {_KINDS[model.kind]} autoencoder, {_units(model)}, {model.activation}, "
        f"{model.n_parameters} parameters"
        for model in manifest.models
    ]
    forms = ", ".join(f"{variant.name} {variant.form}" for variant in manifest.variants)
    versions = ", ".join(
        f"{name} {version}" for name, version in sorted(manifest.provenance.versions.items())
    )
    return [
        "## How it was made",
        "",
        *models,
        f"- Training: adam on the mean absolute error, learning rate {training.learning_rate:g}, batches of "
        f"{training.batch_size}, at most {training.epochs} epochs, the last "
        f"{100 * training.validation_share:g} % of the windows held out, patience {training.patience}; "
        f"weights of {_KEPT[training.keep]} kept{_regularized(training.kernel_l2)}"
        f"{_taught(training.teachers)}",
        f"- Seed: {training.seed}, together with the recording's digest",
        f"- Windows of {manifest.window_length} samples; {manifest.scaler.kind} scaler, fitted on the "
        "training rows",
        *(
            f"- Detector of `{model.name}`: {_inline(model.detector.text())}; fitted on the first "
            f"{100 * plan.settings.fit_share:g} % of the training windows"
            for model in manifest.models
            if model.detector
        ),
        f"- UCL: {_limit(limit)}; of each variant its own{_apart(plan)}",
        f"- Converted for {plan.settings.optimize}: {forms}",
        f"- Versions: {_inline(versions)}",
    ]


def _regularized(kernel_l2: float) -> str:
    return f"; L2 of {kernel_l2:g} on the first kernel" if kernel_l2 else ""


def _taught(teachers: int) -> str:
    return f"; learned the mean reconstruction of {teachers} of its kind" if teachers else ""


def _limit(rule: LimitRule) -> str:
    if rule.kind == "percentile":
        return (
            f"percentile {rule.percentile:g} of the training windows' scores, times {rule.factor:g}"
            f"{_rounded(rule.digits)}"
        )
    return rule.text()


def _apart(plan: BuildPlan) -> str:
    settings = plan.settings
    if settings.fit_share == 1 or settings.limit_on == "train-span":
        return ""
    share = 100 * settings.fit_share
    return f", from training windows behind the first {share:g} %, which alone the models learned from"


def _rounded(digits: int | None) -> str:
    return "" if digits is None else f", rounded to {digits} decimals"


def _terms(said: CardSettings) -> list[str]:
    return [
        "## Licences and contact",
        "",
        f"- Models: {_stated(said, 'model_licence')}",
        f"- Data: {_stated(said, 'data_licence')}",
        f"- Contact: {_stated(said, 'contact')}",
    ]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table; the cells are escaped already."""
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]


def _figures(metrics: MetricsEntry | None) -> tuple[str, str, str, str]:
    if metrics is None:
        return "-", "-", "-", "-"
    return metrics.rule, number(metrics.f1, 3), percent(metrics.far), percent(metrics.mar)


def _verdict(variant: VariantEntry) -> str:
    if not variant.parity:
        return "not judged"
    failed = [f"{c.figure} ({c.rule})" if c.rule != "-" else c.figure for c in variant.parity if not c.passed]
    return f"FAILED: {_inline(', '.join(failed))}" if failed else f"passed, {len(variant.parity)} figures"


def _range(channel: Channel) -> str:
    if channel.low is None and channel.high is None:
        return "-"
    ends = ("" if end is None else f"{end:g}" for end in (channel.low, channel.high))
    return " … ".join(ends).strip()


def _units(model: ModelEntry) -> str:
    parts = [_numbers(units) for units in (model.encoder_units, model.decoder_units) if units]
    return f"units {' and '.join(parts)}"


def _numbers(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))


def _stated(said: CardSettings, key: str) -> str:
    text = _inline(getattr(said, key))
    return text or f"not stated (state it as `{key}` under `[card]` in the file of `--config`)"


def _inline(text: str) -> str:
    """Somebody's text as plain text on one line: no Markdown, no HTML, no line break or control character."""
    # an underscore between two letters is none of Markdown's marks and reads better bare
    marks = r"[\\`*{}\[\]<>#|!&~$]|_(?![^\W_])|(?<![^\W_])_"
    return re.sub(marks, r"\\\g<0>", printable(" ".join(text.split())))
