"""What a board is sent of what is installed here: our own wheel, pip's, the installer."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import Distribution
from pathlib import Path

from edge_ad.errors import MissingDependencyError
from edge_ad.toolchain.deploy.lean_source import lean

_EPOCH = (2020, 1, 1, 0, 0, 0)
_WHEEL = b"Wheel-Version: 1.0\nGenerator: edge-ad\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_NOT_FOR_DEVICES = (
    *("edge_ad/toolchain/", "edge_ad/runtime/install/", "edge_ad/bundle/SPEC.md"),
    *("edge_ad/bundle/manifest.schema.json", "edge_ad/bundle/schema.py", "edge_ad/bundle/json_schema.py"),
    *("edge_ad/profiles/schema.py", "edge_ad/profiles/firmware_configs/profile.schema.json"),
    *("edge_ad/profiles/firmware_configs/agent.toml", "edge_ad/cli/fleet"),
    *(
        f"edge_ad/cli/{name}.py"
        for name in ("build", "steps", "evaluate", "search", "data", "progress", "deploy", "wheelhouse")
    ),
)
_INSTALLER = (
    *("edge_ad/__init__.py", "edge_ad/errors.py", "edge_ad/files.py", "edge_ad/runtime/__init__.py"),
    *("edge_ad/bundle/__init__.py", "edge_ad/bundle/codec.py"),
    *("edge_ad/bench/", "edge_ad/runtime/doctor/", "edge_ad/runtime/install/"),
)
_HELP = "edge_ad/cli/"
"""Where docstrings are what `--help` shows."""


def device_wheel() -> tuple[str, bytes]:
    """File name and content of our wheel for devices, of a few hundred kilobytes.

    It has nothing of the workstation, and its modules neither comments nor docstrings, on the same lines.
    Raises MissingDependencyError.
    """
    files = _package_files("edge_ad").items()
    return _wheel(
        "edge-ad",
        {
            path: content if path.startswith(_HELP) else _lean(path, content)
            for path, content in files
            if not path.startswith(_NOT_FOR_DEVICES)
        },
    )


def device_digest() -> str:
    """SHA-256 of all that `device_wheel` is made of, which takes longer to make."""
    digest = hashlib.sha256()
    for path, content in _package_files("edge_ad").items():
        if not path.startswith(_NOT_FOR_DEVICES):
            digest.update(f"{path} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def wheel_name(name: str) -> str:
    """File name of the wheel that is made of a package. Raises MissingDependencyError."""
    return f"{_stem(name)}-py3-none-any.whl"


def installer() -> bytes:
    """A zip that a board's own Python runs `edge_ad.runtime.install.main` from."""
    files = _package_files("edge_ad").items()
    return _zipped({path: _lean(path, content) for path, content in files if path.startswith(_INSTALLER)})


def pip_wheel() -> tuple[str, bytes]:
    """That of pip, as it is here. Raises MissingDependencyError."""
    return _wheel("pip", _package_files("pip"))


def _lean(path: str, content: bytes) -> bytes:
    return lean(content) if path.endswith(".py") else content


def _wheel(name: str, files: dict[str, bytes]) -> tuple[str, bytes]:
    """https://packaging.python.org/en/latest/specifications/binary-distribution-format/."""
    found, metadata = _installed(name)
    stem = _stem(name)
    # The description, which is the README, is for an index.
    files[f"{stem}.dist-info/METADATA"] = metadata.partition("\n\n")[0].encode() + b"\n"
    entry_points = found.read_text("entry_points.txt")
    if entry_points is not None:
        files[f"{stem}.dist-info/entry_points.txt"] = entry_points.encode()
    files[f"{stem}.dist-info/WHEEL"] = _WHEEL
    record = f"{stem}.dist-info/RECORD"
    lines = [f"{path},sha256={_digest(content)},{len(content)}" for path, content in sorted(files.items())]
    files[record] = "\n".join([*lines, f"{record},,", ""]).encode()
    return wheel_name(name), _zipped(files)


def _stem(name: str) -> str:
    return f"{name.replace('-', '_')}-{_installed(name)[0].version}"


def _package_files(package: str) -> dict[str, bytes]:
    """What lies in the package's folder, wherever it is imported from: a wheel, or a checkout in place."""
    _installed(package)
    root = Path(import_module(package).__file__ or "").parent
    return {
        f"{package}/{path.relative_to(root).as_posix()}": path.read_bytes() for path in sorted(_walk(root))
    }


def _installed(name: str) -> tuple[Distribution, str]:
    """What is installed here of that name, and its METADATA; not what setuptools left beside a checkout."""
    for found in Distribution.discover(name=name.replace("_", "-")):
        metadata = found.read_text("METADATA")
        if metadata is not None:
            return found, metadata
    raise MissingDependencyError(f"{name} is not installed here: python3 -m pip install {name}")


def _walk(root: Path) -> Iterator[Path]:
    # Links are followed: data files of a checkout lie outside of the package.
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = [name for name in folders if name != "__pycache__"]
        yield from (Path(folder, name) for name in names if not name.endswith(".pyc"))


def _zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in sorted(files.items(), key=lambda item: (".dist-info/" in item[0], item[0])):
            info = zipfile.ZipInfo(path, _EPOCH)
            info.external_attr = 0o644 << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED, 9)
    return buffer.getvalue()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
