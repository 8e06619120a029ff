"""The server under bad luck and bad viewers."""

import asyncio
import contextlib
import http.client
import logging
import socket
import threading
import time

import pytest

from edge_ad.errors import ConfigurationError, MissingDependencyError
from edge_ad.runtime.http import listener
from edge_ad.runtime.http.options import HttpOptions
from edge_ad.runtime.http.server import HttpServer
from tests.runtime.http.fake_agent import MANY, FakeAgent
from tests.runtime.http.serving import Serving, is_closed, wait_until


def http_threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("http")]


def test_a_port_that_is_taken_and_freed():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with Serving(options=HttpOptions(f"127.0.0.1:{port}"), retry_s=0.02) as serving:
            wait_until(lambda: len(serving.notes) > 2)
            assert serving.server.address is None
            kind, text = serving.notes[0]
            assert kind == "http-port"
            assert text.startswith(f"port {port} on 127.0.0.1 is taken; tried again every 30 s")
            assert "`ss -ltnp` shows by whom" in text
            assert serving.said == []
            other.close()
            wait_until(lambda: serving.said)
            assert serving.said == [f"listening on 127.0.0.1:{port} at last"]
            assert serving.ask("/healthz").status == 200


@pytest.mark.parametrize(
    ("listen", "why"),
    [("192.0.2.1:8080", "192.0.2.1 is no address of this machine now"), ("[2001:db8::1]:80", "")],
)
def test_an_address_that_is_not_there_stops_nothing(token_file, listen, why):
    with Serving(options=HttpOptions(listen, str(token_file)), retry_s=0.02) as serving:
        wait_until(lambda: len(serving.notes) > 1)
        assert why in serving.notes[0][1]
    assert http_threads() == []


def test_v6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    with Serving(options=HttpOptions("[::1]:0")) as serving:
        connection = http.client.HTTPConnection("::1", serving.port, timeout=30)
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"ok\n"
        connection.close()


def test_every_address_with_a_token(token_file):
    for listen in ("0.0.0.0:0", "[::]:0"):
        with Serving(options=HttpOptions(listen, str(token_file))) as serving:
            if serving.server.address is None:
                pytest.skip("this machine has no IPv6")
            assert serving.ask("/healthz", headers={"Host": "pump.example"}).status == 200
            assert serving.ask("/", headers={"Host": "pump.example"}).status == 401


def test_closing_frees_port_and_threads():
    with Serving() as serving:
        port = serving.port
        idle, slow = serving.connect(), serving.connect()
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(100).startswith(b"HTTP/1.1 200")
        slow.sendall(b"GET /hea")
        assert len(http_threads()) == 1 + listener.THREADS
    assert http_threads() == []
    with idle, slow:
        wait_until(lambda: is_closed(idle) and is_closed(slow))
    with Serving(options=HttpOptions(f"127.0.0.1:{port}")) as again:
        assert again.ask("/healthz").status == 200
        assert again.notes == []


def test_closing_at_once_and_without_a_start():
    async def main():
        server = HttpServer(HttpOptions("127.0.0.1:0"), FakeAgent(), pytest.fail, pytest.fail)
        await server.close()
        for _ in range(20):
            server = HttpServer(HttpOptions("127.0.0.1:0"), FakeAgent(), pytest.fail, pytest.fail)
            await server.start()
            await server.close()
            await server.close()

    asyncio.run(main())
    assert http_threads() == []


def test_a_server_that_dies_is_begun_anew():
    with Serving(retry_s=0.02) as serving:
        serving.server._listener._server.adj = None  # whatever it may be
        wait_until(lambda: serving.said)
        assert serving.kinds == ["http-ended"]
        assert serving.ask("/healthz").status == 200


def test_what_cannot_work_is_said_at_once(tmp_path, monkeypatch):
    def make(**options):
        return HttpServer(HttpOptions("127.0.0.1:0", **options), FakeAgent(), pytest.fail, pytest.fail)

    with pytest.raises(ConfigurationError, match="cannot be read"):
        make(token_file=str(tmp_path / "none"))
    with monkeypatch.context() as patch:
        patch.setitem(__import__("sys").modules, "prometheus_client", None)
        make(metrics=False)
        with pytest.raises(MissingDependencyError, match=r"pip install 'edge-ad\[prometheus\]'"):
            make()
        patch.setitem(__import__("sys").modules, "waitress", None)
        with pytest.raises(MissingDependencyError, match=r"pip install 'edge-ad\[http,prometheus\]'"):
            make(metrics=False)


class StuckAgent(FakeAgent):
    """Whose event loop is busy with something else."""

    def __init__(self):
        super().__init__()
        self.free = threading.Event()
        self.free.set()

    def snapshot(self):
        assert self.free.wait(60)
        return super().snapshot()


def test_an_agent_that_does_not_answer():
    agent = StuckAgent()
    with Serving(agent) as serving:
        agent.free.clear()
        try:
            answers = []
            viewers = [
                threading.Thread(target=lambda: answers.append(serving.ask("/api/status"))) for _ in range(5)
            ]
            for viewer in viewers:
                viewer.start()
            assert serving.ask("/healthz").status == 200
            for viewer in viewers:
                viewer.join()
            assert [answer.status for answer in answers] == [503] * 5
            assert answers[0].headers["retry-after"] == "1"
            assert set(serving.kinds) == {"no-answer"}
        finally:
            agent.free.set()
        wait_until(lambda: serving.ask("/api/status").status == 200)


class BrokenAgent(FakeAgent):
    def snapshot(self):
        raise ZeroDivisionError("in the agent\nor so")


def test_an_error_is_told_and_not_shown(caplog, capfd):
    with Serving(BrokenAgent()) as serving:
        answer = serving.ask("/api/status")
        assert answer.status == 500
        assert b"ZeroDivision" not in answer.body
        assert serving.ask("/healthz").status == 200
        assert serving.kinds == ["http-error"]
        assert "ZeroDivisionError('in the agent\\nor so')" in serving.notes[0][1]
        assert "\n" not in serving.notes[0][1]
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_the_logging_of_others_is_left_alone():
    before = list(logging.getLogger("waitress").handlers), logging.getLogger("waitress").level
    with Serving() as serving:
        serving.ask("/")
    assert (logging.getLogger("waitress").handlers, logging.getLogger("waitress").level) == before


def test_many_viewers_cost_little():
    agent = FakeAgent(MANY)
    with Serving(agent) as serving:
        failures = []

        def view():
            for path in ("/", "/app.js", *["/api/status"] * 8, "/api/assets/asset-50/history", "/metrics"):
                answer = serving.ask(path)
                if answer.status != 200:
                    failures.append(answer)

        begin = time.monotonic()
        viewers = [threading.Thread(target=view) for _ in range(30)]
        for viewer in viewers:
            viewer.start()
        for viewer in viewers:
            viewer.join()
        took_s = time.monotonic() - begin
        assert failures == []
        assert agent.snapshots <= took_s / 0.5 + 2
        assert serving.notes == []


def test_viewers_that_never_finish_asking(monkeypatch):
    """Slow Loris: each holds a connection by sending a byte of its request now and then."""
    monkeypatch.setitem(listener._LIMITS, "receiving", 1.0)
    with Serving() as serving:
        lorises = [serving.connect() for _ in range(20)]
        try:
            for sock in lorises:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
            waiting = set(lorises)

            def all_gone():
                for sock in list(waiting):
                    try:
                        sock.send(b"x")
                    except OSError:
                        waiting.discard(sock)
                return not waiting

            assert serving.ask("/healthz").status == 200
            wait_until(all_gone)
        finally:
            for sock in lorises:
                sock.close()


def test_when_all_connections_are_taken_the_silent_ones_go():
    with Serving() as serving:
        faithful = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=30)

        def ask():
            faithful.request("GET", "/healthz")
            return faithful.getresponse().read()

        assert ask() == b"ok\n"
        kept = faithful.sock
        lorises = []
        try:
            for i in range(2 * listener.MOST_CONNECTIONS):
                lorises.append(serving.connect())
                lorises[-1].sendall(b"GET / HTTP/1.1\r\n" if i % 2 else b"")
                if i % 50 == 0:
                    assert ask() == b"ok\n"
            assert serving.ask("/healthz").status == 200
            assert ask() == b"ok\n"
            assert faithful.sock is kept
            wait_until(lambda: sum(map(is_closed, lorises)) >= listener.MOST_CONNECTIONS)
            assert "many-connections" in serving.kinds
        finally:
            faithful.close()
            for sock in lorises:
                sock.close()


def test_a_viewer_that_asks_ahead_gets_one_answer():
    with Serving() as serving, serving.connect() as hasty:
        hasty.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 150)
        answers = b"".join(iter(lambda: hasty.recv(65536), b""))
        assert 1 <= answers.count(b"HTTP/1.1 200 OK") <= 150
        assert answers.endswith(b"ok\n")


def test_viewers_that_ask_and_ask_and_read_nothing(monkeypatch):
    """More of them than threads, with answers larger than waitress would let wait."""
    monkeypatch.setitem(listener._LIMITS, "sending", 0.5)
    with Serving(FakeAgent(MANY * 40)) as serving:
        greedy = [socket.socket() for _ in range(2 * listener.THREADS)]
        try:
            for sock in greedy:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sock.connect(("127.0.0.1", serving.port))
                sock.sendall(b"GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n" * 150)
            assert serving.ask("/healthz").status == 200
            wait_until(lambda: not serving.server._listener._server.active_channels)
        finally:
            for sock in greedy:
                sock.close()


def test_a_viewer_that_does_not_read(monkeypatch):
    monkeypatch.setitem(listener._LIMITS, "sending", 0.5)
    with Serving(FakeAgent(MANY * 40)) as serving, socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.connect(("127.0.0.1", serving.port))
        lazy.sendall(b"GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        channels = serving.server._listener._server.active_channels
        wait_until(lambda: any(channel.total_outbufs_len for channel in list(channels.values())))
        wait_until(lambda: not channels)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET / HTTP/1.0\r\n\r\n", 403),
        (b"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n", 403),
        (b"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        (b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n", 200),
    ],
)
def test_requests_out_of_line(text, status):
    with Serving() as serving:
        with serving.connect() as sock:
            with contextlib.suppress(OSError):  # it may have heard enough
                sock.sendall(text)
            assert sock.recv(100).split(b" ")[1] == str(status).encode()
        assert serving.ask("/healthz").status == 200
        assert [kind for kind in serving.kinds if kind != "foreign-host"] == []
