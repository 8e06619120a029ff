"""A broker for every test module; topics keep its tests apart."""

import pytest

from tests.runtime.mqtt.broker import Broker


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    broker = Broker(tmp_path_factory.mktemp("mosquitto")).start()
    yield broker
    broker.stop()


@pytest.fixture
def own_broker(tmp_path):
    """One that a test may kill; it is not started yet."""
    broker = Broker(tmp_path / "mosquitto", is_durable=True)
    yield broker
    broker.stop()


@pytest.fixture(params=["5", "3.1.1"])
def protocol(request):
    return request.param
