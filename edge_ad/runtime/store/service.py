"""The first minutes of a bundle in service, after which it is trusted to run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic
from types import TracebackType

from edge_ad.bundle.bundle import Bundle
from edge_ad.detect.decision import Decision
from edge_ad.errors import (
    BundleError,
    ConfigurationError,
    InterpreterError,
    OutputError,
    StoreError,
    Terminated,
)
from edge_ad.runtime.store.open import find_bundle
from edge_ad.runtime.store.store import ActiveBundle, Store, open_store

TRIAL_S = 180.0
_TRY_AGAIN_S = 60.0
_NOT_TO_BLAME = (KeyboardInterrupt, Terminated, ConfigurationError, OSError)


class Service:
    """A bundle in service, as a context: whatever ends it, the store learns how its trial went.

    The trial is over once the bundle has run for `trial_s` seconds and decides on a whole window at
    their end. A process that dies before has used up one of its starts, and so has one that ends with an
    error before any decision, such as for a channel that the stream does not have; one that ends in good
    order has not. A bundle that its interpreter refuses is rolled back at once.
    """

    def __init__(
        self,
        bundle: Bundle,
        store: Store,
        active: ActiveBundle | None,
        trial_s: float,
        say: Callable[[str], None],
        aside: Callable[[Callable[[], object]], object],
    ) -> None:
        self.bundle = bundle
        """What is to be run, an overlay included."""
        self.overlay_id: str | None = None
        """Of the overlay in force."""
        self._store = store
        self._say = say
        self._aside = aside
        self._bundle_id = bundle.manifest.bundle_id
        self._asset = bundle.manifest.asset
        self._over_at = monotonic() + trial_s
        self._on_trial = active is not None and active.on_trial
        self._has_decided = False

    @classmethod
    def start(
        cls,
        reference: str,
        store: Path | None,
        say: Callable[[str], None],
        trial_s: float = TRIAL_S,
        aside: Callable[[Callable[[], object]], object] = lambda work: work(),
    ) -> Service:
        """Open a bundle file, or begin the service of `@ASSET`; `say` hears of rollbacks.

        `aside` carries out what the store is to be told, for those who cannot wait for its lock.
        Raises BundleError, StoreError.
        """
        opened = open_store(store)
        if not reference.startswith("@"):
            bundle = find_bundle(reference, store).bundle
            _tell_ignored(bundle, say)
            return cls(bundle, opened, None, trial_s, say, aside)
        active = opened.begin(reference[1:])
        _tell_ignored(active.running, say)
        if active.notice:
            say(active.notice)
        service = cls(active.running, opened, active, trial_s, say, aside)
        if active.overlay is not None:
            service.overlay_id = opened.state(active.asset).overlays.get(active.bundle_id)
        return service

    @property
    def is_on_trial(self) -> bool:
        """Whether the store would roll it back for an error."""
        return self._on_trial

    def watched(self, emit: Callable[[Decision, str], None]) -> Callable[[Decision, str], None]:
        """`emit`, with an eye on what passes."""
        if not self._on_trial:
            return emit

        def watch(decision: Decision, stamp: str) -> None:
            emit(decision, stamp)
            self._has_decided = self._has_decided or decision.score is not None
            if self._on_trial and decision.score is not None and monotonic() >= self._over_at:
                self._tell(lambda: self._store.confirm(self._asset, self._bundle_id))

        return watch

    def __enter__(self) -> Service:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(error)

    def close(self, error: BaseException | None = None) -> None:
        """The service has ended, in good order or by `error`."""
        if not self._on_trial:
            return
        if isinstance(error, BundleError | InterpreterError):
            self._tell(lambda: self._fail(str(error)))
        elif self._has_decided or error is None or isinstance(error, _NOT_TO_BLAME):
            self._tell(lambda: self._store.ended_early(self._asset, self._bundle_id))

    def _fail(self, reason: str) -> None:
        after = self._store.fail(self._asset, self._bundle_id, reason)
        if after.active != self._bundle_id:
            self._say(f"rolled back: {(after.active or '')[:12]} is active again")

    def _tell(self, change: Callable[[], object]) -> None:
        """Tell the store; where it cannot be written, go on watching the machine and try again later."""
        self._over_at = monotonic() + _TRY_AGAIN_S

        def tell() -> None:
            try:
                change()
                self._on_trial = False
            except (OutputError, StoreError) as error:
                self._say(f"how the trial of {self._bundle_id[:12]} goes cannot be written down: {error}")

        self._aside(tell)


def _tell_ignored(bundle: Bundle, say: Callable[[str], None]) -> None:
    if bundle.manifest.unknown_keys:
        say(f"ignored, from a newer edge_ad: {', '.join(bundle.manifest.unknown_keys)}")
