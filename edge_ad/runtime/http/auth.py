"""Who may look: by the host that is asked for, and by a token."""

from __future__ import annotations

import hashlib
import hmac
import re
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from urllib.parse import parse_qs

from edge_ad.errors import ConfigurationError
from edge_ad.runtime.http.message import Request, Response, plain
from edge_ad.runtime.http.options import MAKE_TOKEN
from edge_ad.runtime.troubles import Note

SHORTEST_TOKEN = 16
"""Characters."""
LONGEST_TOKEN = 1024
SESSION_S = 30 * 86400.0
"""How long a browser stays logged in."""
TRIES = 10
"""Wrong tokens that an address may try in one go."""
TRY_AGAIN_S = 5.0
"""Until it may try one more."""
_MOST_ADDRESSES = 1024

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]+))(?::\d*)?")
_WRONG = "it gave a wrong token"


def read_token(path: Path, note: Note) -> str:
    """The token in a file, which should be for the agent's eyes only. Raises ConfigurationError."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ConfigurationError(f"token_file {path} is no ordinary file")
        with path.open("rb") as file:
            token = file.read(LONGEST_TOKEN + 2).decode().strip()
    except OSError as error:
        raise ConfigurationError(
            f"token_file {path} cannot be read: {error.strerror}; to make one: {MAKE_TOKEN}"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"token_file {path} is no text; to make one: {MAKE_TOKEN}") from error
    if not SHORTEST_TOKEN <= len(token) <= LONGEST_TOKEN:
        raise ConfigurationError(
            f"the token in {path} has {len(token)} characters; it must have {SHORTEST_TOKEN} to "
            f"{LONGEST_TOKEN}, chosen by chance: {MAKE_TOKEN}"
        )
    if not re.fullmatch(r"[!-~]+", token):
        raise ConfigurationError(
            f"the token in {path} must be one word of plain ASCII characters: {MAKE_TOKEN}"
        )
    if status.st_mode & stat.S_IROTH:
        note("token-file", f"everybody on this machine can read the token in {path}: chmod 600 {path}")
    return token


def is_this_machine(host: str | None) -> bool:
    """Whether a `Host` header names the machine itself.

    A web page elsewhere whose name is made to lead to this machine (DNS rebinding) shows by that header.
    """
    match = _HOST.fullmatch((host or "").strip())
    if match is None:
        return False
    name = match[1] or match[2]
    try:
        return name.lower() == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


class Throttle:
    """Lets an address try some wrong tokens, then one every few seconds. Others are not touched by that.

    May be used from several threads.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._used: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Tries used up, and when that was so; the addresses that failed last come last."""

    def wait_s(self, peer: str) -> float:
        """Until the address may try a token; 0 where it may now."""
        with self._lock:
            return max(0.0, (self._now_used(_network(peer)) - TRIES + 1) * TRY_AGAIN_S)

    def failed(self, peer: str) -> None:
        """It tried a wrong one."""
        network = _network(peer)
        with self._lock:
            self._used[network] = self._now_used(network) + 1, self._clock()
            self._used.move_to_end(network)
            if len(self._used) > _MOST_ADDRESSES:
                self._used.popitem(last=False)

    def _now_used(self, network: str) -> float:
        used, at = self._used.get(network, (0.0, 0.0))
        return max(0.0, used - (self._clock() - at) / TRY_AGAIN_S)


class Gate:
    """Lets requests in that prove they know the token, by a header or by a cookie given for it.

    The cookie holds the time until which it is good, and a keyed hash of that: it tells nothing of the token,
    outlives a restart of the agent, and ends with the token.
    """

    def __init__(
        self,
        token: str,
        note: Note,
        *,
        throttle: Throttle | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._digest = hashlib.sha256(token.encode()).digest()
        self._key = hmac.digest(token.encode(), b"edge-ad session", "sha256")
        # Browsers send the cookies of a host to all of its ports, and each may have an agent.
        self._cookie = f"edge_ad_{hmac.digest(self._key, b'name', 'sha256').hex()[:8]}"
        self._note = note
        self._throttle = throttle or Throttle()
        self._now = now

    def refusal(self, request: Request) -> Response | None:
        """What a request without the right to look gets; None where it has that right."""
        if self.has_session(request):
            return None
        scheme, _, token = request.authorization.partition(" ")
        if scheme.lower() != "bearer":
            return self._refuse(request, "it gave no token")
        return self._try(request, token.strip())

    def has_session(self, request: Request) -> bool:
        """Whether it comes from a browser that is logged in."""
        for part in request.cookie.split(";"):
            name, _, value = part.strip().partition("=")
            if name != self._cookie:
                continue
            until, _, seal = value.partition(".")
            if (
                re.fullmatch(r"\d{1,12}", until, re.ASCII)
                and hmac.compare_digest(seal.encode(), self._seal(int(until)).encode())
                and self._now() < int(until)
            ):
                return True
        return False

    def log_in(self, request: Request) -> Response | None:
        """Try the token of a login form; None where it is right."""
        try:
            fields = parse_qs(request.body.decode("utf-8", "replace"), max_num_fields=8)
        except ValueError:  # more fields
            fields = {}
        return self._try(request, fields.get("token", [""])[0].strip())

    def session(self) -> tuple[str, str]:
        """The header that logs a browser in."""
        until = int(self._now() + SESSION_S)
        value = f"{until}.{self._seal(until)}"
        limits = f"Max-Age={int(SESSION_S)}; Path=/; HttpOnly; SameSite=Strict"
        return "Set-Cookie", f"{self._cookie}={value}; {limits}"

    def _try(self, request: Request, token: str) -> Response | None:
        wait_s = self._throttle.wait_s(request.peer)
        if wait_s:
            return self._refuse(request, "it gave too many wrong tokens", wait_s)
        # of equal length, so that the time it takes tells nothing
        if hmac.compare_digest(hashlib.sha256(token.encode()).digest(), self._digest):
            return None
        self._throttle.failed(request.peer)
        return self._refuse(request, _WRONG)

    def _refuse(self, request: Request, why: str, wait_s: float = 0.0) -> Response:
        self._note("no-token", f"a request from {request.peer} was refused: {why}")
        if wait_s:
            seconds = str(int(wait_s) + 1)
            text = f"Too many wrong tokens came from your address. The next one is looked at in {seconds} s."
            return plain(429, text, ("Retry-After", seconds))
        text = "Wrong token." if why == _WRONG else "This needs a token: Authorization: Bearer TOKEN"
        return plain(401, text, ("WWW-Authenticate", 'Bearer realm="edge-ad"'))

    def _seal(self, until: int) -> str:
        return hmac.digest(self._key, b"session %d" % until, "sha256").hex()


def _network(peer: str) -> str:
    """What one holder of addresses has: one of IPv4, 2**64 of IPv6."""
    try:
        address = ip_address(peer)
    except ValueError:
        return peer
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64))
    return peer
