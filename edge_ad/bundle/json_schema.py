"""JSON Schemas made from dataclasses, saying what `codec.decode` takes.

The descriptions come from the classes' source text; nothing that reads values needs this module.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from edge_ad.bundle.codec import encode

Schema = dict[str, Any]

_SCALARS: dict[type, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
}


def json_schema(
    cls: type,
    *,
    identifier: str,
    title: str,
    ranges: Mapping[tuple[type, str], Schema],
    left_out: frozenset[str] = frozenset(),
) -> Schema:
    """The JSON Schema (draft 2020-12) of a dataclass.

    `ranges` adds, by class and field, what the classes check beyond types, as far as a schema can say it.
    `left_out` names fields that are never written.
    """
    maker = _Maker(ranges, left_out)
    top = maker.object(cls)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": identifier,
        "title": title,
        **top,
        "$defs": maker.definitions,
    }


def schema_text(schema: Schema) -> str:
    """The contents of a schema's file: sorted keys, so that equal schemas are equal bytes."""
    return json.dumps(schema, sort_keys=True, indent=2, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class _Maker:
    ranges: Mapping[tuple[type, str], Schema]
    left_out: frozenset[str]
    definitions: dict[str, Schema] = field(default_factory=dict)

    def object(self, cls: type) -> Schema:
        """The schema of a dataclass; the dataclasses it holds go into `definitions`."""
        hints, documented = get_type_hints(cls), _field_docs(cls)
        properties, required = {}, []
        for item in dataclasses.fields(cls):
            if item.name in self.left_out:
                continue
            entry = self.type(hints[item.name]) | self.ranges.get((cls, item.name), {})
            if item.name in documented:
                entry["description"] = documented[item.name]
            if item.default is dataclasses.MISSING:
                required.append(item.name)
            else:
                entry["default"] = encode(item.default)
            properties[item.name] = entry
        return {
            "type": "object",
            "description": _one_line(inspect.getdoc(cls) or ""),
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }

    def type(self, hint: Any) -> Schema:
        """The schema of a type, as `codec.decode` understands it."""
        origin, arguments = get_origin(hint), get_args(hint)
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            if hint.__name__ not in self.definitions:
                self.definitions[hint.__name__] = {}  # holds the name, should a class hold itself
                self.definitions[hint.__name__] = self.object(hint)
            return {"$ref": f"#/$defs/{hint.__name__}"}
        if origin is tuple:
            return {"type": "array", "items": self.type(arguments[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.type(arguments[1])}
        if origin is Literal:
            return {"enum": list(arguments)}
        if origin in (Union, types.UnionType):
            (option,) = [argument for argument in arguments if argument is not type(None)]
            return {"anyOf": [self.type(option), {"type": "null"}]}
        return dict(_SCALARS[hint])


def _field_docs(cls: type) -> dict[str, str]:
    """Field name -> the string that stands under it in the source, on one line."""
    (definition,) = ast.parse(inspect.getsource(cls)).body
    assert isinstance(definition, ast.ClassDef)  # noqa: S101  it is the source of a class
    found = {}
    for statement, below in pairwise(definition.body):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            found[statement.target.id] = _one_line(below.value.value)
    return found


def _one_line(text: str) -> str:
    return " ".join(text.split())
