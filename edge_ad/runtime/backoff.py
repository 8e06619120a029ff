"""How long to wait before the next attempt."""

from __future__ import annotations

import random

LONGEST_S = 60.0


class Backoff:
    """Doubles with every attempt, up to `longest_s`, and varies by a quarter.

    Agents that lost the same broker do not all come back at the same moment.
    """

    def __init__(self, first_s: float = 1.0, longest_s: float = LONGEST_S) -> None:
        self._first_s = self._next_s = first_s
        self._longest_s = longest_s

    def next(self) -> float:
        """Seconds to wait now."""
        wait_s = self._next_s
        self._next_s = min(2 * wait_s, self._longest_s)
        return wait_s * random.uniform(0.75, 1.25)  # noqa: S311  no secret

    def reset(self) -> None:
        """It went well."""
        self._next_s = self._first_s
