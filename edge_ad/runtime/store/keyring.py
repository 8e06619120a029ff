"""The keys a machine trusts: a folder of public key files, and one of those that were revoked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edge_ad.bundle.minisign import PublicKey, read_public_key
from edge_ad.bundle.trust import TrustPolicy
from edge_ad.errors import ConfigurationError, KeyFileError
from edge_ad.files import make_durable_folder, write_atomic

REQUIRED, OPTIONAL = "required", "optional"


@dataclass(frozen=True)
class Keyring:
    """The `trust` folder of a store. What it holds is read anew by each method."""

    folder: Path

    def policy(self) -> TrustPolicy:
        """The rules in force: a signature is required once any key was trusted, unless it was made optional.

        Raises KeyFileError for a file that cannot be read: a damaged folder trusts nothing.
        """
        revoked = self.revoked()
        keys = tuple(key for key in self._keys(self.folder) if key.key_id not in revoked)
        stated = self._stated()
        required = bool(keys or revoked) if stated is None else stated == REQUIRED
        return TrustPolicy(keys, frozenset(revoked), required)

    def revoked(self) -> set[str]:
        """Names of the keys that count no more."""
        return {key.key_id for key in self._keys(self.folder / "revoked")}

    def trust(self, key: PublicKey) -> bool:
        """Trust a key from now on; False where it already was.

        Raises ConfigurationError for a revoked key, and for another key of the same name.
        """
        for revoked in self._keys(self.folder / "revoked"):
            if revoked.key_id == key.key_id or revoked.point == key.point:
                raise ConfigurationError(f"key {revoked.key_id} was revoked on this machine; make a new one")
        for known in self._keys(self.folder):
            if known.key_id == key.key_id:
                if known != key:
                    raise ConfigurationError(f"another key named {key.key_id} is trusted here already")
                return False
        make_durable_folder(self.folder)
        write_atomic(self.folder / f"{key.key_id}.pub", key.text().encode())
        return True

    def revoke(self, key_id: str) -> None:
        """Let nothing that this key signed count any more. Raises ConfigurationError for an unknown one."""
        for key in self._keys(self.folder):
            if key.key_id == key_id.upper():
                # The trusted file stays: the revocation is one atomic write, and beats it.
                make_durable_folder(self.folder / "revoked")
                write_atomic(self.folder / "revoked" / f"{key.key_id}.pub", key.text().encode())
                return
        known = ", ".join(key.key_id for key in self.policy().keys) or "none"
        raise ConfigurationError(f"no key {key_id!r} is trusted here; trusted: {known}")

    def set_requirement(self, requirement: str) -> None:
        """`required`, `optional`, or `automatic`: required once a key is trusted."""
        make_durable_folder(self.folder)
        write_atomic(self.folder / "policy", f"{requirement}\n".encode())

    def _stated(self) -> str | None:
        try:
            text = (self.folder / "policy").read_text().strip()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise KeyFileError(f"cannot read {self.folder / 'policy'}: {error}") from error
        if text == "automatic":
            return None
        if text not in (REQUIRED, OPTIONAL):
            raise KeyFileError(f"{self.folder / 'policy'} must say required, optional or automatic")
        return text

    @staticmethod
    def _keys(folder: Path) -> list[PublicKey]:
        if not os.path.lexists(folder):
            return []
        try:
            files = sorted(path for path in folder.iterdir() if path.name.endswith(".pub"))
        except OSError as error:
            raise KeyFileError(f"cannot read {folder}: {error.strerror}") from error
        # Temporary files of an interrupted write begin with a dot.
        return [read_public_key(path) for path in files if not path.name.startswith(".")]
