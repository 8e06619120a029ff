"""Attacks on the archive: bombs, paths, links, duplicates, and bytes that only some readers see."""

from __future__ import annotations

import dataclasses
import io
import stat
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_ad import errors
from edge_ad.bundle.archive import MANIFEST, serialize
from tests.forge import members_of
from tests.hostile.attack import Attack

FLOAT, INT8 = "models/tiny-float32.tflite", "models/tiny-int8.tflite"
GOLDEN = "golden/windows.npy"
CAP = 64 * 2**20


# --- a zip writer that lies ------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """A member, with everything that its two headers say of it."""

    name: bytes
    content: bytes
    flags: int = 0
    method: int = 0
    time: int = 0
    crc: int | None = None
    """The true one for None; the sizes likewise."""
    packed_size: int | None = None
    size: int | None = None
    mode: int = 0o100644
    extra: bytes = b""
    comment: bytes = b""
    local_name: bytes | None = None
    """Where the name beside the contents is another."""
    local_size: int | None = None
    behind: bytes = b""
    """Bytes after the contents."""
    offset: int | None = None


def zip_of(entries: Sequence[Entry], comment: bytes = b"", disk: int = 0) -> bytes:
    """A zip archive in the form of a bundle but for what the entries ask for."""
    body, directory = bytearray(), bytearray()
    for entry in entries:
        crc = zlib.crc32(entry.content) if entry.crc is None else entry.crc
        packed = len(entry.content) if entry.packed_size is None else entry.packed_size
        size = len(entry.content) if entry.size is None else entry.size
        name = entry.name if entry.local_name is None else entry.local_name
        local_size = size if entry.local_size is None else entry.local_size
        head = (20, entry.flags, entry.method, entry.time, 0x21, crc)
        offset = len(body) if entry.offset is None else entry.offset
        common = struct.pack("<HHHHHIIIHH", *head, packed, size, len(entry.name), len(entry.extra))
        tail = struct.pack("<HHHII", len(entry.comment), 0, 0, entry.mode << 16, offset)
        directory += b"PK\x01\x02" + struct.pack("<H", 0x0314) + common + tail
        directory += entry.name + entry.extra + entry.comment
        common = struct.pack("<HHHHHIIIHH", *head, packed, local_size, len(name), 0)
        body += b"PK\x03\x04" + common + name + entry.content + entry.behind
    counts = (disk, disk, len(entries), len(entries), len(directory), len(body), len(comment))
    return bytes(body + directory) + b"PK\x05\x06" + struct.pack("<HHHHIIH", *counts) + comment


def entries_of(data: bytes) -> list[Entry]:
    """The members of a bundle."""
    return [Entry(name.encode(), content) for name, content in members_of(data).items()]


def changed(member: str, **fields: object) -> Callable[[bytes], bytes]:
    """An attack on what the headers say of one member."""

    def make(data: bytes) -> bytes:
        wanted = member.encode()
        return zip_of([dataclasses.replace(e, **fields) if e.name == wanted else e for e in entries_of(data)])

    return make


def added(*entries: Entry) -> Callable[[bytes], bytes]:
    """An attack by members more."""
    return lambda data: zip_of([*entries_of(data), *entries])


def named(name: bytes) -> Callable[[bytes], bytes]:
    """An attack by the name of a member."""
    return changed(GOLDEN, name=name)


# --- what takes more than a field ------------------------------------------------------------------


def deflated(name: str, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> Callable[[bytes], bytes]:
    """The bundle with a member packed, as any zip program would."""

    def make(data: bytes) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", method) as archive:
            for known, old in members_of(data).items():
                archive.writestr(known, content if known == name else old)
        return stream.getvalue()

    return make


def overlapping(data: bytes, layers: int = 200, core: int = 200_000) -> bytes:
    """A bomb without compression: each member's contents are all the members after it."""
    entries, inner = [], bytes(core)
    for number in reversed(range(layers)):
        name = b"m%d" % number
        entries.append((name, inner))
        head = struct.pack(
            "<HHHHHIIIHH", 20, 0, 0, 0, 0x21, zlib.crc32(inner), *(len(inner),) * 2, len(name), 0
        )
        inner = b"PK\x03\x04" + head + name + inner
    manifest = members_of(data)[MANIFEST]
    start, directory = 30 + len(MANIFEST) + len(manifest), b""
    end = start + len(inner)
    rows = [(MANIFEST.encode(), manifest, 0)]
    rows += [(name, content, end - len(content) - 30 - len(name)) for name, content in reversed(entries)]
    for name, content, offset in rows:
        common = struct.pack(
            "<HHHHHIIIHH", 20, 0, 0, 0, 0x21, zlib.crc32(content), *(len(content),) * 2, len(name), 0
        )
        directory += b"PK\x01\x02" + struct.pack("<H", 0x0314) + common
        directory += struct.pack("<HHHII", 0, 0, 0, 0o100644 << 16, offset) + name
    first = zip_of([Entry(MANIFEST.encode(), manifest)])[:start]
    counts = (0, 0, len(rows), len(rows), len(directory), end, 0)
    return first + inner + directory + b"PK\x05\x06" + struct.pack("<HHHHIIH", *counts)


def with_end(**fields: int) -> Callable[[bytes], bytes]:
    """An attack on the last record: `size` and `offset` of the directory, `count` of its entries."""

    def make(data: bytes) -> bytes:
        result = bytearray(data)
        for key, value in fields.items():
            at, form = {"count": (-12, "<H"), "size": (-10, "<I"), "offset": (-6, "<I")}[key]
            struct.pack_into(form, result, len(result) + at, value)
        return bytes(result)

    return make


def with_far_offset(data: bytes) -> bytes:
    """A member that a 64-bit entry places beyond what any machine can address."""
    first, *others = entries_of(data)
    far = dataclasses.replace(first, extra=struct.pack("<HHQ", 1, 8, 2**64 - 1), offset=0xFFFFFFFF)
    return zip_of([far, *others])


def hidden_member(data: bytes) -> bytes:
    """A member that only a reader without the directory finds."""
    *others, last = entries_of(data)
    inner = zip_of([Entry(b"hidden", b"contents")])
    return zip_of([*others, dataclasses.replace(last, behind=inner[: inner.index(b"PK\x01\x02")])])


def tar_of(data: bytes) -> bytes:
    """The members in another kind of archive."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in members_of(data).items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def twice(name: str) -> Callable[[bytes], bytes]:
    """A member a second time, with other contents."""
    return added(Entry(name.encode(), b"other contents"))


def by_zipfile(data: bytes) -> bytes:
    """What unpacking and packing again with Python's own program gives."""
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w") as archive:
        for name, content in members_of(data).items():
            archive.writestr(name, content)
    return stream.getvalue()


def manifest_last(data: bytes) -> bytes:
    """The members in another order."""
    first, *others = members_of(data).items()
    return serialize(dict([*others, first]))


_INCOMPLETE, _FOREIGN = "not a complete bundle", "belong to no member"
_STORED, _NAME = "stored as they are", "not a name that a bundle may hold"
_ARCHIVE, _MEMBER, _LARGE = errors.BundleArchiveError, errors.BundleMemberError, errors.BundleTooLargeError

ATTACKS = (
    # No archive, or another one
    Attack("nothing", lambda data: b"", _ARCHIVE, _INCOMPLETE),
    Attack("text", lambda data: b"not a zip archive\n" * 100, _ARCHIVE, _INCOMPLETE),
    Attack("tar", tar_of, _ARCHIVE, _INCOMPLETE),
    Attack("no-members", lambda data: zip_of([]), _ARCHIVE, "another zip"),
    Attack("another-zip", lambda data: zip_of([Entry(b"word/document.xml", b"")]), _ARCHIVE, "another zip"),
    Attack("packed-again", by_zipfile, _ARCHIVE, _FOREIGN),
    Attack("half", lambda data: data[: len(data) // 2], _ARCHIVE, _INCOMPLETE),
    Attack("second-half", lambda data: data[len(data) // 2 :], _ARCHIVE, _INCOMPLETE),
    Attack("last-byte-missing", lambda data: data[:-1], _ARCHIVE, _INCOMPLETE),
    # Bombs
    Attack("file-beyond-cap", lambda data: data + bytes(CAP), _LARGE, "more than 67108864 bytes"),
    Attack("bomb-deflated", deflated(GOLDEN, bytes(CAP + 1)), _LARGE, "67108864 bytes in all"),
    Attack("bomb-below-cap", deflated(GOLDEN, bytes(CAP // 2)), _ARCHIVE, _STORED),
    Attack("bomb-bzip2", deflated(GOLDEN, bytes(2**22), zipfile.ZIP_BZIP2), _ARCHIVE, _STORED),
    Attack("bomb-lzma", deflated(GOLDEN, bytes(2**22), zipfile.ZIP_LZMA), _ARCHIVE, _STORED),
    Attack("bomb-claimed", changed(GOLDEN, size=2**32 - 2, packed_size=2**32 - 2), _LARGE, "in all"),
    Attack("bomb-overlapping", overlapping, _ARCHIVE, f"{_FOREIGN}|{_INCOMPLETE}"),
    Attack("manifest-beyond-cap", changed(MANIFEST, content=b" " * (2**22 + 1)), _LARGE, "the manifest has"),
    Attack("300-members", added(*(Entry(b"m%d" % i, b"") for i in range(300))), _LARGE, "256 members"),
    Attack("65000-members", added(*(Entry(b"m%d" % i, b"") for i in range(65_000))), _LARGE, "256 members"),
    # Names
    Attack("zip-slip", named(b"../../etc/cron.d/x"), _MEMBER, _NAME),
    Attack("zip-slip-inside", named(b"golden/../../x"), _MEMBER, _NAME),
    Attack("absolute-path", named(b"/etc/passwd"), _MEMBER, _NAME),
    Attack("backslashes", named(b"..\\..\\x"), _MEMBER, _NAME),
    Attack("drive-letter", named(b"c:windows.npy"), _MEMBER, _NAME),
    Attack("deep-folders", named(b"a/b/c"), _MEMBER, _NAME),
    Attack("hidden-file", named(b".profile"), _MEMBER, _NAME),
    Attack("empty-name", named(b""), _MEMBER, _NAME),
    Attack("long-name", named(b"a" * 60_000), _MEMBER, _NAME),
    Attack("zero-byte-in-name", named(b"golden/windows.npy\0.txt"), _MEMBER, _NAME),
    Attack("newline-in-name", named(b"golden/windows.npy\n"), _MEMBER, _NAME),
    Attack("terminal-escape-in-name", named(b"\x1b[2Jx"), _MEMBER, r"'\\x1b\[2Jx'"),
    Attack("upper-case-twin", added(Entry(b"Golden/windows.npy", b"")), _MEMBER, _NAME),
    Attack("direction-mark", changed(GOLDEN, name="g\u202eypn".encode(), flags=0x800), _MEMBER, _NAME),
    Attack("full-width-dots", changed(GOLDEN, name="．．/x".encode(), flags=0x800), _MEMBER, _NAME),
    Attack("utf-8-broken", changed(GOLDEN, name=b"\xff\xfe", flags=0x800), _ARCHIVE, _INCOMPLETE),
    Attack("windows-name", named(b"golden/windows.npy."), _MEMBER, "the manifest names"),
    # Kinds of members
    Attack("symlink", changed(GOLDEN, mode=stat.S_IFLNK | 0o777), _MEMBER, "link or a device"),
    Attack("named-pipe", changed(GOLDEN, mode=stat.S_IFIFO | 0o644), _MEMBER, "link or a device"),
    Attack("block-device", changed(GOLDEN, mode=stat.S_IFBLK | 0o644), _MEMBER, "link or a device"),
    Attack("folder", added(Entry(b"golden/", b"", mode=stat.S_IFDIR | 0o755)), _MEMBER, _NAME),
    Attack("folder-by-mode", added(Entry(b"golde", b"", mode=stat.S_IFDIR)), _MEMBER, "link or a device"),
    Attack("set-uid", changed(GOLDEN, mode=0o104755), _ARCHIVE, _FOREIGN),
    Attack("encrypted", changed(GOLDEN, flags=1), _ARCHIVE, _INCOMPLETE),
    Attack("unknown-method", changed(GOLDEN, method=99), _ARCHIVE, _STORED),
    # Which members
    Attack("two-manifests", twice(MANIFEST), _MEMBER, "names a member twice"),
    Attack("two-models", twice(INT8), _MEMBER, "names a member twice"),
    Attack("manifest-last", manifest_last, _ARCHIVE, "another zip"),
    Attack("member-more", added(Entry(b"extra", b"")), _MEMBER, "the manifest names"),
    Attack("member-less", lambda data: zip_of(entries_of(data)[:-1]), _MEMBER, "the manifest names"),
    # Two readers, two contents
    Attack("bytes-before", lambda data: b"#!/bin/sh\n" + data, _ARCHIVE, _FOREIGN),
    Attack("bytes-behind", lambda data: data + b"\0", _ARCHIVE, f"{_FOREIGN}|{_INCOMPLETE}"),
    Attack("two-archives", lambda data: zip_of([Entry(b"a", b"")]) + data, _ARCHIVE, _FOREIGN),
    Attack("comment", lambda data: zip_of(entries_of(data), comment=b"hello"), _ARCHIVE, _FOREIGN),
    Attack("member-comment", changed(GOLDEN, comment=b"hello"), _ARCHIVE, _FOREIGN),
    Attack("extra-field", changed(GOLDEN, extra=b"\xca\xfe\0\0"), _ARCHIVE, _FOREIGN),
    Attack("extra-field-cut", changed(GOLDEN, extra=b"\x01\0\xff\xff"), _ARCHIVE, _INCOMPLETE),
    Attack("gap", changed(GOLDEN, behind=b"between members"), _ARCHIVE, _FOREIGN),
    Attack("hidden-member", hidden_member, _ARCHIVE, _FOREIGN),
    Attack("two-names", changed(GOLDEN, local_name=b"golden/windows.npz"), _ARCHIVE, _INCOMPLETE),
    Attack("two-sizes", changed(GOLDEN, local_size=1), _ARCHIVE, _FOREIGN),
    Attack("size-too-small", changed(GOLDEN, size=100, packed_size=100), _ARCHIVE, _INCOMPLETE),
    Attack("two-directory-sizes", changed(GOLDEN, size=100), _ARCHIVE, _STORED),
    Attack("wrong-crc", changed(GOLDEN, crc=1), _ARCHIVE, _INCOMPLETE),
    Attack("time-stamp", changed(GOLDEN, time=0x6000), _ARCHIVE, _FOREIGN),
    Attack("data-descriptor", changed(GOLDEN, flags=8), _ARCHIVE, _FOREIGN),
    Attack(
        "several-disks", lambda data: zip_of(entries_of(data), disk=1), _ARCHIVE, f"{_FOREIGN}|{_INCOMPLETE}"
    ),
    # Offsets that lead elsewhere
    Attack("shared-contents", changed(INT8, offset=0), _ARCHIVE, _INCOMPLETE),
    Attack("member-outside", changed(GOLDEN, offset=2**31), _ARCHIVE, _INCOMPLETE),
    Attack("member-far-outside", with_far_offset, _ARCHIVE, _INCOMPLETE),
    Attack("directory-outside", with_end(offset=2**32 - 2), _ARCHIVE, _INCOMPLETE),
    Attack("directory-too-long", with_end(size=2**32 - 2), _ARCHIVE, _INCOMPLETE),
    Attack("directory-too-short", with_end(size=46), _ARCHIVE, f"{_FOREIGN}|{_INCOMPLETE}|another zip"),
    Attack("count-too-large", with_end(count=60_000), _ARCHIVE, f"{_FOREIGN}|{_INCOMPLETE}"),
)
