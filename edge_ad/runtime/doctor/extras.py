"""Packages that only some sources and sinks need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edge_ad.runtime.doctor.agent_files import AgentFiles
from edge_ad.runtime.doctor.finding import Finding, fail, ok, skip
from edge_ad.runtime.doctor.machine import Machine


@dataclass(frozen=True)
class Extra:
    """An optional package."""

    package: str
    requirement: str
    purpose: str
    kinds: frozenset[str]
    """Of sources, sinks and tables of a configuration that need it."""


EXTRAS = (
    Extra("paho-mqtt", "paho-mqtt>=2.1", "MQTT sources and sinks", frozenset({"mqtt"})),
    Extra("pyserial", "pyserial", "serial sources", frozenset({"serial"})),
    Extra("gpiozero", "gpiozero", "GPIO sinks", frozenset({"gpio"})),
    Extra("waitress", "waitress", "the status page", frozenset({"http"})),
    Extra("prometheus-client", "prometheus-client", "/metrics", frozenset({"metrics"})),
    Extra("cryptography", "cryptography>=38", "bundles that must be signed", frozenset()),
)


def extras(machine: Machine, files: AgentFiles | None) -> Iterator[Finding]:
    """Which of them are installed; one that the configuration needs must be."""
    for extra in EXTRAS:
        version = machine.python.packages.get(extra.package)
        install = machine.pip_install(extra.requirement)
        if version is not None:
            yield ok("extra", f"{extra.package} {version}, for {extra.purpose}")
        elif files is not None and files.kinds & extra.kinds:
            kinds = ", ".join(sorted(files.kinds & extra.kinds))
            yield fail(
                "extra", f"{extra.package} is not installed, and {files.path} needs it ({kinds})", install
            )
        else:
            yield skip("extra", f"{extra.package} is not installed; it is for {extra.purpose}", install)
