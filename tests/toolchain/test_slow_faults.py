"""A simulated machine that drifts, and faults of it that grow for hours, beside a head that follows."""

import dataclasses

import numpy as np
import pytest

from edge_ad.detect.limit import LimitRule
from edge_ad.detect.rules import AlarmRule
from edge_ad.detect.scaler import fit_standard
from edge_ad.detect.window import sliding_windows
from edge_ad.toolchain.datasets.pump import PUMP_CHANNELS, Fault, FaultEpisode, simulate_pump
from edge_ad.toolchain.detector_settings import DetectorSettings, HeadSettings
from edge_ad.toolchain.head_oracle import fused_scores
from edge_ad.toolchain.heads import ScoredWindows, fit_detector, streamed_scores
from edge_ad.toolchain.parity import decide

TRAIN, LENGTH, ONSET_S = 4000, 15, 5000
NAMES = [name for name, *_ in PUMP_CHANNELS]
STAYS = HeadSettings("t2", of="window-moments", covariance="per-channel", ridge=0.0)
FOLLOWS = dataclasses.replace(STAYS, follow=1800)
LEARNS_ALL = dataclasses.replace(STAYS, follow=600, follow_below=1.0, follow_cap=100.0)


def alarms(head, run):
    """Of the rows after the train span, by the streaming rule."""
    scaled = fit_standard(run.samples[:TRAIN]).transform(run.samples)
    windows = np.ascontiguousarray(sliding_windows(scaled, LENGTH))
    scored = ScoredWindows(windows, windows)
    fit, limit = (
        ScoredWindows(windows[rows], windows[rows])
        for rows in (slice(0, 3000), slice(3000 + LENGTH, TRAIN - LENGTH + 1))
    )
    heads = fit_detector(DetectorSettings((head,)), NAMES, fit, limit, LimitRule(99.0, 1.1))
    scores = fused_scores(heads, windows, windows)
    ucl = LimitRule(99.0, 1.1).limit(scores[3000 + LENGTH : TRAIN - LENGTH + 1])
    whole = np.ones(len(windows), bool)
    if heads.follows:
        scores = streamed_scores(heads, scored, scores, whole, AlarmRule(ucl, 5))
    tested = np.arange(len(run.times)) >= TRAIN
    return decide(scores, whole, AlarmRule(ucl, 5), window_length=LENGTH, tested=tested)["streaming"]


def test_a_hall_that_warms_up_alarms_whom_nothing_follows():
    run = simulate_pump(7, duration_s=10800, cold_start_k=6.0)
    stays, follows = (alarms(head, run).mean() for head in (STAYS, FOLLOWS))
    assert stays > 0.1
    assert follows < 0.02


@pytest.mark.parametrize("kind", [Fault.VALVE_CLOSING, Fault.ROTOR_IMBALANCE, Fault.SENSOR_DRIFT])
def test_a_fault_that_grows_for_two_hours_is_found_and_stays_found(kind):
    severity = {Fault.VALVE_CLOSING: 0.3, Fault.ROTOR_IMBALANCE: 0.6, Fault.SENSOR_DRIFT: 0.9}[kind]
    end = ONSET_S + 7200 + 1800
    episode = FaultEpisode(kind, ONSET_S, end, severity, 7200)
    run = simulate_pump(12, duration_s=end, episodes=[episode])
    at_full_size = (run.times - run.times[0] >= ONSET_S + 7200)[TRAIN:]
    assert alarms(FOLLOWS, run)[at_full_size].mean() > 0.95
    assert alarms(LEARNS_ALL, run)[at_full_size].mean() < 0.05  # what the guards are for
