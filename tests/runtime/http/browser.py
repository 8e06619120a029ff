"""A headless Chromium, driven over the WebDriver protocol (W3C) with nothing but the standard library."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""Key of an element's id, by the standard."""


def missing_program() -> str | None:
    """The program without which there is no browser here."""
    return next((name for name in ("chromium", "chromedriver") if shutil.which(name) is None), None)


class Browser:
    """One window with a profile of its own. Use it in a `with` statement."""

    def __init__(
        self,
        *,
        width: int = 1280,
        height: int = 800,
        mobile: bool = False,
        dark: bool = False,
        scale: float = 1,
    ) -> None:
        """`mobile` shows pages as a telephone does; `scale` is pixels of a picture to one of the page."""
        self._profile = tempfile.TemporaryDirectory(prefix="edge-ad-browser-")
        self._size = width, height
        self._mobile = mobile
        self._dark = dark
        self._scale = scale
        self._port = free_port()
        self._driver: subprocess.Popen[bytes] | None = None
        self._session = ""

    def __enter__(self) -> Browser:
        self._driver = subprocess.Popen(
            ["chromedriver", f"--port={self._port}", "--allowed-ips=127.0.0.1"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self._wait_for_driver()
            self._open_session()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def open(self, url: str) -> None:
        """Go to a page, and wait until it is loaded."""
        self._call("POST", "/url", {"url": url})

    def reload(self) -> None:
        self._call("POST", "/refresh", {})

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript in the page, which `return`s a value."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def wait_for(self, script: str, *arguments: Any, timeout_s: float = 20) -> Any:
        """What a script returns, as soon as that is something."""
        deadline = time.monotonic() + timeout_s
        while not (value := self.run(script, *arguments)):
            assert time.monotonic() < deadline, (
                f"in vain: {script}\n{self.run('return document.body.innerText')}"
            )
            time.sleep(0.05)
        return value

    def type_into(self, selector: str, text: str) -> None:
        """Type into the first element that a CSS selector finds."""
        self._call("POST", f"/element/{self._find(selector)}/value", {"text": text})

    def click(self, selector: str) -> None:
        self._call("POST", f"/element/{self._find(selector)}/click", {})

    def press(self, *keys: str) -> None:
        """Press keys one after another, wherever the focus is."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def log(self, kind: str) -> list[dict[str, Any]]:
        """What is new in a log: `browser` is the console, `performance` the network."""
        return self._call("POST", "/se/log", {"type": kind})

    def requested(self) -> list[str]:
        """Addresses that the page asked for since the last call."""
        found = []
        for entry in self.log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append(message["params"]["request"]["url"])
        return found

    def devtools(self, command: str, **parameters: Any) -> Any:
        """A command of Chromium's own protocol."""
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def screenshot(self, *, whole_page: bool = False) -> bytes:
        """A PNG of the window, or of all that can be scrolled to."""
        shot = self.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=whole_page)
        return base64.b64decode(shot["data"])

    def _open_session(self) -> None:
        width, height = self._size
        options: dict[str, Any] = {
            "args": [*_FLAGS, f"--window-size={width},{height}", f"--user-data-dir={self._profile.name}"],
        }
        capabilities = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        answer = self._request("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        self._session = answer["sessionId"]
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=self._scale,
            mobile=self._mobile,
        )
        scheme = "dark" if self._dark else "light"
        self.devtools(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
        )

    def _wait_for_driver(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                if self._request("GET", "/status")["ready"]:
                    return
            except OSError:
                assert time.monotonic() < deadline, "chromedriver does not start"
            time.sleep(0.05)

    def _find(self, selector: str) -> str:
        found = self._call("POST", "/element", {"using": "css selector", "value": selector})
        return str(found[_ELEMENT])

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return self._request(method, f"/session/{self._session}{path}", body)

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(json.load(error)["value"]["message"]) from None

    def _end(self) -> None:
        assert self._driver is not None
        try:
            if self._session:
                self._request("DELETE", f"/session/{self._session}")
        except (OSError, AssertionError):
            pass  # it is ended below all the same
        finally:
            self._driver.send_signal(signal.SIGTERM)
            self._driver.wait(30)
            _remove(Path(self._profile.name))
            self._profile.cleanup()


def _remove(folder: Path) -> None:
    """Chromium may write to its profile for a moment after it has ended."""
    deadline = time.monotonic() + 10
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(exist_ok=True)


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
