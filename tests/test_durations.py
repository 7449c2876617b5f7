"""Times as users write them."""

import pytest

from normbench.durations import seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30sec", 30),
        ("2min", 120),
        ("1.5 minutes", 90),
        ("1hour", 3600),
        ("2h", 7200),
        ("1 hr", 3600),
    ],
)
def test_units(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["2", "min", "0min", "2 months", "-1s", "2ms", "1h30m"])
def test_what_is_no_time(text):
    with pytest.raises(ValueError, match="allowed: a time above 0 such as 90s, 30m or 2h"):
        seconds_of(text)
