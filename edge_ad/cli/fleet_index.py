"""`edge-ad fleet list` and `edge-ad fleet diff`: what the index of a fleet says."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.options import PATH

if TYPE_CHECKING:
    from edge_ad.toolchain.fleet.record import AssetRecord

_NARROWEST_REASON = 40
_SORTS = ("asset", "worst-parity", "worst-f1", "newest", "slowest")


@click.command("list")
@click.argument("fleet", type=PATH)
@click.option(
    "--where",
    multiple=True,
    help="A condition such as 'state=failed', 'f1<0.7' or 'asset~pump-1*'; all of several hold.",
)
@click.option("--sort", type=click.Choice(_SORTS), default="asset", show_default=True, help="Order.")
@click.option("--limit", type=click.IntRange(1), help="Show at most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print every column, one asset per line of JSON.")
def list_(fleet: Path, where: Sequence[str], sort: str, limit: int | None, as_json: bool) -> None:
    """List the assets of FLEET with what their last build made of them."""
    from edge_ad.toolchain.fleet.conditions import parse_condition
    from edge_ad.toolchain.fleet.store import FleetStore

    conditions = [parse_condition(text) for text in where]
    with FleetStore.open(fleet) as store:
        records = store.assets(conditions, sort=sort, limit=limit)
        counts = store.counts()
    if as_json:
        import json

        from edge_ad.bundle.codec import encode

        for record in records:
            click.echo(json.dumps(encode(record)))
        return
    click.echo(_table(records, _terminal_width()))
    states = ", ".join(f"{n} {state}" for state, n in sorted(counts.items())) or "no assets"
    click.echo(f"{len(records)} shown; the fleet: {states}", err=True)


@click.command()
@click.argument("before", type=PATH)
@click.argument("after", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print one asset per line of JSON.")
def diff(before: Path, after: Path, as_json: bool) -> None:
    """Show which assets the fleet AFTER has otherwise than the fleet BEFORE."""
    from edge_ad.bundle.codec import encode
    from edge_ad.text import counted, printable
    from edge_ad.toolchain.fleet.store import FleetStore

    with FleetStore.open(before) as first, FleetStore.open(after) as second:
        changes = first.diff(second)
    for change in changes:
        if as_json:
            import json

            click.echo(json.dumps(encode(change)))
        elif change.before is None or change.after is None:
            click.echo(printable(f"{change.asset}: only in {after if change.before is None else before}"))
        else:
            parts = [
                f"{name} {_brief(getattr(change.before, name))} -> {_brief(getattr(change.after, name))}"
                for name in change.fields
            ]
            click.echo(printable(f"{change.asset}: {', '.join(parts)}"))
    click.echo(f"differing: {counted(len(changes), 'asset')}", err=True)


def _terminal_width() -> int | None:
    """Columns; None where standard output is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _table(records: Sequence[AssetRecord], width: int | None) -> str:
    """Reasons in full, over several lines where they do not fit `width`."""
    from edge_ad.text import align, printable

    header = ["asset", "state", "build", "variant", "UCL", "F1", "agreement", "headroom"]
    rows = [
        [
            printable(record.asset),
            record.state,
            str(record.build_number),
            record.default_variant or "-",
            _figure(record.ucl, ".4g"),
            _figure(record.f1, ".3f"),
            _figure(record.agreement, ".4f"),
            _figure(record.parity_headroom, ".2f"),
        ]
        for record in records
    ]
    lines = align([header, *rows], left=2).split("\n")
    if not any(record.reason for record in records):
        return "\n".join(lines)
    edge = max(map(len, lines))
    beside = None if width is None else max(width - edge - 2, _NARROWEST_REASON)
    reasons = ["why", "---", *(printable(record.reason) for record in records)]
    return "\n".join(
        f"{line if number == 0 else '':<{edge}}  {part}".rstrip()
        for line, reason in zip(lines, reasons, strict=True)
        for number, part in enumerate(_wrapped(reason, beside))
    )


def _wrapped(text: str, width: int | None) -> list[str]:
    return [text] if width is None or not text else textwrap.wrap(text, width)


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _brief(value: object) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f"{text[:12]}…" if len(text) > 40 else text or "-"
