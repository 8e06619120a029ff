"""The tables of an evaluation, whoever writes them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edge_ad.text import number
from edge_ad.toolchain.evaluation.baselines import ALWAYS_ON, POSITION
from edge_ad.toolchain.evaluation.figures import Spread, spreads
from edge_ad.toolchain.evaluation.result import ALL, UNTOUCHED, AssetResult, Evaluation
from edge_ad.toolchain.parity import RULES

_RULELESS = frozenset({ALWAYS_ON.name, POSITION.name})
"""Detectors that decide alike under both rules."""


@dataclass(frozen=True)
class Table:
    """Cells of text; the first row is the header, the first `left` columns are no numbers."""

    title: str
    rows: tuple[tuple[str, ...], ...]
    left: int
    note: str = ""


@dataclass(frozen=True)
class _Column:
    """How a figure is written."""

    header: str
    figure: str
    digits: int
    factor: float = 1.0

    def cell(self, figures: Mapping[str, Spread | None]) -> str:
        """Median, and the range where there are several runs; `-` where there is nothing."""
        found = figures[self.figure]
        if found is None:
            return "-"
        median, low, high = (
            number(round(value * self.factor, self.digits) + 0.0, self.digits)
            for value in (found.median, found.low, found.high)
        )
        return median if found.n == 1 else f"{median} ({low}–{high})"


_F1 = _Column("F1", "f1", 3)
_RATES = (_Column("FAR %", "far", 1, 100), _Column("MAR %", "mar", 1, 100))
_QUALITY = (_F1, _Column("precision", "precision", 3), _Column("recall", "recall", 3), *_RATES)
_RANGES = (
    _Column("affil. P", "affiliation_precision", 3),
    _Column("affil. R", "affiliation_recall", 3),
    _Column("NAB", "nab_standard", 1),
    _Column("low FP", "nab_low_fp", 1),
    _Column("low FN", "nab_low_fn", 1),
)
_SOON = _Column("in 60 s %", "found_soon", 1, 100)
_FALSE = _Column("false/h", "false_per_hour", 2)
_ALARMS = (
    _Column("found %", "found", 1, 100),
    _SOON,
    _Column("on before %", "on_before", 1, 100),
    _Column("delay s", "delay_median_s", 1),
    _Column("p90 s", "delay_p90_s", 1),
    _FALSE,
    _Column("episode P", "episode_precision", 3),
)


def tables(evaluation: Evaluation) -> list[Table]:
    """All of them, from the whole to the single recording."""
    found = [
        _by_rule("Rows", evaluation, _QUALITY, "of all recordings together"),
        _by_rule("Ranges and changepoints", evaluation, _RANGES, _RANGES_NOTE),
        _streaming("Alarms and delays", evaluation, _ALARMS),
    ]
    if len(evaluation.groups) > 1:
        found.append(_groups(evaluation))
    found.append(_assets(evaluation))
    return found


_RANGES_NOTE = (
    "alarms at random places have an affiliation precision about 0.5; NAB: 100 is perfect, 0 says nothing"
)


def _by_rule(title: str, evaluation: Evaluation, columns: Sequence[_Column], note: str) -> Table:
    rows: list[tuple[str, ...]] = [("detector", "rule", *(column.header for column in columns))]
    for detector in evaluation.detectors:
        for rule in RULES[:1] if detector.name in _RULELESS else RULES:
            figures = evaluation.scope(ALL, detector.name, rule)
            shown = "-" if detector.name in _RULELESS else rule
            rows.append((detector.name, shown, *(column.cell(figures) for column in columns)))
    return Table(title, tuple(rows), 2, note)


def _streaming(title: str, evaluation: Evaluation, columns: Sequence[_Column]) -> Table:
    rows: list[tuple[str, ...]] = [("detector", *(column.header for column in columns))]
    for detector in evaluation.detectors:
        figures = evaluation.scope(ALL, detector.name, "streaming")
        rows.append((detector.name, *(column.cell(figures) for column in columns)))
    note = (
        f"of {evaluation.n_anomalies} labelled anomalies, under the streaming rule; delays are of those that "
        "were found"
    )
    return Table(title, tuple(rows), 1, note)


def _groups(evaluation: Evaluation) -> Table:
    header = ("group", "detector", "F1 leaderboard", "F1 streaming", "FAR %", "MAR %", "in 60 s %", "false/h")
    rows: list[tuple[str, ...]] = [header]
    scopes = list(dict.fromkeys(found.scope for found in evaluation.scopes))
    for scope in scopes:
        for detector in evaluation.detectors:
            leaderboard, streaming = (evaluation.scope(scope, detector.name, rule) for rule in RULES)
            cells = (column.cell(streaming) for column in (_F1, *_RATES, _SOON, _FALSE))
            rows.append((scope, detector.name, _F1.cell(leaderboard), *cells))
    note = "rates, delays and false alarms under the streaming rule"
    if evaluation.untouched:
        note += f"; {UNTOUCHED}: {' and '.join(evaluation.untouched)}, whose labels no choice was made on"
    return Table("Groups", tuple(rows), 2, note)


def _assets(evaluation: Evaluation) -> Table:
    header = ("recording", "F1 leaderboard", "F1 streaming", "FAR %", "MAR %", "found", "delay s", "false/h")
    rows: list[tuple[str, ...]] = [header]
    runs = evaluation.detectors[0].runs
    for together in zip(*(run.assets for run in runs), strict=True):
        leaderboard, streaming = (
            spreads([asset.rules[rule].figures for asset in together]) for rule in RULES
        )
        n_anomalies = len(together[0].rules["streaming"].raw.detection.anomalies)
        n_found = statistics.median(_n_found(asset) for asset in together)
        cells = (column.cell(streaming) for column in (_F1, *_RATES))
        rows.append(
            (
                together[0].asset,
                _F1.cell(leaderboard),
                *cells,
                f"{n_found:g} of {n_anomalies}",
                _Column("", "delay_median_s", 1).cell(streaming),
                _FALSE.cell(streaming),
            )
        )
    return Table(f"Recordings, by {evaluation.variant}", tuple(rows), 1, "as above")


def _n_found(asset: AssetResult) -> int:
    return asset.rules["streaming"].raw.detection.n_detected


def written(table: Table, mark: Callable[[str], str]) -> Table:
    """The same with every cell gone through `mark`."""
    rows = tuple(tuple(map(mark, row)) for row in table.rows)
    return Table(table.title, rows, table.left, table.note)
