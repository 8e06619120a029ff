"""Each figure against a slow count of rows, and by hand."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ad.toolchain.evaluation.figures import Figures, Spread, figures, spreads
from edge_ad.toolchain.evaluation.ranges import Affiliation, affiliation_figures, affiliations
from edge_ad.toolchain.evaluation.tally import Alarms, LabelledRows, Tally, continuous, tally


def flags(text):
    return np.array([c == "#" for c in text])


def judged(labels, alarms, times=None, period_s=1.0):
    times = np.arange(float(len(labels))) if times is None else np.array(times, float)
    return tally(LabelledRows(times, flags(labels), None, period_s), continuous(flags(alarms)))


def test_by_hand():
    found = figures(judged("..####..####....", ".###.......##.#.", period_s=2.0))
    # rows: 3 + ... hits
    assert found.recall == 3 / 8
    assert found.precision == 3 / 6
    assert found.f1 == 2 * 3 / (2 * 3 + 3 + 5)
    assert found.far == 3 / 8
    assert found.mar == 5 / 8
    # two anomalies: the alarm was on before the first, and 3 s late in the second
    assert (found.found, found.found_soon, found.on_before) == (1.0, 1.0, 0.5)
    assert (found.delay_median_s, found.delay_p90_s) == (1.5, pytest.approx(2.7))
    # three alarm episodes, the last of them false; 8 normal rows of 2 s
    assert found.episode_precision == 2 / 3
    assert found.false_per_hour == 3600 / 16
    assert (found.nab_standard, found.nab_low_fp, found.nab_low_fn) == (None, None, None)


def test_alarms_within_the_hold_off_are_one_episode():
    labels, on = flags("......######........"), flags("##.#....##.......#..")
    rows = LabelledRows(np.arange(20.0), labels, None, 1.0)

    def found(hold_off_s, ending=~on):
        return figures(tally(rows, Alarms(on, ending, hold_off_s)))

    # four episodes, one in the anomaly; then the first two are one; then all but the last
    assert (found(0).episode_precision, found(0).false_per_hour) == (1 / 4, pytest.approx(3 * 3600 / 14))
    assert (found(2).episode_precision, found(2).false_per_hour) == (1 / 3, pytest.approx(2 * 3600 / 14))
    assert (found(5).episode_precision, found(5).false_per_hour) == (1 / 2, pytest.approx(3600 / 14))
    # rows without a score end nothing
    assert found(0, np.zeros(20, bool)).episode_precision == 1
    assert {found(hold_off).f1 for hold_off in (0, 2, 5)} == {found(0).f1}


def test_an_alarm_that_spans_an_anomaly_without_an_alarmed_row_in_it_is_false():
    labels, on = flags("..##....."), flags("##...##..")
    found = figures(tally(LabelledRows(np.arange(9.0), labels, None, 1.0), Alarms(on, ~on, 10.0)))
    assert (found.found, found.episode_precision) == (0, 0)


def test_a_delay_of_more_than_a_minute_is_found_but_not_soon():
    times = [0, 10, 71, 72]
    assert figures(judged(".###", "..##", times)).found_soon == 0
    assert figures(judged(".###", "..##", [0, 10, 70, 72])).found_soon == 1
    assert figures(judged(".###", "..##", times)).delay_median_s == 61


def test_missed_anomalies_count_as_not_found_and_have_no_delay():
    found = figures(judged(".##.##.##.", "..........") + judged(".##.", ".##."))
    assert (found.found, found.found_soon) == (0.25, 0.25)
    assert found.delay_median_s == 0


def test_where_there_is_nothing_to_divide_by_there_is_no_figure():
    assert set(vars(figures(Tally())).values()) == {None}
    found = figures(judged("....", "...."))
    assert (found.far, found.false_per_hour) == (0, 0)
    assert {found.f1, found.mar, found.found, found.episode_precision} == {None}


class Slow:
    """Row by row, of one recording of one-second rows."""

    def __init__(self, labels, alarms):
        n = len(labels)
        self.hits = sum(labels[i] and alarms[i] for i in range(n))
        self.alarmed, self.anomalous = sum(alarms), sum(labels)
        self.anomalies = self.runs(labels)
        self.episodes = self.runs(alarms)
        self.delays = [next((i - a[0] for i in a if alarms[i]), None) for a in self.anomalies]
        self.false = sum(not any(labels[i] for i in e) for e in self.episodes)
        self.on_before = sum(a[0] > 0 and alarms[a[0] - 1] and alarms[a[0]] for a in self.anomalies)
        self.n = n

    @staticmethod
    def runs(values):
        found = []
        for i, value in enumerate(values):
            if value and i and values[i - 1]:
                found[-1].append(i)
            elif value:
                found.append([i])
        return found


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_against_a_slow_count(rows):
    labels, alarms = ([bool(value) for value in column] for column in zip(*rows, strict=True))
    slow, n = Slow(labels, alarms), len(labels)
    rows = LabelledRows(np.arange(float(n)), np.array(labels), None, 1.0)
    found = figures(tally(rows, continuous(np.array(alarms))))
    assert found.precision == (slow.hits / slow.alarmed if slow.alarmed else None)
    assert found.recall == (slow.hits / slow.anomalous if slow.anomalous else None)
    if found.precision and found.recall:
        harmonic = 2 / (1 / found.precision + 1 / found.recall)
        assert found.f1 == pytest.approx(harmonic)
    normal = n - slow.anomalous
    assert found.far == ((slow.alarmed - slow.hits) / normal if normal else None)
    times = [delay for delay in slow.delays if delay is not None]
    assert found.found == (len(times) / len(slow.delays) if slow.delays else None)
    assert found.on_before == (slow.on_before / len(slow.delays) if slow.delays else None)
    assert found.delay_median_s == (float(np.median(times)) if times else None)
    n_episodes = len(slow.episodes)
    assert found.episode_precision == ((n_episodes - slow.false) / n_episodes if n_episodes else None)
    assert found.false_per_hour == (pytest.approx(slow.false / normal * 3600) if normal else None)


def slow_affiliation(labels, alarms, steps=200):
    """The definition (Huet et al. 2022), by sums over a fine grid instead of integrals: of one anomaly."""
    n = len(labels)
    grid = (np.arange(n * steps) + 0.5) / steps
    where = np.flatnonzero(labels)
    start, end = where[0], where[-1] + 1

    def distance_to(a, b):
        return np.maximum(0, np.maximum(a - grid, grid - b))

    to_label = distance_to(start, end)
    alarmed = np.repeat(alarms, steps)
    precision = None
    if alarmed.any():
        # share of the places that are further away from the anomaly, averaged over the alarm
        rank = [np.mean(np.where(d > 0, to_label > d, 1.0)) for d in to_label[alarmed][:: steps // 10]]
        precision = float(np.mean(rank))
    if not alarmed.any():
        return None, 0.0
    to_alarm = np.min([distance_to(i, i + 1) for i in np.flatnonzero(alarms)], axis=0)
    shares = []
    for i in np.flatnonzero(np.repeat(labels, steps))[:: steps // 10]:
        d = to_alarm[i]
        further = np.abs(grid - grid[i]) > d
        shares.append(1.0 if d == 0 else np.mean(further))
    return precision, float(np.mean(shares))


@pytest.mark.parametrize(
    ("labels", "alarms"),
    [
        ("....####........", "....####........"),
        ("....####........", ".........##....."),
        ("....####........", "##.............."),
        ("....####........", "#.....#.....###."),
        ("....####........", "................"),
        ("....####........", "################"),
    ],
)
def test_affiliation_against_its_definition(labels, alarms):
    (found,) = affiliations(flags(labels), flags(alarms))
    precision, recall = slow_affiliation(flags(labels), flags(alarms))
    assert found.precision == (None if precision is None else pytest.approx(precision, abs=0.02))
    assert found.recall == pytest.approx(recall, abs=0.02)


def test_every_anomaly_has_its_own_affiliation():
    found = affiliations(flags("..##......##.."), flags("..##.........."))
    assert found == (Affiliation(1.0, 1.0), Affiliation(None, 0.0))
    assert affiliation_figures(found) == (1.0, 0.5, pytest.approx(2 / 3))
    assert affiliations(flags("...."), flags("..#.")) == ()
    assert affiliation_figures(()) == (None, None, None)


def test_the_spread_over_runs():
    runs = [figures(judged("..##", alarms)) for alarms in ("..##", "...#", "#..#")]
    found = spreads(runs)
    assert found["recall"] == Spread(0.5, 0.5, 1.0, 3)
    assert found["far"] == Spread(0.0, 0.0, 0.5, 3)
    assert found["nab_standard"] is None
    assert list(found) == [field.name for field in dataclasses.fields(Figures)]
    assert not any(math.isnan(spread.median) for spread in found.values() if spread)
