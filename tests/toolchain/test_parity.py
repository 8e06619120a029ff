import dataclasses

import numpy as np
import pytest

from edge_ad.detect.rules import AlarmRule
from edge_ad.toolchain.bootstrap import BootstrapSettings
from edge_ad.toolchain.parity import (
    AssetDecisions,
    AssetScores,
    compare_decisions,
    compare_scores,
    compare_scoring,
    decide,
    describe_failures,
)
from edge_ad.toolchain.rounding import FACTOR
from edge_ad.toolchain.settings import Margins
from tests import naive

MARGINS = Margins(
    f1_drop=0.05,
    far_rise=0.1,
    mar_rise=0.1,
    min_agreement=0.8,
    min_asset_agreement=0.6,
    min_episode_agreement=0.5,
    delay_shift=3,
    min_rank_correlation=0.9,
    ucl_shift=0.1,
)
LAX = Margins(10, 1, 1, 0, 0, 0, 1000, -1, 10)
BOOTSTRAP = BootstrapSettings(block_rows=5, resamples=400)


def decisions(alarms, labels=None):
    alarms = np.array(alarms, bool)
    return AssetDecisions(
        "pump",
        {"leaderboard": alarms, "streaming": alarms},
        None if labels is None else np.array(labels, bool),
    )


def figures(verdict, rule="streaming"):
    return {check.figure: check for check in verdict.checks if check.rule == rule}


LABELS = [0] * 10 + [1] * 10


def test_equal_decisions_pass():
    same = [decisions(LABELS, LABELS)]
    verdict = compare_decisions("a", "b", same, same, MARGINS, BOOTSTRAP)
    assert verdict.passed
    assert [(f.asset, f.agreement, f.f1_drop) for f in verdict.assets] == [("pump", 1.0, 0.0)]
    assert {c.figure: c.value for c in verdict.checks if c.rule == "leaderboard"} == {
        "agreement": 1.0,
        "episode_agreement": 1.0,
        "f1_drop": 0.0,
        "far_rise": 0.0,
        "mar_rise": 0.0,
        "delay_shift": 0.0,
    }


def test_every_figure_by_hand():
    ours = [0] * 7 + [1] * 3 + [0] * 2 + [1] * 8  # 3 false alarms, 2 missed
    verdict = compare_decisions(
        "a", "b", [decisions(ours, LABELS)], [decisions(LABELS, LABELS)], MARGINS, BOOTSTRAP
    )
    found = figures(verdict)
    assert found["agreement"].value == 15 / 20
    assert found["far_rise"].value == 3 / 10
    assert found["mar_rise"].value == 2 / 10
    assert found["f1_drop"].value == pytest.approx(1 - 16 / 21)
    assert found["episode_agreement"].value == 2 / 3  # our first episode meets none of theirs
    assert found["delay_shift"].value == 2.0  # the anomaly's first alarm comes two rows late
    failed = {check.figure for check in verdict.checks if not check.passed}
    assert failed == {"agreement", "f1_drop", "far_rise", "mar_rise"}
    assert [(f.asset, f.agreement) for f in verdict.assets] == [("pump", 0.75)]
    assert verdict.assets[0].f1_drop == pytest.approx(1 - 16 / 21)


def test_margins_are_inclusive():
    ours = [0] * 9 + [1] + [1] * 10  # exactly one false alarm in ten normal rows
    verdict = compare_decisions(
        "a", "b", [decisions(ours, LABELS)], [decisions(LABELS, LABELS)], MARGINS, BOOTSTRAP
    )
    assert figures(verdict)["far_rise"].value == 0.1
    assert figures(verdict)["far_rise"].passed


def test_being_better_is_no_failure():
    worse = [0] * 5 + [1] * 5 + [0] * 5 + [1] * 5
    strict = Margins(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    verdict = compare_decisions(
        "a", "b", [decisions(LABELS, LABELS)], [decisions(worse, LABELS)], strict, BOOTSTRAP
    )
    assert verdict.passed
    assert figures(verdict)["f1_drop"].value < 0


def test_the_interval_decides_not_the_estimate():
    """A drop within the margin, on so few rows that it could as well be a large one."""
    ours = [*LABELS[:-1], 0]
    margins = dataclasses.replace(LAX, f1_drop=0.06)
    verdict = compare_decisions(
        "a", "b", [decisions(ours, LABELS)], [decisions(LABELS, LABELS)], margins, BOOTSTRAP
    )
    check = figures(verdict)["f1_drop"]
    assert check.low <= check.value <= 0.06 < check.high
    assert not check.passed
    many = compare_decisions(
        *("a", "b", [decisions(LABELS, LABELS)] * 50 + [decisions(ours, LABELS)]),
        *([decisions(LABELS, LABELS)] * 51, margins, BOOTSTRAP),
    )
    assert figures(many)["f1_drop"].passed


def test_ranks_and_limits():
    ours, theirs = scores([1.0, 2, 4, 3], 1.05), scores([0.1, 0.2, 0.3, 0.4], 1.0)
    verdict = compare_scoring("a", "b", [(ours, theirs)], MARGINS)
    found = {check.figure: check for check in verdict.checks}
    assert found["rank_correlation"].value == pytest.approx(0.8)
    assert not found["rank_correlation"].passed
    assert found["ucl_shift"].value == pytest.approx(0.05)
    assert found["ucl_shift"].passed


def test_one_broken_machine_does_not_hide_among_many():
    """It never alarms; over sixty machines no sum shows it."""
    alarms = np.repeat([False, True, False], 20)
    for labels in (alarms, None):
        theirs = [decisions(alarms, labels) for _ in range(60)]
        broken = [decisions(np.zeros(60, bool), labels), *theirs[1:]]
        verdict = compare_decisions("a", "b", broken, theirs, MARGINS, BOOTSTRAP)
        failed = [check.figure for check in verdict.checks if not check.passed]
        assert failed == []
        strict = dataclasses.replace(MARGINS, min_asset_agreement=0.9)
        verdict = compare_decisions("a", "b", broken, theirs, strict, BOOTSTRAP)
        check = next(c for c in verdict.checks if c.figure == "asset_agreement")
        assert check.value == pytest.approx(2 / 3)
        assert [c.figure for c in verdict.checks if not c.passed] == ["asset_agreement"]


@pytest.mark.parametrize(
    ("ours", "theirs", "rho"),
    [
        ([1, 1, 1, 1], [1, 2, 3, 4], 0.0),  # ranks nothing
        ([1, 1, 1, 1], [2, 2, 2, 2], 1.0),
        ([np.nan] * 4, [1, 2, 3, 4], 0.0),  # has no scores at all
        ([1, 2, 3, np.nan], [1, 2, 3, 4], 0.0),
        ([1, 2, np.nan, 4], [1, 2, np.nan, 4], 1.0),
        ([1, 2, 2, 3], [1, 2, 3, 4], 0.9486832980505138),  # scipy.stats.spearmanr
    ],
)
def test_rank_correlation_at_its_edges(ours, theirs, rho):
    verdict = compare_scoring("a", "b", [(scores(ours, 1.0), scores(theirs, 1.0))], MARGINS)
    assert verdict.checks[0].value == pytest.approx(rho)


def test_far_above_the_limit_ranks_are_rounding():
    ours, theirs = scores([1.0, 2, 3, 1e3, 1e5, 1e4], 1.0), scores([1.0, 2, 3, 1e5, 1e3, 1e4], 1.0)
    assert compare_scoring("a", "b", [(ours, theirs)], MARGINS).checks[0].value == pytest.approx(1.0)
    near = scores([1.0, 2, 3, 9.9, 1e5, 1e4], 1.0)
    assert compare_scoring("a", "b", [(near, theirs)], MARGINS).checks[0].value < 1


@pytest.mark.parametrize("place", [0, 1])
def test_the_worst_limit_of_all_counts(place):
    pairs = [(scores([1.0, 2], 1.0), scores([1.0, 2], 1.0)) for _ in range(2)]
    pairs[place] = (scores([1.0, 2], 1.5), scores([1.0, 2], 1.0))
    assert compare_scoring("a", "b", pairs, MARGINS).checks[1].value == pytest.approx(0.5)
    pairs[place] = (scores([1.0, 2], float("nan")), scores([1.0, 2], 1.0))
    assert not compare_scoring("a", "b", pairs, MARGINS).checks[1].passed


def test_counts_add_up_over_assets():
    ours = [decisions([1] * 4, [1] * 4), decisions([0] * 4, [1] * 4)]
    theirs = [decisions([1] * 4, [1] * 4), decisions([1] * 4, [1] * 4)]
    verdict = compare_decisions("a", "b", ours, theirs, MARGINS, BOOTSTRAP)
    assert figures(verdict)["f1_drop"].value == pytest.approx(1 - 8 / 12)


def test_without_labels_agreement_is_what_can_be_judged():
    verdict = compare_decisions(
        "a", "b", [decisions([0, 1, 0, 1])], [decisions([0, 1, 0, 0])], MARGINS, BOOTSTRAP
    )
    assert set(figures(verdict)) == {"agreement", "episode_agreement"}
    assert not verdict.passed
    assert describe_failures([verdict]).splitlines() == [
        "a against b: agreement 0.75 under the leaderboard rule is 0.05 below the least allowed 0.8",
        "a against b: agreement 0.75 under the streaming rule is 0.05 below the least allowed 0.8",
        "  agreement is lowest on: pump (0.750)",
    ]


def scores(values, ucl=1.0):
    return AssetScores("pump", np.array(values, np.float64), ucl)


@pytest.mark.parametrize(
    ("ours", "theirs", "error"),
    [
        ([0.5, 2.0], [0.5, 2.0], 0.0),
        ([0.6, 2.0], [0.5, 2.0], 0.1),  # below the UCL an error counts by the UCL
        ([0.5, 2.2], [0.5, 2.0], 0.1),
        ([0.5, 5000.0], [0.5, 4000.0], 0.0),  # far above the limit in both
        ([0.5, 5.0], [0.5, 4000.0], 0.99875),  # in one only
        ([0.5, np.nan], [0.5, np.nan], 0.0),
    ],
)
def test_score_errors(ours, theirs, error):
    verdict = compare_scores("a", "b", [(scores(ours), scores(theirs))], 0.05)
    assert verdict.checks[0].value == pytest.approx(error)
    assert verdict.passed == (error <= 0.05)


@pytest.mark.parametrize("lost", [np.nan, np.inf])
def test_a_score_that_one_side_lost_is_as_wrong_as_can_be(lost):
    verdict = compare_scores("a", "b", [(scores([0.5, lost]), scores([0.5, 0.5]))], 0.05)
    assert not verdict.passed
    assert verdict.checks[0].value > 1e300


class TestFloat32AsTheReason:
    """Score errors beyond the margin, where float32 arithmetic cannot do better."""

    EXACT = np.array([0.5, 2.0, 3.0, 0.7])

    def compare(self, ours, theirs, rounding):
        asked = []

        def exact(asset, indices):
            asked.append((asset, sorted(indices.tolist())))
            return self.EXACT[indices], np.array(rounding)[indices]

        verdict = compare_scores("a", "b", [(scores(ours), scores(theirs))], 0.05, exact)
        return verdict, asked

    def test_an_error_that_float32_makes_itself_passes(self):
        verdict, asked = self.compare([0.5, 2.3, 3.0, 0.7], self.EXACT, [0, 0.2, 0, 0])
        (check,) = verdict.checks
        assert check.passed
        assert check.value == pytest.approx(0.15)
        assert check.limit == pytest.approx(FACTOR * 0.1)
        assert "float32 arithmetic alone is off by 0.1" in verdict.note
        assert asked == [("pump", [0, 1, 2, 3])]

    def test_so_does_one_that_the_reference_makes(self):
        verdict, _ = self.compare(self.EXACT, [0.5, 2.4, 3.0, 0.7], [0, 0, 0, 0])
        assert verdict.passed

    def test_a_larger_one_fails(self):
        verdict, _ = self.compare([0.5, 3.9, 3.0, 0.7], self.EXACT, [0, 0.2, 0, 0])
        assert not verdict.passed

    def test_and_so_does_one_that_no_rounding_explains(self):
        verdict, _ = self.compare([0.6, 2.3, 3.2, 0.8], self.EXACT, [0, 0.2, 0, 0])
        assert not verdict.passed
        assert verdict.checks[0].limit == 0.05
        assert verdict.note == ""

    def test_within_the_margin_nobody_is_asked(self):
        verdict, asked = self.compare(self.EXACT + 0.01, self.EXACT, [1, 1, 1, 1])
        assert verdict.passed
        assert verdict.checks[0].limit == 0.05
        assert asked == []


def test_decisions_from_scores_alone():
    rng = np.random.default_rng(0)
    values = rng.random(60)
    values[[20, 21]] = np.nan
    whole = np.isfinite(values) & (rng.random(60) > 0.1)
    found = decide(values, whole, AlarmRule(0.4, 2), window_length=4, tested=np.arange(len(values) + 3) >= 15)
    exceeds = [bool(v > 0.4) for v in values]
    streaming = [None] * 3 + [e if w else None for e, w in zip(exceeds, whole, strict=True)]
    assert found["streaming"].tolist() == naive.streaming_flags(streaming, 2)[15:]
    assert found["leaderboard"].tolist() == naive.notebook_flags(exceeds[15:], 4, 63 - 15)
    assert found["streaming"].any()
    assert found["leaderboard"].any()
