"""Every hostile bundle, by what it attacks. All are made of a good bundle when they are needed."""

from __future__ import annotations

from tests.hostile import archives, golden, manifests, models, signatures
from tests.hostile.attack import Attack

GROUPS: dict[str, tuple[Attack, ...]] = {
    "archive": archives.ATTACKS,
    "manifest": (*manifests.TEXTS, *manifests.VALUES),
    "cross-check": manifests.CROSS_CHECKS,
    "signature": signatures.ATTACKS,
    "model": (*models.ATTACKS, *golden.STRUCTURE),
}
"""Refused while the bundle is read, before an interpreter is there."""

REFUSED = tuple(attack for group in GROUPS.values() for attack in group)

CAUGHT_BY_SCORES = golden.ATTACKS
"""Read without complaint, and refused by the golden self-test."""
