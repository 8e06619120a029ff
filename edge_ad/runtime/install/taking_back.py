"""The way back to what ran before a change that did not work."""

from __future__ import annotations

import contextlib
from pathlib import Path

from edge_ad.errors import EdgeAdError, OutputError
from edge_ad.runtime.install import environment, systemd
from edge_ad.runtime.install.installation import Installation
from edge_ad.runtime.install.progress import Event, Say
from edge_ad.runtime.install.record import Before, Record, read_record, write_record
from edge_ad.runtime.install.text_file import put_text, text_of


def take_back(
    installation: Installation, before: Before, say: Say, *, restart_within_s: float | None
) -> bool:
    """Make everything as it was; whether it is. What fails is told, and the rest is done all the same.

    `restart_within_s`: how long the service may take to come up again; None where it was not touched.
    """
    work = _TakingBack(installation, before, restart_within_s)
    failed = False
    for what, restore in (
        ("runtime", work.link),
        ("bundle", work.bundle),
        ("files", work.files),
        ("service", work.service),
    ):
        try:
            say(Event(what, "taken-back", restore()))
        except (EdgeAdError, OSError) as error:
            failed = True
            say(Event(what, "failed", f"could not be taken back: {error}"))
    if not failed:  # otherwise the next run tries again
        record = installation.layout.work / "record.json"
        with contextlib.suppress(OutputError, OSError):
            write_record(record, Record(read_record(record).in_service))
    return not failed


class _TakingBack:
    """Each part gives what it did."""

    def __init__(self, installation: Installation, before: Before, restart_within_s: float | None) -> None:
        self._installation, self._layout = installation, installation.layout
        self._before, self._restart_within_s = before, restart_within_s

    def link(self) -> str:
        before = self._before.release
        if self._layout.release_in_service() == before:
            return "as it was"
        if before is None:
            self._layout.bin.unlink(missing_ok=True)
            return "nothing was in service before"
        environment.put_in_service(self._layout, before)
        return before

    def bundle(self) -> str:
        done = []
        for asset, active in self._installation.active_bundles().items():
            wanted = self._before.bundles.get(asset)
            if wanted is None:
                done.append(f"{asset} had none before; the new one stays in the store and is not run")
            elif active != wanted:
                reason = "deploy: not well in service, or with it something else was not"
                self._installation.edge_ad("store", "rollback", asset, "--reason", reason)
                if self._installation.active(asset) != wanted:
                    self._installation.edge_ad("store", "activate", asset, wanted)
                done.append(f"{asset}: {wanted[:12]}")
        return ", ".join(done) or "as it was"

    def files(self) -> str:
        layout = self._layout
        texts = {Path(path): text for path, text in self._before.files.items()}
        config = texts.pop(layout.config, None)
        if config is None:
            layout.config.unlink(missing_ok=True)
        elif config != text_of(layout.config):
            put_text(layout.config, config)
        if not self._before.was_enabled and systemd.is_enabled():
            systemd.enable(enabled=False)
        if systemd.texts(layout) != texts:
            systemd.write_texts(texts)
        return "as they were"

    def service(self) -> str:
        if not systemd.is_there():
            return "there is no systemd"
        if not self._before.was_active:
            systemd.stop()
            return "stopped, as it was before"
        if self._restart_within_s is None and systemd.is_active():
            return "it never stopped"
        systemd.restart()
        return systemd.wait_until_healthy(self._restart_within_s or 60.0, str)
