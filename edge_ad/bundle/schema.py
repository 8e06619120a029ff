"""The manifest's JSON Schema, made from its dataclasses.

`python -m edge_ad.bundle.schema` prints what `manifest.schema.json` holds. The descriptions come from the
source text of `manifest.py`; nothing that reads bundles needs this module.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import sys
import types
from itertools import pairwise
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from edge_ad.bundle.codec import encode
from edge_ad.bundle.manifest import SCHEMA_VERSION, AlarmRuleEntry, Channel, CsvFormat, Manifest

Schema = dict[str, Any]

_SCALARS: dict[type, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
}
_MAJOR = SCHEMA_VERSION.partition(".")[0]
_RANGES: dict[tuple[type, str], Schema] = {
    (Manifest, "schema"): {"pattern": rf"^{_MAJOR}\.[0-9]{{1,4}}$"},
    (Channel, "name"): {"minLength": 1},
    (CsvFormat, "separator"): {"minLength": 1, "maxLength": 1, "pattern": r'^[^\r\n"]$'},
    (AlarmRuleEntry, "k"): {"minimum": 1},
}
"""What the classes check beyond types, as far as a schema can say it: never more than they check."""
_NEVER_WRITTEN = {"unknown_keys"}


def manifest_schema() -> Schema:
    """The JSON Schema (draft 2020-12) of manifests of this program's own schema version."""
    definitions: dict[str, Schema] = {}
    top = _object(Manifest, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:edge-ad:manifest:{SCHEMA_VERSION}",
        "title": f"Manifest of an .edgead bundle, schema {SCHEMA_VERSION}",
        **top,
        "$defs": definitions,
    }


def schema_text() -> str:
    """The contents of `manifest.schema.json`: sorted keys, so that equal schemas are equal bytes."""
    return json.dumps(manifest_schema(), sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def _object(cls: type, definitions: dict[str, Schema]) -> Schema:
    """The schema of a dataclass; the dataclasses it holds go into `definitions`."""
    hints, documented = get_type_hints(cls), _field_docs(cls)
    properties, required = {}, []
    for field in dataclasses.fields(cls):
        if field.name in _NEVER_WRITTEN:
            continue
        entry = _type(hints[field.name], definitions) | _RANGES.get((cls, field.name), {})
        if field.name in documented:
            entry["description"] = documented[field.name]
        if field.default is dataclasses.MISSING:
            required.append(field.name)
        else:
            entry["default"] = encode(field.default)
        properties[field.name] = entry
    return {
        "type": "object",
        "description": _one_line(inspect.getdoc(cls) or ""),
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _type(hint: Any, definitions: dict[str, Schema]) -> Schema:
    """The schema of a type, as `codec.decode` understands it."""
    origin, arguments = get_origin(hint), get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if hint.__name__ not in definitions:
            definitions[hint.__name__] = {}  # holds the name, should a class hold itself
            definitions[hint.__name__] = _object(hint, definitions)
        return {"$ref": f"#/$defs/{hint.__name__}"}
    if origin is tuple:
        return {"type": "array", "items": _type(arguments[0], definitions)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _type(arguments[1], definitions)}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        (option,) = [argument for argument in arguments if argument is not type(None)]
        return {"anyOf": [_type(option, definitions), {"type": "null"}]}
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


if __name__ == "__main__":
    sys.stdout.write(schema_text())
