"""Counting instructions: with valgrind where it is installed, with programs that stand for it elsewhere."""

import os
import shutil
import sys
from dataclasses import replace

import pytest

from edge_ad.errors import BundleError, ConfigurationError, EdgeAdError, MissingDependencyError
from edge_ad.runtime.benchmark.instructions import counter as counter_module
from edge_ad.runtime.benchmark.instructions.counter import Counted, environment
from edge_ad.runtime.benchmark.instructions.counting import (
    InstructionSession,
    count_instructions,
    engines_of,
    find_counter,
)
from edge_ad.runtime.benchmark.instructions.perf import Perf
from edge_ad.runtime.benchmark.instructions.qemu import Qemu, elf_machine, resolved
from edge_ad.runtime.benchmark.instructions.valgrind import Valgrind
from edge_ad.runtime.benchmark.plan import Configuration
from edge_ad.runtime.engine import available_engines
from tests.bench.files import PI_4

needs_valgrind = pytest.mark.skipif(shutil.which("valgrind") is None, reason="needs valgrind")


class Arithmetic:
    """Counts as a machine would that takes 5,000,000 to start and 1000 per window, give or take."""

    name = "arithmetic"

    def __init__(self, said='{"architecture": "z80", "version": "numpy 9"}'):
        self.said = said
        self.noise = iter(range(100))

    def python(self):
        return "python"

    def count(self, words):
        if words[1] == "-c":
            return Counted(1, '["numpy"]')
        return Counted(5_000_000 + 1000 * int(words[-1]) + next(self.noise), self.said)


def test_starting_drops_out(toy_bundle_path):
    (found,), failures = count_instructions(
        Arithmetic(), str(toy_bundle_path), None, ["tiny-int8"], windows=1000
    )
    assert not failures
    assert (found.architecture, found.engine, found.engine_version) == ("z80", "numpy", "numpy 9")
    assert (found.few_windows, found.many_windows) == (1024, 2048)  # whole flushes of the journal
    assert len(found.few) == 2
    assert found.per_window() == pytest.approx([1000, 1000], abs=0.1)


@pytest.mark.parametrize(("wanted", "many"), [(1, 2048), (1024, 2048), (1025, 3072)])
def test_windows_are_rounded_up(wanted, many):
    session = InstructionSession(Arithmetic(), "x.edgead", None, wanted)
    assert session.count([Configuration("numpy", "v", 1)])[0].many_windows == many


def test_what_the_counted_process_says_is_raised_as_it_was():
    session = InstructionSession(
        Arithmetic('{"error": "BundleDigestError", "text": "cut"}'), "x.edgead", None
    )
    (found,) = session.count([Configuration("numpy", "tiny-int8", 1)])
    assert found.problem == "cut"
    assert isinstance(session.failures[0], BundleError)
    session = InstructionSession(Arithmetic("Segmentation fault"), "x.edgead", None)
    (found,) = session.count([Configuration("numpy", "tiny-int8", 1)])
    assert "did not answer" in found.problem


def test_an_engine_that_the_counted_python_does_not_have(toy_bundle_path):
    with pytest.raises(ConfigurationError, match="'ai-edge-litert' is not installed here; there are: numpy"):
        count_instructions(Arithmetic(), str(toy_bundle_path), None, ["tiny-int8"], ["ai-edge-litert"])


@pytest.mark.slow
@needs_valgrind
def test_valgrind_counts_the_same_again(toy_bundle_path):
    engine = available_engines()[0]
    counts, failures = count_instructions(
        Valgrind(), str(toy_bundle_path), None, ["tiny-int8"], [engine], windows=20
    )
    assert not failures
    (found,) = counts
    assert found.counter.startswith("valgrind-")
    assert found.engine_version.startswith(engine)
    low, high = sorted(found.per_window())
    assert low > 10_000
    assert high < 1.01 * low


@needs_valgrind
def test_valgrind_counts_this_python():
    valgrind = Valgrind()
    few, many = (
        valgrind.count([sys.executable, "-S", "-c", f"for i in range({n}): pass"]).instructions
        for n in (1000, 101_000)
    )
    assert 5 < (many - few) / 100_000 < 500
    with pytest.raises(EdgeAdError, match="ended with code 3"):
        valgrind.count([sys.executable, "-c", "raise SystemExit(3)"])


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A folder of programs that is all there is, besides the shell."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    counter_module.without_randomization.cache_clear()
    yield folder
    counter_module.without_randomization.cache_clear()


def program(folder, name, script):
    path = folder / name
    path.write_text(f"#!{shutil.which('sh', path='/bin:/usr/bin')}\n{script}\n")
    path.chmod(0o755)


def perf(folder, line):
    """A perf that counts what it is told to, and runs the program."""
    program(
        folder,
        "perf",
        f"""
if [ "$1" = --version ]; then echo perf version 6.1.0; exit; fi
while [ "$1" != -- ]; do [ "$1" = -o ] && out=$2; shift; done; shift
printf '# started\\n\\n{line}\\n' > "$out"
exec "$@"
""",
    )
    program(folder, "true", "exit 0")


def test_the_processor_counts_where_it_can(programs):
    perf(programs, "1234567,,instructions:u,805340923,100.00,,")
    counted = find_counter(PI_4, None, "python")
    assert isinstance(counted, Perf)
    assert counted.name == "perf 6.1.0"
    assert counted.count(["true"]).instructions == 1_234_567


def test_kinds_of_cores_are_added_up(programs):
    perf(programs, "1000,,cpu_core/instructions/u,1,60.00,,\\n500,,cpu_atom/instructions/u,1,40.00,,")
    assert Perf().count(["true"]).instructions == 1500


def test_a_processor_that_does_not_count(programs):
    perf(programs, "<not supported>,,instructions:u,0,100.00,,")
    with pytest.raises(MissingDependencyError, match="instructions:u is not supported by this processor"):
        Perf()
    # without valgrind either, both ways out are told
    with pytest.raises(MissingDependencyError) as failure:
        find_counter(PI_4, None, "python")
    assert "not supported" in str(failure.value)
    assert "sudo apt-get install -y valgrind" in str(failure.value)
    program(programs, "valgrind", 'echo "valgrind-3.19.0"')
    assert isinstance(find_counter(PI_4, None, "python"), Valgrind)


def test_a_kernel_that_forbids_it(programs):
    program(programs, "perf", 'echo "access to performance monitoring is limited" >&2; exit 255')
    with pytest.raises(MissingDependencyError, match="performance monitoring is limited"):
        Perf()


def test_a_valgrind_that_says_nothing(programs):
    program(
        programs,
        "valgrind",
        "echo valgrind-3.19.0; for w; do case $w in --log-file=*) : > ${w#*=};; esac; done",
    )
    with pytest.raises(EdgeAdError, match="did not count"):
        Valgrind().count(["true"])


def test_within_an_emulator_nothing_counts():
    with pytest.raises(ConfigurationError, match="--instructions --rootfs ROOT"):
        find_counter(replace(PI_4, translator="qemu-aarch64-static on x86_64"), None, "python")


def test_programs_are_run_with_the_same_variables_every_time(monkeypatch):
    monkeypatch.setenv("SOMETHING", "else")
    variables = environment()
    assert "SOMETHING" not in variables
    assert variables["PATH"] == os.environ["PATH"]
    assert (variables["PYTHONHASHSEED"], variables["OPENBLAS_NUM_THREADS"]) == ("0", "1")


# A board's root file system


@pytest.fixture
def root(tmp_path):
    """With an environment whose links are as venv makes them."""
    root = tmp_path / "root"
    for folder in ("usr/bin", "opt/edge-ad/releases/1/bin"):
        (root / folder).mkdir(parents=True)
    (root / "usr/bin/python3.11").write_bytes(b"\x7fELF" + bytes(14) + (183).to_bytes(2, "little"))
    (root / "usr/bin/python3").symlink_to("python3.11")
    (root / "opt/edge-ad/releases/1/bin/python").symlink_to("/usr/bin/python3")
    (root / "opt/edge-ad/bin").symlink_to("releases/1/bin")
    (root / "opt/loop").symlink_to("/opt/loop")
    (root / "usr/lib/arm/blas").mkdir(parents=True)
    (root / "usr/lib/arm/blas/libblas.so.3").touch()
    (root / "usr/lib/arm/libblas.so.3").symlink_to("/usr/lib/arm/blas/libblas.so.3")
    (root / "usr/lib/arm/libgone.so.1").symlink_to("/usr/lib/arm/none/libgone.so.1")
    (root / "opt/out").symlink_to("../../../../usr/bin/python3")
    return root


def test_links_are_followed_inside_of_the_root(root):
    real = root / "usr/bin/python3.11"
    for path in ("/usr/bin/python3", "/opt/edge-ad/bin/python", "/opt/out", "/usr/../../usr/bin/python3"):
        assert resolved(root, path) == real


@pytest.mark.parametrize("path", ["/opt/edge-ad/bin/python9", "/opt/loop", "/none/at/all"])
def test_what_is_not_in_the_root(root, path):
    with pytest.raises(ConfigurationError, match="--rootfs-python"):
        resolved(root, path)


@pytest.mark.parametrize(("number", "machine"), [(183, "aarch64"), (40, "arm"), (62, "x86_64")])
def test_architectures_of_programs(tmp_path, number, machine):
    path = tmp_path / "program"
    path.write_bytes(b"\x7fELF" + bytes(14) + number.to_bytes(2, "little"))
    assert elf_machine(path) == machine


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF" + bytes(14) + b"\x08\x00"])
def test_what_is_no_program_of_a_board(tmp_path, content):
    path = tmp_path / "program"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="is no program for arm, aarch64 or x86_64"):
        elf_machine(path)
    with pytest.raises(ConfigurationError):
        elf_machine(tmp_path)


def test_without_qemu(root, programs):
    with pytest.raises(MissingDependencyError, match="sudo apt-get install -y qemu-user"):
        Qemu(root, "/opt/edge-ad/bin/python")


def test_a_qemu_without_plugins(root, programs):
    program(programs, "qemu-aarch64", "echo usage: qemu-aarch64 [options]")
    with pytest.raises(MissingDependencyError, match="was built without plugins"):
        Qemu(root, "/opt/edge-ad/bin/python")


def test_without_a_compiler(root, programs):
    program(programs, "qemu-aarch64", "echo '-plugin FILE'; echo qemu-aarch64 version 7.2.22")
    with pytest.raises(MissingDependencyError, match="sudo apt-get install -y gcc"):
        Qemu(root, "/opt/edge-ad/bin/python")


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_a_qemu_that_takes_only_a_later_plugin(root, tmp_path, monkeypatch):
    """The plugin is compiled for real; what stands for qemu takes the third version of the interface."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    program(
        folder,
        "qemu-aarch64",
        """
case $1 in
--help) echo "-plugin FILE"; exit;;
--version) echo "qemu-aarch64 version 9.1.0"; exit;;
esac
[ "$1 $2" = "-cpu cortex-a72" ] && grep -q 0xd08 "$4/proc/cpuinfo" && [ -e "$4/usr/bin/python3" ] || exit 8
[ -e "$4/edge-ad-libraries/libblas.so.3" ] || exit 7
[ "$5 $6 $7 $8" = "-U PYTHONPATH,VIRTUAL_ENV -E LD_LIBRARY_PATH=/edge-ad-libraries" ] || exit 6
shift 8
[ "$1 $2 $3" = "-0 /opt/edge-ad/releases/1/bin/python -plugin" ] || exit 9
case $4 in *count-3.so) ;; *) echo "API version is too small" >&2; exit 1;; esac
case $7 in *os.stat*) [ -z "$EDGE_AD_TEST" ] || exit 1;; esac
[ -s "$4" ] && echo 4711 > "$EDGE_AD_COUNT_FILE" && echo '["numpy"]'
""",
    )
    qemu = Qemu(root, "/opt/edge-ad/bin/python")
    assert qemu.name == "qemu-aarch64-9.1.0 (cortex-a72)"
    assert qemu.count([qemu.python(), "-c", ""]).instructions == 4711
    assert engines_of(qemu) == ["numpy"]
    # as with 32-bit roots
    monkeypatch.setattr(counter_module, "_FIXED", {"EDGE_AD_TEST": "1"})
    with pytest.raises(MissingDependencyError, match="count in a 64-bit one"):
        Qemu(root, "/opt/edge-ad/bin/python")
