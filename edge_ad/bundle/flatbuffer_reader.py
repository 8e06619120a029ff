"""Reading a flatbuffer of which nothing is taken on trust: every offset and count is checked before its use.

A program that trusts a flatbuffer reads wherever its offsets lead. Tables are declared as dataclasses (see
`tflite_schema`), and only what they declare may be there. A table's parts are read when asked for, so there
is no recursion, and what several tables share is read once.
"""

from __future__ import annotations

import dataclasses
import struct
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar, cast

from edge_ad.errors import BundleModelStructureError

MAX_OBJECTS = 500_000
"""Tables and vector elements of one file: twice what an unrolled window of a thousand samples needs."""

_U32 = struct.Struct("<I")
_I32 = struct.Struct("<i")
_VTABLE_HEAD = struct.Struct("<HH")

T = TypeVar("T", bound="Table")


class Table:
    """Base of the dataclasses that declare tables; a field without a default must be in the file."""

    layout: ClassVar[tuple[str, ...]] = ()
    """Names of the schema's fields in the order of their ids, those not declared included."""


class _FieldType(Protocol):
    size: int
    """Bytes in the table itself, and what their position is a multiple of."""

    def read(self, reader: Reader, at: int) -> Any: ...


@dataclass(frozen=True)
class _Scalar:
    format: struct.Struct

    @property
    def size(self) -> int:
        return self.format.size

    def read(self, reader: Reader, at: int) -> Any:
        return self.format.unpack_from(reader.content, at)[0]


@dataclass(frozen=True)
class _Numbers:
    code: str
    size: int = 4

    def read(self, reader: Reader, at: int) -> tuple[Any, ...]:
        return reader.numbers(reader.target(at), self.code)


@dataclass(frozen=True)
class _Bytes:
    alignment: int
    size: int = 4

    def read(self, reader: Reader, at: int) -> memoryview:
        start, count = reader.vector(reader.target(at), 1, self.alignment)
        return memoryview(reader.content)[start : start + count]


@dataclass(frozen=True)
class _Offset:
    size: int = 4

    def read(self, reader: Reader, at: int) -> int:
        return reader.target(at)


@dataclass(frozen=True)
class _Offsets:
    size: int = 4

    def read(self, reader: Reader, at: int) -> tuple[int, ...]:
        position = reader.target(at)
        offsets = reader.numbers(position, "I")  # each from its own place
        return tuple(position + 4 + 4 * index + offset for index, offset in enumerate(offsets))


def scalar(code: str, default: Any = 0) -> Any:
    """A number; `code` as in `struct`."""
    return dataclasses.field(default=default, metadata={"type": _Scalar(struct.Struct(f"<{code}"))})


def numbers(code: str) -> Any:
    """A vector of numbers, as a tuple."""
    return dataclasses.field(metadata={"type": _Numbers(code)})


def raw_bytes(alignment: int = 1) -> Any:
    """A vector of bytes, as a view of the file; None where it is absent."""
    return dataclasses.field(default=None, metadata={"type": _Bytes(alignment)})


def position() -> Any:
    """Position of a table, for `Reader.table`; None where it is absent."""
    return dataclasses.field(default=None, metadata={"type": _Offset()})


def positions() -> Any:
    """Positions of a vector of tables."""
    return dataclasses.field(metadata={"type": _Offsets()})


class Reader:
    """Reads tables of one file. Everything raises BundleModelStructureError for what is not well-formed."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._objects = 0
        self._tables: dict[tuple[type[Table], int], Any] = {}
        self._vtables: dict[tuple[type[Table], int], tuple[int, list[tuple[str, _FieldType, int]]]] = {}
        self._numbers: dict[tuple[str, int], tuple[Any, ...]] = {}

    def root(self, cls: type[T], identifier: bytes) -> T:
        """The table that the file is about."""
        if len(self.content) < 8 or self.content[4:8] != identifier:
            raise BundleModelStructureError(
                f"not a model: the identifier {identifier.decode()} is missing; copy or build it again"
            )
        return self.table(cls, self.target(0))

    def table(self, cls: type[T], position: int) -> T:
        """The table of that type at a position."""
        key = (cls, position)
        if key not in self._tables:
            self._tables[key] = self._read(cls, position)
        return cast(T, self._tables[key])

    def _read(self, cls: type[T], position: int) -> T:
        self._count(1)
        self._within(position, 4, 4, cls.__name__)
        size, fields = self._fields(cls, position - _I32.unpack_from(self.content, position)[0])
        self._within(position, size, 4, cls.__name__)
        values = {}
        for name, kind, offset in fields:
            at = position + offset  # inside the table, hence inside the file
            if at % kind.size:
                raise BundleModelStructureError(f"damaged: {name} of {cls.__name__} is not aligned")
            values[name] = kind.read(self, at)
        return cls(**values)

    def _fields(self, cls: type[Table], vtable: int) -> tuple[int, list[tuple[str, _FieldType, int]]]:
        """A table's size, and name, type and offset of the fields it has."""
        key = (cls, vtable)
        if key not in self._vtables:
            self._vtables[key] = self._read_vtable(cls, vtable)
        return self._vtables[key]

    def _read_vtable(self, cls: type[Table], vtable: int) -> tuple[int, list[tuple[str, _FieldType, int]]]:
        name_of_table = cls.__name__
        self._within(vtable, 4, 2, name_of_table)
        vtable_size, size = _VTABLE_HEAD.unpack_from(self.content, vtable)
        n_fields, odd = divmod(vtable_size - 4, 2)
        if odd or not 0 <= n_fields <= len(cls.layout) or size < 4:
            raise BundleModelStructureError(f"damaged or of another format: {name_of_table} has a bad size")
        self._within(vtable, vtable_size, 2, name_of_table)
        offsets = struct.unpack_from(f"<{n_fields}H", self.content, vtable + 4)
        declared = {field.name: field for field in dataclasses.fields(cast(Any, cls))}
        fields = []
        for name, offset in zip(cls.layout, offsets, strict=False):
            if offset == 0:
                continue
            if name not in declared:
                raise BundleModelStructureError(
                    f"{name_of_table} has {name}, which no model of a bundle has: convert it with edge_ad"
                )
            kind = declared.pop(name).metadata["type"]
            if not 4 <= offset <= size - kind.size:
                raise BundleModelStructureError(f"damaged: {name} leads outside of its {name_of_table}")
            fields.append((name, kind, offset))
        for name, field in declared.items():
            if field.default is dataclasses.MISSING:
                raise BundleModelStructureError(f"damaged: {name_of_table} has no {name}")
        return size, fields

    def target(self, at: int) -> int:
        """Where the offset leads that is stored at a position known to be inside."""
        offset: int = _U32.unpack_from(self.content, at)[0]
        self._within(at + offset, 4, 4, "an offset")
        if offset == 0:
            raise BundleModelStructureError(f"damaged: the offset at {at} leads to itself")
        return at + offset

    def vector(self, position: int, item_size: int, alignment: int) -> tuple[int, int]:
        """Where the items of a vector start, and how many there are."""
        self._within(position, 4, 4, "a vector")
        count: int = _U32.unpack_from(self.content, position)[0]
        self._within(position + 4, count * item_size, alignment, "a vector")
        return position + 4, count

    def numbers(self, position: int, code: str) -> tuple[Any, ...]:
        """The items of a vector of numbers."""
        key = (code, position)
        if key not in self._numbers:
            item_size = struct.calcsize(f"<{code}")
            start, count = self.vector(position, item_size, item_size)
            self._count(count)
            self._numbers[key] = struct.unpack_from(f"<{count}{code}", self.content, start)
        return self._numbers[key]

    def _within(self, position: int, size: int, alignment: int, what: str) -> None:
        if position < 0 or position + size > len(self.content):
            raise BundleModelStructureError(
                f"{what} leads outside of the file: it was cut short or damaged; copy or build it again"
            )
        if position % alignment:
            raise BundleModelStructureError(
                f"damaged: {what} starts at {position}, no multiple of {alignment}"
            )

    def _count(self, objects: int) -> None:
        self._objects += objects
        if self._objects > MAX_OBJECTS:
            raise BundleModelStructureError(
                f"more than {MAX_OBJECTS} objects: no model of a bundle has so many"
            )
