"""What is at which path, and for whom; asked through real connections."""

import gzip
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edge_ad.bundle.codec import encode
from edge_ad.runtime.http import app
from edge_ad.runtime.http.options import HttpOptions
from tests.runtime.http.fake_agent import NASTY, FakeAgent
from tests.runtime.http.serving import TOKEN, Serving

PAGES = ("/", "/style.css", "/app.js", "/api/status", "/api/assets/pump-1/history", "/metrics")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


def assert_guarded(answer):
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers
    assert "via" not in answer.headers


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/api/status", "application/json"),
        ("/api/assets/pump-1/history", "application/json"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/healthz", "text/plain; charset=utf-8"),
    ],
)
def test_what_is_there(open_server, path, content_type):
    answer = open_server.ask(path)
    assert (answer.status, answer.headers["content-type"]) == (200, content_type)
    assert len(answer.body) == int(answer.headers["content-length"]) > 0
    assert_guarded(answer)
    head = open_server.ask(path, method="HEAD")
    assert (head.status, head.body) == (200, b"")
    for name in ("content-type", "content-length"):
        assert head.headers[name] == answer.headers[name]
    packed = open_server.ask(path, headers={"Accept-Encoding": "br, gzip"})
    if "content-encoding" in packed.headers:
        assert gzip.decompress(packed.body) == answer.body
    else:
        assert len(answer.body) < 2048
        assert packed.body == answer.body
    assert open_server.notes == []


def test_the_page_is_small():
    page = Path(app.__file__).with_name("page")
    assert sum(len(file.read_bytes()) for file in page.iterdir()) < 40_000


def test_status_is_the_agent_s_snapshot(open_server):
    assert open_server.ask("/api/status").json == json.loads(json.dumps(encode(open_server.view.snapshot())))


def test_history(open_server):
    expected = json.loads(json.dumps(encode(open_server.view.history("pump-2"))))
    whole = open_server.ask("/api/assets/pump-2/history").json
    assert whole == {"since": None, **expected}
    since = expected["times"][-10]
    tail = open_server.ask(f"/api/assets/pump-2/history?since={since}").json
    assert tail == {"since": since, **{name: column[-9:] for name, column in expected.items()}}
    assert open_server.ask("/api/assets/pump-2/history?points=7").json["scores"] == expected["scores"][-7:]
    assert open_server.ask("/api/assets/furnace/history").json["times"] == []


@pytest.mark.parametrize(
    "query", ["since=x", "since=nan", "since=inf", "points=0", "points=-1", "points=1.5", "&" * 99]
)
def test_history_of_no_time(open_server, query):
    assert open_server.ask(f"/api/assets/pump-1/history?{query}").status == 400


@pytest.mark.parametrize(
    "path",
    [
        "/index.html",
        "/login.html",
        "/login",
        "/page/app.js",
        "/app.py",
        "/../auth.py",
        "/..%2fauth.py",
        "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/style.css/..",
        "/style.css%00",
        "//etc/passwd",
        "/api",
        "/api/",
        "/api/status/",
        "/api/assets/",
        "/api/assets//history",
        "/api/assets/history",
        "/api/assets/nobody/history",
        "/api/assets/pump-1",
        "/api/assets/pump-1/history/",
        "/api/assets/../status",
        "/favicon.ico",
        "/%ff%fe",
        "/<script>",
        "*",
    ],
)
def test_what_is_not_there(open_server, path):
    answer = open_server.ask(path)
    assert answer.status == 404
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert b"<" not in answer.body
    assert_guarded(answer)


def test_page_and_metrics_can_be_left_out():
    with Serving(options=HttpOptions("127.0.0.1:0", page=False, metrics=False)) as serving:
        for path in ("/", "/style.css", "/app.js", "/metrics", "/login"):
            assert serving.ask(path).status == 404
        assert serving.ask("/api/status").status == 200


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "NONSENSE", "get"]
)
def test_nothing_can_be_changed(open_server, method):
    for path in ("/", "/api/status", "/login", "/healthz"):
        answer = open_server.ask(path, method=method, body=b"x=1")
        assert answer.status == (400 if method == "get" else 405)
        if method != "get":  # which is not GET
            assert answer.headers["allow"] == "GET, HEAD"
        assert_guarded(answer)


def test_only_names_of_this_machine(open_server):
    for host in ("example.com", "10.0.0.1", "127.0.0.1.example.com", ""):
        for path in (*PAGES, "/healthz"):
            answer = open_server.ask(path, headers={"Host": host})
            assert answer.status == 403
            assert_guarded(answer)
    assert set(open_server.kinds) == {"foreign-host"}
    for host in ("localhost", f"LOCALHOST:{open_server.port}", "127.0.0.1:1", "[::1]:8080"):
        assert open_server.ask("/api/status", headers={"Host": host}).status == 200


def test_a_proxy_s_headers_are_not_believed(open_server):
    headers = {"Host": "example.com", "X-Forwarded-Host": "localhost", "Forwarded": "host=localhost"}
    assert open_server.ask("/", headers=headers).status == 403


def test_the_token_is_needed(closed_server):
    for path in (*PAGES, "/nothing", "/api/assets/nobody/history"):
        if path == "/style.css":  # of the form to log in
            continue
        answer = closed_server.ask(path)
        assert answer.status == 401, path
        if path != "/":
            assert answer.headers["www-authenticate"].startswith("Bearer")
        assert b"pump" not in answer.body
        assert closed_server.ask(path, token="wrong-wrong-wrong").status == 401
        closed_server.server._gate._throttle._used.clear()
        right = closed_server.ask(path, token=TOKEN)
        assert right.status == (200 if path in PAGES else 404)
    assert closed_server.ask("/healthz").body == b"ok\n"
    assert set(closed_server.kinds) == {"no-token"}


def log_in(serving, token, **headers):
    headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}
    return serving.ask("/login", method="POST", headers=headers, body=f"token={token}".encode())


def test_logging_in(closed_server):
    form = closed_server.ask("/")
    assert (form.status, form.headers["content-type"]) == (401, "text/html; charset=utf-8")
    assert b'<form method="post" action="login">' in form.body
    assert b'role="alert"' not in form.body
    assert closed_server.notes == []
    wrong = log_in(closed_server, "<script>alert(1)</script>")
    assert wrong.status == 401
    assert b'<p role="alert" class="warn">Wrong token.</p>' in wrong.body
    assert b"<script" not in wrong.body
    assert "set-cookie" not in wrong.headers
    right = log_in(closed_server, TOKEN)
    assert (right.status, right.headers["location"], right.body) == (303, "./", b"")
    cookie = right.headers["set-cookie"].partition(";")[0]
    for path in PAGES:
        assert closed_server.ask(path, headers={"Cookie": cookie}).status == 200
        assert closed_server.ask(path, method="HEAD", headers={"Cookie": cookie}).status == 200
    assert closed_server.ask("/", headers={"Cookie": cookie + "0"}).status == 401
    assert closed_server.ask("/login").status == 303
    assert closed_server.ask("/login", method="PUT").headers["allow"] == "GET, HEAD, POST"
    assert_guarded(right)


def test_guessing_in_the_form_is_slow_and_says_so(closed_server):
    while (answer := log_in(closed_server, "guess")).status == 401:
        pass
    assert answer.status == 429
    assert b"Too many wrong tokens came from your address" in answer.body
    assert int(answer.headers["retry-after"]) > 0


def test_many_guesses_at_once_block_nobody(closed_server):
    cookie = log_in(closed_server, TOKEN).headers["set-cookie"].partition(";")[0]
    statuses = []

    def guess():
        for i in range(20):
            statuses.append(closed_server.ask("/metrics", token=f"guess-{i}").status)

    threads = [threading.Thread(target=guess) for _ in range(8)]
    for thread in threads:
        thread.start()
    seen = [closed_server.ask("/api/status", headers={"Cookie": cookie}).status for _ in range(20)]
    for thread in threads:
        thread.join()
    assert set(seen) == {200}
    assert set(statuses) == {401, 429}
    assert statuses.count(401) < 20


def test_a_token_without_a_page(token_file):
    options = HttpOptions("127.0.0.1:0", str(token_file), page=False)
    with Serving(options=options) as serving:
        assert serving.ask("/").status == 401
        assert serving.ask("/login", method="POST").status == 405
        assert serving.ask("/api/status", token=TOKEN).status == 200


def test_big_bodies_are_refused(closed_server):
    assert log_in(closed_server, "x" * 10_000).status == 413
    assert log_in(closed_server, TOKEN).status == 303


def test_names_are_text_wherever_they_show():
    with Serving(FakeAgent(NASTY)) as serving:
        status = serving.ask("/api/status").json
        name = status["assets"][-1]["name"]
        assert name == NASTY[-1].name
        quoted = (
            name.replace("%", "%25")
            .replace("/", "%2F")
            .replace('"', "%22")
            .replace(" ", "%20")
            .replace("<", "%3C")
        )
        assert len(serving.ask(f"/api/assets/{quoted}/history").json["times"]) == 600
        metrics = serving.ask("/metrics").body.decode()
        assert 'asset="a/b \\"<script>' in metrics


def test_prometheus_is_loaded_by_the_first_scrape_only():
    code = """
import asyncio, sys, urllib.request
from edge_ad.runtime.http.options import HttpOptions
from edge_ad.runtime.http.server import HttpServer
from tests.runtime.http.fake_agent import FakeAgent

async def main():
    server = HttpServer(HttpOptions("127.0.0.1:0"), FakeAgent(), print, print)
    await server.start()
    get = lambda path: urllib.request.urlopen(server.address.url + path).close()
    await asyncio.to_thread(get, "api/status")
    assert "prometheus_client" not in sys.modules
    await asyncio.to_thread(get, "metrics")
    assert "prometheus_client" in sys.modules
    await server.close()

asyncio.run(main())
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
