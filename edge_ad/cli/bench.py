"""`edge-ad bench`: how fast a bundle runs on this machine; `compare`: two results; `report`: a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.default_command import DefaultCommand, DefaultCommandGroup
from edge_ad.cli.options import PATH, FiniteRange, bundle_argument, ssh_options, store_option

if TYPE_CHECKING:
    from edge_ad.bench.machine import MachineFacts
    from edge_ad.bench.results import BenchmarkFile, Result, Settings
    from edge_ad.bundle.manifest import Manifest
    from edge_ad.profiles import DeviceProfile
    from edge_ad.runtime.benchmark.assemble import Terms

_KERAS_WARMUP = 3
_WINDOWS = 10_000


class _Counts(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on only
    """Comma-separated whole numbers from 1 on."""

    name = "N[,N…]"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """As click's."""
        words = [word.strip() for word in str(value).split(",")]
        if not all(word.isdecimal() and 0 < int(word) <= 1024 for word in words):
            self.fail(f"{value!r} must be numbers from 1 to 1024 with commas between them.", param, ctx)
        return tuple(dict.fromkeys(map(int, words)))


@click.command(cls=DefaultCommand)
@bundle_argument
@click.option("--variant", "variants", multiple=True, help="May be repeated.  [default: all]")
@click.option(
    "--engine",
    "engines",
    multiple=True,
    help="ai-edge-litert, tflite-runtime or numpy; may be repeated.  [default: all that are installed]",
)
@click.option(
    "--threads", type=_Counts(), help="Of the interpreter, such as 1,2,4.  [default: the device profile's]"
)
@click.option(
    "--windows",
    type=click.IntRange(1, 10_000_000),
    help="Counted windows, all processes together.  [default: 10000, of instructions 1024]",
)
@click.option(
    "--warmup",
    type=click.IntRange(0, 1_000_000),
    default=200,
    show_default=True,
    help="Uncounted windows of each process at least; there are more until durations no longer change.",
)
@click.option(
    "--processes",
    type=click.IntRange(1, 1000),
    default=5,
    show_default=True,
    help="Fresh processes that share the windows.",
)
@click.option(
    "--time-limit",
    "time_limit_s",
    type=FiniteRange(0, 86_400, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds after which there are fewer windows.",
)
@click.option(
    "--period",
    "period_s",
    type=FiniteRange(0, 86_400, min_open=True),
    help="Seconds from sample to sample.  [default: the bundle's]",
)
@click.option(
    "--keras/--no-keras", default=None, help="Time Keras predict too.  [default: where TensorFlow is]"
)
@click.option("--keras-windows", type=click.IntRange(1), default=50, show_default=True)
@click.option(
    "--instructions",
    is_flag=True,
    help="Count instructions per window instead: with perf where the processor counts, else with valgrind.",
)
@click.option(
    "--rootfs",
    type=PATH,
    help="With --instructions: a board's root file system, whose Python is counted by qemu-user.",
)
@click.option(
    "--rootfs-python",
    default="/opt/edge-ad/bin/python",
    show_default=True,
    help="The Python in it that edge_ad is installed for.",
)
@click.option("--stages", is_flag=True, help="Print every stage between sample and decision.")
@click.option("-o", "--output", type=PATH, help="Write raw values and machine facts there as JSON.")
@click.option("--json", "as_json", is_flag=True, help="Print that JSON instead of the tables.")
@store_option
@click.option("--on", metavar="USER@HOST", help="Measure there, over SSH; what serves there runs on.")
@click.option("--wheelhouse", type=PATH, help="With --on: packages for a board without network.")
@ssh_options
def measure(
    bundle: str,
    variants: tuple[str, ...],
    engines: tuple[str, ...],
    threads: tuple[int, ...] | None,
    windows: int | None,
    warmup: int,
    processes: int,
    time_limit_s: float,
    period_s: float | None,
    keras: bool | None,
    keras_windows: int,
    instructions: bool,
    rootfs: Path | None,
    rootfs_python: str,
    stages: bool,
    output: Path | None,
    as_json: bool,
    store: Path | None,
    on: str | None,
    **_ssh: object,
) -> None:
    """Measure BUNDLE on this machine, or --on a board, and tell whether the numbers can be trusted.

    BUNDLE is a file, or @ASSET. Every variant on every engine with every number of threads is measured in
    fresh processes: each stage from sample to decision, the bare interpreter, cold start, memory, processor
    time, and energy where there is a sensor. Governor, clocks, temperature, supply and load are looked at
    before, between and after.

    Durations in an emulator say nothing of a board, and are not printed; --instructions counts what can be
    compared all the same.
    """
    from edge_ad.bench.results import Settings
    from edge_ad.errors import ConfigurationError
    from edge_ad.runtime.benchmark.assemble import Observation
    from edge_ad.runtime.benchmark.plan import configurations, wanted_engines, wanted_variants
    from edge_ad.runtime.benchmark.session import Session, require_one
    from edge_ad.runtime.store.open import find_bundle

    if rootfs is not None and not instructions:
        raise ConfigurationError("--rootfs goes with --instructions: durations in an emulator say nothing")
    if rootfs is not None and on is not None:
        raise ConfigurationError("--rootfs is for this machine, not with --on")
    _require_folder(output)
    if on is not None:
        from edge_ad.cli.bench_on import measure_on

        _show(measure_on(click.get_current_context()), output, as_json=as_json, stages=stages)
        return
    manifest = find_bundle(bundle, store).bundle.manifest
    names = wanted_variants(manifest, variants)
    observation = Observation()
    profile = _profile(observation.before)
    folder = None if store is None else str(store.absolute())
    if instructions:
        from edge_ad.runtime.benchmark.instructions.counting import count_instructions, find_counter

        counter = find_counter(observation.before, rootfs, rootfs_python)
        counts, failures = count_instructions(
            counter, bundle, folder, names, engines, windows=windows, say=_progress
        )
        results: list[Result] = []
        settings = Settings(counts[0].many_windows - counts[0].few_windows, 2 * len(counts[0].few), 0, 0.0)
    else:
        settings = Settings(windows or _WINDOWS, processes, warmup, time_limit_s)
        session = Session(bundle, folder, settings, say=_progress)
        default_threads = (profile.runtime.threads,) if profile else (1,)
        results = session.measure(configurations(wanted_engines(engines), names, threads or default_threads))
        results += _keras(manifest, keras, keras_windows)
        counts, failures = [], session.failures
    terms = _terms(manifest, profile, period_s, settings)
    benchmark = observation.benchmark(manifest, terms, results, counts)
    _show(benchmark, output, as_json=as_json, stages=stages)
    require_one(results, counts, failures, engines)


@click.command()
@click.argument("a", type=PATH)
@click.argument("b", type=PATH)
@click.option("--across-machines", is_flag=True, help="Compare although the machines are unlike.")
@click.option("--untrusted", is_flag=True, help="Compare durations although a verdict is none.")
@click.option("--stages", is_flag=True, help="Compare every stage between sample and decision.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
def compare(a: Path, b: Path, across_machines: bool, untrusted: bool, stages: bool, as_json: bool) -> None:
    """Compare two files that edge-ad bench wrote: ratios B/A, with 95 % intervals.

    Exit 2 where their machines are unlike, or the durations of one mean nothing, and no option says to
    compare them all the same.
    """
    import json

    from edge_ad.bench.comparison import compare as compared
    from edge_ad.bench.comparison_report import comparison_report
    from edge_ad.bundle.codec import encode
    from edge_ad.runtime.benchmark.file import read_benchmark

    comparison = compared(
        read_benchmark(a),
        read_benchmark(b),
        across_machines=across_machines,
        untrusted=untrusted,
        stages=stages,
    )
    if as_json:
        click.echo(json.dumps(encode(comparison)))
    else:
        _echo(comparison_report(comparison))


@click.command()
@click.argument("file", type=PATH)
@click.option("-o", "--output", type=PATH, help="Page to write.  [default: FILE with .html at its end]")
@click.option("--figures", type=PATH, help="Folder for its charts as PNG and SVG.")
def report(file: Path, output: Path | None, figures: Path | None) -> None:
    """Make a page with charts of FILE, which edge-ad bench wrote: latency, stages, deadline, trust.

    It is one file and needs no network.
    """
    from edge_ad.files import write_atomic
    from edge_ad.runtime.benchmark.file import read_benchmark
    from edge_ad.toolchain.report.bench_page import bench_charts, bench_page
    from edge_ad.toolchain.report.output import check_output

    path = output or file.with_suffix(".html")
    check_output(path, file)
    benchmark = read_benchmark(file)
    write_atomic(path, bench_page(benchmark))
    click.echo(path)
    if figures is not None:
        from edge_ad.toolchain.report.figures import draw

        click.echo(f"{draw(bench_charts(benchmark), figures)} pictures in {figures}", err=True)


def _profile(machine: MachineFacts) -> DeviceProfile | None:
    """The device profile that fits this machine; None where none does."""
    from edge_ad.errors import ConfigurationError
    from edge_ad.profiles import pick

    try:
        return pick(machine.board or "", machine.architecture)
    except ConfigurationError:
        return None


def _require_folder(output: Path | None) -> None:
    """Told before minutes of measuring, not after. Raises OutputError."""
    from edge_ad.errors import OutputError

    if output is not None and not output.parent.is_dir():
        raise OutputError(f"cannot write {output}: there is no folder {output.parent}")


def _keras(manifest: Manifest, wanted: bool | None, windows: int) -> list[Result]:
    from importlib.util import find_spec

    if wanted is False or (wanted is None and find_spec("tensorflow") is None):
        return []
    from edge_ad.toolchain.keras_baseline import benchmark_keras

    _progress("measuring Keras predict …")
    return benchmark_keras(manifest, windows=windows, warmup=_KERAS_WARMUP)


def _terms(
    manifest: Manifest, profile: DeviceProfile | None, period_s: float | None, settings: Settings
) -> Terms:
    from edge_ad.runtime.benchmark.assemble import Terms

    period_s = period_s or manifest.sample_period_s
    deadline_s = min(period_s, profile.runtime.deadline_ms / 1000) if profile else period_s
    return Terms(profile.name if profile else None, period_s, deadline_s, settings)


def _show(benchmark: BenchmarkFile, output: Path | None, *, as_json: bool, stages: bool) -> None:
    from edge_ad.bench.report import report
    from edge_ad.runtime.benchmark.file import to_json, write_benchmark

    if output is not None:
        write_benchmark(output, benchmark)
    if as_json:
        click.echo(to_json(benchmark))
    else:
        _echo(report(benchmark, stages=stages))


def _progress(text: str) -> None:
    click.echo(text, err=True)


def _echo(text: str) -> None:
    """Text that may hold names from a file."""
    from edge_ad.text import printable

    click.echo("\n".join(map(printable, text.split("\n"))))


bench = DefaultCommandGroup(
    "bench", default=measure, commands={"compare": compare, "report": report}, help=measure.help
)
