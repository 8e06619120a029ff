"""Which engine runs a model: in processes of their own, with the interpreters of this machine and without."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

WITHOUT = "import sys; sys.modules.update(ai_edge_litert=None, tflite_runtime=None)\n"
"""Hides the interpreters, as on a board that has none."""
SHOW = """
from pathlib import Path
from edge_ad.bundle.bundle import read
from edge_ad.runtime import engine, interpreter
model = engine.open_model(read(Path({path!r})).model(), stateful=True)
print(type(model).__name__, "|", interpreter.interpreter_version(), "|", engine.engine_notice())
"""


def python(code, wish=None, **environment):
    """Run a program; `wish` is what `EDGE_AD_ENGINE` says."""
    env = {name: value for name, value in os.environ.items() if name != "EDGE_AD_ENGINE"} | environment
    if wish is not None:
        env["EDGE_AD_ENGINE"] = wish
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)


def edge_ad(*arguments, before="", **options):
    """Run the `edge-ad` command after some code."""
    words = ["edge-ad", *map(str, arguments)]
    return python(
        f"{before}import sys\nsys.argv = {words!r}\nfrom edge_ad.cli import main\nmain()", **options
    )


def shown(path, before="", **options):
    """Class of the model, version of the engine, notice."""
    result = python(before + SHOW.format(path=str(path)), **options)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip().split(" | ")


def test_the_interpreter_where_there_is_one(toy_bundle_path):
    for wish in (None, "", "auto"):
        kind, version, notice = shown(toy_bundle_path, wish=wish)
        assert kind == "ReconstructionModel"
        assert version.startswith(("ai-edge-litert ", "tflite-runtime "))
        assert notice == "None"


def test_numpy_where_there_is_none_is_said_aloud(toy_bundle_path):
    kind, version, notice = shown(toy_bundle_path, WITHOUT)
    assert kind == "NumpyModel"
    assert version == f"numpy {np.__version__} (no TFLite interpreter installed)"
    for words in ("no TFLite interpreter is installed", "numpy", "slower", "edge-ad[device]"):
        assert words in notice


def test_numpy_where_it_is_asked_for(toy_bundle_path):
    asked = shown(toy_bundle_path, wish="numpy")
    assert asked == ["NumpyModel", f"numpy {np.__version__}", "None"]
    before = "from edge_ad.runtime.interpreter import use_interpreter\nuse_interpreter('numpy')"
    assert shown(toy_bundle_path, before, wish="ai-edge-litert") == asked


def test_an_engine_that_nobody_knows(toy_bundle_path, toy_csv):
    result = edge_ad("run", toy_bundle_path, toy_csv, wish="litert")
    assert result.returncode == 2
    expected = "EDGE_AD_ENGINE is 'litert', and can be auto, ai-edge-litert, tflite-runtime or numpy"
    assert expected in result.stderr
    assert "Traceback" not in result.stderr


def test_an_engine_that_is_not_installed(toy_bundle_path, toy_csv):
    result = edge_ad("run", toy_bundle_path, toy_csv, before=WITHOUT, wish="tflite-runtime")
    assert result.returncode == 1
    assert "tflite-runtime was asked for, and is not installed" in result.stderr
    assert "edge-ad[device]" in result.stderr


def test_a_package_that_does_not_work_is_not_passed_over_in_silence(toy_bundle_path, toy_csv, tmp_path):
    package = tmp_path / "tflite_runtime"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "interpreter.py").write_text("raise ImportError('built for another numpy')")
    options = {"before": "import sys; sys.modules['ai_edge_litert'] = None\n", "PYTHONPATH": str(tmp_path)}
    result = edge_ad("run", toy_bundle_path, toy_csv, **options)
    assert result.returncode == 1
    assert "built for another numpy" in result.stderr
    assert "EDGE_AD_ENGINE=numpy" in result.stderr
    assert edge_ad("run", toy_bundle_path, toy_csv, wish="numpy", **options).returncode == 0


def test_what_builds_bundles_has_its_interpreter_all_the_same(toy_bundle_path):
    """Parity is proven with the interpreter, whatever a process is to run its streams on."""
    code = f"""
from pathlib import Path
from edge_ad.bundle.bundle import read
from edge_ad.runtime.interpreter import ReconstructionModel
ReconstructionModel(read(Path({str(toy_bundle_path)!r})).model(), stateful=True)
"""
    assert python(code, wish="numpy").returncode == 0


def test_the_runtime_loads_no_engine_that_it_does_not_use(toy_bundle_path):
    code = SHOW.format(path=str(toy_bundle_path)) + "import sys; print([m for m in sys.modules])"
    result = python(code)
    assert "edge_ad.runtime.interpreter" in result.stdout
    assert "edge_ad.runtime.numpy_engine" not in result.stdout


def test_decisions_without_an_interpreter_are_those_with_one(toy_bundle_path, toy_csv):
    decisions = []
    for before in ("", WITHOUT):
        result = edge_ad("run", toy_bundle_path, toy_csv, before=before)
        assert result.returncode == 0, result.stderr
        decisions.append([json.loads(line) for line in result.stdout.splitlines()])
    with_one, without = decisions
    assert len(with_one) == len(without) > 100
    for expected, found in zip(with_one, without, strict=True):
        assert (found["time"], found["state"]) == (expected["time"], expected["state"])
        if expected["score"] is None:
            assert found["score"] is None
        else:
            assert found["score"] == pytest.approx(expected["score"], rel=1e-3)


@pytest.mark.parametrize("name", ["toy.edgead", "toy-fast.edgead"])
def test_verify_without_an_interpreter(toy_bundle_path, name):
    result = edge_ad("verify", toy_bundle_path.with_name(name), before=WITHOUT)
    assert result.returncode == 0, result.stderr
    assert f"numpy {np.__version__} (no TFLite interpreter installed):" in result.stdout
    assert result.stdout.count(": ok, 16 windows") == 3


def test_verify_tries_numpy_beside_every_interpreter(toy_bundle_path):
    result = edge_ad("verify", toy_bundle_path, "--json")
    tests = json.loads(result.stdout)["interpreters"]
    assert len(tests) >= 2
    assert tests[-1]["interpreter"] == f"numpy {np.__version__}"
    assert all(test["passed"] for test in tests)
    # Well within the bundle's tolerances of 1e-4, 2e-2 and 5e-2.
    for found, limit in zip(tests[-1]["results"], (1e-5, 2e-3, 5e-3), strict=True):
        assert found["error"] < limit


def test_a_bundle_is_installed_without_an_interpreter(toy_bundle_path, tmp_path):
    store = tmp_path / "store"
    result = edge_ad("store", "install", toy_bundle_path, "--store", store, before=WITHOUT)
    assert result.returncode == 0, result.stderr
    assert edge_ad("verify", "@toy", "--store", store, before=WITHOUT).returncode == 0
