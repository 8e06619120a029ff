"""A bundle in service: how its trial goes, and what the store makes of it."""

import fcntl

import pytest

from edge_ad import errors
from edge_ad.runtime.store import lock
from edge_ad.runtime.store.service import Service
from tests.runtime.stores import bundle_id, run_build


def serve(store, until, trial_s=0.0):
    said = []
    with Service.start("@toy", store.root, said.append, trial_s) as service:
        until(service)
    return said


def decide(state):
    class Decision:
        pass

    decision = Decision()
    decision.score = None if state == "unknown" else 1.0
    return lambda service: service.watched(lambda *a: None)(decision, "")


def test_a_service_goes_on_where_the_store_cannot_be_written(store, build, monkeypatch):
    path = build(1)
    store.install(path)
    store.activate("toy", bundle_id(path))
    monkeypatch.setattr(lock, "WAIT_S", 0.1)
    said = []
    with (store.root / "lock").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with Service.start("@toy", store.root, said.append, 0.0) as service:
            decide("normal")(service)
            decide("normal")(service)
    assert "not counted" in said[0]
    assert "another edge-ad" in said[1]
    assert store.state("toy").on_trial


def test_service_that_decides_is_confirmed(store, build):
    path = build(1)
    store.install(path)
    store.activate("toy", bundle_id(path))
    serve(store, decide("unknown"))
    assert store.state("toy").trial_starts == 0  # ended in good order, proved nothing
    serve(store, decide("normal"), trial_s=60)
    assert store.state("toy").trial_starts == 0
    serve(store, decide("alarm"))
    assert not store.state("toy").on_trial


def test_service_that_fails(store, build):
    old = run_build(store, build(1))
    path = build(2)

    def refuse(service):
        raise errors.BundleModelError("no such operator")

    def stumble(service):
        raise errors.DataError("no such file")

    def slip(service):
        raise errors.ConfigurationError("no such variant")

    def crash(service):
        raise RuntimeError("bug")

    store.install(path)
    store.activate("toy", bundle_id(path))
    with pytest.raises(errors.DataError):
        serve(store, lambda service: (decide("normal")(service), stumble(service)), trial_s=60)
    assert store.state("toy").trial_starts == 0
    with pytest.raises(errors.ConfigurationError):
        serve(store, slip)
    assert store.state("toy").trial_starts == 0
    with pytest.raises(errors.DataError):  # a channel that the stream does not have
        serve(store, stumble)
    assert store.state("toy").trial_starts == 1
    with pytest.raises(RuntimeError):
        serve(store, crash)
    assert store.state("toy").trial_starts == 2
    said = []
    with (
        pytest.raises(errors.BundleModelError),
        Service.start("@toy", store.root, said.append) as service,
    ):
        refuse(service)
    assert store.state("toy").active == old
    assert f"rolled back: {old[:12]} is active again" in said[0]
