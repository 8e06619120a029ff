import asyncio
import json
import socket

import numpy as np
import pytest

from edge_ad.bundle.manifest import Channel
from edge_ad.detect.decision import Decision
from edge_ad.runtime.events import Event
from edge_ad.runtime.mqtt.states import MOST_WAITING
from edge_ad.runtime.sinks.mqtt import state_json
from edge_ad.runtime.sinks.sink import DeliveryError, InService
from tests.runtime.mqtt import child
from tests.runtime.mqtt.plant import Friend, Plant, on_loop, until

SHARES = np.array([1.0, 2.0], np.float32)


def service(asset="pump", **entries):
    values = {
        "asset": asset,
        "bundle_id": "ab" * 32,
        "build_number": 3,
        "model_version": "1.2.0",
        "overlay_id": None,
        "variant": "int8",
        "engine": "numpy",
        "channels": (Channel("Pressure", "bar"), Channel("Flow", "l/min")),
        "ucl": 2.0,
        "severities": ("warning", "critical"),
        "sample_period_s": 1.0,
    }
    return InService(**{**values, **entries})


def decision(state="normal", score=1.0, severity=None, time=0.0):
    if state in ("unknown", "warming"):
        return Decision(time, state, None, 2.0, None, f"{state}: 3 of 10 samples")
    return Decision(time, state, score, 2.0, SHARES * (score / 3), None, severity)


def event(number, asset="pump"):
    return Event(f"id-{number}", asset, "began", "warning", 0, json.dumps({"number": number}))


async def deliver(sink, number):
    """As a courier does: until it is through."""
    while True:
        try:
            await sink.deliver(event(number))
        except DeliveryError:
            await asyncio.sleep(0.01)
        else:
            return


def test_a_state_says_what_a_decision_does():
    assert json.loads(state_json(service(), decision("alarm", 3.0, "critical"), "12:00")) == {
        "time": "12:00",
        "state": "alarm",
        "score": 3.0,
        "ucl": 2.0,
        "ratio": 1.5,
        "severity": "critical",
        "contributions": {"Pressure": 1.0, "Flow": 2.0},
        "top_channel": "Flow",
        "bundle": "abababababab",
        "reason": None,
    }
    unknown = json.loads(state_json(service(overlay_id="cd" * 32), decision("unknown"), "12:01"))
    assert unknown["state"] == "unknown"
    assert unknown["reason"] == "unknown: 3 of 10 samples"
    assert unknown["bundle"] == "abababababab+cdcdcdcdcdcd"
    assert all(unknown[key] is None for key in ("score", "ratio", "severity", "contributions", "top_channel"))


@on_loop
async def test_events_arrive_in_order(broker, protocol):
    agent = f"order-{protocol}"
    with Friend(broker.port).subscribe(f"edge-ad/{agent}/#") as friend:
        async with Plant(broker.port, protocol, agent) as plant:
            sink = await plant.sink()
            await asyncio.gather(*(sink.deliver(event(number)) for number in range(100)))
            await until(lambda: len(friend.records(f"edge-ad/{agent}/pump/events")) == 100)
            assert friend.records(f"edge-ad/{agent}/pump/events") == [{"number": i} for i in range(100)]
        await until(lambda: friend.payloads(f"edge-ad/{agent}/status")[-1:] == ["offline"])
        assert friend.payloads(f"edge-ad/{agent}/status") == ["online", "offline"]
    with Friend(broker.port).subscribe(f"edge-ad/{agent}/#") as late:
        await until(lambda: late.got)
        assert late.got == [(f"edge-ad/{agent}/status", "offline", True)]  # no event is retained


@on_loop
async def test_events_survive_a_broker_that_is_killed(own_broker, protocol):
    """Every one arrives at a subscriber whose session the broker keeps; some perhaps twice."""
    own_broker.start()
    async with Plant(own_broker.port, protocol, "listener") as listener:
        source = await listener.subscribed("edge-ad/agent/pump/events")
        async with Plant(own_broker.port, protocol) as plant:
            sink = await plant.sink()
            got = set()

            async def listen():
                while len(got) < 60:
                    got.update(json.loads(line.text)["number"] for line in await source.read())
                    source.done()

            listening = asyncio.create_task(listen())
            for batch in range(6):
                if batch % 2:
                    own_broker.pause()  # so that it acknowledges nothing that it then forgets
                delivering = [asyncio.create_task(deliver(sink, batch * 10 + i)) for i in range(10)]
                if batch % 2:
                    await asyncio.sleep(0.05)
                    own_broker.kill()
                    own_broker.start()
                await asyncio.wait_for(asyncio.gather(*delivering), 60)
                await until(lambda n=10 * batch + 10: len(got) == n)
            await asyncio.wait_for(listening, 60)
            assert got == set(range(60))


@on_loop
async def test_a_delivery_without_a_connection_fails_in_time(own_broker, monkeypatch):
    monkeypatch.setattr("edge_ad.runtime.sinks.mqtt.CONNECTION_S", 0.3)
    async with Plant(own_broker.port) as plant:
        sink = await plant.sink()
        with pytest.raises(DeliveryError, match="broker plant at .* cannot be reached") as raised:
            await sink.deliver(event(1))
        assert not raised.value.hopeless
        own_broker.start()
        await deliver(sink, 1)


@on_loop
async def test_a_connection_that_is_lost_before_the_acknowledgement(own_broker, protocol):
    own_broker.start()
    async with Plant(own_broker.port, protocol) as plant:
        sink = await plant.sink()
        await sink.deliver(event(0))
        own_broker.pause()
        delivering = [asyncio.create_task(sink.deliver(event(number))) for number in range(1, 40)]
        await asyncio.sleep(0.1)
        assert not any(task.done() for task in delivering)
        own_broker.kill()
        for task in delivering:
            with pytest.raises(
                DeliveryError, match=r"ended before the acknowledgement|cannot be reached|lost"
            ):
                await asyncio.wait_for(task, 30)
        assert not plant.log.has("Traceback")


@on_loop
async def test_a_broker_that_does_not_acknowledge(own_broker, monkeypatch):
    monkeypatch.setattr("edge_ad.runtime.sinks.mqtt.ANSWER_S", 0.3)
    own_broker.start()
    async with Plant(own_broker.port) as plant:
        sink = await plant.sink()
        await sink.deliver(event(0))
        own_broker.pause()
        with pytest.raises(DeliveryError, match="has not acknowledged"):
            await sink.deliver(event(1))
        own_broker.go_on()
        await deliver(sink, 2)


@on_loop
async def test_what_the_broker_does_not_allow_is_told_where_it_can_be(own_broker, tmp_path, protocol):
    passwords, access = own_broker.add_user("pump", "secret"), own_broker.folder / "access"
    access.write_text("user pump\ntopic read #\n")
    own_broker.configure(f"password_file {passwords}", f"acl_file {access}", anonymous=False)
    own_broker.start()
    secret = tmp_path / "secret"
    secret.write_text("secret")
    login = {"username": "pump", "password_file": str(secret)}
    async with Plant(own_broker.port, protocol, **login) as plant:
        sink = await plant.sink()
        if protocol == "3.1.1":
            await sink.deliver(event(1))  # the broker says it has it, and drops it
            return
        text = r"does not take messages on topic 'edge-ad/agent/pump/events' \(not authorised\)"
        with pytest.raises(DeliveryError, match=text) as raised:
            await sink.deliver(event(1))
        assert not raised.value.hopeless
        await until(lambda: plant.log.count("publish-refused"))
        assert plant.log.has("topic 'edge-ad/agent/status'", "check its access rules")
        access.write_text("user pump\ntopic readwrite #\n")
        own_broker.reload()
        await deliver(sink, 1)


@on_loop
async def test_a_process_that_is_killed_is_offline(broker, protocol):
    process = child.start("sink", broker.port, protocol)
    status = "edge-ad/agent/status"
    with Friend(broker.port).subscribe(status) as friend:
        try:
            await until(lambda: friend.payloads(status)[-1:] == ["online"])
        finally:
            child.kill(process)
        await until(lambda: friend.payloads(status)[-1:] == ["offline"])
    with Friend(broker.port).subscribe(status) as late:
        await until(lambda: late.got)
        assert late.got == [(status, "offline", True)]


def newest(friend, topic):
    return friend.records(topic)[-1:]


@on_loop
async def test_states_are_published_when_they_change_and_now_and_then(broker, protocol):
    agent = f"states-{protocol}"
    topic = f"p/q/{agent}/pump/state"
    with Friend(broker.port).subscribe("p/q/#") as friend:
        async with Plant(broker.port, protocol, agent) as plant:
            sink = await plant.sink(prefix="p/q", every_s=3600.0)
            await until(lambda: friend.payloads(f"p/q/{agent}/status") == ["online"])
            take = sink.begin(service())
            states = [("warming",), ("normal", 1.0), ("normal", 1.1), ("alarm", 3.0, "warning")]
            states += [("alarm", 3.5, "warning"), ("alarm", 9.0, "critical"), ("normal", 1.5), ("unknown",)]
            for i, state in enumerate(states):
                take(decision(*state), str(i))
                sink.flush()
            await until(lambda: [x["time"] for x in newest(friend, topic)] == ["7"])
            # Two that follow at once may become one.
            times = [record["time"] for record in friend.records(topic)]
            assert set(times) <= {"0", "1", "3", "5", "6", "7"}
            assert times == sorted(times)
            sink.begin(service(bundle_id="cd" * 32))(decision("unknown"), "8")
            sink.flush()
            await until(lambda: [x["bundle"] for x in newest(friend, topic)] == ["cdcdcdcdcdcd"])
        async with Plant(broker.port, protocol, agent) as plant:
            sink = await plant.sink(prefix="p/q", every_s=0.1)
            take, n = sink.begin(service()), len(friend.records(topic))
            while len(friend.records(topic)) < n + 3:
                take(decision(), "x")
                sink.flush()
                await asyncio.sleep(0.01)
    with Friend(broker.port).subscribe(topic) as late:
        await until(lambda: late.got)
        assert [(name, retained) for name, _, retained in late.got] == [(topic, True)]


@on_loop
async def test_every_state_can_be_published(broker, protocol):
    agent = f"all-{protocol}"
    with Friend(broker.port).subscribe(f"edge-ad/{agent}/+/state") as friend:
        async with Plant(broker.port, protocol, agent) as plant:
            sink = await plant.sink(decisions="all")
            await deliver(sink, 0)
            takes = [sink.begin(service(asset)) for asset in ("pump", "fan")]
            for i in range(300):
                for take in takes:
                    take(decision(), str(i))
                sink.flush()
            for asset in ("pump", "fan"):
                topic = f"edge-ad/{agent}/{asset}/state"
                await until(lambda topic=topic: len(friend.payloads(topic)) == 300)
                assert [record["time"] for record in friend.records(topic)] == [str(i) for i in range(300)]
            assert plant.log.count("state-dropped") == 0


@on_loop
async def test_no_state_need_be_published(broker):
    with Friend(broker.port).subscribe("edge-ad/none/#") as friend:
        async with Plant(broker.port, agent="none") as plant:
            sink = await plant.sink(decisions="none")
            take = sink.begin(service())
            await deliver(sink, 0)
            take(decision(), "0")
            sink.flush()
            await deliver(sink, 1)
        await until(lambda: friend.payloads("edge-ad/none/status")[-1:] == ["offline"])
        assert "edge-ad/none/pump/state" not in friend.topics()


@on_loop
async def test_only_the_newest_states_wait_for_a_connection(own_broker, protocol):
    async with Plant(own_broker.port, protocol) as plant:
        sink = await plant.sink(decisions="all")
        for asset in ("pump", "fan"):
            take = sink.begin(service(asset))
            for i in range(50):
                take(decision(), str(i))
                sink.flush()
        own_broker.start()
        with Friend(own_broker.port).subscribe("edge-ad/agent/+/state") as friend:
            await until(lambda: len(friend.got) == 2)
            assert [json.loads(payload)["time"] for _, payload, _ in friend.got] == ["49", "49"]
        own_broker.kill()
        (own_broker.folder / "mosquitto.db").unlink(missing_ok=True)
        own_broker.start()  # it has forgotten them
        with Friend(own_broker.port).subscribe("edge-ad/agent/+/state") as friend:
            await until(lambda: len(friend.got) == 2)


@on_loop
async def test_states_are_dropped_where_the_broker_does_not_take_them(own_broker):
    own_broker.start()
    async with Plant(own_broker.port) as plant:
        sink = await plant.sink(decisions="all")
        await deliver(sink, 0)
        own_broker.pause()
        take, n = sink.begin(service()), 0
        while not plant.log.count("state-dropped"):
            for _ in range(100):
                take(decision(), f"{n} {'x' * 5000}")
                n += 1
            sink.flush()
            await asyncio.sleep(0)
            assert n < 100 * MOST_WAITING
        own_broker.go_on()
        with Friend(own_broker.port).subscribe("edge-ad/agent/pump/state") as friend:
            last = f"{n - 1} "
            await until(
                lambda: any(x["time"].startswith(last) for x in newest(friend, "edge-ad/agent/pump/state"))
            )


@on_loop
async def test_a_broker_that_takes_few_at_a_time(own_broker):
    """As many as the broker says, or it would end the connection."""
    own_broker.configure("max_inflight_messages 3")
    own_broker.start()
    async with Plant(own_broker.port) as plant:
        sink = await plant.sink()
        await asyncio.gather(*(sink.deliver(event(number)) for number in range(50)))
        assert not plant.log.has("tried again")


@on_loop
async def test_the_end_is_quick_although_the_broker_says_nothing(own_broker):
    own_broker.start()
    plant = Plant(own_broker.port)
    sink = await plant.sink()
    await deliver(sink, 0)
    own_broker.pause()
    try:
        await asyncio.wait_for(sink.close(), 20)
    finally:
        own_broker.go_on()
    await plant.brokers.close()


@on_loop
async def test_a_port_that_somebody_else_has(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:  # never answers
        async with Plant(server.getsockname()[1]) as plant:
            sink = await plant.sink()
            take = sink.begin(service())
            take(decision(), "0")
            sink.flush()
