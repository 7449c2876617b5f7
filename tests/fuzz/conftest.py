"""`make fuzz` runs these tests with the profile `fuzz`, which draws many more examples than the suite."""

from __future__ import annotations

from typing import Any

from helpers.fuzz_bounds import COUNTS
from hypothesis import HealthCheck, settings

settings.register_profile(
    "fuzz",
    max_examples=1500,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the number of inputs of each kind, and how the calls with them ended."""
    if COUNTS:
        terminalreporter.write_sep("=", "bad inputs: calls that gave a result, calls that gave a sentence")
    for kind in sorted(COUNTS):
        counts = COUNTS[kind]
        terminalreporter.write_line(
            f"{counts['inputs']:8,} {kind}: {counts['results']:,} results, {counts['sentences']:,} sentences"
        )
    if COUNTS:
        terminalreporter.write_line(f"{sum(counts['inputs'] for counts in COUNTS.values()):8,} in all")
