"""The architecture that a Python was built for, whatever the kernel's is."""

from __future__ import annotations

_32_BIT = {"x86_64": "i686", "amd64": "i686", "i386": "i686", "aarch64": "armv7l", "armv8l": "armv7l"}
_SAME = {"amd64": "x86_64", "arm64": "aarch64"}


def python_architecture(machine: str, bits: int) -> str:
    """`machine` as `uname -m` says it, `bits` of a pointer; 32-bit Pythons run on 64-bit kernels too.

    >>> python_architecture("aarch64", 32)
    'armv7l'
    """
    machine = machine.lower()
    return _32_BIT.get(machine, machine) if bits == 32 else _SAME.get(machine, machine)


def family(architecture: str) -> str:
    """What programs of it need to run without translation: all of a family run on its 64-bit kernels.

    >>> family("armv7l") == family("aarch64") != family("x86_64")
    True
    """
    name = architecture.lower()
    if name.startswith(("arm", "aarch64")):
        return "arm"
    if name in ("x86_64", "amd64", "x86") or (name.startswith("i") and name.endswith("86")):
        return "x86"
    return name
