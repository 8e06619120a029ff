"""The build's steps as commands of their own, on a build folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_ad.cli.options import (
    PATH,
    build_settings,
    format_changes,
    jobs_option,
    settings_options,
    training_data_options,
    variant_names,
)

if TYPE_CHECKING:
    from edge_ad.toolchain.build import Progress
    from edge_ad.toolchain.datasets.choose import FormatChanges
    from edge_ad.toolchain.datasets.snapshots import Flaw
    from edge_ad.toolchain.report.summary import Summary
    from edge_ad.toolchain.settings import BuildSettings
    from edge_ad.toolchain.workspace import BuildPlan, Workspace


def plan_build(
    workspace: Workspace,
    data: Path | None,
    preset: str | None,
    format_file: Path | None,
    settings: BuildSettings,
    changes: FormatChanges,
    jobs: int,
    progress: Progress,
) -> BuildPlan:
    """Check all recordings, then lock the folder until the command ends and write the plan.

    Raises ConfigurationError, DataError, OutputError.
    """
    from edge_ad.errors import ConfigurationError
    from edge_ad.text import printable
    from edge_ad.toolchain.build import make_plan
    from edge_ad.toolchain.datasets.choose import choose_format
    from edge_ad.toolchain.datasets.ingest import holds_snapshots, ingest, ingestion_of
    from edge_ad.toolchain.datasets.simulated import write_pump_recordings

    context = click.get_current_context()
    made_here = data is None
    if data is None:
        if preset != "pump":
            raise ConfigurationError("give DATA, or --preset pump for the built-in simulated pump")
        context.with_resource(workspace.locked())
        data = write_pump_recordings(workspace.recordings)
    recording_format, found_preset = choose_format(data, preset, format_file)
    recording_format = changes.apply(recording_format, settings.training.seed)
    skipped: tuple[Flaw, ...] = ()
    if holds_snapshots(data, recording_format):
        context.with_resource(workspace.locked())
        made_here = True
        skip = changes.skip_bad_snapshots
        data = ingest(workspace, data, recording_format, skip=skip, jobs=jobs, progress=progress)
        skipped = found.skipped if (found := ingestion_of(data)) else ()
    for flaw in skipped:
        click.echo(f"left out: {printable(str(flaw))}", err=True)
    plan = make_plan(data, recording_format, settings, workspace, found_preset)
    if not made_here:
        context.with_resource(workspace.locked())
    workspace.save_plan(plan)
    return plan


def report_build(workspace: Workspace, plan: BuildPlan, as_json: bool) -> Summary:
    """Write `summary.json` and print the comparison; of snapshots also when their alarms began."""
    from edge_ad.bundle.codec import encode
    from edge_ad.toolchain.report.summary import summarize
    from edge_ad.toolchain.report.table import comparison_table

    summary = summarize(workspace, plan)
    if as_json:
        import json

        click.echo(json.dumps(encode(summary), indent=1))
    else:
        click.echo(comparison_table(summary), nl=False)
    if plan.format.snapshots is not None:
        from edge_ad.toolchain.report.timeline import report_timelines, timeline_lines

        for line in timeline_lines(report_timelines(workspace, plan)):
            click.echo(line, err=as_json)
    return summary


def explain_models(path: Path, as_json: bool) -> None:
    """Explain a model file, or the forms of a build's first asset.

    Raises ConversionError, for a model that cannot be converted once it has been explained.
    """
    from edge_ad.bundle.codec import encode
    from edge_ad.errors import ConversionError
    from edge_ad.toolchain.convert.doctor import explain_file
    from edge_ad.toolchain.convert.explain_keras import KerasExplanation
    from edge_ad.toolchain.report.explanation import explanation_text

    files = _converted_files(path) if (path / "build.json").exists() else [path]
    explained = [(file, explain_file(file)) for file in files]
    if as_json:
        import json

        entries = [{"file": str(file)} | encode(found) for file, found in explained]
        click.echo(json.dumps(entries, indent=1))
    else:
        click.echo("\n\n".join(explanation_text(found, str(file)) for file, found in explained))
    for file, found in explained:
        if isinstance(found, KerasExplanation) and found.problems:
            first, *others = found.problems
            more = f" (and {len(others)} more)" if others else ""
            raise ConversionError(f"{file} cannot be converted: {first}{more}")


def _converted_files(folder: Path) -> list[Path]:
    """The forms of a build's first asset. Raises ConfigurationError: train or convert first."""
    from edge_ad.errors import ConfigurationError
    from edge_ad.toolchain.workspace import Workspace, variant_name

    workspace = Workspace(folder)
    plan = workspace.load_plan()
    first = [entry for entry in plan.variants() if entry[0] == plan.assets[0]]
    names = [f"{variant_name(model, precision)}.tflite" for _, model, precision in first]
    files = [workspace.asset_file(plan.assets[0].name, name) for name in names]
    for file in files:
        if not file.exists():
            raise ConfigurationError(f"{file} is missing: run 'edge-ad convert {folder}' first")
    return files


def _open(folder: Path) -> tuple[Workspace, BuildPlan]:
    from edge_ad.toolchain.workspace import Workspace

    workspace = Workspace(folder)
    plan = workspace.load_plan()
    click.get_current_context().with_resource(workspace.locked())
    return workspace, plan


@click.command()
@click.argument("data", required=False, type=PATH)
@click.option("-o", "--output", required=True, type=PATH, help="Build folder.")
@training_data_options
@settings_options
@jobs_option
def train(
    data: Path | None,
    output: Path,
    preset: str | None,
    format_file: Path | None,
    config: Path | None,
    jobs: int | None,
    **overrides: Any,
) -> None:
    """Plan a build of DATA and train its models; finished models are kept."""
    from edge_ad.cli.progress import make_progress
    from edge_ad.toolchain import build as steps
    from edge_ad.toolchain.pool import default_jobs
    from edge_ad.toolchain.workspace import Workspace

    workspace = Workspace(output)
    changes = format_changes(overrides)
    settings = build_settings(config, preset, **overrides)
    n_jobs, progress = jobs or default_jobs(), make_progress()
    plan = plan_build(workspace, data, preset, format_file, settings, changes, n_jobs, progress)
    steps.train(workspace, plan, n_jobs, progress)


@click.command()
@click.argument("folder", metavar="FOLDER|FILE", type=PATH)
@jobs_option
@click.option(
    "--explain", is_flag=True, help="Take the converted models apart, or any .tflite or .keras FILE."
)
@click.option("--json", "as_json", is_flag=True, help="Print the explanation as JSON.")
def convert(folder: Path, jobs: int | None, explain: bool, as_json: bool) -> None:
    """Convert the trained models in FOLDER to TFLite, each in a process that may crash.

    Into which precisions and forms is part of the plan: --precisions and --optimize of 'train' or 'build'.

    With --explain nothing is converted: it shows operators, bytes by cause, multiply-adds, and what makes a
    model large or slow; of a .keras file its layers, what keeps it from being converted, and what it becomes.
    """
    if explain:
        explain_models(folder, as_json)
        return
    if folder.is_file():
        raise click.UsageError(f"{folder} is a file, and only build folders are converted: add --explain")
    from edge_ad.cli.progress import make_progress
    from edge_ad.toolchain import build as steps
    from edge_ad.toolchain.pool import default_jobs

    steps.convert(*_open(folder), jobs or default_jobs(), make_progress())


def evaluate_build(folder: Path, jobs: int | None) -> None:
    """Run the converted models in FOLDER over their recordings, as a device would."""
    from edge_ad.cli.progress import make_progress
    from edge_ad.toolchain import build as steps
    from edge_ad.toolchain.pool import default_jobs

    steps.evaluate(*_open(folder), jobs or default_jobs(), make_progress())


@click.command()
@click.argument("folder", type=PATH)
def gate(folder: Path) -> None:
    """Judge whether the variants in FOLDER decide as their references do; exit 4 where not."""
    from edge_ad.toolchain.gate import require_passed, run_gate
    from edge_ad.toolchain.report.verdicts import verdict_table

    workspace, plan = _open(folder)
    record = run_gate(workspace, plan)
    click.echo(verdict_table(record), nl=False)
    require_passed(record, plan)


@click.command()
@click.argument("folder", type=PATH)
@click.option("--variants", help="Converted forms that go in, comma-separated.  [default: the plan's]")
@click.option("--allow-unchecked", is_flag=True, help="Write bundles even where the gate failed.")
def pack(folder: Path, variants: str | None, allow_unchecked: bool) -> None:
    """Write one bundle per asset of FOLDER, if the gate has passed."""
    import dataclasses

    from edge_ad.errors import ConfigurationError
    from edge_ad.toolchain.pack import pack_bundles

    workspace, plan = _open(folder)
    if variants is not None:
        chosen = variant_names(variants, plan.settings.models)
        try:
            settings = dataclasses.replace(plan.settings, variants=chosen or ())
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        plan = dataclasses.replace(plan, settings=settings)
    for path in pack_bundles(workspace, plan, allow_unchecked=allow_unchecked):
        click.echo(path)


@click.command()
@click.argument("folder", type=PATH)
@click.option("-o", "--output", type=PATH, help="Write a page there that a browser opens: report.html.")
@click.option("--figures", type=PATH, help="Folder for its charts as PNG and SVG.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def report(folder: Path, output: Path | None, figures: Path | None, as_json: bool) -> None:
    """Print the comparison of the models and variants in FOLDER and write summary.json.

    With -o, everything about the build goes into one page with charts, which needs no network. Where the
    assets would make it too large, each has a page of its own in a folder beside it.
    """
    from edge_ad.toolchain.report.output import check_output

    if output is not None:
        check_output(output)
    workspace, plan = _open(folder)
    summary = report_build(workspace, plan, as_json)
    if output is not None:
        from edge_ad.toolchain.report.build_page import write_report

        written = write_report(workspace, plan, summary, output)
        n = len(written.asset_pages)
        more = f", {n} asset pages in {written.asset_pages[0].parent}" if n else ""
        click.echo(f"{output}: {output.stat().st_size / 1e6:.1f} MB{more}", err=True)
    if figures is not None:
        from edge_ad.toolchain.report.figures import draw_build

        n = draw_build(workspace, plan, figures)
        click.echo(f"{n} pictures in {figures}", err=True)
