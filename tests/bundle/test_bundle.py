import dataclasses
import io
import zipfile

import numpy as np
import pytest

from edge_ad import errors
from edge_ad.bundle import bundle as bundles
from edge_ad.bundle.archive import MANIFEST, SIGNATURE, serialize
from edge_ad.bundle.secret_key import new_key
from edge_ad.bundle.signing import sign
from edge_ad.runtime import Detector
from edge_ad.runtime.sources.csv_lines import CsvLines
from tests.conftest import DATA
from tests.forge import edited, members_of, with_member, with_signature

GOLDEN = "golden/windows.npy"


@pytest.fixture(scope="module")
def data(toy_bundle_path):
    return toy_bundle_path.read_bytes()


@pytest.fixture(scope="module")
def toy(data):
    return bundles.unpack(data)


def test_same_inputs_give_the_same_bytes(toy, data):
    assert bundles.pack(toy.manifest, toy.members) == data


def test_members_can_be_read_with_any_zip_program(data, toy):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [MANIFEST, *toy.members]


def test_model_and_golden_windows(toy):
    manifest = toy.manifest
    assert toy.model() == toy.members["models/tiny-int8.tflite"]
    assert toy.golden_windows().shape == (16, manifest.window_length, len(manifest.channels))


def test_place_of_the_signature(data):
    key = new_key()
    signed = sign(data, key)
    assert list(members_of(signed))[:2] == [MANIFEST, SIGNATURE]
    assert SIGNATURE not in bundles.unpack(signed).members
    members = members_of(signed)
    last = {**{name: c for name, c in members.items() if name != SIGNATURE}, SIGNATURE: members[SIGNATURE]}
    with pytest.raises(errors.BundleMemberError, match="right after"):
        bundles.unpack(serialize(last))
    with pytest.raises(errors.BundleSignatureError, match="four lines"):
        bundles.unpack(with_signature(data, b"to come"))


def test_every_truncation_is_refused(data):
    for length in [*range(0, len(data), 997), len(data) - 1]:
        with pytest.raises(errors.BundleArchiveError):
            bundles.unpack(data[:length])


def test_every_changed_byte_is_refused(data):
    for position in range(0, len(data), 37):
        changed = bytearray(data)
        changed[position] ^= 0x41
        with pytest.raises(errors.BundleError):
            bundles.unpack(bytes(changed))


def archive_of(data, **options):
    """The same members written by Python's zipfile."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", **options) as archive:
        for name, content in members_of(data).items():
            archive.writestr(name, content)
    return stream.getvalue()


def renamed(data, old, new):
    return serialize({new if name == old else name: c for name, c in members_of(data).items()})


def reordered(data):
    members = members_of(data)
    golden = members.pop("golden/windows.npy")
    return serialize({**members, "golden/windows.npy": golden})


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda data: b"", errors.BundleArchiveError),
        (lambda data: b"PK" + data, errors.BundleArchiveError),
        (lambda data: data + b"\0", errors.BundleArchiveError),
        (archive_of, errors.BundleArchiveError),
        (lambda data: archive_of(data, compression=zipfile.ZIP_DEFLATED), errors.BundleArchiveError),
        (lambda data: serialize({"manifest.json": b"[]"}), errors.BundleManifestError),
        (lambda data: serialize({"other.json": b"{}"}), errors.BundleArchiveError),
        (lambda data: serialize({**members_of(data), "extra": b""}), errors.BundleMemberError),
        (lambda data: renamed(data, "golden/windows.npy", "../windows.npy"), errors.BundleMemberError),
        (lambda data: renamed(data, "golden/windows.npy", "/etc/x"), errors.BundleMemberError),
        (lambda data: renamed(data, "golden/windows.npy", "golden/w.npy"), errors.BundleMemberError),
        (reordered, errors.BundleMemberError),
        (
            lambda data: serialize({**members_of(data), "models/tiny-int8.tflite": b"x"}),
            errors.BundleDigestError,
        ),
        (
            lambda data: serialize({MANIFEST: members_of(data)[MANIFEST]}),
            errors.BundleMemberError,
        ),
        (
            lambda data: serialize(
                {**members_of(data), MANIFEST: members_of(data)[MANIFEST].replace(b'"k":3', b'"k":4')}
            ),
            errors.BundleDigestError,
        ),
        (
            lambda data: serialize({**members_of(data), MANIFEST: members_of(data)[MANIFEST] + b" "}),
            errors.BundleManifestError,
        ),
        (lambda data: bytes(65 * 2**20), errors.BundleTooLargeError),
        (
            lambda data: serialize({MANIFEST: b" " * (4 * 2**20 + 1)}),
            errors.BundleTooLargeError,
        ),
        (
            lambda data: serialize({**members_of(data), **{f"m{i}": b"" for i in range(300)}}),
            errors.BundleTooLargeError,
        ),
    ],
)
def test_damaged_archives(data, damage, error):
    with pytest.raises(error) as caught:
        bundles.unpack(damage(data))
    assert type(caught.value) is error
    assert caught.value.exit_code == 3


def set_at(*path_and_value):
    """An edit that sets one entry of the manifest."""
    *path, last, value = path_and_value

    def edit(manifest):
        for key in path:
            manifest = manifest[key]
        manifest[last] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "error", "words"),
    [
        (set_at("schema", "2.0"), errors.BundleVersionError, "upgrade edge_ad"),
        (set_at("schema", "0.9"), errors.BundleVersionError, "build it anew"),
        (set_at("schema", "new"), errors.BundleManifestError, "must be a version"),
        (set_at("minimum_runtime", "99.0"), errors.BundleVersionError, "needs edge_ad 99.0"),
        (set_at("minimum_runtime", "x"), errors.BundleManifestError, "not a version"),
        (set_at("colour", "red"), errors.BundleManifestError, "unknown key colour"),
        (set_at("window_length", "10"), errors.BundleManifestError, "window_length must be"),
        (set_at("window_length", 0), errors.BundleMismatchError, "window"),
        (set_at("window_length", 9), errors.BundleMismatchError, "golden windows"),
        (set_at("stride", 2), errors.BundleMismatchError, "stride"),
        (set_at("largest_gap_s", 0.5), errors.BundleMismatchError, "largest_gap_s"),
        (set_at("scaler", "scale", [1.0]), errors.BundleMismatchError, "scaler has 1 channels"),
        (set_at("scaler", "scale", 0, 0.0), errors.BundleMismatchError, "above zero"),
        (
            set_at("scaler", "kind", "logarithmic"),
            errors.BundleManifestError,
            "'standard', 'min-max', 'robust'",
        ),
        (set_at("channels", 0, "name", "Current"), errors.BundleMismatchError, "unique"),
        (set_at("channels", []), errors.BundleMismatchError, "channel"),
        (set_at("alarm_rule", "k", 0), errors.BundleManifestError, "k must be"),
        (set_at("default_variant", "full-int8"), errors.BundleManifestError, "no variant 'full-int8'"),
        (set_at("variants", []), errors.BundleMismatchError, "variant"),
        (set_at("variants", 0, "limit", "ucl", 0.0), errors.BundleMismatchError, "UCL"),
        (set_at("variants", 0, "file", "nope"), errors.BundleMismatchError, "nope is missing"),
        (set_at("variants", 0, "model", "huge"), errors.BundleMismatchError, "no model called"),
        (set_at("variants", 0, "golden_scores", [1.0]), errors.BundleMismatchError, "golden score"),
        (set_at("variants", 0, "golden_tolerance", 0.0), errors.BundleMismatchError, "tolerance"),
        (set_at("golden_file", "nope"), errors.BundleMismatchError, "nope is missing"),
        (set_at("members", 0, "size", 1), errors.BundleDigestError, "copy it again"),
        (set_at("members", []), errors.BundleMemberError, "manifest names"),
        (set_at("input", "separator", ";;"), errors.BundleManifestError, "one character"),
    ],
)
def test_contradicting_manifests(data, edit, error, words):
    with pytest.raises(error, match=words) as caught:
        bundles.unpack(edited(data, edit))
    assert type(caught.value) is error


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999"])
def test_numbers_that_are_none(data, value):
    members = members_of(data)
    members[MANIFEST] = members[MANIFEST].replace(b'"largest_gap_s":5.5', f'"largest_gap_s":{value}'.encode())
    with pytest.raises(errors.BundleManifestError):
        bundles.unpack(serialize(members))


def test_keys_of_a_newer_minor_schema_are_ignored_and_reported(data):
    def edit(manifest):
        manifest["schema"] = "1.7"
        manifest["colour"] = "red"
        manifest["scaler"]["quantiles"] = [1]

    manifest = bundles.unpack(edited(data, edit)).manifest
    assert manifest.unknown_keys == ("colour", "scaler.quantiles")


@pytest.mark.parametrize(
    "content",
    [
        b"not an array",
        bundles.npy(np.full((16, 10, 8), np.nan, np.float32)),
        bundles.npy(np.zeros((16, 10, 8), np.float32))[:200],
        bundles.npy(np.zeros((16, 9, 8), np.float32)),
        bundles.npy(np.zeros((16, 10, 8), np.float64)),
    ],
)
def test_golden_windows_that_are_none(data, content):
    with pytest.raises(errors.BundleMismatchError):
        bundles.unpack(with_member(data, GOLDEN, content))


def test_a_pickle_is_refused(data):
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(errors.BundleMismatchError, match="numpy array"):
        bundles.unpack(with_member(data, GOLDEN, stream.getvalue()))


def test_reading_names_the_file(tmp_path):
    path = tmp_path / "broken.edgead"
    path.write_bytes(b"PK")
    with pytest.raises(errors.BundleArchiveError, match=r"broken\.edgead"):
        bundles.read(path)
    with pytest.raises(errors.BundleArchiveError, match="No such file"):
        bundles.read(tmp_path / "missing.edgead")
    with pytest.raises(errors.BundleArchiveError, match="cannot read"):
        bundles.read(tmp_path)


def test_an_unknown_variant_is_named(toy):
    with pytest.raises(errors.BundleManifestError, match=r"it has: tiny-float32, tiny-int8, tiny-int8-full$"):
        toy.model("full-int8")


def test_manifests_are_immutable(toy):
    with pytest.raises(dataclasses.FrozenInstanceError):
        toy.manifest.asset = "other"


def raw(data, change):
    """The bundle with the manifest's text changed, without making anything right again."""
    members = members_of(data)
    members[MANIFEST] = change(members[MANIFEST])
    return serialize(members)


MANY = b"9" * 5000


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda t: t.replace(b'"schema":"1.3"', '"schema":"1.²"'.encode()), errors.BundleManifestError),
        (
            lambda t: t.replace(b'"schema":"1.3"', b'"schema":"1.' + b"9" * 5000 + b'"'),
            errors.BundleManifestError,
        ),
        (
            lambda t: t.replace(b'"build_number":1', b'"build_number":' + b"9" * 5000),
            errors.BundleManifestError,
        ),
        (lambda t: t.replace(b'"asset":"toy"', b'"asset":"\\ud800"'), errors.BundleManifestError),
        (lambda t: t.replace(b'"asset":"toy"', b'"asset": "toy"'), errors.BundleManifestError),
        (lambda t: t.replace(b'"asset":"toy"', b'"asset":"tox"'), errors.BundleDigestError),
        (lambda t: b'{"a":' * 100_000, errors.BundleManifestError),
    ],
)
def test_hostile_manifest_texts(data, change, error):
    changed = raw(data, change)
    assert changed != data
    with pytest.raises(error):
        bundles.unpack(changed)


def test_the_id_counts_for_keys_of_a_newer_schema_as_well(data):
    def newer(manifest):
        manifest["schema"] = "1.7"
        manifest["colour"] = "red"

    good = edited(data, newer)
    assert bundles.unpack(good).manifest.unknown_keys == ("colour",)
    with pytest.raises(errors.BundleDigestError, match="changed after packing"):
        bundles.unpack(raw(good, lambda text: text.replace(b'"colour":"red"', b'"colour":"sea"')))
    with pytest.raises(errors.BundleError):
        bundles.unpack(raw(good, lambda text: text.replace(b'"ucl":', b'"ucl":1')))


@pytest.mark.parametrize(
    "edit",
    [
        set_at("unchecked", True),
        set_at("input", "time_format", "%Y %Y"),
        set_at("input", "time_format", "%Q"),
        set_at("input", "time_format", "tomorrow"),
    ],
)
def test_manifests_that_make_no_sense(data, edit):
    with pytest.raises(errors.BundleError):
        bundles.unpack(edited(data, edit))


def npy_claiming(shape):
    """A .npy file whose header promises more than it holds."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue() + b"\0" * 64


@pytest.mark.parametrize(
    "content",
    [
        npy_claiming((10**8, 10, 8)),
        npy_claiming((10**22, 10, 8)),
        b"\x93NUMPY\x01\x00\x10\x00{'descr': ('     ",
        b"PK\x03\x04",
        b"",
        bundles.npy(np.zeros((0, 10, 8), np.float32)),
    ],
)
def test_golden_files_that_promise_too_much(data, content):
    with pytest.raises(errors.BundleMismatchError):
        bundles.unpack(with_member(data, GOLDEN, content))


@pytest.mark.parametrize("schema", ["1.1", "1.2"])
def test_a_bundle_of_an_older_schema_runs_as_before(toy_csv, schema):
    """Made by versions before: without flat runs, quantiles and severities (1.1), or features (1.2)."""
    older = bundles.read(DATA / f"toy-{schema}.edgead")
    assert older.manifest.schema == schema
    assert older.manifest.unknown_keys == ()
    assert [severity.name for severity in older.manifest.alarm_rule.severities] == ["warning", "critical"]
    newer = bundles.read(DATA / "toy.edgead")
    assert older.model() == newer.model()
    columns = [channel.name for channel in older.manifest.channels]
    decided = []
    for bundle in (older, newer):
        detector = Detector.load(bundle)
        with toy_csv.open() as file:
            samples = CsvLines(file, bundle.manifest.input, columns, name="toy", strict=False)
            decided.append([detector.push(s.values, s.time, s.problem)[:4] for s in samples])
    assert decided[0] == decided[1]
