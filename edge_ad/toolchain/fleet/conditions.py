"""What is asked of a fleet's index: `state=failed`, `f1<0.7`, `asset~pump-1*`."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from edge_ad.errors import ConfigurationError
from edge_ad.toolchain.fleet.record import AssetRecord

_FORM = re.compile(r"\s*([a-z_0-9]+)\s*(<=|>=|!=|=|<|>|~)\s*(.*?)\s*", re.S)
_SQL = {"=": "=", "!=": "<>", "<": "<", ">": ">", "<=": "<=", ">=": ">=", "~": "GLOB"}
COLUMNS: dict[str, str] = {field.name: str(field.type) for field in dataclasses.fields(AssetRecord)}
"""Name -> declared type of every column."""


@dataclass(frozen=True)
class Condition:
    """A column, an operator and a value; rows without that figure never fulfil it."""

    column: str
    operator: str
    value: str | int | float

    @property
    def sql(self) -> str:
        """With a placeholder for the value."""
        return f'"{self.column}" {_SQL[self.operator]} ?'


SORTS: dict[str, tuple[str, str]] = {
    "asset": ("asset", "ASC"),
    "worst-parity": ("parity_headroom", "ASC"),
    "worst-f1": ("f1", "ASC"),
    "newest": ("made", "DESC"),
    "slowest": ("seconds", "DESC"),
}
"""Name of an order -> column and direction. Rows without the figure come last."""


def parse_condition(text: str) -> Condition:
    """Read one condition. Raises ConfigurationError that says what can be asked."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ConfigurationError(
            f"{text!r} is no condition; write COLUMN, one of = != < > <= >= ~ (pattern), and a value, such "
            "as 'state=failed' or 'f1<0.7'"
        )
    column, operator, value = match.groups()
    if column not in COLUMNS:
        raise ConfigurationError(f"a fleet's index has no column {column!r}; there are: {', '.join(COLUMNS)}")
    declared = COLUMNS[column]
    if operator == "~" or not declared.startswith(("int", "float")):
        return Condition(column, operator, value)
    try:
        number = float(value)
    except ValueError:
        raise ConfigurationError(f"{column} is a number; {value!r} is none") from None
    return Condition(column, operator, number)
