"""The text that an agent's configuration starts from, with placeholders for what differs by plant."""

from __future__ import annotations

import json
import re
import tomllib
from string import Template

from edge_ad.errors import ConfigurationError

PLACEHOLDERS = ("asset", "name", "store", "samples", "serial")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What the agent takes for the name of an asset, and for its own."""


def check_template(text: str) -> None:
    """Raises ValueError for an unknown placeholder, and for what is no TOML once they are filled in."""
    template = Template(text)
    if not template.is_valid():
        raise ValueError("template: a $ must stand before a placeholder's name; $$ is one $")
    used = template.get_identifiers()
    for name in used:
        if name not in PLACEHOLDERS:
            raise ValueError(f"template: unknown placeholder ${name}; known: ${', $'.join(PLACEHOLDERS)}")
    if "asset" not in used:
        raise ValueError("template: $asset must stand where the asset's name belongs")
    probe = 'a "b" \\ c'  # text that only stays whole between double quotes
    try:
        tomllib.loads(template.substitute(dict.fromkeys(PLACEHOLDERS, _escaped(probe))))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"template: {error}; placeholders stand between double quotes") from error


def render(text: str, *, asset: str, name: str, store: str, samples: str, serial: str) -> str:
    """The template with everything filled in. Raises ConfigurationError for names that the agent refuses."""
    for what, given in (("asset", asset), ("agent", name)):
        if not _NAME.fullmatch(given):
            raise ConfigurationError(
                f"the {what}'s name {given!r} must be 1 to 64 letters, digits, dots, hyphens and underscores"
            )
    values = {"asset": asset, "name": name, "store": store, "samples": samples, "serial": serial}
    return Template(text).substitute({key: _escaped(value) for key, value in values.items()})


def _escaped(value: str) -> str:
    """The value as it stands between the quotes of a TOML string."""
    # JSON escapes as TOML does, but leaves DEL, which TOML does not take
    return json.dumps(value, ensure_ascii=False)[1:-1].replace("\x7f", "\\u007f")
