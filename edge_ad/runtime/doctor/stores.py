"""The store: whether its state can be read, and what it has active verifies and scores as it should."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from edge_ad.runtime.doctor.facts import AssetFact, KeysFact, ProbeFacts
from edge_ad.runtime.doctor.finding import Finding, fail, ok, skip, warn
from edge_ad.runtime.doctor.machine import Machine


def stores(machine: Machine, facts: ProbeFacts, store: Path) -> Iterator[Finding]:
    """The store, its keys, and each asset."""
    option = f" --store {shlex.quote(str(store))}"
    if not store.is_dir():
        yield skip(
            "store",
            f"there is none in {store}: nothing is installed",
            f"edge-ad store install BUNDLE{option}",
        )
        return
    if facts.numpy is None or facts.numpy.problem:
        yield skip("store", f"{store} cannot be examined before numpy works", "edge-ad doctor")
        return
    if facts.keys is not None:
        yield _keys(facts.keys, option)
    if facts.store is not None and facts.store.problem:
        yield fail(
            "store",
            f"it cannot be read by {machine.account.name}: {facts.store.problem}",
            f"sudo edge-ad doctor{option}  # or as the account of the service",
        )
        return
    if facts.store is not None and not facts.store.n_assets:
        yield skip(
            "store", f"{store} is empty: nothing is installed", f"edge-ad store install BUNDLE{option}"
        )
    tested = not facts.engine_problem and not any(e.in_use and e.problem for e in facts.engines)
    for asset in facts.assets:
        yield from _asset(asset, option, machine, tested=tested)
    yield from _rest(facts, store, option)


def _keys(keys: KeysFact, option: str) -> Finding:
    if "Permission denied" in keys.problem:
        return skip("keys", keys.problem, f"sudo edge-ad doctor{option}")
    if keys.problem:
        return fail("keys", keys.problem, f"edge-ad keys trust FILE.pub{option}")
    if not keys.trusted and keys.required:
        return fail(
            "keys",
            "signatures are required, and no key is trusted: no bundle can run",
            f"edge-ad keys trust FILE.pub{option}",
        )
    if not keys.required:
        return warn(
            "keys",
            "signatures are not required: whoever can hand this machine a bundle decides what it runs",
            "edge-ad keys new NAME  # on the workstation; sign bundles with it (edge-ad sign), and here:",
            f"edge-ad keys trust NAME.pub{option}",
        )
    revoked = f", {keys.revoked} revoked" if keys.revoked else ""
    return ok("keys", f"signatures are required; {keys.trusted} trusted{revoked}")


def _asset(asset: AssetFact, option: str, machine: Machine, *, tested: bool) -> Iterator[Finding]:
    name = shlex.quote(asset.asset)
    build = "" if asset.build is None else f", build {asset.build}"
    what = f"{asset.asset}{build}"
    if asset.trouble:
        yield fail("bundle", f"{what}: {asset.problem}", *_fix(asset, name, option, machine))
    elif not tested:
        yield skip(
            "bundle", f"{what}: whole; not tried, as the engine in use does not work", "edge-ad doctor"
        )
    elif asset.trial_starts is None:
        yield ok("bundle", f"{what}: whole, and scores here as where it was built")
    elif asset.trial_starts > 1:
        yield warn(
            "bundle",
            f"{what}: whole, but on trial and started {asset.trial_starts} times without having lasted "
            "through it",
            f"edge-ad store log {name}{option}",
            "journalctl -u edge-ad-agent -n 100",
        )
    else:
        yield ok("bundle", f"{what}: whole, and scores here as where it was built; on trial")
    for given_up in asset.given_up:
        yield warn(
            "given-up-bundle",
            f"{asset.asset}: {given_up}",
            f"edge-ad store log {name}{option}",
            f"edge-ad store gc{option}  # forgets it, once newer ones are installed",
        )


def _fix(asset: AssetFact, name: str, option: str, machine: Machine) -> tuple[str, ...]:
    install = f"edge-ad store install BUNDLE{option}"
    return {
        "inactive": (f"edge-ad store activate {name}{option}",),
        "state": (install,),
        "bundle": (install, f"edge-ad store rollback {name}{option}  # or back to the one before"),
        "trust": (f"edge-ad keys list{option}", f"edge-ad keys trust FILE.pub{option}"),
        "dependency": (machine.pip_install("cryptography>=38"),),
        "overlay": (f"edge-ad store revert {name}{option}",),
        "score": (
            f"edge-ad verify @{name}{option}",
            f"edge-ad store rollback {name}{option}  # or back to the one before",
        ),
    }.get(asset.trouble, (install,))


def _rest(facts: ProbeFacts, store: Path, option: str) -> Iterator[Finding]:
    """What became of the assets that the probe did not get to."""
    if not facts.ending or not facts.engines:
        return
    if facts.store is None:
        text = f"{store} could not be examined: {facts.ending} at {facts.step}"
    else:
        text = (
            f"{facts.store.n_assets - len(facts.assets)} of {facts.store.n_assets} assets are not examined: "
        )
        text += f"{facts.ending} at {facts.step}"
    yield warn("store", text, f"edge-ad store list{option}", f"edge-ad verify @ASSET{option}")
