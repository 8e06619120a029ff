import os
import re
from dataclasses import replace

import pytest

from edge_ad.errors import ConfigurationError
from edge_ad.runtime.http.auth import (
    SESSION_S,
    TRIES,
    TRY_AGAIN_S,
    Gate,
    Throttle,
    is_this_machine,
    read_token,
)
from edge_ad.runtime.http.message import Request
from tests.runtime.http.serving import TOKEN

REQUEST = Request("GET", "/api/status", "", "10.0.0.5", "pump:8080", "", "", False, b"")


class Clock:
    now = 1e9

    def __call__(self):
        return self.now


@pytest.fixture
def notes():
    return []


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def gate(notes, clock):
    note = lambda kind, text, n=1: notes.append((kind, text))  # noqa: E731
    return Gate(TOKEN, note, throttle=Throttle(clock), now=clock)


def bearer(token, peer="10.0.0.5"):
    return replace(REQUEST, authorization=f"Bearer {token}", peer=peer)


def form(text):
    return replace(REQUEST, method="POST", body=text.encode())


def logged_in(gate):
    name, value = gate.session()
    assert name == "Set-Cookie"
    return replace(REQUEST, cookie="other=1; " + value.partition(";")[0] + "; more=2")


def test_a_right_token(gate, notes):
    assert gate.refusal(bearer(TOKEN)) is None
    assert gate.refusal(replace(REQUEST, authorization=f"bearer   {TOKEN} ")) is None
    assert gate.log_in(form(f"token={TOKEN}%0A")) is None
    assert notes == []


@pytest.mark.parametrize(
    "wrong", ["", "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "ü" * 30, "\x00", "a" * 100_000]
)
def test_a_wrong_token(gate, notes, wrong):
    for refusal in (gate.refusal(bearer(wrong)), gate.log_in(form(f"token={wrong}"))):
        assert refusal.status == 401
        assert refusal.body == b"Wrong token.\n"
        assert ("WWW-Authenticate", 'Bearer realm="edge-ad"') in refusal.headers
    assert notes == [("no-token", "a request from 10.0.0.5 was refused: it gave a wrong token")] * 2


@pytest.mark.parametrize("authorization", ["", TOKEN, f"Basic {TOKEN}", f"Token {TOKEN}"])
def test_no_token(gate, notes, authorization):
    refusal = gate.refusal(replace(REQUEST, authorization=authorization))
    assert (refusal.status, refusal.body) == (401, b"This needs a token: Authorization: Bearer TOKEN\n")
    assert notes == [("no-token", "a request from 10.0.0.5 was refused: it gave no token")]


def test_forms_that_are_none(gate):
    for text in (
        "",
        "&" * 4000,
        "tok=1",
        "token",
        f"token=x&token={TOKEN}",
        "\xff" * 100,
        ";".join("a" * 2000),
    ):
        assert gate.log_in(form(text)).status == 401, text


def test_a_session(gate, clock, notes):
    request = logged_in(gate)
    cookie = gate.session()[1]
    assert TOKEN not in cookie
    assert re.search(r"; Max-Age=\d+; Path=/; HttpOnly; SameSite=Strict$", cookie)
    assert gate.has_session(request)
    assert gate.refusal(request) is None
    clock.now += SESSION_S - 1
    assert gate.refusal(request) is None
    clock.now += 2
    assert gate.refusal(request).status == 401


def test_a_session_outlives_a_restart_but_not_the_token(gate, clock):
    request, note = logged_in(gate), lambda kind, text, n=1: None
    assert Gate(TOKEN, note, now=clock).has_session(request)
    assert not Gate(TOKEN + "2", note, now=clock).has_session(request)


def test_a_session_cannot_be_made_up(gate):
    name, _, value = logged_in(gate).cookie.split("; ")[1].partition("=")
    until, _, seal = value.partition(".")
    longer = str(int(until) + 1)
    for cookie in (
        f"{name}={longer}.{seal}",
        f"{name}={until}.",
        f"{name}={until}",
        f"{name}=.{seal}",
        f"{name}={until}.{seal}0",
        f"{name}={until}.ü",
        f"{name}=٣{until[1:]}.{seal}",
        f"{name}={'9' * 5000}.{seal}",
        f"{name}",
        f"{value}",
        "=" * 100,
        ";" * 10_000,
    ):
        assert not gate.has_session(replace(REQUEST, cookie=cookie)), cookie[:80]


def test_guessing_is_slow(gate, clock):
    statuses = [gate.refusal(bearer(f"guess-{i}")).status for i in range(TRIES + 5)]
    assert statuses == [401] * TRIES + [429] * 5
    refusal = gate.refusal(bearer(TOKEN))  # not looked at
    assert refusal.status == 429
    assert dict(refusal.headers)["Retry-After"] == str(int(TRY_AGAIN_S) + 1)
    clock.now += TRY_AGAIN_S + 0.1
    assert gate.refusal(bearer("guess")).status == 401
    assert gate.refusal(bearer("guess")).status == 429
    clock.now += TRY_AGAIN_S * TRIES
    assert [gate.refusal(bearer("guess")).status for _ in range(TRIES + 1)] == [401] * TRIES + [429]


def test_guessing_locks_nobody_else_out(gate):
    browser = logged_in(gate)
    for i in range(100):
        gate.refusal(bearer(f"guess-{i}"))
    assert gate.refusal(bearer(TOKEN, peer="10.0.0.6")) is None
    assert gate.refusal(browser) is None  # from the same address


def test_many_addresses_of_one_network_are_one(gate):
    statuses = [gate.refusal(bearer("x", peer=f"2001:db8::{i:x}")).status for i in range(TRIES + 1)]
    assert statuses[-1] == 429
    assert gate.refusal(bearer(TOKEN, peer="2001:db8:0:1::1")) is None
    assert gate.refusal(bearer("x", peer="::ffff:10.1.1.1")).status == 401
    assert gate.refusal(bearer("x", peer="::ffff:10.1.1.2")).status == 401


def test_many_guessers_fill_no_memory(clock):
    throttle = Throttle(clock)
    for i in range(5000):
        throttle.failed(f"10.0.{i >> 8}.{i & 255}")
    assert len(throttle._used) <= 1024


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:8080",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.1.2.3:1",
        "[::1]",
        "[::1]:8080",
        "localhost:",
    ],
)
def test_names_of_this_machine(host):
    assert is_this_machine(host)


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        " ",
        "example.com",
        "localhost.example.com",
        "127.0.0.1.example.com",
        "10.0.0.1",
        "[::2]",
        "::1",
        "localhost@example.com",
        "example.com:127.0.0.1",
        "0.0.0.0",
        "localhost:80:80",
        "localhost:x",
        "[localhost]",
    ],
)
def test_names_of_others(host):
    assert not is_this_machine(host)


def test_a_token_file(token_file, notes):
    assert read_token(token_file, pytest.fail) == TOKEN
    token_file.chmod(0o640)
    assert read_token(token_file, pytest.fail) == TOKEN
    token_file.chmod(0o644)
    assert read_token(token_file, lambda kind, text, n=1: notes.append((kind, text))) == TOKEN
    assert notes == [
        (
            "token-file",
            f"everybody on this machine can read the token in {token_file}: chmod 600 {token_file}",
        )
    ]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "has 0 characters"),
        (b" \n", "has 0 characters"),
        (b"123456789012345\n", "has 15 characters"),
        (b"x" * 1_000_000, "must have 16 to 1024"),
        (b"two words of a token\n", "one word of plain ASCII"),
        ("schlüssel-schlüssel\n".encode(), "one word of plain ASCII"),
        (b"\xff\xfe" * 20, "is no text"),
        (b"\x00" * 20, "one word of plain ASCII"),
    ],
)
def test_tokens_that_are_none(token_file, content, why):
    token_file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=why) as raised:
        read_token(token_file, pytest.fail)
    assert "secrets.token_urlsafe(32)" in str(raised.value)
    assert str(token_file) in str(raised.value)


def test_token_files_that_are_none(tmp_path):
    with pytest.raises(ConfigurationError, match="No such file"):
        read_token(tmp_path / "none", pytest.fail)
    with pytest.raises(ConfigurationError, match="no ordinary file"):
        read_token(tmp_path, pytest.fail)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match="no ordinary file"):
        read_token(tmp_path / "pipe", pytest.fail)
