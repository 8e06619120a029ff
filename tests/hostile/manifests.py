"""Attacks on the manifest: as a text, in its values, and against the other members."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from edge_ad import errors
from edge_ad.bundle.archive import MANIFEST, serialize
from edge_ad.bundle.bundle import npy
from tests.forge import edited, members_of, with_member
from tests.hostile.archives import FLOAT, GOLDEN, INT8
from tests.hostile.attack import Attack

CARD = "model-card.md"
FULL = "models/tiny-int8-full.tflite"


# --- as a text -------------------------------------------------------------------------------------


def text(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """An attack on the manifest's bytes; nothing is made right again."""

    def make(data: bytes) -> bytes:
        members = members_of(data)
        return serialize({**members, MANIFEST: change(members[MANIFEST])})

    return make


def replaced(old: str, new: str | bytes) -> Callable[[bytes], bytes]:
    """An attack on one place of the text; the id is made right, whatever the text is worth."""

    def change(content: bytes) -> bytes:
        assert old.encode() in content
        content = content.replace(old.encode(), new if isinstance(new, bytes) else new.encode(), 1)
        found = re.search(rb'"bundle_id":"([0-9a-f]{64})"', content)
        assert found
        right = hashlib.sha256(content.replace(found[1], b"", 1)).hexdigest().encode()
        return content.replace(found[1], right, 1)

    return text(change)


def nested(opening: str, inner: str, closing: str, depth: int) -> Callable[[bytes], bytes]:
    """An attack by depth, in a key that a newer schema might have."""
    deep = opening * depth + inner + closing * depth
    by_schema, by_key = '"schema":"1.3"', '{"alarm_rule"'

    def make(data: bytes) -> bytes:
        newer = replaced(by_schema, '"schema":"1.9"')(data)
        return replaced(by_key, f'{{"aaa":{deep},"alarm_rule"')(newer)

    return make


def in_encoding(encoding: str) -> Callable[[bytes], bytes]:
    """The manifest in another encoding, which JSON readers often guess."""
    return text(lambda content: content.decode().encode(encoding))


def indented(content: bytes) -> bytes:
    """The same JSON, spelled otherwise."""
    return json.dumps(json.loads(content), indent=1).encode()


_JSON, _VERSION, _DIGEST = errors.BundleManifestError, errors.BundleVersionError, errors.BundleDigestError
_MISMATCH, _MEMBER = errors.BundleMismatchError, errors.BundleMemberError
_GAP, _ASSET, _BUILD = '"largest_gap_s":5.5', '"asset":"toy"', '"build_number":1'
_CANONICAL, _INVALID = "not in canonical form", "not valid JSON"

TEXTS = (
    Attack("manifest-empty", text(lambda content: b""), _JSON, _INVALID),
    Attack("manifest-cut", text(lambda content: content[:1000]), _JSON, _INVALID),
    Attack("manifest-list", text(lambda content: b"[]"), _JSON, "top level"),
    Attack("manifest-zeros", text(lambda content: bytes(1000)), _JSON, _INVALID),
    Attack("byte-order-mark", text(lambda content: b"\xef\xbb\xbf" + content), _JSON, _INVALID),
    Attack("utf-16", in_encoding("utf-16-le"), _JSON, _INVALID),
    Attack("utf-32", in_encoding("utf-32-be"), _JSON, _INVALID),
    Attack("latin-1", replaced(_ASSET, '"asset":"Süd"'.encode("latin-1")), _JSON, _INVALID),
    Attack("overlong-utf-8", replaced(_ASSET, b'"asset":"\xc0\xaf"'), _JSON, _INVALID),
    Attack("escaped-surrogate", replaced(_ASSET, '"asset":"\\ud800"'), _JSON, _INVALID),
    Attack("raw-surrogate", replaced(_ASSET, b'"asset":"\xed\xa0\x80"'), _JSON, _INVALID),
    Attack("raw-control-character", replaced(_ASSET, '"asset":"\0"'), _JSON, _INVALID),
    Attack("escape-not-needed", replaced(_ASSET, '"asset":"\\u0074oy"'), _JSON, _CANONICAL),
    Attack("spaces", replaced(_ASSET, '"asset": "toy"'), _JSON, _CANONICAL),
    Attack("indented", text(indented), _JSON, _CANONICAL),
    Attack("line-end", text(lambda content: content + b"\n"), _JSON, _CANONICAL),
    Attack("second-document", text(lambda content: content + b"{}"), _JSON, _INVALID),
    Attack("nan", replaced(_GAP, '"largest_gap_s":NaN'), _JSON, "NaN is not a JSON number"),
    Attack("infinity", replaced(_GAP, '"largest_gap_s":Infinity'), _JSON, "Infinity is not"),
    Attack("minus-infinity", replaced(_GAP, '"largest_gap_s":-Infinity'), _JSON, "-Infinity is not"),
    Attack("1e999", replaced(_GAP, '"largest_gap_s":1e999'), _JSON, "1e999 is larger than"),
    Attack("number-spelled-otherwise", replaced(_GAP, '"largest_gap_s":5.50'), _JSON, _CANONICAL),
    Attack("5000-digits", replaced(_BUILD, f'"build_number":{"9" * 5000}'), _JSON, _INVALID),
    Attack(
        "digits-for-a-float", replaced(_GAP, f'"largest_gap_s":{"9" * 400}'), _JSON, "not a finite number"
    ),
    Attack("key-twice", replaced(_ASSET, '"asset":"toy","asset":"toy"'), _JSON, "names a key twice"),
    Attack("inner-key-twice", replaced('"k":3', '"k":3,"k":1'), _JSON, "names a key twice"),
    Attack("key-twice-by-escape", replaced(_ASSET, '"asset":"toy","\\u0061sset":"x"'), _JSON, "key twice"),
    Attack("deep-lists", nested("[", "", "]", 100_000), _JSON, "recursion"),
    Attack("deep-objects", nested('{"a":', "1", "}", 100_000), _JSON, "recursion"),
    Attack("never-closed", text(lambda content: b'{"a":' * 500_000), _JSON, "recursion"),
    Attack(
        "manifest-edited", text(lambda content: content.replace(b'"k":3', b'"k":4')), _DIGEST, "bundle_id"
    ),
)


# --- in its values ---------------------------------------------------------------------------------


def put(*path_and_value: Any) -> Callable[[bytes], bytes]:
    """An attack on one value, with the id made right."""
    *path, last, value = path_and_value

    def edit(manifest: Any) -> None:
        for key in path:
            manifest = manifest[key]
        manifest[last] = value

    return lambda data: edited(data, edit)


def dropped(*path: Any) -> Callable[[bytes], bytes]:
    """An attack by a value that is missing."""
    *path, last = path

    def edit(manifest: Any) -> None:
        for key in path:
            manifest = manifest[key]
        del manifest[last]

    return lambda data: edited(data, edit)


def without_windows(window_length: int) -> Callable[[bytes], bytes]:
    """No golden windows, of any length that the manifest likes."""
    empty = npy(np.zeros((0, 10, 8), np.float32))
    return lambda data: put("window_length", window_length)(with_member(data, GOLDEN, empty))


def put_all(key: str, value: object) -> Callable[[bytes], bytes]:
    """An attack on the same entry of every variant."""

    def edit(manifest: Any) -> None:
        for variant in manifest["variants"]:
            variant[key] = value

    return lambda data: edited(data, edit)


def copied(variant: str, times: int) -> Callable[[bytes], bytes]:
    """An attack with more variants: copies of one under other names."""

    def edit(manifest: Any) -> None:
        original = next(entry for entry in manifest["variants"] if entry["name"] == variant)
        manifest["variants"] += [{**original, "name": f"copy-{number}"} for number in range(times)]

    return lambda data: edited(data, edit)


def headed(*heads: dict[str, Any], score: str = "heads") -> Callable[[bytes], bytes]:
    """An attack by the detector of a model."""

    def edit(manifest: Any) -> None:
        manifest |= {"schema": "1.5", "score": score}
        for model in manifest["models"]:
            model["detector"] = {"fusion": "max", "heads": list(heads)}

    return lambda data: edited(data, edit)


def limited(kind: str, budget: str, **changes: Any) -> Callable[[bytes], bytes]:
    """An attack by what a limit promises."""

    def edit(manifest: Any) -> None:
        manifest["schema"] = "1.4"
        for variant in manifest["variants"]:
            variant["limit"] |= {"budget": {"kind": kind, "budget": budget}, **changes}

    return lambda data: edited(data, edit)


def _t2(**changes: Any) -> dict[str, Any]:
    root = [[1.0] * (row + 1) for row in range(8)]
    return {"kind": "t2", "of": "window-mean", "center": [0.0] * 8, "root": root} | changes


def _follow(**changes: Any) -> dict[str, Any]:
    return {"samples": 60, "below": 0.5, "reach": [1.0] * 8, "distance": 3.0} | changes


_L1 = {"kind": "l1", "of": "residual"}
_NAN_ROOT = replaced('"root":[[1.0]', '"root":[[NaN]')

VALUES = (
    Attack("budget-of-nothing", limited("gpd", "1 per eternity"), _JSON, "must read like"),
    Attack("budget-of-everything", limited("gpd", "999999 per hour"), _MISMATCH, "every second window"),
    Attack("budget-of-megabytes", limited("gpd", "1" * 10**6 + " per day"), _JSON, "must read like"),
    Attack("budget-by-code", limited("eval", "1 per day"), _JSON, "it can be 'gpd', 'conformal'"),
    Attack("budget-of-no-percentile", limited("gpd", "1 per day", percentile=1e9), _MISMATCH, "percentile"),
    Attack("heads-none", headed(), _JSON, "1 to 8 heads"),
    Attack("heads-by-the-thousand", headed(*[_L1] * 1000), _JSON, "1 to 8 heads"),
    Attack("head-of-code", headed({**_L1, "kind": "exec"}), _JSON, "it can be 'l1'"),
    Attack("head-unknown-key", headed({**_L1, "import": "os"}), _JSON, "unknown key"),
    Attack("head-short-center", headed(_t2(center=[0.0])), _MISMATCH, "center has 1 channels"),
    Attack("head-long-center", headed(_t2(center=[0.0] * 10**5)), _MISMATCH, "center has 100000"),
    Attack("head-small-root", headed(_t2(root=[[1.0]])), _MISMATCH, "root has 1 channels"),
    Attack("head-square-root", headed(_t2(root=[[1.0] * 8] * 8)), _JSON, "lower triangle"),
    Attack("head-ragged-root", headed(_t2(root=[[1.0], [1.0]])), _JSON, "lower triangle"),
    Attack("head-root-of-nan", lambda data: _NAN_ROOT(headed(_t2())(data)), _JSON, "NaN is not"),
    Attack("head-huge-root", headed(_t2(center=[1e300] * 8)), _JSON, "must not exceed"),
    Attack("head-digits", headed(_t2(center=[10**400] * 8)), _JSON, "not a finite number"),
    Attack("head-scale-zero", headed({**_L1, "scale": 0.0}), _JSON, "scale must lie"),
    Attack("head-scale-negative", headed({**_L1, "scale": -1.0}), _JSON, "scale must lie"),
    Attack("head-scale-tiny", headed({**_L1, "scale": 5e-324}), _JSON, "scale must lie"),
    Attack("head-weight-huge", headed({**_L1, "weight": 1e300}), _JSON, "weight must lie"),
    Attack("head-endless-baseline", headed(_t2(baseline=10**30)), _MISMATCH, "leaves nothing"),
    Attack("follow-of-l1", headed({**_L1, "follow": _follow()}), _JSON, "a t2 alone follows"),
    Attack("follow-at-once", headed(_t2(follow=_follow(samples=0))), _JSON, "follows in 1 to"),
    Attack("follow-for-ever", headed(_t2(follow=_follow(samples=10**30))), _JSON, "follows in 1 to"),
    Attack("follow-alarms", headed(_t2(follow=_follow(below=2.0))), _JSON, "a share of the UCL"),
    Attack("follow-nowhere", headed(_t2(follow=_follow(reach=[]))), _JSON, "reach must be numbers"),
    Attack("follow-anywhere", headed(_t2(follow=_follow(reach=[1e300] * 8))), _JSON, "reach must be numbers"),
    Attack("follow-backwards", headed(_t2(follow=_follow(reach=[-1.0] * 8))), _JSON, "reach must be numbers"),
    Attack(
        "follow-far-away", headed(_t2(follow=_follow(distance=1e300))), _JSON, "distance must be a number"
    ),
    Attack("follow-with-one", headed(_t2(follow=_follow(reach=[1.0]))), _JSON, "as many numbers"),
    Attack("head-blind", headed({**_L1, "channels": [False] * 8}), _JSON, "look at a channel"),
    Attack("head-of-two-channels", headed({**_L1, "channels": [True] * 2}), _MISMATCH, "channels has 2"),
    Attack("heads-not-asked-for", headed(_L1, score="sum"), _MISMATCH, "the score is that of heads"),
    Attack("heads-missing", put("score", "heads"), _MISMATCH, "the score is that of heads"),
    Attack("schema-of-the-future", put("schema", "2.0"), _VERSION, "upgrade edge_ad"),
    Attack("schema-of-the-past", put("schema", "0.9"), _VERSION, "build it anew"),
    Attack("schema-number", put("schema", 1.1), _JSON, "must be a version"),
    Attack("schema-digits", put("schema", "1." + "9" * 5000), _JSON, "must be a version"),
    Attack("schema-foreign-digits", put("schema", "1.²"), _JSON, "must be a version"),
    Attack("schema-missing", dropped("schema"), _JSON, "must be a version"),
    Attack("newer-runtime", put("minimum_runtime", "99.0"), _VERSION, "needs edge_ad 99.0"),
    Attack("runtime-digits", put("minimum_runtime", "9" * 5000), _JSON, "is not a version"),
    Attack("unknown-key", put("exec", "rm -rf /"), _JSON, "unknown key exec"),
    Attack("unknown-inner-key", put("scaler", "__class__", "x"), _JSON, "unknown key scaler.__class__"),
    Attack("missing-key", dropped("scaler"), _JSON, "missing key scaler"),
    Attack("missing-inner-key", dropped("variants", 0, "limit", "ucl"), _JSON, "missing key .*ucl"),
    Attack("text-for-a-number", put("window_length", "10"), _JSON, "window_length must be"),
    Attack("float-for-a-count", put("window_length", 10.0), _JSON, "window_length must be"),
    Attack("true-for-a-number", put("window_length", True), _JSON, "window_length must be"),
    Attack("null-for-a-number", put("variants", 0, "limit", "ucl", None), _JSON, "ucl must be"),
    Attack("object-for-a-list", put("channels", {}), _JSON, "channels must be a list"),
    Attack("list-for-an-object", put("scaler", []), _JSON, "must be an object"),
    Attack("code-for-a-rule", put("alarm_rule", "kind", "eval"), _JSON, "it can be 'consecutive'"),
    Attack("model-of-no-kind", put("models", 0, "kind", "__import__"), _JSON, "it can be 'lstm'"),
    Attack("rule-of-none", put("alarm_rule", "k", 0), _JSON, "k must be"),
    Attack("line-end-as-separator", put("input", "separator", "\n"), _JSON, "one character"),
    Attack("directive-twice", put("input", "time_format", "%Y %Y"), _JSON, "names a directive twice"),
    Attack("channel-upside-down", put("channels", 0, "low", 1e308), _JSON, "low must be below high"),
    # Sizes
    Attack("no-window", put("window_length", 0), _MISMATCH, "window must be"),
    Attack("negative-window", put("window_length", -10), _MISMATCH, "window must be"),
    Attack("huge-window", put("window_length", 2**62), _MISMATCH, "golden windows"),
    Attack("endless-window", put("window_length", 10**4000), _MISMATCH, "golden windows"),
    Attack("huge-window-none-golden", without_windows(2**62), _MISMATCH, "golden windows"),
    Attack("endless-window-none-golden", without_windows(10**4000), _MISMATCH, "golden windows"),
    Attack("window-of-another-model", put("window_length", 5), _MISMATCH, "golden|model's input"),
    Attack("stride", put("stride", -1), _MISMATCH, "stride 1"),
    Attack("no-channels", put("channels", []), _MISMATCH, "channel names"),
    Attack("channel-twice", put("channels", 0, "name", "Current"), _MISMATCH, "must be unique"),
    Attack("short-scaler", put("scaler", "scale", [1.0]), _MISMATCH, "the scaler has 1 channels"),
    Attack("scale-zero", put("scaler", "scale", 0, 0.0), _MISMATCH, "every scale must be above zero"),
    Attack("scale-negative", put("scaler", "scale", 0, -1.0), _MISMATCH, "every scale must be above zero"),
    Attack("gap-below-period", put("sample_period_s", 1e308), _MISMATCH, "largest_gap_s"),
    Attack("period-negative", put("sample_period_s", -1.0), _MISMATCH, "largest_gap_s"),
    Attack("period-of-nothing", put("sample_period_s", 5e-324), _MISMATCH, "sample period"),
    Attack("gap-of-ages", put("largest_gap_s", 1e300), _MISMATCH, "largest_gap_s"),
    Attack("rate-tolerance-negative", put("rate_tolerance", -1.0), _MISMATCH, "rate_tolerance"),
    Attack("rate-tolerance-huge", put("rate_tolerance", 1e300), _MISMATCH, "rate_tolerance"),
    Attack(
        "windows-beyond-numbers",
        put("variants", 0, "limit", "n_train_windows", 10**400),
        _MISMATCH,
        "n_train",
    ),
    Attack("windows-too-many", put("variants", 0, "limit", "n_train_windows", 2**60), _MISMATCH, "n_train"),
    Attack("flat-after-huge", put("channels", 0, "flat_after", 10**9), _JSON, "flat_after must be"),
    Attack("alarm-of-ages", put("alarm_rule", "k", 10**9), _JSON, "a k of at most"),
    Attack("no-severities", put("alarm_rule", "severities", []), _JSON, "severities must start"),
    Attack(
        "quantiles-that-fall",
        put("variants", 0, "limit", "score_quantiles", [3.0, 2.0, 1.0]),
        _JSON,
        "score_quantiles",
    ),
    Attack(
        "quantiles-too-many",
        put("variants", 0, "limit", "score_quantiles", [1.0] * 5000),
        _JSON,
        "score_quantiles",
    ),
    Attack("ucl-zero", put("variants", 0, "limit", "ucl", 0.0), _MISMATCH, "UCL must be above zero"),
    Attack("ucl-negative", put("variants", 0, "limit", "ucl", -1e308), _MISMATCH, "UCL must be above zero"),
    Attack("tolerance-zero", put_all("golden_tolerance", 0.0), _MISMATCH, "golden_tolerance must be"),
    Attack("few-golden-scores", put("variants", 0, "golden_scores", [1.0]), _MISMATCH, "one golden score"),
    Attack("gate-both-ways", put("unchecked", True), _MISMATCH, "contradict"),
    # Members
    Attack("no-members-listed", put("members", []), _MEMBER, "the manifest names"),
    Attack("members-no-list", put("members", None), _JSON, "members must be a list"),
    Attack("member-listed-twice", lambda data: edited(data, _list_twice), _MEMBER, "the manifest names"),
    Attack("members-in-another-order", lambda data: edited(data, _reverse), _MEMBER, "the manifest names"),
    Attack("wrong-size", put("members", 0, "size", 1), _DIGEST, "not what the manifest says"),
    Attack("negative-size", put("members", 0, "size", -1), _DIGEST, "not what the manifest says"),
    Attack("wrong-hash", put("members", 0, "sha256", "0" * 64), _DIGEST, "not what the manifest says"),
    Attack("no-hash", put("members", 0, "sha256", ""), _DIGEST, "not what the manifest says"),
    Attack(
        "upper-case-hash",
        lambda data: edited(data, lambda manifest: manifest["members"][0].update(_shouted(manifest))),
        _DIGEST,
        "not what the manifest says",
    ),
    Attack("model-bit-changed", lambda data: _flipped(data, INT8), _DIGEST, INT8),
    Attack("golden-bit-changed", lambda data: _flipped(data, GOLDEN), _DIGEST, GOLDEN),
    Attack("card-bit-changed", lambda data: _flipped(data, CARD), _DIGEST, CARD),
)


def _list_twice(manifest: Any) -> None:
    manifest["members"].append(manifest["members"][0])


def _reverse(manifest: Any) -> None:
    manifest["members"].reverse()


def _shouted(manifest: Any) -> dict[str, str]:
    return {"sha256": manifest["members"][0]["sha256"].upper()}


def _flipped(data: bytes, name: str) -> bytes:
    """One bit of a member changed where the archive itself is right."""
    members = members_of(data)
    content = bytearray(members[name])
    content[len(content) // 2] ^= 1
    return serialize({**members, name: bytes(content)})


# --- against the other members ---------------------------------------------------------------------


def swapped(first: str, second: str) -> Callable[[bytes], bytes]:
    """Two members' contents exchanged, with sizes and hashes made right."""

    def make(data: bytes) -> bytes:
        members = members_of(data)
        return with_member(with_member(data, first, members[second]), second, members[first])

    return make


def contents(name: str, make: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """A member with other contents, size and hash made right."""
    return lambda data: with_member(data, name, make(members_of(data)[name]))


def claims_windows(count: int) -> Callable[[bytes], bytes]:
    """A golden file whose header promises another number of windows than it holds."""

    def change(content: bytes) -> bytes:
        stream = io.BytesIO()
        header = {"descr": "<f4", "fortran_order": False, "shape": (count, 10, 8)}
        np.lib.format.write_array_header_1_0(stream, header)
        return stream.getvalue() + content[128:]

    return contents(GOLDEN, change)


def pickled(content: bytes) -> bytes:
    """What numpy itself would hand to pickle, which runs what it reads."""
    return content.replace(b"'<f4'", b"'|O' ")


_WINDOWS = "no numpy array of float32 golden windows"

CROSS_CHECKS = (
    # Integer input and output beside float input and output
    Attack("variants-swapped", swapped(FLOAT, FULL), _MISMATCH, f"{FLOAT}: the model's input has"),
    Attack(
        "model-and-card-swapped", swapped(INT8, CARD), errors.BundleModelStructureError, "identifier TFL3"
    ),
    Attack(
        "file-of-another-kind", put("variants", 0, "file", GOLDEN), errors.BundleModelStructureError, "TFL3"
    ),
    Attack("file-missing", put("variants", 0, "file", "nope"), _MISMATCH, "nope is missing"),
    Attack("file-outside", put("variants", 0, "file", "../../etc/passwd"), _MISMATCH, "is missing"),
    Attack("file-is-manifest", put("variants", 0, "file", MANIFEST), _MISMATCH, "is missing"),
    Attack("variant-twice", put("variants", 0, "name", "tiny-int8"), _MISMATCH, "variants differ"),
    Attack("no-variants", put("variants", []), _MISMATCH, "variants differ"),
    Attack("variants-share-a-file", copied("tiny-int8", 1), _MISMATCH, "a file of its own"),
    Attack("thousands-of-variants", copied("tiny-int8", 300), _MISMATCH, "more than 32 variants"),
    Attack("tolerates-anything", put_all("golden_tolerance", 1e308), _MISMATCH, "at most 0.25"),
    Attack("build-zero", put("build_number", 0), _MISMATCH, "build_number is 0"),
    Attack("build-negative", put("build_number", -1), _MISMATCH, "build_number is -1"),
    Attack("build-of-ages", put("build_number", 10**300), _MISMATCH, "build_number is 1000"),
    Attack("limit-never-reached", put("variants", 0, "limit", "ucl", 1e308), _MISMATCH, "UCL"),
    Attack("time-format-of-megabytes", put("input", "time_format", "%Y" + "ab " * 10**6), _JSON, "100"),
    Attack("runtime-of-megabytes", put("minimum_runtime", "1." * 10**6), _JSON, "is not a version"),
    Attack("default-missing", put("default_variant", "x"), _JSON, "no variant 'x'"),
    Attack("model-missing", put("variants", 0, "model", "huge"), _MISMATCH, "no model called 'huge'"),
    Attack("state-denied", put_all("stateful", False), _MISMATCH, "the manifest says not stateful"),
    Attack("state-claimed", put("variants", 2, "stateful", True), _MISMATCH, "the manifest says stateful"),
    Attack("input-type", put("variants", 0, "input_dtype", "int8"), _MISMATCH, "input has type float32"),
    Attack(
        "output-type", put("variants", 0, "output_dtype", "float64"), _MISMATCH, "output has type float32"
    ),
    Attack(
        "input-quantization",
        put("variants", 2, "input_quantization", "zero_point", 7),
        *(_MISMATCH, "input has quantization"),
    ),
    Attack("quantization-dropped", put("variants", 2, "output_quantization", None), _MISMATCH, "says None"),
    Attack("golden-missing", put("golden_file", "nope"), _MISMATCH, "nope is missing"),
    Attack("golden-is-model", put("golden_file", INT8), _MISMATCH, _WINDOWS),
    Attack("golden-empty", contents(GOLDEN, lambda old: b""), _MISMATCH, _WINDOWS),
    Attack("golden-cut", contents(GOLDEN, lambda old: old[:-1]), _MISMATCH, _WINDOWS),
    Attack("golden-pickle", contents(GOLDEN, pickled), _MISMATCH, _WINDOWS),
    Attack("golden-promises-more", claims_windows(10**8), _MISMATCH, _WINDOWS),
    Attack("golden-promises-less", claims_windows(15), _MISMATCH, _WINDOWS),
    Attack(
        "golden-of-nan",
        contents(GOLDEN, lambda old: npy(np.full((16, 10, 8), np.nan, np.float32))),
        *(_MISMATCH, "not finite"),
    ),
    Attack(
        "golden-of-doubles",
        contents(GOLDEN, lambda old: npy(np.zeros((16, 10, 8), np.float64))),  # type: ignore[arg-type]  # the attack
        *(_MISMATCH, _WINDOWS),
    ),
    Attack(
        "golden-none",
        contents(GOLDEN, lambda old: npy(np.zeros((0, 10, 8), np.float32))),
        _MISMATCH,
        "no golden",
    ),
    Attack("card-missing", put("card_file", "nope.md"), _MISMATCH, "nope.md is missing"),
    Attack("card-is-model", put("card_file", INT8), _MISMATCH, "not UTF-8 text"),
    Attack("card-no-text", contents(CARD, lambda old: b"\xff\xfe"), _MISMATCH, "not UTF-8 text"),
)

ATTACKS = (*TEXTS, *VALUES, *CROSS_CHECKS)
