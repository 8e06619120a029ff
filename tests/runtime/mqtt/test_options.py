import pytest

from edge_ad.bundle.codec import DecodeError, decode
from edge_ad.errors import ConfigurationError
from edge_ad.runtime.mqtt.brokers import Brokers
from edge_ad.runtime.mqtt.options import BrokerOptions
from edge_ad.runtime.sinks.mqtt import MqttSinkOptions
from edge_ad.runtime.sources.mqtt import MqttSourceOptions
from tests.runtime.mqtt.certificates import Authority
from tests.runtime.mqtt.plant import Log


def test_ports_and_tls_follow_from_what_is_given():
    plain = decode(BrokerOptions, {"host": "10.0.0.2"})
    assert (plain.port_used, plain.uses_tls, plain.address) == (1883, False, "10.0.0.2:1883")
    assert decode(BrokerOptions, {"host": "b", "tls": True}).port_used == 8883
    assert decode(BrokerOptions, {"host": "b", "ca_file": "ca.pem"}).uses_tls
    assert decode(BrokerOptions, {"host": "b", "cert_file": "c.pem", "port": 1}).port_used == 1
    assert decode(BrokerOptions, {"host": "fe80::1"}).address == "[fe80::1]:1883"


@pytest.mark.parametrize(
    ("table", "part"),
    [
        ({"host": ""}, "host"),
        ({"host": "a b"}, "host"),
        ({"host": "b", "port": 0}, "port"),
        ({"host": "b", "port": 70000}, "port"),
        ({"host": "b", "protocol": "4"}, "protocol"),
        ({"host": "b", "password_file": "p"}, "username"),
        ({"host": "b", "key_file": "k"}, "cert_file"),
        ({"host": "b", "keepalive_s": 0}, "keepalive_s"),
        ({"host": "b", "session_expiry_s": -1}, "session_expiry_s"),
        ({"host": "b", "client_id": ""}, "client_id"),
        ({"host": "b", "insecure": True}, "insecure"),
    ],
)
def test_options_that_make_no_sense(table, part):
    with pytest.raises(DecodeError, match=part):
        decode(BrokerOptions, table)


@pytest.mark.parametrize("topic", ["", "a/#/b", "a#", "a/b+", "$share/group/a", "a\0b"])
def test_topics_that_cannot_be_subscribed_to(topic):
    with pytest.raises(DecodeError, match="topic"):
        decode(MqttSourceOptions, {"broker": "plant", "topic": topic})


@pytest.mark.parametrize(
    "table",
    [
        {"prefix": "a/#"},
        {"prefix": "/a"},
        {"prefix": ""},
        {"discovery_prefix": "a/"},
        {"every_s": 0},
        {"health_every_s": 0.5},
        {"health_every_s": -1},
        {"decisions": "some"},
        {"decisions": "none", "home_assistant": True},
    ],
)
def test_sinks_that_make_no_sense(table):
    with pytest.raises(DecodeError):
        decode(MqttSinkOptions, {"broker": "plant", **table})


def brokers(**options):
    return Brokers({"plant": BrokerOptions("b", **options)}, "agent", Log().troubles)


def test_secrets_that_are_missing_are_told_at_the_start(tmp_path):
    missing, empty, binary = tmp_path / "missing", tmp_path / "empty", tmp_path / "binary"
    empty.write_text("\nsecond line")
    binary.write_bytes(b"\xff\xfe")
    for path in (missing, empty, binary):
        with pytest.raises(ConfigurationError, match=f"broker plant: password_file {path}"):
            brokers(username="x", password_file=str(path))
    for path in (missing, empty):
        with pytest.raises(ConfigurationError, match=f"broker plant: ca_file {path}"):
            brokers(ca_file=str(path))
    authority = Authority(tmp_path)
    with pytest.raises(ConfigurationError, match="cert_file"):
        brokers(cert_file=str(missing))
    with pytest.raises(ConfigurationError, match="cert_file"):  # the key is missing
        brokers(cert_file=str(authority.ca_file))
    certificate, key = authority.issue("agent")
    brokers(cert_file=str(certificate), key_file=str(key), ca_file=str(authority.ca_file))
    with pytest.raises(ConfigurationError, match="cert_file"):  # a key with a passphrase is not asked for
        brokers(cert_file=str(certificate), key_file=str(authority.locked(key)))


def test_a_broker_that_is_not_configured():
    with pytest.raises(ConfigurationError, match=r"no \[broker.plan\] \(is it 'plant'\?\)"):
        brokers().intake("plan")
