import pytest

from edge_ad.bundle.codec import DecodeError, decode
from edge_ad.runtime.http.options import HttpOptions


@pytest.mark.parametrize(
    ("listen", "host", "port", "url"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080, "http://127.0.0.1:8080/"),
        ("127.0.0.9:0", "127.0.0.9", 0, "http://127.0.0.9:0/"),
        ("localhost:81", "127.0.0.1", 81, "http://127.0.0.1:81/"),
        ("[::1]:65535", "::1", 65535, "http://[::1]:65535/"),
        ("[0:0:0:0:0:0:0:1]:80", "::1", 80, "http://[::1]:80/"),
    ],
)
def test_loopback(listen, host, port, url):
    address = HttpOptions(listen).address
    assert (address.host, address.port, address.url, address.is_loopback) == (host, port, url, True)


@pytest.mark.parametrize("listen", ["0.0.0.0:8080", "[::]:8080", "10.0.0.2:80", "[fe80::1%eth0]:80"])
def test_the_network_needs_a_token(listen):
    with pytest.raises(ValueError, match=r"secrets\.token_urlsafe\(32\).*chmod 600 FILE"):
        HttpOptions(listen)
    address = HttpOptions(listen, token_file="/etc/edge-ad/token").address
    assert not address.is_loopback


def test_every_address_is_opened_at_this_machine():
    assert HttpOptions("0.0.0.0:8080", "t").address.url == "http://127.0.0.1:8080/"
    assert HttpOptions("[::]:8080", "t").address.url == "http://[::1]:8080/"


@pytest.mark.parametrize(
    "listen",
    [
        "",
        "8080",
        ":8080",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "::1:8080",
        "[127.0.0.1]:80",
        "pump.local:8080",
        "*:8080",
        "127.0.0.1:80:80",
        "http://127.0.0.1:80",
        "[::1]",
        "127.0.0.1:8０8０",
    ],
)
def test_what_is_no_address(listen):
    with pytest.raises(
        ValueError, match=r"listen must be an IP address and a port, such as 127\.0\.0\.1:8080"
    ):
        HttpOptions(listen)


def test_decoded_from_a_table():
    assert decode(HttpOptions, {}) == HttpOptions()
    assert decode(HttpOptions, {"listen": "[::1]:1", "page": False}) == HttpOptions("[::1]:1", page=False)
    with pytest.raises(DecodeError, match="needs a token"):
        decode(HttpOptions, {"listen": "0.0.0.0:1"})
