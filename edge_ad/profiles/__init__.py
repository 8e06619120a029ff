"""Device profiles: what a board is, which packages it takes, and how the runtime runs on it.

Rule of this folder: the standard library, `edge_ad.errors` and the codec of `edge_ad.bundle` only, so that
it works on a board before numpy is installed. The files are those of `firmware_configs/`, which is a link
here in a source checkout, and a folder of copies where a wheel was installed.
"""

from edge_ad.profiles.catalog import all_profiles, load_profile, pick
from edge_ad.profiles.files import firmware_file
from edge_ad.profiles.profile import DeviceProfile
from edge_ad.profiles.system import System
from edge_ad.profiles.target import Target, all_targets, target

__all__ = [
    "DeviceProfile",
    "System",
    "Target",
    "all_profiles",
    "all_targets",
    "firmware_file",
    "load_profile",
    "pick",
    "target",
]
