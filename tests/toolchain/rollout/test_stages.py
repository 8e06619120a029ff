import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.errors import ConfigurationError
from edge_ad.toolchain.rollout.stages import plan_stages

HOSTS = [f"pi-{number}" for number in range(100)]


def sizes(stages):
    return [(stage.name, len(stage.hosts)) for stage in stages]


def test_canary_then_a_tenth_then_all():
    assert sizes(plan_stages(HOSTS)) == [("canary", 1), ("10 percent", 9), ("all", 90)]
    assert sizes(plan_stages(HOSTS[:5])) == [("canary", 1), ("10 percent", 1), ("all", 3)]
    assert sizes(plan_stages(HOSTS[:1])) == [("canary", 1)]
    assert sizes(plan_stages(HOSTS, stages="100%")) == [("all", 100)]


def test_canaries_that_were_named_are_the_first_stage():
    stages = plan_stages(HOSTS, canaries=["pi-7", "pi-3"])
    assert stages[0].hosts == ("pi-7", "pi-3")
    assert sizes(stages)[1:] == [("10 percent", 8), ("all", 90)]
    with pytest.raises(ConfigurationError, match="pi-x"):
        plan_stages(HOSTS, canaries=["pi-x"])


@pytest.mark.parametrize(
    "stages", ["", "0,100%", "1,10%", "1,101%,100%", "1;100%", "-1,100%", "half,100%", "1,,100%"]
)
def test_sizes_that_make_no_sense(stages):
    with pytest.raises(ConfigurationError, match="the last must be 100%"):
        plan_stages(HOSTS, stages=stages)


@given(
    st.integers(1, 300),
    st.lists(st.one_of(st.integers(1, 50).map(str), st.integers(1, 100).map("{}%".format)), max_size=4),
    st.integers(0, 3),
)
def test_every_host_once_whatever_the_stages_are(n_hosts, parts, n_canaries):
    hosts = [f"pi-{number}" for number in range(n_hosts)]
    canaries = hosts[:n_canaries]
    stages = plan_stages(hosts, stages=",".join([*parts, "100%"]), canaries=canaries)
    assert sorted(host for stage in stages for host in stage.hosts) == sorted(hosts)
    assert all(stage.hosts for stage in stages)
    assert stages == plan_stages(list(hosts), stages=",".join([*parts, "100%"]), canaries=canaries)
    if canaries:
        assert stages[0].hosts == tuple(canaries)
