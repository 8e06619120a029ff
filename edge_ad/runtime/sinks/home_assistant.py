"""Messages by which Home Assistant finds the assets on a broker by itself.

The format is that of its MQTT integration, one message for each entity, which every version of it reads:
https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery. A template that renders to `None` makes an
entity unknown, as it is while a state is `unknown` or `warming`.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, NamedTuple, get_args

from edge_ad import __version__
from edge_ad.detect.decision import State
from edge_ad.runtime.sinks.sink import InService

BIRTH = "online"
"""What Home Assistant publishes on `birth_topic` when it starts."""


class Announcement(NamedTuple):
    """A message to be retained."""

    topic: str
    payload: str


class _Entity(NamedTuple):
    component: str
    key: str
    name: str
    template: str
    more: dict[str, Any]


_MEASURED = {"state_class": "measurement", "suggested_display_precision": 3}
_ENTITIES = (
    _Entity(
        "binary_sensor",
        "alarm",
        "Alarm",
        "{{ {'alarm': 'ON', 'normal': 'OFF'}.get(value_json.state, 'None') }}",
        {"device_class": "problem", "payload_on": "ON", "payload_off": "OFF"},
    ),
    _Entity(
        "sensor",
        "state",
        "State",
        "{{ value_json.state }}",
        {"device_class": "enum", "options": list(get_args(State)), "icon": "mdi:state-machine"},
    ),
    _Entity("sensor", "score", "Anomaly score", "{{ value_json.score }}", _MEASURED | {"icon": "mdi:pulse"}),
    _Entity(
        "sensor", "ratio", "Score to limit", "{{ value_json.ratio }}", _MEASURED | {"icon": "mdi:chart-line"}
    ),
    _Entity("sensor", "top_channel", "Top channel", "{{ value_json.top_channel }}", {"icon": "mdi:tune"}),
)


def announcements(
    service: InService, *, agent: str, discovery_prefix: str, state_topic: str, status_topic: str
) -> list[Announcement]:
    """What makes an asset a device with its alarm, state, score, score-to-limit ratio and top channel.

    The state is JSON with these keys on `state_topic`, and `status_topic` tells `online` or `offline`.
    """
    node = _identifier(agent, service.asset)
    common = {
        "state_topic": state_topic,
        "availability_topic": status_topic,
        "payload_available": "online",
        "payload_not_available": "offline",
        "device": {
            "identifiers": [node],
            "name": service.asset,
            "manufacturer": "edge-ad",
            "model": f"{len(service.channels)} channels",
            "sw_version": f"{service.model_version}, build {service.build_number}, {service.label}",
        },
        "origin": {"name": "edge-ad", "sw_version": __version__},
    }
    found = []
    for entity in _ENTITIES:
        config: dict[str, Any] = {"name": entity.name, "unique_id": f"{node}_{entity.key}"}
        config |= {"value_template": entity.template} | entity.more | common
        if entity.key == "alarm":
            config["json_attributes_topic"] = state_topic
        topic = f"{discovery_prefix}/{entity.component}/{node}/{entity.key}/config"
        found.append(Announcement(topic, json.dumps(config, ensure_ascii=False)))
    return found


def birth_topic(discovery_prefix: str) -> str:
    """Where Home Assistant tells that it has started."""
    return f"{discovery_prefix}/status"


def _identifier(agent: str, asset: str) -> str:
    """A name that may be a part of a discovery topic; those of different assets differ."""
    readable = re.sub(r"[^A-Za-z0-9_-]", "-", f"{agent}_{asset}")
    digest = hashlib.sha256(json.dumps([agent, asset]).encode()).hexdigest()
    return f"edge-ad_{readable}_{digest[:8]}"
