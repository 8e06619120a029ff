from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.errors import ConfigurationError
from edge_ad.toolchain.fleet.store import FleetStore
from edge_ad.toolchain.rollout.hosts import Host, load_hosts, read_hosts, save_hosts
from tests.toolchain.rollout.plant import build

CSV = "host,address,port,user,assets\npi-1,10.0.0.7,2222,pi,pump-1;pump-2\npi-2,,,,pump-3\n"
TOML = """[[host]]
host = "pi-1"
address = "10.0.0.7"
port = 2222
user = "pi"
assets = ["pump-1", "pump-2"]
[[host]]
host = "pi-2"
assets = ["pump-3"]
"""
HOSTS = (Host("pi-1", ("pump-1", "pump-2"), "10.0.0.7", 2222, "pi"), Host("pi-2", ("pump-3",)))


def written(folder, text, suffix=".csv"):
    path = folder / f"hosts{suffix}"
    path.write_text(text)
    return path


def test_both_forms_say_the_same(tmp_path):
    assert read_hosts(written(tmp_path, CSV)) == HOSTS
    assert read_hosts(written(tmp_path, TOML, ".toml")) == HOSTS


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "must name columns"),
        ("host,adress,assets\n", "must name columns"),
        ("host,assets\n", "names no hosts"),
        ("host,assets\npi-1,\n", "line 2: host pi-1 watches no assets"),
        ("host,assets\npi-1,a,b\n", "line 2 has not as many values"),
        ("host,assets\npi-1\n", "line 2 has not as many values"),
        ("host,port,assets\npi-1,x,a\n", "line 2: port 'x' is no number"),
        ("host,port,assets\npi-1,70000,a\n", "65535"),
        ("host,assets\n-oProxyCommand=x,a\n", "must be letters"),
        ("host,assets\n../pi,a\n", "must be letters"),
        ("host,assets\nlocalhost,a\n", "not localhost"),
        ("host,address,assets\npi,-oProxyCommand=x,a\n", "no host name or address"),
        ("host,assets\npi,{{ lookup('pipe' 'id') }}\n", "cannot be rolled out"),
        ("host,user,assets\npi,-l root,a\n", "is no account"),
        ("host,assets\npi-1,a\npi-1,b\n", "stands there twice"),
        ("host,assets\npi-1,a\npi-2,a\n", "watched by pi-1 and by pi-2"),
    ],
)
def test_what_no_list_of_hosts_may_say(tmp_path, text, complaint):
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        read_hosts(written(tmp_path, text))
    assert "hosts.csv" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["[[host]\n", "host = 1\n", '[[host]]\nhost = "a"\nassets = "b"\n', "[[hosts]]\n"]
)
def test_what_no_toml_may_say(tmp_path, text):
    with pytest.raises(ConfigurationError):
        read_hosts(written(tmp_path, text, ".toml"))


@given(st.binary(max_size=200), st.sampled_from([".csv", ".toml"]))
def test_any_bytes_make_hosts_or_a_complaint(tmp_path_factory, content, suffix):
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_bytes(content)
    with suppress(ConfigurationError):
        assert read_hosts(path)


def test_a_fleet_keeps_its_hosts(tmp_path, toy_bundle_path):
    toy = toy_bundle_path.read_bytes()
    for asset in ("pump-1", "pump-2", "pump-3"):
        build(tmp_path, toy, asset)
    with FleetStore.open(tmp_path) as store:
        assert load_hosts(store) == ()
        save_hosts(store, HOSTS)
        assert load_hosts(store) == HOSTS
        save_hosts(store, HOSTS[1:])
        assert load_hosts(store) == HOSTS[1:]
        with pytest.raises(ConfigurationError, match="pi-9 is to watch 'fan', which the fleet does not know"):
            save_hosts(store, [Host("pi-9", ("fan",))])
        assert load_hosts(store) == HOSTS[1:]
