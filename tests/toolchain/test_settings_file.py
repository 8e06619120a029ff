"""Settings written as TOML are the same when they are read back."""

from dataclasses import replace

import pytest

from edge_ad.toolchain.settings import (
    BEARING_SETTINGS,
    SKAB_BEST_SETTINGS,
    BuildSettings,
    CardSettings,
    ProtocolSettings,
    load_settings,
)
from edge_ad.toolchain.settings_file import settings_toml

ODD = 'a "quoted" \\ word,\nanother line, tab\t, del \x7f, ü, [x] = 1 # no comment'


@pytest.mark.parametrize(
    "settings",
    [
        BuildSettings(),
        BEARING_SETTINGS,
        SKAB_BEST_SETTINGS,
        replace(BuildSettings(), card=CardSettings(contact=ODD), protocol=ProtocolSettings(ODD, (ODD, ""))),
        replace(BuildSettings(), fit_share=1e-9, training=replace(BuildSettings().training, noise=0.1)),
    ],
)
def test_there_and_back(settings, tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text(settings_toml(settings))
    assert load_settings(path) == settings
