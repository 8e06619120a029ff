"""Signing bundles."""

from __future__ import annotations

from edge_ad.bundle.archive import MANIFEST, SIGNATURE, deserialize, serialize
from edge_ad.bundle.bundle import unpack
from edge_ad.bundle.minisign import parse_signature
from edge_ad.bundle.secret_key import SecretKey


def sign(data: bytes, key: SecretKey) -> bytes:
    """A bundle's bytes with a signature in front of its contents; a former signature is replaced.

    Raises what reading the bundle raises.
    """
    manifest = unpack(data).manifest
    comment = f"edge_ad asset={manifest.asset} build={manifest.build_number} id={manifest.bundle_id}"
    shown = comment if comment.isprintable() else f"edge_ad id={manifest.bundle_id}"
    text = deserialize(data)[MANIFEST]
    return attach(data, key.sign(text, shown).text().encode())


def attach(data: bytes, signature: bytes) -> bytes:
    """A bundle's bytes with the contents of a signature file, made over its `manifest.json`.

    Raises what reading the bundle raises, BundleSignatureError among it for a file that is none.
    """
    members = deserialize(data)
    members.pop(SIGNATURE, None)
    text = members.pop(MANIFEST)
    signed = serialize({MANIFEST: text, SIGNATURE: signature, **members})
    parse_signature(signature)
    unpack(signed)
    return signed
