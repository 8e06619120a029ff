"""Changing a `.tflite` file where it stands, without the library that would refuse to write such a thing."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from edge_ad.bundle.flatbuffer_reader import Table
from edge_ad.bundle.operators import ALLOWED
from edge_ad.bundle.tflite_schema import Model, OperatorCode, OperatorEntry, SubGraph


class ModelFile:
    """The bytes of a good model, and where its tables are in them."""

    def __init__(self, content: bytes) -> None:
        self.content = bytearray(content)

    # Reading

    def u32(self, at: int) -> int:
        """The number at a position."""
        value: int = struct.unpack_from("<I", self.content, at)[0]
        return value

    @property
    def root(self) -> int:
        """Position of the model's table."""
        return self.u32(0)

    @property
    def graph(self) -> int:
        """Position of the only subgraph."""
        return self.tables(Model, self.root, "subgraphs")[0]

    def _offset(self, cls: type[Table], table: int, name: str) -> int:
        vtable: int = table - struct.unpack_from("<i", self.content, table)[0]
        size, _ = struct.unpack_from("<HH", self.content, vtable)
        slot = 4 + 2 * cls.layout.index(name)
        return int(struct.unpack_from("<H", self.content, vtable + slot)[0]) if slot < size else 0

    def place(self, cls: type[Table], table: int, name: str) -> int:
        """Where a table has a field."""
        offset = self._offset(cls, table, name)
        assert offset, f"{cls.__name__} has no {name}"
        return table + offset

    def byte(self, cls: type[Table], table: int, name: str) -> int:
        """The first byte of a field's number; 0 for one that is not written."""
        offset = self._offset(cls, table, name)
        return self.content[table + offset] if offset else 0

    def target(self, cls: type[Table], table: int, name: str) -> int:
        """Where the offset in a field leads."""
        at = self.place(cls, table, name)
        return at + self.u32(at)

    def tables(self, cls: type[Table], table: int, name: str) -> list[int]:
        """Positions of a vector's tables."""
        vector = self.target(cls, table, name)
        places = range(vector + 4, vector + 4 + 4 * self.u32(vector), 4)
        return [place + self.u32(place) for place in places]

    def operator(self, name: str) -> int:
        """Position of the first operator of that name."""
        codes = self.tables(Model, self.root, "operator_codes")
        for operator in self.tables(SubGraph, self.graph, "operators"):
            index = self.byte(OperatorEntry, operator, "opcode_index")
            code = self.byte(OperatorCode, codes[index], "deprecated_builtin_code")
            if ALLOWED[code].name == name:
                return operator
        raise AssertionError(f"no {name}")

    def tensor(self, index: int) -> int:
        """Position of a tensor."""
        return self.tables(SubGraph, self.graph, "tensors")[index]

    def operand(self, operator: int, number: int, side: str = "inputs") -> int:
        """Position of a tensor that an operator uses."""
        vector = self.target(OperatorEntry, operator, side)
        return self.tensor(self.u32(vector + 4 + 4 * number))

    # Writing

    def put(self, code: str, at: int, *values: float) -> None:
        """Numbers at a position; `code` as in `struct`."""
        struct.pack_into(f"<{code}", self.content, at, *values)

    def lead(self, at: int, target: int) -> None:
        """Let an offset lead to a position behind it."""
        self.put("I", at, target - at)

    def append(self, content: bytes, alignment: int = 4) -> int:
        """Bytes at the end; returns their position."""
        self.content += bytes(-len(self.content) % alignment) + content
        return len(self.content) - len(content)

    def append_vector(self, code: str, values: Sequence[float]) -> int:
        """A vector of numbers at the end."""
        return self.append(struct.pack(f"<I{len(values)}{code}", len(values), *values))

    def append_table(
        self, cls: type[Table], vectors: dict[str, tuple[str, Sequence[float]]], **numbers: tuple[str, int]
    ) -> int:
        """A table at the end, by the names of its fields; `code, value` as in `struct` for each."""
        names = [*vectors, *numbers]
        offsets = [8 + 8 * names.index(name) if name in names else 0 for name in cls.layout]
        width = 8 + 8 * len(names)
        vtable = self.append(struct.pack(f"<HH{len(offsets)}H", 4 + 2 * len(offsets), width, *offsets))
        table = self.append(bytes(width), 8)
        self.put("i", table, table - vtable)
        for at, (code, values) in zip(range(table + 8, len(self.content), 8), vectors.values(), strict=False):
            self.lead(at, self.append_vector(code, values))
        for at, (code, value) in zip(
            range(table + 8 + 8 * len(vectors), table + width, 8), numbers.values(), strict=True
        ):
            self.put(code, at, value)
        return table
