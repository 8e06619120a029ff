"""Real processes that measure the toy bundle, on this machine and on one that is partly a folder."""

import os
import signal
import time
from dataclasses import replace

import pytest

from edge_ad.bench.results import Settings
from edge_ad.bundle.bundle import read
from edge_ad.errors import BundleModelError, ConfigurationError, EdgeAdError, MissingDependencyError
from edge_ad.runtime.benchmark import session as session_module
from edge_ad.runtime.benchmark import worker_process
from edge_ad.runtime.benchmark.plan import Configuration, configurations, wanted_engines, wanted_variants
from edge_ad.runtime.benchmark.session import Session, require_one
from edge_ad.runtime.benchmark.worker_process import WorkerAnswer, run_worker
from edge_ad.runtime.engine import available_engines
from tests.bench.files import counted, result
from tests.runtime.doctor.trees import pi

SHORT = Settings(windows=100, processes=2, warmup=10, time_limit_s=30.0)


@pytest.fixture
def session(toy_bundle_path):
    return Session(str(toy_bundle_path), None, SHORT)


@pytest.mark.parametrize("engine", available_engines())
def test_every_engine_is_measured_in_processes_of_its_own(session, engine):
    (found,) = session.measure([Configuration(engine, "tiny-int8", 1)])
    assert not found.problem
    assert not session.failures
    assert found.engine_version.startswith(f"{engine} ")
    assert len(found.runs) == 2
    decisions = found.series_ns("sample-to-decision")
    assert [len(values) for values in decisions] == [50, 50]
    for run in found.runs:
        whole = run.measurement("sample-to-decision").raw_ns
        stages = [run.measurement(name).raw_ns for name in ("admit", "scale", "infer", "score", "decide")]
        assert [sum(parts) for parts in zip(*stages, strict=True)] == list(whole)
        assert run.measurement("sample-to-decision").warmup >= 10
        assert run.cpu_ns > 0
        assert run.wall_ns >= sum(whole)
    assert found.energy is None or found.energy.windows > 0
    assert found.before is not None
    assert found.others_cpus >= 0


def test_a_time_limit_leaves_fewer_windows(toy_bundle_path):
    settings = Settings(windows=10_000_000, processes=1, warmup=0, time_limit_s=0.2)
    (found,) = Session(str(toy_bundle_path), None, settings).measure([Configuration("numpy", "tiny-int8", 1)])
    assert 1 <= len(found.series_ns("sample-to-decision")[0]) < 10_000_000


def test_energy_is_measured_where_there_is_a_sensor(toy_bundle_path, tmp_path, monkeypatch):
    """A chip that tells the same power whatever happens: nothing above idle."""
    monkeypatch.setattr(session_module, "ENERGY_S", 0.3)
    tree = pi(tmp_path)
    tree.write("/sys/class/hwmon/hwmon0/name", "ina219\n")
    tree.write("/sys/class/hwmon/hwmon0/power1_input", "2500000\n")
    measuring = Session(str(toy_bundle_path), None, replace(SHORT, processes=1), tree.machine())
    (found,) = measuring.measure([Configuration("numpy", "tiny-float32", 1)])
    assert found.energy.source == "ina219 (hwmon, power1_input)"
    assert found.energy.idle_w == pytest.approx(2.5, rel=0.2)
    assert found.energy.load_w == pytest.approx(2.5, rel=0.2)
    assert found.energy.windows > 0
    assert found.energy.seconds >= 0.3
    assert found.before.firmware_flags == 0


def test_what_cannot_be_measured_says_why(session):
    found = session.measure([Configuration("numpy", "huge", 1), Configuration("numpy", "tiny-int8", 1)])
    assert "no variant 'huge'" in found[0].problem
    assert found[0].runs == ()
    assert not found[1].problem
    assert [str(failure).split(":")[0] for failure in session.failures] == ["huge on numpy"]


def test_an_engine_that_is_not_installed(session):
    missing = {"ai-edge-litert", "tflite-runtime"} - set(available_engines())
    if not missing:
        pytest.skip("all engines are installed here")
    (found,) = session.measure([Configuration(missing.pop(), "tiny-int8", 1)])
    assert "not installed" in found.problem
    assert isinstance(session.failures[0], MissingDependencyError)


def request_of(bundle):
    return Session(str(bundle), None, SHORT)._request(Configuration("numpy", "tiny-int8", 1), True)


def instead(monkeypatch, script):
    """Have a few lines of shell be the worker."""
    monkeypatch.setattr(worker_process, "_WORKER", ("sh", "-c", script))


def test_a_worker_that_dies(toy_bundle_path, monkeypatch):
    instead(monkeypatch, 'echo \'{"step": "loading"}\'; kill -SEGV $$')
    with pytest.raises(BundleModelError, match="died of SIGSEGV while loading"):
        run_worker(request_of(toy_bundle_path))


def test_a_worker_that_fails(toy_bundle_path, monkeypatch):
    instead(monkeypatch, "echo no such thing >&2; exit 3")
    with pytest.raises(EdgeAdError, match="ended with code 3 while starting Python: no such thing"):
        run_worker(request_of(toy_bundle_path))


def test_a_worker_that_hangs(toy_bundle_path, monkeypatch):
    monkeypatch.setattr(worker_process, "_ALLOWANCE_S", 0.2)
    instead(monkeypatch, 'echo \'{"step": "loading"}\'; exec sleep 1000')
    with pytest.raises(BundleModelError, match="no answer in time while loading"):
        run_worker(replace(request_of(toy_bundle_path), time_limit_s=0.05))


def test_what_is_no_line_of_the_worker_is_left_out(toy_bundle_path, monkeypatch):
    script = (
        'echo INFO: created delegate; echo \'["x"]\'; echo \'{"error": "BundleGoldenError", "text": "so"}\''
    )
    instead(monkeypatch, script)
    with pytest.raises(EdgeAdError, match="^so$") as failure:
        run_worker(request_of(toy_bundle_path))
    assert type(failure.value).__name__ == "BundleGoldenError"


def test_an_interrupted_benchmark_leaves_no_process(toy_bundle_path, tmp_path, monkeypatch):
    marker = tmp_path / "pid"

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(WorkerAnswer, "take", interrupt)
    instead(monkeypatch, f"echo $$ > {marker}; echo {{}}; exec sleep 999")
    with pytest.raises(KeyboardInterrupt):
        run_worker(request_of(toy_bundle_path))
    pid = int(marker.read_text())
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        os.kill(pid, signal.SIGKILL)
        pytest.fail("it still runs")


def test_numpy_takes_no_notice_of_threads():
    plan = configurations(["ai-edge-litert", "numpy"], ["a", "b"], [2, 4])
    assert [(c.engine, c.variant, c.threads) for c in plan] == [
        ("ai-edge-litert", "a", 2),
        ("ai-edge-litert", "a", 4),
        ("ai-edge-litert", "b", 2),
        ("ai-edge-litert", "b", 4),
        ("numpy", "a", 1),
        ("numpy", "b", 1),
    ]


def test_what_is_wanted_must_be_there(toy_bundle_path):
    manifest = read(toy_bundle_path).manifest
    assert wanted_engines([]) == available_engines()
    assert wanted_engines(["numpy", "numpy"]) == ["numpy"]
    assert wanted_engines([], ["tflite-runtime"]) == ["tflite-runtime"]
    with pytest.raises(ConfigurationError, match="'tensorrt' is not installed here; there are: .*numpy"):
        wanted_engines(["tensorrt"])
    assert wanted_variants(manifest, []) == ["tiny-float32", "tiny-int8", "tiny-int8-full"]
    assert wanted_variants(manifest, ["tiny-int8"]) == ["tiny-int8"]
    with pytest.raises(ConfigurationError, match="no variant 'huge'; it has: tiny-float32"):
        wanted_variants(manifest, ["huge"])


def test_which_failures_end_the_command():
    missing = MissingDependencyError("tflite-runtime: built for numpy 1")
    broken = BundleModelError("tiny-int8: refused")
    require_one([result()], [], [missing], [])
    require_one([], [counted()], [missing], [])
    with pytest.raises(MissingDependencyError):  # it was asked for by name
        require_one([result()], [], [missing], ["tflite-runtime"])
    with pytest.raises(MissingDependencyError):  # nothing else works either
        require_one([result(runs=(), problem="x")], [], [missing], [])
    with pytest.raises(BundleModelError):
        require_one([result()], [], [missing, broken], [])
