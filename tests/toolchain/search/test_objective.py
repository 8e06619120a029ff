"""What a candidate is worth, from counts that are known."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from edge_ad.toolchain.datasets.formats import SKAB
from edge_ad.toolchain.datasets.recording import Recording
from edge_ad.toolchain.evaluation.tally import LabelledRows, continuous, tally
from edge_ad.toolchain.search.objective import LabelObjective, Limits, NormalObjective, Piece
from edge_ad.toolchain.settings import BuildSettings
from edge_ad.toolchain.workspace import BuildPlan

N, LEARNED = 400, 300
PLAN = BuildPlan(SKAB, BuildSettings(window_length=10), ())


class LevelDetector:
    """Alarms where the first channel is above a level; knows nothing of the past."""

    def __init__(self, level):
        self.ucl = level

    def reset(self):
        """Nothing to forget."""

    def replay(self, samples, times):
        return SimpleNamespace(alarms=samples[:, 0] > self.ucl, scores=samples[:, 0])


@pytest.fixture
def recording():
    samples = np.tile([[-1.0], [1.0]], (N // 2, 1))
    in_train = np.arange(N) < LEARNED
    return Recording("pump", np.arange(float(N)), samples, SKAB.channels[:1], None, in_train, "b" * 64)


def labelled(hits, missed, false, right):
    """A tally of so many rows."""
    labels = np.repeat([True, True, False, False], [hits, missed, false, right])
    alarms = np.repeat([True, False, True, False], [hits, missed, false, right])
    return tally(LabelledRows(np.arange(float(len(labels))), labels, None, 1.0), continuous(alarms))


def test_normal_rows_count_and_so_do_deviations_that_are_found(recording):
    objective = NormalObjective(Limits(max_false_share=0.5), seed=0)
    quiet = objective.measure(LevelDetector(1.5), recording, PLAN)
    assert quiet.rules["streaming"].counts.false_positive == 0
    assert quiet.rules["streaming"].counts.n_rows == N - LEARNED
    assert [kind for kind, _ in quiet.deviations] == ["shift", "gain", "noise", "stuck", "drift"]
    assert not dict(quiet.deviations)["stuck"]
    assert dict(quiet.deviations)["gain"]
    worth = objective.judge([quiet, quiet])
    assert worth.value == worth.figures["sensitivity"] == sum(f for _, f in quiet.deviations) / 5
    assert worth.keeps_limits
    loud = objective.judge([objective.measure(LevelDetector(0.0), recording, PLAN)])
    assert loud.figures["false_share"] == 0.5
    strict = NormalObjective(Limits(max_false_share=0.2), seed=0)
    assert strict.judge([objective.measure(LevelDetector(0.0), recording, PLAN)]).value == pytest.approx(-0.3)


def test_an_alarm_that_was_on_already_finds_nothing(recording):
    objective = NormalObjective(Limits(), seed=0)
    always = objective.measure(LevelDetector(-1e9), recording, PLAN)
    assert not any(found for _, found in always.deviations)


def test_an_alarm_that_begins_too_late_finds_nothing(recording):
    found = [
        dict(
            NormalObjective(Limits(within_s=within), seed=0)
            .measure(LevelDetector(1.01), recording, PLAN)
            .deviations
        )
        for within in (60.0, 1e-3)
    ]
    assert found[0] != found[1]
    assert not found[1]["drift"]


def test_f1_within_limits():
    piece = Piece({"leaderboard": labelled(80, 20, 10, 90), "streaming": labelled(90, 10, 20, 80)})
    objective = LabelObjective(Limits())
    worth = objective.judge([piece])
    assert worth.value == worth.figures["mean_f1"] == pytest.approx((2 * 80 / 190 + 2 * 90 / 210) / 2)
    assert worth.figures["streaming_far"] == 0.2
    for limit, excess in (("max_far", 0.2 - 0.15), ("max_mar", 0.2 - 0.15)):
        tight = LabelObjective(dataclasses.replace(Limits(), **{limit: 0.15}))
        assert tight.judge([piece]).value == pytest.approx(-excess)
    apart = LabelObjective(Limits(max_difference=0.01)).judge([piece])
    assert apart.value == pytest.approx(0.01 - (2 * 90 / 210 - 2 * 80 / 190))
    assert not apart.keeps_limits


def test_counts_are_added_up_before_figures_are_made():
    pieces = [
        Piece(dict.fromkeys(("leaderboard", "streaming"), labelled(*counts)))
        for counts in ((1, 0, 0, 9), (60, 40, 5, 95))
    ]
    worth = LabelObjective(Limits(max_mar=1.0)).judge(pieces)
    assert worth.value == pytest.approx(2 * 61 / (2 * 61 + 40 + 5))
