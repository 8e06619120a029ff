"""What the store knows of one asset, and how it may change: values in, values out, no files."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from edge_ad.errors import BundleDowngradeError, StoreError

MAX_STARTS = 3
"""A bundle on trial that was started as often without proving itself is given up."""
MIN_KEPT = 2
"""Generations that are always kept: the active one and the one to go back to."""


@dataclass(frozen=True)
class Generation:
    """One installed bundle."""

    bundle_id: str
    build_number: int
    key_id: str
    """Name of the trusted key that signed it; empty for a bundle whose signature was not checked."""
    installed: str
    """ISO 8601, UTC."""


@dataclass(frozen=True)
class AssetState:
    """Everything that decides what runs for an asset."""

    asset: str
    schema: str = "1.0"
    sequence: int = 0
    """Number of changes so far; the journal's entries carry it."""
    generations: tuple[Generation, ...] = ()
    """In the order of their installation."""
    active: str | None = None
    """Id of the bundle that runs."""
    trial_starts: int | None = None
    """How often the active bundle was started without having proven itself; None once it has."""
    previous: tuple[str, ...] = ()
    """Ids of bundles that ran before, the latest last: where a rollback goes."""
    highest_build: dict[str, int] = field(default_factory=dict)
    """By key: the largest build number ever installed. Outlives the generations."""
    highest_id: dict[str, str] = field(default_factory=dict)
    """By key: the bundle that had it, which may come back."""
    failed: dict[str, str] = field(default_factory=dict)
    """Ids of bundles that were given up, and why."""
    overlays: dict[str, str] = field(default_factory=dict)
    """Bundle id -> id of the overlay in force for it."""

    def generation(self, bundle_id: str) -> Generation:
        """The installed bundle with that id, or the only one whose id starts so. Raises StoreError."""
        found = [g for g in self.generations if bundle_id and g.bundle_id.startswith(bundle_id)]
        if len(found) != 1:
            known = ", ".join(g.bundle_id[:12] for g in self.generations) or "none"
            what = "more than one" if found else "no"
            raise StoreError(f"{self.asset} has {what} bundle {bundle_id!r}; installed: {known}")
        return found[0]

    @property
    def on_trial(self) -> bool:
        """Whether the active bundle has yet to prove itself."""
        return self.trial_starts is not None


def installed(state: AssetState, generation: Generation, *, allow_downgrade: bool = False) -> AssetState:
    """With another generation. The same bundle again changes its key at most.

    Raises BundleDowngradeError for a build number that is not above all that came with the same key, unless
    it is that of the active bundle or of the latest.
    """
    others = tuple(g for g in state.generations if g.bundle_id != generation.bundle_id)
    highest = state.highest_build.get(generation.key_id, 0)
    is_new = len(others) == len(state.generations)
    known = generation.bundle_id in (state.active, state.highest_id.get(generation.key_id))
    if generation.build_number <= highest and not known and not allow_downgrade:
        whose = f"signed with key {generation.key_id}" if generation.key_id else "without a checked signature"
        raise BundleDowngradeError(
            f"it is build {generation.build_number}, and this machine already had build {highest} of "
            f"{state.asset} {whose}: build it with a higher --build-number, or allow the older one on this "
            "machine with --allow-downgrade"
        )
    return dataclasses.replace(
        state,
        generations=(*others, generation) if is_new else _replaced(state.generations, generation),
        highest_build=state.highest_build | {generation.key_id: max(highest, generation.build_number)},
        highest_id=state.highest_id
        | ({generation.key_id: generation.bundle_id} if generation.build_number > highest else {}),
    )


def activated(state: AssetState, bundle_id: str) -> AssetState:
    """With that generation active, on trial."""
    bundle_id = state.generation(bundle_id).bundle_id
    if bundle_id == state.active:
        return state
    previous = tuple(old for old in state.previous if old != bundle_id)
    # A bundle that never proved itself is nothing to go back to, unless there is nothing else.
    if state.active is not None and (not state.on_trial or not previous):
        previous = (*(old for old in previous if old != state.active), state.active)
    failed = {key: why for key, why in state.failed.items() if key != bundle_id}
    return dataclasses.replace(state, active=bundle_id, previous=previous, trial_starts=0, failed=failed)


def started(state: AssetState) -> AssetState:
    """With one more start of a bundle on trial."""
    if state.trial_starts is None:
        return state
    return dataclasses.replace(state, trial_starts=state.trial_starts + 1)


def start_undone(state: AssetState) -> AssetState:
    """Without the last start: it ended in good order before the trial was over, which proves nothing."""
    if not state.trial_starts:
        return state
    return dataclasses.replace(state, trial_starts=state.trial_starts - 1)


def confirmed(state: AssetState) -> AssetState:
    """With the active bundle proven."""
    return dataclasses.replace(state, trial_starts=None)


def rolled_back(state: AssetState, reason: str) -> AssetState:
    """Back to the bundle that ran before. Raises StoreError where there is none."""
    if state.active is None or not state.previous:
        raise StoreError(
            f"{state.asset} has no earlier bundle to go back to (edge-ad store activate takes any)"
        )
    return dataclasses.replace(
        state,
        active=state.previous[-1],
        previous=state.previous[:-1],
        trial_starts=None,
        failed=state.failed | {state.active: reason},
    )


def given_up(state: AssetState) -> bool:
    """Whether the bundle on trial has had its starts, and there is one to go back to."""
    return state.trial_starts is not None and state.trial_starts >= MAX_STARTS and bool(state.previous)


def overlaid(state: AssetState, bundle_id: str, overlay_id: str | None) -> AssetState:
    """With that overlay in force for a bundle, or with none."""
    others = {key: value for key, value in state.overlays.items() if key != bundle_id}
    return dataclasses.replace(state, overlays=others | ({bundle_id: overlay_id} if overlay_id else {}))


def collected(state: AssetState, keep: int) -> AssetState:
    """With the `keep` generations that matter most: the active one, those to go back to, then the newest.
    Those that were installed after the active one and wait for their turn are kept besides.

    Raises StoreError for fewer than two.
    """
    if keep < MIN_KEPT:
        raise StoreError(f"at least {MIN_KEPT} generations are kept: the active one and one to go back to")
    order = [state.active, *reversed(state.previous), *(g.bundle_id for g in reversed(state.generations))]
    kept = list(dict.fromkeys(bundle_id for bundle_id in order if bundle_id is not None))[:keep]
    kept += _waiting(state)
    return dataclasses.replace(
        state,
        generations=tuple(g for g in state.generations if g.bundle_id in kept),
        previous=tuple(old for old in state.previous if old in kept),
        overlays={key: value for key, value in state.overlays.items() if key in kept},
        failed={key: value for key, value in state.failed.items() if key in kept},
    )


def _waiting(state: AssetState) -> list[str]:
    ids = [generation.bundle_id for generation in state.generations]
    after = ids.index(state.active) + 1 if state.active in ids else 0
    return [bundle_id for bundle_id in ids[after:] if bundle_id not in (*state.failed, *state.previous)]


def _replaced(generations: tuple[Generation, ...], new: Generation) -> tuple[Generation, ...]:
    return tuple(
        dataclasses.replace(old, key_id=new.key_id) if old.bundle_id == new.bundle_id else old
        for old in generations
    )
