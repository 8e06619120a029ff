import json
import re

import pytest

from edge_ad import __version__
from edge_ad.runtime.sinks.home_assistant import announcements, birth_topic
from edge_ad.runtime.sinks.mqtt import state_json
from tests.runtime.mqtt.plant import Friend, Plant, on_loop, until
from tests.runtime.mqtt.test_sink import decision, service

# What the documentation of Home Assistant's MQTT integration lists: keys common to entities, and those of
# each kind. It refuses or ignores what has others.
COMMON = {
    *(
        "availability",
        "availability_mode",
        "availability_template",
        "availability_topic",
        "default_entity_id",
    ),
    *("device", "enabled_by_default", "encoding", "entity_category", "entity_picture", "icon"),
    *("json_attributes_template", "json_attributes_topic", "name", "object_id", "origin"),
    *("payload_available", "payload_not_available", "platform", "qos", "unique_id"),
}
KEYS = {
    "binary_sensor": COMMON
    | {"device_class", "expire_after", "force_update", "off_delay", "payload_off", "payload_on"}
    | {"state_topic", "value_template"},
    "sensor": COMMON
    | {"device_class", "expire_after", "force_update", "last_reset_value_template", "options"}
    | {"suggested_display_precision", "state_class", "state_topic", "unit_of_measurement", "value_template"},
}
DEVICE = {
    *("configuration_url", "connections", "hw_version", "identifiers", "manufacturer", "model", "model_id"),
    *("name", "serial_number", "suggested_area", "sw_version", "via_device"),
}
ORIGIN = {"name", "sw_version", "support_url"}
TOPIC = re.compile(r"homeassistant/(\w+)/([A-Za-z0-9_-]+)/([A-Za-z0-9_-]+)/config")


def of(asset="pump", agent="house", **entries):
    found = announcements(
        service(asset, **entries),
        agent=agent,
        discovery_prefix="homeassistant",
        state_topic=f"edge-ad/{agent}/{asset}/state",
        status_topic=f"edge-ad/{agent}/status",
    )
    return {topic: json.loads(payload) for topic, payload in found}


def rendered(template, record):
    """What Home Assistant makes of the templates used here: a value, or the alarm's mapping of the state."""
    if template == "{{ {'alarm': 'ON', 'normal': 'OFF'}.get(value_json.state, 'None') }}":
        return {"alarm": "ON", "normal": "OFF"}.get(record["state"], "None")
    found = re.fullmatch(r"\{\{ value_json\.(\w+) \}\}", template)
    assert found, template
    return str(record[found[1]])


def entity(key, **entries):
    return next(config for topic, config in of(**entries).items() if topic.endswith(f"/{key}/config"))


def test_the_messages_are_as_home_assistant_documents_them():
    messages = of()
    assert len(messages) == 5
    for topic, config in messages.items():
        component, node, key = TOPIC.fullmatch(topic).groups()
        assert set(config) <= KEYS[component], topic
        assert set(config["device"]) <= DEVICE
        assert set(config["origin"]) <= ORIGIN
        assert config["unique_id"] == f"{node}_{key}"
        assert config["state_topic"] == "edge-ad/house/pump/state"
        assert config["availability_topic"] == "edge-ad/house/status"
        assert (config["payload_available"], config["payload_not_available"]) == ("online", "offline")
        assert config["device"]["identifiers"] == [node]
        assert node.startswith("edge-ad_house_pump_")
        assert config["device"]["name"] == "pump"
        assert config["origin"] == {"name": "edge-ad", "sw_version": __version__}
        # The two exclude each other in Home Assistant's check of a sensor.
        assert not ("options" in config and "state_class" in config)
    assert entity("alarm")["device_class"] == "problem"
    assert entity("state")["device_class"] == "enum"
    assert entity("score")["state_class"] == entity("ratio")["state_class"] == "measurement"


@pytest.mark.parametrize(
    ("made", "alarm", "state", "score", "top"),
    [
        (decision("normal", 1.5), "OFF", "normal", "1.5", "Flow"),
        (decision("alarm", 3.0, "critical"), "ON", "alarm", "3.0", "Flow"),
        (decision("unknown"), "None", "unknown", "None", "None"),
        (decision("warming"), "None", "warming", "None", "None"),
    ],
)
def test_every_state_is_one_that_home_assistant_takes(made, alarm, state, score, top):
    record = json.loads(state_json(service(), made, "12:00"))
    values = {key: rendered(entity(key)["value_template"], record) for key in ("alarm", "state", "score")}
    assert values == {"alarm": alarm, "state": state, "score": score}
    assert rendered(entity("top_channel")["value_template"], record) == top
    assert values["alarm"] in (entity("alarm")["payload_on"], entity("alarm")["payload_off"], "None")
    assert values["state"] in entity("state")["options"]


def test_names_that_differ_stay_different():
    names = [("a", "b"), ("a.b", "b"), ("a-2e-b", "b"), ("a_b", "b"), ("a", "b_b"), ("a", "b.b"), ("ä", "b")]
    ids = [{config["unique_id"] for config in of(asset, agent).values()} for asset, agent in names]
    for one, other in ((a, b) for i, a in enumerate(ids) for b in ids[i + 1 :]):
        assert not one & other
    assert all(TOPIC.fullmatch(topic) for asset, agent in names for topic in of(asset, agent))


def test_another_bundle_is_the_same_device():
    assert set(of()) == set(of(bundle_id="cd" * 32, build_number=4))
    assert "build 4" in entity("alarm", build_number=4)["device"]["sw_version"]


@on_loop
async def test_home_assistant_finds_the_assets(broker, protocol):
    agent = f"house-{protocol}"
    everything = f"homeassistant-{protocol}/#"
    options = {"home_assistant": True, "discovery_prefix": f"homeassistant-{protocol}"}
    with Friend(broker.port).subscribe(everything) as friend:
        async with Plant(broker.port, protocol, agent) as plant:
            sink = await plant.sink(**options)
            take = sink.begin(service("pump"))
            await until(lambda: len(friend.got) == 5)
            sink.begin(service("fan"))  # while it is connected
            await until(lambda: len(friend.got) == 10)
            take(decision(), "12:00")
            sink.flush()
            friend.publish(birth_topic(f"homeassistant-{protocol}"), "online")
            await until(lambda: len(friend.got) == 10 + 1 + 10)
            friend.publish(birth_topic(f"homeassistant-{protocol}"), "offline")
    with Friend(broker.port).subscribe(everything) as late:  # also after the end: a restart is no removal
        await until(lambda: len(late.got) == 10)
        assert all(retained and payload for _, payload, retained in late.got)


@on_loop
async def test_a_broker_that_forgot_is_told_again(own_broker):
    own_broker.configure("persistence false")
    own_broker.start()
    async with Plant(own_broker.port) as plant:
        sink = await plant.sink(home_assistant=True)
        sink.begin(service())
        with Friend(own_broker.port).subscribe("homeassistant/#") as friend:
            await until(lambda: len(friend.got) == 5)
        own_broker.kill()
        own_broker.start()
        with Friend(own_broker.port).subscribe("homeassistant/#") as friend:
            await until(lambda: len(friend.got) >= 5)


@on_loop
async def test_it_is_not_told_unless_that_is_wanted(broker):
    async with Plant(broker.port, agent="secret") as plant:
        sink = await plant.sink(discovery_prefix="ha-secret")
        sink.begin(service())
        with Friend(broker.port).subscribe("ha-secret/#", "edge-ad/secret/status") as friend:
            await until(lambda: friend.got)
            await sink.close()
            await until(lambda: friend.payloads("edge-ad/secret/status")[-1:] == ["offline"])
            assert set(friend.topics()) == {"edge-ad/secret/status"}
