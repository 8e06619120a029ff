"""Private keys, in minisign's own file format, with or without a passphrase."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ad.bundle.minisign import (
    PublicKey,
    Signature,
    digest,
    key_name,
    missing_library,
    read_key_text,
)
from edge_ad.errors import KeyFileError, MissingDependencyError, OutputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_NO_PASSPHRASE = b"\0\0"
_SCRYPT = b"Sc"
_HEADER = struct.Struct("<2s2s2s32sQQ")  # signature, key derivation, checksum algorithms; salt; limits
# libsodium's limits that stand for N = 2^17, r = 8, p = 1: 128 MiB and a fraction of a second.
_OPERATIONS, _MEMORY = 2**22, 2**27
_LARGEST_MEMORY = 2**30
"""What minisign itself writes by default; more is refused, since the file names the amount."""


@dataclass(frozen=True)
class SecretKey:
    """A key that signs; it is never shown."""

    id_bytes: bytes
    seed: bytes = field(repr=False)
    """32 bytes."""
    point: bytes
    """32 bytes, the public part."""

    @property
    def key_id(self) -> str:
        """The name of the pair, as minisign prints it."""
        return key_name(self.id_bytes)

    @property
    def public(self) -> PublicKey:
        """The key to hand out."""
        return PublicKey(self.id_bytes, self.point)

    def sign(self, content: bytes, comment: str) -> Signature:
        """Sign `content` and the comment; the same inputs give the same signature."""
        private = _ed25519().from_private_bytes(self.seed)
        signature = private.sign(digest(content))
        return Signature(self.id_bytes, signature, comment, private.sign(signature + comment.encode()))


def new_key() -> SecretKey:
    """A fresh key pair. Raises MissingDependencyError."""
    seed = secrets.token_bytes(32)
    return SecretKey(secrets.token_bytes(8), seed, public_part(seed))


def write_secret_key(path: Path, key: SecretKey, passphrase: str | None) -> None:
    """Write a private key file that only its owner may read; an existing file is never replaced.

    Raises OutputError.
    """
    body = key.id_bytes + key.seed + key.point
    body += hashlib.blake2b(b"Ed" + body, digest_size=32).digest()
    salt = bytes(32)
    method, operations, memory = _NO_PASSPHRASE, 0, 0
    if passphrase is not None:
        method, salt, operations, memory = _SCRYPT, secrets.token_bytes(32), _OPERATIONS, _MEMORY
        body = _masked(body, passphrase, salt, operations, memory)
    raw = _HEADER.pack(b"Ed", method, b"B2", salt, operations, memory) + body
    state = "encrypted" if passphrase is not None else "unencrypted"
    text = f"untrusted comment: minisign {state} secret key\n{base64.b64encode(raw).decode()}\n"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            os.fchmod(file.fileno(), 0o600)  # whatever the umask or an access list says
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise OutputError(f"{path} exists: a private key is never replaced, choose another name") from error
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error


def needs_passphrase(path: Path) -> bool:
    """Whether the private key file is encrypted. Raises KeyFileError."""
    return _raw(path)[2:4] == _SCRYPT


def read_secret_key(path: Path, passphrase: str | None) -> SecretKey:
    """Open a private key file. Raises KeyFileError, MissingDependencyError."""
    raw = _raw(path)
    algorithm, method, checksum, salt, operations, memory = _HEADER.unpack_from(raw)
    body = raw[_HEADER.size :]
    if algorithm != b"Ed" or checksum != b"B2" or method not in (_SCRYPT, _NO_PASSPHRASE):
        raise KeyFileError(f"{path} is no private key of a kind that is known here")
    if method == _SCRYPT:
        if passphrase is None:
            raise KeyFileError(f"{path} needs its passphrase")
        if memory > _LARGEST_MEMORY or operations > _LARGEST_MEMORY:
            raise KeyFileError(f"{path} asks for {memory} bytes of memory to be opened: refused")
        body = _masked(body, passphrase, salt, operations, memory)
    secret, check = body[:72], body[72:]
    absent = method == _NO_PASSPHRASE and check == bytes(32)  # minisign -W writes no checksum
    if not absent and hashlib.blake2b(b"Ed" + secret, digest_size=32).digest() != check:
        wrong = "the passphrase is wrong, or the file" if method == _SCRYPT else "the file"
        raise KeyFileError(f"{path}: {wrong} is damaged")
    key = SecretKey(secret[:8], secret[8:40], secret[40:])
    if public_part(key.seed) != key.point:
        raise KeyFileError(f"{path}: its private and its public part are not a pair")
    return key


def _raw(path: Path) -> bytes:
    lines = read_key_text(path).splitlines()
    try:
        raw = base64.b64decode(lines[1], validate=True)
    except (IndexError, binascii.Error) as error:
        raise KeyFileError(f"{path} is no private key file (make one: edge-ad keys new)") from error
    if len(raw) != _HEADER.size + 104:
        raise KeyFileError(f"{path} is no private key file; is it the public one?")
    return raw


def _masked(body: bytes, passphrase: str, salt: bytes, operations: int, memory: int) -> bytes:
    """The body with scrypt's output XORed over it, which both locks and opens it."""
    n, r, p = _scrypt_parameters(operations, memory)
    stream = hashlib.scrypt(
        passphrase.encode(), salt=salt, n=n, r=r, p=p, maxmem=_LARGEST_MEMORY + 2**24, dklen=len(body)
    )
    return bytes(a ^ b for a, b in zip(body, stream, strict=True))


def _scrypt_parameters(operations: int, memory: int) -> tuple[int, int, int]:
    """N, r and p for libsodium's limits: `pickparams` of its crypto_pwhash_scryptsalsa208sha256."""
    operations = max(operations, 32768)
    r = 8
    if operations < memory // 32:
        largest, p = operations // (r * 4), 1
    else:
        largest, p = memory // (r * 128), 0
    exponent = next(e for e in range(1, 63) if 2**e > largest // 2)
    if not p:
        p = max(1, min(operations // 4 // 2**exponent, 0x3FFFFFFF) // r)
    return 2**exponent, r, p


def public_part(seed: bytes) -> bytes:
    """The 32 bytes to hand out for 32 secret ones. Raises MissingDependencyError."""
    ed25519 = _ed25519()
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return ed25519.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _ed25519() -> type[Ed25519PrivateKey]:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise MissingDependencyError(missing_library(error)) from error
    return Ed25519PrivateKey
