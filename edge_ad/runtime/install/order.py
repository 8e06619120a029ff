"""What the workstation wants a board to be, as it crosses: one JSON file beside the files it names."""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA = "1.0"


@dataclass(frozen=True)
class RuntimeOrder:
    """An environment: which packages it holds, and where they come from."""

    release: str
    """Its id: a digest of everything below."""
    python: str
    """Version that the packages were chosen for, such as `3.11`."""
    requirements: tuple[str, ...]
    """Exact versions, dependencies included: `click==8.5.1`."""
    wheel: str
    """Our own, among the uploaded files."""
    pip: str
    """pip's own, among the uploaded files: what a board's system lacks or has is of no matter."""
    packages: tuple[str, ...]
    """Files of a wheelhouse, among the uploaded ones; without any, the board's package index has them."""
    sees_system: bool
    """Let the environment see Debian's Python packages: numpy on 32-bit boards."""
    system_packages: tuple[str, ...]
    """Debian packages that must be there."""

    @property
    def from_index(self) -> bool:
        """Whether the board needs its package index."""
        return not self.packages


@dataclass(frozen=True)
class BundleOrder:
    """A bundle that is to be active."""

    file: str
    """Among the uploaded files."""
    asset: str
    bundle_id: str
    build_number: int
    allow_downgrade: bool
    trusted_keys: tuple[str, ...]
    """Files of public keys, to be trusted first."""


@dataclass(frozen=True)
class ServiceOrder:
    """The agent as a service."""

    unit: str
    drop_in: str
    """What the board's profile adds to the unit; may be empty."""
    config: str
    """A whole configuration, for a board that has none, or for any with `replace_config`."""
    replace_config: bool
    asset_table: str
    """What is put at the end of a configuration that does not know the asset yet."""
    healthy_within_s: float
    """How long the service may take; after that everything is taken back."""


@dataclass(frozen=True)
class Order:
    """All of it."""

    schema: str
    runtime: RuntimeOrder
    bundle: BundleOrder | None
    service: ServiceOrder | None
    """None where the agent is not to run as a service."""
    needs_bytes: int
    """Room that the environment takes at the most."""
    digests: dict[str, str]
    """SHA-256 of every file by name. Those of an environment that is there already are not uploaded."""

    def files(self, *, with_environment: bool, with_bundle: bool) -> tuple[str, ...]:
        """Uploaded files that are needed, for an environment and for a bundle that are not there yet."""
        runtime, bundle = self.runtime, self.bundle
        return (
            *((runtime.wheel, runtime.pip, *runtime.packages) if with_environment else ()),
            *((bundle.file,) if bundle is not None and with_bundle else ()),
            *(bundle.trusted_keys if bundle is not None else ()),
        )
