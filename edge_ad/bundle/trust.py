"""Which signatures count: trusted keys, revoked keys, and whether a signature is required."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_ad.bundle.minisign import PublicKey, parse_signature, verify
from edge_ad.errors import BundleRevokedKeyError, BundleUnsignedError, BundleUntrustedKeyError


@dataclass(frozen=True)
class SignatureStatus:
    """What is known of a bundle's signature."""

    key_id: str | None = None
    """Name of the key that made it; None for a bundle without signature."""
    trusted: bool = False
    """Whether it was checked with a trusted key."""
    comment: str = ""
    """The signed comment; empty unless `trusted`."""

    def text(self) -> str:
        """One line for people."""
        if self.key_id is None:
            return "not signed"
        if not self.trusted:
            return f"signed, it says by key {self.key_id}; not checked, since that key is not trusted here"
        return f"signed by the trusted key {self.key_id} ({self.comment})"


@dataclass(frozen=True)
class TrustPolicy:
    """The rules of one machine. The empty policy takes everything and checks nothing."""

    keys: tuple[PublicKey, ...] = ()
    revoked: frozenset[str] = frozenset()
    """Names of keys whose signatures count no more, old ones included."""
    require_signature: bool = False

    def check(
        self, signed: bytes, signature: bytes | None, *, what: Literal["bundle", "overlay"] = "bundle"
    ) -> SignatureStatus:
        """Judge the signature file (None: there is none) over `signed`, which belongs to a bundle or overlay.

        A signature by a trusted key must hold, whether one is required or not: one that does not
        is worse than none. Raises BundleUnsignedError, BundleSignatureError,
        BundleUntrustedKeyError, BundleRevokedKeyError, MissingDependencyError.
        """
        if signature is None:
            if self.require_signature:
                how = "edge-ad sign" if what == "bundle" else "edge-ad recalibrate --key, or minisign -S"
                raise BundleUnsignedError(
                    f"it is not signed, and this machine takes signed {what}s only: sign it where it was "
                    f"made ({how})"
                )
            return SignatureStatus()
        parsed = parse_signature(signature)
        if parsed.key_id in self.revoked:
            raise BundleRevokedKeyError(
                f"it is signed with key {parsed.key_id}, which was revoked on this machine: sign it anew "
                "with another key"
            )
        for key in self.keys:
            if key.id_bytes == parsed.id_bytes:
                verify(key, parsed, signed)
                return SignatureStatus(parsed.key_id, trusted=True, comment=parsed.comment)
        if self.require_signature:
            trusted = ", ".join(key.key_id for key in self.keys) or "none"
            raise BundleUntrustedKeyError(
                f"it is signed with key {parsed.key_id}, which is not trusted here (trusted: {trusted}); if "
                "it should be: edge-ad keys trust FILE.pub"
            )
        return SignatureStatus(parsed.key_id)
