"""Limits: by percentile, by a fitted tail, by rank; and what a number of windows can promise."""

import contextlib
import math

import numpy as np
import pytest
from scipy.stats import genpareto

from edge_ad.detect.budget import Budget, Sampling
from edge_ad.detect.limit import LimitRule
from edge_ad.detect.tail import TailError, fit_tail

EVERY_SECOND = Sampling(1.0, 10)
WEEK = 604_800


@pytest.mark.parametrize(
    ("text", "per_week"),
    [
        ("1 per week", 1),
        ("2 per day", 14),
        ("0.5 per hour", 84),
        ("3 per month", 0.7),
        ("52 per year", 0.997),
    ],
)
def test_a_budget_is_a_rate(text, per_week):
    assert Budget(text).per_second * WEEK == pytest.approx(per_week, rel=1e-3)
    assert Budget(text).rate(Sampling(60.0, 10)) == pytest.approx(per_week * 60 / WEEK, rel=1e-3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "one per week",
        "-1 per week",
        "0 per day",
        "1 per fortnight",
        "1e3 per day",
        "nan per day",
        "1 per week\n",
    ],
)
def test_what_is_no_budget_is_refused(text):
    with pytest.raises(ValueError, match="must read like '1 per week'"):
        Budget(text)


def test_400_rows_cannot_promise_a_week():
    budget = Budget("1 per week")
    needed = 10 * (WEEK - 1)
    assert budget.rows_needed(EVERY_SECOND) == needed
    doubt = budget.doubt(391, EVERY_SECOND)
    assert "391 windows (39 that share no sample) cannot promise 1 per week" in doubt
    assert f"takes {needed:,} rows" in doubt
    assert "one false alarm in 40 s" in doubt
    assert budget.doubt(needed - 1, EVERY_SECOND)
    assert not budget.doubt(needed, EVERY_SECOND)
    assert not LimitRule(kind="gpd", budget="1 per week").doubt(needed // 10 + 1, EVERY_SECOND)
    assert LimitRule(kind="conformal", budget="1 per week").doubt(needed // 10 + 1, EVERY_SECOND)
    assert not LimitRule().doubt(1, EVERY_SECOND)


def test_a_budget_that_allows_everything_is_refused():
    with pytest.raises(ValueError, match="more than every second window"):
        Budget("10 per hour").rate(Sampling(600.0, 10))


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.1, 0.3])
def test_a_tail_is_recovered_from_many_draws(shape):
    """The mean rate, over many fits, at the limit for 1 in 1,000, from 2,000 scores each."""
    rng = np.random.default_rng(0)
    wanted, rates = 1e-3, []
    for _ in range(200):
        scores = genpareto.rvs(shape, size=2000, random_state=rng)
        with contextlib.suppress(TailError):  # a draw that looks too heavy
            rates.append(genpareto.sf(fit_tail(scores, 0.1).quantile(wanted), shape))
    assert len(rates) >= 180
    assert np.median(rates) == pytest.approx(wanted, rel=0.25)
    assert np.mean(rates) < 2 * wanted


@pytest.mark.parametrize("draw", ["normal", "gamma", "exponential"])
def test_a_limit_keeps_its_rate_on_other_distributions(draw):
    """Ten times beyond what 5,000 scores show: within a factor of three, as docs/heads.md says."""
    rng = np.random.default_rng(1)
    make = {
        "normal": lambda n: np.abs(rng.normal(size=n)),
        "gamma": lambda n: rng.gamma(3, size=n),
        "exponential": lambda n: rng.exponential(size=n),
    }[draw]
    often = LimitRule(kind="gpd", budget="72 per hour")  # a share of 0.02 of the seconds
    rare = LimitRule(kind="gpd", budget="1.728 per day")  # 0.00002
    fresh = make(2_000_000)
    for each, wanted, factor in ((often, 0.02, 1.3), (rare, 2e-5, 3)):
        limits = [each.limit(make(5000), EVERY_SECOND) for _ in range(30)]
        rate = np.median([(fresh > limit).mean() for limit in limits])
        assert wanted / factor <= rate <= wanted * factor


def test_a_fitted_tail_has_the_threshold_at_its_share():
    scores = np.random.default_rng(2).exponential(size=1000)
    tail = fit_tail(scores, 0.1)
    assert tail.quantile(tail.share) == tail.threshold
    assert (scores > tail.threshold).mean() == tail.share
    rates = np.geomspace(1e-9, tail.share, 50)
    limits = [tail.quantile(rate) for rate in rates]
    assert limits == sorted(limits, reverse=True)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.arange(100.0), "10 of 100 scores are in the tail, 20 at least"),
        (np.repeat([1.0, 2.0], [900, 100]), "all but equal"),
        (np.random.default_rng(3).pareto(0.8, size=5000), "too heavy to be extrapolated"),
    ],
)
def test_a_tail_that_cannot_be_fitted_is_refused(scores, message):
    with pytest.raises(TailError, match=message):
        fit_tail(scores, 0.1)
    found = LimitRule(kind="gpd", budget="1 per day").find(scores, EVERY_SECOND)
    assert found.ucl == np.percentile(scores, 99) * 1.5
    assert "no tail could be fitted: " in found.fallback
    assert "percentile 99 times 1.5 instead, which keeps no budget" in found.fallback


def test_a_limit_for_a_rare_alarm_is_never_below_what_was_normal():
    scores = np.random.default_rng(4).uniform(size=500)  # a tail with an end
    assert LimitRule(kind="gpd", budget="1 per year").limit(scores, EVERY_SECOND) >= scores.max()


@pytest.mark.parametrize("alpha", [0.3, 0.1, 0.02])
def test_a_conformal_limit_covers_what_it_says(alpha):
    """The next score exceeds it as often as the budget allows, over fresh draws of both."""
    rng = np.random.default_rng(5)
    rule = LimitRule(kind="conformal", budget=f"{alpha * 3600:g} per hour")
    n, draws = 99, 20_000
    exceeded = 0
    for _ in range(draws):
        scores = rng.gamma(2, size=n + 1)
        exceeded += scores[-1] > rule.limit(scores[:-1], EVERY_SECOND)
    # exactly floor(alpha (n + 1)) / (n + 1) for scores without ties; four standard errors
    exact = math.floor(alpha * (n + 1) + 1e-9) / (n + 1)
    assert exceeded / draws == pytest.approx(exact, abs=4 * math.sqrt(exact / draws))
    assert exact <= alpha


def test_a_conformal_limit_is_the_largest_score_where_there_are_too_few():
    scores = np.random.default_rng(6).gamma(2, size=50)
    assert LimitRule(kind="conformal", budget="1 per week").limit(scores, EVERY_SECOND) == scores.max()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "gpd"}, "they need one"),
        ({"budget": "1 per week"}, "belongs to the kinds"),
        ({"kind": "gpd", "budget": "often"}, "must read like"),
        ({"kind": "gpd", "budget": "1 per day", "tail_share": 0.9}, "tail_share"),
    ],
)
def test_rules_that_mean_nothing_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        LimitRule(**fields)
    with pytest.raises(ValueError, match="how windows follow one another"):
        LimitRule(kind="gpd", budget="1 per day").limit(np.arange(9.0))


def test_limits_are_rounded_as_asked():
    scores = np.random.default_rng(7).gamma(2, size=999)
    for fields in ({}, {"kind": "gpd", "budget": "1 per day"}, {"kind": "conformal", "budget": "1 per day"}):
        exact = LimitRule(**fields).limit(scores, EVERY_SECOND)
        assert LimitRule(digits=2, **fields).limit(scores, EVERY_SECOND) == round(exact, 2) != exact
