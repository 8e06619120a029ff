"""`edge-ad inspect`: what a bundle holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.options import bundle_argument, store_option

if TYPE_CHECKING:
    from edge_ad.bundle.bundle import Bundle
    from edge_ad.bundle.manifest import Manifest, VariantEntry
    from edge_ad.runtime.store.open import FoundBundle


@click.command()
@bundle_argument
@click.option("--json", "as_json", is_flag=True, help="Print the manifest.")
@click.option("--card", is_flag=True, help="Print the model card, which is Markdown.")
@store_option
def inspect(bundle: str, as_json: bool, card: bool, store: Path | None) -> None:
    """Show what BUNDLE (a file, or @ASSET of this machine's store) holds, after verifying it."""
    from edge_ad.bundle.manifest import to_json
    from edge_ad.errors import ConfigurationError
    from edge_ad.runtime.store.open import find_bundle
    from edge_ad.text import printable, printable_json

    if as_json and card:
        raise ConfigurationError("give either --json or --card, not both")
    found = find_bundle(bundle, store)
    loaded = found.bundle
    manifest = loaded.manifest
    if as_json:
        click.echo(printable_json(to_json(manifest).decode()))
    elif card:
        if not manifest.card_file:
            raise ConfigurationError(
                f"{bundle} holds no model card (before schema 1.1 no bundle did): build it anew for one"
            )
        text = loaded.members[manifest.card_file].decode()
        click.echo("\n".join(map(printable, text.split("\n"))), nl=False)
    else:
        click.echo(
            "\n\n".join((_identity(found), _channels(found.running.manifest), _variants(found.running)))
        )
    for key in manifest.unknown_keys:
        click.echo(f"ignored, from a newer edge_ad: {printable(key)}", err=True)


def _identity(found: FoundBundle) -> str:
    from edge_ad.text import printable

    manifest = found.bundle.manifest
    overlaid = found.running is not found.bundle
    recalibrated = f"yes: edge-ad store log {manifest.asset}" if overlaid else "no"
    rows = (
        ("asset", manifest.asset),
        ("version", f"{manifest.model_version}, build {manifest.build_number}"),
        ("bundle id", manifest.bundle_id),
        ("needs", f"edge_ad {manifest.minimum_runtime} or newer (schema {manifest.schema})"),
        (
            "parity gate",
            "UNCHECKED: packed although the gate failed or did not run" if manifest.unchecked else "passed",
        ),
        (
            "window",
            f"{manifest.window_length} samples x {len(manifest.channels)} channels, a sample each "
            f"{manifest.sample_period_s:g} s; a gap above {manifest.largest_gap_s:g} s ends it",
        ),
        ("score", _score(manifest)),
        ("alarm", manifest.alarm_rule.text()),
        (
            "learned from",
            f"{manifest.provenance.train_rows} rows of the recording with SHA-256 "
            f"{manifest.provenance.data_sha256}",
        ),
        ("signature", found.bundle.signature.text()),
        ("recalibrated", recalibrated),
        ("model card", "edge-ad inspect --card" if manifest.card_file else "none"),
    )
    return "\n".join(f"{name:<14}{printable(value)}" for name, value in rows)


def _score(manifest: Manifest) -> str:
    """What makes a window's score; of a model each, where they differ."""
    from edge_ad.detect.fusion import scoring_text

    texts = {entry.model: scoring_text(manifest.scoring(entry.name)) for entry in manifest.variants}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "; ".join(f"{name}: {text}" for name, text in texts.items())


def _channels(manifest: Manifest) -> str:
    from edge_ad.text import align, printable

    def end(value: float | None) -> str:
        return "-" if value is None else f"{value:g}"

    scaler = manifest.scaler
    rows = [("channel", "unit", "lowest", "highest", "offset", "scale")]
    rows += [
        (
            *(printable(channel.name), printable(channel.unit), end(channel.low), end(channel.high)),
            *(f"{offset:.6g}", f"{scale:.6g}"),
        )
        for channel, offset, scale in zip(manifest.channels, scaler.offset, scaler.scale, strict=True)
    ]
    return align(rows, left=2)


def _variants(loaded: Bundle) -> str:
    """A line per variant and rule, then what must be known beside an F1."""
    from edge_ad.text import align, number, percent, printable

    manifest = loaded.manifest
    rows: list[tuple[str, ...]] = [
        ("variant", "precision", "parity", "rule", "size KB", "UCL", "F1", "FAR %", "MAR %")
    ]
    for variant in manifest.variants:
        default = " (default)" if variant.name == manifest.default_variant else ""
        size = f"{len(loaded.members[variant.file]) / 1000:.1f}"
        cells = [printable(variant.name) + default, variant.precision, _parity(variant)]
        figures: list[tuple[str, ...]] = [
            (m.rule, number(m.f1, 3), percent(m.far), percent(m.mar)) for m in variant.evaluation
        ]
        for rule, f1, far, mar in figures or [("-",) * 4]:
            rows.append((*cells, rule, size, f"{variant.limit.ucl:.6g}", f1, far, mar))
    return f"{align(rows, left=4)}\n\n{_limits(manifest)}{_caveat(manifest)}"


def _limits(manifest: Manifest) -> str:
    """What the variants' limits were set for and do not promise; nothing of limits without a budget."""
    from edge_ad.text import printable

    lines: dict[str, None] = {}
    for variant in manifest.variants:
        limit = variant.limit
        if limit.budget is not None:
            lines |= dict.fromkeys((f"UCL asked for: {limit.rule.text()}", *limit.notes(manifest.sampling)))
    return "".join(f"{printable(line)}\n" for line in lines)


def _parity(variant: VariantEntry) -> str:
    failed = sum(not check.passed for check in variant.parity)
    if not variant.parity:
        return "not judged"
    return f"FAILED {failed} of {len(variant.parity)}" if failed else "passed"


def _caveat(manifest: Manifest) -> str:
    n_rows = max((m.n_rows for v in manifest.variants for m in v.evaluation), default=None)
    if n_rows is None:
        return "The recording has no labels, so there is no F1, FAR or MAR."
    more = (
        "; the model card has the rest, such as what an always-on alarm scores" if manifest.card_file else ""
    )
    ahead = manifest.window_length - 2
    looks = f"looks ahead by {ahead} samples" if ahead >= 0 else "flags each row by its own score"
    return (
        f"F1 is over {n_rows} rows of one recording, never point-adjusted. The leaderboard rule "
        f"{looks}, a device decides by the streaming rule{more}."
    )
