"""`edge-ad diff`: what changed between two bundles."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_ad.cli.options import store_option

if TYPE_CHECKING:
    from edge_ad.bundle.diff import Change

_GROUPS = (
    *("identity", "versions", "data", "channels", "scaler", "detection", "training"),
    *("limits", "variants", "files", "evaluation"),
)
_GROUP_OF = {
    **dict.fromkeys(("schema", "minimum_runtime", "unknown_keys", "versions"), "versions"),
    **dict.fromkeys(("data_sha256", "train_rows", "input", "sample_period_s", "largest_gap_s"), "data"),
    "rate_tolerance": "data",
    **dict.fromkeys(("window_length", "stride", "score", "alarm_rule"), "detection"),
    **dict.fromkeys(("models", "provenance"), "training"),
    **dict.fromkeys(("members", "golden_file"), "files"),
    **dict.fromkeys(("evaluation", "parity", "proof", "measured_forms"), "evaluation"),
    **{"channels": "channels", "scaler": "scaler", "limit": "limits", "variants": "variants"},
}
"""Key of the manifest -> heading; the rest is identity."""
_IMPLIED = {
    *("channels", "scaler", "variants", "members", "provenance", "models", "versions"),
    *("limit", "evaluation"),
}
"""Keys that a heading says already."""
_COUNTED = ("parity", "proof", "measured_forms", "calibration", "score_quantiles")
"""Parts of a variant with so many figures that only their number is told."""


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.option("--json", "as_json", is_flag=True, help="Print every change: path, before, after.")
@store_option
def diff(before: str, after: str, as_json: bool, store: Path | None) -> None:
    """Show what changed from bundle A to bundle B; exit 0 whether or not anything did.

    Either is a file, or @ASSET of this machine's store.
    """
    from edge_ad.bundle.codec import encode
    from edge_ad.bundle.diff import diff as find_changes
    from edge_ad.runtime.store.open import find_bundle

    changes = find_changes(find_bundle(before, store).running, find_bundle(after, store).running)
    if as_json:
        import json

        click.echo(json.dumps(encode(changes), indent=1).replace("\x7f", "\\u007f"))
    elif changes:
        click.echo("\n".join(_report(changes)))
    else:
        click.echo("no difference")


def _report(changes: list[Change]) -> list[str]:
    """Changes under headings, those that belong together on one line."""
    lines: list[str] = []
    for heading in _GROUPS:
        here = [change for change in changes if _heading(change.path) == heading]
        if here:
            lines.append(heading)
        for path, together in groupby(here, lambda change: _line_path(change.path)):
            lines.append(f"  {_label(path)}: {_text(path, list(together))}")
    return lines


def _heading(path: tuple[str, ...]) -> str:
    if path[0] == "variants" and len(path) > 2:
        return _GROUP_OF.get(path[2], "variants")
    if path[0] == "provenance":
        return _GROUP_OF.get(path[1], "training")
    return _GROUP_OF.get(path[0], "identity")


def _line_path(path: tuple[str, ...]) -> tuple[str, ...]:
    """The part of a path that changes on the same line share."""
    if path[0] in ("scaler", "members"):
        return path[:2]
    if path[0] == "variants" and len(path) > 2 and path[2] in _COUNTED:
        return path[:3]
    return path


def _label(path: tuple[str, ...]) -> str:
    from edge_ad.text import printable

    names = 1 if path[0] in ("channels", "variants", "models", "members") else None  # where a name stands
    keys = [key for i, key in enumerate(path) if i == names or key not in _IMPLIED]
    return printable(" ".join(keys))


def _text(path: tuple[str, ...], changes: list[Change]) -> str:
    first = changes[0]
    if path[0] == "members" and not isinstance(first.before, list):
        return _file(changes)
    if first.path == path and isinstance(first.after, dict) and first.before is None:
        return "added"
    if first.path == path and isinstance(first.before, dict) and first.after is None:
        return "removed"
    if path[0] == "scaler" and path[1] != "kind":
        pairs = [(change.before, change.after) for change in changes]
        return f"{_count(len(pairs), 'number differs', 'numbers differ')}{_largest(pairs)}"
    if path[0] == "variants" and len(path) == 3 and path[2] in _COUNTED:
        flips = [change for change in changes if change.path[-1] == "passed"]
        verdicts = [f"; {_label(c.path[3:-1])} now {'passes' if c.after else 'FAILS'}" for c in flips]
        return f"{_count(len(changes), 'figure differs', 'figures differ')}{''.join(verdicts)}"
    if _are_numbers(first.before) and _are_numbers(first.after) and len(first.before) == len(first.after):
        pairs = list(zip(first.before, first.after, strict=True))
        return f"{_count(len(pairs), 'number')}{_largest(pairs)}"
    before, after = _value(first.before), _value(first.after)
    if before == after:  # they differ in what was rounded away or cut off
        before, after = _value(first.before, exact=True), _value(first.after, exact=True)
    change = _relative(first.before, first.after) if path[2:3] == ("limit",) else None
    return f"{before} -> {after}" + (f" ({_percent(change)})" if change else "")


def _file(changes: list[Change]) -> str:
    first, sizes = changes[0], [change for change in changes if change.path[-1] == "size"]
    if first.before is None:
        return f"added, {first.after['size']} bytes"
    if first.after is None:
        return f"removed, it had {first.before['size']} bytes"
    return f"{sizes[0].before} -> {sizes[0].after} bytes" if sizes else "other bytes, as many"


def _value(value: Any, *, exact: bool = False) -> str:
    from edge_ad.text import printable

    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return repr(value) if exact or isinstance(value, int) else f"{value:.6g}"
    if _are_numbers(value) and value:
        return _count(len(value), "number")
    if isinstance(value, (list, dict)):
        names = [item for item in value if isinstance(item, str)]
        return _value(", ".join(names), exact=exact) if names else _count(len(value), "entry", "entries")
    text = printable(str(value))
    if exact:
        return text
    if re.fullmatch(r"[0-9a-f]{64}", text):
        return f"{text[:12]}…"
    return f"{text[:59]}…" if len(text) > 60 else text or "''"


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, (int, float)) for item in value)


def _largest(pairs: list[tuple[Any, Any]]) -> str:
    changes = [change for pair in pairs if (change := _relative(*pair)) is not None]
    return f", largest relative change {_percent(max(changes, key=abs))}" if changes else ""


def _relative(before: Any, after: Any) -> float | None:
    if not isinstance(before, float) or not isinstance(after, float) or before == 0:
        return None
    return (after - before) / abs(before)


def _percent(change: float) -> str:
    return f"{100 * change:+.2g} %"


def _count(n: int, one: str, many: str = "") -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"
