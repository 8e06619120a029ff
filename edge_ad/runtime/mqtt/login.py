"""What a login needs from files, read anew for every connection: a password that was changed is used."""

from __future__ import annotations

import ssl
from pathlib import Path

from edge_ad.errors import ConfigurationError
from edge_ad.runtime.mqtt.options import BrokerOptions

_LONGEST_PASSWORD = 65_535


class SecretError(Exception):
    """A file that a login needs cannot be used; says which, and why."""


def check_secrets(name: str, options: BrokerOptions) -> None:
    """Raises ConfigurationError where the login of broker `name` needs a file that is not there."""
    try:
        read_password(options)
        tls_context(options)
    except SecretError as error:
        raise ConfigurationError(f"broker {name}: {error}") from error


def read_password(options: BrokerOptions) -> str | None:
    """The first line of the password file; None where none is configured. Raises SecretError."""
    if options.password_file is None:
        return None
    try:
        with Path(options.password_file).open("rb") as file:
            line = file.readline(_LONGEST_PASSWORD + 2).rstrip(b"\r\n")
            password = line.decode()
    except OSError as error:
        raise SecretError(f"password_file {options.password_file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SecretError(f"password_file {options.password_file}: not UTF-8 text") from error
    if not password or len(line) > _LONGEST_PASSWORD:
        raise SecretError(f"password_file {options.password_file}: its first line must be the password")
    return password


def tls_context(options: BrokerOptions) -> ssl.SSLContext | None:
    """Checks the broker's certificate and host name; None without TLS. Raises SecretError."""
    if not options.uses_tls:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _TidySocket
    if options.ca_file is None:
        context.load_default_certs()
    else:
        try:
            context.load_verify_locations(options.ca_file)
        except OSError as error:
            raise SecretError(f"ca_file {options.ca_file}: {_why(error)}") from error
    if options.cert_file is not None:
        try:
            # A password callback, since a key with a passphrase would be asked for at the terminal.
            context.load_cert_chain(options.cert_file, options.key_file, lambda: "")
        except OSError as error:
            files = " or ".join(file for file in (options.cert_file, options.key_file) if file is not None)
            raise SecretError(f"cert_file or key_file {files}: {_why(error)}") from error
    return context


class _TidySocket(ssl.SSLSocket):
    """Closes itself where the handshake fails; paho-mqtt leaves that to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        """As its parent's."""
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"no PEM file of the right kind ({error.reason or 'unreadable'})"
    return error.strerror or str(error)
