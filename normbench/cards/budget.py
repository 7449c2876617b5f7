"""How much of a card fits into a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from normbench.cards.sections import Rung, Size

Cost = Callable[[str, Size], float]  # estimated seconds of a section with a size


@dataclass(frozen=True)
class Chosen:
    """What is trained, and what is left out.

    Attributes:
        sizes: of the sections that are trained, in the order in which they come on the ladder.
        seconds: estimated time of all of them.
        left_out: the rungs beyond the budget.
        next_seconds: estimated time with the first rung that is left out; None if there is none.
    """

    sizes: dict[str, Size]
    seconds: float
    left_out: tuple[Rung, ...]
    next_seconds: float | None


def fit(ladder: Sequence[Rung], budget: float, cost: Cost, start: float = 0.0) -> Chosen:
    """Return how far up the ladder a budget reaches.

    Rungs are taken in their order up to the first that does not fit. So a larger budget trains everything
    that a smaller one does. Without any rung that fits, nothing is chosen.

    Args:
        ladder: the rungs; a later one of the same section replaces the earlier one.
        budget: in seconds.
        cost: estimated seconds of a section with a size. It is asked for no more rungs than needed.
        start: seconds that are needed whatever is trained.
    """
    sizes: dict[str, Size] = {}
    seconds: dict[str, float] = {}
    for place, rung in enumerate(ladder):
        after = {**seconds, rung.section: cost(rung.section, rung.size)}
        total = start + sum(after.values())
        if total > budget:
            return Chosen(sizes, start + sum(seconds.values()), tuple(ladder[place:]), total)
        sizes[rung.section], seconds = rung.size, after
    return Chosen(sizes, start + sum(seconds.values()), (), None)
