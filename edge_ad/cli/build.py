"""`edge-ad build`: everything from recordings to bundles in one go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edge_ad.cli.options import (
    PATH,
    build_settings,
    format_changes,
    jobs_option,
    settings_options,
    training_data_options,
)
from edge_ad.cli.steps import plan_build, report_build


@click.command()
@click.argument("data", required=False, type=PATH)
@click.option("-o", "--output", required=True, type=PATH, help="Build folder; it can be resumed.")
@training_data_options
@settings_options
@jobs_option
@click.option("--allow-unchecked", is_flag=True, help="Write bundles even where the gate fails.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def build(
    data: Path | None,
    output: Path,
    preset: str | None,
    format_file: Path | None,
    config: Path | None,
    jobs: int | None,
    allow_unchecked: bool,
    as_json: bool,
    **overrides: Any,
) -> None:
    """Train, convert, evaluate, gate and pack the recordings in DATA (a CSV file or a folder of them).

    Of --preset bearing DATA is a folder of snapshot files, or a .tar archive of them, packed or not.

    Without DATA, --preset pump simulates its own recordings. A build that was interrupted goes on
    where it stopped when the same command is given again.
    """
    from edge_ad.cli.progress import make_progress
    from edge_ad.toolchain import build as steps
    from edge_ad.toolchain.gate import require_passed, run_gate
    from edge_ad.toolchain.pack import pack_bundles
    from edge_ad.toolchain.pool import default_jobs
    from edge_ad.toolchain.workspace import Workspace

    workspace = Workspace(output)
    progress, n_jobs = make_progress(), jobs or default_jobs()
    changes = format_changes(overrides)
    settings = build_settings(config, preset, **overrides)
    plan = plan_build(workspace, data, preset, format_file, settings, changes, n_jobs, progress)
    steps.train(workspace, plan, n_jobs, progress)
    steps.convert(workspace, plan, n_jobs, progress)
    steps.evaluate(workspace, plan, n_jobs, progress)
    gate = run_gate(workspace, plan)
    report_build(workspace, plan, as_json)
    if not allow_unchecked:
        require_passed(gate, plan)
    written = pack_bundles(workspace, plan, allow_unchecked=allow_unchecked)
    click.echo(f"{len(written)} bundle{'s' * (len(written) != 1)} in {workspace.bundles}", err=True)
