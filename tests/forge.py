"""Bundles as an attacker would make them: changed, with every digest made right again."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

from edge_ad.bundle.archive import MANIFEST, SIGNATURE, serialize, sha256
from edge_ad.bundle.codec import canonical_json

Edit = Callable[[dict[str, Any]], object]


def members_of(data: bytes) -> dict[str, bytes]:
    """All members, manifest first."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def manifest_of(data: bytes) -> dict[str, Any]:
    """The manifest as plain JSON."""
    plain: dict[str, Any] = json.loads(members_of(data)[MANIFEST])
    return plain


def edited(data: bytes, edit: Edit) -> bytes:
    """The bundle with its manifest's JSON changed and its id made right."""
    members = members_of(data)
    manifest = json.loads(members[MANIFEST])
    edit(manifest)
    manifest["bundle_id"] = ""
    manifest["bundle_id"] = sha256(canonical_json(manifest))
    members[MANIFEST] = canonical_json(manifest)
    return serialize(members)


def with_member(data: bytes, name: str, content: bytes) -> bytes:
    """The bundle with one member's contents changed, size and digest made right."""

    def edit(manifest: dict[str, Any]) -> None:
        for entry in manifest["members"]:
            if entry["name"] == name:
                entry |= {"size": len(content), "sha256": sha256(content)}

    members = members_of(data)
    assert name in members
    members[name] = content
    return edited(serialize(members), edit)


def with_signature(data: bytes, signature: bytes) -> bytes:
    """The bundle with those bytes as its signature file."""
    members = members_of(data)
    members.pop(SIGNATURE, None)
    return serialize({MANIFEST: members.pop(MANIFEST), SIGNATURE: signature, **members})
