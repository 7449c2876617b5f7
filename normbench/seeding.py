"""Random numbers that depend on a run's seed and on a place alone, never on who else is in the stack."""

from __future__ import annotations

import hashlib

import torch


def key(seed: int, *place: object) -> int:
    """Return a 63-bit integer that hashes (seed, place), the same on every machine.

    `place` names what the numbers are for, such as `("order", epoch)` or `("init", "hidden.0.weight")`.
    """
    text = "/".join([str(seed), *map(str, place)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, *place: object) -> torch.Generator:
    """Return a CPU generator seeded by `key(seed, *place)`; its numbers are then moved to the device."""
    return torch.Generator().manual_seed(key(seed, *place))
