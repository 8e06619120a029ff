import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.runtime.mqtt.topics import check_filter, matches

LEVEL = st.sampled_from(["", "a", "b", "$SYS"])
TOPIC = st.lists(LEVEL, min_size=1, max_size=4).map("/".join).filter(bool)
FILTER = (
    st.tuples(st.lists(st.sampled_from(["", "a", "b", "+"]), min_size=1, max_size=4), st.booleans())
    .map(lambda parts: "/".join(parts[0] + ["#"] * parts[1]))
    .filter(bool)
)


@given(FILTER, TOPIC)
def test_filters_match_as_they_do_for_paho(topic_filter, topic):
    from paho.mqtt.client import topic_matches_sub

    check_filter(topic_filter)
    # A topic of the broker itself is only for those who name its first level.
    wanted = topic_matches_sub(topic_filter, topic)
    if topic.startswith("$") and topic_filter[0] in "+#":
        wanted = False
    assert matches(topic_filter, topic) == wanted


@pytest.mark.parametrize(
    ("topic_filter", "topic", "fits"),
    [
        ("sport/#", "sport", True),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
    ],
)
def test_examples_of_the_standard(topic_filter, topic, fits):
    assert matches(topic_filter, topic) is fits
