"""Which packages a board takes; wheels made of what is installed; wheelhouses that are refused."""

import ast
import dataclasses
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import edge_ad
from edge_ad.errors import ConfigurationError, DeployError
from edge_ad.toolchain.deploy.board import START
from edge_ad.toolchain.deploy.lean_source import lean
from edge_ad.toolchain.deploy.requirements import BoardPython, packages_for
from edge_ad.toolchain.deploy.wheel import device_wheel, installer, pip_wheel
from edge_ad.toolchain.deploy.wheelhouse import Wheelhouse, check_fits, read_wheelhouse

BOOKWORM, TRIXIE = (2, 36), (2, 41)
ROOT = Path(edge_ad.__file__).parent


def names(packages):
    return {requirement.partition("==")[0] for requirement in packages.pip}


@pytest.mark.parametrize(
    ("machine", "python", "glibc", "engine"),
    [
        ("aarch64", (3, 11), BOOKWORM, "ai-edge-litert"),
        ("aarch64", (3, 13), TRIXIE, "ai-edge-litert"),
        ("x86_64", (3, 12), (2, 39), "ai-edge-litert"),
        ("armv7l", (3, 11), BOOKWORM, "tflite-runtime"),
        ("armv7l", (3, 13), TRIXIE, "numpy"),
        ("armv6l", (3, 11), BOOKWORM, "numpy"),
    ],
)
def test_what_a_board_takes(machine, python, glibc, engine):
    packages = packages_for(BoardPython(machine, python, glibc))
    assert packages.engine == engine
    assert all("==" in requirement for requirement in packages.pip)
    assert {"click", "paho-mqtt", "pyserial", "waitress", "prometheus-client"} <= names(packages)
    assert not {"gpiozero", "tensorflow", "colorama"} & names(packages)
    is_32_bit = machine.startswith("armv")
    assert ("numpy" in names(packages)) != is_32_bit
    assert ("cryptography" in names(packages)) != is_32_bit
    assert packages.debian == (("python3-cryptography", "python3-numpy") if is_32_bit else ())
    assert (names(packages) & {"ai-edge-litert", "tflite-runtime"}) == {engine} - {"numpy"}
    assert ("flatbuffers" in names(packages)) == (engine == "ai-edge-litert")
    with_gpio = packages_for(BoardPython(machine, python, glibc), gpio=True)
    assert names(with_gpio) - names(packages) == {"gpiozero", "colorzero", "setuptools"}


def test_every_target_of_the_profiles_has_packages():
    from edge_ad.profiles import all_targets

    for target in all_targets():
        system = target.system
        board = BoardPython(system.architecture, system.python_version, system.glibc_version)
        packages = packages_for(board)
        assert packages.engine == system.engine, target.name
        assert bool(packages.debian) == system.sees_system_packages, target.name


@pytest.mark.parametrize("python", [(3, 9), (3, 14)])
def test_a_python_that_we_do_not_run_on(python):
    with pytest.raises(DeployError, match=r"Python 3\.11 to 3\.13"):
        packages_for(BoardPython("aarch64", python, BOOKWORM))


def test_locks_agree():
    """What the agent takes is what the lock of all extras has, and nothing else."""
    folder = ROOT / "toolchain" / "deploy" / "locks"
    everything, agent = ((folder / name).read_text().splitlines() for name in ("device.txt", "agent.txt"))
    assert set(agent) < set(everything)
    assert {line.partition("==")[0] for line in set(everything) - set(agent)} == {
        "gpiozero",
        "colorzero",
        "setuptools",
    }


def members(content):
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert archive.testzip() is None
    return {name: archive.read(name) for name in archive.namelist()}


def test_our_wheel_for_devices_has_what_a_device_runs():
    name, content = device_wheel()
    assert name == f"edge_ad-{edge_ad.__version__}-py3-none-any.whl"
    assert device_wheel()[1] == content
    files = members(content)
    expected = {
        str(path.relative_to(ROOT.parent))
        for folder in ("bench", "bundle", "detect", "profiles", "runtime")
        for path in (ROOT / folder).rglob("*.py")
    }
    missing = {path for path in expected - set(files) if "/install/" not in path}
    assert missing == {
        "edge_ad/bundle/schema.py",
        "edge_ad/bundle/json_schema.py",
        "edge_ad/profiles/schema.py",
    }
    assert "edge_ad/profiles/firmware_configs/rpi-4b.toml" in files
    assert "edge_ad/runtime/http/page/index.html" in files
    assert not any(path.startswith("edge_ad/toolchain") for path in files)
    record = files[f"edge_ad-{edge_ad.__version__}.dist-info/RECORD"].decode().splitlines()
    assert len(record) == len(files)
    assert b"edge-ad = edge_ad.cli:main" in files[f"edge_ad-{edge_ad.__version__}.dist-info/entry_points.txt"]


def test_pip_installs_our_wheel_by_pip_s_own(tmp_path):
    """What a board does; where packages come from is left out."""
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    for name, content in (device_wheel(), pip_wheel()):
        (tmp_path / name).write_bytes(content)
    code = (
        "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module('pip', run_name='__main__')"
    )
    python = environment / "bin" / "python"
    words = [python, "-I", "-c", code, tmp_path / pip_wheel()[0], "install", "--no-index", "--no-deps"]
    subprocess.run(
        [*words, tmp_path / device_wheel()[0]], check=True, capture_output=True, env={"HOME": str(tmp_path)}
    )
    assert (environment / "bin" / "edge-ad").exists()
    shown = subprocess.run(
        [python, "-I", "-c", "import edge_ad; print(edge_ad.__version__, edge_ad.__file__)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert shown.startswith(edge_ad.__version__)
    assert str(environment) in shown


def test_the_installer_needs_nothing_but_python(tmp_path):
    path = tmp_path / "installer.zip"
    path.write_bytes(installer())
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", START, path, "facts"],
        capture_output=True,
        text=True,
        check=False,
        env={"HOME": str(tmp_path), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )
    assert result.returncode == 0, result.stderr
    facts = json.loads(result.stdout)
    assert facts["python"][0] == 3
    assert facts["libc"][0] == "glibc"


SOURCES = sorted(path for path in ROOT.rglob("*.py") if "toolchain" not in path.parts)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_lean_source_is_the_same_program_on_the_same_lines(path):
    source = path.read_bytes()
    result = lean(source)

    def code(text):
        """Every statement and expression with its line."""
        return [
            (type(node).__name__, node.lineno, getattr(node, "id", getattr(node, "name", None)))
            for node in ast.walk(ast.parse(text))
            if hasattr(node, "lineno")
        ]

    class Silent(ast.NodeTransformer):
        def visit_Expr(self, node):
            if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
                node.value.value = ""
            return node

    assert ast.dump(Silent().visit(ast.parse(source))) == ast.dump(ast.parse(result))
    assert code(source) == code(result)
    assert len(result) < len(source)
    assert len(result.splitlines()) == len(source.splitlines())


@pytest.mark.parametrize(
    "source",
    [
        'x = "# no comment"  # a comment\n',
        'def f():\n    """Ümläute, and\n    more."""; return 1\n',
        "x = f\"{'#'}\"  # y\n",
        'class A:\n    x: int = 1\n    """What it is."""\n    # a comment\n    y = """kept #"""\n',
        "if x:  # why\n    pass\n",
    ],
)
def test_lean_source_of_odd_ones(source):
    result = lean(source.encode()).decode()
    compile(result, "x", "exec")
    assert result.count("\n") == source.count("\n")
    assert "comment\n" not in result.replace('"# no comment"', "")
    assert ("kept #" in result) == ("kept #" in source)


def wheelhouse(folder, **changes):
    import hashlib

    (folder / "a-1-py3-none-any.whl").write_bytes(b"wheel")
    found = Wheelhouse(
        "1.0",
        "rpi-4b-bookworm",
        edge_ad.__version__,
        BoardPython("aarch64", (3, 11), BOOKWORM),
        ("a==1",),
        (),
        {"a-1-py3-none-any.whl": hashlib.sha256(b"wheel").hexdigest()},
    )
    found = dataclasses.replace(found, **changes)
    from edge_ad.bundle.codec import encode

    (folder / "wheelhouse.json").write_text(json.dumps(encode(found)))
    return found


def test_a_wheelhouse_is_read(tmp_path):
    made = wheelhouse(tmp_path)
    assert read_wheelhouse(tmp_path) == made


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "wheelhouse.json").unlink(), "is no wheelhouse"),
        (lambda folder: (folder / "wheelhouse.json").write_text('{"schema": '), "is damaged"),
        (lambda folder: (folder / "wheelhouse.json").write_text("[]"), "is damaged"),
        (lambda folder: (folder / "a-1-py3-none-any.whl").write_bytes(b"whee"), "missing or damaged"),
        (lambda folder: (folder / "a-1-py3-none-any.whl").unlink(), "missing or damaged"),
        (lambda folder: wheelhouse(folder, schema="2.0"), "schema 2.0"),
        (lambda folder: wheelhouse(folder, files={"../x": ""}), "missing or damaged"),
    ],
)
def test_a_wheelhouse_that_is_not_whole(tmp_path, damage, said):
    wheelhouse(tmp_path)
    damage(tmp_path)
    with pytest.raises(ConfigurationError, match=said) as caught:
        read_wheelhouse(tmp_path)
    assert "edge-ad wheelhouse" in str(caught.value)


@pytest.mark.parametrize(
    ("board", "fits"),
    [
        (BoardPython("aarch64", (3, 11), BOOKWORM), True),
        (BoardPython("aarch64", (3, 11), (2, 40)), True),
        (BoardPython("aarch64", (3, 11), (2, 31)), False),
        (BoardPython("aarch64", (3, 13), TRIXIE), False),
        (BoardPython("armv7l", (3, 11), BOOKWORM), False),
    ],
)
def test_which_boards_a_wheelhouse_is_for(tmp_path, board, fits):
    found = wheelhouse(tmp_path)
    assert found.fits(board) == fits
    if not fits:
        with pytest.raises(DeployError, match="make one for it"):
            check_fits(found, board, tmp_path)


def test_a_folder_with_other_things_is_not_written_to(tmp_path):
    from edge_ad.toolchain.deploy.wheelhouse import collect

    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigurationError, match="is no wheelhouse, and not empty"):
        collect("rpi-4b-bookworm", BoardPython("aarch64", (3, 11), BOOKWORM), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
