import asyncio
import json
import time
from itertools import pairwise
from pathlib import Path

import pytest

from edge_ad.runtime.mqtt.backlog import MOST_LINES
from edge_ad.runtime.sources.mqtt import lines_of as split
from edge_ad.runtime.sources.source import LONGEST_LINE, MOST_AT_ONCE
from tests.runtime.mqtt import child
from tests.runtime.mqtt.broker import WITHIN_S, Broker
from tests.runtime.mqtt.plant import Friend, Plant, lines_of, on_loop, until

SOURCES = "edge_ad.runtime.sources.mqtt"


async def next_lines(source):
    return await asyncio.wait_for(source.read(), WITHIN_S)


def texts(lines):
    return [line.text for line in lines]


def numbers(n, start=0):
    return [str(i) for i in range(start, start + n)]


def publish(broker, topic, payloads, **options):
    with Friend(broker.port) as friend:
        for payload in payloads:
            friend.publish(topic, payload, **options)


async def nothing_waits(broker, protocol, topic, agent="agent"):
    """Whether the broker has nothing more for an agent: what is published now comes first."""
    await until(lambda: broker.has_seen_off(f"edge-ad-{agent}"), broker.log[-3000:])
    async with Plant(broker.port, protocol, agent) as plant:
        source = await plant.subscribed(topic)
        publish(broker, topic.replace("+", "pump"), ["now"])
        return await lines_of(source, 1) == ["now"]


def test_a_message_holds_lines():
    lines = split(b"\xef\xbb\xbf1;2\r\n\n3;4\n  \r\n\xff5;6", 10, 7.0)
    assert [(line.text, line.number) for line in lines] == [("1;2", 11), ("3;4", 12), ("\ufffd5;6", 13)]
    assert all(line.arrived == 7.0 and not line.first and line.problem is None for line in lines)
    assert split(b"", 0, 0.0) == split(b"\r\n", 0, 0.0) == []
    (text,) = texts(split("{'a': 'x\u2028y\x0bz'}".encode(), 0, 0.0))  # no line ends to JSON
    assert text == "{'a': 'x\u2028y\x0bz'}"


def test_an_endless_line_is_cut_off():
    (line,) = split(b"1" * (LONGEST_LINE + 1), 0, 0.0)
    assert len(line.text) == LONGEST_LINE
    assert line.problem is not None
    assert split(b"1" * LONGEST_LINE, 0, 0.0)[0].problem is None


@on_loop
async def test_messages_become_lines(broker, protocol):
    async with Plant(broker.port, protocol, f"lines-{protocol}") as plant:
        source = await plant.subscribed("lines/+/samples")
        before = time.monotonic()
        publish(broker, "lines/other", ["no"])
        publish(broker, "lines/pump/samples", [b"1;2\n3;4\n", b"", b"5;\xff"])
        lines = list(await next_lines(source))
        while len(lines) < 3:
            lines += await next_lines(source)
        source.done()
        assert texts(lines) == ["1;2", "3;4", "5;\ufffd"]
        assert [line.number for line in lines] == [1, 2, 3]
        assert all(before <= line.arrived <= time.monotonic() and not line.first for line in lines)
        assert source.position() is None
        assert source.queued == 0
    assert await nothing_waits(broker, protocol, "lines/+/samples", f"lines-{protocol}")


@on_loop
async def test_a_retained_message_is_old(broker, protocol):
    publish(broker, "retained/x", ["old"], retain=True)
    async with Plant(broker.port, protocol, f"retained-{protocol}") as plant:
        source = await plant.subscribed("retained/x")
        publish(broker, "retained/x", ["new"], retain=True)
        assert await lines_of(source, 1) == ["new"]
        assert plant.log.count("retained") == 1
        assert plant.log.has("pump: a retained message on topic 'retained/x' is left out")


@on_loop
async def test_what_comes_while_the_agent_is_down_is_kept(broker, protocol):
    async with Plant(broker.port, protocol, f"down-{protocol}") as plant:
        await plant.subscribed("down")
    publish(broker, "down", numbers(200))
    async with Plant(broker.port, protocol, f"down-{protocol}") as plant:
        assert await lines_of(plant.source("down"), 200) == numbers(200)
    assert await nothing_waits(broker, protocol, "down", f"down-{protocol}")


@on_loop
async def test_nothing_is_acknowledged_before_it_is_done(broker, protocol):
    async with Plant(broker.port, protocol, f"undone-{protocol}") as plant:
        source = await plant.subscribed("undone")
        publish(broker, "undone", ["0"])
        assert await lines_of(source, 1) == ["0"]
        publish(broker, "undone", ["1", "2"])
        await until(lambda: source.queued == 2)
        assert texts(await next_lines(source)) == ["1", "2"]
    async with Plant(broker.port, protocol, f"undone-{protocol}") as plant:
        assert await lines_of(plant.source("undone"), 2) == ["1", "2"]
    assert await nothing_waits(broker, protocol, "undone", f"undone-{protocol}")


@on_loop
async def test_what_was_done_before_the_end_is_not_handed_over_again(own_broker):
    """Also where the agent ends while more is coming in, and a broker is too slow to hear of it at once."""
    own_broker.start()
    async with Plant(own_broker.port) as plant:
        await plant.subscribed("x")
    n = 900
    publish(own_broker, "x", numbers(n))
    async with Plant(own_broker.port) as plant:
        source = plant.source("x")
        found = texts(await next_lines(source))
        own_broker.pause()
        source.done()
        await source.close()
        closing = asyncio.create_task(plant.brokers.close())
        await asyncio.sleep(0.5)
        own_broker.go_on()
        await closing
    await until(lambda: own_broker.has_seen_off("edge-ad-agent"))
    async with Plant(own_broker.port) as plant:
        found += await lines_of(plant.source("x"), n - len(found))
    assert found == numbers(n)


@on_loop
async def test_a_process_that_is_killed_before_it_is_done(broker, protocol):
    topic = f"killed-{protocol}"
    process = child.start("read", broker.port, protocol, topic)
    try:
        publish(broker, topic, numbers(5))
        for number in numbers(5):
            assert process.stdout.readline() == f"{number}\n"
    finally:
        child.kill(process)
    async with Plant(broker.port, protocol) as plant:
        assert await lines_of(plant.source(topic), 5) == numbers(5)
    assert await nothing_waits(broker, protocol, topic)


@on_loop
async def test_a_message_is_acknowledged_after_its_last_line(broker, protocol):
    long = "\n".join(numbers(MOST_AT_ONCE + 10))
    async with Plant(broker.port, protocol, f"long-{protocol}") as plant:
        source = await plant.subscribed("long")
        publish(broker, "long", [long])
        assert len(await next_lines(source)) == MOST_AT_ONCE
        source.done()
        assert source.queued == 10
    async with Plant(broker.port, protocol, f"long-{protocol}") as plant:
        source = plant.source("long")
        assert await lines_of(source, MOST_AT_ONCE + 10) == long.split("\n")
    assert await nothing_waits(broker, protocol, "long", f"long-{protocol}")


@pytest.mark.parametrize("is_done_before", [True, False])
@on_loop
async def test_a_broker_that_is_down_with_messages_under_way(own_broker, protocol, is_done_before):
    """What is in work here, or was, is not handed over twice, and acknowledged over the new connection."""
    own_broker.start()
    async with Plant(own_broker.port, protocol) as plant:
        source = await plant.subscribed("x")
        publish(own_broker, "x", numbers(3))
        await until(lambda: source.queued == 3)
        lines = await next_lines(source)
        own_broker.stop()
        await until(lambda: not source.is_subscribed)
        if is_done_before:
            source.done()
        own_broker.start()
        await until(lambda: source.is_subscribed)
        publish(own_broker, "x", ["later"])
        await until(lambda: source.queued)
        source.done()
        assert texts(lines) == numbers(3)
        assert await lines_of(source, 1) == ["later"]
    assert await nothing_waits(own_broker, protocol, "x")


@on_loop
async def test_a_broker_that_is_killed_again_and_again(own_broker, protocol):
    own_broker.start()
    async with Plant(own_broker.port, protocol) as plant:
        source = await plant.subscribed("x")
        for i in range(5):
            publish(own_broker, "x", [str(i)])
            assert await lines_of(source, 1) == [str(i)]
            own_broker.kill()
            await until(lambda: not source.is_subscribed)
            own_broker.start()
            await until(lambda: source.is_subscribed)
        assert plant.log.has("the connection to the broker plant is lost", "tried again in")
        assert plant.log.has("connected to the broker plant", "again")


@on_loop
async def test_a_broker_that_forgets(own_broker, protocol):
    own_broker.configure("persistence false")
    own_broker.start()
    async with Plant(own_broker.port, protocol) as plant:
        source = await plant.subscribed("x")
        own_broker.kill()
        await until(lambda: not source.is_subscribed)
        own_broker.start()
        await until(lambda: source.is_subscribed)
        assert plant.log.has("has forgotten the session", "is lost")
        assert plant.log.count("session-lost") == 1


@on_loop
async def test_two_sources_of_one_topic(broker, protocol):
    async with Plant(broker.port, protocol, f"two-{protocol}") as plant:
        first = await plant.subscribed("two/+", "first")
        second = await plant.subscribed("two/x", "second")
        publish(broker, "two/x", ["1"])
        assert "1" in texts(await next_lines(first))
        first.done()
        assert "1" in texts(await next_lines(second))  # and is not done with it
    async with Plant(broker.port, protocol, f"two-{protocol}") as plant:
        first, second = plant.source("two/+", "first"), plant.source("two/x", "second")
        assert (await lines_of(first, 1))[0] == (await lines_of(second, 1))[0] == "1"


@on_loop
async def test_a_source_that_comes_later_gets_what_was_kept_for_it(broker, protocol):
    async with Plant(broker.port, protocol, f"later-{protocol}") as plant:
        await plant.subscribed("later/1", "first")
        await plant.subscribed("later/2", "second")
    publish(broker, "later/1", numbers(3))
    publish(broker, "later/2", numbers(3))
    async with Plant(broker.port, protocol, f"later-{protocol}") as plant:
        first = plant.source("later/1", "first")
        found = await next_lines(first)  # not done with them
        await until(lambda: len(found) + first.queued == 3)
        second = plant.source("later/2", "second")
        assert await lines_of(second, 3) == numbers(3)
        first.done()
        found = [*texts(found), *(await lines_of(first, 3 - len(found)))]
        assert found == numbers(3)
        assert first.queued == 0
        assert plant.log.count("unwanted") == 0
    assert await nothing_waits(broker, protocol, "later/1", f"later-{protocol}")


@on_loop
async def test_a_source_that_is_opened_anew_gets_what_it_was_not_done_with(broker, protocol):
    async with Plant(broker.port, protocol, f"anew-{protocol}") as plant:
        other = await plant.subscribed("anew/other", "other")
        source = await plant.subscribed("anew/x")
        publish(broker, "anew/other", ["held"])
        held = texts(await next_lines(other))
        publish(broker, "anew/x", numbers(30))  # more than mosquitto hands over at once
        await until(lambda: source.queued >= 19)
        await source.close()
        source = plant.source("anew/x")
        assert await lines_of(source, 30) == numbers(30)
        assert held == ["held"]
        assert other.queued == 0
        other.done()
    assert await nothing_waits(broker, protocol, "anew/other", f"anew-{protocol}")


@on_loop
async def test_what_an_earlier_configuration_wanted_is_let_go(broker, protocol, monkeypatch):
    async with Plant(broker.port, protocol, f"former-{protocol}") as plant:
        await plant.subscribed("former/old")
        await plant.subscribed("former/new")
    publish(broker, "former/old", numbers(50))
    publish(broker, "former/new", numbers(50))
    monkeypatch.setattr("edge_ad.runtime.mqtt.intake.GRACE_S", 0.3)
    async with Plant(broker.port, protocol, f"former-{protocol}") as plant:
        source = plant.source("former/new")
        assert await lines_of(source, 50) == numbers(50)
        await until(lambda: plant.log.count("unwanted") == 50)
        assert plant.log.has(
            "no asset takes topic 'former/old', to which an earlier configuration subscribed"
        )
        publish(broker, "former/old", numbers(50))
        publish(broker, "former/new", ["end"])
        assert await lines_of(source, 1) == ["end"]
        assert plant.log.count("unwanted") == 50


@on_loop
async def test_a_source_that_is_not_read_does_not_starve_the_others(broker, protocol, monkeypatch):
    monkeypatch.setattr(f"{SOURCES}.STALLED_S", 0.5)
    async with Plant(broker.port, protocol, f"stalled-{protocol}") as plant:
        stalled = await plant.subscribed("stalled/1", "stalled")
        other = await plant.subscribed("stalled/2", "other")
        n = 4050 if protocol == "5" else 40  # more than mosquitto hands over without acknowledgement
        publish(broker, "stalled/1", numbers(n))
        publish(broker, "stalled/2", numbers(40))
        assert await lines_of(other, 40) == numbers(40)
        assert plant.log.has(
            "stalled: nothing was read for", "so that the broker goes on to serve other assets"
        )
        await until(lambda: stalled.queued == n)
        assert await lines_of(stalled, n) == numbers(n)
        assert plant.log.has("stalled: reads its messages again")
        publish(broker, "stalled/1", ["again"])
        assert texts(await next_lines(stalled)) == ["again"]
    async with Plant(broker.port, protocol, f"stalled-{protocol}") as plant:  # and is careful again
        assert await lines_of(plant.source("stalled/1", "stalled"), 1) == ["again"]


@on_loop
async def test_a_lonely_source_that_is_not_read_keeps_its_messages_at_the_broker(broker, monkeypatch):
    monkeypatch.setattr(f"{SOURCES}.STALLED_S", 0.2)
    async with Plant(broker.port, agent="lonely") as plant:
        source = await plant.subscribed("lonely")
        publish(broker, "lonely", ["1"])
        await until(lambda: source.queued)
        await asyncio.sleep(0.5)  # nothing may happen in this time
        assert plant.log.count("not-read") == 0
    async with Plant(broker.port, agent="lonely") as plant:
        assert await lines_of(plant.source("lonely"), 1) == ["1"]


@on_loop
async def test_a_flood_without_a_reader_is_bounded(broker, protocol):
    """Neither memory nor the connection suffers, and the newest lines are there in the end."""
    n = 3 * MOST_LINES
    async with Plant(broker.port, protocol, f"flood-{protocol}", keepalive_s=3) as plant:
        source = await plant.subscribed("flood", qos=0)
        await asyncio.to_thread(publish, broker, "flood", numbers(n), qos=0)
        await until(lambda: plant.log.count("queue-full") >= n - MOST_LINES - 1000)
        assert source.queued <= MOST_LINES
        await asyncio.to_thread(publish, broker, "flood", ["end"], qos=0)
        found = []
        while found[-1:] != ["end"]:
            found += texts(await next_lines(source))
            source.done()
        assert all(int(a) < int(b) for a, b in pairwise(found[:-1]))
        assert plant.log.has("pump: lines come faster than they are decided on")
        assert not plant.log.has("tried again")


@on_loop
async def test_a_reader_that_pauses_loses_nothing(broker, protocol):
    n = 2 * MOST_LINES
    async with Plant(broker.port, protocol, f"pause-{protocol}", keepalive_s=90) as plant:
        source = await plant.subscribed("pause", qos=0)
        publisher = asyncio.create_task(
            asyncio.to_thread(
                publish, broker, "pause", ["\n".join(numbers(8, i)) for i in range(0, n, 8)], qos=0
            )
        )
        await until(lambda: source.queued >= MOST_LINES)
        found = []
        while len(found) < n:
            found += texts(await next_lines(source))
            source.done()
            assert source.queued <= MOST_LINES + 8
        await publisher
        assert found == numbers(n)
        assert plant.log.count("queue-full") == 0


@on_loop
async def test_messages_for_which_there_is_no_room_stay_with_the_broker(broker, protocol):
    n, size = 60, 300
    async with Plant(broker.port, protocol, f"behind-{protocol}", keepalive_s=2) as plant:
        source = await plant.subscribed("behind")
        other = await plant.subscribed("other", "other")
        publish(broker, "behind", ["\n".join(numbers(size, i * size)) for i in range(n)])
        await until(lambda: plant.log.count("behind"))
        assert plant.log.has("pump: lines come faster than they are decided on", "the rest at the broker")
        assert source.queued <= MOST_LINES + size
        publish(broker, "other", ["1"])
        assert await lines_of(source, n * size) == numbers(n * size)
        assert await lines_of(other, 1) == ["1"]
        assert plant.log.count("queue-full") == 0
        assert not plant.log.has("tried again")
    assert await nothing_waits(broker, protocol, "behind", f"behind-{protocol}")


@on_loop
async def test_a_live_stream_that_is_taken_up_late_stays_in_order(broker, protocol):
    """What waits for a source comes before what is published while it is opened."""
    async with Plant(broker.port, protocol, f"order-{protocol}") as plant:
        await plant.subscribed("order/1", "first")
        await plant.subscribed("order/2", "second")
    publish(broker, "order/2", numbers(10))
    async with Plant(broker.port, protocol, f"order-{protocol}") as plant:
        await plant.subscribed("order/1", "first")
        publish(broker, "order/2", numbers(5, 10))
        source = plant.source("order/2", "second")
        publish(broker, "order/2", numbers(5, 15))
        assert await lines_of(source, 20) == numbers(20)


@on_loop
async def test_a_topic_that_the_broker_refuses(own_broker):
    plugin = next(Path("/usr/lib").glob("**/mosquitto_dynamic_security.so"), None)
    if plugin is None:
        pytest.skip("needs mosquitto's plugin for dynamic security")
    access = {
        "publishClientSend": True,
        "publishClientReceive": True,
        "subscribe": False,
        "unsubscribe": True,
    }
    rules = own_broker.folder / "rules.json"

    def allow(subscribe):
        rules.write_text(json.dumps({"defaultACLAccess": {**access, "subscribe": subscribe}}))

    allow(False)
    lines = [f"plugin {plugin}", f"plugin_opt_config_file {rules}"]
    for protocol in ("5", "3.1.1"):
        own_broker.configure(*lines)
        own_broker.start()
        async with Plant(own_broker.port, protocol) as plant:
            source = plant.source("x")
            await until(lambda log=plant.log: log.count("subscription-refused") >= 3)
            assert plant.log.has("the broker plant refuses an anonymous user topic 'x'", "tried again in")
            assert not source.is_subscribed
            own_broker.kill()
            allow(True)
            own_broker.start()
            await until(lambda source=source: source.is_subscribed)
        own_broker.kill()
        allow(False)


@on_loop
async def test_a_topic_on_which_nothing_comes(own_broker, tmp_path, monkeypatch):
    """As with a topic that mosquitto's access file forbids: the subscription is granted all the same."""
    monkeypatch.setattr(f"{SOURCES}.SHORTEST_SILENCE_S", 0.3)
    passwords, access = own_broker.add_user("pump", "secret"), own_broker.folder / "access"
    access.write_text("user pump\ntopic write #\n")
    own_broker.configure(f"password_file {passwords}", f"acl_file {access}", anonymous=False)
    own_broker.start()
    secret = tmp_path / "secret"
    secret.write_text("secret")
    login = {"username": "pump", "password_file": str(secret)}
    async with Plant(own_broker.port, **login) as plant:
        source = plant.source("x", period_s=0.01)
        await until(lambda: plant.log.count("silent"))
        text = "nothing arrives on topic 'x' (is the topic right, and may user 'pump' read it?)"
        assert plant.log.has(text)
        await asyncio.sleep(1.0)
        assert plant.log.count("silent") == 1  # it is one silence
        access.write_text("user pump\ntopic readwrite #\n")
        own_broker.reload()
        with Friend(own_broker.port, "pump", "secret") as friend:

            async def come():
                while not source.queued:
                    await asyncio.to_thread(friend.publish, "x", "1")

            await asyncio.wait_for(come(), WITHIN_S)
        assert "1" in texts(await next_lines(source))
        await until(lambda: plant.log.has("pump: messages arrive on topic 'x' again"))
        await until(lambda: plant.log.count("silent") == 2)  # the next one


@on_loop
async def test_a_silence_is_ten_periods_at_least(broker, monkeypatch):
    monkeypatch.setattr(f"{SOURCES}.SHORTEST_SILENCE_S", 0.1)
    async with Plant(broker.port, agent="slow") as plant:
        await plant.subscribed("slow", period_s=1.0)
        await asyncio.sleep(0.5)  # nothing may happen in this time
        assert plant.log.count("silent") == 0


@on_loop
async def test_a_broker_that_grants_less(own_broker):
    own_broker.configure("max_qos 0")
    own_broker.start()
    async with Plant(own_broker.port) as plant:
        source = await plant.subscribed("x")
        if plant.log.count("subscription-reduced"):
            assert plant.log.has("grants topic 'x' QoS 0 only: messages may be lost")
        publish(own_broker, "x", ["1"], qos=0)
        assert await lines_of(source, 1) == ["1"]


@on_loop
async def test_messages_beyond_what_mosquitto_keeps_are_its_loss(tmp_path, protocol):
    """What the docstring says of mosquitto's limits; a larger limit in its configuration helps."""
    for limit, kept in (([], 1000), (["max_queued_messages 5000"], 3000)):
        own = Broker(tmp_path / f"mosquitto-{kept}", *limit).start()
        try:
            async with Plant(own.port, protocol) as plant:
                await plant.subscribed("x")
            publish(own, "x", numbers(3000))
            async with Plant(own.port, protocol) as plant:
                source = plant.source("x")
                found = await lines_of(source, kept)
                publish(own, "x", ["end"])
                while found[-1] != "end":
                    found += await lines_of(source, 1)
            assert found[:kept] == numbers(kept)
            assert len(found) <= kept + 21
        finally:
            own.stop()
