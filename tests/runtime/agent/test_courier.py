import asyncio
import contextlib

import pytest

from edge_ad.runtime.agent.courier import HOPELESS_RETRIES, Courier
from edge_ad.runtime.agent.spool import Spool
from edge_ad.runtime.sinks.sink import DeliveryError, EventSink
from tests.runtime.agent.support import Log, event, ids, until

WAIT_S = 1e-6


class Desk(EventSink):
    """Takes events as the test says: `answer` is called with each, and raises or returns."""

    def __init__(self, answer=None, at_once=1, longest_s=None):
        self.at_once = at_once
        if longest_s is not None:
            self.longest_s = longest_s
        self.answer = answer
        self.asked = []
        self.got = []
        self.n_now = self.n_most = 0

    async def deliver(self, event):
        self.asked.append(event.id)
        self.n_now += 1
        self.n_most = max(self.n_most, self.n_now)
        try:
            await asyncio.sleep(0)
            if self.answer is not None:
                await self.answer(event)
            self.got.append(event.id)
        finally:
            self.n_now -= 1


def with_courier(tmp_path, desk, work, log=None):
    """Run `work(spool, courier)` while a courier serves the desk."""
    log = log or Log()

    async def main():
        spool = Spool(tmp_path / "spool.db", ("desk",), note=log.note, say=log.say)
        courier = Courier(spool, desk, "desk", "test", log.note, log.say, first_wait_s=WAIT_S)
        running = asyncio.create_task(courier.run())
        try:
            await work(spool, courier)
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            await spool.close()

    asyncio.run(main())
    return log


def left(tmp_path):
    """Events that a next process would deliver."""

    async def main():
        log = Log()
        spool = Spool(tmp_path / "spool.db", ("desk",), note=log.note, say=log.say)
        found = await spool.pending("desk", 1000)
        await spool.close()
        return ids(found)

    return asyncio.run(main())


def test_events_are_delivered_once_and_in_order(tmp_path):
    desk = Desk()

    async def work(spool, courier):
        await spool.add([event(n) for n in range(40)], {})
        await until(lambda: len(desk.got) == 40)
        await spool.add([event(40)], {})
        await until(lambda: spool.n_waiting("desk") == 0)
        shown = courier.snapshot()
        assert (shown.name, shown.kind) == ("desk", "test")
        assert (shown.pending, shown.delivered, shown.failed, shown.refused) == (0, 41, 0, 0)
        assert shown.last_error is None

    log = with_courier(tmp_path, desk, work)
    assert desk.got == [str(n) for n in range(41)]
    assert desk.n_most == 1
    assert log.notes == log.said == []
    assert left(tmp_path) == []


def test_as_many_at_once_as_the_sink_takes(tmp_path):
    all_there = asyncio.Event()

    async def answer(_):
        if desk.n_now == 5:
            all_there.set()
        await all_there.wait()

    desk = Desk(answer, at_once=5)

    async def work(spool, courier):
        await spool.add([event(n) for n in range(23)], {})
        await until(lambda: spool.n_waiting("desk") == 0)

    with_courier(tmp_path, desk, work)
    assert sorted(desk.got, key=int) == [str(n) for n in range(23)]
    assert desk.n_most == 5


def test_what_fails_is_tried_again_and_keeps_its_place(tmp_path):
    fails = [3, 2, 0, 4]

    async def answer(event):
        if fails[int(event.id)]:
            fails[int(event.id)] -= 1
            raise DeliveryError("the door is closed")

    desk = Desk(answer)

    async def work(spool, courier):
        await spool.add([event(n) for n in range(4)], {})
        await until(lambda: spool.n_waiting("desk") == 0)
        assert courier.snapshot().failed == 9
        assert courier.snapshot().last_error is None

    log = with_courier(tmp_path, desk, work)
    assert desk.asked == list("0000111233333")
    assert desk.got == list("0123")
    assert log.kinds() == ["delivery"] * 9
    assert "event 0 (pump-1, began) did not get through: the door is closed; it is tried again" in log.text()
    assert log.said[-1] == "events get through again"


def test_while_it_fails_the_reason_is_shown(tmp_path):
    async def answer(_):
        raise DeliveryError("out to lunch")

    desk = Desk(answer)

    async def work(spool, courier):
        await spool.add([event(1), event(2)], {})
        await until(lambda: courier.snapshot().failed >= 3)
        assert courier.snapshot().last_error == "out to lunch"
        assert courier.snapshot().pending == 2

    with_courier(tmp_path, desk, work)
    assert set(desk.asked) == {"1"}
    assert left(tmp_path) == ["1", "2"]


def test_others_that_are_under_way_are_not_lost_when_one_fails(tmp_path):
    async def answer(event):
        if event.id == "1" and desk.asked.count("1") < 3:
            raise DeliveryError("not you")

    desk = Desk(answer, at_once=3)

    async def work(spool, courier):
        await spool.add([event(n) for n in range(6)], {})
        await until(lambda: spool.n_waiting("desk") == 0)

    with_courier(tmp_path, desk, work)
    assert sorted(desk.got) == list("012345")


@pytest.mark.parametrize("at_once", [1, 4])
def test_one_that_nobody_will_ever_take_does_not_stop_the_others(tmp_path, at_once):
    async def answer(event):
        if event.id in ("2", "5"):
            raise DeliveryError("I cannot read that", hopeless=True)

    desk = Desk(answer, at_once)

    async def work(spool, courier):
        await spool.add([event(n) for n in range(8)], {})
        await until(lambda: spool.n_waiting("desk") == 0)
        shown = courier.snapshot()
        assert (shown.delivered, shown.refused) == (6, 2)
        assert shown.failed == 2 * (HOPELESS_RETRIES + 1)

    log = with_courier(tmp_path, desk, work)
    assert sorted(desk.got) == list("013467")
    assert desk.asked.count("2") == desk.asked.count("5") == HOPELESS_RETRIES + 1
    assert "event 5 (pump-1, began) is given up after 11 attempts: I cannot read that" in log.text()
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "error",
    [RuntimeError("a bug"), OSError(5, "x"), asyncio.CancelledError(), ExceptionGroup("g", [KeyError(1)])],
)
def test_a_sink_may_fail_in_any_way(tmp_path, error):
    async def answer(event):
        if desk.asked.count(event.id) < 14:
            raise error

    desk = Desk(answer)

    async def work(spool, courier):
        await spool.add([event(1)], {})
        await until(lambda: spool.n_waiting("desk") == 0)

    log = with_courier(tmp_path, desk, work)
    assert desk.got == ["1"]
    assert "the sink" in log.text()
    assert "event-refused" not in log.kinds()


def test_a_sink_that_is_not_even_asynchronous(tmp_path):
    class Plain(EventSink):
        def deliver(self, event):
            return None

    async def work(spool, courier):
        await spool.add([event(1)], {})
        await until(lambda: courier.snapshot().failed >= 2)

    assert "the sink failed: TypeError" in with_courier(tmp_path, Plain(), work).text()


@pytest.mark.parametrize("lets_go", [True, False])
def test_one_that_never_answers_is_broken_off(tmp_path, lets_go):
    forever = asyncio.Event()

    async def answer(event):
        if desk.asked.count(event.id) < 2:
            try:
                await forever.wait()
            except asyncio.CancelledError:
                if lets_go:
                    raise
                await forever.wait()

    desk = Desk(answer, longest_s=0.01)

    async def work(spool, courier):
        await spool.add([event(1), event(2)], {})
        await until(lambda: spool.n_waiting("desk") == 0)
        assert courier.snapshot().failed == 2
        forever.set()

    log = with_courier(tmp_path, desk, work)
    assert "no answer within 0.01 s" in log.text()
    assert desk.asked == ["1", "1", "2", "2"]


def test_what_was_delivered_before_it_is_stopped_is_not_delivered_again(tmp_path):
    forever = asyncio.Event()

    async def answer(event):
        if event.id == "3":
            await forever.wait()

    desk = Desk(answer)

    async def work(spool, courier):
        await spool.add([event(n) for n in range(6)], {})
        await until(lambda: desk.asked[-1:] == ["3"])
        assert courier.is_delivering

    with_courier(tmp_path, desk, work)
    assert left(tmp_path) == ["3", "4", "5"]


def test_an_idle_courier_asks_for_nothing(tmp_path):
    desk = Desk()

    async def work(spool, courier):
        await spool.add([], {"pump-1": "x"})
        await spool.retry()
        assert not courier.is_delivering
        await spool.add([event(1)], {})
        await until(lambda: spool.n_waiting("desk") == 0)

    with_courier(tmp_path, desk, work)
    assert desk.asked == ["1"]
