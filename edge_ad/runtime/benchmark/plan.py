"""What is measured: every engine that is there, with every variant and number of threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_ad.bundle.manifest import Manifest
from edge_ad.errors import ConfigurationError
from edge_ad.runtime.engine import available_engines
from edge_ad.runtime.interpreter import NUMPY


@dataclass(frozen=True)
class Configuration:
    """One variant on one engine with so many threads."""

    engine: str
    variant: str
    threads: int

    @property
    def title(self) -> str:
        """For people."""
        threads = f", {self.threads} threads" if self.threads > 1 else ""
        return f"{self.variant} on {self.engine}{threads}"


def wanted_engines(engines: Sequence[str], available: Sequence[str] | None = None) -> list[str]:
    """The engines asked for; all that are available where none was. Raises ConfigurationError.

    None: those of this Python.
    """
    available = available_engines() if available is None else available
    for name in engines:
        if name not in available:
            raise ConfigurationError(
                f"the engine {name!r} is not installed here; there are: {', '.join(available)}. "
                "More come with: pip install 'edge-ad[device]'"
            )
    return list(dict.fromkeys(engines)) or list(available)


def wanted_variants(manifest: Manifest, variants: Sequence[str]) -> list[str]:
    """The variants asked for; all where none was. Raises ConfigurationError for one that is not there."""
    names = [variant.name for variant in manifest.variants]
    for name in variants:
        if name not in names:
            raise ConfigurationError(f"the bundle has no variant {name!r}; it has: {', '.join(names)}")
    return list(dict.fromkeys(variants)) or names


def configurations(
    engines: Sequence[str], variants: Sequence[str], threads: Sequence[int]
) -> list[Configuration]:
    """Every combination. numpy, which takes no notice of a number of threads, is measured once."""
    return [
        Configuration(engine, variant, number)
        for engine in engines
        for variant in variants
        for number in (threads if engine != NUMPY else (1,))
    ]
