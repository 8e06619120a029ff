"""The steps from what a board is to what was ordered, each of which is skipped where it is done already.

Up to the bundle nothing changes for what runs. From there on the record says what was before, and whatever
fails, by then or in service, takes everything back to it.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_ad.errors import EdgeAdError
from edge_ad.runtime.install import environment, host, systemd
from edge_ad.runtime.install.commands import tail
from edge_ad.runtime.install.installation import Installation
from edge_ad.runtime.install.layout import Layout
from edge_ad.runtime.install.order import BundleOrder, Order, ServiceOrder
from edge_ad.runtime.install.progress import Event, InstallError, Say, TakenBackError
from edge_ad.runtime.install.record import Before, Record, read_record, write_record
from edge_ad.runtime.install.taking_back import take_back
from edge_ad.runtime.install.text_file import put_text, text_of

_LEFT_BEHIND_S = 3600.0
"""An order that lies there for longer is waited for by nobody."""


@dataclass(frozen=True)
class Step:
    """Something to do."""

    name: str
    text: str
    """What it will do."""
    is_done: Callable[[], bool]
    do: Callable[[], str]
    """Gives what it did, or nothing. Raises EdgeAdError."""
    changes: bool = False
    """Whether it touches what is in service."""


class Deployment:
    """An order on its way to a board."""

    def __init__(self, order: Order, layout: Layout, order_file: Path, say: Say) -> None:
        """`order_file` is what `order` was read from; what it names lies beside it."""
        self._order, self._layout, self._say = order, layout, say
        self._order_file, self._uploads = order_file, order_file.parent
        self._runtime = order.runtime
        self._installation = Installation(layout, order.runtime.release)
        self._record_file = layout.work / "record.json"

    def steps(self) -> Iterator[Step]:
        """All of them, in order."""
        runtime, layout = self._runtime, self._layout
        complete = layout.is_complete(runtime.release)
        origin = "from the index" if runtime.from_index else "without network"
        yield Step("uploads", "check what was uploaded", lambda: not self._needed(), self._check_uploads)
        yield Step(
            "room", f"see that {self._order.needs_bytes / 1e6:.0f} MB are free", lambda: complete, self._room
        )
        if runtime.system_packages:
            yield Step(
                "packages",
                f"install Debian's {', '.join(runtime.system_packages)}",
                lambda: not host.missing_packages(runtime.system_packages),
                self._packages,
            )
        if self._order.bundle is not None:
            who = f"account {layout.account}, " if layout.account else ""
            yield Step(
                "account", f"{who}folder {layout.store}", lambda: host.is_prepared(layout), self._prepare
            )
        yield Step(
            "environment",
            f"install edge_ad and {len(runtime.requirements)} packages {origin} into "
            f"{layout.release(runtime.release)}",
            lambda: layout.is_complete(runtime.release),
            self._environment,
        )
        if (bundle := self._order.bundle) is not None:
            if bundle.trusted_keys:
                yield Step(
                    "trust",
                    f"trust {len(bundle.trusted_keys)} public keys",
                    lambda: all(map(self._is_trusted, bundle.trusted_keys)),
                    lambda: self._trust(bundle),
                )
            yield Step(
                "bundle",
                f"verify, test and activate build {bundle.build_number} of {bundle.asset} "
                f"({bundle.bundle_id[:12]}) in {layout.store}",
                lambda: self._installation.active(bundle.asset) == bundle.bundle_id,
                lambda: self._bundle(bundle),
                changes=True,
            )
            if (service := self._order.service) is not None:
                yield from self._service_steps(service)
            yield Step(
                "switch",
                f"let {layout.bin} lead to it",
                lambda: layout.release_in_service() == runtime.release,
                self._switch,
                changes=True,
            )
            if self._order.service is not None and systemd.is_there():
                yield Step(
                    "service", "start the service, and see that it is well", self._serves, self._serve, True
                )
        yield Step("clean", "remove what nothing needs any more", lambda: False, self._clean)

    def run(self) -> None:
        """Take all steps. Raises EdgeAdError; what was in service then is in service again."""
        environment.check_link(self._layout)
        record = read_record(self._record_file)
        for step in self.steps():
            try:
                if step.is_done():
                    self._say(Event(step.name, "kept", step.text))
                    continue
                self._say(Event(step.name, "begin", step.text))
                if step.changes and record.before is None:
                    record = Record(record.in_service, self._installation.before())
                    write_record(self._record_file, record)
                said = step.do()
            except Exception as error:
                problem = _as_ours(error, step)
                self._say(Event(step.name, "failed", str(problem)))
                if record.before is None:
                    raise problem from error
                touched = read_record(self._record_file).is_service_touched
                within_s = self._within_s() if touched else None
                is_back = take_back(self._installation, record.before, self._say, restart_within_s=within_s)
                raise _taken_back(problem, record.before, is_back=is_back) from error
            self._say(Event(step.name, "done", said))
            if step.name == "service" or (step.name == "switch" and not self._has_service()):
                record = self._present()
                write_record(self._record_file, record)
        if record.before is not None:  # of a run that was cut off when all but this was done
            write_record(self._record_file, self._present())

    # --- steps that change nothing that runs ---------------------------------------------------------

    def _check_uploads(self) -> str:
        needed = self._needed()
        for name in needed:
            path, digest = self._uploads / name, self._order.digests.get(name)
            if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                raise InstallError(f"{name} did not arrive whole: deploy again")
        return f"{len(needed)} files"

    def _room(self) -> str:
        host.check_room(self._layout, self._order.needs_bytes)
        return ""

    def _packages(self) -> str:
        missing = host.missing_packages(self._runtime.system_packages)
        files = [self._uploads / name for name in self._order.digests if name.endswith(".deb")]
        host.install_packages(missing, files)
        return ", ".join(missing)

    def _prepare(self) -> str:
        host.prepare(self._layout)
        return ""

    def _environment(self) -> str:
        environment.make_environment(self._layout, self._runtime, self._uploads)
        return self._runtime.release

    def _clean(self) -> str:
        layout = self._layout
        former = [path.name for path in layout.releases.iterdir() if layout.is_complete(path.name)]
        former.sort(key=lambda name: (layout.release(name) / ".complete").stat().st_mtime)
        # The one in service, the one just made, and the newest of the others, to go back to.
        keep = {layout.release_in_service() or "", self._runtime.release}
        others = [name for name in former if name not in keep]
        removed = environment.remove_old(layout, keep | set(others[-1:]))
        uploaded = [self._uploads / name for name in self._order.digests]
        for path in (*(layout.work / "incoming").glob("*"), *uploaded, *self._orders_done_with()):
            path.unlink(missing_ok=True)
        return f"{len(removed)} releases removed" if removed else ""

    def _orders_done_with(self) -> Iterator[Path]:
        """Our own, and those of runs that were interrupted; not that of a run which waits for this one."""
        yield self._order_file
        for path in self._uploads.glob("order-*.json"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _LEFT_BEHIND_S:
                    yield path

    # --- steps that change it ------------------------------------------------------------------------

    def _is_trusted(self, name: str) -> bool:
        """Whether the store has that key: a comment, and a line that is the key."""
        try:
            wanted = (self._uploads / name).read_text().split("\n")[1:2]
            keys = (self._layout.store / "trust").glob("*.pub")
            return any(path.read_text().split("\n")[1:2] == wanted for path in keys)
        except (OSError, UnicodeDecodeError):
            return False

    def _trust(self, bundle: BundleOrder) -> str:
        for name in bundle.trusted_keys:
            self._installation.edge_ad("keys", "trust", self._readable(name))
        return ""

    def _bundle(self, bundle: BundleOrder) -> str:
        file = self._readable(bundle.file)
        allow = ["--allow-downgrade"] if bundle.allow_downgrade else []
        self._installation.edge_ad("store", "install", file, "--no-activate", *allow)
        # By name: one that was given up here before is tried again, since somebody asks for it.
        return tail(self._installation.edge_ad("store", "activate", bundle.asset, bundle.bundle_id))

    def _service_steps(self, service: ServiceOrder) -> Iterator[Step]:
        layout = self._layout
        yield Step(
            "settings",
            f"let {layout.config} name the asset",
            lambda: self._wanted_config(service) == text_of(layout.config),
            lambda: self._settings(service),
            changes=True,
        )
        if layout.is_system and systemd.is_there():
            wanted = {layout.unit: service.unit, layout.drop_in: service.drop_in or None}
            yield Step(
                "unit",
                f"write {layout.unit}",
                lambda: systemd.texts(layout) == wanted and systemd.is_enabled(),
                lambda: _write_unit(wanted),
                changes=True,
            )

    def _wanted_config(self, service: ServiceOrder) -> str:
        present = text_of(self._layout.config)
        if service.replace_config or present is None:
            return service.config
        try:
            tables = tomllib.loads(present)
        except tomllib.TOMLDecodeError as error:
            raise InstallError(
                f"{self._layout.config} on the board is no TOML ({error}): mend it, or give one by --config"
            ) from error
        bundle = self._order.bundle
        names = [
            value
            for table in tables.get("asset", ())
            if isinstance(table, dict)
            for value in (table.get("bundle") or f"@{table.get('name')}",)
        ]
        if bundle is None or f"@{bundle.asset}" in names:
            return present
        return f"{present.rstrip()}\n\n{service.asset_table}"

    def _settings(self, service: ServiceOrder) -> str:
        config = self._layout.config
        text = self._wanted_config(service)
        candidate = config.with_name(f"{config.name}.new")
        config.parent.mkdir(parents=True, exist_ok=True)
        try:
            put_text(candidate, text, like=config if config.exists() else None)
            self._installation.edge_ad("agent", "--check", candidate)
            if (present := text_of(config)) is not None:
                put_text(config.with_name(f"{config.name}.before"), present, like=config)
            put_text(config, text)
        finally:
            candidate.unlink(missing_ok=True)
        return str(config)

    def _switch(self) -> str:
        environment.put_in_service(self._layout, self._runtime.release)
        return self._runtime.release

    def _serves(self) -> bool:
        return systemd.is_up() and read_record(self._record_file) == self._present()

    def _serve(self) -> str:
        record, wanted = read_record(self._record_file), self._installation.in_service()
        last = record.in_service
        write_record(self._record_file, Record(last, record.before, is_service_touched=True))
        same = last is not None and (last.release, last.settings) == (wanted.release, wanted.settings)
        if same and systemd.is_up():
            systemd.reload()  # a bundle takes over without a sample lost
        else:
            systemd.restart()
        return systemd.wait_until_healthy(self._within_s(), self._complaint)

    def _complaint(self) -> str:
        bundle = self._order.bundle
        return "" if bundle is None else self._installation.complaint(bundle.asset, bundle.bundle_id)

    def _needed(self) -> tuple[str, ...]:
        bundle = self._order.bundle
        return self._order.files(
            with_environment=not self._layout.is_complete(self._runtime.release),
            with_bundle=bundle is not None and self._installation.active(bundle.asset) != bundle.bundle_id,
        )

    # --- looking -------------------------------------------------------------------------------------

    def _present(self) -> Record:
        """What the record says once nothing is left to do."""
        return Record(self._installation.in_service())

    def _has_service(self) -> bool:
        return self._order.service is not None and systemd.is_there()

    def _within_s(self) -> float:
        return self._order.service.healthy_within_s if self._order.service else 60.0

    def _readable(self, name: str) -> Path:
        return host.readable_copy(self._uploads / name, self._layout.work / "incoming")


def _as_ours(error: Exception, step: Step) -> EdgeAdError:
    if isinstance(error, EdgeAdError):
        return error
    kind = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
    return InstallError(f"{step.name}: {kind}{error}")


def _write_unit(texts: dict[Path, str | None]) -> str:
    systemd.write_texts(texts)
    systemd.enable(enabled=True)
    return ""


def _taken_back(problem: EdgeAdError, before: Before, *, is_back: bool) -> EdgeAdError:
    state = "what ran before runs on" if before.was_active else "the board is as it was before"
    ending = f"It was taken back: {state}"
    if not is_back:
        ending = "NOT ALL OF IT COULD BE TAKEN BACK (see above): mend that, then deploy again"
    error = TakenBackError(f"{problem}. {ending}")
    error.exit_code = problem.exit_code
    return error
