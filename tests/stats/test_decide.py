"""One rule for all verdicts: the word of an interval, at bounds, with ties, at any level."""

import math

import pytest

from normbench.stats.decide import decide
from normbench.stats.intervals import Span, exactly

INF = math.inf
ABOVE = (1.0, INF)


def differences(*values):
    return [exactly(float(value)) for value in values]


@pytest.mark.parametrize(
    ("values", "region", "word"),
    [
        ((2, 2.1, 1.9), ABOVE, "supported"),
        ((0, 0.1, -0.1), ABOVE, "refuted"),
        ((0.5, 1, 1.5), ABOVE, "inconclusive"),
        ((2, 2.1, 1.9), (1.0, 1.5), "refuted"),
        ((2, 2.1, 1.9), (-INF, INF), "supported"),
        ((2, 3, None), ABOVE, "inconclusive"),  # the interval of two values is wide
        ((2,), ABOVE, "inconclusive"),
        ((), ABOVE, "inconclusive"),
    ],
)
def test_the_word_of_a_mean(values, region, word):
    spans = [None if value is None else exactly(float(value)) for value in values]
    assert decide(spans, "t", region, 0.05).word == word


@pytest.mark.parametrize("off", [0.0, 2e-14, -2e-14])
@pytest.mark.parametrize(("bound", "scale"), [(0.5, 1.0), (-3.0, 1.0), (0.0, 1.0), (0.0, 1e-20)])
def test_an_end_that_touches_the_bound_up_to_rounding_is_inside(bound, scale, off):
    ends = [bound + off * scale, *(bound + scale * step for step in (0.1, 0.2, 0.3, 0.4, 0.5))]
    assert decide(differences(*ends), "median", (bound, INF), 0.05).word == "supported"
    assert decide(differences(*ends), "median", (-INF, bound), 0.05).word == "inconclusive"
    assert decide(differences(*ends), "median", (bound, INF), 0.05, strict=True).word == "inconclusive"
    past = [bound - 1e-3 * scale, *ends[1:]]
    assert decide(differences(*past), "median", (bound, INF), 0.05).word == "inconclusive"


@pytest.mark.parametrize("estimator", ["t", "median", "signed_rank"])
@pytest.mark.parametrize(("n", "alpha", "word"), [
    (5, 0.05, "inconclusive"), (6, 0.05, "supported"), (6, 0.03, "inconclusive"), (8, 0.01, "supported"),
])  # fmt: skip
def test_seeds_that_tie_need_the_sign_test(estimator, n, alpha, word):
    for numbers in (differences(*[2] * n), [Span(1.5, 2.5, 2.0)] * n):
        decision = decide(numbers, estimator, ABOVE, alpha)
        assert decision.word == word
        if estimator == "t":
            assert decision.tied == (word == "inconclusive")


def test_a_floor_of_the_variance_takes_the_place_of_the_sign_test():
    assert decide(differences(2, 2, 2), "t", ABOVE, 0.05, floor=0.01).word == "supported"
    assert decide(differences(2, 2, 2), "t", ABOVE, 0.05, floor=1.0).word == "inconclusive"
    assert decide(differences(0, 0, 0), "t", (0.0, INF), 0.05, floor=0.01).word == "inconclusive"


def test_what_is_at_the_bound_in_all_seeds_has_no_sign_but_a_span_beyond_it_has():
    assert decide(differences(*[1] * 20), "t", ABOVE, 0.05).word == "inconclusive"
    assert decide(differences(*[1] * 20), "t", (-INF, 1.0), 0.05).word == "inconclusive"
    spans = [Span(1, 2, 1.5)] * 6
    assert decide(spans, "t", ABOVE, 0.05).word == "supported"
    assert decide(spans, "t", (-INF, 1.0), 0.05).word == "inconclusive"


def test_a_stricter_level_never_decides_more():
    spans = differences(1.2, 1.4, 1.5, 1.3, 1.25, 1.45, 1.35, 1.6)
    for estimator in ("t", "median", "signed_rank"):
        words = [decide(spans, estimator, ABOVE, alpha).word for alpha in (0.2, 0.05, 0.01, 1e-3, 1e-9)]
        firm = words.count("supported")
        assert firm
        assert words == ["supported"] * firm + ["inconclusive"] * (5 - firm)
