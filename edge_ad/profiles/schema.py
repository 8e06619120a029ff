"""The JSON Schema of device profiles, made from their dataclasses, for editors and other programs.

`python -m edge_ad.profiles.schema` prints what `firmware_configs/profile.schema.json` holds.
"""

from __future__ import annotations

import sys

from edge_ad.bundle.json_schema import Schema, json_schema, schema_text
from edge_ad.profiles.fact import Fact
from edge_ad.profiles.patterns import (
    CODE_NAME,
    DATE,
    MACHINE,
    NAME,
    PACKAGE,
    PACKAGE_VERSION,
    REQUIREMENT,
    SOURCE,
    VERSION,
)
from edge_ad.profiles.profile import DeviceProfile, Hardware, RuntimeDefaults
from edge_ad.profiles.system import System


def _text(pattern: str) -> Schema:
    return {"pattern": f"^({pattern})$"}


def _texts(pattern: str) -> Schema:
    return {"items": {"type": "string", **_text(pattern)}}


def _optional(pattern: str) -> Schema:
    return {"anyOf": [{"type": "string", **_text(pattern)}, {"type": "null"}]}


_RANGES: dict[tuple[type, str], Schema] = {
    (DeviceProfile, "name"): _text(NAME.pattern),
    (DeviceProfile, "aliases"): _texts(NAME.pattern),
    (DeviceProfile, "systems"): {"minItems": 1},
    (Hardware, "cores"): {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
    (Hardware, "memory_mb"): {"items": {"type": "integer", "minimum": 1}},
    (RuntimeDefaults, "threads"): {"minimum": 1},
    (RuntimeDefaults, "memory_limit_mb"): {"minimum": 64, "maximum": 1_000_000},
    (RuntimeDefaults, "sample_period_s"): {"exclusiveMinimum": 0, "maximum": 86_400},
    (RuntimeDefaults, "deadline_ms"): {"exclusiveMinimum": 0},
    (RuntimeDefaults, "variant"): _text(NAME.pattern),
    (RuntimeDefaults, "latency"): {"minLength": 1},
    (RuntimeDefaults, "start_timeout_s"): {"minimum": 1, "maximum": 3600},
    (System, "os"): _text(CODE_NAME.pattern),
    (System, "architecture"): _text(MACHINE.pattern),
    (System, "python"): _text(VERSION.pattern),
    (System, "glibc"): _text(VERSION.pattern),
    (System, "interpreter_version"): _optional(PACKAGE_VERSION.pattern),
    (System, "apt"): _texts(PACKAGE.pattern),
    (System, "pip"): _texts(REQUIREMENT.pattern),
    (System, "variant"): _optional(NAME.pattern),
    (Fact, "keys"): {"minItems": 1},
    (Fact, "source"): _text(SOURCE.pattern),
    (Fact, "looked_up"): _text(DATE.pattern),
}
"""What the classes check beyond types, as far as a schema can say it: never more than they check."""


def profile_schema() -> Schema:
    """The JSON Schema (draft 2020-12) of a profile's TOML file."""
    return json_schema(
        DeviceProfile,
        identifier="urn:edge-ad:device-profile",
        title="Device profile of edge_ad",
        ranges=_RANGES,
    )


if __name__ == "__main__":
    sys.stdout.write(schema_text(profile_schema()))
