"""From results to the file, on a board that throttles while it is measured."""

import pytest

from edge_ad.bench.results import Settings
from edge_ad.bundle.bundle import read
from edge_ad.runtime.benchmark.assemble import Observation, Terms
from edge_ad.runtime.benchmark.file import parse_benchmark, to_json
from tests.bench.files import result
from tests.runtime.doctor.trees import CPUFREQ, pi

TERMS = Terms("rpi-4b", 1.0, 0.1, Settings(2000, 5, 200, 60.0))


@pytest.fixture
def manifest(toy_bundle_path):
    return read(toy_bundle_path).manifest


def test_what_the_board_did_meanwhile_is_in_the_file(manifest, tmp_path):
    tree = pi(tmp_path)
    observation = Observation(tree.machine())
    tree.answers("vcgencmd", "throttled=0x50005")
    tree.write("/sys/class/thermal/thermal_zone0/temp", "82000\n")
    tree.write(CPUFREQ.format(0, "scaling_governor"), "ondemand\n")
    made = observation.benchmark(manifest, TERMS, [result()])
    assert made.trust == "doubtful"
    assert {finding.check for finding in made.findings if finding.weight == "doubt"} == {
        "under-voltage",
        "throttled",
        "temperature",
        "governor",
    }
    assert made.machine_before.state.firmware_flags == 0
    assert made.machine_after.state.firmware_flags == 0x50005
    assert made.machine_before.board == "Raspberry Pi 4 Model B Rev 1.4"
    assert made.bundle.asset == "toy"
    assert made.versions["numpy"]
    assert parse_benchmark(to_json(made), "it") == made


def test_a_board_on_which_all_is_well(manifest, tmp_path, monkeypatch):
    from edge_ad.bench import machine

    monkeypatch.setattr(machine, "translator", lambda host, architecture: None)
    made = Observation(pi(tmp_path).machine()).benchmark(manifest, TERMS, [result()])
    assert made.trust == "trusted"
    assert [finding.check for finding in made.findings] == ["few-windows"]
    assert made.profile == "rpi-4b"
