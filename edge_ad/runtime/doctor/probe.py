"""The part of the examination that loads numpy, interpreters and bundles; it runs in a process of its own.

Each step is named before it is taken, so that what killed the process is known.
"""

from __future__ import annotations

import json
import os
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge_ad.bundle.codec import encode
from edge_ad.errors import (
    BundleError,
    BundleRevokedKeyError,
    BundleSignatureError,
    BundleUnsignedError,
    BundleUntrustedKeyError,
    ConfigurationError,
    EdgeAdError,
    MissingDependencyError,
    StoreDamagedError,
    StoreError,
)
from edge_ad.runtime.doctor.check_model import EXPECTED, WINDOW, check_model
from edge_ad.runtime.doctor.facts import AssetFact, EngineFact, KeysFact, StoreFact, Trouble
from edge_ad.runtime.engine import available_engines, open_model
from edge_ad.runtime.interpreter import engine_in_use, use_interpreter
from edge_ad.runtime.process import signal_name
from edge_ad.runtime.selftest import require_golden_scores
from edge_ad.runtime.store.state import AssetState
from edge_ad.runtime.store.store import Store

Say = Callable[..., None]
_LONGEST_TEXT = 2000
_UNTRUSTED = (BundleUnsignedError, BundleSignatureError, BundleUntrustedKeyError, BundleRevokedKeyError)


def probe(store: str, say: Say) -> None:
    """Try every engine, then the bundles that the store has active. `say` is called with what was found."""
    works = _probe_engines(say)
    root = Path(store)
    if root.is_dir():
        _probe_store(Store(root), say, test=works)


# Engines


def _probe_engines(say: Say) -> bool:
    """Whether the engine in use works."""
    say(step="the engines")
    try:
        in_use = engine_in_use()
    except ConfigurationError as error:
        say(engine_problem=str(error))
        return False
    works = False
    for name in available_engines():
        say(step=name)
        fact = _tried(name, name == in_use)
        works = works or (fact.in_use and not fact.problem)
        say(engine=encode(fact))
    if in_use not in available_engines():
        say(engine=encode(EngineFact(in_use, True, problem="it was asked for, and is not installed")))
    return works


def _tried(name: str, in_use: bool) -> EngineFact:
    """An engine, tried in a child: one that kills its process must not take the examination along."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns of threads; numpy's are idle, and its library minds the fork.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.write(writer, json.dumps(_try(name)).encode())
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if said:
        return EngineFact(name, in_use, **json.loads(said))
    if code < 0:
        died = signal_name(-code)
        return EngineFact(name, in_use, problem=f"it died of {died}", signal=died)
    return EngineFact(name, in_use, problem=f"its process ended with code {code}")


def _try(name: str) -> dict[str, Any]:
    found = {}
    try:
        use_interpreter(name)
        model = open_model(check_model(), stateful=False)
        result = model.reconstruct(np.array(WINDOW, np.float32))
        if not np.array_equal(result, np.array(EXPECTED, np.float32)):
            found["problem"] = f"it computes {result.tolist()} where {[*map(list, EXPECTED)]} is right"
    except EdgeAdError as error:
        found["problem"] = str(error)
    except Exception as error:  # noqa: BLE001  whatever a broken library raises is what was asked for
        found["problem"] = f"{type(error).__name__}: {error}"
    return {key: str(value)[:_LONGEST_TEXT] for key, value in found.items()}


# The store


def _probe_store(store: Store, say: Say, *, test: bool) -> None:
    say(step="the trusted keys")
    say(keys=encode(_keys(store)))
    say(step="the assets")
    try:
        states, damaged = store.assets(), store.damaged()
    except (StoreError, OSError) as error:
        say(store=encode(StoreFact(problem=str(error))))
        return
    say(store=encode(StoreFact(len(states) + len(damaged))))
    for folder in damaged:
        say(asset=encode(AssetFact(folder.name, trouble="state", problem=_damage(store, folder.name))))
    for state in states:
        say(step=f"the bundle of {state.asset}")
        say(asset=encode(_asset(store, state, test=test)))


def _keys(store: Store) -> KeysFact:
    try:
        policy = store.keyring.policy()
    except EdgeAdError as error:
        return KeysFact(problem=str(error))
    return KeysFact(len(policy.keys), len(policy.revoked), policy.require_signature)


def _damage(store: Store, folder: str) -> str:
    from urllib.parse import unquote

    try:
        store.state(unquote(folder))
    except (StoreDamagedError, StoreError) as error:
        return str(error)
    return "its state was damaged a moment ago"


def _asset(store: Store, state: AssetState, *, test: bool) -> AssetFact:
    trouble, problem = _bundle_problem(store, state, test=test)
    builds = {generation.bundle_id: generation.build_number for generation in state.generations}
    return AssetFact(
        state.asset,
        builds.get(state.active or ""),
        state.trial_starts,
        tuple(f"{bundle_id[:12]}: {reason}" for bundle_id, reason in state.failed.items()),
        trouble,
        problem,
    )


def _bundle_problem(store: Store, state: AssetState, *, test: bool) -> tuple[Trouble, str]:
    if state.active is None:
        return "inactive", "no bundle is active"
    try:
        bundle = store.active(state.asset).original
    except _UNTRUSTED as error:
        return "trust", str(error)
    except BundleError as error:
        return "bundle", str(error)
    except MissingDependencyError as error:
        return "dependency", str(error)
    except EdgeAdError as error:
        return "overlay" if state.active in state.overlays else "state", str(error)
    if not test:
        return "", ""
    try:
        require_golden_scores(bundle)
    except EdgeAdError as error:
        return "score", str(error)
    return "", ""
