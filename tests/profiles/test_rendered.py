"""What a profile writes: the agent's configuration, and a drop-in for its unit."""

import shutil
import subprocess
import tomllib

import pytest

from edge_ad.errors import ConfigurationError
from edge_ad.profiles import all_profiles, firmware_file, load_profile
from edge_ad.profiles.drop_in import DROP_IN
from edge_ad.profiles.files import UNIT
from edge_ad.runtime.agent.check import check
from edge_ad.runtime.agent.config import load_config
from edge_ad.runtime.store.store import Store
from tests.conftest import DATA

PROFILES = all_profiles()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with an active bundle."""
    store = Store(tmp_path_factory.mktemp("device") / "store")
    state = store.install(DATA / "toy.edgead")
    store.activate("toy", state.generations[0].bundle_id)
    return store


by_name = pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)


def with_everything(text):
    """The configuration with what is commented out, the other source instead of the first."""
    lines = []
    for line in text.splitlines():
        entry = line.removeprefix("# ")
        is_entry = line.startswith("# ") and (entry.startswith("[") or " = " in entry)
        if is_entry and entry.startswith("source"):
            lines = [earlier for earlier in lines if not earlier.startswith("source")]
        lines.append(entry if is_entry else line)
    return "\n".join(lines)


@by_name
def test_the_agent_takes_the_configuration(profile, tmp_path):
    path = tmp_path / "agent.toml"
    path.write_text(profile.agent_config("pump-1", name="hall", store="/srv/edge"))
    config = load_config(path)
    assert (config.agent.name, config.assets[0].reference) == ("hall", "@pump-1")
    assert config.sources["pump-1"].options.path == "/var/log/edge-ad/pump-1.csv"
    assert config.sinks[0].options.path == "/srv/edge/agent/events.ndjson"


@by_name
def test_the_agent_takes_what_is_commented_out_too(profile, tmp_path):
    path = tmp_path / "agent.toml"
    path.write_text(with_everything(profile.agent_config("pump-1")))
    config = load_config(path)
    assert config.sources["pump-1"].options.device == profile.hardware.serial
    assert config.http is not None
    assert ("gpio" in {sink.kind for sink in config.sinks}) == profile.name.startswith("rpi-")


@by_name
def test_the_agent_finds_nothing_wrong_with_it(profile, tmp_path, store):
    path = tmp_path / "agent.toml"
    path.write_text(profile.agent_config("toy", store=str(store.root)))
    said = []
    ((name, manifest),) = check(load_config(path), store.root, said.append)
    assert (name, manifest.build_number, said) == ("toy", 1, [])


@pytest.mark.parametrize(
    "store", ['/srv/"quoted"', "/srv/back\\slash", "/srv/$asset", "/srv/\x7f\n\té𝄞", "/s/{}"]
)
def test_any_path_stays_what_it_is(store):
    text = PROFILES[0].agent_config("a", store=store, samples=f"{store}.csv")
    tables = tomllib.loads(text)
    assert tables["sink"][0]["path"] == f"{store}/agent/events.ndjson"
    assert tables["asset"][0]["source"]["path"] == f"{store}.csv"


@pytest.mark.parametrize(("asset", "agent"), [("pump 1", "a"), ("", "a"), ("a" * 65, "a"), ("a", "../x")])
def test_names_that_the_agent_would_refuse(asset, agent):
    with pytest.raises(ConfigurationError, match="letters, digits, dots, hyphens and underscores"):
        PROFILES[0].agent_config(asset, name=agent)


# The unit


def verified(tmp_path, drop_in):
    """What systemd says of the unit with a drop-in."""
    unit = firmware_file(UNIT).decode().replace("/opt/edge-ad/bin/edge-ad", shutil.which("true") or "")
    (tmp_path / UNIT).write_text(unit)
    place = tmp_path.joinpath(*DROP_IN.split("/")[-2:])
    place.parent.mkdir()
    place.write_text(drop_in)
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / UNIT)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout + result.stderr


needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")


@needs_systemd
@by_name
def test_systemd_takes_the_drop_in(profile, tmp_path):
    assert verified(tmp_path, profile.unit_drop_in()) == ""


@needs_systemd
def test_systemd_would_complain(tmp_path):
    broken = PROFILES[0].unit_drop_in().replace("MemoryMax=160M", "MemoryMax=lots")
    assert "lots" in verified(tmp_path, broken)


def test_the_drop_in_says_what_the_profile_does():
    zero = load_profile("rpi-zero-w").limited_to(256).unit_drop_in().splitlines()
    assert zero[1:] == [
        "[Service]",
        "MemoryMax=128M",
        "TimeoutStartSec=300",
        "Environment=OPENBLAS_NUM_THREADS=1",
    ]
