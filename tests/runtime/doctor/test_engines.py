"""Engines: what the probe finds in a process of its own, and what is made of it."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from edge_ad.bench.command import Answer
from edge_ad.runtime.doctor.check_model import EXPECTED, WINDOW, check_model
from edge_ad.runtime.doctor.engines import engines
from edge_ad.runtime.doctor.facts import EngineFact, NumpyFact, ProbeFacts
from edge_ad.runtime.doctor.interpreter_facts import PythonFacts
from edge_ad.runtime.doctor.machine import Machine
from edge_ad.runtime.doctor.probing import Probe, facts_of
from edge_ad.runtime.doctor.wheels import WHEELS
from edge_ad.runtime.engine import available_engines, open_model
from edge_ad.runtime.numpy_engine.model import NumpyModel
from tests.runtime.doctor.trees import AARCH64, ARMV6L, ARMV7L, by_check, pi

NUMPY = EngineFact("numpy", in_use=False)
LITERT = EngineFact("ai-edge-litert", in_use=True)


@pytest.fixture
def probed(tmp_path, monkeypatch):
    """What the probe says here, with packages of our own before the real ones."""

    def run(time_limit_s=60.0, **packages):
        folder = tmp_path / "packages"
        for name, code in packages.items():
            place = folder / name
            place.mkdir(parents=True)
            (place / "__init__.py").write_text("")
            (place / ("__init__.py" if name == "numpy" else "interpreter.py")).write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(folder))
        monkeypatch.delenv("EDGE_AD_ENGINE", raising=False)
        probe = Probe(Machine(), tmp_path / "no-store", time_limit_s)
        try:
            return probe.facts()
        finally:
            probe.close()

    return run


def test_the_check_model_is_one_that_a_bundle_may_hold_and_that_every_engine_computes():
    window = np.array(WINDOW, np.float32)
    for model in (NumpyModel(check_model()), open_model(check_model(), stateful=False)):
        assert model.reconstruct(window).tolist() == [list(row) for row in EXPECTED]


def test_this_machine(probed):
    facts = probed()
    assert facts.numpy == NumpyFact(np.__version__)
    assert [engine.name for engine in facts.engines] == available_engines()
    assert [engine.problem for engine in facts.engines] == [""] * len(facts.engines)
    assert [engine.in_use for engine in facts.engines].count(True) == 1
    assert facts.ending == ""
    found = by_check(engines(Machine(), facts))
    assert found["numpy"].text == np.__version__
    assert not [finding for finding in found.values() if finding.level == "fail"]


@pytest.mark.parametrize("number", ["SIGILL", "SIGSEGV"])
def test_a_numpy_that_kills_its_process(probed, tmp_path, number):
    facts = probed(numpy=f"import os, signal; os.kill(os.getpid(), signal.{number})")
    assert facts.numpy is None
    assert facts.ending == f"it died of {number}"
    found = list(engines(pi(tmp_path / "pi").machine(), facts))
    assert [finding.check for finding in found] == ["numpy"]
    assert found[0].level == "fail"
    assert number in found[0].text


def test_a_numpy_without_its_library(probed, tmp_path):
    reason = "libopenblas.so.0: cannot open shared object file: No such file or directory"
    facts = probed(
        numpy=f"""
try:
    raise ImportError({reason!r})
except ImportError as error:
    raise ImportError("IMPORTANT: PLEASE READ THIS\\n\\nmany lines\\n") from error
"""
    )
    (finding,) = engines(pi(tmp_path / "pi").machine(ARMV7L), facts)
    assert finding.text == f"it cannot be loaded: {reason}"
    assert finding.fix == ("sudo apt-get install -y libopenblas0",)


def test_an_interpreter_that_kills_its_process_leaves_the_others(probed, tmp_path):
    facts = probed(ai_edge_litert="import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    broken = next(engine for engine in facts.engines if engine.name == "ai-edge-litert")
    assert (broken.in_use, broken.signal) == (True, "SIGILL")
    assert next(engine for engine in facts.engines if engine.name == "numpy").problem == ""
    finding = by_check(engines(pi(tmp_path / "pi").machine(), facts))["engine-ai-edge-litert"]
    assert finding.level == "fail"
    assert "it died of SIGILL. It is the one that models run on here" in finding.text
    assert finding.fix[-1].startswith("/opt/edge-ad/bin/python -m pip uninstall -y ai-edge-litert")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            "raise ImportError('numpy.core.multiarray failed to import')",
            "numpy.core.multiarray failed to import",
        ),
        (
            "class Interpreter:\n    def __init__(self, **_): raise SystemError('NULL')",
            "refuses the model: NULL",
        ),
        ("import os; os._exit(3)", "its process ended with code 3"),
        ("raise SystemExit(0)", "its process ended with code 1"),
        ("print('{\"numpy\": 1}', flush=True); raise ImportError('noisy')", "noisy"),
    ],
)
def test_interpreters_that_do_not_work(probed, code, words):
    facts = probed(tflite_runtime=code, ai_edge_litert=code)
    for engine in facts.engines[:2]:
        assert words in engine.problem
    assert facts.engines[2] == NUMPY
    assert facts.numpy == NumpyFact(np.__version__)


def test_an_interpreter_that_computes_something_else(probed):
    code = """
import numpy as np
class Interpreter:
    def __init__(self, **_): self.tensors = [np.zeros((1, 2, 2), np.float32) for _ in "io"]
    def allocate_tensors(self): pass
    def details(self, index):
        return [dict(shape=(1, 2, 2), dtype=np.float32, quantization=(0, 0), index=index)]
    def get_input_details(self): return self.details(0)
    def get_output_details(self): return self.details(1)
    def reset_all_variables(self): pass
    def tensor(self, index): return lambda: self.tensors[index]
    def invoke(self): self.tensors[1][:] = self.tensors[0]
"""
    broken = probed(ai_edge_litert=code).engines[0]
    assert (
        broken.problem == "it computes [[1.0, 2.0], [3.0, 4.0]] where [[12.0, 21.0], [14.0, 23.0]] is right"
    )


def test_a_probe_that_hangs_is_ended(probed, tmp_path):
    facts = probed(time_limit_s=2.0, numpy="import time; time.sleep(1000)")
    assert facts.ending == "it had not ended after 2 s"
    (finding,) = engines(pi(tmp_path / "pi").machine(), facts)
    assert "it had not ended after 2 s" in finding.text


def test_a_python_that_is_not_there(tmp_path):
    python = replace(PythonFacts.here(), executable=str(tmp_path / "python"))
    facts = Probe(Machine(python=python), tmp_path).facts()
    assert "cannot be started" in facts.ending


def test_an_engine_that_nobody_knows(probed, monkeypatch, tmp_path):
    monkeypatch.setenv("EDGE_AD_ENGINE", "tensorflow")
    probe = Probe(Machine(), tmp_path)
    found = by_check(engines(Machine(), probe.facts()))
    assert found["engine"].level == "fail"
    assert "tensorflow" in found["engine"].text
    assert found["engine"].fix == ("unset EDGE_AD_ENGINE",)


@pytest.mark.parametrize(
    ("python", "problem", "fix"),
    [
        (AARCH64, "it died of SIGILL", "OPENBLAS_CORETYPE=ARMV8 /opt/edge-ad/bin/python"),
        (AARCH64, "No module named 'numpy'", "/opt/edge-ad/bin/python -m pip install --force-reinstall"),
        (ARMV6L, "it died of SIGILL", "/opt/edge-ad/bin/python -m pip uninstall -y numpy"),
        (ARMV6L, "libf77blas.so.3: cannot open shared object", "sudo apt-get install -y libatlas3-base"),
        (AARCH64, "libgfortran.so.5: cannot open", "sudo apt-get install -y libgfortran5"),
    ],
)
def test_what_helps_numpy(tmp_path, python, problem, fix):
    facts = ProbeFacts(NumpyFact(problem=problem))
    (finding,) = engines(pi(tmp_path).machine(replace(python, packages={})), facts)
    assert finding.level == "fail"
    assert finding.fix[0].startswith(fix)


@pytest.mark.parametrize(
    ("packages", "level"),
    [
        ({"numpy": "2.2.6", "tflite-runtime": "2.14.0"}, "fail"),
        ({"numpy": "2.2.6", "tflite-runtime": "2.14.0", "ai-edge-litert": "2.3.0"}, "warn"),
        ({"numpy": "1.26.4", "tflite-runtime": "2.14.0"}, None),
        ({"numpy": "2.2.6", "ai-edge-litert": "2.3.0"}, None),
        ({"numpy": "²", "tflite-runtime": "2.14.0"}, None),
    ],
)
def test_numpy_2_beside_an_interpreter_for_numpy_1(tmp_path, packages, level):
    facts = ProbeFacts(NumpyFact(packages["numpy"]), (replace(NUMPY, in_use=True),))
    found = by_check(engines(pi(tmp_path).machine(replace(AARCH64, packages=packages)), facts))
    assert (found["numpy-version"].level if "numpy-version" in found else None) == level
    if level == "fail":
        assert found["numpy-version"].fix == ("/opt/edge-ad/bin/python -m pip install 'numpy<2'",)


@pytest.mark.parametrize(("python", "level"), [(AARCH64, "warn"), (ARMV7L, "warn"), (ARMV6L, "ok")])
def test_numpy_alone_is_a_pity_where_there_is_an_interpreter(tmp_path, python, level):
    facts = ProbeFacts(NumpyFact("1.24.2"), (replace(NUMPY, in_use=True),))
    machine = pi(tmp_path).machine(replace(python, packages={"numpy": "1.24.2"}))
    finding = by_check(engines(machine, facts))["interpreter"]
    assert finding.level == level
    assert bool(finding.fix) == (level == "warn")


def test_an_engine_that_is_not_in_use_is_only_a_warning(tmp_path):
    facts = ProbeFacts(NumpyFact("2.2.6"), (LITERT, replace(NUMPY, problem="no")))
    found = by_check(engines(pi(tmp_path).machine(), facts))
    assert found["engine-ai-edge-litert"].level == "ok"
    assert found["engine-numpy"].level == "warn"


def test_lines_that_are_none_of_the_probes_are_left_out():
    text = (
        '\x00\nnoise\n[1]\n"x"\n{"numpy": 3}\n{"numpy": {"version": "2.0"}}\n{"engine": {}}\n{"step": ""}\n'
    )
    facts = facts_of(Answer(0, text), 1.0)
    assert facts == ProbeFacts(NumpyFact("2.0"), step="")


def test_every_interpreter_that_the_program_knows_has_its_wheels():
    from edge_ad.runtime.interpreter import _KNOWN

    assert {wheel.package for wheel in WHEELS} == set(_KNOWN)
    assert sys.executable == PythonFacts.here().executable
