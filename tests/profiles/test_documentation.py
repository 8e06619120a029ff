"""docs/profiles.md says what the files say."""

from pathlib import Path

import pytest

from edge_ad.profiles import all_profiles, target
from edge_ad.profiles.profile import DeviceProfile, Hardware, RuntimeDefaults
from edge_ad.profiles.system import System

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "profiles.md").read_text()


def rows(profile):
    """The profile's lines of the table."""
    runtime = profile.runtime
    first = [f"`{profile.name}`", ", ".join(f"`{alias}`" for alias in profile.aliases), profile.title]
    last = [
        f"{runtime.variant}, {runtime.form}",
        f"{runtime.deadline_ms:g} ms",
        f"{runtime.memory_limit_mb} MB",
    ]
    for architecture in profile.architectures:
        engines = [profile.system(os, architecture).engine for os in ("bookworm", "trixie")]
        cells = [*first, architecture, " / ".join(engines), *last]
        yield "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)
        first, last = ["", "", ""], ["", "", ""]


@pytest.mark.parametrize("profile", all_profiles(), ids=lambda profile: profile.name)
def test_the_table(profile):
    for row in rows(profile):
        assert row in TEXT
    assert (profile.runtime.sample_period_s, profile.runtime.threads) == (1, 1)
    assert profile.runtime.governor == "performance"


def test_every_key_is_told():
    told = TEXT.partition("| key | what it says |")[2].partition("\n\n")[0]
    for cls in (DeviceProfile, Hardware, RuntimeDefaults, System):
        for key in cls.__dataclass_fields__:
            assert f"`{key}`" in told or f"[{key}]" in told


def test_the_targets_are_some():
    for word in TEXT.partition("## Targets")[2].partition("    ")[2].split("\n")[0].split():
        if ".toml" not in word:
            target(word)
