"""Fetching SKAB from a real HTTP server on loopback, with the real files where they are."""

import contextlib
import http.server
import os
import re
import signal
import subprocess
import threading
import time
from http import HTTPStatus

import pytest

from edge_ad.toolchain.datasets.fetch import skab_files
from tests.helpers import COMMAND, edge_ad, snapshot


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder; `trouble` makes it misbehave for the path it is asked for."""

    daemon_threads = True

    def __init__(self, root):
        super().__init__(("127.0.0.1", 0), Handler)
        self.root = root
        self.trouble = {}
        self.requests = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/data"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.removeprefix("/data/")
        range_header = self.headers.get("Range")
        self.server.requests.append((name, range_header))
        trouble = self.server.trouble.get(name)
        path = self.server.root / name
        if trouble == "error":
            self.server.trouble[name] = None
            return self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)
        if trouble == "always-error":
            return self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR)
        if not path.is_file():
            return self.send_error(HTTPStatus.NOT_FOUND)
        content = path.read_bytes()
        if trouble == "wrong":
            content = content.replace(b"0", b"1")
        if trouble == "longer":
            content += b"more"
        start = 0
        if range_header and trouble != "no-ranges":
            start = int(re.fullmatch(r"bytes=(\d+)-", range_header)[1])
            self.send_response(HTTPStatus.PARTIAL_CONTENT)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if trouble == "cut":
            self.server.trouble[name] = None
            self.wfile.write(content[start : start + 20_000])
            self.wfile.flush()
            return self.connection.close()
        if trouble == "slow":
            for position in range(start, len(content), 500):
                self.wfile.write(content[position : position + 500])
                time.sleep(0.05)
            return None
        with contextlib.suppress(ConnectionError):
            self.wfile.write(content[start:])
        return None

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(shared_data):
    with Server(shared_data / "skab") as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


FIRST = skab_files()[0].name


def fetch(server, folder, **options):
    return edge_ad("data", "fetch", "skab", "-o", folder, "--base-url", server.url, **options)


def published(folder):
    return {k: v for k, v in snapshot(folder).items() if k != ".fetch.lock"}


def test_the_whole_data_set(server, tmp_path, shared_data):
    folder = tmp_path / "skab"
    result = fetch(server, folder)
    assert result.returncode == 0, result.stderr
    assert "34 files downloaded (0 of them resumed), 0 already there" in result.stdout
    assert "fetch 34/34" in result.stderr
    assert "GPL" in result.stderr
    ours = published(folder)
    assert len(ours) == 34
    assert all(content == (shared_data / "skab" / name).read_bytes() for name, content in ours.items())

    server.requests.clear()
    again = fetch(server, folder)
    assert again.returncode == 0
    assert "0 files downloaded" in again.stdout
    assert "34 already there" in again.stdout
    assert server.requests == []

    described = edge_ad("data", "describe", folder, "--json")
    assert described.returncode == 0
    assert described.stdout.count('"asset"') == 34


@pytest.mark.parametrize(("trouble", "resumes"), [(None, True), ("no-ranges", False)])
def test_what_was_cut_off_is_continued(server, tmp_path, trouble, resumes):
    server.trouble[FIRST] = "cut"
    result = fetch(server, tmp_path)
    assert result.returncode == 1
    assert "run the same command again" in result.stderr
    part = tmp_path / f"{FIRST}.part"
    had = part.stat().st_size
    assert 15_000 < had <= 20_000
    assert not (tmp_path / FIRST).exists()
    server.trouble[FIRST] = trouble
    server.requests.clear()
    result = fetch(server, tmp_path)
    assert result.returncode == 0, result.stderr
    assert server.requests[0] == (FIRST, f"bytes={had}-")
    assert f"({int(resumes)} of them resumed)" in result.stdout
    assert (tmp_path / FIRST).read_bytes() == (server.root / FIRST).read_bytes()
    assert not part.exists()


def test_a_part_of_something_else_is_not_believed(server, tmp_path):
    part = tmp_path / f"{FIRST}.part"
    part.parent.mkdir()
    part.write_bytes(b"x" * 1000)
    result = fetch(server, tmp_path)
    assert result.returncode == 1
    assert "wrong contents" in result.stderr
    assert not part.exists()
    assert fetch(server, tmp_path).returncode == 0


def test_a_server_that_is_busy_is_asked_again(server, tmp_path):
    server.trouble[FIRST] = "error"
    result = fetch(server, tmp_path)
    assert result.returncode == 0, result.stderr
    assert [name for name, _ in server.requests].count(FIRST) == 2


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ("always-error", "500"),
        ("wrong", "wrong contents"),
        ("longer", "wrong contents"),
    ],
)
def test_what_cannot_be_had(server, tmp_path, trouble, words):
    last = skab_files()[-1].name
    server.trouble[last] = trouble
    result = fetch(server, tmp_path)
    assert result.returncode == 1
    assert words in result.stderr
    assert last in result.stderr
    assert "Traceback" not in result.stderr
    assert len(published(tmp_path)) == 33  # the others are kept, nothing wrong is left


def test_a_server_without_the_data_set(server, tmp_path):
    result = edge_ad("data", "fetch", "skab", "-o", tmp_path, "--base-url", server.url + "/elsewhere")
    assert result.returncode == 1
    assert "404" in result.stderr


def test_nobody_listens(tmp_path):
    result = edge_ad("data", "fetch", "skab", "-o", tmp_path, "--base-url", "http://127.0.0.1:9")
    assert result.returncode == 1
    assert "Connection refused" in result.stderr
    assert "run the same command again" in result.stderr


def test_other_files_in_the_way_are_left_alone(server, tmp_path):
    own = tmp_path / FIRST
    own.parent.mkdir()
    own.write_text("my own recording")
    result = fetch(server, tmp_path)
    assert result.returncode == 1
    assert "is left as it is" in result.stderr
    assert own.read_text() == "my own recording"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_download_resumes(server, tmp_path, number):
    server.trouble[FIRST] = "slow"
    command = [*COMMAND, "data", "fetch", "skab", "-o", str(tmp_path), "--base-url", server.url]
    part = tmp_path / f"{FIRST}.part"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        while not (part.exists() and part.stat().st_size):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait(30) == (130 if number == signal.SIGINT else -number)
    assert not (tmp_path / FIRST).exists()
    server.trouble.clear()
    server.requests.clear()
    result = fetch(server, tmp_path)
    assert result.returncode == 0, result.stderr
    name, asked = server.requests[0]
    assert name == FIRST
    assert int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) > 0
    assert len(published(tmp_path)) == 34


def test_two_downloads_into_one_folder(server, tmp_path):
    server.trouble[FIRST] = "slow"
    command = [*COMMAND, "data", "fetch", "skab", "-o", str(tmp_path), "--base-url", server.url]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        while not server.requests:
            time.sleep(0.01)
        result = fetch(server, tmp_path)
        assert result.returncode == 1
        assert "another download" in result.stderr
        process.terminate()
        assert process.wait(30) == 143


def test_a_full_disk(server, tmp_path):
    probe = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        if os.environ.get("CI"):
            pytest.fail("CI must be able to mount")
        pytest.skip("this machine allows no private mounts")
    script = f'mount -t tmpfs -o size=300k tmpfs {tmp_path} && "$0" "$@"; echo $?; find {tmp_path} -type f'
    command = [*COMMAND, "data", "fetch", "skab", "-o", str(tmp_path), "--base-url", server.url]
    result = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, *command], capture_output=True, text=True, check=False
    )
    assert result.stdout.split()[0] == "1"
    assert "No space left on device" in result.stderr
    finished = [line for line in result.stdout.splitlines() if line.endswith(".csv")]
    assert finished
