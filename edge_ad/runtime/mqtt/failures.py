"""What went wrong with a connection, in words that tell what to look at."""

from __future__ import annotations

import socket
import ssl
from typing import NamedTuple

from edge_ad.runtime.mqtt.login import SecretError
from edge_ad.runtime.mqtt.options import BrokerOptions

_HOST_MISMATCH = (62, 64)
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""
# Reason codes of MQTT 5, chapter 2.4; paho-mqtt translates those of 3.1.1.
_UNSUPPORTED_PROTOCOL = 132
_BAD_CLIENT_ID = 133
_LOGIN_REFUSED = (134, 135, 138, 140)
_BUSY = (136, 137, 151, 159)
_SHUTTING_DOWN = 139
_KEEP_ALIVE = 141
_TAKEN_OVER = 142


class Failure(NamedTuple):
    """Why there is no connection, or none any more."""

    kind: str
    """For `Note`."""
    text: str
    """A clause that begins with the broker and has no full stop."""


def not_reached(name: str, options: BrokerOptions, error: Exception) -> Failure:
    """The failure to connect that `error` tells of."""
    broker = f"the broker {name} at {options.address}"
    if isinstance(error, SecretError):
        return Failure("broker-login", f"the broker {name} is not tried: {error}")
    if isinstance(error, ssl.SSLCertVerificationError):
        return _bad_certificate(name, options, error)
    if isinstance(error, ssl.SSLError):
        why = (error.reason or "unreadable answer").replace("_", " ").lower()
        text = f"no encrypted connection to {broker} ({why}): is that a port for TLS?"
        return Failure("broker-tls", text)
    if isinstance(error, socket.gaierror):
        text = (
            f"the broker {name} cannot be reached: host name {options.host!r} is not found ({error.strerror})"
        )
        return Failure("broker-unreachable", text)
    if isinstance(error, UnicodeError):  # from the codec of host names, for one with an empty or long part
        text = f"the broker {name} cannot be reached: {options.host!r} is no host name"
        return Failure("broker-unreachable", text)
    if isinstance(error, TimeoutError):
        return no_answer(name, options)
    if isinstance(error, OSError):
        return Failure("broker-unreachable", f"{broker} cannot be reached: {error.strerror or error}")
    return Failure("broker-error", f"{broker} cannot be used: {error!r}")


def _bad_certificate(name: str, options: BrokerOptions, error: ssl.SSLCertVerificationError) -> Failure:
    why = error.verify_message.rstrip(".")
    if error.verify_code in _HOST_MISMATCH:
        text = f"the certificate of the broker {name} does not match: it is not for {options.host!r} ({why})"
    else:
        authority = "set ca_file" if options.ca_file is None else f"check ca_file {options.ca_file}"
        text = f"the certificate of the broker {name} is not trusted: {why}; {authority}"
    return Failure("broker-certificate", text)


def no_answer(name: str, options: BrokerOptions) -> Failure:
    """Nothing came back."""
    return Failure("broker-unreachable", f"the broker {name} at {options.address} does not answer")


def refused(name: str, options: BrokerOptions, client_id: str, code: int, reason: str) -> Failure:
    """The broker answered the login with a reason code."""
    reason = spoken(reason)
    if code == _UNSUPPORTED_PROTOCOL:
        return _other_protocol(name, options)
    if code == _BAD_CLIENT_ID:
        text = f"the broker {name} does not take the client id {client_id!r}: set another client_id"
        return Failure("broker-refused", text)
    if code in _LOGIN_REFUSED:
        if options.username is None:
            who, what = "a login without user name", "set"
        else:
            who, what = f"the login of user {options.username!r}", "check"
        text = f"the broker {name} refuses {who} ({reason}): {what} username and password_file"
        return Failure("broker-login", text)
    if code in _BUSY:
        return Failure("broker-busy", f"the broker {name} takes no connections now ({reason})")
    return Failure("broker-refused", f"the broker {name} refuses the connection ({reason})")


def _other_protocol(name: str, options: BrokerOptions) -> Failure:
    other = "3.1.1" if options.protocol == "5" else "5"
    text = f'the broker {name} does not speak MQTT {options.protocol}: set protocol = "{other}"'
    return Failure("broker-protocol", text)


def no_login(name: str, options: BrokerOptions, why: str | None, *, is_nonsense: bool) -> Failure:
    """The connection ended before the broker answered the login; `why` is what the system says of it.

    `is_nonsense`: there was an answer that made no sense.
    """
    if is_nonsense:
        text = f"what answers at {options.address} does not speak MQTT {options.protocol}"
        return Failure("broker-protocol", f"{text}: check host, port and protocol of the broker {name}")
    told = "" if why is None else f" ({why})"
    tls = "does it want a certificate, with cert_file?" if options.uses_tls else "is that a port for TLS?"
    text = f"the broker {name} at {options.address} hung up before it answered{told}: {tls}"
    if options.protocol == "5":
        text += ' or is it an old one that needs protocol = "3.1.1"?'
    return Failure("broker-hung-up", text)


def ended(name: str, client_id: str, code: int, reason: str) -> Failure:
    """The broker said goodbye, with a reason code; MQTT 3.1.1 has no way to."""
    if code == _TAKEN_OVER:
        text = (
            f"the broker {name} ended the connection: another client has taken over the session of client id "
            f"{client_id!r}; give every agent a name of its own, or set client_id"
        )
        return Failure("broker-taken-over", text)
    if code == _SHUTTING_DOWN:
        return Failure("broker-lost", f"the broker {name} is shutting down")
    return Failure("broker-ended", f"the broker {name} ended the connection ({spoken(reason)})")


def lost(name: str, code: int, why: str | None) -> Failure:
    """The connection broke."""
    if code == _KEEP_ALIVE:
        return Failure("broker-lost", f"the broker {name} has not answered for too long")
    told = "" if why is None else f" ({why})"
    return Failure("broker-lost", f"the connection to the broker {name} is lost{told}")


def spoken(reason: str) -> str:
    """paho-mqtt's name of a reason code as part of a sentence."""
    return reason.lower().replace("authorized", "authorised").replace("qos", "QoS")
