"""A network with the scaler and the detector it was built with: window in, contributions and score out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_ad.detect.fusion import HeadScorer, Scoring, make_scorer, needs_network
from edge_ad.detect.heads import Heads
from edge_ad.detect.scaler import Scaler
from edge_ad.errors import BundleMismatchError
from edge_ad.runtime.engine import open_model


class WindowModel:
    """Scores windows, each on its own."""

    def __init__(
        self, content: bytes, scaler: Scaler, scoring: Scoring, *, stateful: bool, num_threads: int = 1
    ) -> None:
        """`content` is a `.tflite` file.

        Raises InterpreterError, BundleMismatchError where model and scaler differ in channels, ValueError for
        heads that do not fit the model's windows.
        """
        self.scaler = scaler
        self.model = open_model(content, stateful=stateful, num_threads=num_threads)
        self.window_length, self.n_channels = self.model.shape
        if len(scaler.scale) != self.n_channels:
            raise BundleMismatchError(
                f"the model has {self.n_channels} channels, the scaler {len(scaler.scale)}"
            )
        self.scorer = make_scorer(*self.model.shape, scoring)
        """Of windows each on its own: every center stays where it was fitted."""
        self._scoring = scoring
        self._heads_alone = not needs_network(scoring)
        self.run = _nothing_to_reconstruct if self._heads_alone else self.model.run
        """Reconstructs a `(1, window_length, n_channels)` scaled window; the window itself, in no time, where
        no head looks at the reconstruction."""

    def following_scorer(self) -> HeadScorer | None:
        """The scorer of a stream, where a head of it follows; None where none does."""
        if not isinstance(self._scoring, Heads) or not self._scoring.follows:
            return None
        return HeadScorer(self.window_length, self.n_channels, self._scoring, following=True)

    def scores(self, windows: NDArray[np.floating]) -> NDArray[np.float64]:
        """Scores `(n,)` of `(n, window_length, n_channels)` windows in engineering units."""
        return self.scores_scaled(self.scaler.transform(windows))

    def scores_scaled(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Scores `(n,)` of `(n, window_length, n_channels)` scaled windows."""
        return np.array([self.score(window)[1] for window in windows[:, np.newaxis]], np.float64)

    def score_each(self, windows: NDArray[np.float32], contributions: NDArray[np.float32]) -> list[float]:
        """Scores of `(n, 1, window_length, n_channels)` scaled windows; fills their contributions."""
        errors = np.zeros(windows.shape, np.float32)
        if not self._heads_alone:
            self.model.residuals(windows, errors)
        return self.scorer.score_each(windows, errors, contributions)

    def score(self, window: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
        """Contributions `(n_channels,)` and score of one `(1, window_length, n_channels)` scaled window."""
        return self.scorer.score(window, self.run(window))


def _nothing_to_reconstruct(window: NDArray[np.float32]) -> NDArray[np.float32]:
    return window
