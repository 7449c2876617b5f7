"""The page with all pairs of architecture and normalization is up to date."""

from __future__ import annotations

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "pairs.py"


def test_the_page_of_pairs_is_up_to_date():
    spec = importlib.util.spec_from_file_location("pairs", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    pairs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pairs)
    assert pairs.PAGE.read_text(encoding="utf-8") == pairs.page(), (
        "write it again: python benchmarks/pairs.py"
    )
