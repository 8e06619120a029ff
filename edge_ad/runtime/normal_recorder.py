"""Recording normal operation on the device, for `edge-ad recalibrate`."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from edge_ad.bundle.manifest import CsvFormat, Manifest
from edge_ad.detect.decision import Decision
from edge_ad.files import sync_folder

FLUSH_EVERY_S = 60.0
"""Of sample time."""
FLUSH_EVERY_CHARACTERS = 65536
TRY_AGAIN_S = 600.0
"""Of sample time, after the disk did not take it."""
_LONGEST_LINE = 1 << 20


class NormalRecorder:
    """Keeps the samples of normal decisions as a CSV file in the bundle's own layout.

    They go to `FILE.part`, rarely and in large pieces, which is kind to SD cards. With as many as were asked
    for, that replaces FILE in one step, and a new one is begun: FILE is always the last complete recording. A
    process that starts goes on with the `.part` that an earlier one left.

    Some rows near an alarm are left out, a guard: as many before it, where the fault may have begun, as after
    it. Rows that could not be decided on are left out, and where a window had to be filled anew, a guard
    after them. A guard is at least a window, and longer than the largest gap, so that what is left out shows
    as a step in time that no window crosses.

    Monitoring goes on whatever the disk does: what cannot be written is dropped, `say` hears of it once, and
    after ten minutes it is tried again.
    """

    def __init__(
        self,
        path: Path,
        layout: CsvFormat,
        channel_names: Sequence[str],
        *,
        n_rows: int,
        guard_rows: int,
        say: Callable[[str], None],
    ) -> None:
        """`n_rows` make a complete recording."""
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._separator = layout.separator
        self._decimal_comma = layout.decimal == ","
        self._header = self._line([layout.time_column, *channel_names])
        self._n_rows = max(1, n_rows)
        self._guard_rows = guard_rows
        self._say = say
        self._lines: list[str] = []
        """Rows that are not on disk yet; the last `_n_open` may still be found to precede an alarm."""
        self._n_open = 0
        self._n_characters = 0
        """Taken in since the last flush, as is `_since`."""
        self._since: float | None = None
        self._left_out = 0
        """How many rows are still to be left out."""
        self._failed_at: float | None = None
        self._has_complained = False
        self._n_written = self._resume()

    @classmethod
    def of(
        cls, manifest: Manifest, path: Path, *, minutes: float, say: Callable[[str], None]
    ) -> NormalRecorder:
        """One that records `minutes` of the samples that a bundle decides on, in its layout."""
        period = manifest.sample_period_s
        return cls(
            path,
            manifest.input,
            [channel.name for channel in manifest.channels],
            n_rows=math.ceil(minutes * 60 / period),
            # What the alarm rule looked at before it alarmed, and the windows of that.
            guard_rows=max(
                manifest.window_length + max(manifest.alarm_rule.k, manifest.alarm_rule.n),
                math.floor(manifest.largest_gap_s / period) + 1,
            ),
            say=say,
        )

    def add(self, decision: Decision, values: Sequence[float], stamp: str) -> None:
        """Take in a sample with its decision; `values` in engineering units, `stamp` its time as written."""
        time = decision.time
        if decision.state != "normal":
            self._leave_out(decision)
        elif self._left_out:
            self._left_out -= 1
        elif self._failed_at is None or _is_over(TRY_AGAIN_S, self._failed_at, time):
            if self._failed_at is not None:
                self._failed_at = None
                self._n_written = self._resume()  # the last line may be torn
            self._keep(time, values, stamp)

    def close(self) -> None:
        """Write down what there is, but for a guard of newest rows: nobody knows what would have followed."""
        if self._since is not None:
            self._flush(self._since)

    def progress(self) -> str | None:
        """How far the next stretch is, for people; None where nothing of it is written yet."""
        if not self._n_written:
            return None
        rows = f"{self._n_written} of {self._n_rows} rows of normal operation so far"
        return f"{rows}, in {self._part}; the next run goes on with them"

    def _keep(self, time: float, values: Sequence[float], stamp: str) -> None:
        cells = [repr(float(value)) for value in values]
        if self._decimal_comma:
            cells = [cell.replace(".", ",") for cell in cells]
        line = self._line([stamp, *cells])
        self._lines.append(line)
        self._n_open = min(self._n_open + 1, self._guard_rows)
        self._n_characters += len(line)
        if self._since is None:
            self._since = time
        if self._n_characters >= FLUSH_EVERY_CHARACTERS or _is_over(FLUSH_EVERY_S, self._since, time):
            self._flush(time)

    def _leave_out(self, decision: Decision) -> None:
        if decision.state == "alarm":
            del self._lines[len(self._lines) - self._n_open :]
            self._n_open = 0
        # A row that only repeats or comes late is no reason to distrust those after it.
        elif not (decision.reason or "").startswith("refilling"):
            return
        self._left_out = self._guard_rows

    def _flush(self, time: float) -> None:
        n_safe = len(self._lines) - self._n_open
        lines, self._lines = self._lines[:n_safe], self._lines[n_safe:]
        self._n_characters, self._since = 0, None
        try:
            while lines:
                n_missing = max(0, self._n_rows - self._n_written)
                self._append(lines[:n_missing], is_complete=len(lines) >= n_missing)
                lines = lines[n_missing:]
        except OSError as error:
            self._fail(time, error)

    def _append(self, lines: list[str], *, is_complete: bool) -> None:
        with self._part.open("a", encoding="utf-8", errors="replace", newline="") as file:
            if not file.tell():  # new, or somebody took away what was there
                self._n_written = 0
                is_complete = len(lines) >= self._n_rows
                file.write(self._header)
            file.write("".join(lines))
            if is_complete:
                file.flush()
                os.fsync(file.fileno())
        self._n_written += len(lines)
        if is_complete:
            os.replace(self._part, self._path)
            sync_folder(self._path.parent)
            self._n_written = 0
            self._has_complained = False

    def _fail(self, time: float, error: OSError) -> None:
        self._failed_at = time
        self._lines.clear()
        self._n_open = 0
        if not self._has_complained:
            self._has_complained = True
            self._say(
                f"normal operation cannot be recorded to {self._path} for now: {error.strerror or error}"
            )

    def _resume(self) -> int:
        """Rows of the `.part` that is there, a torn end cut off; one that is not ours is begun anew."""
        header, n_rows, length = self._header.encode(), 0, 0
        try:
            with self._part.open("r+b") as file:
                if file.read(len(header)) == header:
                    length = len(header)
                    for line in iter(lambda: file.readline(_LONGEST_LINE), b""):
                        # killed in the middle of a write, or a power cut that left zeros
                        if not line.endswith(b"\n") or b"\0" in line:
                            break
                        n_rows += 1
                        length += len(line)
                file.truncate(length)
        except OSError:
            return 0
        return n_rows

    def _line(self, cells: Sequence[str]) -> str:
        line = io.StringIO()
        csv.writer(line, delimiter=self._separator, lineterminator="\n").writerow(cells)
        return line.getvalue()


def _is_over(span_s: float, since: float, time: float) -> bool:
    """Whether so much time has passed; also where the clock was set back, and nobody knows."""
    return not 0 <= time - since < span_s
