"""Whether the processor is real: programs translated for another one, and virtual machines."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from edge_ad.bench.architecture import family
from edge_ad.bench.host import Host

_NO_VM = ("none", "")


def translator(host: Host, architecture: str) -> str | None:
    """What translates this program's instructions, such as `qemu-aarch64-static on x86_64`; None: nothing.

    A translator hides itself, but not everywhere: qemu's user emulation and valgrind answer for `/proc/self`
    and leave `/proc/thread-self` to the kernel, the kernel has told its own architecture since Linux 6.1
    (`/proc/sys/kernel/arch`), and `/proc/cpuinfo` is mostly that of the real processor.
    """
    claimed, real = host.link("/proc/self/exe"), host.link("/proc/thread-self/exe")
    kernel = host.text("/proc/sys/kernel/arch") or ""
    where = f" on {kernel}" if kernel else ""
    if claimed and real and claimed != real:
        return f"{PurePosixPath(real).name}{where}"
    if kernel and family(kernel) != family(architecture):
        return f"a translator from {architecture}{where}"
    if family(architecture) == "arm" and _has_x86_processor(host):
        return f"a translator from {architecture} on an x86 processor"
    return None


def _has_x86_processor(host: Host) -> bool:
    # arch/x86/kernel/cpu/proc.c; an Arm processor has "CPU implementer" instead
    return any(re.match(r"vendor_id\s*:", line) for line in host.lines("/proc/cpuinfo"))


def hypervisor(host: Host) -> str | None:
    """What shares the processor out to this virtual machine, such as `kvm`; None where it is no such machine.

    As systemd-detect-virt(1) names it; without that program as far as the kernel tells.
    """
    answer = host.run("systemd-detect-virt", "--vm")
    # It exits with 1, and says "none", where there is no virtual machine.
    if answer is not None and answer.code in (0, 1):
        name = answer.text.strip()
        return None if name in _NO_VM else name
    for path in ("/sys/hypervisor/type", "/proc/device-tree/hypervisor/compatible"):
        name = host.text(path) or ""
        if name not in _NO_VM:
            return name.split("\0")[0]
    flags = [line for line in host.lines("/proc/cpuinfo") if line.startswith("flags")]
    if any("hypervisor" in line.split() for line in flags):
        return "a hypervisor"
    return None


def translates_all(name: str | None, architecture: str) -> bool:
    """Whether that hypervisor runs no instruction itself: QEMU without KVM.

    On Arm it has the same name with KVM, since there is no CPUID to tell them apart.
    """
    return name == "qemu" and family(architecture) == "x86"
