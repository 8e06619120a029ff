"""One hostile bundle: how it is made, and what it must be refused with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from edge_ad.bundle.secret_key import SecretKey, new_key
from edge_ad.bundle.trust import TrustPolicy
from edge_ad.errors import BundleError


@dataclass(frozen=True)
class Attack:
    """A way to change a good bundle into one that must be refused."""

    name: str
    make: Callable[[bytes], bytes]
    """From the good bundle's bytes to the hostile ones."""
    error: type[BundleError]
    """Exactly this class, no subclass of it."""
    words: str
    """A regular expression that the message holds."""
    trust: Callable[[], TrustPolicy] = TrustPolicy
    """The rules of the machine that it is brought to."""


@cache
def trusted_key() -> SecretKey:
    """The key of the workshop that the machine trusts."""
    return new_key()


@cache
def foreign_key() -> SecretKey:
    """Somebody else's key."""
    return new_key()


@cache
def revoked_key() -> SecretKey:
    """A key that was trusted once."""
    return new_key()


def signed_only() -> TrustPolicy:
    """A machine that takes what its own workshop signed, and nothing else."""
    return TrustPolicy((trusted_key().public,), frozenset({revoked_key().key_id}), require_signature=True)


def signed_or_not() -> TrustPolicy:
    """A machine that knows a key and requires no signature."""
    return TrustPolicy((trusted_key().public,), frozenset({revoked_key().key_id}))
