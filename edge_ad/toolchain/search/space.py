"""What a search may choose from: a file's table `[space]`, and the settings that a choice stands for."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias, get_args

from edge_ad.detect.heads import HeadInput, HeadKind
from edge_ad.detect.scaler import ScalerKind
from edge_ad.errors import ConfigurationError
from edge_ad.toolchain.architecture import Activation
from edge_ad.toolchain.detector_settings import Covariance, DetectorSettings, HeadSettings, needs_network
from edge_ad.toolchain.pack import smallest
from edge_ad.toolchain.settings import BuildSettings

Value: TypeAlias = str | int | float | bool
Chosen: TypeAlias = Mapping[str, Value]
"""By name of what was to be chosen."""

NO_HEADS = "score"
"""Of `heads`: none, so that the reconstruction's errors are the score."""
ANY = "any"
"""Of `channels`: each of them is in or out."""
_ONE_CHANNEL = "channel "

_INTEGERS = ("window_length", "teachers", "k")
_NUMBERS = ("fit_share", "noise", "percentile", "factor")
_WORDS = ("model", "activation", "scaler", "heads", "covariance")
_CHANNELS = "channels"
KEYS = (*_INTEGERS, *_NUMBERS, *_WORDS, _CHANNELS)
_OF_NETWORKS = ("model", "activation", "noise", "teachers")
"""Asked for where the score depends on the network."""

DEFAULT_SPACE: dict[str, Any] = {
    "window_length": [5, 8, 10, 15, 20],
    "fit_share": [0.6, 0.75, 1.0],
    "scaler": ["standard"],
    "heads": [
        NO_HEADS,
        "q",
        "t2:window-mean",
        "t2:window-moments",
        "t2:residual-mean",
        "z-max:window-mean",
        "t2:window-moments+l1",
    ],
    "covariance": ["ledoit-wolf", "plain", "per-channel"],
    "model": ["tiny", "conv", "dense"],
    "activation": ["relu", "tanh"],
    "noise": [0.0, 0.1, 0.3],
    "teachers": [0, 3],
    "percentile": [95.0, 99.0, 100.0],
    "factor": {"low": 0.8, "high": 3.0, "log": True},
    "k": {"low": 1, "high": 12},
}
"""As a file's table `[space]` would have it. Without channels: which of them matter, normal operation does
not tell, and faults of one kind tell of their own (docs/search.md has what came of it)."""


class Suggests(Protocol):
    """What an optimizer is asked: a trial of optuna."""

    def suggest_categorical(self, name: str, choices: Sequence[Value]) -> Any:
        """One of the choices."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """A whole number from `low` to `high`."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number from `low` to `high`."""


@dataclass(frozen=True)
class Dimension:
    """One thing to choose: among values, or from a range where there are none."""

    name: str
    choices: tuple[Value, ...] = ()
    low: float = 0
    high: float = 0
    log: bool = False
    """Of a range: by ratios, not by differences."""

    def suggest(self, trial: Suggests) -> Value:
        """Let the optimizer choose."""
        if self.choices:
            chosen: Value = trial.suggest_categorical(self.name, self.choices)
            return chosen
        if self.name in _INTEGERS:
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)

    @property
    def ends(self) -> tuple[Value, ...]:
        """Values between which all others lie."""
        as_it_is: Callable[[float], Value] = int if self.name in _INTEGERS else float
        return self.choices or (as_it_is(self.low), as_it_is(self.high))


@dataclass(frozen=True)
class Space:
    """All that is to be chosen."""

    dimensions: tuple[Dimension, ...]

    def suggest(self, trial: Suggests, base: BuildSettings) -> dict[str, Value]:
        """Let the optimizer choose everything that makes a difference."""
        chosen: dict[str, Value] = {}
        by_name = {dimension.name: dimension for dimension in self.dimensions}
        if "heads" in by_name:
            chosen["heads"] = by_name.pop("heads").suggest(trial)
        heads = _heads(chosen, base)
        for name, dimension in by_name.items():
            if name in _OF_NETWORKS and not needs_network(heads):
                continue
            if name == "covariance" and not any(head.kind == "t2" for head in heads):
                continue
            if (name == _CHANNELS or name.startswith(_ONE_CHANNEL)) and not heads:
                continue
            chosen[name] = dimension.suggest(trial)
        return chosen


def read_space(table: Mapping[str, object], names: Sequence[str], base: BuildSettings, where: str) -> Space:
    """The space of a table `[space]`, for channels of these names and over these settings.

    Raises ConfigurationError, which begins with `where`.
    """
    for key in table:
        if key not in KEYS:
            raise ConfigurationError(f"{where}: unknown key {key} in [space]; known there: {', '.join(KEYS)}")
    if not table:
        raise ConfigurationError(f"{where}: [space] is empty: name at least one of {', '.join(KEYS)}")
    dimensions: list[Dimension] = []
    for key, given in table.items():
        try:
            if key == _CHANNELS:
                dimensions += _channels(given, names)
            else:
                dimensions.append(_dimension(key, given))
                for value in dimensions[-1].ends:
                    settings_for(base, {key: value}, names)
        except ValueError as error:
            raise ConfigurationError(f"{where}: [space] {key}: {error}") from error
    return Space(tuple(dimensions))


def _dimension(key: str, given: object) -> Dimension:
    if isinstance(given, list):
        if not given:
            raise ValueError("an empty list leaves nothing to choose")
        choices = tuple(_value(key, value) for value in given)
        _check_distinct([_meaning(key, value) for value in choices], given)
        return Dimension(key, choices)
    if not isinstance(given, dict):
        raise ValueError("must be a list of values, or a range { low = …, high = … }")
    if key in _WORDS:
        raise ValueError("must be a list of words")
    for name in given:
        if name not in ("low", "high", "log"):
            raise ValueError(f"unknown key {name} of a range; known there: low, high, log")
    if "low" not in given or "high" not in given:
        raise ValueError("a range needs low and high")
    low, high = (_value(key, given[name]) for name in ("low", "high"))
    log = given.get("log", False)
    if not isinstance(log, bool):
        raise ValueError("log must be true or false")
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)) or not low < high:
        raise ValueError(f"low must be below high, not {low} and {high}")
    if log and low <= 0:
        raise ValueError("a range by ratios (log) must begin above 0")
    return Dimension(key, low=low, high=high, log=log)


def _value(key: str, value: object) -> Value:
    if key in _INTEGERS and type(value) is int:
        return value
    if key in _NUMBERS and (type(value) is int or type(value) is float):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise ValueError(f"takes finite numbers, not {number}")
        return number
    if key in _WORDS and isinstance(value, str):
        return value
    kind = "whole numbers" if key in _INTEGERS else "numbers" if key in _NUMBERS else "words"
    raise ValueError(f"takes {kind}, not {value!r}")


def _meaning(key: str, value: Value) -> object:
    """What a choice comes to, however it is written; the order of heads makes no difference."""
    if key != "heads" or value == NO_HEADS:
        return value
    return frozenset((head.kind, head.input) for head in _heads({key: value}, BuildSettings()))


def _check_distinct(meanings: Sequence[object], given: Sequence[object]) -> None:
    """Raises ValueError where two of the choices come to the same: it would be tried twice as often."""
    for place, meaning in enumerate(meanings):
        first = meanings.index(meaning)
        if first < place:
            raise ValueError(f"the same stands there twice: {given[first]!r} and {given[place]!r}")


def _channels(given: object, names: Sequence[str]) -> list[Dimension]:
    if given == ANY:
        return [Dimension(f"{_ONE_CHANNEL}{name}", (False, True)) for name in names]
    if not isinstance(given, list) or not given or not all(isinstance(some, list) for some in given):
        raise ValueError(f'must be "{ANY}", or a list of lists of names; an empty one stands for all')
    for name in (name for some in given for name in some):
        if name not in names:
            raise ValueError(f"no channel is called {name!r}; there are: {', '.join(names)}")
    for some in given:
        if len(set(some)) < len(some):
            raise ValueError(f"a channel stands twice in {some!r}")
    _check_distinct([frozenset(some or names) for some in given], given)
    # an optimizer takes plain values only
    return [Dimension(_CHANNELS, tuple(json.dumps(some, ensure_ascii=False) for some in given))]


def settings_for(base: BuildSettings, chosen: Chosen, names: Sequence[str]) -> BuildSettings:
    """The settings of a choice, over others, for channels of these names.

    Raises ValueError for what makes no sense.
    """
    training = {key: chosen[key] for key in ("noise", "teachers") if key in chosen}
    limit = {key: chosen[key] for key in ("percentile", "factor") if key in chosen}
    plain = {
        key: chosen[key] for key in ("window_length", "fit_share", "scaler", "activation") if key in chosen
    }
    for key, allowed in _ALLOWED.items():
        if key in chosen and chosen[key] not in allowed:
            raise ValueError(f"can be {', '.join(allowed)}, not {chosen[key]}")
    changed: dict[str, Any] = {
        **plain,
        "training": replace(base.training, **training),  # type: ignore[arg-type]  # checked when they were read
        "limit": replace(base.limit, **limit),  # type: ignore[arg-type]
    }
    needless = "heads" in chosen and not needs_network(_heads(chosen, base))
    if needless and "model" not in chosen and len(base.models) > 1:  # one must ship, and none is asked
        model = smallest([f"{model}-float32" for model in base.models]).removesuffix("-float32")
        changed |= {"models": (model,), "variants": ()}
    if "model" in chosen:
        changed |= {"models": (chosen["model"],), "variants": ()}
    if "k" in chosen:
        changed["alarm"] = replace(base.alarm, k=int(chosen["k"]))
    heads = tuple(replace(head, **_of_heads(head, chosen, names)) for head in _heads(chosen, base))
    if heads:
        fusion = base.detector.fusion if base.detector else "max"
        changed["detector"] = DetectorSettings(heads, fusion)
    else:
        changed["detector"] = None
    return replace(base, **changed)


_ALLOWED: dict[str, tuple[str, ...]] = {
    "activation": get_args(Activation),
    "covariance": get_args(Covariance),
    "scaler": get_args(ScalerKind),
}


def _heads(chosen: Chosen, base: BuildSettings) -> tuple[HeadSettings, ...]:
    """The heads that were chosen, or those that there are anyway; none: the reconstruction's score."""
    if "heads" not in chosen:
        return base.detector.heads if base.detector else ()
    text = str(chosen["heads"])
    if text == NO_HEADS:
        return ()
    found = []
    for part in text.split("+"):
        kind, _, of = part.strip().partition(":")
        if kind not in get_args(HeadKind) or of not in ("", *get_args(HeadInput)):
            kinds, inputs = ", ".join(get_args(HeadKind)), ", ".join(get_args(HeadInput))
            raise ValueError(
                f"{text!r} names no heads: {NO_HEADS}, or KIND:OF, joined by +; kinds are {kinds}, and they "
                f"are of {inputs}"
            )
        found.append(HeadSettings(kind, of or None))  # type: ignore[arg-type]  # both are literals: see above
    if len({(head.kind, head.input) for head in found}) < len(found):
        raise ValueError(f"{text!r} names a head twice")
    return tuple(found)


def _of_heads(head: HeadSettings, chosen: Chosen, names: Sequence[str]) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    if head.kind == "t2" and "covariance" in chosen:
        changed["covariance"] = chosen["covariance"]
    if _CHANNELS in chosen:
        changed["channels"] = tuple(json.loads(str(chosen[_CHANNELS])))
    each = [name for name in names if f"{_ONE_CHANNEL}{name}" in chosen]
    if each:
        seen = tuple(name for name in each if chosen[f"{_ONE_CHANNEL}{name}"])
        if not seen:
            raise ValueError("no channel is left to look at")
        changed["channels"] = () if len(seen) == len(names) else seen
    return changed
