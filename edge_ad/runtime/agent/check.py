"""What of a configuration can be known to fail before anything runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

from edge_ad.bundle.manifest import Manifest
from edge_ad.errors import EdgeAdError
from edge_ad.runtime.agent.agent import shared
from edge_ad.runtime.agent.config import AgentConfig, AssetOptions
from edge_ad.runtime.mqtt.brokers import Brokers, need_paho
from edge_ad.runtime.sinks.sink import SinkContext
from edge_ad.runtime.snapshot import AgentSnapshot, History
from edge_ad.runtime.sources.decoder import open_decoder
from edge_ad.runtime.sources.source import SourceContext
from edge_ad.runtime.store.open import find_bundle
from edge_ad.runtime.troubles import Troubles


def check(
    config: AgentConfig, store: Path | None, say: Callable[[str], None]
) -> Iterator[tuple[str, Manifest | EdgeAdError]]:
    """Whatever is wrong, by the name of what it is about; for an asset in order the manifest of its bundle.

    Nothing is connected, opened for reading, or written. `say` hears of what may come right by itself.
    """
    troubles = Troubles(say)
    brokers = None
    try:
        brokers = Brokers(config.brokers, config.agent.name, troubles)
    except EdgeAdError as error:
        yield "broker", error
    for part in config.sinks:
        if brokers is None and part.kind == "mqtt":
            continue
        context = SinkContext(
            config.agent.name, part.name, troubles.at(part.name), lambda text: troubles.say("", text)
        )
        try:
            part.open(part.options, context, *(() if brokers is None else shared(part, brokers)))
        except EdgeAdError as error:
            yield part.name, error
    if config.http is not None:
        try:
            from edge_ad.runtime.http.server import HttpServer

            HttpServer(config.http, _Nobody(), troubles.at("http"), lambda text: troubles.say("http", text))
        except EdgeAdError as error:
            yield "http", error
    for asset in config.assets:
        try:
            yield asset.name, asyncio.run(_checked(asset, config, store, troubles))
        except EdgeAdError as error:
            yield asset.name, error


async def _checked(
    asset: AssetOptions, config: AgentConfig, store: Path | None, troubles: Troubles
) -> Manifest:
    """The manifest of the asset's bundle, which fits its format and can be run as configured."""
    part, note = config.sources[asset.name], troubles.at(asset.name)
    manifest = find_bundle(asset.reference, store).running.manifest
    manifest.variant(asset.variant)
    open_decoder(asset.format, manifest.input, [channel.name for channel in manifest.channels], note)
    if part.kind == "mqtt":
        need_paho()
    else:
        context = SourceContext(
            asset.name,
            manifest.sample_period_s,
            None,
            note,
            lambda text: None,
            manifest.snapshots,
            asset.format.layout(manifest.input),
        )
        await part.open(part.options, context).close()
    return manifest


class _Nobody:
    """An agent that nobody will look at."""

    def snapshot(self) -> AgentSnapshot:
        raise NotImplementedError

    def history(self, asset: str) -> History | None:
        raise NotImplementedError
