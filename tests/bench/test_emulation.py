"""Real processors, translated programs and virtual machines, told apart by what the kernel gives away."""

import os
import platform

import pytest

from edge_ad.bench.emulation import hypervisor, translates_all, translator
from edge_ad.bench.host import Host
from tests.runtime.doctor.trees import Tree, pi

ARM = "processor\t: 0\nBogoMIPS\t: 108.00\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n"
X86 = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel\nflags\t\t: fpu vme {}\n"


@pytest.fixture
def tree(tmp_path):
    """A Raspberry Pi that runs this program itself."""
    tree = pi(tmp_path)
    tree.write("/proc/cpuinfo", ARM)
    tree.write("/proc/sys/kernel/arch", "aarch64\n")
    links(tree, "/opt/edge-ad/bin/python3.11", "/opt/edge-ad/bin/python3.11")
    return tree


def links(tree, claimed, real):
    """What the program is, as it is told and as the kernel says."""
    for name, target in (("self", claimed), ("thread-self", real)):
        link = tree.root / "proc" / name / "exe"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(target)


def test_a_board_translates_nothing(tree):
    assert translator(tree.machine(), "aarch64") is None
    assert translator(tree.machine(), "armv7l") is None  # 32-bit programs on a 64-bit kernel


def test_qemu_answers_for_self_only(tree):
    links(tree, "/usr/bin/python3.11", "/usr/bin/qemu-aarch64-static")
    assert translator(tree.machine(), "aarch64") == "qemu-aarch64-static on aarch64"
    tree.write("/proc/sys/kernel/arch", "x86_64\n")
    assert translator(tree.machine(), "aarch64") == "qemu-aarch64-static on x86_64"


@pytest.mark.parametrize(
    ("architecture", "kernel", "is_translated"),
    [
        ("aarch64", "x86_64", True),
        ("armv7l", "x86_64", True),
        ("x86_64", "aarch64", True),
        ("riscv64", "x86_64", True),
        ("armv6l", "armv7l", False),
        ("i686", "x86_64", False),
    ],
)
def test_a_translator_that_hides_better_than_qemu(tree, architecture, kernel, is_translated):
    tree.write("/proc/sys/kernel/arch", kernel)
    assert bool(translator(tree.machine(), architecture)) is is_translated


def test_a_kernel_that_does_not_tell_its_architecture(tree):
    tree.remove("/proc/sys/kernel/arch")
    assert translator(tree.machine(), "aarch64") is None
    tree.write("/proc/cpuinfo", X86.format(""))
    assert translator(tree.machine(), "aarch64") == "a translator from aarch64 on an x86 processor"
    assert translator(tree.machine(), "x86_64") is None


def test_nothing_can_be_read(tmp_path):
    assert translator(Tree(tmp_path).machine(), "aarch64") is None
    assert hypervisor(Tree(tmp_path).machine()) is None


@pytest.mark.parametrize(("answer", "name"), [("kvm", "kvm"), ("vmware", "vmware"), ("none", None)])
def test_what_systemd_says_of_virtual_machines(tree, answer, name):
    tree.program("systemd-detect-virt", f'echo {answer}; [ "$1" = --vm ]')
    assert hypervisor(tree.machine()) == name


def test_without_systemd_the_kernel_is_asked(tree):
    assert hypervisor(tree.machine()) is None
    tree.write("/proc/cpuinfo", X86.format("hypervisor ssse3"))
    assert hypervisor(tree.machine()) == "a hypervisor"
    tree.write("/sys/hypervisor/type", "xen\n")
    assert hypervisor(tree.machine()) == "xen"
    tree.remove("/sys/hypervisor/type")
    tree.write("/proc/device-tree/hypervisor/compatible", "linux,dummy-virt\0xen,xen\0")
    assert hypervisor(tree.machine()) == "linux,dummy-virt"


def test_qemu_without_kvm_translates_the_whole_machine():
    assert translates_all("qemu", "x86_64")
    assert not translates_all("kvm", "x86_64")
    assert not translates_all("qemu", "aarch64")  # the same name with KVM there


@pytest.mark.skipif(
    os.path.realpath("/proc/self/exe") != os.path.realpath("/proc/thread-self/exe"), reason="translated"
)
def test_this_machine_runs_its_own_instructions():
    assert translator(Host(), platform.machine()) is None
