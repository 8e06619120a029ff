"""What the machine is on which something was measured, as far as it tells."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class MachineFacts:
    """Facts that decide whether two measurements can be compared. None: the machine does not say."""

    cpu_model: str | None
    board: str | None
    """Board name from the device tree: `Raspberry Pi 4 Model B Rev 1.4`."""
    architecture: str
    n_cpus: int
    kernel: str
    memory_bytes: int | None
    governor: str | None
    """CPU frequency governor."""
    frequency_khz: int | None
    temperature_c: float | None
    throttled: str | None
    """`vcgencmd get_throttled` flags; `0x0` is good."""
    load_1min: float | None
    python: str


def machine_facts() -> MachineFacts:
    """Collect the facts now; nothing here fails where a fact is not to be had."""
    cpu = Path("/sys/devices/system/cpu/cpu0/cpufreq")
    return MachineFacts(
        cpu_model=_cpu_model(),
        board=_text(Path("/proc/device-tree/model")),
        architecture=platform.machine(),
        n_cpus=os.cpu_count() or 1,
        kernel=platform.release(),
        memory_bytes=_memory_bytes(),
        governor=_text(cpu / "scaling_governor"),
        frequency_khz=_integer(cpu / "scaling_cur_freq"),
        temperature_c=_temperature(),
        throttled=_throttled(),
        load_1min=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        python=f"{platform.python_implementation()} {platform.python_version()}",
    )


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip("\0\n ") or None
    except (OSError, UnicodeDecodeError):
        return None


def _integer(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text and text.isdigit() else None


def _cpu_model() -> str | None:
    for line in (_text(Path("/proc/cpuinfo")) or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model"):
            return value.strip()
    return platform.processor() or None


def _memory_bytes() -> int | None:
    for line in (_text(Path("/proc/meminfo")) or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return None


def _temperature() -> float | None:
    millidegrees = _integer(Path("/sys/class/thermal/thermal_zone0/temp"))
    return None if millidegrees is None else millidegrees / 1000


def _throttled() -> str | None:
    program = shutil.which("vcgencmd")
    if program is None:
        return None
    try:
        answer = subprocess.run(
            [program, "get_throttled"], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip().removeprefix("throttled=") or None
