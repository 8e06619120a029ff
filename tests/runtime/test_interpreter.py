import subprocess
import sys

import numpy as np
import pytest

from edge_ad.bundle import bundle as bundles
from edge_ad.errors import InterpreterError
from edge_ad.runtime import interpreter
from edge_ad.runtime.interpreter import ReconstructionModel
from edge_ad.runtime.selftest import self_test


@pytest.mark.parametrize("content", [b"", b"x" * 200, b"\0\0\0\0TFL3" + b"\0" * 500])
def test_what_is_no_model_is_refused(content, tmp_path):
    """In a process of its own: an interpreter may crash on garbage."""
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    code = f"""
from pathlib import Path
from edge_ad.errors import InterpreterError
from edge_ad.runtime.interpreter import ReconstructionModel
try:
    ReconstructionModel(Path({str(path)!r}).read_bytes())
except InterpreterError as error:
    print("refused:", error)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "refused:" in result.stdout, result.stderr


def test_shapes_and_state(toy_bundle_path):
    toy = bundles.read(toy_bundle_path)
    model = ReconstructionModel(toy.model(), stateful=True)
    assert model.shape == (10, 8)
    window = np.ones((10, 8), np.float32)
    first = model.reconstruct(window)
    assert first.shape == (10, 8)
    assert (model.reconstruct(window) == first).all()
    careless = ReconstructionModel(toy.model(), stateful=False)
    careless.reconstruct(window)
    assert (careless.reconstruct(window) != first).any()


def test_version_names_the_package():
    name, _, version = interpreter.interpreter_version().partition(" ")
    assert name in ("ai-edge-litert", "tflite-runtime")
    assert version[0].isdigit()


def test_self_test_passes_here_and_fails_for_other_scores(toy_bundle_path):
    import dataclasses

    toy = bundles.read(toy_bundle_path)
    for variant in toy.manifest.variants:
        result = self_test(toy, variant.name)
        assert result.passed
        wrong = list(variant.golden_scores)
        wrong[3] *= 1 + 2 * variant.golden_tolerance
        changed = dataclasses.replace(variant, golden_scores=tuple(wrong))
        manifest = dataclasses.replace(toy.manifest, variants=(changed,), default_variant=changed.name)
        failed = self_test(dataclasses.replace(toy, manifest=manifest), variant.name)
        assert not failed.passed
        assert failed.worst_window == 3


def test_without_an_interpreter_the_way_to_get_one_is_told(monkeypatch):
    from edge_ad.errors import MissingDependencyError

    monkeypatch.setattr(interpreter, "_KNOWN", {"nothing": "no_such_package.interpreter"})
    monkeypatch.setattr(interpreter, "_interpreter_class", interpreter._interpreter_class.__wrapped__)
    with pytest.raises(MissingDependencyError, match=r"edge-ad\[device\]"):
        ReconstructionModel(b"")


def test_a_model_of_another_kind_is_refused(toy_bundle_path):
    from edge_ad.detect.scaler import Scaler
    from edge_ad.errors import BundleMismatchError
    from edge_ad.runtime.window_model import WindowModel

    toy = bundles.read(toy_bundle_path)
    scaler = Scaler("standard", np.zeros(3), np.ones(3))
    with pytest.raises(BundleMismatchError, match="8 channels, the scaler 3"):
        WindowModel(toy.model(), scaler, "sum", stateful=True)


def test_a_view_of_an_output_keeps_its_interpreter(toy_bundle_path):
    """What points into the interpreter's memory must not outlive it."""
    toy = bundles.read(toy_bundle_path)
    import gc

    model = ReconstructionModel(toy.model(), stateful=True)
    window = np.random.default_rng(0).normal(size=(1, *model.shape)).astype(np.float32)
    view = model.run(window)
    expected = view.copy()
    interpreter = model._interpreter
    del model
    gc.collect()
    referrers = sys.getrefcount(interpreter)
    assert referrers > 2  # the name here, the call, and the memory of input or output
    for _ in range(20):
        ReconstructionModel(toy.model(), stateful=True).run(10 * window)
    np.testing.assert_array_equal(view, expected)


def test_an_interpreter_that_moves_its_tensors_is_refused(toy_bundle_path, monkeypatch):
    toy = bundles.read(toy_bundle_path)
    monkeypatch.setattr("edge_ad.runtime.interpreter.has_moved", lambda *_: True)
    with pytest.raises(InterpreterError, match="moves its input or output"):
        ReconstructionModel(toy.model(), stateful=True)
