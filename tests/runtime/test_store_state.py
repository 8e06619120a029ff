"""The store's rules, without files: any sequence of events leaves a state that makes sense."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.errors import BundleDowngradeError, StoreError
from edge_ad.runtime.store import state as states
from edge_ad.runtime.store.state import AssetState, Generation


def generation(number, key=""):
    return Generation(f"{number:064x}", number, key, "2026-01-01T00:00:00+00:00")


def with_builds(*numbers):
    found = AssetState("pump")
    for number in numbers:
        found = states.installed(found, generation(number))
    return found


def test_an_older_build_is_refused_even_after_the_newer_one_is_gone():
    found = states.confirmed(states.activated(with_builds(1, 2, 3, 9), generation(1).bundle_id))
    found = states.activated(found, generation(9).bundle_id)
    found = states.collected(found, 2)
    assert [g.build_number for g in found.generations] == [1, 9]
    with pytest.raises(BundleDowngradeError, match="already had build 9"):
        states.installed(found, generation(5))
    assert states.installed(found, generation(5), allow_downgrade=True).highest_build == {"": 9}
    assert states.installed(found, generation(5, "OTHER")).highest_build == {"": 9, "OTHER": 5}


def test_the_same_bundle_again_changes_nothing():
    found = with_builds(1, 2)
    assert states.installed(found, generation(2)) == found
    with pytest.raises(BundleDowngradeError):
        states.installed(found, generation(1))
    found = states.activated(found, generation(1).bundle_id)
    assert states.installed(found, generation(1)) == found


def test_an_unproven_bundle_is_nothing_to_go_back_to():
    found = with_builds(1, 2, 3)
    found = states.confirmed(states.activated(found, generation(1).bundle_id))
    found = states.activated(found, generation(2).bundle_id)  # on trial
    found = states.activated(found, generation(3).bundle_id)
    assert found.previous == (generation(1).bundle_id,)
    first = states.activated(
        states.activated(with_builds(1, 2), generation(1).bundle_id), generation(2).bundle_id
    )
    assert first.previous == (generation(1).bundle_id,)  # unproven, but better than nothing
    back = states.rolled_back(found, "why")
    assert back.active == generation(1).bundle_id
    assert not back.on_trial
    assert back.failed == {generation(3).bundle_id: "why"}
    with pytest.raises(StoreError, match="no earlier bundle"):
        states.rolled_back(back, "again")


def test_a_trial_ends_after_its_starts():
    found = states.confirmed(states.activated(with_builds(1, 2), generation(1).bundle_id))
    found = states.activated(found, generation(2).bundle_id)
    for _ in range(states.MAX_STARTS):
        assert not states.given_up(found)
        found = states.started(found)
    assert states.given_up(found)
    assert not states.given_up(states.start_undone(found))


def test_activating_what_was_given_up_tries_it_anew():
    found = states.confirmed(states.activated(with_builds(1, 2), generation(1).bundle_id))
    found = states.rolled_back(states.activated(found, generation(2).bundle_id), "bad")
    again = states.activated(found, generation(2).bundle_id)
    assert again.failed == {}
    assert again.trial_starts == 0


def test_ids_may_be_shortened_but_not_ambiguous():
    found = with_builds(1, 2)
    with pytest.raises(StoreError, match="more than one"):
        found.generation("0000")
    with pytest.raises(StoreError, match="has no bundle 'ff'; installed: 000000000000"):
        found.generation("ff")
    with pytest.raises(StoreError, match="no bundle ''"):
        found.generation("")


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("install"), st.integers(1, 6)),
        st.tuples(st.just("activate"), st.integers(1, 6)),
        st.tuples(st.sampled_from(["start", "stop", "confirm", "rollback", "collect"]), st.just(0)),
    ),
    max_size=40,
)


@given(EVENTS)
def test_any_history_keeps_the_rules(events):
    found = AssetState("pump")
    confirmed = set()
    for event, number in events:
        before = found
        try:
            if event == "install":
                found = states.installed(found, generation(number))
            elif event == "activate":
                found = states.activated(found, generation(number).bundle_id)
            elif event == "start":
                found = states.started(found)
            elif event == "stop":
                found = states.start_undone(found)
            elif event == "confirm":
                found = states.confirmed(found)
                confirmed |= {found.active} - {None}
            elif event == "rollback":
                found = states.rolled_back(found, "why")
            else:
                found = states.collected(found, 2)
        except (StoreError, BundleDowngradeError):
            assert found == before
        ids = [g.bundle_id for g in found.generations]
        assert len(set(ids)) == len(ids)
        assert found.active is None or found.active in ids
        assert found.active not in found.previous
        assert set(found.previous) <= set(ids)
        assert len(set(found.previous) - confirmed) <= 1
        assert len(set(found.previous)) == len(found.previous)
        # What ran well before an activation is there to go back to.
        if before.active in confirmed and found.active != before.active and event == "activate":
            assert found.previous[-1] == before.active or before.on_trial
        for key, highest in before.highest_build.items():
            assert found.highest_build[key] >= highest
