"""Public keys and signatures in the file formats of minisign, so that its stock program reads them too.

A signature is Ed25519 over the BLAKE2b-512 digest of the signed bytes, and a second one over the first
and the trusted comment (https://jedisct1.github.io/minisign/, "Signature format").
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import signal
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from edge_ad.errors import BundleSignatureError, KeyFileError, MissingDependencyError

MAX_KEY_FILE_BYTES = 4096
MAX_SIGNATURE_BYTES = 4096

_UNTRUSTED = "untrusted comment: "
_TRUSTED = "trusted comment: "
_KEY = b"Ed"
_PREHASHED = b"ED"
_CHILD_LIMIT_S = 60.0
"""Ten times what it takes on the slowest board."""
_LIBRARY = "cryptography.hazmat.primitives.asymmetric.ed25519"


@dataclass(frozen=True)
class PublicKey:
    """A key that signatures are checked with."""

    id_bytes: bytes
    """8 random bytes that name the key pair."""
    point: bytes
    """32 bytes."""

    @property
    def key_id(self) -> str:
        """The name in 16 hexadecimal digits, as minisign prints it."""
        return key_name(self.id_bytes)

    def text(self) -> str:
        """The public key file."""
        body = base64.b64encode(_KEY + self.id_bytes + self.point).decode()
        return f"{_UNTRUSTED}minisign public key {self.key_id}\n{body}\n"


@dataclass(frozen=True)
class Signature:
    """What a signature file says."""

    id_bytes: bytes
    signature: bytes
    """64 bytes, over the digest of the signed bytes."""
    comment: str
    """The trusted comment."""
    comment_signature: bytes
    """64 bytes, over `signature` and `comment`."""

    @property
    def key_id(self) -> str:
        """The name of the key that made it, as minisign prints it."""
        return key_name(self.id_bytes)

    def text(self) -> str:
        """The signature file."""
        first = base64.b64encode(_PREHASHED + self.id_bytes + self.signature).decode()
        second = base64.b64encode(self.comment_signature).decode()
        return f"{_UNTRUSTED}signature by key {self.key_id}\n{first}\n{_TRUSTED}{self.comment}\n{second}\n"


def key_name(id_bytes: bytes) -> str:
    """A key's name: its bytes as a little-endian number in hexadecimal."""
    return f"{int.from_bytes(id_bytes, 'little'):016X}"


def digest(content: bytes) -> bytes:
    """What is signed in place of the contents."""
    return hashlib.blake2b(content).digest()


def parse_public_key(text: str, name: str) -> PublicKey:
    """Read a public key file, or its second line alone. Raises KeyFileError naming `name`."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    try:
        raw = _decoded(lines[-1], 42)
    except (IndexError, ValueError) as error:
        raise KeyFileError(f"{name} is no minisign public key file (make one: edge-ad keys new)") from error
    if raw[:2] != _KEY or len(lines) > 2:
        raise KeyFileError(f"{name} is no minisign public key file (make one: edge-ad keys new)")
    return PublicKey(raw[2:10], raw[10:])


def read_public_key(path: Path) -> PublicKey:
    """Read a public key file. Raises KeyFileError."""
    return parse_public_key(read_key_text(path), str(path))


def read_key_text(path: Path) -> str:
    """The text of a key file. Raises KeyFileError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_KEY_FILE_BYTES + 1)
        if len(content) > MAX_KEY_FILE_BYTES:
            raise KeyFileError(f"{path} is too long for a key file")
        return content.decode()
    except OSError as error:
        raise KeyFileError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise KeyFileError(f"{path} is no key file") from error


def parse_signature(content: bytes) -> Signature:
    """Read a signature file: exactly four lines. Raises BundleSignatureError."""
    try:
        if len(content) > MAX_SIGNATURE_BYTES:
            raise ValueError("it is too long")
        lines = content.decode().removesuffix("\n").split("\n")
        if len(lines) != 4 or not lines[0].startswith(_UNTRUSTED) or not lines[2].startswith(_TRUSTED):
            raise ValueError("it must have four lines, the first and the third a comment")
        raw = _decoded(lines[1], 74)
        if raw[:2] != _PREHASHED:
            raise ValueError("only prehashed signatures are taken, not those of minisign -l")
        comment = lines[2].removeprefix(_TRUSTED)
        if not comment.replace("\t", " ").isprintable():  # minisign writes tabs
            raise ValueError("the comment holds characters that cannot be shown")
        return Signature(raw[2:10], raw[10:], comment, _decoded(lines[3], 64))
    except ValueError as error:  # UnicodeDecodeError is one
        raise BundleSignatureError(f"the signature is damaged: {error}") from error


def verify(key: PublicKey, signature: Signature, content: bytes) -> None:
    """Check that `key` made `signature` over `content`, comment included.

    Raises BundleSignatureError, MissingDependencyError where the library for it is not installed.
    """
    # The library takes some 8 MB, which a process that runs for years and checks once need not hold. A child
    # can only say that all is well; whatever else comes of it, the check is made here.
    if _LIBRARY in sys.modules or not _succeeds_in_a_child(lambda: _verify_here(key, signature, content)):
        _verify_here(key, signature, content)


def _succeeds_in_a_child(check: Callable[[], None]) -> bool:
    """Whether `check` returns in a process of its own; False where there can be none."""
    try:
        with warnings.catch_warnings():
            # Python 3.12 warns of threads; numpy's are idle, and the child does without numpy.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
    except (AttributeError, OSError):
        return False
    if child == 0:
        code = 1
        try:
            check()
            code = 0
        finally:
            os._exit(code)
    deadline = monotonic() + _CHILD_LIMIT_S
    while monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) == 0
        sleep(0.005)
    # Forked while another thread held a lock that the child waits for.
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _verify_here(key: PublicKey, signature: Signature, content: bytes) -> None:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise MissingDependencyError(missing_library(error)) from error
    try:
        public = Ed25519PublicKey.from_public_bytes(key.point)
        public.verify(signature.signature, digest(content))
        public.verify(signature.comment_signature, signature.signature + signature.comment.encode())
    except (InvalidSignature, ValueError) as error:
        raise BundleSignatureError(
            f"the signature by key {signature.key_id} was not made over these contents: they were changed "
            "after they were signed"
        ) from error


def missing_library(error: ImportError) -> str:
    """What to tell someone whose machine cannot check signatures."""
    return (
        f"signatures need the package cryptography ({error}): pip install 'edge-ad[signing]', or on Debian "
        "apt-get install python3-cryptography"
    )


def _decoded(line: str, length: int) -> bytes:
    try:
        raw = base64.b64decode(line, validate=True)
    except binascii.Error as error:
        raise ValueError("it is not base64") from error
    if len(raw) != length or base64.b64encode(raw).decode() != line:
        raise ValueError("a line has the wrong length")
    return raw
