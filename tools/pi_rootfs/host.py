"""What this machine offers: programs, rights, its package mirror, its way to the package index."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from pi_rootfs import binfmt
from pi_rootfs.errors import RootError
from pi_rootfs.recipes import ROOTS

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
"""Of the package debian-archive-keyring."""

_PROGRAMS = {
    "debootstrap": "debootstrap",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "ssh-keygen": "openssh-client",
    "ssh": "openssh-client",
}
"""Program and the Debian package that brings it."""


def unavailable() -> str | None:
    """Why no root can be had on this machine, in words; None where nothing is in the way.

    Registers the processors' emulators where they are not registered yet, which needs root.
    """
    if sys.platform != "linux":
        return "roots of a Raspberry Pi need Linux"
    if os.geteuid() != 0:
        return "building and entering root file systems needs root (sudo)"
    missing = missing_packages()
    if missing:
        return f"programs are missing: apt-get install {' '.join(missing)}"
    apart = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False
    )
    if apart.returncode != 0:
        return f"root may not make namespaces here, as in a container without rights: {apart.stderr.decode()}"
    return binfmt.unavailable()


def missing_packages() -> list[str]:
    """Debian packages whose programs are not here."""
    packages = {package for program, package in _PROGRAMS.items() if which(program) is None}
    if any(binfmt.emulator(recipe.architecture) is None for recipe in ROOTS.values()):
        packages.add("qemu-user-static")
    if not KEYRING.exists():
        packages.add("debian-archive-keyring")
    return sorted(packages)


def which(program: str) -> str | None:
    """Where a program is, also where only an administrator's PATH leads to."""
    return shutil.which(program, path=search_path())


def search_path() -> str:
    """PATH, with the folders of an administrator's programs."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def check(architecture: str) -> None:
    """RootError where roots of this architecture cannot be had here."""
    reason = unavailable()
    if reason is not None:
        raise RootError(reason)
    binfmt.ensure(architecture)


def mirror() -> str | None:
    """The mirror that this machine itself installs from, if it is a Debian; None: that of debootstrap."""
    found = []
    for file in (Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))):
        if not file.is_file():
            continue
        text = file.read_text(errors="replace")
        if file.suffix == ".sources":
            for stanza in re.split(r"\n\s*\n", text):
                found += _of_stanza(stanza)
        elif file.suffix == ".list":
            found += re.findall(r"^deb\s+(?:\[[^]]*\]\s+)?(\S+/debian/?)\s", text, re.MULTILINE)
    return found[0].rstrip("/") if found else None


def _of_stanza(stanza: str) -> list[str]:
    """Mirrors of one paragraph of a file in the format of sources.list(5), DEB822-STYLE."""
    fields = dict(re.findall(r"^(\w[\w-]*):[ \t]*(.*)$", stanza, re.MULTILINE))
    enabled = fields.get("Enabled", "yes").lower() not in ("no", "false")
    if not enabled or "deb" not in fields.get("Types", "").split():
        return []
    return [uri for uri in fields.get("URIs", "").split() if uri.rstrip("/").endswith("/debian")]


def certificates() -> Path | None:
    """The certificate authorities this machine's programs trust: its own among them, if a network has one."""
    for name in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        value = os.environ.get(name)
        if value and Path(value).is_file():
            return Path(value)
    usual = Path("/etc/ssl/certs/ca-certificates.crt")
    return usual if usual.is_file() else None


_PIP_KEYS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout", "retries")


def pip_settings() -> dict[str, str]:
    """How pip reaches the package index from here: `pip config list`, without what lies on this disk."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    settings: dict[str, str] = {}
    # The order of `pip config list` is that of precedence reversed: variables first, then files.
    for key, value in re.findall(r"^(?::env:|global|install)\.([\w-]+)='(.*)'$", listed, re.MULTILINE):
        values = [part for part in value.split() if not part.startswith(("file:", "/", "."))]
        if key in _PIP_KEYS and values:
            settings.setdefault("timeout" if key == "default-timeout" else key, "\n  ".join(values))
    return settings


def proxies() -> dict[str, str]:
    """Variables that name a proxy."""
    names = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")
    return {name: value for name, value in os.environ.items() if name.lower() in names}
