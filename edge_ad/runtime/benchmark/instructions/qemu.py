"""Instructions of another architecture, counted by qemu's user emulation while it translates them.

It runs the Python of a board's root file system from outside of it (`-L`), and needs no root. Counting is
done by a plugin of ours: https://www.qemu.org/docs/master/devel/tcg-plugins.html. Debian's qemu-user of
bookworm can load one, its qemu-user-static cannot.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from edge_ad.errors import ConfigurationError, EdgeAdError, MissingDependencyError
from edge_ad.runtime.benchmark.instructions.counter import Counted, run

_PROCESSORS = {
    "aarch64": (
        "cortex-a72",
        "Features\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
        "CPU variant\t: 0x0\nCPU part\t: 0xd08\nCPU revision\t: 3\n",
    ),
    "arm": (
        "cortex-a7",
        "model name\t: ARMv7 Processor rev 5 (v7l)\nFeatures\t: half thumb fastmult vfp edsp neon vfpv3 tls "
        "vfpv4 idiva idivt vfpd32 lpae evtstrm\nCPU implementer\t: 0x41\nCPU architecture: 7\n"
        "CPU variant\t: 0x0\nCPU part\t: 0xc07\nCPU revision\t: 5\n",
    ),
}
"""Architecture -> the core to show (of a Raspberry Pi 4, and of a 2), and what /proc/cpuinfo says of it.

ai-edge-litert 2.3 reads that file, and dies of an x86 processor's.
"""
_ELF_MACHINES = {40: "arm", 62: "x86_64", 183: "aarch64"}
"""e_machine; see elf(5)."""
_MOST_LINKS = 40
_LIBRARIES = "/edge-ad-libraries"
_API_VERSIONS = range(1, 11)
"""Of plugins. What is used here has stayed the same; qemu refuses those it thinks too old or too new."""
_SOURCE = """
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct qemu_plugin_tb;
typedef uint64_t qemu_plugin_id_t;
#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = API_VERSION;
typedef void on_block(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void on_execution(unsigned, void *);
typedef void on_end(qemu_plugin_id_t, void *);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, on_block *);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, on_execution *, int, void *);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, on_end *, void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);

static uint64_t instructions;

static void executed(unsigned cpu, void *n)
{
    __atomic_fetch_add(&instructions, (uint64_t)(uintptr_t)n, __ATOMIC_RELAXED);
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    void *n = (void *)(uintptr_t)qemu_plugin_tb_n_insns(block);
    qemu_plugin_register_vcpu_tb_exec_cb(block, executed, 0, n);
}

static void ended(qemu_plugin_id_t id, void *path)
{
    FILE *file = fopen(path, "w");
    if (file) {
        fprintf(file, "%llu\\n", (unsigned long long)instructions);
        fclose(file);
    }
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
    char *path = getenv("EDGE_AD_COUNT_FILE");
    if (!path)
        return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, path);
    return 0;
}
"""


class Qemu:
    """The Python of a root file system, translated."""

    def __init__(self, root: Path, python: str) -> None:
        """`python` is its path inside `root`.

        Raises ConfigurationError for a root without it, or of this machine's own architecture;
        MissingDependencyError where qemu or a C compiler is missing, or qemu cannot load plugins.
        """
        self._root = root.absolute()
        self._file = resolved(self._root, python)
        # An environment is found by the name that its Python was called by, a link's folder not followed.
        folder = resolved(self._root, str(PurePosixPath(python).parent))
        self._python = str(PurePosixPath("/", folder.relative_to(self._root), PurePosixPath(python).name))
        machine = elf_machine(self._file)
        self._program = _program(machine)
        self._folder = Path(tempfile.mkdtemp(prefix="edge-ad-count-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        model, cpuinfo = _PROCESSORS.get(machine, ("max", None))
        prefix = _prefix(self._folder / "prefix", self._root, cpuinfo)
        self._options = ["-cpu", model, "-L", str(prefix)]
        # What is set for this machine's Python is not for that one.
        self._options += ["-U", "PYTHONPATH,VIRTUAL_ENV", "-E", f"LD_LIBRARY_PATH={_LIBRARIES}"]
        version = re.search(r"version ([0-9.]+)", run([self._program, "--version"]).stdout)
        self.name = f"qemu-{machine}-{version[1] if version else 'unknown'} ({model})"
        self._plugin = self._loadable()
        self._require_files()

    def python(self) -> str:
        """As it is called inside of the root."""
        return self._python

    def count(self, words: Sequence[str]) -> Counted:
        """Run a program of the root, `python()` being its first word."""
        return self._count(words, self._plugin)

    def _count(self, words: Sequence[str], plugin: Path) -> Counted:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "count")
            options = [*self._options, "-0", words[0], "-plugin", str(plugin)]
            command = [self._program, *options, str(self._file), *words[1:]]
            result = run(command, {"EDGE_AD_COUNT_FILE": str(file)})
            try:
                return Counted(int(file.read_text()), result.stdout)
            except (OSError, ValueError) as error:
                raise EdgeAdError(f"{self.name} did not count") from error

    def _require_files(self) -> None:
        """Qemu 7.2 looks into the root for all calls but statx, by which 32-bit programs ask for any file."""
        try:
            self._count([self._python, "-c", f"import os; os.stat({_LIBRARIES!r})"], self._plugin)
        except EdgeAdError as error:
            raise MissingDependencyError(
                f"{self.name} does not find all files of {self._root} from outside of it, and cannot count "
                "there. That concerns 32-bit roots: count in a 64-bit one"
            ) from error

    def _loadable(self) -> Path:
        """The plugin, made for the first version of the interface that this qemu takes."""
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise MissingDependencyError("a C compiler is needed to count: sudo apt-get install -y gcc")
        source = self._folder / "count.c"
        source.write_text(_SOURCE)
        problem = EdgeAdError("no version was tried")
        for version in _API_VERSIONS:
            plugin = source.with_name(f"count-{version}.so")
            run(
                [
                    compiler,
                    "-O2",
                    "-shared",
                    "-fPIC",
                    f"-DAPI_VERSION={version}",
                    "-o",
                    str(plugin),
                    str(source),
                ]
            )
            try:
                self._count([self._python, "-c", ""], plugin)
            except EdgeAdError as error:
                problem = error
            else:
                return plugin
        raise MissingDependencyError(f"{self.name} does not take our plugin: {problem}")


def _prefix(folder: Path, root: Path, cpuinfo: str | None) -> Path:
    """Where qemu looks for every path first: in the root, and for /proc/cpuinfo in a file of ours."""
    folder.mkdir()
    for entry in root.iterdir():
        if entry.name not in ("proc", "sys", "dev"):
            (folder / entry.name).symlink_to(entry)
    # Links that begin with / would lead into this machine: Debian's choice of a library for numpy is one.
    libraries = folder / _LIBRARIES.lstrip("/")
    libraries.mkdir()
    for path in root.glob("usr/lib/*/*.so*"):
        if path.is_symlink() and path.readlink().is_absolute():
            with contextlib.suppress(ConfigurationError):  # it leads nowhere
                (libraries / path.name).symlink_to(resolved(root, f"/{path.relative_to(root)}"))
    if cpuinfo is not None:
        (folder / "proc").mkdir()
        cores = range(os.cpu_count() or 1)  # as /sys has them
        text = "".join(f"processor\t: {core}\nBogoMIPS\t: 108.00\n{cpuinfo}\n" for core in cores)
        (folder / "proc/cpuinfo").write_text(text)
    return folder


def _program(machine: str) -> str:
    """The qemu for an architecture. Raises MissingDependencyError."""
    name = f"qemu-{machine}"
    program = shutil.which(name)
    if program is None:
        raise MissingDependencyError(f"{name} is not installed: sudo apt-get install -y qemu-user")
    usage = subprocess.run([program, "--help"], capture_output=True, text=True, check=False)
    if "-plugin" not in usage.stdout:
        raise MissingDependencyError(
            f"{program} was built without plugins, and cannot count; that of Debian bookworm's package "
            "qemu-user can. Without --rootfs the instructions of this machine are counted"
        )
    return program


def resolved(root: Path, path: str) -> Path:
    """What `path` is inside of `root`, where links begin at that root. Raises ConfigurationError."""
    parts, place, links = list(Path(path).parts[1:]), root, 0
    while parts:
        part = parts.pop(0)
        if part == "..":
            place = place if place == root else place.parent
            continue
        place /= part
        if place.is_symlink():
            links += 1
            target = place.readlink()
            parts = [*(target.parts[1:] if target.is_absolute() else target.parts), *parts]
            place = root if target.is_absolute() else place.parent
        if links > _MOST_LINKS:
            break
    if links > _MOST_LINKS or not place.exists():
        raise ConfigurationError(
            f"there is no {path} in {root}; name the Python there that edge_ad is installed for: "
            "--rootfs-python"
        )
    return place


def elf_machine(file: Path) -> str:
    """The architecture that a program is made for, as qemu calls it. Raises ConfigurationError."""
    header = b""
    if file.is_file():
        with file.open("rb") as content:
            header = content.read(20)
    machine = _ELF_MACHINES.get(int.from_bytes(header[18:20], "little")) if header[:4] == b"\x7fELF" else None
    if machine is None:
        raise ConfigurationError(f"{file} is no program for arm, aarch64 or x86_64")
    return machine
