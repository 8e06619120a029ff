import pytest

from edge_ad.runtime.troubles import QUIET_S, TURNS, Troubles


@pytest.fixture
def log():
    return []


@pytest.fixture
def clock():
    return [1000.0]


@pytest.fixture
def troubles(log, clock):
    return Troubles(log.append, lambda: clock[0])


def test_the_first_is_told_at_once_and_the_next_once_a_minute(troubles, log, clock):
    for _ in range(100):
        troubles.note("pump", "bad-line", "a line is bad")
    assert log == ["pump: a line is bad"]
    clock[0] += QUIET_S
    troubles.note("pump", "bad-line", "another line is bad", 3)
    assert log[1:] == ["pump: another line is bad (99 more of the kind before it)"]
    assert troubles.counts() == {("pump", "bad-line"): 103}


def test_places_and_kinds_are_told_apart(troubles, log):
    troubles.note("pump", "bad-line", "1")
    troubles.note("pump", "gap", "2")
    troubles.at("fan")("gap", "3")
    assert log == ["pump: 1", "pump: 2", "fan: 3"]


def test_after_the_end_of_a_trouble_was_told_so_is_the_next(troubles, log, clock):
    troubles.note("pump", "lost", "lost")
    clock[0] += 1
    troubles.over("pump", "again")
    clock[0] += 1
    troubles.note("pump", "lost", "lost")
    assert log == ["pump: lost", "pump: again", "pump: lost"]


def test_what_comes_and_goes_does_not_flood_the_log(troubles, log, clock):
    for _ in range(600):
        clock[0] += 1
        troubles.note("pump", "lost", "lost")
        troubles.over("pump", "again")
    assert len(log) <= 2 * TURNS * (600 / QUIET_S + 1)
    assert troubles.counts() == {("pump", "lost"): 600}
    # after the last pair that was told, what is lost for good is told within the minute
    for _ in range(int(QUIET_S) + 1):
        clock[0] += 1
        troubles.note("pump", "lost", "still lost")
    assert "still lost" in log[-1]


def test_kinds_without_end_take_no_memory_without_end(troubles, monkeypatch):
    monkeypatch.setattr("edge_ad.runtime.troubles.MOST_KINDS", 5)
    for number in range(50):
        troubles.note("pump", f"kind-{number}", "x")
    counts = troubles.counts()
    assert len(counts) == 6
    assert sum(counts.values()) == 50
