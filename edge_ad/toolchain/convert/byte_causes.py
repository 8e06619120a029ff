"""What the bytes of a `.tflite` file are spent on: every stored byte belongs to one cause.

A flatbuffer may refer to one table or vector from many places, as edge_ad's own files do. The file is
therefore painted, byte by byte, with what refers to it: what is stored once counts once, and the causes add
up to the size of the file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import table
from flatbuffers.number_types import SOffsetTFlags, Uint16Flags, Uint32Flags

CAUSES = ("weights", "operators", "tensors", "quantization", "names", "metadata", "other")
"""`operators` and `tensors` are their descriptions; `other` is the file's header, its list of buffers and
the gaps that alignment leaves."""

_LENGTH = 4  # bytes of the number that stands before a vector


@dataclass(frozen=True)
class _Bytes:
    """A field that holds a vector of numbers, or a text (of items of one byte and a zero)."""

    item_size: int
    cause: str | None = None
    """None: that of the table it stands in."""


@dataclass(frozen=True)
class _Tables:
    """A field that holds a table, or a vector of tables."""

    kind: str
    is_vector: bool = True


_TEXT = _Bytes(1, "names")
_NUMBERS = _Bytes(4)
_CAUSE = {
    "OperatorCode": "operators",
    "SubGraph": "other",
    "Tensor": "tensors",
    "Quantization": "quantization",
    "Operator": "operators",
    "Options": "operators",
    "Buffer": "other",
    "Metadata": "metadata",
    "Signature": "names",
    "SignatureTensor": "names",
}
# The fields of each kind of table by their number in the schema.
_FIELDS: dict[str, dict[int, _Bytes | _Tables]] = {
    "Model": {
        1: _Tables("OperatorCode"),
        2: _Tables("SubGraph"),
        3: _TEXT,
        4: _Tables("Buffer"),
        5: _Bytes(4, "metadata"),
        6: _Tables("Metadata"),
        7: _Tables("Signature"),
    },
    "OperatorCode": {1: _Bytes(1)},
    "SubGraph": {0: _Tables("Tensor"), 1: _NUMBERS, 2: _NUMBERS, 3: _Tables("Operator"), 4: _TEXT},
    "Tensor": {0: _NUMBERS, 3: _TEXT, 4: _Tables("Quantization", is_vector=False), 7: _NUMBERS},
    "Quantization": {0: _NUMBERS, 1: _NUMBERS, 2: _NUMBERS, 3: _Bytes(8)},
    "Operator": {1: _NUMBERS, 2: _NUMBERS, 4: _Tables("Options", is_vector=False), 5: _Bytes(1), 8: _NUMBERS},
    "Options": {},
    "Buffer": {0: _Bytes(1, "weights")},
    "Metadata": {0: _Bytes(1)},
    "Signature": {0: _Tables("SignatureTensor"), 1: _Tables("SignatureTensor"), 2: _TEXT},
    "SignatureTensor": {0: _TEXT},
}


def bytes_by_cause(content: bytes) -> dict[str, int]:
    """Bytes by cause, in the order of `CAUSES`. Raises what flatbuffers raises for a damaged file."""
    painter = _Painter(content)
    root = schema.Model.GetRootAs(content, 0)
    painter.paint_table(root._tab.Pos, "Model", "other")
    painter.paint_metadata(root)
    counts = np.bincount(painter.causes, minlength=len(CAUSES))
    return {cause: int(counts[i]) for i, cause in enumerate(CAUSES)}


class _Painter:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self.causes = np.full(len(content), CAUSES.index("other"), np.uint8)
        self._done: set[tuple[int, str]] = set()

    def paint_table(self, position: int, kind: str, cause: str) -> None:
        """A table, its fields, and the tables below it."""
        if (position, kind) in self._done:
            return
        self._done.add((position, kind))
        found = table.Table(self._content, position)
        layout = position - found.Get(SOffsetTFlags, position)
        self._paint(layout, found.Get(Uint16Flags, layout), cause)
        self._paint(position, found.Get(Uint16Flags, layout + 2), cause)
        for number, what in _FIELDS[kind].items():
            offset = found.Offset(4 + 2 * number)
            if not offset:
                continue
            if isinstance(what, _Bytes):
                is_text = what is _TEXT
                size = _LENGTH + what.item_size * found.VectorLen(offset) + is_text
                self._paint(found.Vector(offset) - _LENGTH, size, what.cause or cause)
            elif what.is_vector:
                start, length = found.Vector(offset), found.VectorLen(offset)
                inner = _CAUSE[what.kind]
                self._paint(start - _LENGTH, _LENGTH + 4 * length, inner)
                for entry in range(start, start + 4 * length, 4):
                    self.paint_table(entry + found.Get(Uint32Flags, entry), what.kind, inner)
            else:
                self.paint_table(found.Indirect(offset + position), what.kind, _CAUSE[what.kind])

    def paint_metadata(self, model: schema.Model) -> None:
        """The buffers that hold metadata, which have been taken for weights, and data behind the tables."""
        metadata = {model.Metadata(i).Buffer() for i in range(model.MetadataLength())}
        for index in range(model.BuffersLength()):
            buffer = model.Buffers(index)
            cause = "metadata" if index in metadata else "weights"
            if buffer.Offset() > 1:  # a file of more than 2 GB holds its weights behind the flatbuffer
                self._paint(buffer.Offset(), buffer.Size(), cause)
            elif cause == "metadata" and not buffer.DataIsNone():
                offset = buffer._tab.Offset(4)
                start = buffer._tab.Vector(offset) - _LENGTH
                self._paint(start, _LENGTH + buffer.DataLength(), cause)

    def _paint(self, start: int, size: int, cause: str) -> None:
        if start < 0 or start + size > len(self._content):
            raise ValueError("a part of the file lies outside of it")
        self.causes[start : start + size] = CAUSES.index(cause)
