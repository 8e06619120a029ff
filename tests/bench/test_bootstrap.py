"""Intervals of ratios: against every draw there is, against theory, and against simulated processes."""

import math

import numpy as np
import pytest

from edge_ad.bench.bootstrap import ratios, student_quantile
from tests import naive
from tests.bench.files import durations


# NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2, at 0.975
@pytest.mark.parametrize(
    ("freedom", "quantile"), [(2, 4.303), (3, 3.182), (4, 2.776), (8, 2.306), (18, 2.101), (60, 2.000)]
)
def test_students_distribution(freedom, quantile):
    assert student_quantile(0.975, freedom) == pytest.approx(quantile, rel=0.01)


def test_a_measurement_against_itself_is_no_difference():
    series = [durations(seed=seed) for seed in range(5)]
    for ratio in ratios(series, series, (50, 95, 99)):
        assert ratio.value == 1
        assert ratio.low < 1 < ratio.high
        assert not ratio.is_difference


def test_the_same_values_give_the_same_interval():
    a, b = ([durations(seed=seed) for seed in seeds] for seeds in (range(5), range(5, 10)))
    assert ratios(a, b, (50,)) == ratios(a, b, (50,))


def test_what_is_slower_is_found():
    a = [durations(us=100, seed=seed) for seed in range(5)]
    b = [durations(us=110, seed=seed) for seed in range(5, 10)]
    for ratio in ratios(a, b, (50, 95, 99)):
        assert ratio.value == pytest.approx(1.1, rel=0.02)
        assert ratio.is_difference
        assert ratio.low > 1


def test_the_draws_are_of_whole_processes():
    """The interval of the logarithm lies between the extremes of all draws there are, and gets near them."""
    a, b = ([(90, 100, 110), (95, 105, 115), (80, 90, 100)], [(50, 50, 50)] * 3)
    every = naive.cluster_bootstrap(a, 50)
    (ratio,) = ratios(a, b, (50,))
    assert ratio.value == pytest.approx(50 / naive.percentile([x for values in a for x in values], 50))
    assert ratio.low == pytest.approx(50 / max(every))
    assert ratio.high == pytest.approx(50 / min(every))


def waves(generator, *, between, depends, n=300):
    """Durations of one process: slow waves, around a median of its own."""
    steps = generator.normal(size=n) * math.sqrt(1 - depends**2)
    wave = np.empty(n)
    wave[0] = generator.normal()
    for i in range(1, n):
        wave[i] = depends * wave[i - 1] + steps[i]
    return np.exp(11 + 0.1 * wave + between * generator.normal())


@pytest.mark.parametrize(("between", "depends"), [(0.0, 0.0), (0.03, 0.0), (0.0, 0.9), (0.03, 0.9)])
def test_intervals_hold_the_truth_as_often_as_they_say(between, depends):
    """Alike processes: 1 must lie within nearly all 95 % intervals; 84 % of 60 is four sigma off."""
    generator, trials, held = np.random.default_rng(7), 60, np.zeros(3)
    for _ in range(trials):
        a, b = ([waves(generator, between=between, depends=depends) for _ in range(5)] for _ in range(2))
        held += [ratio.low <= 1 <= ratio.high for ratio in ratios(a, b, (50, 95, 99))]
    assert (held / trials >= 0.84).all(), held / trials


def test_a_lone_process_is_drawn_in_blocks():
    """Waves that are ignored would make the interval several times too narrow."""
    generator, trials, held = np.random.default_rng(3), 40, 0
    for _ in range(trials):
        a, b = ([waves(generator, between=0, depends=0.9, n=900)] for _ in range(2))
        (ratio,) = ratios(a, b, (50,))
        held += ratio.low <= 1 <= ratio.high
    assert held / trials >= 0.80
    # the same values in any other order
    (ordered,) = ratios(a, b, (50,))
    (shuffled,) = ratios([generator.permutation(a[0])], [generator.permutation(b[0])], (50,))
    assert ordered.high / ordered.low > 1.5 * (shuffled.high / shuffled.low - 1) + 1


def test_a_lone_value_per_process():
    (ratio,) = ratios([(100,), (102,), (98,)], [(200,), (204,), (196,)], (50,))
    assert ratio.value == 2
    assert ratio.is_difference
