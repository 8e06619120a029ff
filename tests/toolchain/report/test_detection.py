"""Delays and false alarms against the same by hand."""

import numpy as np
import pytest

from edge_ad.toolchain.report.detection import alarm_episodes, detection, lead_time, top_channels

TIMES = np.array([0.0, 1, 2, 3, 5, 6, 7, 8, 9, 10])
LABELS = np.array([0, 0, 1, 1, 1, 0, 0, 1, 1, 0], bool)
ALARMS = np.array([1, 0, 0, 0, 1, 1, 0, 0, 0, 0], bool)


def test_a_delay_is_by_the_clock_and_in_rows():
    found = detection(TIMES, LABELS, ALARMS, 1.0)
    first, second = found.anomalies
    assert (first.start, first.end, first.delay_s, first.delay_rows) == (2, 5, 3, 2)
    assert (second.delay_s, second.delay_rows) == (None, None)
    assert found.n_detected == 1
    assert found.median_delay_s == 3


def test_an_alarm_that_reaches_into_an_anomaly_is_not_false():
    found = detection(TIMES, LABELS, ALARMS, 1.0)
    assert found.n_false == 1
    assert found.normal_s == 5
    assert found.false_per_hour == pytest.approx(720)


def test_recordings_add_up():
    found = detection(TIMES, LABELS, ALARMS, 1.0)
    both = found + found
    assert len(both.anomalies) == 4
    assert both.false_per_hour == pytest.approx(found.false_per_hour)


def test_without_normal_rows_there_is_no_rate():
    everything = np.ones(3, bool)
    assert detection(TIMES[:3], everything, everything, 1.0).false_per_hour is None


def test_episodes_name_the_channels_that_have_most_to_do_with_them():
    scores = np.array([4.0, 1, 1, 1, 2, 8, 1, 1, 1, np.nan])
    parts = np.stack([scores * 0.1, scores * 0.6, scores * 0.1, scores * 0.2], axis=1)
    first, second = alarm_episodes(TIMES, scores, parts, ["a", "b", "c", "d"], ALARMS, LABELS)
    assert (first.start, first.end, first.n_rows, first.peak_score, first.is_false) == (0, 0, 1, 4, True)
    assert (second.start, second.end, second.n_rows, second.peak_score, second.is_false) == (
        5,
        6,
        2,
        8,
        False,
    )
    assert [name for name, _ in second.top_channels] == ["b", "d", "a"]
    assert second.top_channels[0][1] == pytest.approx(0.6)


def test_rows_without_a_score_have_no_channels():
    assert top_channels(np.array([np.nan, 0.0]), np.full((2, 3), np.nan), ["a", "b", "c"]) == ()


@pytest.mark.parametrize(
    ("alarms", "told"),
    [
        ([0, 1, 0, 1, 1], "The alarm that lasts to the end began 2.00 days before it."),
        ([0, 1, 0, 0, 0], "The first alarm, which does not last to the end, began 3.50 days before it."),
        ([0, 0, 0, 0, 1], "The alarm that lasts to the end began 0.00 hours before it."),
        ([0, 0, 0, 0, 0], "No alarm precedes the end of the recording."),
    ],
)
def test_the_lead_time_is_of_the_alarm_that_lasts(alarms, told):
    days = np.array([0.0, 0.5, 1, 2, 4])
    assert lead_time(days * 86400, np.array(alarms, bool)) == told
