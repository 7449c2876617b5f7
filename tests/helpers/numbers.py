"""Comparisons of numbers that tests of several folders use."""

import pytest


def close(interval, estimate, low, high, n):
    """Assert that an interval has these numbers; NaN equals NaN."""
    assert interval.n == n
    got = (interval.estimate, interval.low, interval.high)
    assert got == pytest.approx((estimate, low, high), nan_ok=True)
