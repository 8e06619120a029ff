"""What is evaluated on what: recordings in groups, bundles, and which of these belongs to which recording."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_ad.bundle.bundle import Bundle, read
from edge_ad.bundle.codec import encode
from edge_ad.bundle.manifest import CsvFormat
from edge_ad.errors import ConfigurationError, DataError
from edge_ad.runtime.sources.csv_lines import CsvLines
from edge_ad.runtime.store.store import open_store
from edge_ad.toolchain.datasets import parquet
from edge_ad.toolchain.datasets.choose import choose_format
from edge_ad.toolchain.datasets.discover import find_recordings
from edge_ad.toolchain.datasets.formats import RecordingFormat, TrainSpan
from edge_ad.toolchain.datasets.guess import LABEL_NAMES, guess_format
from edge_ad.toolchain.workspace import BuildPlan, Workspace

_OF_NO_MATTER = frozenset(
    {"build_number", "card", "gate", "model_version", "precisions", "protocol", "variants"}
)
"""Settings in which builds may differ and still make the same detector."""

CHANGEPOINTS = "changepoint"
"""SKAB's column that is 1 where the state of the machine changes."""


@dataclass(frozen=True)
class Source:
    """A recording that was found."""

    name: str
    """As `edge-ad build` names the asset."""
    group: str
    """The folder it is in, below the one that was given; empty where it is in that one itself."""
    path: Path


def find_sources(data: Path) -> tuple[Source, ...]:
    """The recordings of a file or a folder. Raises DataError where there are none."""
    found = []
    for name, path in find_recordings(data).items():
        group = path.relative_to(data).parent.as_posix() if data.is_dir() else "."
        found.append(Source(name, "" if group == "." else group, path))
    return tuple(found)


def groups_of(sources: Sequence[Source]) -> tuple[str, ...]:
    """The folders of recordings, each once."""
    return tuple(dict.fromkeys(source.group for source in sources if source.group))


@dataclass
class Run:
    """Bundles that were made together: those of a build, of a folder, or a single one for all recordings."""

    name: str
    """Where they are."""
    bundles: dict[str, Path]
    """By asset; one alone, under the empty name, is for every recording."""
    plan: BuildPlan | None = None
    """Of a build."""
    _by_digest: dict[str, Path] = field(default_factory=dict)

    def bundle_of(self, source: Source) -> Path:
        """The bundle of an asset: by its name, or by the recording that it was made from.

        Raises ConfigurationError where there is none, BundleError.
        """
        if "" in self.bundles:
            return self.bundles[""]
        if source.name in self.bundles:
            return self.bundles[source.name]
        if not self._by_digest:
            for path in self.bundles.values():
                self._by_digest[open_bundle(path).manifest.provenance.data_sha256] = path
        digest = _digest(source.path)
        if digest in self._by_digest:
            return self._by_digest[digest]
        names = ", ".join(list(self.bundles)[:10]) + (", …" if len(self.bundles) > 10 else "")
        raise ConfigurationError(
            f"{self.name} has no bundle called {source.name!r}, and none made from {source.path}; it "
            f"has: {names}. Give the folder that the bundles were built from, or one bundle for all "
            "recordings: --bundle FILE"
        )


def open_build(folder: Path) -> Run:
    """The bundles of a build folder. Raises ConfigurationError where it has none.

    So it does for one that was split at random: what it has learned from lies between the rows that are not.
    """
    workspace = Workspace(folder)
    plan = workspace.load_plan()
    if plan.format.train.share is not None:
        raise ConfigurationError(
            f"{folder} was trained on rows drawn at random, which leaves no course of time to judge: build "
            "with --split time, or judge its bundle on another recording, with --bundle and --train-rows"
        )
    found = _in_folder(workspace.bundles)
    if not found:
        raise ConfigurationError(f"{workspace.bundles} holds no bundles: run 'edge-ad pack {folder}' first")
    return Run(str(folder), found, plan)


def open_bundles(path: Path) -> Run:
    """A bundle for every recording, or a folder with one for each. Raises ConfigurationError."""
    if not path.is_dir():
        return Run(str(path), {"": path})
    if (path / "build.json").exists():
        raise ConfigurationError(f"{path} is the folder of a build: give it with --build {path}")
    found = _in_folder(path)
    if not found:
        raise ConfigurationError(f"{path} holds no .edgead file")
    return Run(str(path), found)


def open_bundle(path: Path) -> Bundle:
    """Read and verify a bundle under this machine's rules of trust. Raises BundleError, StoreError."""
    return read(path, open_store(None).keyring.policy())


def check_alike(runs: Sequence[Run]) -> None:
    """Raises ConfigurationError unless builds differ by their seeds, and by nothing else that matters."""
    plans = [(run.name, run.plan) for run in runs if run.plan is not None]
    seeds: dict[int, str] = {}
    for name, plan in plans:
        seed = plan.settings.training.seed
        if seed in seeds:
            raise ConfigurationError(
                f"{seeds[seed]} and {name} both have the seed {seed}, so they say nothing of its spread: "
                "build one with another --seed"
            )
        seeds[seed] = name
        differing = _differences(_comparable(plans[0][1]), _comparable(plan))
        if differing:
            raise ConfigurationError(
                f"{plans[0][0]} and {name} differ in more than their seeds: {', '.join(differing)}; evaluate "
                "them one by one"
            )


def _comparable(plan: BuildPlan) -> dict[str, object]:
    settings = encode(plan.settings)
    del settings["training"]["seed"]
    kept = {key: value for key, value in settings.items() if key not in _OF_NO_MATTER}
    return {"format": encode(plan.format), **kept}


def _differences(first: dict[str, object], second: dict[str, object]) -> list[str]:
    return [key for key in first.keys() | second.keys() if first.get(key) != second.get(key)]


@dataclass(frozen=True)
class Reading:
    """How recordings are read."""

    format: RecordingFormat
    preset: str | None
    """Whose format it is, if one's."""


def choose_reading(
    sources: Sequence[Source],
    run: Run,
    preset: str | None,
    format_file: Path | None,
    label: str | None,
    train_rows: int | None,
) -> Reading:
    """As the options say, else as the build read them, else as the bundle and the file itself tell.

    Raises ConfigurationError, DataError, BundleError.
    """
    first = sources[0].path
    if preset or format_file:
        found = Reading(*choose_format(first, preset, format_file))
    elif run.plan is not None:
        found = Reading(run.plan.format, run.plan.preset)
    else:
        found = _recognized(first) or _as_the_bundle(first, run.bundle_of(sources[0]))
    changed = found.format
    try:
        if label is not None:
            changed = dataclasses.replace(changed, label_column=label)
        if train_rows is not None:
            changed = dataclasses.replace(changed, train=TrainSpan(rows=train_rows))
    except ValueError as error:
        raise ConfigurationError(f"--label {label}: {error}") from error
    if changed.train.share is not None:
        raise ConfigurationError(
            "rows that were drawn at random to train on leave no course of time to judge: give --train-rows"
        )
    return dataclasses.replace(found, format=changed)


def require_labels(sources: Sequence[Source], reading: Reading) -> None:
    """Raises DataError where no recording has the column of labels, so that there would be nothing to judge
    by once the work is done.
    """
    column, layout = reading.format.label_column, reading.format.input
    if column is not None and any(column in header(source.path, layout) for source in sources):
        return
    missing = (
        f"has no column {column!r} of labels" if column else "has no column that is known to hold labels"
    )
    first = sources[0].path
    raise DataError(
        f"{first} {missing}, 1 where a row is anomalous: name it with --label; line 1 has: "
        f"{', '.join(header(first, layout))}"
    )


def _recognized(path: Path) -> Reading | None:
    """The preset of the file, where it fits one."""
    try:
        guessed, preset = guess_format(path)
    except DataError:
        return None
    return None if preset is None else Reading(guessed, preset)


def _as_the_bundle(path: Path, bundle: Path) -> Reading:
    manifest = open_bundle(bundle).manifest
    used = {channel.name for channel in manifest.channels}
    columns = [name for name in header(path, manifest.input) if name not in used]
    label = next((name for name in columns if name.lower() in LABEL_NAMES), None)
    known = RecordingFormat(
        channels=manifest.channels,
        train=TrainSpan(rows=manifest.provenance.train_rows),
        input=manifest.input,
        label_column=label,
        sample_period_s=manifest.sample_period_s,
        largest_gap_s=manifest.largest_gap_s,
        rate_tolerance=manifest.rate_tolerance,
    )
    return Reading(known, None)


def header(path: Path, layout: CsvFormat) -> list[str]:
    """The column names of a recording. Raises DataError."""
    if path.suffix.lower() == parquet.SUFFIX:
        return parquet.column_names(path)
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            return CsvLines(file, layout, [], name=str(path), strict=True).header
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def _in_folder(folder: Path) -> dict[str, Path]:
    """Bundles by name, at any depth, as a fleet keeps them. Raises ConfigurationError for two of a name."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.edgead")):
        if path.stem in found:
            raise ConfigurationError(
                f"{folder} holds two bundles called {path.stem}: {found[path.stem]} and {path}"
            )
        if path.is_file():
            found[path.stem] = path
    return found


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
