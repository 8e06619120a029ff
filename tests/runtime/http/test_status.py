import asyncio
import json
import math
import threading
from dataclasses import replace

import pytest

from edge_ad.runtime.http.status import KEPT_AT_MOST_S, KEPT_S, Kept, Status, UnavailableError, tail, to_json
from edge_ad.runtime.snapshot import History
from tests.runtime.http.fake_agent import FakeAgent

HISTORY = History(
    (1.0, 2.0, 3.25, 4.0), (0.5, None, 0.7, 0.8), ("normal", "unknown", "alarm", "normal"), (1.0,) * 4
)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_value_is_kept_for_a_moment():
    clock, made = Clock(), []
    kept = Kept(lambda: made.append(clock.now) or len(made), clock)
    assert [kept.get(), kept.get()] == [1, 1]
    clock.now = KEPT_S - 0.01
    assert kept.get() == 1
    clock.now = KEPT_S
    assert kept.get() == 2


def test_what_takes_long_to_make_is_kept_longer():
    clock, n = Clock(), 0

    def make():
        nonlocal n
        n += 1
        clock.now += 0.2
        return n

    kept = Kept(make, clock)
    assert kept.get() == 1
    clock.now += 1.9
    assert kept.get() == 1
    clock.now += 0.2
    assert kept.get() == 2


def test_but_not_for_ever():
    clock = Clock()

    def make():
        clock.now += 100
        return clock.now

    kept = Kept(make, clock)
    kept.get()
    clock.now += KEPT_AT_MOST_S
    assert kept.get() == 200 + KEPT_AT_MOST_S


def test_a_failure_is_kept_too_and_gets_over():
    clock, working, history = Clock(), False, None

    def make():
        if not working:
            raise UnavailableError
        return history  # None is a value like others

    kept = Kept(make, clock)
    for _ in range(2):
        with pytest.raises(UnavailableError):
            kept.get()
    working = True
    with pytest.raises(UnavailableError):
        kept.get()
    clock.now = KEPT_S
    assert kept.get() is None


def test_many_threads_make_it_once():
    made, begun, gate = [], threading.Event(), threading.Event()

    def make():
        begun.set()
        assert gate.wait(30)
        made.append(1)
        return "value"

    kept, got = Kept(make), []
    threads = [threading.Thread(target=lambda: got.append(kept.get())) for _ in range(20)]
    for thread in threads:
        thread.start()
    assert begun.wait(30)
    gate.set()
    for thread in threads:
        thread.join()
    assert (got, made) == (["value"] * 20, [1])


def test_the_view_is_asked_in_the_event_loop():
    agent, seen = FakeAgent(), []

    class View:
        def snapshot(self):
            seen.append(threading.current_thread())
            return agent.snapshot()

        def history(self, asset):
            seen.append(threading.current_thread())
            if asset == "pump-2":
                raise RuntimeError("broken")
            return agent.history(asset)

    async def main():
        status = Status(View(), asyncio.get_running_loop())
        assert (await asyncio.to_thread(status.snapshot)).name == "pump-house"
        assert await asyncio.to_thread(status.history, "pump-1") is not None
        assert await asyncio.to_thread(status.history, "nobody") is None
        with pytest.raises(RuntimeError, match="broken"):
            await asyncio.to_thread(status.history, "pump-2")
        return status

    status = asyncio.run(main())
    assert seen == [threading.main_thread()] * 3
    with pytest.raises(UnavailableError):  # the loop is closed
        Status(View(), status._loop).snapshot()


def test_histories_of_few_assets_are_kept():
    async def main():
        status = Status(FakeAgent(), asyncio.get_running_loop())
        for asset in ["pump-1", "pump-2", "compressor", "cooling-fan", "mixer", "furnace", "feed-pump"]:
            await asyncio.to_thread(status.history, asset)
        return len(status._histories)

    assert asyncio.run(main()) <= 4


@pytest.mark.parametrize(
    ("since", "points", "times", "known"),
    [
        (None, None, [1.0, 2.0, 3.25, 4.0], None),
        (3.25, None, [4.0], 3.25),
        (4.0, None, [], 4.0),
        (3.0, None, [1.0, 2.0, 3.25, 4.0], None),
        (None, 2, [3.25, 4.0], None),
        (None, 9, [1.0, 2.0, 3.25, 4.0], None),
        (1.0, 1, [4.0], 1.0),
        (3.25, 3, [4.0], 3.25),
    ],
)
def test_the_tail_of_a_history(since, points, times, known):
    part = tail(HISTORY, since, points)
    assert (part["times"], part["since"]) == (times, known)
    n = len(times)
    for column in ("scores", "states", "ucls"):
        assert part[column] == list(getattr(HISTORY, column))[4 - n :]


def test_the_newest_of_equal_times_counts():
    history = replace(HISTORY, times=(1.0, 2.0, 1.0, 2.5))
    assert tail(history, 1.0, None)["times"] == [2.5]


def test_json_has_no_nan():
    agent = FakeAgent()
    snapshot = agent.snapshot()
    strange = replace(
        snapshot,
        uptime_s=math.inf,
        assets=(
            replace(snapshot.assets[0], score=math.nan, contributions=(("\ud800", math.nan), ("b", 1.0))),
        ),
    )
    back = json.loads(to_json(strange), parse_constant=pytest.fail)
    assert back["uptime_s"] is None
    assert back["assets"][0]["score"] is None
    assert back["assets"][0]["contributions"] == [["\ud800", None], ["b", 1.0]]
    assert json.loads(to_json(snapshot))["assets"][1]["episode"]["number"] == 3
