"""A bundle's detector on a recording, under both rules: what ships is what is judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ad.detect.rules import leaderboard_flags
from edge_ad.detect.window import sliding_windows, usable_windows
from edge_ad.runtime.detector import Detector
from edge_ad.runtime.replay import Replay
from edge_ad.toolchain.datasets.recording import Recording
from edge_ad.toolchain.evaluation.tally import Alarms


@dataclass(frozen=True)
class Judgement:
    """What a detector made of a recording. The test rows are those after the train span."""

    alarms: dict[str, Alarms]
    """By rule (`leaderboard`, `streaming`)."""
    whole: NDArray[np.bool_]
    """`(n_windows,)`: the stream had a score at the end of the window that starts at each row."""
    n_unknown: int
    """Test rows without a score in the stream; they count as no alarm."""


def judge_recording(
    detector: Detector, recording: Recording, window_length: int, hold_off_s: float = 0.0
) -> Judgement:
    """Replay the whole recording, and flag its test rows by both rules.

    The leaderboard rule knows nothing of time, as in the notebook: windows that the stream does not score
    since they lie across a gap are scored for it off the stream. Raises InterpreterError.
    """
    detector.reset()
    replay = detector.replay(recording.samples, recording.times)
    tested, n_rows = recording.tested, len(recording)
    ended = np.full(max(0, n_rows - window_length + 1), np.nan)
    ended[:] = replay.scores[window_length - 1 :]
    whole = np.isfinite(ended)
    beside = np.flatnonzero(~whole & usable_windows(recording.samples, window_length))
    if len(beside):
        windows = sliding_windows(recording.samples, window_length)
        ended[beside] = detector.score_windows(windows[beside])
    with np.errstate(invalid="ignore"):  # NaN > UCL is False, as it should be
        exceeds = ended[tested[: len(ended)]] > detector.ucl
    leaderboard = leaderboard_flags(exceeds, window_length, int(tested.sum()))
    return Judgement(
        alarms={
            "leaderboard": Alarms(leaderboard, ~leaderboard, hold_off_s),
            "streaming": stream_alarms(replay, detector.ucl, tested, hold_off_s),
        },
        whole=whole,
        n_unknown=int(np.isnan(replay.scores[tested]).sum()),
    )


def stream_alarms(replay: Replay, ucl: float, tested: NDArray[np.bool_], hold_off_s: float = 0.0) -> Alarms:
    """Of a replay, what the stream says of the rows `(n,)` that are tested; as on a device, a row without a
    score ends no episode.
    """
    with np.errstate(invalid="ignore"):
        within = replay.scores <= ucl
    return Alarms(replay.alarms[tested], (within & ~replay.alarms)[tested], hold_off_s)
