"""Attacks on the signature and on the rules of who may sign."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable
from typing import Any

from edge_ad import errors
from edge_ad.bundle.archive import MANIFEST, SIGNATURE, serialize
from edge_ad.bundle.minisign import Signature, parse_signature
from edge_ad.bundle.secret_key import SecretKey
from edge_ad.bundle.signing import sign
from tests.forge import edited, members_of, with_member, with_signature
from tests.hostile.archives import INT8
from tests.hostile.attack import Attack, foreign_key, revoked_key, signed_only, signed_or_not, trusted_key

_ORDER_OF_ED25519 = 2**252 + 27742317777372353535851937790883648493


def signature_of(data: bytes) -> bytes:
    """The signature file that the trusted key makes for a bundle."""
    return members_of(sign(data, trusted_key()))[SIGNATURE]


def text(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """An attack on the bytes of a good signature file."""
    return lambda data: with_signature(data, change(signature_of(data)))


def parts(change: Callable[[Signature], Signature]) -> Callable[[bytes], bytes]:
    """An attack on what a good signature file says."""
    return text(lambda content: change(parse_signature(content)).text().encode())


def signed_by(key: Callable[[], SecretKey]) -> Callable[[bytes], bytes]:
    """The bundle in somebody's name."""
    return lambda data: sign(data, key())


def under_the_trusted_name(data: bytes) -> bytes:
    """Signed by a foreign key that calls itself by the trusted one's name."""
    return sign(data, dataclasses.replace(foreign_key(), id_bytes=trusted_key().id_bytes))


def then_edited(edit: Callable[[Any], object]) -> Callable[[bytes], bytes]:
    """The manifest changed behind a good signature, with its id made right."""
    return lambda data: with_signature(edited(data, edit), signature_of(data))


def other_model(data: bytes) -> bytes:
    """A model changed behind a good signature, with every digest made right."""
    content = bytearray(members_of(data)[INT8])
    content[-1] ^= 1
    return with_signature(with_member(data, INT8, bytes(content)), signature_of(data))


def of_another_build(data: bytes) -> bytes:
    """The trusted key's good signature over another build of the same asset."""
    return with_signature(data, signature_of(edited(data, lambda manifest: manifest.update(build_number=2))))


def under_another_name(data: bytes) -> bytes:
    """The signature as a member like any other."""
    return serialize({**members_of(data), "manifest.minisig": signature_of(data)})


def at_the_end(data: bytes) -> bytes:
    """The signature in the last place, where a reader in one go comes too late to it."""
    return serialize({**members_of(data), SIGNATURE: signature_of(data)})


def listed(data: bytes) -> bytes:
    """The signature among the members that it signs."""

    def edit(manifest: Any) -> None:
        manifest["members"].insert(0, {"name": SIGNATURE, "sha256": "0" * 64, "size": 0})

    changed = edited(data, edit)
    members = members_of(changed)
    return serialize({MANIFEST: members.pop(MANIFEST), SIGNATURE: signature_of(data), **members})


def malleable(signature: Signature) -> Signature:
    """The same signature with the group's order added to its number, which careless checks accept."""
    point, number = signature.signature[:32], int.from_bytes(signature.signature[32:], "little")
    return dataclasses.replace(
        signature, signature=point + (number + _ORDER_OF_ED25519).to_bytes(32, "little")
    )


def zeros(signature: Signature) -> Signature:
    """Nothing but zeros in both signatures."""
    return dataclasses.replace(signature, signature=bytes(64), comment_signature=bytes(64))


def commented(comment: str) -> Callable[[Signature], Signature]:
    """Another trusted comment."""
    return lambda signature: dataclasses.replace(signature, comment=comment)


def line(number: int, content: bytes) -> Callable[[bytes], bytes]:
    """Another line in the file."""

    def change(old: bytes) -> bytes:
        lines = old.split(b"\n")
        lines[number] = content
        return b"\n".join(lines)

    return change


def higher_limit(manifest: Any) -> None:
    """The edit that pays: an alarm that never comes."""
    for variant in manifest["variants"]:
        variant["limit"]["ucl"] = 1e308


def stripped(data: bytes) -> bytes:
    """A changed bundle whose former signature was taken out."""
    signed = members_of(sign(data, trusted_key()))
    del signed[SIGNATURE]
    return edited(serialize(signed), higher_limit)


def not_prehashed(content: bytes) -> bytes:
    """The old kind of signature, over the bytes themselves."""
    raw = base64.b64decode(content.split(b"\n")[1])
    return line(1, base64.b64encode(b"Ed" + raw[2:]))(content)


_BAD, _UNSIGNED = errors.BundleSignatureError, errors.BundleUnsignedError
_UNTRUSTED, _REVOKED = errors.BundleUntrustedKeyError, errors.BundleRevokedKeyError
_NOT_MADE, _LINES = "was not made over these contents", "must have four lines"

ATTACKS = (
    # Who signed
    Attack("signature-stripped", stripped, _UNSIGNED, "signed bundles only", signed_only),
    Attack("foreign-key", signed_by(foreign_key), _UNTRUSTED, "is not trusted here", signed_only),
    Attack("revoked-key", signed_by(revoked_key), _REVOKED, "was revoked", signed_only),
    Attack("revoked-key-where-optional", signed_by(revoked_key), _REVOKED, "was revoked", signed_or_not),
    Attack("trusted-name", under_the_trusted_name, _BAD, _NOT_MADE, signed_only),
    Attack("trusted-name-where-optional", under_the_trusted_name, _BAD, _NOT_MADE, signed_or_not),
    # What was signed
    Attack("edited-behind-signature", then_edited(higher_limit), _BAD, _NOT_MADE, signed_only),
    Attack("edited-where-optional", then_edited(higher_limit), _BAD, _NOT_MADE, signed_or_not),
    Attack("model-behind-signature", other_model, _BAD, _NOT_MADE, signed_only),
    Attack("signature-of-another-build", of_another_build, _BAD, _NOT_MADE, signed_only),
    Attack("comment-changed", parts(commented("edge_ad asset=pump build=9")), _BAD, _NOT_MADE, signed_only),
    Attack("signature-of-zeros", parts(zeros), _BAD, _NOT_MADE, signed_only),
    Attack("signature-malleable", parts(malleable), _BAD, _NOT_MADE, signed_only),
    # The file
    Attack("signature-empty", text(lambda content: b""), _BAD, _LINES, signed_only),
    Attack("signature-cut", text(lambda content: content[:100]), _BAD, _LINES, signed_only),
    Attack("signature-twice", text(lambda content: content * 2), _BAD, _LINES, signed_only),
    Attack("signature-long", text(lambda content: content * 100), _BAD, "too long", signed_only),
    Attack("signature-no-text", text(lambda content: b"\xff" * 300), _BAD, "is damaged", signed_only),
    Attack("signature-no-base64", text(line(1, b"?" * 100)), _BAD, "not base64", signed_only),
    Attack("signature-short", text(line(1, b"RUQ=")), _BAD, "wrong length", signed_only),
    Attack("comment-signature-missing", text(line(3, b"")), _BAD, "wrong length", signed_only),
    Attack("signature-not-prehashed", text(not_prehashed), _BAD, "prehashed", signed_only),
    Attack("comment-for-terminals", parts(commented("\x1b[2J")), _BAD, "cannot be shown", signed_only),
    Attack(
        "line-ends-of-another-system",
        text(lambda content: content.replace(b"\n", b"\r\n")),
        *(_BAD, "not base64|wrong length", signed_only),
    ),
    Attack("signature-damaged-where-nobody-asks", text(lambda content: b"to come"), _BAD, _LINES),
    # The place
    Attack("signature-elsewhere", under_another_name, errors.BundleMemberError, "the manifest names"),
    Attack("signature-at-the-end", at_the_end, errors.BundleMemberError, "right after"),
    Attack("signature-listed", listed, errors.BundleMemberError, "the manifest names"),
)
