"""A recording as a stream of samples, with somebody's labels beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.manifest import CsvFormat
from edge_ad.errors import DataError
from edge_ad.runtime.sources.csv_lines import CsvLines, Sample


class LabelledSamples:
    """Iterates over the samples of a CSV file as `edge-ad run` does: a garbled line is one with a problem.

    The labels are read beside them, so that they survive a garbled value. A line that has no label that could
    be read, since it is garbled as a whole, counts as normal.
    """

    def __init__(self, path: Path, layout: CsvFormat, columns: Sequence[str], label: str | None) -> None:
        """`label` names the column of labels; None for a recording without. Use it in a `with` statement."""
        self._path, self._layout, self._columns, self._label = path, layout, columns, label
        self._stack = ExitStack()
        self._labels: list[bool] = []

    def __enter__(self) -> LabelledSamples:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def labels(self) -> NDArray[np.bool_] | None:
        """`(n,)` of the samples so far; None where no column was named."""
        return None if self._label is None else np.array(self._labels, bool)

    def __iter__(self) -> Iterator[Sample]:
        """Raises DataError for a file or a header that cannot be read, and for a label other than 0 and 1."""
        samples = self._lines(self._columns)
        if self._label is None:
            yield from samples
            return
        for sample, judged in zip(samples, self._lines([self._label]), strict=True):
            if judged.problem is None and judged.values[0] not in (0, 1):
                raise DataError(
                    f"{self._path}, line {judged.line}: label {self._label!r} is {judged.values[0]:g}, "
                    "not 0 or 1"
                )
            self._labels.append(judged.problem is None and judged.values[0] == 1)
            yield sample

    def _lines(self, columns: Sequence[str]) -> CsvLines:
        try:
            file = self._path.open(encoding="utf-8", errors="replace", newline="\n")
        except OSError as error:
            raise DataError(f"cannot read {self._path}: {error.strerror}") from error
        self._stack.enter_context(file)
        return CsvLines(file, self._layout, columns, name=str(self._path), strict=False)
