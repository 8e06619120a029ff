"""`edge-ad evaluate`: how well bundles detect; without bundles, the step of a build that has this name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.options import PATH, data_options, jobs_option
from edge_ad.cli.steps import evaluate_build

if TYPE_CHECKING:
    from edge_ad.toolchain.build import Progress


@click.command()
@click.argument("data", metavar="DATA|FOLDER", type=PATH)
@click.option("--bundle", type=PATH, help="A bundle for all recordings, or a folder with one for each.")
@click.option(
    "--build",
    "builds",
    multiple=True,
    type=PATH,
    help="A build's folder; several that differ by --seed for median and range.",
)
@click.option(
    "--seeds",
    type=click.IntRange(2, 100),
    help="Train the build again with other seeds, below its folder, and judge so many: median and range.",
)
@click.option(
    "--beside",
    multiple=True,
    type=PATH,
    help="Another build's folder, bundle, or folder of bundles, to be judged beside; can be given again.",
)
@click.option("--variant", help="Converted form to judge.  [default: the bundles']")
@data_options
@click.option("--label", help="Column that is 1 where a row is anomalous.  [default: the format's]")
@click.option(
    "--train-rows", type=click.IntRange(1), help="First rows that are not judged.  [default: the format's]"
)
@click.option(
    "--chosen-on", help="How the settings were chosen, to be printed.  [default: as the build says]"
)
@click.option(
    "--labels-of",
    help="Folders of recordings whose labels were looked at to choose, comma-separated; the others are also "
    "summed up alone.  [default: as the build says]",
)
@click.option(
    "--baselines/--no-baselines", default=True, show_default=True, help="Judge what needs no network beside."
)
@click.option(
    "-o", "--output", type=PATH, help="Write a report there: report.md, or report.html with a chart."
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON, raw counts included.")
@jobs_option
def evaluate(
    data: Path,
    bundle: Path | None,
    builds: tuple[Path, ...],
    seeds: int | None,
    beside: tuple[Path, ...],
    variant: str | None,
    preset: str | None,
    format_file: Path | None,
    label: str | None,
    train_rows: int | None,
    chosen_on: str | None,
    labels_of: str | None,
    baselines: bool,
    output: Path | None,
    as_json: bool,
    jobs: int | None,
) -> None:
    """Judge bundles on the labelled recordings in DATA, a CSV file or a folder of them, beside baselines.

    F1, false and missed alarms under both rules, delays, false alarms per hour, episodes, ranges and
    changepoints: of each recording, each folder of them, and all together. docs/evaluate.md explains them.

    Without --bundle and --build it is the step of the build in FOLDER that runs the converted models over
    their own recordings.
    """
    if bundle is not None and builds:
        raise click.UsageError("give either --bundle or --build")
    if seeds is not None and len(builds) != 1:
        raise click.UsageError("--seeds trains a build again: give one, with --build FOLDER")
    if bundle is None and not builds:
        _no_bundles(data)
        evaluate_build(data, jobs)
        return
    import json

    from edge_ad.bundle.codec import encode
    from edge_ad.cli.progress import make_progress
    from edge_ad.errors import ConfigurationError
    from edge_ad.files import write_atomic
    from edge_ad.toolchain.evaluation.document import FORMS, document, text
    from edge_ad.toolchain.evaluation.evaluation import Wanted, check_inputs, evaluate_bundles
    from edge_ad.toolchain.evaluation.inputs import open_build, open_bundles
    from edge_ad.toolchain.pool import default_jobs
    from edge_ad.toolchain.report.output import check_output

    if output is not None:
        if output.suffix not in FORMS:
            raise ConfigurationError(
                f"{output}: a report is written as {' or '.join(FORMS)}, by its name's end"
            )
        check_output(output, data)
    wanted = Wanted(
        variant=variant,
        preset=preset,
        format_file=format_file,
        label=label,
        train_rows=train_rows,
        chosen_on=chosen_on,
        labels_of=None if labels_of is None else _names(labels_of),
        with_baselines=baselines,
    )
    progress, n_jobs = make_progress(), jobs or default_jobs()
    others = [open_build(path) if (path / "build.json").exists() else open_bundles(path) for path in beside]
    if seeds is not None:
        check_inputs(data, open_build(builds[0]), wanted, others)  # before hours of training
        builds = _with_seeds(builds[0], seeds, n_jobs, progress)
    runs = [open_build(folder) for folder in builds] if bundle is None else [open_bundles(bundle)]
    found = evaluate_bundles(data, runs, wanted, n_jobs, progress, others)
    if output is not None:
        write_atomic(output, document(found, output.suffix))
        click.echo(f"{output}: {output.stat().st_size / 1e6:.1f} MB", err=True)
    if as_json:
        click.echo(json.dumps(encode(found)))
    else:
        click.echo(text(found), nl=False)


def _with_seeds(build: Path, n: int, jobs: int, progress: Progress) -> tuple[Path, ...]:
    """The folders of a build and of the same with other seeds, which are trained where they are not yet."""
    from edge_ad.toolchain.evaluation.seeds import make, seeded_builds

    first, *others = seeded_builds(build, n)
    for number, other in enumerate(others, 2):
        click.echo(f"seed {other.seed}, {number} of {n}: {other.workspace.root}", err=True)
        make(other, jobs, progress)
    return (first.workspace.root, *(other.workspace.root for other in others))


def _no_bundles(folder: Path) -> None:
    """Raises click.UsageError for what is no build, or for options that are of no use to one's step.

    Raises DataError for what is not there.
    """
    from edge_ad.errors import DataError

    context = click.get_current_context()
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in ("data", "jobs")
        and context.get_parameter_source(parameter.name or "") is not click.core.ParameterSource.DEFAULT
    ]
    if given:
        raise click.UsageError(
            f"{', '.join(given)} says how bundles are judged: add --bundle FILE|FOLDER or --build FOLDER"
        )
    if not folder.exists():
        raise DataError(
            f"{folder} does not exist; give a recording or a folder of them with --bundle FILE|FOLDER or "
            "--build FOLDER, or a build's folder alone"
        )
    if folder.is_file() or not (folder / "build.json").exists():
        raise click.UsageError(
            f"{folder} is no build's folder; to judge bundles on it add --bundle FILE|FOLDER or --build "
            "FOLDER"
        )


def _names(listed: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in listed.split(",") if name.strip())
