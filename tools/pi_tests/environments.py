"""The environments: the data that everything else works from."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

EVERYTHING = ("tiny-float32", "tiny-int8", "tiny-int8-full")
"""Variants; on all recordings unless a number follows."""
_EVERY_FOURTH = tuple(f"{variant}/4" for variant in EVERYTHING)
"""`/4`: on every fourth recording, which is a quarter of the windows."""
_SLOW_IN_NUMPY = ("tiny-float32", "tiny-int8/4", "tiny-int8-full/4")
"""What a board without an interpreter takes on all; of the others numpy needs twice and ten times as long."""
_MOSTLY_HELD = ("tiny-float32", "tiny-int8", "tiny-int8-full/4")
"""The integer-only form takes as long as the others together and is nobody's default."""


@dataclass(frozen=True)
class Leeway:
    """What is known to come out differently in an environment. Nothing does unless it is stated here."""

    why: str = ""
    beyond: Mapping[str, int] = field(default_factory=dict)
    """Variant -> at most so many windows near the limit whose scores are beyond the tolerance."""
    refused: Mapping[str, int] = field(default_factory=dict)
    """Variant -> at most so many bundles whose golden windows it does not pass."""
    not_held: tuple[str, ...] = ()
    """Variants whose decisions are told and not held against the workstation's."""


@dataclass(frozen=True)
class Environment:
    """A device's Python environment."""

    name: str
    root: str | None
    """Name of the root file system; None: this machine."""
    engine: str
    """What runs models in it."""
    extra: str = ""
    """Of our wheel."""
    packages: tuple[str, ...] = ()
    """What pip installs besides."""
    python: str | None = "python3"
    """Program that makes it; None where this machine has none."""
    sees_system: bool = False
    """Whether the system's packages, numpy among them, are seen from inside."""
    largest_mb: float | None = None
    """Megabytes (10^6) on disk that it may take, with the system's numpy where that is used; None: any."""
    decides: tuple[str, ...] = EVERYTHING
    """Variants, and on which of the recordings."""
    leeway: Leeway = Leeway()


_INT8_KERNELS = (
    "tflite-runtime rounds in int8 dense layers differently from ai-edge-litert, on x86-64 as well, so "
    "int8-full models decide a little differently on it"
)
_ARMV7 = (
    f"{_INT8_KERNELS}. On armv7 its logistic function has a relative error of 4e-6, elsewhere of 1e-7: a "
    "relu LSTM amplifies that far from the limit, where golden windows of three recordings lie, and nearer "
    "to it an int8 rounding falls the other way more often"
)


def environments() -> list[Environment]:
    """One for each interpreter that a device may have and one for those with none; the slow ones first."""
    return [
        # What armv6 takes, for which nobody makes an interpreter; Debian's own armhf does not run on one.
        Environment(
            "armhf-bookworm-numpy",
            "armhf-bookworm",
            "numpy",
            sees_system=True,
            largest_mb=60,
            decides=_SLOW_IN_NUMPY,
        ),
        # 32-bit Raspberry Pi OS: numpy is Debian's, since the package index has none for it.
        Environment(
            "armhf-bookworm",
            "armhf-bookworm",
            "tflite-runtime",
            extra="[device]",
            sees_system=True,
            largest_mb=60,
            decides=_MOSTLY_HELD,
            leeway=Leeway(
                _ARMV7,
                beyond={"tiny-float32": 1, "tiny-int8": 3},
                refused={"tiny-float32": 3, "tiny-int8": 3},
                not_held=("tiny-int8-full",),
            ),
        ),
        Environment(
            "arm64-bookworm",
            "arm64-bookworm",
            "ai-edge-litert",
            extra="[device]",
            largest_mb=120,
            decides=_MOSTLY_HELD,
        ),
        # The same interpreter as in bookworm, for another Python.
        Environment(
            "arm64-trixie",
            "arm64-trixie",
            "ai-edge-litert",
            extra="[device]",
            largest_mb=120,
            decides=_EVERY_FOURTH,
        ),
        Environment(
            "here-numpy",
            None,
            "numpy",
            packages=("numpy==1.24.*",),
            python=_python311(),
            decides=_SLOW_IN_NUMPY,
        ),
        # Without the library for signatures, to see that it is not needed before a key is trusted.
        Environment(
            "here-tflite-runtime",
            None,
            "tflite-runtime",
            packages=("tflite-runtime==2.14.0", "numpy<2"),
            python=_python311(),
            decides=_MOSTLY_HELD,
            leeway=Leeway(_INT8_KERNELS, not_held=("tiny-int8-full",)),
        ),
        Environment(
            "here-ai-edge-litert",
            None,
            "ai-edge-litert",
            extra="[device,signing]",
            python=sys.executable,
            decides=_MOSTLY_HELD,
        ),
    ]


def _python311() -> str | None:
    """The last Python for which there is a tflite-runtime."""
    for candidate in (sys.executable, shutil.which("python3.11")):
        if candidate is None:
            continue
        code = "import sys; sys.exit(sys.version_info[:2] != (3, 11))"
        if subprocess.run([candidate, "-c", code], check=False).returncode == 0:
            return candidate
    return None
