"""The archive: a stored zip with one possible byte sequence for given contents."""

from __future__ import annotations

import hashlib
import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping

from edge_ad.errors import BundleArchiveError, BundleError, BundleMemberError, BundleTooLargeError

MANIFEST = "manifest.json"
SIGNATURE = "manifest.json.minisig"
"""The signature over the manifest's bytes, and through its digests over everything; not in every bundle."""

MAX_ARCHIVE_BYTES = 64 * 2**20
MAX_MANIFEST_BYTES = 4 * 2**20
MAX_MEMBERS = 256

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}(/[a-z0-9][a-z0-9._-]{0,63})?")
_DOS_DATE = 0x0021  # 1 January 1980, the zip format's zero


def serialize(members: Mapping[str, bytes]) -> bytes:
    """The archive's bytes for members in the given order.

    Written here and not with `zipfile`, whose header fields may change with the Python version.
    """
    body, directory = io.BytesIO(), io.BytesIO()
    for name, content in members.items():
        encoded = name.encode("ascii")
        # version needed, flags, method 0 (stored), time, date, crc, sizes, name length, no extra
        common = struct.pack(
            "<HHHHHIIIHH",
            *(20, 0, 0, 0, _DOS_DATE, zlib.crc32(content)),
            *(len(content), len(content), len(encoded), 0),
        )
        # made by: Unix, no comment, disk 0, no internal attributes, regular file 0644
        tail = struct.pack("<HHHII", 0, 0, 0, 0o100644 << 16, body.tell())
        directory.write(b"PK\x01\x02" + struct.pack("<H", 0x0314) + common + tail + encoded)
        body.write(b"PK\x03\x04" + common + encoded + content)
    counts = (0, 0, len(members), len(members), len(directory.getvalue()), body.tell(), 0)
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", *counts)
    return body.getvalue() + directory.getvalue() + end


def deserialize(data: bytes) -> dict[str, bytes]:
    """The members of an archive, in order; the manifest is the first.

    Accepts exactly the bytes that `serialize` writes for these members: no compression, links,
    folders, comments, gaps or trailing bytes. Raises BundleTooLargeError, BundleMemberError,
    BundleArchiveError.
    """
    if len(data) > MAX_ARCHIVE_BYTES:
        raise BundleTooLargeError(f"the bundle has more than {MAX_ARCHIVE_BYTES} bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(entries)
            members = {entry.filename: archive.read(entry) for entry in entries}
    except BundleError:
        raise
    # zipfile reports damage in many ways, struct.error and NotImplementedError among them; OverflowError
    # is for an offset beyond what the machine can address.
    except (
        *(zipfile.BadZipFile, ValueError, EOFError, OSError, RuntimeError, struct.error),
        OverflowError,
    ) as error:
        raise BundleArchiveError(
            f"not a complete bundle ({error or type(error).__name__}): copy or build it again"
        ) from error
    if serialize(members) != data:
        raise BundleArchiveError(
            "the archive holds bytes that belong to no member: it was not written by edge_ad"
        )
    return members


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    """Everything the directory says, before any member is read."""
    if len(entries) > MAX_MEMBERS:
        raise BundleTooLargeError(f"the bundle has more than {MAX_MEMBERS} members")
    names = [entry.orig_filename for entry in entries]  # zipfile cuts `filename` at a zero byte
    if not names or names[0] != MANIFEST:
        raise BundleArchiveError(f"the first member of a bundle is {MANIFEST}; this is another zip")
    if SIGNATURE in names[2:]:
        raise BundleMemberError(f"{SIGNATURE} must stand right after {MANIFEST}")
    if entries[0].file_size > MAX_MANIFEST_BYTES:
        raise BundleTooLargeError(f"the manifest has more than {MAX_MANIFEST_BYTES} bytes")
    # What they claim to unpack to, too: a zip bomb is small in the file.
    if sum(entry.file_size for entry in entries) > MAX_ARCHIVE_BYTES:
        raise BundleTooLargeError(f"the members have more than {MAX_ARCHIVE_BYTES} bytes in all")
    for name, entry in zip(names, entries, strict=True):
        if not _NAME.fullmatch(name):
            raise BundleMemberError(f"{name!r} is not a name that a bundle may hold")
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise BundleMemberError(f"{name} is a link or a device; a bundle holds plain files")
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise BundleArchiveError(f"{name}: members of a bundle are stored as they are")
    if len(set(names)) != len(names):
        raise BundleMemberError("the archive names a member twice")


def sha256(content: bytes) -> str:
    """SHA-256 in lower-case hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()
