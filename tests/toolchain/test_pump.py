"""The simulated pump obeys the physics it claims."""

import itertools

import numpy as np
import pytest

from edge_ad.errors import ConfigurationError
from edge_ad.toolchain.datasets.pump import PUMP_CHANNELS, Fault, FaultEpisode, simulate_pump, standard_run
from edge_ad.toolchain.datasets.pump_faults import HEALTHY, Condition
from edge_ad.toolchain.datasets.pump_plant import (
    NOMINAL_FLOW,
    NOMINAL_SPEED,
    Plant,
    Surroundings,
    run_plant,
)
from edge_ad.toolchain.datasets.simulated import pump_csv
from tests.helpers import edge_ad

CHANNELS = {name: index for index, (name, *_) in enumerate(PUMP_CHANNELS)}
LAST = -1


def rest(plant=None, condition=HEALTHY, seconds=900):
    """The plant's quantities after it has come to rest."""
    return run_plant(plant or Plant(), [condition] * seconds, Surroundings.steady(seconds))


class TestPlant:
    def test_operating_point(self):
        trace = rest()
        assert trace.speed[LAST] == pytest.approx(NOMINAL_SPEED, rel=0.02)
        assert trace.pump_flow[LAST] == pytest.approx(NOMINAL_FLOW, rel=0.02)

    def test_it_starts_and_stays_in_balance(self):
        trace = rest()
        for values in (trace.speed, trace.pump_flow, trace.body, trace.water, trace.current):
            np.testing.assert_allclose(values, values[0], rtol=1e-3)

    def test_a_loop_loses_no_water(self):
        trace = rest()
        np.testing.assert_array_equal(trace.pump_flow, trace.loop_flow)

    def test_affinity_laws(self):
        """Flow goes with the speed, head with its square, power with its cube (a system of friction only
        keeps its point on the curve; see any pump text book). Slip and the fixed static terms blur it.
        """
        slow, fast = rest(Plant(drive_frequency=40.0)), rest(Plant(drive_frequency=48.0))
        ratio = fast.speed[LAST] / slow.speed[LAST]
        assert fast.pump_flow[LAST] / slow.pump_flow[LAST] == pytest.approx(ratio, rel=0.02)
        assert fast.head[LAST] / slow.head[LAST] == pytest.approx(ratio**2, rel=0.03)
        assert fast.shaft_power[LAST] / slow.shaft_power[LAST] == pytest.approx(ratio**3, rel=0.05)

    def test_flow_and_pressure_move_along_the_pumps_curve(self):
        """Closing the outlet valve: less flow, more head; far closed, less power and slip."""
        openings = (1.0, 0.7, 0.4, 0.2)
        traces = [rest(condition=Condition(outlet_opening=opening)) for opening in openings]
        for before, after in itertools.pairwise(traces):
            assert after.pump_flow[LAST] < before.pump_flow[LAST]
            assert after.head[LAST] > before.head[LAST]
            assert after.pressure[LAST] > before.pressure[LAST]
        assert traces[-1].shaft_power[LAST] < 0.97 * traces[0].shaft_power[LAST]
        assert traces[-1].speed[LAST] > traces[0].speed[LAST]
        assert traces[-1].current[LAST] < traces[0].current[LAST]

    def test_an_inlet_valve_costs_pressure_where_an_outlet_valve_adds_it(self):
        healthy = rest().pressure[LAST]
        assert rest(condition=Condition(outlet_opening=0.6)).pressure[LAST] > healthy
        assert rest(condition=Condition(inlet_opening=0.6)).pressure[LAST] < healthy

    def test_electrical_power_is_shaft_power_and_heat(self):
        trace = rest()
        assert trace.electrical_power[LAST] > trace.shaft_power[LAST] > 0
        # in balance all of the rest leaves through air and water: nothing warms up
        assert abs(trace.body[LAST] - trace.body[LAST - 100]) < 1e-3
        assert trace.winding[LAST] > trace.body[LAST] > trace.water[LAST] > 23

    def test_heat_is_slow(self):
        """A step of load shows in the flow within seconds, in the motor body over minutes."""
        conditions = [HEALTHY] * 10 + [Condition(outlet_opening=0.5)] * 3590
        trace = run_plant(Plant(), conditions, Surroundings.steady(3600))

        def share(values, second):
            return (values[second] - values[9]) / (values[LAST] - values[9])

        assert share(trace.pump_flow, 20) > 0.95
        assert share(trace.body, 20) < 0.1
        assert 0.3 < share(trace.body, 10 + 900) < 0.99

    def test_cavitation_needs_a_poor_suction(self):
        levels = [
            rest(condition=Condition(tank_pressure_loss=loss)).cavitation[LAST] for loss in (0, 2, 4, 5)
        ]
        assert levels[0] < 0.05
        assert all(a < b for a, b in itertools.pairwise(levels))

    def test_a_leak_passes_the_meter_by(self):
        trace = rest(condition=Condition(leak_area=5e-5))
        healthy = rest()
        assert trace.loop_flow[LAST] < trace.pump_flow[LAST]
        assert trace.pump_flow[LAST] > healthy.pump_flow[LAST]
        assert trace.loop_flow[LAST] < healthy.loop_flow[LAST]


class TestRecording:
    def test_equal_arguments_give_equal_bytes(self):
        ours, again, other = simulate_pump(3), simulate_pump(3), simulate_pump(4)
        assert ours.samples.tobytes() == again.samples.tobytes()
        assert ours.times.tobytes() == again.times.tobytes()
        assert not np.array_equal(ours.samples[:100], other.samples[:100])

    def test_what_comes_before_a_fault_does_not_know_of_it(self):
        episode = FaultEpisode(Fault.LEAK, 300, 500)
        healthy, faulty = simulate_pump(3), simulate_pump(3, episodes=[episode])
        before = healthy.times < healthy.times[0] + 300
        np.testing.assert_array_equal(healthy.samples[before], faulty.samples[before])

    def test_steps_are_one_second_with_some_of_two(self):
        steps = np.diff(simulate_pump(5, duration_s=4000).times)
        assert set(steps) == {1.0, 2.0}
        assert 0.03 < (steps == 2).mean() < 0.07

    def test_gaps_are_left_out(self):
        run = simulate_pump(5, duration_s=600, gaps=[(100, 130)])
        seconds = run.times - simulate_pump(5, duration_s=600).times[0]
        assert not ((seconds >= 100) & (seconds < 130)).any()
        assert np.diff(run.times).max() >= 30

    def test_readings_are_plausible_and_quantized(self):
        run = standard_run(0)
        for name, _, low, high in PUMP_CHANNELS:
            column = run.samples[:, CHANNELS[name]]
            assert low < column.min()
            assert column.max() < high
        assert np.unique(run.samples[:, CHANNELS["Volume Flow RateRMS"]] % 1).tolist() == [0.0]
        assert len(np.unique(np.round(run.samples[:, CHANNELS["Pressure"]], 6))) < 20

    def test_voltage_and_current_are_cut_together(self):
        run = simulate_pump(6, duration_s=3000)
        both = np.corrcoef(run.samples[:, CHANNELS["Voltage"]], run.samples[:, CHANNELS["Current"]])
        assert both[0, 1] > 0.3

    def test_a_healthy_pump_does_not_drift(self):
        run = simulate_pump(7, duration_s=3 * 3600)
        thirds = np.array_split(run.samples, 3)
        moved = (thirds[2].mean(0) - thirds[0].mean(0)) / run.samples.std(0)
        assert np.abs(moved).max() < 1

    @pytest.mark.parametrize("index", range(len(Fault)))
    def test_every_fault_shows_where_it_must(self, index):
        """The last minutes of the fault against the train span, in its standard deviations."""
        run = standard_run(index)
        (kind,) = set(run.fault_kinds) - {""}
        assert kind == list(Fault)[index]
        train, faulty = run.samples[:400], run.samples[run.labels][-150:]
        moved = (faulty.mean(0) - train.mean(0)) / train.std(0)
        shows = {
            Fault.VALVE_CLOSING: {"Volume Flow RateRMS": -1},
            Fault.INLET_VALVE_CLOSING: {"Volume Flow RateRMS": -1},
            Fault.CAVITATION: {"Accelerometer1RMS": 1, "Accelerometer2RMS": 1},
            Fault.ROTOR_IMBALANCE: {"Accelerometer1RMS": 1, "Accelerometer2RMS": 1},
            Fault.LEAK: {"Volume Flow RateRMS": -1, "Accelerometer1RMS": 1},
            Fault.SENSOR_DRIFT: {"Temperature": -1},
        }[kind]
        for name, sign in shows.items():
            assert sign * moved[CHANNELS[name]] > 2
        if kind is Fault.SENSOR_DRIFT:  # a sensor's fault is that sensor's alone
            assert np.abs(np.delete(moved, CHANNELS["Temperature"])).max() < 1.5

    @pytest.mark.parametrize("index", range(len(Fault)))
    def test_the_train_span_is_healthy_and_the_rest_like_it(self, index):
        run = standard_run(index)
        assert not run.labels[:500].any()
        assert 0.25 < run.labels.mean() < 0.4
        train = run.samples[:400]
        later = run.samples[400:500]
        assert np.abs((later.mean(0) - train.mean(0)) / train.std(0)).max() < 2

    def test_labels_are_the_episodes(self):
        run = simulate_pump(8, duration_s=400, episodes=[FaultEpisode(Fault.CAVITATION, 100, 250)])
        seconds = np.round(run.times - simulate_pump(8, duration_s=400).times[0])
        assert run.labels.tolist() == [100 <= s < 250 for s in seconds]
        assert set(run.fault_kinds) == {"", "cavitation"}


class TestFaults:
    def test_a_fault_grows_and_ends(self):
        episode = FaultEpisode(Fault.LEAK, 100, 300, severity=0.8, ramp_s=50)
        assert [episode.level(t) for t in (99, 100, 125, 150, 299, 300)] == [0, 0, 0.4, 0.8, 0.8, 0]
        assert FaultEpisode(Fault.LEAK, 0, 9, ramp_s=0).level(0) == 1.0

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"severity": 0.0}, "severity must be above 0"),
            ({"severity": 1.1}, "at most 1"),
            ({"ramp_s": -1}, "ramp_s"),
            ({"end_s": 5}, "is no episode"),
            ({"start_s": -1}, "is no episode"),
            ({"kind": "rust"}, "no fault 'rust'"),
        ],
    )
    def test_senseless_episodes(self, changes, words):
        with pytest.raises(ConfigurationError, match=words):
            FaultEpisode(**{"kind": Fault.LEAK, "start_s": 10, "end_s": 20, **changes})

    def test_one_fault_at_a_time(self):
        both = [FaultEpisode(Fault.LEAK, 10, 50), FaultEpisode(Fault.CAVITATION, 40, 60)]
        with pytest.raises(ConfigurationError, match="one fault at a time"):
            simulate_pump(0, duration_s=100, episodes=both)
        with pytest.raises(ConfigurationError, match="the run ends at 30 s"):
            simulate_pump(0, duration_s=30, episodes=both[1:])

    @pytest.mark.parametrize(
        "arguments", [{"duration_s": 0}, {"duration_s": 1.5}, {"gaps": [(5, 5)]}, {"seed": -1}]
    )
    def test_senseless_runs(self, arguments):
        with pytest.raises(ConfigurationError):
            simulate_pump(**{"seed": 0, **arguments})

    def test_no_negative_standard_run(self):
        with pytest.raises(ConfigurationError, match="numbered from 0"):
            standard_run(-1)


def test_recordings_on_disk(tmp_path):
    result = edge_ad("data", "pump", "-o", tmp_path)
    assert result.returncode == 0, result.stderr
    paths = [tmp_path / f"pump-{i}.csv" for i in range(len(Fault))]
    assert result.stdout.split() == [str(path) for path in paths]
    assert paths[2].read_text() == pump_csv(standard_run(2))
    described = edge_ad("data", "describe", tmp_path)
    assert described.returncode == 0
    assert "format: the preset" in described.stderr
