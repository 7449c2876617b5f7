"""An edge in place of a grid of rates, as the config has it."""

import pytest
from helpers.config import column, complaint, experiment

from normbench.config import dump_config, parse_config
from normbench.planning.plan import make_plan
from normbench.stats.edge_search import lattice

EDGE = "optimizer.lr: {edge: {from: 1e-3, to: 100, precision: 1.1}}"


def test_its_cells_are_the_whole_lattice_of_which_the_scan_is_trained_first():
    result = experiment(f"sweep: {{model.norm: [none, batchnorm], {EDGE}}}")
    rates = list(lattice(1e-3, 100.0, 1.1).rates)
    assert column(result, "optimizer.lr") == rates * 2
    scan = [cell.values["optimizer.lr"] for cell in result.cells if not cell.refining]
    assert scan == rates[::16] * 2
    assert result.columns == ("model.norm", "optimizer.lr")
    assert parse_config(dump_config(result)).cells == result.cells


def test_the_runs_of_a_half_decade_grid_are_among_its_own():
    grid = make_plan(experiment("sweep: {optimizer.lr: {logspace: {from: 0.001, to: 100, num: 11}}}"))
    search = make_plan(experiment(f"sweep: {{{EDGE}}}"))
    assert {run.run_id for run in grid.runs} == {run.run_id for run in search.runs if not run.refining}
    assert search.most_runs() == 3 * (11 + 6)
    assert search.wanted({}) == [run.run_id for run in search.runs if not run.refining]
    assert sum(len(stack.runs) for stack in search.stacks) == search.most_runs()


def test_beside_zip_include_and_exclude_each_cell_and_seed_is_a_search_of_its_own():
    sweep = f"""sweep:
  zip: [{{model.norm: [none, batchnorm], model.depth: [1, 2]}}]
  {EDGE}
  exclude: [{{model.norm: none, optimizer.lr: [10, 100]}}]
  include: [{{model.norm: batchnorm, model.depth: 2, optimizer.lr: [0.5, 3.0]}}, {{model.norm: selu}}]
"""
    plan = make_plan(experiment(sweep))
    assert sorted(len(search.ids) for search in plan.searches) == [159] * 3 + [163] * 3
    for search in plan.searches:
        assert list(search.rates) == sorted(search.rates)
        assert sum(search.scan) == (9 if len(search.ids) == 159 else 13)
    outside = {run.run_id for run in plan.runs} - {run for search in plan.searches for run in search.ids}
    assert len(outside) == 3  # SELU at the base's rate
    assert outside <= set(plan.wanted({}))


def test_a_normalization_that_sets_the_activation_merges_cells_with_their_rates():
    plan = make_plan(
        experiment(f"sweep: {{model.norm: [none, selu], model.activation: [relu, tanh], {EDGE}}}")
    )
    assert len(plan.searches) == 3 * 3


def test_data_that_differ_are_different_searches():
    plan = make_plan(experiment(f"sweep: {{data.batch_size: [20, 40], {EDGE}}}"))
    assert len(plan.searches) == 2 * 3


def test_a_coarse_precision_is_the_scan_alone():
    plan = make_plan(experiment("sweep: {optimizer.lr: {edge: {from: 0.01, to: 1, precision: 4}}}"))
    assert len(plan.runs) == 5 * 3
    assert plan.searches == ()


@pytest.mark.parametrize(
    ("sweep", "parts"),
    [
        ("model.width: {edge: {from: 1, to: 3}}", ["a.yaml:7:23: sweep.model.width", "optimizer.lr"]),
        ("optimizer.lr: {edge: {from: 1, to: 0.1}}", ["7:30: sweep.optimizer.lr.edge", "from below to"]),
        ("optimizer.lr: {edge: {from: 0, to: 1}}", ["sweep.optimizer.lr.edge.from", "greater than 0"]),
        ("optimizer.lr: {edge: {from: 1, to: 9, precision: 1}}", ["edge.precision", "greater than 1"]),
        ("optimizer.lr: {edge: {from: 1, to: 9, precision: 1.00001}}", ["7:58", "at most 10,000"]),
        ("optimizer.lr: {edge: {from: 1}}", ["edge.to: missing"]),
        ("optimizer.lr: {edge: {from: 1, to: 9, num: 4}}", ["edge.num", "precision"]),
        ("zip: [{optimizer.lr: {edge: {from: 1, to: 9}}}]", ["sweep.zip[0].optimizer.lr", "zip block"]),
        (f"{EDGE}, exclude: [{{{EDGE}}}]", ["sweep.exclude[0].optimizer.lr", "a filter"]),
        (f"{EDGE}, include: [{{{EDGE}}}]", ["sweep.optimizer.lr", "one in a sweep"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_edge(sweep, parts):
    text = complaint(f"sweep: {{{sweep}}}")
    assert len(text.splitlines()) == 1
    for part in parts:
        assert part in text
