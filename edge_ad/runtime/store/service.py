"""The first minutes of a bundle in service, after which it is trusted to run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic
from types import TracebackType

from edge_ad.bundle.bundle import Bundle
from edge_ad.detect.decision import Decision
from edge_ad.errors import BundleError, EdgeAdError, InterpreterError, Terminated
from edge_ad.runtime.store.open import find_bundle
from edge_ad.runtime.store.store import ActiveBundle, Store, default_store

TRIAL_S = 180.0


class Service:
    """A bundle in service, as a context: whatever ends it, the store learns how its trial went.

    The trial is over once the bundle has run for `trial_s` seconds and decides on a whole window at
    their end. A process that dies before has used up one of its starts; one that ends in good order,
    or for reasons that lie outside of the bundle, has not. A bundle that its interpreter refuses is
    rolled back at once.
    """

    def __init__(
        self,
        bundle: Bundle,
        store: Store,
        active: ActiveBundle | None,
        trial_s: float,
        say: Callable[[str], None],
    ) -> None:
        self.bundle = bundle
        """What is to be run, an overlay included."""
        self._store = store
        self._say = say
        self._bundle_id = bundle.manifest.bundle_id
        self._asset = bundle.manifest.asset
        self._over_at = monotonic() + trial_s
        self._on_trial = active is not None and active.on_trial

    @classmethod
    def start(
        cls, reference: str, store: Path | None, say: Callable[[str], None], trial_s: float = TRIAL_S
    ) -> Service:
        """Open a bundle file, or begin the service of `@ASSET`; `say` hears of rollbacks.

        Raises BundleError, StoreError.
        """
        opened = Store(store or default_store())
        if not reference.startswith("@"):
            return cls(find_bundle(reference, store).bundle, opened, None, trial_s, say)
        active = opened.begin(reference[1:])
        if active.notice:
            say(active.notice)
        return cls(active.running, opened, active, trial_s, say)

    def watched(self, emit: Callable[[Decision, str], None]) -> Callable[[Decision, str], None]:
        """`emit`, with an eye on what passes."""
        if not self._on_trial:
            return emit

        def watch(decision: Decision, stamp: str) -> None:
            emit(decision, stamp)
            if self._on_trial and decision.state != "unknown" and monotonic() >= self._over_at:
                self._on_trial = False
                self._store.confirm(self._asset, self._bundle_id)

        return watch

    def __enter__(self) -> Service:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._on_trial:
            return
        if isinstance(error, BundleError | InterpreterError):
            after = self._store.fail(self._asset, self._bundle_id, str(error))
            if after.active != self._bundle_id:
                self._say(f"rolled back to {(after.active or '')[:12]}, which runs at the next start")
        elif error is None or isinstance(error, EdgeAdError | KeyboardInterrupt | Terminated | OSError):
            self._store.ended_early(self._asset, self._bundle_id)
