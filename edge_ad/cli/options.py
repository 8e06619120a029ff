"""Options that several workstation commands share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from edge_ad.bundle.manifest import CsvFormat

F = TypeVar("F", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)


class FiniteRange(click.FloatRange):
    """A range of numbers that NaN is not in."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click's."""
        number = super().convert(value, param, ctx)
        if number != number:  # noqa: PLR0124  NaN
            self.fail(f"{value} is not a number.", param, ctx)
        return number


def bundle_argument(function: F) -> F:
    """A bundle: a file, or `@ASSET` for the active one of the machine's store."""
    return click.argument("bundle")(function)


def store_option(function: F) -> F:
    """Where this machine's store is."""
    return click.option(
        "--store",
        type=PATH,
        help="Folder of this machine's bundles and trusted keys.  "
        "[default: EDGE_AD_STORE, or /var/lib/edge-ad, without it ~/.local/share/edge-ad]",
    )(function)


def ssh_options(function: F) -> F:
    """How the board is reached."""
    for option in (
        click.option("--ask-sudo-password", is_flag=True, help="Ask for it, where sudo there wants one."),
        click.option("--jump", help="As ssh -J: hosts on the way."),
        click.option("--ssh-config", type=PATH, help="As ssh -F.  [default: ~/.ssh/config]"),
        click.option("--identity", type=PATH, help="As ssh -i: a private key."),
        click.option("--port", type=click.IntRange(1, 65535), help="As ssh -p."),
    ):
        function = option(function)
    return function


def data_options(function: F) -> F:
    """How recordings are described: `--preset` or `--format`."""
    for option in (
        click.option("--format", "format_file", type=PATH, help="TOML file that describes the recordings."),
        click.option(
            "--preset",
            type=click.Choice(["skab", "skab-best", "pump", "bearing"]),
            help="A format that is built in: skab (folder of SKAB files), "
            "skab-best (the same, with the best detector known), pump (simulated) or "
            "bearing (folder or archive of NASA's snapshot files). "
            "[default: recognized by the column names]",
        ),
    ):
        function = option(function)
    return function


def training_data_options(function: F) -> F:
    """What of the recordings is read and trained on, where it is not as the format says."""
    for option in (
        click.option(
            "--bad-snapshots",
            type=click.Choice(["stop", "skip"]),
            default="stop",
            show_default=True,
            help="Of snapshot files that cannot be used: end with an error that names them, or leave them "
            "out and say so.",
        ),
        click.option(
            "--drop-first-row",
            is_flag=True,
            help="Leave out the first reading of every snapshot, as the bearing post's reader did.",
        ),
        click.option(
            "--features",
            help="Of snapshots, comma-separated: mean-abs, rms, kurtosis, crest-factor, band-energy.  "
            "[default: the format's; of bearing mean-abs]",
        ),
        click.option(
            "--split",
            type=click.Choice(["time", "random"]),
            default="time",
            show_default=True,
            help="Train on the format's train span, or on a fifth of the rows, drawn at random by --seed.",
        ),
        click.option("--train-rows", type=click.IntRange(1), help="Train on that many first rows instead."),
    ):
        function = option(function)
    return data_options(function)


def format_changes(overrides: dict[str, Any]) -> Any:
    """Those of the options that tell of the recordings, taken out of all of them."""
    from edge_ad.toolchain.datasets.choose import FormatChanges

    features = _names(overrides.pop("features"))
    return FormatChanges(
        features=features or (),
        drop_first_row=overrides.pop("drop_first_row"),
        random_split=overrides.pop("split") == "random",
        train_rows=overrides.pop("train_rows"),
        skip_bad_snapshots=overrides.pop("bad_snapshots") == "skip",
    )


def settings_options(function: F) -> F:
    """What overrides the configuration file; each default is the seed notebook's protocol."""
    models = "full, tiny, conv, dense; stacked of --preset bearing.  [default: full,tiny]"
    return _settings_options(function, f"Comma-separated: {models}")


def fleet_settings_options(function: F) -> F:
    """The same of a fleet, whose models are tiny unless told otherwise."""
    return _settings_options(function, "Comma-separated: full, tiny, conv, dense.  [default: tiny]")


def _settings_options(function: F, models_help: str) -> F:
    for option in (
        click.option("--config", type=PATH, help="TOML file with build settings."),
        click.option("--models", help=models_help),
        click.option(
            "--precisions", help="Comma-separated: float32, int8, int8-full.  [default: float32,int8]"
        ),
        click.option(
            "--variants",
            help="Converted forms that go into the bundles, comma-separated, such as "
            "tiny-int8,tiny-float32; int8 alone is that of every model.  [default: all]",
        ),
        click.option(
            "--optimize",
            type=click.Choice(["size", "speed", "auto"]),
            help="What converted forms are made for; auto measures both here and takes the faster one if it "
            "is worth its size.  [default: size]",
        ),
        click.option(
            "--window",
            type=click.IntRange(1),
            help="Samples per window.  (1 of --preset bearing)  [default: 10]",
        ),
        click.option("--epochs", type=click.IntRange(1), help="Most epochs.  [default: 100]"),
        click.option(
            "--kernel-l2", type=FiniteRange(0, 1), help="L2 on the first layer's kernel.  [default: 0]"
        ),
        click.option("--seed", type=int, help="Seed of the initial weights.  [default: 0]"),
        click.option(
            "--consecutive",
            type=click.IntRange(1),
            help="Consecutive exceedances that make an alarm in the stream.  [default: 3]",
        ),
        click.option(
            "--build-number",
            type=click.IntRange(1),
            help="Increase it for bundles that replace earlier ones.  [default: 1]",
        ),
    ):
        function = option(function)
    return function


def jobs_option(function: F) -> F:
    """How many processes work side by side."""
    return click.option(
        "-j", "--jobs", type=click.IntRange(1), help="Worker processes.  [default: one per processor]"
    )(function)


def build_settings(
    config: Path | None,
    preset: str | None = None,
    *,
    default_models: tuple[str, ...] | None = None,
    models: str | None,
    precisions: str | None,
    variants: str | None,
    optimize: str | None,
    window: int | None,
    epochs: int | None,
    kernel_l2: float | None,
    seed: int | None,
    consecutive: int | None,
    build_number: int | None,
) -> Any:
    """The settings of `--config`, overridden by what stands on the command line.

    `default_models` stand in for the preset's. Raises ConfigurationError.
    """
    from edge_ad.errors import ConfigurationError
    from edge_ad.toolchain.settings import load_settings, preset_settings

    settings = preset_settings(preset)
    if default_models is not None:
        settings = dataclasses.replace(settings, models=default_models)
    if config:
        settings = load_settings(config, settings)

    def given(**values: object) -> dict[str, Any]:
        return {name: value for name, value in values.items() if value is not None}

    chosen = _names(models) or settings.models
    try:
        return dataclasses.replace(
            settings,
            training=dataclasses.replace(
                settings.training, **given(epochs=epochs, seed=seed, kernel_l2=kernel_l2)
            ),
            alarm=dataclasses.replace(settings.alarm, **given(k=consecutive)),
            **given(
                models=_names(models),
                precisions=_names(precisions),
                variants=variant_names(variants, chosen),
                optimize=optimize,
                window_length=window,
                build_number=build_number,
            ),
        )
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def variant_names(text: str | None, models: Sequence[str]) -> tuple[str, ...] | None:
    """The converted forms of a comma-separated list; a precision alone stands for that of every model."""
    from typing import get_args

    from edge_ad.bundle.manifest import Precision

    names: list[str] = []
    for name in _names(text) or ():
        names += [f"{model}-{name}" for model in models] if name in get_args(Precision) else [name]
    return None if text is None else tuple(names)


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def stream_layout(layout: CsvFormat, separator: str | None, time_column: str | None) -> CsvFormat:
    """A bundle's layout with what the command line says instead. Raises ConfigurationError."""
    from edge_ad.errors import ConfigurationError

    try:
        return dataclasses.replace(
            layout,
            separator=separator or layout.separator,
            time_column=time_column or layout.time_column,
        )
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
