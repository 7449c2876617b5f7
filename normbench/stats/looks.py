"""Looks at more and more seeds: at which numbers, what each of them may spend, and what holds over all.

A look at n seeds finds the smallest alpha at which an interval of the level 1 - alpha decides. Each look has
a weight, and the weights sum to 1. Divided by its weight, the alpha of a look is a p-value over all looks
(Bonferroni): the smallest of them is wrong no more often than it says, whenever the looks end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from normbench.stats.corrections import ALPHA
from normbench.stats.decide import Word, fewest_seeds
from normbench.stats.intervals import Estimator

LOOKS: Mapping[int, float] = {5: 0.30, 8: 0.20, 12: 0.20, 20: 0.15, 30: 0.15}  # seeds -> weight
MOST_SEEDS = max(LOOKS)
_LEAST, _MOST = 1e-9, 1 - 1e-9  # alpha is looked for between these
_HALVINGS = 20  # of their ratio: to about 1 part in 50,000


@dataclass(frozen=True)
class Look:
    """What a look found: at n seeds, an interval of the level 1 - p says `word`, a wider one nothing."""

    n: int
    p: float
    word: Word


def weights_of(estimator: Estimator) -> dict[int, float]:
    """Return the weight of each look of an estimator, by its number of seeds.

    A look at too few seeds for the estimator is left out; the next one has its weight, too.
    """
    found: dict[int, float] = {}
    spared = 0.0
    for n, weight in LOOKS.items():
        if n < fewest_seeds(estimator):
            spared += weight
        else:
            found[n], spared = weight + spared, 0.0
    return found


def smallest_alpha(word_at: Callable[[float], Word]) -> tuple[float, Word]:
    """Return the smallest alpha at which an interval of the level 1 - alpha decides, and the word.

    The word is that at 95 %, if there is one: all levels from 95 % up to 1 - alpha say the same. If no level
    decides, alpha is 1.

    Args:
        word_at: what the interval of a level says.
    """
    word, low, high = word_at(1 - ALPHA), _LEAST, ALPHA
    if word == "inconclusive":
        word, low, high = word_at(1 - _MOST), ALPHA, _MOST
        if word == "inconclusive":
            return 1.0, word
    elif word_at(1 - low) == word:
        return low, word
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        if word_at(1 - middle) == word:
            high = middle
        else:
            low = middle
    return high, word


def over_looks(looks: Sequence[Look], weights: Mapping[int, float]) -> tuple[float, Look | None]:
    """Return the p-value over all looks, and the look that it is of; 1 and None if no look says anything.

    Args:
        looks: that were taken.
        weights: of looks, by their number of seeds; a look without a weight counts for nothing.
    """
    best, at = 1.0, None
    for look in looks:
        weight = weights.get(look.n, 0.0)
        if look.word != "inconclusive" and weight and (p := look.p / weight) < best:
            best, at = p, look
    return best, at
