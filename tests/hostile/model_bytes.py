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

    def place(self, cls: type[Table], table: int, name: str) -> int:
        """Where a table has a field."""
        vtable: int = table - struct.unpack_from("<i", self.content, table)[0]
        offset: int = struct.unpack_from("<H", self.content, vtable + 4 + 2 * cls.layout.index(name))[0]
        assert offset, f"{cls.__name__} has no {name}"
        return table + offset

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
            try:
                index = self.u32(self.place(OperatorEntry, operator, "opcode_index"))
            except AssertionError:  # 0, which is not written
                index = 0
            code = self.content[self.place(OperatorCode, codes[index], "deprecated_builtin_code")]
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

    def append_tables(self, targets: Sequence[int]) -> int:
        """A vector of tables at the end; the tables must be behind it, or be the same as before it was."""
        start = self.append(struct.pack("<I", len(targets)) + bytes(4 * len(targets)))
        for number, target in enumerate(targets):
            at = start + 4 + 4 * number
            self.put("I", at, (target - at) % 2**32)
        return start

    def append_table(self, cls: type[Table], vectors: dict[str, bytes], **numbers: tuple[str, int]) -> int:
        """A table at the end: vectors of bytes, and numbers with their codes, by the names of its fields."""
        width = 8 * (len(vectors) + len(numbers)) + 8
        offsets = [0] * len(cls.layout)
        for number, name in enumerate([*vectors, *numbers]):
            offsets[cls.layout.index(name)] = 8 + 8 * number
        head = struct.pack(f"<HH{len(offsets)}H", 4 + 2 * len(offsets), width, *offsets)
        vtable = self.append(head)
        table = self.append(bytes(width), 8)
        self.put("i", table, table - vtable)
        for number, content in enumerate(vectors.values()):
            vector = self.append(struct.pack("<I", len(content)) + content + b"\0")
            self.lead(table + 8 + 8 * number, vector)
        for number, (code, value) in enumerate(numbers.values(), len(vectors)):
            self.put(code, table + 8 + 8 * number, value)
        return table
