"""The processor that an emulated machine shows: a Raspberry Pi's, not every feature the emulator knows.

Without this, qemu shows its model "max" while /proc/cpuinfo is this computer's. Of the two ai-edge-litert 2.3
dies (SIGSEGV); with an Arm cpuinfo and "max" its int8 kernels for extensions that no Raspberry Pi has give
wrong scores under qemu 7.2. As a Cortex-A53, A72 or A76 they score the int8 test bundles as on x86-64.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

VARIABLE = "QEMU_CPU"
"""What qemu's user emulation takes its model from; it has to be in the environment of every program."""


@dataclass(frozen=True)
class Processor:
    """One core of a board."""

    model: str
    """As qemu calls it."""
    facts: str
    """Of /proc/cpuinfo, without the number of the core."""

    def cpuinfo(self) -> str:
        """/proc/cpuinfo, with as many cores as the computer has, which /sys shows inside as well."""
        cores = range(os.cpu_count() or 1)
        return "".join(f"processor\t: {number}\n{self.facts}\n" for number in cores)


PROCESSORS: Mapping[str, Processor] = MappingProxyType(
    {
        # Raspberry Pi 4; and 2, the oldest that Debian's armhf runs on. Features as the kernel prints them
        # (arch/arm64/kernel/cpuinfo.c, arch/arm/kernel/setup.c), parts: arch/arm64/include/asm/cputype.h.
        "arm64": Processor(
            "cortex-a72",
            "BogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\n"
            "CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd08\nCPU revision\t: 3\n",
        ),
        "armhf": Processor(
            "cortex-a7",
            "model name\t: ARMv7 Processor rev 5 (v7l)\nBogoMIPS\t: 38.40\n"
            "Features\t: half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm \n"
            "CPU implementer\t: 0x41\nCPU architecture: 7\nCPU variant\t: 0x0\nCPU part\t: 0xc07\n"
            "CPU revision\t: 5\n",
        ),
    }
)
"""By Debian's name of the architecture."""


def emulated(architecture: str) -> Processor | None:
    """That of machines of this architecture; None where this computer's own runs them."""
    from pi_rootfs import binfmt

    return None if binfmt.native(architecture) else PROCESSORS.get(architecture)
