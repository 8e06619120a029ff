import asyncio
import subprocess
import sys

import pytest

from edge_ad.bundle.codec import DecodeError
from edge_ad.runtime.sinks.gpio import Gpio, GpioOptions
from edge_ad.runtime.sinks.kinds import load_sink
from tests.runtime.agent.support import ROOT, Log, until
from tests.runtime.sinks.support import context, decision, service

gpiozero = pytest.importorskip("gpiozero")
from gpiozero.pins.mock import MockFactory  # noqa: E402  only where gpiozero is


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def pins():
    """The only pins that this machine has."""
    factory = MockFactory()
    before, gpiozero.Device.pin_factory = gpiozero.Device.pin_factory, factory
    yield factory
    factory.reset()
    gpiozero.Device.pin_factory = before


def run(log, work, **table):
    async def main():
        options, opener = load_sink("gpio", {"pin": 17, **table})
        sink = opener(options, context(log))
        await sink.start()
        await asyncio.sleep(0)
        try:
            await work(sink)
        finally:
            await sink.close()

    asyncio.run(main())


def states(pins, number, take, *decisions):
    found = []
    for one in decisions:
        take(decision(*one), "now")
        found.append(pins.pin(number).state)
    return found


def test_on_while_a_machine_alarms(pins, log):
    async def work(sink):
        pin = pins.pin(17)
        assert (pin.function, pin.state) == ("output", 0)
        take = sink.begin(service())
        found = states(
            pins,
            17,
            take,
            ["warming"],
            ["normal"],
            ["alarm", "watch"],
            ["unknown"],
            ["warming"],
            ["alarm"],
            ["normal"],
        )
        assert found == [0, 0, 1, 1, 1, 1, 0]
        take(decision("alarm"), "now")
        # A new bundle has to fill its window first: the machine is as it was.
        take = sink.begin(service())
        assert states(pins, 17, take, ["warming"], ["normal"], ["alarm"]) == [1, 0, 1]

    run(log, work)
    assert pins.pin(17).state == 0
    assert log.notes == log.said == []


def test_on_while_any_of_several_does(pins, log):
    async def work(sink):
        one, other = sink.begin(service("pump-1")), sink.begin(service("pump-2"))
        assert states(pins, 17, one, ["alarm"]) == [1]
        assert states(pins, 17, other, ["alarm"], ["normal"]) == [1, 1]
        assert states(pins, 17, one, ["normal"]) == [0]

    run(log, work)


def test_from_a_severity_up(pins, log):
    async def work(sink):
        take = sink.begin(service())
        found = states(
            pins,
            17,
            take,
            ["alarm", "watch"],
            ["alarm", "warning"],
            ["alarm", "critical"],
            ["alarm", "watch"],
        )
        assert found == [0, 1, 1, 0]

    run(log, work, on="warning")
    assert log.notes == []


@pytest.mark.parametrize("severities", [(), ("watch", "warning")])
def test_a_severity_that_a_bundle_does_not_have(pins, log, severities):
    async def work(sink):
        take = sink.begin(service(severities=severities))
        assert states(pins, 17, take, ["alarm", severities[0] if severities else None], ["normal"]) == [1, 0]

    run(log, work, on="critical")
    assert log.kinds() == ["severity"]
    assert "the bundle of pump-1 has no severity 'critical'" in log.text()


def test_active_low(pins, log):
    async def work(sink):
        assert pins.pin(17).state == 1
        take = sink.begin(service())
        assert states(pins, 17, take, ["alarm"], ["normal"]) == [0, 1]
        take(decision("alarm"), "now")

    run(log, work, active_high=False)
    assert pins.pin(17).state == 1


def test_a_lamp_for_not_knowing(pins, log):
    async def work(sink):
        one, other = sink.begin(service("pump-1")), sink.begin(service("pump-2"))
        assert states(pins, 27, one, ["warming"], ["unknown"], ["normal"], ["unknown"], ["alarm"]) == [
            0,
            1,
            0,
            1,
            0,
        ]
        assert states(pins, 27, other, ["unknown"]) == [1]
        assert states(pins, 27, one, ["unknown"], ["normal"]) == [1, 1]
        assert states(pins, 27, other, ["normal"]) == [0]

    run(log, work, unknown_pin=27)
    assert pins.pin(27).state == 0


def test_a_pin_that_is_taken_is_waited_for(pins, log):
    """Decisions come meanwhile, and what they said is shown as soon as it can be."""
    taken = gpiozero.DigitalOutputDevice(17)

    async def main():
        sink = Gpio(GpioOptions(17), log.note, log.say, first_wait_s=1e-4)
        await sink.start()
        await until(lambda: log.notes)
        take = sink.begin(service())
        take(decision("alarm"), "now")
        assert pins.pin(17).state == 0
        taken.close()
        await until(lambda: log.said)
        assert pins.pin(17).state == 1
        await sink.close()

    asyncio.run(main())
    assert "GPIO 17 cannot be used: GPIOPinInUse" in log.text()
    assert log.said == ["the GPIO outputs can be used now"]
    assert pins.pin(17).state == 0


def test_a_pin_that_fails_while_it_is_used(pins, log):
    async def main():
        sink = Gpio(GpioOptions(17), log.note, log.say, first_wait_s=1e-4)
        await sink.start()
        await asyncio.sleep(0)
        take = sink.begin(service())
        pins.pin(17).function = "input"  # somebody else did: to set it raises from now on
        take(decision("alarm"), "now")
        assert "cannot switch GPIO 17" in log.text()
        await until(lambda: pins.pin(17).function == "output" and pins.pin(17).state == 1)
        await sink.close()

    asyncio.run(main())


def test_a_machine_without_pins(log):
    """gpiozero finds none of its libraries here, and the agent goes on."""
    code = (
        "import asyncio, sys, warnings; warnings.simplefilter('error')\n"
        "from edge_ad.runtime.sinks.gpio import Gpio, GpioOptions\n"
        "from tests.runtime.agent.support import Log, until\n"
        "from tests.runtime.sinks.support import decision, service\n"
        "log = Log()\n"
        "async def main():\n"
        "    sink = Gpio(GpioOptions(17), log.note, log.say, first_wait_s=1e-4)\n"
        "    await sink.start()\n"
        "    await until(lambda: len(log.notes) > 1)\n"
        "    sink.begin(service())(decision('alarm'), 'now')\n"
        "    await sink.close()\n"
        "asyncio.run(main()); print(log.text())"
    )
    environment = {"GPIOZERO_PIN_FACTORY": "lgpio", "PATH": ""}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    if "GPIO 17 cannot be used" not in result.stdout:
        pytest.skip("this machine has pins")
    assert "python3-lgpio installed" in result.stdout


def test_without_gpiozero():
    code = (
        "import sys; sys.modules['gpiozero'] = None\n"
        "from edge_ad.runtime.sinks.kinds import load_sink\n"
        "options, opener = load_sink('gpio', {'pin': 1}); opener(options, None)"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "MissingDependencyError: sinks of the kind gpio need gpiozero" in result.stderr
    assert "pip install 'edge-ad[gpio]'" in result.stderr
    assert "apt-get install python3-gpiozero python3-lgpio" in result.stderr


def test_the_same_decision_again_does_not_touch_the_pins(pins, log):
    """Nothing is asked of the pins: there are many decisions, and most change nothing."""

    async def work(sink):
        take = sink.begin(service())
        take(decision("alarm"), "now")
        pin = pins.pin(17)
        n_before = len(pin.states)
        for _ in range(1000):
            take(decision("alarm"), "now")
        assert len(pin.states) == n_before

    run(log, work)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, "missing key pin"),
        ({"pin": 54}, "there is no GPIO 54"),
        ({"pin": 17, "unknown_pin": -1}, "there is no GPIO -1"),
        ({"pin": 17, "unknown_pin": 17}, "must be another pin"),
        ({"pin": "GPIO17"}, "pin must be of type int"),
        ({"pin": 17, "active_high": 1}, "must be of type bool"),
    ],
)
def test_options_that_make_no_sense(table, words):
    with pytest.raises(DecodeError, match=words):
        load_sink("gpio", table)
