"""Settings as the TOML text of a `--config` file."""

from __future__ import annotations

import json
from typing import Any

from edge_ad.bundle.codec import encode
from edge_ad.toolchain.settings import BuildSettings


def settings_toml(settings: BuildSettings) -> str:
    """The text that `load_settings` reads back as the same settings, over the defaults.

    TOML has no word for nothing: what is None is left out.
    """
    return "\n".join(_lines(encode(settings), "")) + "\n"


def _lines(table: dict[str, Any], path: str) -> list[str]:
    """Plain values first, then tables, as TOML wants them."""
    lines, behind = [], []
    for key, value in table.items():
        name = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            behind += ["", f"[{name}]", *_lines(value, name)]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for entry in value:
                behind += ["", f"[[{name}]]", *_lines(entry, name)]
        elif value is not None:
            lines.append(f"{key} = {_plain(value)}")
    return lines + behind


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_plain, value))}]"
    # JSON's words, numbers and escapes are TOML's, but for DEL, which JSON leaves as it is
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")
