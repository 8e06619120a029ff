"""What `fuzz_bundle.py` feeds its inputs to: one reader each, its first inputs, and what must hold."""

from __future__ import annotations

import json
import random
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the helpers of the tests

from edge_ad.bundle.archive import MANIFEST, SIGNATURE, deserialize, serialize, sha256
from edge_ad.bundle.bundle import Bundle, npy, unpack
from edge_ad.bundle.manifest import from_json, to_json
from edge_ad.bundle.minisign import PublicKey, parse_public_key, parse_signature, verify
from edge_ad.bundle.overlay import overlaid, overlay_bytes, parse_overlay
from edge_ad.bundle.tflite import check_model
from edge_ad.bundle.trust import TrustPolicy
from edge_ad.errors import BundleSignatureError, EdgeAdError
from tests.forge import edited, manifest_of, members_of

DATA = Path(__file__).resolve().parents[1] / "tests" / "data"
SLOW_S = 10.0
"""An input that takes longer is a finding: a reader must not be held up by what it reads."""


class SlowError(AssertionError):
    """A reader took too long."""


@dataclass(frozen=True)
class Target:
    """A reader of untrusted bytes."""

    run: Callable[[bytes], None]
    """Raises an EdgeAdError for what it refuses; anything else that it raises is a finding."""
    seeds: Callable[[], list[bytes]]
    words: Callable[[], list[bytes]] = list
    """Pieces that inputs are likely to need."""
    max_bytes: int = 4096


def outcome(target: Target, data: bytes) -> Exception | None:
    """None for an input that was taken, the error of its own that it was refused with, or the finding."""
    start = time.monotonic()
    try:
        target.run(data)
    except Exception as error:  # noqa: BLE001  whatever it is, it is what is looked for
        if not is_finding(error):
            _check_time(start)
        return error
    return None


def is_finding(error: Exception | None) -> bool:
    """Whether an outcome is one that no reader may have."""
    return error is not None and not isinstance(error, EdgeAdError)


def _check_time(start: float) -> None:
    if time.monotonic() - start > SLOW_S:
        raise SlowError(f"took {time.monotonic() - start:.0f} s")


# --- the bundle that everything starts from --------------------------------------------------------


def toy() -> bytes:
    """A good bundle with three variants."""
    return (DATA / "toy.edgead").read_bytes()


def only(variant: str) -> bytes:
    """The toy bundle with one variant, for the sake of speed."""
    data = toy()
    manifest = manifest_of(data)
    dropped = {entry["file"] for entry in manifest["variants"] if entry["name"] != variant}

    def edit(plain: dict[str, Any]) -> None:
        plain["variants"] = [entry for entry in plain["variants"] if entry["name"] == variant]
        plain["members"] = [entry for entry in plain["members"] if entry["name"] not in dropped]
        plain["default_variant"] = variant

    kept = {name: content for name, content in members_of(data).items() if name not in dropped}
    return edited(serialize(kept), edit)


def _words_of(plain: object) -> list[bytes]:
    """Keys and texts of a JSON value, quoted."""
    if isinstance(plain, dict):
        keys = [json.dumps(key).encode() for key in plain]
        return keys + [word for value in plain.values() for word in _words_of(value)]
    if isinstance(plain, list):
        return [word for value in plain[:2] for word in _words_of(value)]
    return [json.dumps(plain).encode()] if isinstance(plain, str) and len(plain) < 60 else []


_JSON_WORDS = [
    b"null",
    b"true",
    b"1e308",
    b"-1",
    b"5e-324",
    b'"\\ud800"',
    b"\xed\xa0\x80",
    b"1e999",
    b"NaN",
    b"[[[[",
]


def _json_words(plain: object) -> list[bytes]:
    return sorted({*_words_of(plain), *_JSON_WORDS})


# --- archive ---------------------------------------------------------------------------------------


def run_archive(data: bytes) -> None:
    """What is taken is exactly what would be written."""
    members = deserialize(data)
    assert serialize(members) == data
    assert next(iter(members)) == MANIFEST


def seed_archives() -> list[bytes]:
    """Small archives, and one with everything in it."""
    short = {name: content[:40] for name, content in members_of(toy()).items()}
    return [
        serialize({MANIFEST: b"{}"}),
        serialize({MANIFEST: b"", SIGNATURE: b"", "a": b"b"}),
        serialize(short),
        # a 64-bit end record, which the readers of this format look for
        serialize(short)[:-22]
        + b"PK\x06\x06"
        + bytes(52)
        + b"PK\x06\x07"
        + bytes(16)
        + serialize(short)[-22:],
    ]


# --- manifest and overlay --------------------------------------------------------------------------


def run_manifest(data: bytes) -> None:
    """What is taken means the same when it is written and read again."""
    manifest = from_json(data)
    again = from_json(to_json(manifest))
    assert again == manifest
    manifest.variant()


def seed_manifests() -> list[bytes]:
    """The manifest, whole, with short lists, and of a schema of the same major number with a field more."""
    text = members_of(toy())[MANIFEST]
    short = members_of(only("tiny-int8"))[MANIFEST]
    newer = re.sub(rb'"schema":"1\.\d+"', b'"schema":"1.99"', short)
    newer = newer.replace(b'"asset"', b'"aaa":{"b":[1]},"asset"', 1)
    plain = json.loads(short)
    plain["variants"][0].update(parity=[], proof=[], evaluation=[], measured_forms=[], calibration=None)
    return [text, short, newer, json.dumps(plain).encode()]


def _overlay(bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest
    scaler = {
        "kind": "standard",
        "offset": list(manifest.scaler.offset),
        "scale": list(manifest.scaler.scale),
    }
    return {
        "schema": "1.0",
        "bundle_id": manifest.bundle_id,
        "asset": manifest.asset,
        "created": "2026-01-01T00:00:00+00:00",
        "by": "root",
        "samples_sha256": "0" * 64,
        "n_samples": 100,
        "n_unusable": 0,
        "limits": [
            {"variant": variant.name, "old_ucl": variant.limit.ucl, "new_ucl": 1.5, "n_windows": 91}
            for variant in manifest.variants
        ],
        "old_scaler": scaler,
        "new_scaler": scaler,
    }


_BUNDLE = unpack(toy())


def run_overlay(data: bytes) -> None:
    """What is taken can be written, and laid over a bundle or refused."""
    overlay = parse_overlay(data)
    assert parse_overlay(overlay_bytes(overlay)) == overlay
    overlaid(_BUNDLE, overlay)


def seed_overlays() -> list[bytes]:
    """A good overlay, with and without a scaler."""
    plain = _overlay(_BUNDLE)
    texts = [json.dumps(plain), json.dumps(plain | {"new_scaler": None, "old_scaler": None})]
    return [text.encode() for text in texts]


# --- signature -------------------------------------------------------------------------------------

_KEY = PublicKey(b"edge_ad!", bytes(range(32)))


def run_signature(data: bytes) -> None:
    """Signature files and key files; nothing is ever taken for a good signature."""
    half = len(data) // 2
    try:
        key = parse_public_key(data[:half].decode(), "the key")
    except (EdgeAdError, UnicodeDecodeError):
        key = _KEY
    else:
        assert parse_public_key(key.text(), "the key") == key
    content = data[half:] if half and data[:7] != b"untrust" else data
    signature = parse_signature(content)
    assert parse_signature(signature.text().encode()) == signature
    for candidate in (key, PublicKey(signature.id_bytes, signature.signature[:32])):
        try:
            verify(candidate, signature, b"nobody signed this")
        except BundleSignatureError:
            continue
        raise AssertionError("a signature that nobody made was taken")
    TrustPolicy((PublicKey(signature.id_bytes, key.point),)).check(b"nobody signed this", content)


def seed_signatures() -> list[bytes]:
    """A signature in the right form, a key, and both."""
    numbers = bytes(range(64))
    from edge_ad.bundle.minisign import Signature

    signature = Signature(_KEY.id_bytes, numbers, "edge_ad\tasset=toy build=1", numbers[::-1]).text().encode()
    key = _KEY.text().encode()
    return [signature, key + b"\n" * max(0, len(signature) - len(key)) + signature, key * 2]


# --- model -----------------------------------------------------------------------------------------


def run_model(data: bytes) -> None:
    """The check of a model file."""
    kinds: dict[str, Any] = {"input_quantization": None, "output_quantization": None}
    kinds |= {"input_dtype": "float32", "output_dtype": "float32", "stateful": True}
    check_model(data, shape=(10, 8), **kinds)


def seed_models() -> list[bytes]:
    """All forms and precisions."""
    bundles = (unpack((DATA / name).read_bytes()) for name in ("toy.edgead", "toy-fast.edgead"))
    return [bundle.model(entry.name) for bundle in bundles for entry in bundle.manifest.variants]


# --- a whole bundle, changed in places with everything else made right ---------------------------------


class Script:
    """Bytes read as a list of choices; zeros when they are used up."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return max(0, len(self._data) - self._at)

    def number(self, n_bytes: int) -> int:
        """The next number."""
        self._at += n_bytes
        return int.from_bytes(self._data[self._at - n_bytes : self._at], "little")

    def below(self, limit: int) -> int:
        """A choice among so many."""
        return self.number(1 if limit <= 256 else 3) % max(1, limit)

    def raw(self) -> bytes:
        """Some bytes."""
        n_bytes = self.number(1)
        self._at += n_bytes
        return self._data[self._at - n_bytes : self._at]


_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 2**31 - 1, 2**31, 2**32, 2**62, 2**63, 2**64, -(2**63), 10**4000),
    *(0.0, -0.0, 1.5, 5e-324, 1e-38, 3.4e38, 1e39, 1e308, -1e308),
    *("", "\0", "\ud800", "x" * 5000, "../../x", "1.1", "1.2", "99.0", "1.1.1", "%Y-%m-%d", "%y" * 3, "iso"),
    *("int8", "float32", "robust", "\x1b[2J", "manifest.json", "golden/windows.npy", "model-card.md"),
    *([], {}, [[]], [None], [1e308], [0.0] * 8, [[[[[[[[]]]]]]]], {"a": 1}, {"": {}}),
)


def _place(plain: Any, script: Script) -> tuple[Any, Any]:
    """A container somewhere in a JSON value, and a key of it."""
    while True:
        keys = sorted(plain) if isinstance(plain, dict) else range(len(plain))
        key = keys[script.below(len(keys))]
        inner = plain[key]
        if not isinstance(inner, dict | list) or not inner or script.below(4) == 0:
            return plain, key
        plain = inner


def _edit_manifest(plain: dict[str, Any], script: Script) -> None:
    container, key = _place(plain, script)
    match script.below(16):
        case 0:
            del container[key]
        case 1:
            container[key] = [container[key]]
        case 2:
            other, place = _place(plain, script)
            container[key] = json.loads(json.dumps(other[place]))
        case 3 if isinstance(container, list):
            container.insert(0, container[key])
        case 4 if isinstance(container, dict):
            container[script.raw().decode("latin-1")] = container[key]
        case 5:
            container[key] = script.raw().decode("latin-1")
        case 6:
            container[key] = script.number(8) - 2**63
        case 7:
            container[key] = _VALUES[script.below(len(_VALUES))]
        case _:  # of the same type: what a decoder takes, and the checks after it have to judge
            alike = [value for value in _VALUES if type(value) is type(container[key])]
            container[key] = alike[script.below(len(alike))]


_WORDS_32 = (
    0,
    1,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    0xFFFFFFFE,
    0x7F800000,
    0x7FC00000,
    0xFF7FFFFF,
    4,
    9,
    0x10000,
)


def _edit_member(members: dict[str, bytes], script: Script) -> None:
    names = [name for name in members if name != MANIFEST]
    if not names:
        return
    name = names[script.below(len(names))]
    content = bytearray(members[name])
    at = script.below(len(content) + 1)
    match script.below(10):
        case 0:
            content[at : at + 1] = script.raw()
        case 1:
            del content[at:]
        case 2:
            content[at : at + 4] = _WORDS_32[script.below(len(_WORDS_32))].to_bytes(4, "little")
        case 3:
            members[f"m{script.below(256)}"] = members.pop(name)
            return
        case 4:
            other = names[script.below(len(names))]
            members[name], members[other] = members[other], members[name]
            return
        case 5:
            del members[name]
            return
        case 6:
            content = bytearray(npy(np.zeros((script.below(3), script.below(12), 8), np.float32)))
        case _:
            content[at : at + 1] = bytes([script.number(1)])
    members[name] = bytes(content)


_BASES = [only("tiny-int8"), only("tiny-int8"), only("tiny-int8-full"), toy()]


def forged(data: bytes) -> bytes:
    """A bundle made from a list of choices, with sizes, hashes and id made right."""
    script = Script(data)
    members = members_of(_BASES[script.below(len(_BASES))])
    plain: Any = json.loads(members[MANIFEST])
    manifest_edits, member_edits = script.below(4), script.below(4)
    for _ in range(member_edits):
        _edit_member(members, script)
    listed = [{"name": n, "sha256": sha256(c), "size": len(c)} for n, c in members.items() if n != MANIFEST]
    plain["members"] = listed
    for _ in range(manifest_edits):
        if plain:
            _edit_manifest(plain, script)
    plain["bundle_id"] = ""
    digest = sha256(_canonical(plain))
    text = _canonical(plain | {"bundle_id": digest})
    if script.below(8) == 7:
        at = script.below(len(text))
        text = text[:at] + script.raw() + text[at:]
    return serialize({**members, MANIFEST: text})


def _canonical(plain: object) -> bytes:
    """As the package writes it, but for what the package refuses to write."""
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def run_bundle(data: bytes) -> None:
    """Reading a whole bundle; what is taken can be used."""
    bundle = unpack(forged(data))
    assert len(bundle.golden_windows()) > 0
    for entry in bundle.manifest.variants:
        assert bundle.model(entry.name)
    assert from_json(to_json(bundle.manifest)) == bundle.manifest


def seed_bundles() -> list[bytes]:
    """Lists of choices, the same ones every time."""
    source = random.Random(7)
    return [bytes(40), *(source.randbytes(40) for _ in range(60))]


TARGETS = {
    "archive": Target(
        run_archive, seed_archives, lambda: [b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x07"]
    ),
    "manifest": Target(
        run_manifest, seed_manifests, lambda: _json_words(json.loads(seed_manifests()[1])), max_bytes=20_000
    ),
    "bundle": Target(run_bundle, seed_bundles, max_bytes=256),
    "model": Target(
        run_model, seed_models, lambda: [word.to_bytes(4, "little") for word in _WORDS_32], max_bytes=32_000
    ),
    "signature": Target(
        run_signature, seed_signatures, lambda: [b"untrusted comment: ", b"trusted comment: ", b"RUQ"]
    ),
    "overlay": Target(run_overlay, seed_overlays, lambda: _json_words(_overlay(_BUNDLE))),
}
