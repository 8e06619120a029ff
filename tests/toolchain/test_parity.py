import numpy as np
import pytest

from edge_ad.toolchain.parity import (
    AssetDecisions,
    AssetScores,
    compare_decisions,
    compare_scores,
    decide,
    describe_failures,
)
from edge_ad.toolchain.settings import Margins
from tests import naive

MARGINS = Margins(f1_drop=0.05, far_rise=0.1, mar_rise=0.1, min_agreement=0.8)


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
    verdict = compare_decisions("a", "b", same, same, MARGINS)
    assert verdict.passed
    assert {c.figure: c.value for c in verdict.checks if c.rule == "leaderboard"} == {
        "agreement": 1.0,
        "f1_drop": 0.0,
        "far_rise": 0.0,
        "mar_rise": 0.0,
    }


def test_every_figure_by_hand():
    ours = [0] * 7 + [1] * 3 + [0] * 2 + [1] * 8  # 3 false alarms, 2 missed
    verdict = compare_decisions("a", "b", [decisions(ours, LABELS)], [decisions(LABELS, LABELS)], MARGINS)
    found = figures(verdict)
    assert found["agreement"].value == 15 / 20
    assert found["far_rise"].value == 3 / 10
    assert found["mar_rise"].value == 2 / 10
    assert found["f1_drop"].value == pytest.approx(1 - 16 / 21)
    assert not any(check.passed for check in verdict.checks)


def test_margins_are_inclusive():
    ours = [0] * 9 + [1] + [1] * 10  # exactly one false alarm in ten normal rows
    verdict = compare_decisions("a", "b", [decisions(ours, LABELS)], [decisions(LABELS, LABELS)], MARGINS)
    assert figures(verdict)["far_rise"].value == 0.1
    assert verdict.passed


def test_being_better_is_no_failure():
    worse = [0] * 5 + [1] * 5 + [0] * 5 + [1] * 5
    lax = Margins(0.0, 0.0, 0.0, 0.0)
    verdict = compare_decisions("a", "b", [decisions(LABELS, LABELS)], [decisions(worse, LABELS)], lax)
    assert verdict.passed
    assert figures(verdict)["f1_drop"].value < 0


def test_counts_add_up_over_assets():
    ours = [decisions([1] * 4, [1] * 4), decisions([0] * 4, [1] * 4)]
    theirs = [decisions([1] * 4, [1] * 4), decisions([1] * 4, [1] * 4)]
    verdict = compare_decisions("a", "b", ours, theirs, MARGINS)
    assert figures(verdict)["f1_drop"].value == pytest.approx(1 - 8 / 12)


def test_without_labels_agreement_is_what_can_be_judged():
    verdict = compare_decisions("a", "b", [decisions([0, 1, 0, 1])], [decisions([0, 1, 0, 0])], MARGINS)
    assert set(figures(verdict)) == {"agreement"}
    assert not verdict.passed
    assert describe_failures([verdict]).splitlines()[1] == (
        "a against b, streaming rule: agreement 0.75 is 0.05 below the least allowed 0.8"
    )


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


def test_decisions_from_scores_alone():
    rng = np.random.default_rng(0)
    values = rng.random(60)
    values[[20, 21]] = np.nan
    whole = np.isfinite(values) & (rng.random(60) > 0.1)
    found = decide(values, whole, ucl=0.4, window_length=4, train_rows=15, k=2)
    exceeds = [bool(v > 0.4) for v in values]
    streaming = [None] * 3 + [e if w else None for e, w in zip(exceeds, whole, strict=True)]
    assert found["streaming"].tolist() == naive.streaming_flags(streaming, 2)[15:]
    assert found["leaderboard"].tolist() == naive.notebook_flags(exceeds[15:], 4, 63 - 15)
    assert found["streaming"].any()
    assert found["leaderboard"].any()
