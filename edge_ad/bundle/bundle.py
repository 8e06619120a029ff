"""Reading and writing `.edgead` files."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ad import __version__
from edge_ad.bundle.archive import (
    MANIFEST,
    MAX_ARCHIVE_BYTES,
    SIGNATURE,
    deserialize,
    serialize,
    sha256,
)
from edge_ad.bundle.codec import canonical_json
from edge_ad.bundle.manifest import (
    MAX_BUILD_NUMBER,
    Manifest,
    MemberEntry,
    VariantEntry,
    decode_manifest,
    decode_members,
    parse_manifest,
    to_json,
)
from edge_ad.bundle.tflite import check_model
from edge_ad.bundle.trust import SignatureStatus, TrustPolicy
from edge_ad.detect.budget import Budget
from edge_ad.detect.window import LARGEST_VALUE
from edge_ad.errors import (
    BundleArchiveError,
    BundleDigestError,
    BundleError,
    BundleManifestError,
    BundleMemberError,
    BundleMismatchError,
    BundleTooLargeError,
    BundleVersionError,
)

MAX_VARIANTS = 32
MAX_TOLERANCE = 0.25
"""A golden score that may be further off would show nothing."""

_SHORTEST_PERIOD_S, _LONGEST_GAP_S = 1e-6, 1e9
_LARGEST_RATE_TOLERANCE = 1e6
_NPY_HEADER_BYTES = 128
_ANYONE = TrustPolicy()


@dataclass(frozen=True)
class Bundle:
    """A verified bundle: the manifest and the members it names."""

    manifest: Manifest
    members: Mapping[str, bytes]
    signature: SignatureStatus = SignatureStatus()

    def model(self, variant: str | None = None) -> bytes:
        """The `.tflite` bytes of a variant (the default one for None)."""
        return self.members[self.manifest.variant(variant).file]

    def golden_windows(self) -> NDArray[np.float32]:
        """`(n, window_length, n_channels)` float32 windows in engineering units."""
        return _read_windows(self.members[self.manifest.golden_file], self.manifest)


def pack(manifest: Manifest, members: Mapping[str, bytes]) -> bytes:
    """A bundle's bytes; the same inputs give the same bytes.

    `manifest.members` and `manifest.bundle_id` are filled in here. Raises what reading it would raise.
    """
    entries = tuple(MemberEntry(n, len(c), sha256(c)) for n, c in members.items())
    manifest = dataclasses.replace(manifest, members=entries, bundle_id="")
    manifest = dataclasses.replace(manifest, bundle_id=sha256(to_json(manifest)))
    data = serialize({MANIFEST: to_json(manifest), **members})
    unpack(data)  # what would be refused on the device must not leave the workstation
    return data


def read(path: Path, trust: TrustPolicy = _ANYONE) -> Bundle:
    """Read and verify a bundle file. Raises a subclass of BundleError naming the file."""
    data = read_bytes(path)
    try:
        return unpack(data, trust)
    except BundleError as error:
        raise type(error)(f"{path}: {error}") from error


def read_bytes(path: Path) -> bytes:
    """A bundle file's bytes, one more than the cap at most. Raises BundleArchiveError."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_ARCHIVE_BYTES + 1)
    except OSError as error:
        raise BundleArchiveError(f"cannot read {path}: {error.strerror}") from error


def unpack(data: bytes, trust: TrustPolicy = _ANYONE) -> Bundle:
    """Verify a bundle's bytes, in the order of SPEC.md; nothing is used before it is verified."""
    if len(data) > MAX_ARCHIVE_BYTES:
        raise BundleTooLargeError(f"the bundle has more than {MAX_ARCHIVE_BYTES} bytes")
    members = deserialize(data)
    text = members.pop(MANIFEST)
    signature = members.pop(SIGNATURE, None)
    plain = parse_manifest(text)
    _check_digests(decode_members(plain), members)
    _check_id(text, plain)
    status = trust.check(text, signature)
    manifest = decode_manifest(plain)
    _check_version(manifest)
    _check_consistency(manifest, members)
    return Bundle(manifest, members, status)


def _check_digests(entries: tuple[MemberEntry, ...], members: Mapping[str, bytes]) -> None:
    named = [entry.name for entry in entries]
    if named != list(members):
        raise BundleMemberError(
            f"the archive holds {', '.join(members) or 'nothing'}, the manifest names {', '.join(named)}"
        )
    for entry in entries:
        content = members[entry.name]
        if len(content) != entry.size or sha256(content) != entry.sha256:
            raise BundleDigestError(f"{entry.name} is not what the manifest says: copy it again")


def _check_id(text: bytes, plain: dict[str, object]) -> None:
    """Check form and id of the manifest's very bytes, keys of a newer schema included."""
    try:
        canonical = canonical_json(plain)
        bare = canonical_json(plain | {"bundle_id": ""})
    except ValueError as error:  # half of a surrogate pair, which no UTF-8 text can hold
        raise BundleManifestError(f"manifest.json holds a character that is none: {error}") from error
    if canonical != text:
        raise BundleManifestError("manifest.json is not in canonical form")
    if sha256(bare) != plain.get("bundle_id"):
        raise BundleDigestError("bundle_id does not fit the manifest: it was changed after packing")


def _check_version(manifest: Manifest) -> None:
    def parts(version: str) -> tuple[int, ...]:
        if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6}){0,3}", version):
            raise BundleManifestError(f"minimum_runtime {version[:40]!r} is not a version")
        return tuple(int(part) for part in version.split("."))

    if parts(manifest.minimum_runtime) > parts(__version__):
        raise BundleVersionError(
            f"needs edge_ad {manifest.minimum_runtime} or newer, this is {__version__}: upgrade it"
        )


def _check_consistency(manifest: Manifest, members: Mapping[str, bytes]) -> None:
    def check(fits: bool, problem: str) -> None:
        if not fits:
            raise BundleMismatchError(problem)

    n_channels = len(manifest.channels)
    names = [channel.name for channel in manifest.channels]
    check(0 < manifest.build_number <= MAX_BUILD_NUMBER, f"build_number is {str(manifest.build_number)[:40]}")
    check(n_channels > 0 and len(set(names)) == n_channels, "channel names must be unique")
    scaler = manifest.scaler
    check(
        len(scaler.offset) == len(scaler.scale) == n_channels,
        f"the scaler has {len(scaler.scale)} channels, the bundle {n_channels}",
    )
    check(all(scale > 0 for scale in scaler.scale), "every scale must be above zero")
    check(manifest.window_length >= 1 and manifest.stride == 1, "window must be >= 1, stride 1")
    features = manifest.snapshots.channel_names if manifest.snapshots else None
    names_of_channels = tuple(channel.name for channel in manifest.channels)
    check(features in (None, names_of_channels), "the channels are not the features of the snapshots")
    check(
        0 < manifest.sample_period_s <= manifest.largest_gap_s,
        "largest_gap_s must not be below the sample period",
    )
    check(
        manifest.sample_period_s >= _SHORTEST_PERIOD_S and manifest.largest_gap_s <= _LONGEST_GAP_S,
        f"the sample period must be at least {_SHORTEST_PERIOD_S:g} s, and largest_gap_s at most "
        f"{_LONGEST_GAP_S:g} s",
    )
    check(
        0 <= manifest.rate_tolerance <= _LARGEST_RATE_TOLERANCE,
        f"rate_tolerance must lie between 0 and {_LARGEST_RATE_TOLERANCE:g}",
    )
    check(manifest.golden_file in members, f"{manifest.golden_file} is missing")
    windows = _read_windows(members[manifest.golden_file], manifest)
    check(manifest.unchecked != manifest.parity_passed, "unchecked and parity_passed contradict each other")
    check(len({v.name for v in manifest.variants}) == len(manifest.variants) > 0, "variants differ")
    check(len(manifest.variants) <= MAX_VARIANTS, f"there are more than {MAX_VARIANTS} variants")
    files = {variant.file for variant in manifest.variants}
    check(len(files) == len(manifest.variants), "every variant needs a file of its own")
    models = {model.name for model in manifest.models}
    for model in manifest.models:
        check(
            (model.detector is not None) == (manifest.score == "heads"),
            f"model {model.name!r}: it has a detector where the score is that of heads, and only there",
        )
        problem = model.detector.misfit(manifest.window_length, n_channels) if model.detector else ""
        check(not problem, f"model {model.name!r}: {problem}")
    for variant in manifest.variants:
        check(variant.file in members, f"{variant.name}: {variant.file} is missing")
        check(variant.model in models, f"{variant.name}: no model called {variant.model!r}")
        n_windows = variant.limit.n_train_windows
        check(0 <= n_windows < 2**53, f"{variant.name}: n_train_windows is {str(n_windows)[:40]}")
        if variant.limit.budget is not None:
            try:
                Budget(variant.limit.rule.budget).rate(manifest.sampling)
            except ValueError as error:
                raise BundleMismatchError(f"{variant.name}: {error}") from error
        check(0 < variant.limit.ucl < LARGEST_VALUE, f"{variant.name}: the UCL must be above zero, and sane")
        check(
            0 < variant.golden_tolerance <= MAX_TOLERANCE,
            f"{variant.name}: golden_tolerance must be above zero, and at most {MAX_TOLERANCE}",
        )
        check(
            len(variant.golden_scores) == len(windows),
            f"{variant.name}: one golden score per golden window",
        )
        _check_model(variant, members[variant.file], (manifest.window_length, n_channels))
    manifest.variant()  # the default one exists
    if manifest.card_file:
        check(manifest.card_file in members, f"{manifest.card_file} is missing")
        check(_is_text(members[manifest.card_file]), f"{manifest.card_file} is not UTF-8 text")


def _check_model(variant: VariantEntry, content: bytes, shape: tuple[int, int]) -> None:
    try:
        check_model(
            content,
            shape=shape,
            input_dtype=variant.input_dtype,
            output_dtype=variant.output_dtype,
            stateful=variant.stateful,
            input_quantization=variant.input_quantization,
            output_quantization=variant.output_quantization,
        )
    except BundleError as error:
        raise type(error)(f"{variant.file}: {error}") from error


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _read_windows(content: bytes, manifest: Manifest) -> NDArray[np.float32]:
    """The golden windows, from exactly the bytes that `npy` writes for an array of that size."""
    shape = (manifest.window_length, len(manifest.channels))
    window_bytes = 4 * shape[0] * shape[1]
    body = content[_NPY_HEADER_BYTES:]
    if len(content) == _NPY_HEADER_BYTES:
        raise BundleMismatchError(f"there are no golden windows in {manifest.golden_file}")
    if body and len(body) % window_bytes == 0:
        array = np.frombuffer(body, "<f4").reshape(-1, *shape).astype(np.float32)
        if npy(array) == content:
            if not np.isfinite(array).all():
                raise BundleMismatchError(f"{manifest.golden_file} holds values that are not finite")
            return array
    raise BundleMismatchError(f"{manifest.golden_file} is no numpy array of float32 golden windows {shape}")


def npy(array: NDArray[np.float32]) -> bytes:
    """The `.npy` bytes of an array, the form golden windows have in a bundle."""
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue()
