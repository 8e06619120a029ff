"""The space of a search, and what its choices become."""

import pytest

from edge_ad.toolchain.search.space import DEFAULT_SPACE, read_space, settings_for
from edge_ad.toolchain.settings import SKAB_BEST_SETTINGS, BuildSettings

NAMES = ("Flow", "Pressure")
TABLE = {**DEFAULT_SPACE, "channels": "any"}


class Fixed:
    """Chooses as it is told, else the first; remembers what it was asked."""

    def __init__(self, **told):
        self.told, self.asked = told, {}

    def suggest_categorical(self, name, choices):
        self.asked[name] = choices
        return self.told.get(name, choices[0])

    def suggest_int(self, name, low, high, *, log=False):
        self.asked[name] = (low, high, log)
        return low

    def suggest_float(self, name, low, high, *, log=False):
        self.asked[name] = (low, high, log)
        return high


def space(table):
    return read_space(table, NAMES, BuildSettings(), "here")


def test_a_choice_becomes_settings():
    trial = Fixed(
        heads="t2:window-moments+l1", covariance="per-channel", scaler="robust", **{"channel Pressure": True}
    )
    chosen = space(TABLE).suggest(trial, BuildSettings())
    settings = settings_for(BuildSettings(), chosen, NAMES)
    assert settings.detector is not None
    first, second = settings.detector.heads
    assert (first.kind, first.of, first.covariance) == ("t2", "window-moments", "per-channel")
    assert second.kind == "l1"
    assert first.channels == second.channels == ("Pressure",)
    assert (settings.window_length, settings.fit_share, settings.models) == (5, 0.6, ("tiny",))
    assert settings.scaler == "robust"
    assert (settings.limit.percentile, settings.limit.factor, settings.alarm.k) == (95.0, 3.0, 1)
    assert trial.asked["factor"] == (0.8, 3.0, True)


def test_what_makes_no_difference_is_not_asked_for():
    asked = Fixed(heads="z-max:window-mean", **{"channel Flow": True})
    without_network = space(TABLE).suggest(asked, BuildSettings())
    assert not {"model", "activation", "noise", "teachers", "covariance"} & set(without_network)
    assert "channel Flow" in without_network
    assert settings_for(BuildSettings(), without_network, NAMES).models == ("tiny",)
    without_heads = space(TABLE).suggest(Fixed(heads="score"), BuildSettings())
    assert {"model", "activation", "noise", "teachers"} <= set(without_heads)
    assert not {"covariance", "channel Flow"} & set(without_heads)
    assert settings_for(SKAB_BEST_SETTINGS, without_heads, NAMES).detector is None


def test_named_channels_and_heads_that_there_are_anyway():
    some = space({"channels": [[], ["Flow"]]})
    (dimension,) = some.dimensions
    chosen = some.suggest(Fixed(channels=dimension.choices[1]), SKAB_BEST_SETTINGS)
    assert chosen == {"channels": '["Flow"]'}
    changed = settings_for(SKAB_BEST_SETTINGS, chosen, NAMES)
    assert changed.detector is not None
    assert changed.detector.heads[0].channels == ("Flow",)
    assert changed.window_length == SKAB_BEST_SETTINGS.window_length
    assert some.suggest(Fixed(), BuildSettings()) == {}


def test_a_detector_that_looks_at_nothing():
    chosen = {"heads": "q", "channel Flow": False, "channel Pressure": False}
    with pytest.raises(ValueError, match="no channel is left"):
        settings_for(BuildSettings(), chosen, NAMES)
