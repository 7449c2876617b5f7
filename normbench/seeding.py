"""Random numbers that depend only on the seed of a run and on a place, never on the stack."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
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


@contextmanager
def seeded(number: int) -> Iterator[None]:
    """Seed the generators that code reaches without a name for a block; restore their states at its end.

    These are the default generators of torch, numpy and Python.
    """
    python, arrays = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(number)
        random.seed(number)
        np.random.seed(number % 2**32)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(arrays)
