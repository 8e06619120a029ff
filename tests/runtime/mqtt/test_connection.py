"""What can go wrong between here and a broker, and how it ends."""

import asyncio
import contextlib
import socket
import threading

import pytest

from tests.runtime.mqtt.broker import Broker, free_port
from tests.runtime.mqtt.certificates import Authority
from tests.runtime.mqtt.plant import Friend, Plant, lines_of, on_loop, until


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@contextlib.contextmanager
def scripted_server(answer):
    """Answers the first bytes of every connection with `answer`, and hangs up; with None it says nothing."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)

        def serve():
            with contextlib.ExitStack() as held:
                while not stop.is_set():
                    try:
                        connection, _ = server.accept()
                    except TimeoutError:
                        continue
                    connection.settimeout(10)
                    if answer is None:
                        held.enter_context(connection)
                        continue
                    with connection, contextlib.suppress(OSError):
                        connection.recv(1000)
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            stop.set()
            thread.join()


async def works(plant, broker, topic, **login):
    """Whether the plant's connection is one that messages come over."""
    source = await plant.subscribed(topic)
    with Friend(broker.port, **login) as friend:
        friend.publish(topic, "1")
    return await lines_of(source, 1) == ["1"]


@on_loop
async def test_a_broker_that_is_not_there_yet(own_broker, protocol):
    async with Plant(own_broker.port, protocol) as plant:
        source = plant.source("late")
        await until(lambda: plant.log.count("broker-unreachable") >= 3)
        assert plant.log.has(
            f"broker plant at 127.0.0.1:{own_broker.port} cannot be reached", "tried again in"
        )
        own_broker.start()
        await until(lambda: source.is_subscribed)
        assert plant.log.has("connected to the broker plant")
        assert not plant.log.has("again", "connected")


@on_loop
async def test_a_host_name_that_nobody_knows():
    async with Plant(1883, host="no-such-host.invalid") as plant:
        plant.source("x")
        await until(lambda: plant.log.count("broker-unreachable") >= 2)
        assert plant.log.has("host name 'no-such-host.invalid' is not found")


@on_loop
async def test_a_host_name_that_cannot_be_one():
    async with Plant(1883, host="a..b") as plant:
        plant.source("x")
        await until(lambda: plant.log.count("broker-unreachable"))


@on_loop
async def test_a_refused_login_that_is_put_right_at_the_broker(own_broker, protocol, tmp_path):
    passwords = own_broker.add_user("pump", "another one")
    own_broker.configure(f"password_file {passwords}", anonymous=False)
    own_broker.start()
    secret = tmp_path / "secret"
    secret.write_text("right\n")
    async with Plant(own_broker.port, protocol, username="pump", password_file=str(secret)) as plant:
        plant.source("other")
        await until(lambda: plant.log.count("broker-login") >= 2)
        assert plant.log.has(
            "the broker plant refuses the login of user 'pump' (not authorised)",
            ": check username and password_file",
            "; tried again in ",
        )
        own_broker.add_user("pump", "right")
        own_broker.reload()
        assert await works(plant, own_broker, "fixed", username="pump", password="right")


@on_loop
async def test_a_refused_login_that_is_put_right_here(own_broker, protocol, tmp_path):
    passwords = own_broker.add_user("pump", "right")
    own_broker.configure(f"password_file {passwords}", anonymous=False)
    own_broker.start()
    secret = tmp_path / "secret"
    secret.write_text("wrong\n")
    async with Plant(own_broker.port, protocol, username="pump", password_file=str(secret)) as plant:
        source = plant.source("other")
        await until(lambda: plant.log.count("broker-login") >= 2)
        secret.unlink()
        await until(lambda: plant.log.count("broker-login") >= 3)
        secret.write_text("right\n")
        await until(lambda: source.is_subscribed)


@on_loop
async def test_a_broker_that_wants_a_login(own_broker, protocol):
    own_broker.configure(anonymous=False)
    own_broker.start()
    async with Plant(own_broker.port, protocol) as plant:
        plant.source("x")
        await until(lambda: plant.log.count("broker-login"))
        assert plant.log.has(
            "refuses a login without user name (not authorised): set username and password_file"
        )


@on_loop
async def test_an_encrypted_connection(own_broker, authority, protocol):
    certificate, key = authority.issue("localhost", "127.0.0.1")
    own_broker.configure(f"certfile {certificate}", f"keyfile {key}")
    own_broker.start()
    for host in ("localhost", "127.0.0.1"):
        ca_file = str(authority.ca_file)
        async with Plant(own_broker.port, protocol, agent=host, host=host, ca_file=ca_file) as plant:
            await plant.subscribed("tls")


@on_loop
async def test_a_certificate_for_another_host(own_broker, authority):
    certificate, key = authority.issue("broker.example")
    own_broker.configure(f"certfile {certificate}", f"keyfile {key}")
    own_broker.start()
    for host in ("localhost", "127.0.0.1"):
        async with Plant(own_broker.port, host=host, ca_file=str(authority.ca_file)) as plant:
            source = plant.source("x")
            await until(lambda log=plant.log: log.count("broker-certificate") >= 2)
            assert plant.log.has(
                f"the certificate of the broker plant does not match: it is not for '{host}'"
            )
            assert not source.is_subscribed


@on_loop
async def test_a_certificate_of_another_authority(own_broker, authority, tmp_path):
    certificate, key = authority.issue("localhost")
    own_broker.configure(f"certfile {certificate}", f"keyfile {key}")
    own_broker.start()
    other = Authority(tmp_path, "other")
    async with Plant(own_broker.port, host="localhost", ca_file=str(other.ca_file)) as plant:
        source = plant.source("x")
        await until(lambda: plant.log.count("broker-certificate") >= 2)
        assert plant.log.has(
            "the certificate of the broker plant is not trusted", f"check ca_file {other.ca_file}"
        )
        # It is looked at again: the file may be put right while the agent runs.
        other.ca_file.write_bytes(authority.ca_file.read_bytes())
        await until(lambda: source.is_subscribed)
    async with Plant(own_broker.port, host="localhost", tls=True) as plant:
        plant.source("x")
        await until(lambda: plant.log.count("broker-certificate"))
        assert plant.log.has("is not trusted", "set ca_file")


@on_loop
async def test_a_certificate_that_has_expired(own_broker, authority):
    certificate, key = authority.issue("localhost", days=-1)
    own_broker.configure(f"certfile {certificate}", f"keyfile {key}")
    own_broker.start()
    async with Plant(own_broker.port, host="localhost", ca_file=str(authority.ca_file)) as plant:
        plant.source("x")
        await until(lambda: plant.log.count("broker-certificate"))
        assert plant.log.has("is not trusted: certificate has expired")


@on_loop
async def test_a_broker_that_wants_a_certificate(own_broker, authority):
    certificate, key = authority.issue("localhost")
    own_broker.configure(
        f"certfile {certificate}", f"keyfile {key}", f"cafile {authority.ca_file}", "require_certificate true"
    )
    own_broker.start()
    ca_file = str(authority.ca_file)
    async with Plant(own_broker.port, host="localhost", ca_file=ca_file) as plant:
        plant.source("x")
        await until(lambda: plant.log.count("broker-hung-up") + plant.log.count("broker-tls"))
        assert plant.log.has("with cert_file?")
    cert_file, key_file = map(str, authority.issue("agent"))
    async with Plant(
        own_broker.port, host="localhost", ca_file=ca_file, cert_file=cert_file, key_file=key_file
    ) as plant:
        await plant.subscribed("x")


@on_loop
async def test_tls_and_a_port_that_is_not_for_it(broker, authority):
    async with Plant(broker.port, host="localhost", ca_file=str(authority.ca_file)) as plant:
        plant.source("x")
        await until(lambda: plant.log.has("tried again"))
        assert plant.log.has("is that a port for TLS?") or plant.log.has("cannot be reached")


@on_loop
async def test_no_tls_and_a_port_that_is_for_it(own_broker, authority):
    certificate, key = authority.issue("localhost")
    own_broker.configure(f"certfile {certificate}", f"keyfile {key}")
    own_broker.start()
    async with Plant(own_broker.port) as plant:
        plant.source("x")
        await until(lambda: plant.log.has("tried again"))
        assert plant.log.has("hung up before it answered", "is that a port for TLS?")


@on_loop
async def test_a_broker_of_another_version():
    with scripted_server(b"\x20\x02\x00\x01") as port:
        async with Plant(port) as plant:
            plant.source("x")
            await until(lambda: plant.log.count("broker-protocol") >= 2)
            assert plant.log.has('the broker plant does not speak MQTT 5: set protocol = "3.1.1"')
    with scripted_server(b"\x20\x03\x00\x84\x00") as port:
        async with Plant(port, "3.1.1") as plant:
            plant.source("x")
            await until(lambda: plant.log.count("broker-protocol") >= 2)


@on_loop
async def test_something_that_is_no_broker(protocol):
    with scripted_server(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        async with Plant(port, protocol) as plant:
            plant.source("x")
            await until(lambda: plant.log.has("tried again"))
            assert plant.log.has("does not speak MQTT") or plant.log.has("hung up before it answered")


@on_loop
async def test_something_that_hangs_up():
    with scripted_server(b"") as port:
        async with Plant(port) as plant:
            plant.source("x")
            await until(lambda: plant.log.count("broker-hung-up") >= 2)
            assert plant.log.has('or is it an old one that needs protocol = "3.1.1"?')


@on_loop
async def test_something_that_never_answers(monkeypatch):
    monkeypatch.setattr("edge_ad.runtime.mqtt.link.ANSWER_S", 0.5)
    with scripted_server(None) as port:
        async with Plant(port) as plant:
            plant.source("x")
            await until(lambda: plant.log.count("broker-unreachable") >= 2)
            assert plant.log.has("does not answer")


@on_loop
async def test_another_client_of_the_same_id(broker, protocol):
    agent = f"twin-{protocol}"
    async with Plant(broker.port, protocol, agent=agent) as first:
        await first.subscribed("x")
        async with Plant(broker.port, protocol, agent=agent) as second:
            second.source("x")
            for log in (first.log, second.log):
                await until(lambda log=log: log.count("broker-contested") + log.count("broker-taken-over"))
                assert log.has("another client") or log.has(
                    f"another client use the client id 'edge-ad-{agent}'?"
                )


@on_loop
async def test_a_broker_that_says_who_took_over():
    with scripted_server(b"\x20\x03\x00\x00\x00" + b"\xe0\x02\x8e\x00") as port:
        async with Plant(port) as plant:
            plant.source("x")
            await until(lambda: plant.log.count("broker-taken-over") >= 2)
            text = "another client has taken over the session of client id 'edge-ad-agent'; give every agent"
            assert plant.log.has(text, "tried again in")


@on_loop
async def test_a_broker_that_says_goodbye():
    with scripted_server(b"\x20\x03\x00\x00\x00" + b"\xe0\x02\x8b\x00") as port:
        async with Plant(port) as plant:
            plant.source("x")
            await until(lambda: plant.log.count("broker-lost") >= 2)
            assert plant.log.has("the broker plant is shutting down; tried again in")
    with scripted_server(b"\x20\x03\x00\x00\x00" + b"\xe0\x02\x98\x00") as port:
        async with Plant(port) as plant:
            plant.source("x")
            await until(lambda: plant.log.count("broker-ended") >= 2)
            assert plant.log.has("the broker plant ended the connection (administrative action)")


@on_loop
async def test_a_connection_that_is_lost_at_once_again_and_again():
    with scripted_server(b"\x20\x02\x00\x00") as port:
        async with Plant(port, "3.1.1") as plant:
            plant.source("x")
            await until(lambda: plant.log.count("broker-contested") >= 2)
            assert plant.log.count("broker-lost") == 2
            assert plant.log.has("3 times: does another client use the client id 'edge-ad-agent'?")


@on_loop
async def test_closing_while_nothing_can_be_reached():
    for port in (free_port(), 1):
        async with Plant(port) as plant:
            plant.source("x")
            await plant.sink()
            await until(lambda log=plant.log: log.count("broker-unreachable") >= 2)


@on_loop
async def test_a_server_that_accepts_and_says_nothing_does_not_hold_up_the_end():
    with scripted_server(None) as port:
        async with Plant(port) as plant:
            plant.source("x")
            await asyncio.sleep(0)


@on_loop
async def test_two_sinks_and_a_source_do_not_get_into_each_others_way(broker, protocol):
    async with Plant(broker.port, protocol, agent="three") as plant:
        await plant.sink("one")
        await plant.sink("two")
        await plant.subscribed("x")
        await until(lambda: sum("connected" in line for line in plant.log.lines) == 3)
        assert not plant.log.has("tried again")


def test_the_broker_of_a_test_is_a_real_one(tmp_path):
    broker = Broker(tmp_path)
    broker.start()
    assert "mosquitto version" in broker.log
    broker.stop()
