"""Random numbers that depend only on the seed of a run and on a place, never on the stack."""

from __future__ import annotations

import hashlib

import torch


def key(seed: int, *place: object) -> int:
    """Return a 63-bit hash of (seed, place), equal on every machine.

    `place` names the use of the numbers, such as `("order", epoch)` or `("init", "hidden.0.weight")`.
    """
    text = "/".join([str(seed), *map(str, place)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, *place: object) -> torch.Generator:
    """Return a CPU generator seeded with `key(seed, *place)`; callers move its numbers to the device."""
    return torch.Generator().manual_seed(key(seed, *place))
