"""Take the pictures of the status page in docs/: a real agent watches simulated pumps, a real browser looks.

The pumps have logged some minutes when the agent starts; the rest comes by the clock, and takes three minutes
more. Needs chromium and chromedriver.

Usage: screenshot_status.py [FOLDER]          (default: docs)
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from threading import Event, Thread
from time import time

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from agent_rig import TOY, AgentProcess, free_port, wait_for  # noqa: E402

from edge_ad.toolchain.datasets.formats import PUMP  # noqa: E402
from edge_ad.toolchain.datasets.pump import Fault, FaultEpisode, simulate_pump  # noqa: E402
from tests.runtime.http.browser import Browser  # noqa: E402

BEFORE_S, LIVE_S = 500, 200
_NOW = BEFORE_S + LIVE_S
LARGEST = 150_000
"""Bytes of a picture."""
_SEED = 7
"""Of the pump that the toy bundle was trained on."""
_STUCK = 4
"""Place of the channel that is stuck."""


class Pump:
    """A log file that a pump's logger writes."""

    def __init__(self, path: Path, faults: list[FaultEpisode] | None = None, *, ends: int = 10**6) -> None:
        """It ends with second `ends`."""
        run = simulate_pump(_SEED, duration_s=1000, episodes=faults or [])
        self.rows = run.samples.astype(float)
        self._path, self._ends = path, ends
        self.n_written = 0
        names = [PUMP.input.time_column, *(channel.name for channel in PUMP.channels)]
        path.write_text(PUMP.input.separator.join(names) + "\n")

    def write(self, until: int, start: float) -> None:
        """The samples up to second `until`."""
        lines = []
        for second in range(self.n_written, min(until, self._ends, len(self.rows))):
            stamp = datetime.fromtimestamp(start + second, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
            values = [f"{value:.6g}" for value in self.rows[second]]
            lines.append(PUMP.input.separator.join([stamp, *values]) + "\n")
        self.n_written = max(self.n_written, until)
        with self._path.open("a") as file:
            file.write("".join(lines))


def plant(folder: Path) -> dict[str, Pump]:
    """Pumps that do well, and others."""
    closing = FaultEpisode(Fault.VALVE_CLOSING, _NOW - 250, 1000, severity=0.45, ramp_s=90)
    cavitation = FaultEpisode(Fault.CAVITATION, _NOW - 480, _NOW - 390, ramp_s=10)
    pumps = {
        "feed-pump": Pump(folder / "feed-pump.csv"),
        "circulation-pump": Pump(folder / "circulation-pump.csv", [closing]),
        "drain-pump": Pump(folder / "drain-pump.csv", ends=BEFORE_S + 10),
        "booster-pump": Pump(folder / "booster-pump.csv"),
        "reserve-pump": Pump(folder / "reserve-pump.csv", [cavitation]),
    }
    stuck = pumps["booster-pump"].rows
    stuck[_NOW - 150 :, _STUCK] = stuck[_NOW - 150, _STUCK]
    return pumps


def configuration(folder: Path, assets: list[str], port: int) -> str:
    """Of the agent: the pumps, one more that has no bundle yet, and whom to tell."""
    lines = [
        '[agent]\nname = "pump-house"',
        f'spool = "{folder / "spool.db"}"',
        f'[http]\nlisten = "127.0.0.1:{port}"',
    ]
    for name in (*assets, "new-pump"):
        bundle = "@new-pump" if name == "new-pump" else TOY
        source = f'{{ kind = "follow", path = "{folder / name}.csv" }}'
        lines.append(f'[[asset]]\nname = "{name}"\nbundle = "{bundle}"\nsource = {source}')
    lines.append(f'[[sink]]\nname = "record"\nkind = "events"\npath = "{folder / "events.ndjson"}"')
    lines.append(
        f'[[sink]]\nname = "maintenance"\nkind = "webhook"\nurl = "http://127.0.0.1:{free_port()}/alarms"'
    )
    return "\n".join(lines) + "\n"


def take_pictures(url: str, asset: str, folder: Path) -> None:
    """Both of them."""
    drawn = "return document.querySelectorAll('.spark .trace').length > 6 && document.querySelector('circle')"
    with Browser(width=1280, height=1000) as browser:
        browser.open(f"{url}#/{asset}")
        browser.wait_for(drawn)
        save(folder / "status.png", browser.screenshot(whole_page=True))
    with Browser(width=390, height=844, mobile=True, scale=2) as browser:
        browser.open(f"{url}#/{asset}")
        browser.wait_for(drawn)
        save(folder / "status-phone.png", browser.screenshot())


def save(path: Path, picture: bytes) -> None:
    """Write a picture in as many colours as a page has, which is smaller. Raises ValueError if not enough."""
    small = io.BytesIO()
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(96).save(small, "PNG", optimize=True)
    if small.tell() > LARGEST:
        raise ValueError(f"{path} would have {small.tell()} bytes, more than {LARGEST}")
    path.write_bytes(small.getvalue())
    print(f"{path}: {small.tell() / 1000:.0f} kB")


def main() -> None:
    """Run the plant, and look at it."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "docs")
    with tempfile.TemporaryDirectory(prefix="pumps-") as temporary:
        work, port = Path(temporary), free_port()
        pumps, start, over = plant(work), time() - BEFORE_S, Event()

        def log() -> None:
            while not over.wait(0.1):
                for pump in pumps.values():
                    pump.write(int(time() - start), start)

        logger = Thread(target=log)
        logger.start()
        os.environ["PYTHONPATH"] = str(ROOT)
        agent = AgentProcess(work, configuration(work, list(pumps), port))
        try:
            agent.start(wait=False)
            wait_for(lambda: time() - start > _NOW, "the plant has run for long enough", LIVE_S + 60)
            take_pictures(f"http://127.0.0.1:{port}/", "circulation-pump", folder)
        finally:
            over.set()
            logger.join()
            agent.stop()
            print(agent.log(), file=sys.stderr)


if __name__ == "__main__":
    main()
