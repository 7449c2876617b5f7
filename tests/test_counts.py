"""Numbers of things in sentences."""

import pytest

from normbench.counts import counted


@pytest.mark.parametrize(("number", "text"), [(0, "0 runs"), (1, "1 run"), (1200, "1,200 runs")])
def test_one_has_no_s(number, text):
    assert counted(number, "run") == text
