"""`edge-ad deploy`: a bundle, and the runtime it needs, onto a board."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_ad.bundle import bundle as bundles
from edge_ad.bundle.codec import canonical_json, encode
from edge_ad.errors import ConfigurationError, ConnectionFailedError, DeployError
from edge_ad.profiles import DeviceProfile, firmware_file, load_profile, pick
from edge_ad.runtime.install.facts import BoardFacts
from edge_ad.runtime.install.layout import UNIT
from edge_ad.runtime.install.order import SCHEMA, BundleOrder, Order, RuntimeOrder, ServiceOrder
from edge_ad.runtime.install.progress import Event
from edge_ad.toolchain.deploy.board import Board, python_of
from edge_ad.toolchain.deploy.requirements import Packages, packages_for
from edge_ad.toolchain.deploy.wheel import device_digest, device_wheel, pip_wheel, wheel_name
from edge_ad.toolchain.deploy.wheelhouse import check_fits, read_wheelhouse

Say = Callable[[Event], None]
_SOMEWHAT_MORE_S = 30.0


@dataclass(frozen=True)
class Wishes:
    """What the person who deploys wants, besides the bundle."""

    wheelhouse: Path | None = None
    profile: str | None = None
    """Name or file; None: the one that fits the board."""
    config: Path | None = None
    """The agent's configuration, in place of what is on the board."""
    samples: str | None = None
    """File on the board that the asset's samples are appended to."""
    trust: tuple[Path, ...] = ()
    """Public keys that the board is to trust."""
    allow_downgrade: bool = False
    service: bool = True
    gpio: bool = False
    healthy_within_s: float | None = None
    """None: somewhat more than the unit may take to start on that board."""


@dataclass(frozen=True)
class Prepared:
    """An order, and the files that go with it."""

    order: Order
    files: dict[str, bytes]
    profile: DeviceProfile
    packages: Packages
    facts: BoardFacts
    samples: str
    """File on the board that a configuration of ours reads."""

    def needed(self) -> tuple[str, ...]:
        """Files that the board does not have in use already."""
        bundle, active = self.order.bundle, self.facts.bundles
        has_bundle = bundle is not None and bundle.asset in active
        return self.order.files(
            with_environment=self.order.runtime.release not in self.facts.releases,
            with_bundle=bundle is not None
            and not (has_bundle and active[bundle.asset].active == bundle.bundle_id),
        )

    @property
    def upload_bytes(self) -> int:
        """What they come to."""
        return sum(len(self.files[name]) for name in self.needed())


def prepare(board: Board, bundle: Path | None, wishes: Wishes) -> Prepared:
    """Choose what the board needs. Nothing is changed there.

    Without a bundle it is an environment alone. Raises BundleError, ConfigurationError, DeployError,
    ConnectionFailedError.
    """
    files: dict[str, bytes] = {}
    bundle_order = None if bundle is None else _bundle_order(bundle, wishes, files)
    facts = board.facts()
    profile = _profile(facts, wishes.profile)
    runtime, packages = _runtime_order(board, facts, wishes, files)
    service = None
    asset = "" if bundle_order is None else bundle_order.asset
    samples = wishes.samples or f"/var/log/edge-ad/{asset}.csv"
    if bundle_order is not None and wishes.service and board.is_root:
        service = _service_order(asset, samples, profile, facts, wishes)
    order = Order(
        SCHEMA,
        runtime,
        bundle_order,
        service,
        packages.room_bytes,
        {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )
    return Prepared(order, files, profile, packages, facts, samples)


def plan(board: Board, prepared: Prepared) -> list[Event]:
    """The steps there; `kept` is what need not be done. Only order and installer are brought there."""
    return board.plan(_upload_order(board, prepared))


def apply(board: Board, prepared: Prepared, say: Say) -> None:
    """Bring what is missing there, and make the board what was ordered.

    Raises DeployError with the installer's exit code where it could not, or had to take it back;
    ConnectionFailedError where the connection broke, after which the same again comes to the same end.
    """
    needed = prepared.needed()
    size = prepared.upload_bytes
    _check_room(prepared, size)
    say(Event("upload", "begin", f"{len(needed)} files, {size / 1e6:.1f} MB"))
    order = _upload_order(board, prepared)
    for name in needed:
        board.upload(name, prepared.files[name])
    for name, content in prepared.files.items():
        if name.endswith(".deb"):
            board.upload(name, content)
    say(Event("upload", "done"))
    _finish(board, ("apply", order), say)


def remove(board: Board, say: Say, *, purge: bool) -> None:
    """Take edge_ad off a board. Raises as `apply` does."""
    _finish(board, ("remove", *(["--purge"] if purge else [])), say)
    board.clear()


def _upload_order(board: Board, prepared: Prepared) -> str:
    """Its path. Its name is used once: an earlier run that ends meanwhile takes its own away."""
    content = canonical_json(encode(prepared.order))
    return board.upload(f"order-{secrets.token_hex(8)}.json", content)


def _check_room(prepared: Prepared, uploads_bytes: int) -> None:
    """Before anything is sent; the installer looks again. Raises DeployError."""
    facts, order = prepared.facts, prepared.order
    wanted = uploads_bytes + (0 if order.runtime.release in facts.releases else order.needs_bytes)
    if facts.free_bytes is not None and facts.free_bytes < wanted:
        raise DeployError(
            f"the board has {facts.free_bytes / 1e6:.0f} MB free, and {wanted / 1e6:.0f} MB are needed: make "
            "room there (sudo apt-get clean; sudo journalctl --vacuum-size=50M), then deploy again"
        )


def _finish(board: Board, words: tuple[str, ...], say: Say) -> None:
    try:
        end = board.install(*words, say=say)
    except ConnectionFailedError as error:
        raise ConnectionFailedError(
            f"{error}. What was begun there is carried on by the board itself, whose end the next run shows"
        ) from error
    if end.exit_code:
        failure = DeployError(f"{board.name}: {end.text}")
        failure.exit_code = end.exit_code
        raise failure


def _bundle_order(path: Path, wishes: Wishes, files: dict[str, bytes]) -> BundleOrder:
    content = bundles.read_bytes(path)
    manifest = bundles.read(path).manifest
    # By its own name where that is plain: messages of the board name it.
    is_plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}\.edgead", path.name)
    name = path.name if is_plain else f"{manifest.bundle_id[:16]}.edgead"
    files[name] = content
    keys = []
    for number, key in enumerate(wishes.trust):
        keys.append(f"key-{number}.pub")
        try:
            files[keys[-1]] = key.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"cannot read {key}: {error.strerror}") from error
    return BundleOrder(
        name,
        manifest.asset,
        manifest.bundle_id,
        manifest.build_number,
        wishes.allow_downgrade,
        tuple(keys),
    )


def _profile(facts: BoardFacts, wanted: str | None) -> DeviceProfile:
    if wanted is not None:
        profile = load_profile(wanted)
        if facts.machine not in profile.architectures:
            raise DeployError(
                f"the profile {profile.name} is for {', '.join(profile.architectures)}, and the board has "
                f"{facts.machine}: leave --profile out, or give one that fits (edge-ad profiles list)"
            )
        return profile
    return pick(facts.board, facts.machine, facts.memory_mb)


def _runtime_order(
    board: Board, facts: BoardFacts, wishes: Wishes, files: dict[str, bytes]
) -> tuple[RuntimeOrder, Packages]:
    python = python_of(facts)
    packages = packages_for(python, gpio=wishes.gpio)
    identity = [python.short_version, *packages.pip, *packages.debian, device_digest()]
    release = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
    is_there = release in facts.releases
    if not is_there:
        files |= dict((device_wheel(), pip_wheel()))
    collected: tuple[str, ...] = ()
    if wishes.wheelhouse is not None:
        found = read_wheelhouse(wishes.wheelhouse)
        check_fits(found, python, wishes.wheelhouse)
        if not set(packages.pip) <= set(found.pip):
            raise DeployError(
                f"{wishes.wheelhouse} was made by edge_ad {found.edge_ad}, with other packages than this one "
                "takes: make it anew with edge-ad wheelhouse"
            )
        # Our own wheel and pip's are those of this edge_ad, whatever lies there.
        collected = tuple(n for n in found.files if not n.startswith(("edge_ad-", "pip-")))
        debs = sorted(path.name for path in wishes.wheelhouse.glob("*.deb"))
        if not is_there:
            files |= {name: (wishes.wheelhouse / name).read_bytes() for name in (*collected, *debs)}
    order = RuntimeOrder(
        release,
        python.short_version,
        packages.pip,
        wheel_name("edge-ad"),
        wheel_name("pip"),
        collected,
        bool(packages.debian),
        packages.debian,
    )
    return order, packages


def _service_order(
    asset: str, samples: str, profile: DeviceProfile, facts: BoardFacts, wishes: Wishes
) -> ServiceOrder:
    if wishes.config is not None:
        try:
            config = wishes.config.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"cannot read {wishes.config}: {error}") from error
    else:
        config = profile.agent_config(asset, store=facts.store, samples=samples)
    quoted_samples = json.dumps(samples, ensure_ascii=False)  # which is a string of TOML, too
    return ServiceOrder(
        firmware_file(UNIT).decode(),
        profile.unit_drop_in(),
        config,
        wishes.config is not None,
        f'[[asset]]\nname = "{asset}"\nsource = {{ kind = "follow", path = {quoted_samples} }}\n',
        wishes.healthy_within_s or profile.runtime.start_timeout_s + _SOMEWHAT_MORE_S,
    )
