"""Decisions as newline-delimited JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TextIO

from edge_ad.detect.decision import Decision


class DecisionLine:
    """Makes a line of JSON of a decision.

    Keys: those of every line that are given, then `time`, `state`, `score`, `ucl`, `alarm`, `contributions`
    (by channel name), then `severity` of an alarm, and `resampled` where the window was interpolated. Where
    the state is `unknown` or `warming`, score and contributions are null and `reason` says why. The score
    keeps all its digits; contributions have the 7 of the float32 numbers they are.
    """

    def __init__(self, channel_names: Sequence[str], always: Mapping[str, str] | None = None) -> None:
        """`always`: keys and values that stand first in every line."""
        self._always = dict(always or {})
        self._quote = json.JSONEncoder(ensure_ascii=False).encode
        # Lines are filled into a template, in half the time the json module takes for a dictionary:
        # all that varies is a string and numbers that the detector has found to be finite.
        first = "".join(f"{self._quote(key)}:{self._quote(text)}," for key, text in self._always.items())
        names = (self._quote(name).replace("%", "%%") for name in channel_names)
        shares = ",".join(f"{name}:%.7g" for name in names)
        self._scored = (
            "{" + first.replace("%", "%%") + '"time":%s,"state":"%s","score":%r,"ucl":%r,"alarm":%s,'
            '"contributions":{' + shares + "}"
        )

    def __call__(self, decision: Decision, stamp: str) -> str:
        """The line with its end; `stamp` is the sample's time as it was written in the input."""
        _, state, score, ucl, shares, reason, severity, resampled, _ = decision
        if shares is None:
            record = {**self._always, "time": stamp, "state": state, "score": None, "ucl": ucl}
            record |= {"alarm": False, "contributions": None, "reason": reason}
            return json.dumps(record, separators=(",", ":"), ensure_ascii=False) + "\n"
        alarm = "true" if state == "alarm" else "false"
        line = self._scored % (self._quote(stamp), state, score, ucl, alarm, *shares.tolist())
        if severity is not None:
            line += f',"severity":{self._quote(severity)}'
        return line + (',"resampled":true}\n' if resampled else "}\n")


class NdjsonSink:
    """Writes a `DecisionLine` for each decision."""

    def __init__(self, stream: TextIO, channel_names: Sequence[str], *, flush_each: bool) -> None:
        self._stream = stream
        self._flush_each = flush_each
        self._line = DecisionLine(channel_names)

    def write(self, decision: Decision, stamp: str) -> None:
        """Write a decision; `stamp` is the sample's time as it was written in the input."""
        self._stream.write(self._line(decision, stamp))
        if self._flush_each:
            self._stream.flush()

    def flush(self) -> None:
        """Hand everything written so far to the operating system."""
        self._stream.flush()
