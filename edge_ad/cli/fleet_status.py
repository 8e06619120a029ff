"""`edge-ad fleet collect` and `edge-ad fleet status`: how the devices of a fleet do."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.options import PATH, FiniteRange

if TYPE_CHECKING:
    from edge_ad.runtime.mqtt.options import BrokerOptions
    from edge_ad.toolchain.collect.files import Heard, LeftOut
    from edge_ad.toolchain.collect.status import AssetStatus
    from edge_ad.toolchain.collect.table import Kept

_FLAGS = (
    "unbuilt",
    "silent",
    "late",
    "down",
    "alarm",
    "unknown",
    "drift",
    "old-bundle",
    "rollout-failed",
    "recalibrate",
    "retrain",
)
_BAD_SHOWN = 20


@click.command()
@click.argument("fleet", type=PATH)
@click.argument("files", type=PATH, nargs=-1)
@click.option("--host", default="", help="Name of the device that FILES are from, where they do not tell.")
@click.option("--asset", help="Asset of a summary of edge-ad run.  [default: the file's name]")
@click.option("--mqtt", metavar="HOST", help="Broker that agents report to.")
@click.option("--port", type=click.IntRange(1, 65535), help="Of the broker.  [default: 1883, with TLS 8883]")
@click.option("--prefix", default="edge-ad", show_default=True, help="First part of the agents' topics.")
@click.option("--username", help="For the broker.")
@click.option("--password-file", type=PATH, help="File whose first line is the password.")
@click.option("--tls", is_flag=True, help="Encrypt, and check the broker's certificate.")
@click.option("--ca-file", type=PATH, help="PEM file of the authority behind that certificate; means --tls.")
@click.option(
    "--cert-file", type=PATH, help="PEM file of the certificate to show to the broker; means --tls."
)
@click.option("--key-file", type=PATH, help="Its private key, where that is another file.")
@click.option(
    "--quiet",
    "quiet_s",
    type=FiniteRange(0.1, 86400),
    default=3.0,
    show_default=True,
    help="End when the broker has told nothing that it had kept for so many seconds.",
)
@click.option("--follow", is_flag=True, help="Do not end: go on collecting until interrupted.")
@click.option("--json", "as_json", is_flag=True, help="Print what came of it as JSON.")
def collect(
    fleet: Path,
    files: tuple[Path, ...],
    host: str,
    asset: str | None,
    mqtt: str | None,
    port: int | None,
    prefix: str,
    username: str | None,
    password_file: Path | None,
    tls: bool,
    ca_file: Path | None,
    cert_file: Path | None,
    key_file: Path | None,
    quiet_s: float,
    follow: bool,
    as_json: bool,
) -> None:
    """Take what devices report into FLEET's index: from FILES, from an MQTT broker, or both.

    FILES hold lines of JSON, health reports or alarm events as agents make them, or the summary of edge-ad
    run. What was heard before changes nothing. What makes no sense, a whole file among others too, is told,
    counted and left out. Ends with 5 where nothing of all that was given can be used, such as for an empty
    file alone.
    """
    from edge_ad.errors import ConfigurationError, DataError
    from edge_ad.toolchain.collect.files import LeftOut, read_file
    from edge_ad.toolchain.collect.mqtt import HeardOnline, listen
    from edge_ad.toolchain.collect.table import keep
    from edge_ad.toolchain.fleet.store import FleetStore

    if not files and mqtt is None:
        raise ConfigurationError("name files, or a broker with --mqtt HOST")
    if asset is not None and len(files) != 1:
        raise ConfigurationError("--asset goes with one file")
    options = (
        None
        if mqtt is None
        else _broker(mqtt, port, username, password_file, tls, ca_file, cert_file, key_file)
    )
    total = _Total()
    with FleetStore.open(fleet) as store:
        for path in files:
            try:
                heard = read_file(path, asset=asset, host=host)
            except DataError as error:
                total.leave_out(LeftOut(str(error), "a file that cannot be used"))
                continue
            if not (heard.observations or heard.events or heard.bad):
                total.note_empty(path)
            total.add(heard, keep(store, heard.observations, heard.events))
        if options is not None:

            def take(heard: HeardOnline) -> None:
                total.add(heard, keep(store, heard.observations, heard.events, heard.agents))

            click.echo(f"listening to {options.address} below {prefix}/ …", err=True)
            try:
                listen(options, prefix, take, quiet_s=float("inf") if follow else quiet_s, longest_s=None)
            finally:
                total.show(as_json=as_json)
        else:
            total.show(as_json=as_json)
    total.require_something()


class _Total:
    """What came of all that was heard."""

    def __init__(self) -> None:
        self.observations = self.events = self.known = self.agents = 0
        self.left_out: Counter[str] = Counter()
        self.strange: dict[str, None] = {}
        self.first = ""
        self.first_empty = ""

    def add(self, heard: Heard, kept: Kept) -> None:
        """Count, and tell of what was left out."""
        self.observations += kept.observations
        self.events += kept.events
        self.known += kept.known
        self.agents += kept.agents
        for left_out in heard.bad:
            self.leave_out(left_out)
        for asset in kept.strange:
            if asset not in self.strange:
                self.strange[asset] = None
                self._tell(f"the fleet does not know asset {asset!r}", len(self.strange))
        if kept.left_out:
            self.left_out["an asset that the fleet does not know"] += kept.left_out

    def leave_out(self, what: LeftOut) -> None:
        """Count, and tell."""
        self.left_out[what.why] += 1
        self._tell(what.text, self.left_out.total())

    def note_empty(self, path: Path) -> None:
        """Nothing has happened there: of no matter beside what is of use, and nothing on its own."""
        self.first_empty = self.first_empty or f"{path} is empty"

    def _tell(self, text: str, number: int) -> None:
        from edge_ad.text import printable

        self.first = self.first or text
        if number <= _BAD_SHOWN:
            click.echo(printable(f"left out: {text}"), err=True)

    def show(self, *, as_json: bool) -> None:
        """Print it."""
        from edge_ad.text import counted

        if as_json:
            counts = {
                "new_reports": self.observations,
                "new_events": self.events,
                "known": self.known,
                "left_out": self.left_out.total(),
                "left_out_why": dict(self.left_out),
                "unknown_assets": list(self.strange),
            }
            click.echo(json.dumps(counts))
            return
        reasons = ", ".join(f"{n} × {why}" for why, n in self.left_out.most_common())
        left_out = f"; {self.left_out.total()} left out: {reasons}" if reasons else ""
        click.echo(
            f"{counted(self.observations, 'new report')}, {counted(self.events, 'new alarm event')}, "
            f"{self.known} known before{left_out}"
        )

    def require_something(self) -> None:
        """Raises DataError where something was given, and nothing of it was of use."""
        from edge_ad.errors import DataError

        is_used = self.observations or self.events or self.known or self.agents
        if (first := self.first or self.first_empty) and not is_used:
            raise DataError(f"nothing of what was given can be used; first of all: {first}")


def _broker(
    host: str,
    port: int | None,
    username: str | None,
    password_file: Path | None,
    tls: bool,
    ca_file: Path | None,
    cert_file: Path | None,
    key_file: Path | None,
) -> BrokerOptions:
    from edge_ad.errors import ConfigurationError
    from edge_ad.runtime.mqtt.options import BrokerOptions

    try:
        return BrokerOptions(
            host,
            port,
            username=username,
            password_file=None if password_file is None else str(password_file),
            tls=tls,
            ca_file=None if ca_file is None else str(ca_file),
            cert_file=None if cert_file is None else str(cert_file),
            key_file=None if key_file is None else str(key_file),
        )
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


@click.command()
@click.argument("fleet", type=PATH)
@click.option(
    "--only",
    type=click.Choice(_FLAGS),
    multiple=True,
    help="Assets of which that is true; may be repeated, for any of them.",
)
@click.option("--host", help="Assets of that host.")
@click.option("--asset", "pattern", help="Assets whose name fits a pattern such as 'pump-1*'.")
@click.option(
    "--late-after",
    "late_after_s",
    type=FiniteRange(1, 10**9),
    default=3600.0,
    show_default=True,
    help="Seconds without a word after which an asset is late.",
)
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, help="Lines to show; not with --json."
)
@click.option("--all", "show_all", is_flag=True, help="Show those that are well, too.")
@click.option("--strict", is_flag=True, help="End with 1 if any of them needs to be looked at.")
@click.option("--json", "as_json", is_flag=True, help="Print every asset, well or not, as a line of JSON.")
def status(
    fleet: Path,
    only: tuple[str, ...],
    host: str | None,
    pattern: str | None,
    late_after_s: float,
    limit: int,
    show_all: bool,
    strict: bool,
    as_json: bool,
) -> None:
    """Who of FLEET drifts, is unknown or late, runs an old bundle, or did not come out well of a rollout.

    Tells which assets are candidates for new limits (recalibrate: scores are distributed otherwise than in
    training, and nothing alarms) or for training anew (retrain).
    """
    from fnmatch import fnmatchcase

    from edge_ad.errors import ConfigurationError, DeployError
    from edge_ad.text import counted
    from edge_ad.toolchain.collect.status import fleet_status
    from edge_ad.toolchain.fleet.store import FleetStore

    with FleetStore.open(fleet) as store:
        found = fleet_status(store, late_after_s=late_after_s)
    if host is not None:
        found = [each for each in found if each.host == host]
    if pattern is not None:
        found = [each for each in found if fnmatchcase(each.asset, pattern)]
    if not found and (host is not None or pattern is not None):
        raise ConfigurationError("no asset of the fleet is of that --host and --asset")
    if only:
        found = [each for each in found if {*each.flags, each.advice} & set(only)]
    if as_json:
        for each in found:
            click.echo(json.dumps(vars(each)))
    else:
        _show(found, limit=limit, show_all=show_all)
    flagged = sum(bool(each.flags) for each in found)
    if strict and flagged:
        raise DeployError(f"to be looked at: {flagged} of {counted(len(found), 'asset')}")


def _show(found: list[AssetStatus], *, limit: int, show_all: bool) -> None:
    from edge_ad.text import align, counted, number, printable

    counts: dict[str, int] = {}
    for each in found:
        for name in (*each.flags, *([each.advice] if each.advice else [])):
            counts[name] = counts.get(name, 0) + 1
    shown = found if show_all else [each for each in found if each.flags or each.advice]
    rows = [("asset", "host", "look at", "do", "state", "heard", "runs", "wanted", "drift", "PSI", "KS")]
    for each in shown[:limit]:
        rows.append(
            (
                printable(each.asset),
                printable(each.host) or "-",
                ",".join(each.flags) or "-",
                each.advice or "-",
                each.state or "-",
                _age(each.age_s),
                _running(each),
                str(each.wanted_build or "-"),
                each.drift or "-",
                number(each.psi, 2),
                number(each.ks, 2),
            )
        )
    if shown:
        click.echo(align(rows, 7))
    if len(shown) > limit:
        click.echo(f"… and {len(shown) - limit} more (--limit)")
    problems = {each.host: each.rollout_problem for each in shown if "rollout-failed" in each.flags}
    for host, problem in list(problems.items())[:limit]:
        click.echo(printable(f"{host}: {problem or 'did not come out well'}"))
    well = sum(not each.flags for each in found)
    listed = "".join(f", {counts[name]} {name}" for name in _FLAGS if name in counts)
    click.echo(f"{counted(len(found), 'asset')}, {well} well{listed}")


def _running(each: AssetStatus) -> str:
    if each.running is None:
        return "-"
    return f"build {each.running_build}" if each.running_build is not None else each.running[:12]


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(0.0, seconds):.0f} s ago"
