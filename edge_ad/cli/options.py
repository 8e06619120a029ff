"""Options that several workstation commands share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
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
            type=click.Choice(["skab", "pump"]),
            help="A format that is built in: skab (folder of SKAB files) or pump (simulated). "
            "[default: recognized by the column names]",
        ),
    ):
        function = option(function)
    return function


def settings_options(function: F) -> F:
    """What overrides the configuration file; each default is the seed notebook's protocol."""
    for option in (
        click.option("--config", type=PATH, help="TOML file with build settings."),
        click.option("--models", help="Comma-separated: full, tiny.  [default: full,tiny]"),
        click.option(
            "--precisions", help="Comma-separated: float32, int8, int8-full.  [default: float32,int8]"
        ),
        click.option(
            "--variants",
            help="Converted forms that go into the bundles, comma-separated, such as "
            "tiny-int8,tiny-float32.  [default: all]",
        ),
        click.option(
            "--optimize",
            type=click.Choice(["size", "speed", "auto"]),
            help="What converted forms are made for; auto measures both here and takes the faster one if it "
            "is worth its size.  [default: size]",
        ),
        click.option("--window", type=click.IntRange(2), help="Samples per window.  [default: 10]"),
        click.option("--epochs", type=click.IntRange(1), help="Most epochs.  [default: 100]"),
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
    *,
    models: str | None,
    precisions: str | None,
    variants: str | None,
    optimize: str | None,
    window: int | None,
    epochs: int | None,
    seed: int | None,
    consecutive: int | None,
    build_number: int | None,
) -> Any:
    """The settings of `--config`, overridden by what stands on the command line.

    Raises ConfigurationError.
    """
    from edge_ad.errors import ConfigurationError
    from edge_ad.toolchain.settings import BuildSettings, load_settings

    settings = load_settings(config) if config else BuildSettings()

    def given(**values: object) -> dict[str, Any]:
        return {name: value for name, value in values.items() if value is not None}

    try:
        return dataclasses.replace(
            settings,
            training=dataclasses.replace(settings.training, **given(epochs=epochs, seed=seed)),
            alarm=dataclasses.replace(settings.alarm, **given(k=consecutive)),
            **given(
                models=_names(models),
                precisions=_names(precisions),
                variants=_names(variants),
                optimize=optimize,
                window_length=window,
                build_number=build_number,
            ),
        )
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


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
