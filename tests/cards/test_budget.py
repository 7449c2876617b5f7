"""How much of a card fits into a budget."""

import pytest

from normbench.cards.budget import fit
from normbench.cards.sections import Rung, Size

LADDER = [
    Rung("a", Size(3), "a"),
    Rung("b", Size(3), "b"),
    Rung("a", Size(6), "more a"),
    Rung("b", Size(6), "more b"),
]


def cost(name, size):
    return {"a": 10.0, "b": 4.0}[name] * size.seeds


@pytest.mark.parametrize(
    ("budget", "seeds", "seconds", "left", "after"),
    [
        (31, {}, 2, 4, 32),
        (32, {"a": 3}, 32, 3, 44),
        (44, {"a": 3, "b": 3}, 44, 2, 74),
        (80, {"a": 6, "b": 3}, 74, 1, 86),
        (86, {"a": 6, "b": 6}, 86, 0, None),
    ],
)
def test_rungs_are_taken_in_their_order_while_they_fit(budget, seeds, seconds, left, after):
    found = fit(LADDER, budget, cost, start=2)
    assert {name: size.seeds for name, size in found.sizes.items()} == seeds
    assert found.seconds == seconds
    assert len(found.left_out) == left
    assert found.next_seconds == after


def test_a_cheap_rung_does_not_overtake_one_that_is_too_dear():
    """Otherwise a larger budget could train less of a section than a smaller one."""
    found = fit([*LADDER[:1], Rung("a", Size(600), "much"), *LADDER[1:]], 80, cost)
    assert list(found.sizes) == ["a"]


def test_costs_are_asked_for_up_to_the_first_rung_that_does_not_fit():
    asked = []
    fit(LADDER, 45, lambda name, size: asked.append(name) or cost(name, size))
    assert asked == ["a", "b", "a"]
