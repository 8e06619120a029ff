"""In which order hosts get their bundles: a few first, and the rest when those are well."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from edge_ad.errors import ConfigurationError

DEFAULT_STAGES = "1,10%,100%"
_PART = re.compile(r"([0-9]+)(%?)")


@dataclass(frozen=True)
class Stage:
    """Hosts that get their bundles at the same time."""

    name: str
    """`canary` for the first of several, `all` for the last, else the share: `10 percent`."""
    hosts: tuple[str, ...]


def plan_stages(
    hosts: Sequence[str], *, stages: str = DEFAULT_STAGES, canaries: Sequence[str] = ()
) -> tuple[Stage, ...]:
    """Divide hosts up.

    `stages` are sizes in hosts or, with %, of all hosts, separated by commas; the last is 100%. A share means
    that so many have their bundle when the stage is done, those of the stages before it included, and always
    adds at least one. `canaries` make up the first stage, whatever its size. The others follow in an order
    that their names' digests give: the same with every run, and with no regard to how a plant numbers its
    machines. Stages for which no host is left are left out. Raises ConfigurationError.
    """
    unknown = [name for name in canaries if name not in hosts]
    if unknown:
        raise ConfigurationError(f"canary {unknown[0]} has nothing to get, or is not in the inventory")
    sizes = _sizes(stages, len(hosts))
    if canaries and len(sizes) == 1:
        sizes.insert(0, (len(canaries), ""))
    rest = sorted(
        (name for name in hosts if name not in canaries), key=lambda n: hashlib.sha256(n.encode()).digest()
    )
    found: list[Stage] = []
    done = 0
    queue = [*canaries, *rest]
    for number, (size, text) in enumerate(sizes):
        upto = max(size, done + 1)
        if number == 0 and canaries:
            upto = len(canaries)
        part = queue[done:upto]
        if part:
            name = "all" if number == len(sizes) - 1 else "canary" if number == 0 else text
            found.append(Stage(name, tuple(part)))
            done = upto
    return tuple(found)


def _sizes(stages: str, n_hosts: int) -> list[tuple[int, str]]:
    """By how many hosts are done after each stage, and what to call it."""
    parts = [_PART.fullmatch(part.strip()) for part in stages.split(",")]
    wrong = ConfigurationError(
        f"stages {stages!r}: write sizes such as {DEFAULT_STAGES}; the last must be 100%"
    )
    done, found = 0, []
    for part in parts:
        if part is None:
            raise wrong
        number, is_share = int(part[1]), bool(part[2])
        if not number or (is_share and number > 100):
            raise wrong
        done = max(done, math.ceil(n_hosts * number / 100)) if is_share else done + number
        found.append((done, f"{number} percent" if is_share else f"{number} more"))
    last = parts[-1]
    if last is None or last[0] != "100%":
        raise wrong
    return found
