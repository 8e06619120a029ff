"""What ssh is told, and what it says when it cannot connect."""

import pytest

from edge_ad.errors import ConfigurationError
from edge_ad.toolchain.deploy.ssh import Destination, explain


@pytest.mark.parametrize("name", ["", "-oProxyCommand=x", "a b", "pi@\x1bhost"])
def test_no_destinations(name):
    with pytest.raises(ConfigurationError, match="give user@host"):
        Destination(name)


def test_host_keys_are_checked_before_anything_else_is_said(tmp_path):
    """Of every option ssh heeds the first that it reads, and those of the command line before its files."""
    words = Destination("pi@host", 2222, tmp_path / "id", tmp_path / "config", "jump").options()
    assert words[:2] == ["-o", "StrictHostKeyChecking=yes"]
    assert words[words.index("-p") + 1] == "2222"
    assert words[words.index("-J") + 1] == "jump"


CHANGED = """@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
Host key verification failed."""


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (CHANGED, "ssh-keygen -R '[host]:2222'"),
        (
            "No ED25519 host key is known for host and you have requested strict checking.",
            "compare the finger",
        ),
        ("pi@host: Permission denied (publickey,password).", "ssh-copy-id pi@host"),
        ("ssh: Could not resolve hostname host: Name or service not known", "Is the board on?"),
        ("ssh: connect to host host port 22: Connection refused", "SSH enabled"),
        ("ssh: connect to host host port 22: Connection timed out", "SSH enabled"),
        ("kex_exchange_identification: read: \x1b[31mgone", "Try: ssh"),
        ("", "ended without a word"),
    ],
)
def test_what_cannot_be_reached_says_the_next_step(said, told):
    text = explain(Destination("pi@host", 2222), said)
    assert told in text
    assert text.isprintable()
