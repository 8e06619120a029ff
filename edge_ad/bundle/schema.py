"""The manifest's JSON Schema, made from its dataclasses.

`python -m edge_ad.bundle.schema` prints what `manifest.schema.json` holds. The descriptions come from the
source text of `manifest.py`; nothing that reads bundles needs this module.
"""

from __future__ import annotations

import sys

from edge_ad.bundle.json_schema import Schema, json_schema, schema_text
from edge_ad.bundle.manifest import SCHEMA_VERSION, AlarmRuleEntry, Channel, CsvFormat, Manifest

_MAJOR = SCHEMA_VERSION.partition(".")[0]
_RANGES: dict[tuple[type, str], Schema] = {
    (Manifest, "schema"): {"pattern": rf"^{_MAJOR}\.[0-9]{{1,4}}$"},
    (Channel, "name"): {"minLength": 1},
    (CsvFormat, "separator"): {"minLength": 1, "maxLength": 1, "pattern": r'^[^\r\n"]$'},
    (AlarmRuleEntry, "k"): {"minimum": 1},
}
"""What the classes check beyond types, as far as a schema can say it: never more than they check."""


def manifest_schema() -> Schema:
    """The JSON Schema (draft 2020-12) of manifests of this program's own schema version."""
    return json_schema(
        Manifest,
        identifier=f"urn:edge-ad:manifest:{SCHEMA_VERSION}",
        title=f"Manifest of an .edgead bundle, schema {SCHEMA_VERSION}",
        ranges=_RANGES,
        left_out=frozenset({"unknown_keys"}),
    )


if __name__ == "__main__":
    sys.stdout.write(schema_text(manifest_schema()))
