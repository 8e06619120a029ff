"""What holds a device's decisions against the workstation's must notice what it is there for."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from pi_tests.compare import compare, complaints
from pi_tests.disk import DebianSystem, tree, used
from pi_tests.environments import Leeway, environments
from pi_tests.place import Place, StepFailed
from pi_tests.workstation import DECIDE

from edge_ad.bundle.bundle import read
from edge_ad.runtime.replay import STATES

VARIANTS = ("tiny-float32", "tiny-int8", "tiny-int8-full")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory, toy_bundle_path, toy_csv):
    folder = tmp_path_factory.mktemp("pairs")
    shutil.copy(toy_bundle_path, folder / "toy.edgead")
    shutil.copy(toy_csv, folder / "toy.csv")
    return folder


@pytest.fixture(scope="module")
def workstation(pairs, tmp_path_factory):
    path = tmp_path_factory.mktemp("answers") / "workstation.npz"
    subprocess.run([sys.executable, DECIDE, pairs, path], check=True, capture_output=True, timeout=600)
    return path


@pytest.fixture
def answers(workstation, tmp_path):
    """Write answers that are the workstation's but for a change."""

    def write(change=lambda arrays, facts: None):
        with np.load(workstation) as loaded:
            arrays = {name: loaded[name].copy() for name in loaded.files}
        facts = json.loads(str(arrays.pop("facts")))
        change(arrays, facts)
        path = tmp_path / "answers.npz"
        np.savez(path, facts=np.array(json.dumps(facts)), **arrays)
        return path

    return write


def test_the_same_decisions_leave_nothing_to_complain_of(pairs, workstation, answers, toy_decisions):
    found = compare(pairs, workstation, answers())
    assert complaints(found, Leeway()) == []
    assert tuple(d.variant for d in found.differences) == VARIANTS
    for difference in found.differences:
        assert difference.windows == sum('"score":null' not in line for line in toy_decisions) > 100
        assert (difference.states, difference.beyond, difference.worst) == (0, 0, 0)
        assert difference.identical == 1
    assert all(test.bundles == 1 and not test.refused for test in found.verifications)


def test_a_single_alarm_that_differs(pairs, workstation, answers):
    def change(arrays, facts):
        states = arrays["toy/tiny-int8/states"]
        states[np.flatnonzero(states == STATES.index("alarm"))[0]] = STATES.index("normal")

    found = compare(pairs, workstation, answers(change))
    (complaint,) = complaints(found, Leeway())
    assert complaint.startswith("tiny-int8: 1 rows are decided differently")
    assert "1 of them alarms" in complaint
    assert complaints(found, Leeway(not_held=("tiny-int8",))) == []


@pytest.mark.parametrize("to", ["nan", "far"])
def test_a_score_that_is_lost(pairs, workstation, answers, to):
    def change(arrays, facts):
        row = int(np.nanargmin(arrays["toy/tiny-float32/scores"]))
        arrays["toy/tiny-float32/scores"][row] = np.nan if to == "nan" else 1e9
        if to == "nan":
            arrays["toy/tiny-float32/states"][row] = STATES.index("unknown")

    assert len(complaints(compare(pairs, workstation, answers(change)), Leeway())) == 1


@pytest.mark.parametrize(("times", "noticed"), [(0.9, False), (1.1, True)])
def test_a_score_just_within_and_just_beyond_the_tolerance(pairs, workstation, answers, times, noticed):
    entry = read(pairs / "toy.edgead").manifest.variant("tiny-int8")

    def change(arrays, facts):
        scores = arrays["toy/tiny-int8/scores"]
        row = int(np.nanargmin(scores))
        scores[row] += times * entry.golden_tolerance * max(scores[row], entry.limit.ucl)

    found = compare(pairs, workstation, answers(change))
    assert bool(complaints(found, Leeway())) == noticed
    assert complaints(found, Leeway(beyond={"tiny-int8": 1})) == []
    difference = next(d for d in found.differences if d.variant == "tiny-int8")
    assert difference.worst == pytest.approx(times * entry.golden_tolerance, rel=1e-6)
    assert difference.where.startswith("toy, row ")


def test_golden_windows_that_do_not_pass(pairs, workstation, answers):
    def change(arrays, facts):
        record = next(r for r in facts["golden"] if r["variant"] == "tiny-int8")
        record |= {"passed": False, "text": "it is off"}

    found = compare(pairs, workstation, answers(change))
    (complaint,) = complaints(found, Leeway())
    assert "1 of 1 bundles do not pass their golden windows" in complaint
    assert "it is off" in complaint
    assert complaints(found, Leeway(refused={"tiny-int8": 1})) == []


def test_every_leeway_says_why():
    for environment in environments():
        leeway = environment.leeway
        assert bool(leeway.why) == bool(leeway.beyond or leeway.refused or leeway.not_held)
        assert "tiny-int8" not in leeway.not_held  # what devices run unless told otherwise


def test_a_hard_link_takes_no_room(tmp_path):
    (tmp_path / "a").write_bytes(os.urandom(100_000))
    alone = used(tree(tmp_path))
    assert 100_000 <= alone < 120_000
    os.link(tmp_path / "a", tmp_path / "b")
    assert used(tree(tmp_path)) == alone
    (tmp_path / "c").write_bytes(os.urandom(100_000))
    assert used(tree(tmp_path)) >= alone + 100_000


STATUS = """\
Package: libc6
Priority: optional
Version: 2.36

Package: libblas3
Depends: libc6 (>= 2.4)
Provides: libblas.so.3

Package: base-files
Essential: yes
Depends: awk

Package: mawk
Provides: awk

Package: python3
Depends: libc6

Package: python3-pkg-resources
Depends: python3:any

Package: python3-numpy
Depends: python3 (<< 3.12), python3:any, libatlas3 | libblas.so.3, libc6 (>= 2.35), python3-pkg-resources
"""


def test_what_numpy_alone_needs_of_a_debian(tmp_path):
    info = tmp_path / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    (info.parent / "status").write_text(STATUS)
    system = DebianSystem(tmp_path)
    assert system.added_by("python3-numpy", ["python3"]) == [
        "libblas3",
        "python3-numpy",
        "python3-pkg-resources",
    ]
    module = tmp_path / "usr/lib/numpy/core.py"
    (module.parent / "__pycache__").mkdir(parents=True)
    module.touch()
    bytecode = module.parent / "__pycache__/core.cpython-311.pyc"
    bytecode.touch()
    (info / "python3-numpy.list").write_text(
        "/.\n/usr/lib/numpy\n/usr/lib/numpy/core.py\n/usr/share/doc/gone\n"
    )
    assert list(system.files("python3-numpy")) == [module, bytecode]


def test_a_command_that_fails_shows_what_it_said(tmp_path):
    place = Place(tmp_path, tmp_path / "log")
    heard = []
    assert place.run(["echo", "a line"], listen=heard.append) == "a line\n" == heard[0]
    with pytest.raises(StepFailed, match="no such thing") as caught:
        place.run(["sh", "-c", "echo no such thing >&2; exit 7"])
    assert caught.value.code == 7
    assert "a line\n" in (tmp_path / "log").read_text()
