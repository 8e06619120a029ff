"""A certificate authority of a test's own."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PASSPHRASE = b"locked"


class Authority:
    """Signs certificates for host names and addresses."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder, self._name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject(name)
        certificate = _builder(subject, subject, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        signed = certificate.add_extension(usage, critical=True).sign(self._key, hashes.SHA256())
        self._subject = subject
        self.ca_file = folder / f"{name}.pem"
        self.ca_file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def issue(self, *hosts: str, days: int = 1) -> tuple[Path, Path]:
        """Files with a certificate for some hosts and its key, valid for so many days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _builder(_subject(hosts[0]), self._subject, key, days).add_extension(
            x509.SubjectAlternativeName([_general(host) for host in hosts]), critical=False
        )
        signed = certificate.sign(self._key, hashes.SHA256())
        stem = f"{self._name}-{hosts[0]}{'' if days > 0 else '-expired'}"
        paths = self._folder / f"{stem}.crt", self._folder / f"{stem}.key"
        paths[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(_pem(key, serialization.NoEncryption()))
        return paths

    def locked(self, key_file: Path) -> Path:
        """The same key behind a passphrase."""
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        path = key_file.with_suffix(".locked")
        path.write_bytes(_pem(key, serialization.BestAvailableEncryption(PASSPHRASE)))
        return path


def _pem(key, encryption) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(subject, issuer, key, days: int = 1) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + datetime.timedelta(days=days))
    )
