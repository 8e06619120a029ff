"""The steps from what a board is to what was ordered, each of which is skipped where it is done already.

Up to the bundle nothing changes for what runs. From there on the record says what was before, and whatever
fails, by then or in service, takes everything back to it.
"""

from __future__ import annotations

import contextlib
import hashlib
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_ad.errors import EdgeAdError, OutputError
from edge_ad.files import write_atomic
from edge_ad.runtime.install import environment, host, systemd
from edge_ad.runtime.install.bundles import active_bundles
from edge_ad.runtime.install.commands import attempt, tail
from edge_ad.runtime.install.layout import Layout
from edge_ad.runtime.install.order import BundleOrder, Order, ServiceOrder
from edge_ad.runtime.install.progress import Event, InstallError, Say, TakenBackError
from edge_ad.runtime.install.record import Before, InService, Record, read_record, write_record

_WORLD_READABLE = 0o644


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

    def __init__(self, order: Order, layout: Layout, uploads: Path, say: Say) -> None:
        self._order, self._layout, self._uploads, self._say = order, layout, uploads, say
        self._runtime = order.runtime
        self._record_file = layout.work / "record.json"
        self._has_touched_service = False

    def steps(self) -> Iterator[Step]:
        """All of them, in order."""
        runtime, layout = self._runtime, self._layout
        complete = layout.is_complete(runtime.release)
        origin = "from the index" if runtime.from_index else "without network"
        yield Step("uploads", "check what was uploaded", lambda: False, self._check_uploads)
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
                lambda: self._active() == bundle.bundle_id,
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
        record = read_record(self._record_file)
        for step in self.steps():
            if step.is_done():
                self._say(Event(step.name, "kept", step.text))
                continue
            self._say(Event(step.name, "begin", step.text))
            try:
                if step.changes and record.before is None:
                    record = Record(record.in_service, self._before())
                    write_record(self._record_file, record)
                said = step.do()
            except (EdgeAdError, OSError) as error:
                problem = error if isinstance(error, EdgeAdError) else InstallError(f"{step.name}: {error}")
                self._say(Event(step.name, "failed", str(problem)))
                if record.before is None:
                    raise problem from error
                self._take_back(record.before)
                raise _taken_back(problem, record.before) from error
            self._say(Event(step.name, "done", said))
            if step.name == "service" or (step.name == "switch" and not self._has_service()):
                record = Record(self._in_service())
                write_record(self._record_file, record)
        if record.before is not None:  # of a run that was cut off when all but this was done
            write_record(self._record_file, Record(self._in_service()))

    # --- steps that change nothing that runs ---------------------------------------------------------

    def _check_uploads(self) -> str:
        needed = self._order.files(with_environment=not self._layout.is_complete(self._runtime.release))
        for name in needed:
            path, digest = self._uploads / name, self._order.digests.get(name)
            if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                raise InstallError(f"{name} did not arrive whole: deploy again")
        environment.check_link(self._layout)
        return f"{len(needed)} files"

    def _room(self) -> str:
        host.check_room(self._layout, self._order.needs_bytes)
        return ""

    def _packages(self) -> str:
        missing = host.missing_packages(self._runtime.system_packages)
        host.install_packages(missing, self._uploads)
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
        for path in (*(layout.work / "incoming").glob("*"), *uploaded):
            path.unlink(missing_ok=True)
        return f"{len(removed)} releases removed" if removed else ""

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
            self._edge_ad("keys", "trust", self._readable(name), *self._store())
        return ""

    def _bundle(self, bundle: BundleOrder) -> str:
        file = self._readable(bundle.file)
        allow = ["--allow-downgrade"] if bundle.allow_downgrade else []
        return tail(self._edge_ad("store", "install", file, *allow, *self._store()))

    def _service_steps(self, service: ServiceOrder) -> Iterator[Step]:
        layout = self._layout
        yield Step(
            "settings",
            f"let {layout.config} name the asset",
            lambda: self._wanted_config(service) == _text(layout.config),
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
        present = _text(self._layout.config)
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
            write_atomic(candidate, text.encode())
            candidate.chmod(_WORLD_READABLE)
            self._edge_ad("agent", "--check", candidate, *self._store())
            if (present := _text(config)) is not None:
                write_atomic(config.with_name(f"{config.name}.before"), present.encode())
            write_atomic(config.resolve(), text.encode())  # it may be a link
        finally:
            candidate.unlink(missing_ok=True)
        return str(config)

    def _switch(self) -> str:
        environment.put_in_service(self._layout, self._runtime.release)
        return self._runtime.release

    def _serves(self) -> bool:
        return systemd.is_active() and read_record(self._record_file) == Record(self._in_service())

    def _serve(self) -> str:
        last, wanted = read_record(self._record_file).in_service, self._in_service()
        self._has_touched_service = True
        same = last is not None and (last.release, last.settings) == (wanted.release, wanted.settings)
        if same and systemd.is_active():
            systemd.reload()  # a bundle takes over without a sample lost
        else:
            systemd.restart()
        return systemd.wait_until_healthy(self._within_s(), self._complaint)

    # --- going back ----------------------------------------------------------------------------------

    def _before(self) -> Before:
        layout = self._layout
        paths = (layout.unit, layout.drop_in, layout.config)
        return Before(
            layout.release_in_service(),
            self._order.bundle.asset if self._order.bundle else "",
            self._active(),
            {str(path): _text(path) for path in paths},
            systemd.is_active(),
            systemd.is_enabled(),
        )

    def _take_back(self, before: Before) -> None:
        """As it was; what fails on the way back is told, and the rest is done all the same."""
        for what, restore in (
            ("runtime", self._restore_link),
            ("bundle", self._restore_bundle),
            ("files", self._restore_files),
            ("service", self._restore_service),
        ):
            try:
                self._say(Event(what, "taken-back", restore(before)))
            except (EdgeAdError, OSError) as error:
                self._say(Event(what, "failed", f"could not be taken back: {error}"))
        with contextlib.suppress(OutputError):
            write_record(self._record_file, Record(read_record(self._record_file).in_service))

    def _restore_link(self, before: Before) -> str:
        if self._layout.release_in_service() == before.release:
            return "as it was"
        if before.release is None:
            self._layout.bin.unlink(missing_ok=True)
            return "nothing was in service before"
        environment.put_in_service(self._layout, before.release)
        return before.release

    def _restore_bundle(self, before: Before) -> str:
        if self._active() == before.bundle_id:
            return "as it was"
        if before.bundle_id is None:
            return f"{before.asset} had no bundle before; the new one stays in the store and is not run"
        reason = "deploy: the service was not well with it"
        self._edge_ad("store", "rollback", before.asset, "--reason", reason, *self._store())
        if self._active() != before.bundle_id:
            self._edge_ad("store", "activate", before.asset, before.bundle_id, *self._store())
        return before.bundle_id[:12]

    def _restore_files(self, before: Before) -> str:
        texts = {Path(path): text for path, text in before.files.items()}
        config = texts.pop(self._layout.config, None)
        if config is None:
            self._layout.config.unlink(missing_ok=True)
        elif config != _text(self._layout.config):
            write_atomic(self._layout.config.resolve(), config.encode())
        if not before.was_enabled and systemd.is_enabled():
            systemd.enable(enabled=False)
        if systemd.texts(self._layout) != texts:
            systemd.write_texts(texts)
        return "as they were"

    def _restore_service(self, before: Before) -> str:
        if not systemd.is_there():
            return "there is no systemd"
        if not before.was_active:
            systemd.stop()
            return "stopped, as it was before"
        if systemd.is_active() and not self._has_touched_service:
            return "it never stopped"
        systemd.restart()
        return systemd.wait_until_healthy(self._within_s(), str)

    # --- looking -------------------------------------------------------------------------------------

    def _has_service(self) -> bool:
        return self._order.service is not None and systemd.is_there()

    def _within_s(self) -> float:
        return self._order.service.healthy_within_s if self._order.service else 60.0

    def _active(self) -> str | None:
        if self._order.bundle is None:
            return None
        fact = active_bundles(self._layout.store).get(self._order.bundle.asset)
        return fact.active if fact else None

    def _complaint(self) -> str:
        bundle = self._order.bundle
        if bundle is None or self._active() == bundle.bundle_id:
            return ""
        fact = active_bundles(self._layout.store).get(bundle.asset)
        why = fact.given_up.get(bundle.bundle_id) if fact else None
        return f"the agent gave the bundle up: {why or 'another one is active by now'}"

    def _in_service(self) -> InService:
        layout = self._layout
        digest = hashlib.sha256()
        for path in (layout.unit, layout.drop_in, layout.config):
            digest.update(f"{path}\0{_text(path)}\0".encode())
        return InService(layout.release_in_service() or "", self._active() or "", digest.hexdigest())

    def _store(self) -> tuple[str, str]:
        return "--store", str(self._layout.store)

    def _readable(self, name: str) -> Path:
        return host.readable_copy(self._uploads / name, self._layout.work / "incoming")

    def _edge_ad(self, *words: str | Path) -> str:
        """Our own command in the new environment, under the account that runs the agent."""
        program = self._layout.release(self._runtime.release) / "bin" / "edge-ad"
        code, output = attempt([program, *words], account=self._layout.account)
        if code:
            said = [line for line in output.splitlines() if line.startswith("edge-ad: ")]
            text = said[-1].removeprefix("edge-ad: ") if said else tail(output)
            error = InstallError(text or f"edge-ad {words[0]} ended with {code}")
            error.exit_code = code if code in (2, 3) else 1  # a bad bundle stays one
            raise error
        return output


def _write_unit(texts: dict[Path, str | None]) -> str:
    systemd.write_texts(texts)
    systemd.enable(enabled=True)
    return ""


def _taken_back(problem: EdgeAdError, before: Before) -> EdgeAdError:
    state = "what ran before runs on" if before.was_active else "the board is as it was before"
    error = TakenBackError(f"{problem}. It was taken back: {state}")
    error.exit_code = problem.exit_code
    return error


def _text(path: Path) -> str | None:
    """A file's text with its line ends as they are; None where there is none. Raises InstallError."""
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise InstallError(f"{path} on the board is no text in UTF-8: mend it first") from error
