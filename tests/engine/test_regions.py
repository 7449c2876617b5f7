"""A step that is divided into regions computes what the undivided step does, for any number of lanes.

Here torch runs the regions, so that no compiler is needed.
"""

from __future__ import annotations

import pytest
import torch
from helpers.engine import MLP, Trained, norm_of, runs_of, takes
from torch import Tensor

from normbench.engine import compiled
from normbench.engine.regions import LANES, Division, IndivisibleError, Region
from normbench.engine.trace import operations_of
from normbench.nn.inductor import Lanes

OPTIMIZERS = [
    {"name": "sgd"},
    {"name": "sgd", "momentum": 0.9, "weight_decay": 0.1},
    {"name": "adam"},
]


@pytest.fixture
def uncompiled(monkeypatch) -> list[Region]:
    """Let torch run all regions; return those that were made."""
    made: list[Region] = []

    def code_of(region: Region, tensors: list[Tensor]) -> None:
        made.append(region)

    monkeypatch.setattr(compiled, "_code_of", code_of)
    return made


def small_runs(**parts):
    return runs_of(data={"batch_size": 21, "test_size": 39}, train={"steps": 8, "eval_every": 4}, **parts)


def check_equal_bits(runs) -> None:
    one, other = Trained(runs, "compiled"), Trained(runs, "vectorized")
    assert all(one.same_bits(other, run.run_id) for run in runs)


@pytest.mark.parametrize("norm", takes(MLP))
def test_divided_steps_have_the_bits_of_undivided_ones(norm, uncompiled):
    dropout = {"rate": 0.2, "placement": "after_norm"}
    model = {"norm": norm_of(norm, groups=3), "width": 15, "dropout": dropout}
    check_equal_bits(small_runs(model=model, seeds=2, sweep={"optimizer.lr": [0.05, 0.1]}))
    assert len(uncompiled) > 3


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", [{"depth": 3}, {"name": "rnn", "width": 8, "pooling": 2}])
def test_so_they_have_with_other_optimizers_and_nets(optimizer, model, uncompiled):
    norm = "layernorm" if "name" in model else "batchnorm"
    model = {**model, "norm": norm}
    check_equal_bits(small_runs(model=model, optimizer=optimizer, sweep={"optimizer.lr": [0.05, 0.1]}))
    assert uncompiled


def divided(function, *example: Tensor):
    """Return the divided operations of a function of stacked tensors, and the regions."""
    regions: list[Region] = []

    def made(region: Region) -> torch.nn.Module:
        regions.append(region)
        return region.graph

    graphs = [
        operations_of(lambda *t: {"y": function(*t)}, [tensor[:count] for tensor in example])[0]
        for count in (LANES, LANES + 1)
    ]
    return Division(*graphs, made).program(len(example[0])), regions


def test_a_region_serves_any_number_of_lanes():
    def elementwise(x: Tensor) -> Tensor:
        return (x * 2).view(len(x), 4, 5) + x[:, :5].unsqueeze(1).expand(len(x), 4, 5)

    graph, (region,) = divided(
        lambda x, w: torch.bmm(elementwise(x), w), torch.randn(3, 20), torch.randn(3, 5, 2)
    )
    x, w = torch.randn(3, 20), torch.randn(3, 5, 2)
    assert torch.equal(graph(x, w)[0], torch.bmm(elementwise(x), w))
    assert (region.shapes, region.results) == (((Lanes(1), 20),), ((Lanes(1), 4, 5),))
    x = torch.randn(7, 20)
    assert torch.equal(region.graph(x)[0], elementwise(x))


def test_operations_in_place_run_in_their_order():
    """One operation reads before a write, one after it, on both sides of a matrix product."""

    def function(x: Tensor, w: Tensor) -> Tensor:
        before = torch.bmm(x, w)
        x.mul_(3)
        after = torch.bmm(x, w)
        own = before * 2
        view = own[:, 0]
        own.add_(1)
        return before + after + own + view.unsqueeze(1) + x

    x, w = torch.randn(3, 4, 4), torch.randn(3, 4, 4)
    graph, regions = divided(function, x, w)
    one, other = x.clone(), x.clone()
    assert torch.equal(graph(one, w)[0], function(other, w))
    assert torch.equal(one, other)
    assert not torch.equal(one, x)
    assert len(regions) == 2


def test_all_of_a_run_is_reduced_by_torch():
    """Code for 16 lanes at once may add up in another order than code for the lanes that are left."""
    _, regions = divided(lambda x: (x * x).sum((1, 2)), torch.randn(3, 4, 4))
    assert [node.name for region in regions for node in region.graph.graph.nodes if "sum" in node.name] == []


def test_a_result_that_larger_operations_need_is_returned():
    """It is then computed once and not for each element."""
    _, (region,) = divided(lambda x: x / (x.mean(1, keepdim=True) + 1), torch.randn(3, 4, 4))
    assert (Lanes(1), 1, 4) in region.results


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.bmm((x + 1).transpose(1, 2)[:, 0].mul_(2).unsqueeze(1), x),
        lambda x: torch.bmm(x, x.new_ones(4, 4).mul(3).expand(len(x), 4, 4)),
    ],
)
def test_what_is_no_function_of_any_number_of_lanes_is_left_to_torch(function):
    x = torch.randn(3, 4, 4)
    graph, regions = divided(function, x)
    assert torch.equal(graph(x)[0], function(x))
    assert not regions


def test_other_operations_for_another_number_of_lanes_are_no_regions():
    with pytest.raises(IndivisibleError, match="other operations"):
        divided(lambda x: x + 1 if len(x) == 2 else x - 1, torch.randn(3, 4, 4))
