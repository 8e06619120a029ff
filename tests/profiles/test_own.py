"""A profile of one's own: what is refused, and in which words."""

import copy
import json
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from edge_ad.bundle.codec import DecodeError, decode
from edge_ad.errors import ConfigurationError
from edge_ad.profiles import load_profile
from edge_ad.profiles.catalog import BUILT_IN
from edge_ad.profiles.files import FOLDER
from edge_ad.profiles.profile import DeviceProfile

TEXT = (FOLDER / "rpi-4b.toml").read_text()
PLAIN = tomllib.loads(TEXT)
VALIDATOR = Draft202012Validator(json.loads((FOLDER / "profile.schema.json").read_text()))


def test_a_file_is_named_by_its_path(tmp_path, monkeypatch):
    (tmp_path / "mine.toml").write_text(TEXT.replace('"rpi-4b"', '"mine"'))
    (tmp_path / "noending").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    assert load_profile("mine.toml").name == "mine"
    assert load_profile("./noending").name == "rpi-4b"


def test_a_board_of_another_architecture_can_be_described(tmp_path):
    path = tmp_path / "riscv.toml"
    text = (
        (FOLDER / "generic-arm64.toml").read_text().replace("aarch64", "riscv64").replace("arm64", "riscv64")
    )
    text = text.replace(
        'interpreter = "ai-edge-litert"\ninterpreter_version = "2.3.0"', 'interpreter = "numpy"'
    )
    text = text.replace('aliases = ["riscv64", "riscv64"]', 'aliases = ["riscv64"]')
    path.write_text(text)
    profile = load_profile(str(path))
    assert profile.architectures == ("riscv64",)
    assert profile.system("trixie", "riscv64").engine == "numpy"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "rpi-4b"\n', "", "missing key name"),
        ('name = "rpi-4b"', 'name = "My Board"', "the name 'My Board' must be small letters and digits"),
        ('aliases = ["rpi4"', 'aliases = ["rpi-4b"', "the name or alias 'rpi-4b' stands there twice"),
        ('"Raspberry Pi 400"', '"Raspberry Pi 4 Model B"', "Model B' stands there twice"),
        ('"Raspberry Pi 400"', '" "', "boards must be names without blanks at their ends"),
        ("cores = 4", "cores = 0", "hardware: cores must be at least 1"),
        ("cores = 4", 'cores = "4"', "hardware.cores must be of type int, not str"),
        ("memory_mb = [1024,", "memory_mb = [-1,", "hardware: memory_mb must be sizes above 0"),
        ("threads = 1", "thread = 1", "unknown key runtime.thread; known here: threads, governor, "),
        ("threads = 1", "threads = 0", "runtime: threads must be at least 1"),
        ("threads = 1", "threads = 5", "runtime.threads must not be more than hardware.cores"),
        ('governor = "performance"', 'governor = "fast"', "runtime.governor is 'fast'; it can be "),
        ("memory_limit_mb = 256", "memory_limit_mb = 8", "memory_limit_mb must lie between 64"),
        ("sample_period_s = 1.0", "sample_period_s = 0", "sample_period_s must lie above 0"),
        ("deadline_ms = 100.0", "deadline_ms = 1001", "deadline_ms must lie above 0, and not beyond"),
        ('form = "size"', 'form = "small"', "runtime.form is 'small'; it can be 'size', 'speed'"),
        ('variant = "tiny-int8"', 'variant = "tiny int8"', "variant must be a name such as tiny-int8"),
        ('latency = "not measured"', 'latency = ""', "runtime: latency must say where measurements are"),
        ('os = "bookworm"', 'os = "Debian 12"', "systems[0]: os must be a code name such as bookworm"),
        ('os = "trixie"', 'os = "bookworm"', "the system 'bookworm-aarch64' stands there twice"),
        ('architecture = "aarch64"', 'architecture = "64 bit"', "systems[0]: architecture must be a machine"),
        ('python = "3.11"', 'python = "3.11.2"', "systems[0]: python must be two numbers"),
        ('glibc = "2.36"', 'glibc = "new"', "systems[0]: glibc must be two numbers"),
        ('interpreter = "ai-edge-litert"', 'interpreter = "torch"', "interpreter is 'torch'; it can be"),
        ('interpreter_version = "2.3.0"\n', "", "interpreter_version belongs to every interpreter but numpy"),
        ('interpreter_version = "2.3.0"', 'interpreter_version = ">=2"', "must be a version such as"),
        ('"python3-venv", "python3-numpy"', '"python3-venv"', 'systems[2]: numpy = "debian" needs'),
        ('apt = ["python3-venv"]', 'apt = ["a; rm -rf /"]', "systems[0]: apt: 'a; rm -rf /' is no name of a"),
        ('pip = ["numpy<2"]', 'pip = ["--index-url=x"]', "'--index-url=x' is no requirement"),
        ('"$asset" ', '"pump" ', "agent: template: $asset must stand where the asset's name belongs"),
        ("$samples", "$file", "agent: template: unknown placeholder $file; known: $asset, "),
        ("$samples", "5 $", "agent: template: a $ must stand before a placeholder's name"),
        ('path = "$samples"', "path = $samples", "placeholders stand between double quotes"),
        ('keys = ["boards"]', "keys = []", "facts[0]: keys must name at least one value"),
        ('keys = ["boards"]', 'keys = ["board"]', "facts: 'board' is no value of this file"),
        ('source = "https://github', 'source = "github', "facts[0]: source must be an address"),
        ('looked_up = "2026-11-28"', 'looked_up = "yesterday"', "facts[0]: looked_up must be a date such as"),
        ('looked_up = "2026-11-28"', 'looked_up = "2026-13-28"', "looked_up must be a date such as"),
        ("[hardware]", "[hardware", "Expected ']'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(tmp_path, old, new, words):
    assert old in TEXT
    path = tmp_path / "mine.toml"
    path.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(ConfigurationError) as caught:
        load_profile(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe", "codec can't decode"),
        (b"a" * (1 << 20) + b"a", "too long for a device profile"),
        (b"a = " + b"[" * 5000, "mine.toml"),
        (b"", "missing key name"),
    ],
)
def test_what_is_no_profile_at_all(tmp_path, content, words):
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=words):
        load_profile(str(path))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigurationError, match=r"cannot read .*mine\.toml: No such file"):
        load_profile(str(tmp_path / "mine.toml"))


# The schema says the same as the classes


def _places(value, path=()):
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from _places(item, (*path, key))


PLACES = [path for path in _places(PLAIN) if path]
VALUES = st.one_of(
    st.booleans(),
    st.integers(-5, 5),
    st.floats(-1e9, 1e9).filter(lambda number: not number.is_integer()),
    st.sampled_from(
        ["", "3.11", "bookworm", "numpy", "debian", "size", "performance", "https://a", "2026-11-28"]
    ),
    st.text(max_size=3),
    st.just([]),
    st.just({}),
    st.lists(st.integers(0, 3), min_size=1, max_size=2),
)
"""What TOML can hold. No number like 1.0: JSON Schema takes it for an integer, the decoder does not."""


@settings(deadline=None)
@given(st.sampled_from(PLACES), st.sampled_from(["replace", "delete", "add"]), VALUES)
def test_schema_and_decoder_agree(place, action, value):
    mutant = copy.deepcopy(PLAIN)
    here = mutant
    for key in place[:-1]:
        here = here[key]
    if action == "delete":
        del here[place[-1]]
    elif action == "replace":
        here[place[-1]] = value
    elif isinstance(here, dict):
        here["extra"] = value
    else:
        here.append(value)
    accepted = by_a_rule = False
    try:
        decode(DeviceProfile, mutant)
        accepted = True
    except DecodeError as error:
        by_a_rule = error.__cause__ is not None
    if VALIDATOR.is_valid(mutant):
        assert accepted or by_a_rule
    else:
        assert not accepted


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_files_name_the_schema(name):
    assert (FOLDER / f"{name}.toml").read_text().startswith("#:schema ./profile.schema.json\n")
