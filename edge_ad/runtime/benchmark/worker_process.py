"""Starting a worker, and making a result of what it says."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from typing import IO, Any

from edge_ad import errors
from edge_ad.bench.energy import Meter, Sensor
from edge_ad.bench.results import ProcessRun
from edge_ad.bundle.codec import DecodeError, decode, encode, parse_json
from edge_ad.errors import BundleModelError, EdgeAdError
from edge_ad.runtime.benchmark.request import Request
from edge_ad.runtime.process import signal_name

_ALLOWANCE_S = 600.0
"""For starting and warming up, on the slowest board, beyond the time limit of the counted windows."""
_WORKER = (sys.executable, "-m", "edge_ad.runtime.benchmark.worker")


class WorkerAnswer:
    """What one worker has said."""

    def __init__(self) -> None:
        self.run: ProcessRun | None = None
        self.version = ""
        """Of its engine."""
        self.load: tuple[float, float, int] | None = None
        """Joules, seconds and windows of the load under which energy was measured."""
        self._step = "starting Python"
        self._error: EdgeAdError | None = None
        self._meter: Meter | None = None

    def take(self, said: dict[str, Any], sensor: Sensor | None) -> None:
        """One line."""
        self._step = said.get("step", self._step)
        self.version = said.get("version", self.version)
        if said.get("energy") == "begin" and sensor is not None:
            self._meter = sensor.meter()
        elif said.get("energy") == "end" and self._meter is not None:
            joules, self._meter = self._meter.joules(), None
            if joules is not None:
                self.load = joules, float(said["seconds"]), int(said["windows"])
        if "run" in said:
            self.run = decode(ProcessRun, said["run"])
        if "error" in said:
            kind = getattr(errors, str(said["error"]), EdgeAdError)
            self._error = kind(str(said.get("text", "")))

    def close(self) -> None:
        """Let a sensor be that is still looked at."""
        if self._meter is not None:
            self._meter.joules()
            self._meter = None

    def outcome(self, code: int, timed_out: bool, complaints: str) -> ProcessRun:
        """The run. Raises what the worker failed of, BundleModelError where it died."""
        if self._error is not None:
            raise self._error
        if timed_out:
            raise BundleModelError(f"no answer in time while {self._step}")
        if code < 0:
            raise BundleModelError(f"the process died of {signal_name(-code)} while {self._step}")
        if self.run is None or code:
            last = complaints.strip().splitlines()[-1:] or ["it said nothing"]
            raise EdgeAdError(f"the process ended with code {code} while {self._step}: {last[0]}")
        return self.run


def run_worker(request: Request, sensor: Sensor | None = None) -> WorkerAnswer:
    """Have a fresh process measure, and wait for it; `started_ns` is set here.

    Raises what the worker fails of; BundleModelError where the model kills it, or it does not answer.
    """
    answer = WorkerAnswer()
    with tempfile.TemporaryFile() as complaints:
        code, timed_out = _run(request, sensor, answer, complaints)
        complaints.seek(0)
        text = complaints.read().decode(errors="replace")
    answer.outcome(code, timed_out, text)
    return answer


def _run(
    request: Request, sensor: Sensor | None, answer: WorkerAnswer, complaints: IO[bytes]
) -> tuple[int, bool]:
    """The worker's exit code, and whether it was ended for being too slow."""
    started = replace(request, started_ns=time.clock_gettime_ns(time.CLOCK_MONOTONIC))
    with subprocess.Popen(
        [*_WORKER, json.dumps(encode(started))],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=complaints,
    ) as process:
        limit_s = _ALLOWANCE_S + 2 * request.time_limit_s + request.energy_s
        too_slow = threading.Timer(limit_s, process.kill)
        too_slow.daemon = True
        too_slow.start()
        try:
            assert process.stdout is not None  # noqa: S101  it was asked for
            for line in process.stdout:
                with contextlib.suppress(DecodeError):
                    said = parse_json(line)
                    if isinstance(said, dict):
                        answer.take(said, sensor)
            code = process.wait()
        finally:
            timed_out = too_slow.finished.is_set()
            too_slow.cancel()
            if process.poll() is None:  # interrupted
                process.kill()
            answer.close()
    return code, timed_out
