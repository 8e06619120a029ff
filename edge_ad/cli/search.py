"""`edge-ad search`: settings found by an optimizer."""

from __future__ import annotations

from pathlib import Path

import click

from edge_ad.cli.options import PATH, data_options, jobs_option


@click.command()
@click.argument("data", type=PATH)
@click.option(
    "-o", "--output", required=True, type=PATH, help="Folder for best.toml, trials.csv and the trials."
)
@click.option("--space", type=PATH, help="TOML file that says what to choose from, and within which limits.")
@click.option(
    "--trials",
    type=click.IntRange(1),
    default=60,
    show_default=True,
    help="Candidates to try, those of an interrupted search included.",
)
@click.option(
    "--labels-of",
    help="Choose by the labels of these folders of recordings, comma-separated; '.' is that of DATA itself. "
    "Others are not opened.  [default: by normal operation alone, without labels]",
)
@click.option("--config", type=PATH, help="TOML file with build settings, for what is not searched for.")
@data_options
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the candidates' choice."
)
@click.option("--resume", is_flag=True, help="Go on with the search in the folder.")
@click.option("--json", "as_json", is_flag=True, help="Print the best trial as JSON.")
@jobs_option
def search(
    data: Path,
    output: Path,
    space: Path | None,
    trials: int,
    labels_of: str | None,
    config: Path | None,
    preset: str | None,
    format_file: Path | None,
    seed: int,
    resume: bool,
    as_json: bool,
    jobs: int | None,
) -> None:
    """Search for the settings that detect best on the recordings in DATA, a CSV file or a folder of them.

    Every candidate is fitted as a build fits it and judged by the detector that would ship. Without
    --labels-of it is worth the share of synthetic deviations that it finds in time on normal rows which were
    held out, as long as it flags few of these rows; with it, its F1 on the named folders within limits of
    false and missed alarms. docs/search.md says more.

    best.toml is a file for --config of 'edge-ad build', and says how it was chosen.
    """
    import json

    from edge_ad.bundle.codec import encode
    from edge_ad.cli.progress import make_progress
    from edge_ad.toolchain.pool import default_jobs
    from edge_ad.toolchain.search.record import SEARCH_FILE, n_ended
    from edge_ad.toolchain.search.search import Wanted, run_search
    from edge_ad.toolchain.settings import load_settings, preset_settings

    settings = preset_settings(preset)
    wanted = Wanted(
        trials=trials,
        settings=load_settings(config, settings) if config else settings,
        space_file=space,
        labels_of=() if labels_of is None else _names(labels_of),
        seed=seed,
        resume=resume,
        preset=preset,
        format_file=format_file,
    )
    try:
        found = run_search(data, output, wanted, jobs or default_jobs(), make_progress())
    except KeyboardInterrupt:
        if n_ended(output):
            click.echo(f"{output} has the trials that ended; --resume goes on with them", err=True)
        elif (output / SEARCH_FILE).exists():
            click.echo(f"no trial has ended yet; --resume begins in {output} with the first one", err=True)
        raise
    if as_json:
        click.echo(json.dumps(encode(found)))
        return
    figures = ", ".join(
        f"{name.replace('_', ' ')} {value:.3f}"
        for name, value in found.best.figures.items()
        if value is not None
    )
    failed = f", {found.n_failed} of them failed" if found.n_failed else ""
    click.echo(f"{found.settings_file}: trial {found.best.number} of {found.n_trials}{failed}: {figures}")


def _names(listed: str) -> tuple[str, ...]:
    names = tuple(name.strip().strip("/") for name in listed.split(",") if name.strip())
    if not names:
        raise click.UsageError("--labels-of names no folder")
    return names
