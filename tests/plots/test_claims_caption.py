"""The caption of the figure of claims counts the seeds of the verdicts."""

from helpers.results import claim, rate_runs, write

from normbench.analysis.tables import load_tables
from normbench.plots import compute


def test_rates_that_refine_the_edge_of_one_seed_do_not_lower_n(tmp_path):
    runs = []
    for norm, ends in (("none", "TDD"), ("batchnorm", "TTD")):
        for seed in range(6):
            runs += rate_runs({"model.norm": norm}, seed, [0.1, 1.0, 10.0], ends)
        runs += rate_runs({"model.norm": norm}, 0, [0.5], "T")  # tried for seed 0 alone
    claims = [claim("max_stable_lr", expect={"ratio_at_least": 3})]
    tables = load_tables(write(tmp_path / "r", runs, claims))
    ((_, chart),) = compute(tables, ["claims"])
    assert chart.grid.strips[0].endswith("n = 6")
    assert "; n = 6 seeds; " in chart.caption
