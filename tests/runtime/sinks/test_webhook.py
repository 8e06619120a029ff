import asyncio
import contextlib
import json
import socket
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from edge_ad import __version__
from edge_ad.bundle.codec import DecodeError
from edge_ad.errors import ConfigurationError
from edge_ad.runtime.sinks.kinds import load_sink
from edge_ad.runtime.sinks.sink import DeliveryError
from tests.runtime.agent.support import Log, event, until
from tests.runtime.sinks.servers import certificates, serving
from tests.runtime.sinks.support import context


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def server():
    with serving() as one:
        yield one


def open_sink(log, **table):
    options, opener = load_sink(
        "webhook", {key: str(v) if key.endswith("file") else v for key, v in table.items()}
    )
    return opener(options, context(log))


def deliver(log, *events, **table):
    """Deliver in turn; what became of each."""

    async def main():
        sink = open_sink(log, **table)
        outcomes = []
        try:
            for one in events or [event(1)]:
                try:
                    await sink.deliver(one)
                    outcomes.append(None)
                except DeliveryError as error:
                    outcomes.append(error)
        finally:
            await sink.close()
        return outcomes

    outcomes = asyncio.run(main())
    return outcomes if len(outcomes) > 1 else outcomes[0]


def test_an_event_is_posted_as_json(server, log):
    one = event("7f", 2, asset="Pümpe")
    assert (
        deliver(log, one, url=server.url, headers={"X-Plant": "north", "content-type": "application/x"})
        is None
    )
    ((path, headers, body),) = server.requests
    assert path == "/hooks/alarm?key=s3cret"
    assert body == one.body.encode()
    assert headers["Idempotency-Key"] == "7f"
    assert headers["X-Plant"] == "north"
    assert headers["User-Agent"] == f"edge-ad/{__version__}"
    assert [headers[name] for name in headers if name.lower() == "content-type"] == ["application/x"]
    assert "Authorization" not in headers
    assert deliver(log, url=server.url) is None
    assert server.requests[1][1]["Content-Type"] == "application/json"


def test_a_token_is_read_each_time(server, log, tmp_path):
    token = tmp_path / "token"
    token.write_text("first\n")

    async def main():
        sink = open_sink(log, url=server.url, token_file=token)
        await sink.deliver(event(1))
        token.write_text("second")
        await sink.deliver(event(2))
        token.unlink()
        with pytest.raises(DeliveryError, match=f"cannot read token_file {token}: No such file"):
            await sink.deliver(event(3))
        await sink.close()

    asyncio.run(main())
    assert [h["Authorization"] for _, h, _ in server.requests] == ["Bearer first", "Bearer second"]
    assert log.said == []


def test_a_token_that_goes_through_the_air(log, tmp_path):
    (tmp_path / "token").write_text("x")
    open_sink(log, url="http://plant.example/x?y=z", token_file=tmp_path / "token")
    assert log.said == ["the token goes to http://plant.example/x unencrypted; https:// would protect it"]
    open_sink(log, url="https://plant.example/x", token_file=tmp_path / "token")
    open_sink(log, url="http://localhost/x", token_file=tmp_path / "token")
    assert len(log.said) == 1


@pytest.mark.parametrize(
    ("status", "hopeless", "words"),
    [
        (200, None, None),
        (201, None, None),
        (301, False, "redirects to http://else.where/x, which is not followed; set url"),
        (307, False, "redirects to http://else.where/x, which is not followed; set url"),
        (400, True, "400 Bad Request: no such\\x1b thing"),
        (401, False, "401 Unauthorized: check token_file"),
        (403, False, "403 Forbidden: check token_file, and what its token may do"),
        (404, False, "404 Not Found: check the path in url"),
        (405, False, "it takes no POST"),
        (408, False, "408 Request Timeout"),
        (413, True, "413"),
        (415, True, "415"),
        (422, True, "422"),
        (429, False, "429 Too Many Requests"),
        (500, False, "500 Internal Server Error: no such"),
        (503, False, "503 Service Unavailable"),
    ],
)
def test_answers(server, log, status, hopeless, words):
    server.answers = [
        (status, {"Location": "http://me:pw@else.where/x?token=y"}, b"no  such\x1b\nthing " * 1000)
    ]
    error = deliver(log, url=server.url)
    if words is None:
        assert error is None
        return
    assert error.hopeless is hopeless
    assert f"{server.url.partition('?')[0]} says {status}" in str(error)
    assert words in str(error)
    assert len(str(error)) < 500
    assert "s3cret" not in str(error)
    assert len(server.requests) == 1


class TestRetryAfter:
    @pytest.mark.parametrize("in_words", [False, True])
    def test_the_server_is_left_alone(self, server, log, in_words):
        later = datetime.now(timezone.utc) + timedelta(seconds=3600)
        value = format_datetime(later, usegmt=True) if in_words else "3600"
        server.answers = [(503, {"Retry-After": value}, b"")]
        first, second = deliver(log, event(1), event(1), url=server.url)
        assert "503" in str(first)
        assert "has asked to be left alone for 300 s more" in str(second)
        assert not second.hopeless
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        "value", ["0", "-5", "soon", "", "9" * 400, "Thu, 01 Jan 1970 00:00:00 GMT", "\u0663"]
    )
    def test_no_time_at_all(self, server, log, value):
        server.answers = [(429, {"Retry-After": value.encode().decode("latin-1")}, b"")]
        first, second = deliver(log, event(1), event(1), url=server.url)
        assert "429" in str(first)
        assert second is None

    def test_it_ends(self, server, log):
        server.answers = [(429, {"Retry-After": "1"}, b"")]

        async def main():
            sink = open_sink(log, url=server.url)
            outcomes = []
            while not outcomes or outcomes[-1] is not None:
                try:
                    outcomes.append(await sink.deliver(event(1)))
                except DeliveryError as error:
                    outcomes.append(error)
                await asyncio.sleep(0.02)
            await sink.close()

        asyncio.run(main())
        assert len(server.requests) == 2


class TestConnections:
    def test_nobody_listens(self, log):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        error = deliver(log, url=f"http://127.0.0.1:{port}/x")
        assert f"http://127.0.0.1:{port}/x: connection refused; does the server run" in str(error)
        assert not error.hopeless

    def test_a_name_that_nobody_knows(self, log):
        error = deliver(log, url="http://no-such-host.invalid/x")
        assert "the name no-such-host.invalid is unknown" in str(error)

    def test_what_speaks_no_http(self, log):
        async def main():
            async def talk(reader, writer):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"220 mail.example ESMTP\r\n")
                writer.close()

            server = await asyncio.start_server(talk, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            sink = open_sink(log, url=f"http://127.0.0.1:{port}/")
            with pytest.raises(DeliveryError, match="that was no HTTP answer"):
                await sink.deliver(event(1))
            await sink.close()
            server.close()

        asyncio.run(main())

    def test_one_that_never_answers(self, server, log):
        """Nor does it keep the event loop from anything else."""
        server.silent.set()

        async def main():
            sink = open_sink(log, url=server.url, timeout_s=0.2)
            assert sink.longest_s > 0.2
            delivery = asyncio.create_task(sink.deliver(event(1)))
            await until(lambda: server.requests)
            with pytest.raises(DeliveryError, match=r"/hooks/alarm: no answer within 0\.2 s"):
                await delivery
            server.silent.clear()
            while True:  # until the thread has noticed
                with contextlib.suppress(DeliveryError):
                    await sink.deliver(event(1))
                    break
                await asyncio.sleep(0.01)
            await sink.close()

        asyncio.run(main())

    def test_one_that_answers_a_byte_at_a_time(self, log):
        async def main():
            is_over = asyncio.Event()

            async def talk(reader, writer):
                await reader.readuntil(b"\r\n\r\n")
                with contextlib.suppress(OSError):
                    while True:
                        writer.write(b"X")
                        await writer.drain()
                        await asyncio.sleep(0.05)
                writer.close()
                is_over.set()

            server = await asyncio.start_server(talk, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            sink = open_sink(log, url=f"http://127.0.0.1:{port}/", timeout_s=0.3)
            with pytest.raises(DeliveryError, match="no answer within"):
                await sink.deliver(event(1))
            await sink.close()
            await is_over.wait()
            server.close()

        asyncio.run(main())

    def test_it_can_be_closed_while_it_waits(self, server, log):
        server.silent.set()

        async def main():
            sink = open_sink(log, url=server.url, timeout_s=60)
            delivery = asyncio.create_task(sink.deliver(event(1)))
            await until(lambda: server.requests)
            delivery.cancel()
            with pytest.raises(asyncio.CancelledError):
                await delivery
            await sink.close()

        asyncio.run(main())


class TestTls:
    def test_a_server_whose_ca_is_known(self, log, tmp_path):
        ca, tls = certificates(tmp_path)
        with serving(tls) as server:
            assert deliver(log, url=server.url, ca_file=ca) is None
            assert len(server.requests) == 1

    def test_one_that_nobody_vouches_for(self, log, tmp_path):
        _, tls = certificates(tmp_path)
        with serving(tls) as server:
            error = deliver(log, url=server.url)
        assert "its certificate is not trusted (" in str(error)
        assert "ca_file must name who signed it" in str(error)
        assert server.requests == []

    def test_one_with_another_name(self, log, tmp_path):
        ca, tls = certificates(tmp_path, host="127.0.0.2")
        with serving(tls) as server:
            error = deliver(log, url=server.url, ca_file=ca)
        assert "IP address mismatch" in str(error)
        assert server.requests == []

    def test_https_to_a_port_that_speaks_http(self, server, log):
        error = deliver(log, url=server.url.replace("http:", "https:"))
        assert "no TLS connection" in str(error)
        assert "does it speak https on that port?" in str(error)

    def test_http_to_a_port_that_speaks_https(self, log, tmp_path):
        _, tls = certificates(tmp_path)
        with serving(tls) as server:
            error = deliver(log, url=server.url.replace("https:", "http:"))
        assert error is not None
        assert not error.hopeless

    def test_files_that_are_none(self, log, tmp_path):
        for content, words in ((None, "No such file"), (b"no certificate", "no certificates in PEM form")):
            if content is not None:
                (tmp_path / "ca.pem").write_bytes(content)
            with pytest.raises(ConfigurationError, match=words):
                open_sink(log, url="https://plant.example/", ca_file=tmp_path / "ca.pem")
        for content, words in (
            (None, "No such file"),
            (b"", "must hold one line with a token"),
            (b"two words", "no spaces"),
            (b"a\r\nX-Injected: 1", "one line"),
            ("é".encode(), "one line with a token"),
        ):
            if content is not None:
                (tmp_path / "token").write_bytes(content)
            with pytest.raises(ConfigurationError, match=words):
                open_sink(log, url="https://plant.example/", token_file=tmp_path / "token")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, "missing key url"),
        ({"url": "ftp://x/"}, "must begin with http:// or https:// and a host"),
        ({"url": "plant.example/x"}, "must begin with"),
        ({"url": "http:///x"}, "and a host"),
        ({"url": "http://a:b@c/x"}, "must hold no password: put a token into token_file"),
        ({"url": "http://c/x y"}, "percent-encoded"),
        ({"url": "http://c/x\r\nX: y"}, "percent-encoded"),
        ({"url": "http://c/ü"}, "percent-encoded"),
        ({"url": "http://c/#x"}, "fragment"),
        ({"url": "http://c:99999/"}, "[Pp]ort"),
        ({"url": "http://[c/"}, "Invalid IPv6"),
        ({"url": "http://c", "timeout_s": 0}, "timeout_s must lie between"),
        ({"url": "http://c", "ca_file": "x"}, "needs a url with https"),
        ({"url": "http://c", "headers": {"authorization": "Bearer x"}}, "is a secret: put its token into"),
        ({"url": "http://c", "headers": {"Host": "x"}}, "Host is set by edge-ad"),
        ({"url": "http://c", "headers": {"X Y": "x"}}, "cannot be the name of a header"),
        ({"url": "http://c", "headers": {"X": "a\r\nb"}}, "printable ASCII"),
        ({"url": "http://c", "token": "x"}, "unknown key token"),
    ],
)
def test_options_that_make_no_sense(table, words):
    with pytest.raises(DecodeError, match=words):
        load_sink("webhook", table)


def test_the_body_is_the_same_at_every_delivery(server, log):
    server.answers = [(500, {}, b""), (500, {}, b"")]
    one = event(1, size=5000)
    deliver(log, one, one, one, url=server.url)
    assert [body for _, _, body in server.requests] == [one.body.encode()] * 3
    assert json.loads(one.body)["id"] == "1"
