"""The compiled executor: equal bits for a run in any stack, and the numbers of the other executors."""

from __future__ import annotations

import math
from itertools import count

import pytest
import torch
from helpers.engine import Trained, runs_of, trainer
from torch import Tensor
from torch.fx import symbolic_trace

from normbench.engine import compiled
from normbench.engine.events import RunEnd
from normbench.engine.regions import Region
from normbench.errors import NormbenchError
from normbench.nn import inductor
from normbench.nn.inductor import LaneError, Lanes, Like

compiles = pytest.mark.skipif(inductor.missing() is not None, reason=str(inductor.missing()))
thorough = pytest.mark.thorough  # a cold compilation takes half a minute


def small_runs(**train):
    return runs_of(
        seeds=2,
        data={"batch_size": 21, "test_size": 39},
        model={"depth": 1, "width": 15, "norm": "batchnorm"},
        train={"steps": 30, "eval_every": 10, **train},
        sweep={"optimizer.lr": [0.01, 0.05, 0.1, 1e6]},
    )


@compiles
@thorough
def test_neighbors_stops_and_probes_change_no_bit():
    """One run diverges and leaves the stack; others are alone, or go on after a stop."""
    runs = small_runs()
    everyone = Trained(runs, "compiled")
    assert {end.status for end in everyone.ends.values()} == {"finished", "diverged"}
    healthy = [run for run in runs if run.settings.optimizer.lr < 1]
    for part in (healthy[:1], healthy[1:4]):
        apart = Trained(part, "compiled")
        assert all(apart.same_bits(everyone, run.run_id) for run in part)
    assert any(code is not None for code in compiled._code.values())

    one = trainer(runs, "compiled")
    answers = (number % 3 == 0 for number in count())
    events = []
    while one.state.lanes:
        events += one.events(lambda: next(answers))
    ends = {event.run_id: event for event in events if isinstance(event, RunEnd)}
    for run_id, end in everyone.ends.items():
        assert end.train_loss_last_tenth == ends[run_id].train_loss_last_tenth


@compiles
@thorough
def test_the_numbers_are_those_of_the_vectorized_executor():
    runs = [run for run in small_runs(dtype="float64") if run.settings.optimizer.lr < 1]
    one, other = Trained(runs, "compiled"), Trained(runs, "vectorized")
    assert all(code is not None for code in compiled._code.values())
    for run in runs:
        mine, its = one.tensors[run.run_id], other.tensors[run.run_id]
        for name in mine:
            torch.testing.assert_close(mine[name], its[name], rtol=1e-9, atol=1e-9)


def region_of(function) -> tuple[Region, list[Like], list[Tensor]]:
    shape = (Lanes(1), 5)
    region = Region(symbolic_trace(function), (shape,), (shape,))
    return region, [Like(shape, (5, 1), torch.float32)], [torch.zeros(3, 5)]


def test_only_code_that_computes_the_same_in_each_lane_is_used():
    region, likes, tensors = region_of(lambda x: [x * 2])
    assert compiled._holds(lambda given: [given[0] * 2], region, likes, tensors)
    assert not compiled._holds(lambda given: [given[0] * 3], region, likes, tensors)
    assert not compiled._holds(lambda given: [(given[0] * 2).double()], region, likes, tensors)

    def by_place(given: list[Tensor]) -> list[Tensor]:
        doubled = given[0] * 2
        doubled[16:] *= 1 + 1e-7
        return [doubled]

    def by_count(given: list[Tensor]) -> list[Tensor]:
        return [given[0] * 2 * (1 + 1e-7 * (len(given[0]) % 16 == 1))]

    def by_threads(given: list[Tensor]) -> list[Tensor]:
        return [given[0] * 2 * (1 + 1e-7 * (torch.get_num_threads() > 1))]

    assert not compiled._holds(by_place, region, likes, tensors)
    assert not compiled._holds(by_count, region, likes, tensors)
    torch.set_num_threads(2)
    assert not compiled._holds(by_threads, region, likes, tensors)
    assert torch.get_num_threads() == 2


def test_a_region_whose_code_is_not_used_runs_by_torch(monkeypatch):
    region, _, tensors = region_of(lambda x: [x * 2 + 1])
    monkeypatch.setattr(compiled, "_code", {})

    def dependent(graph, likes):
        raise LaneError("the code holds only for some numbers of lanes")

    monkeypatch.setattr(compiled, "compile_graph", dependent)
    assert torch.equal(compiled._Runner(region)(*tensors)[0], torch.ones(3, 5))
    assert list(compiled._code.values()) == [None]


def test_a_compiler_that_fails_is_an_error_with_the_way_out(monkeypatch):
    region, _, tensors = region_of(lambda x: [x * 4])
    monkeypatch.setattr(compiled, "_code", {})

    def fails(graph, likes):
        raise OSError("g++: no space left on device\nmore")

    monkeypatch.setattr(compiled, "compile_graph", fails)
    with pytest.raises(NormbenchError, match=r"failed \(OSError: g\+\+: no space .*--executor vectorized"):
        compiled._Runner(region)(*tensors)


@pytest.mark.parametrize(
    ("tensor", "shape", "strides"),
    [
        (torch.zeros(3, 4, 5), (Lanes(1), 4, 5), (20, 5, 1)),
        (torch.zeros(3, 5, 4).transpose(1, 2), (Lanes(1), 4, 5), (20, 1, 4)),
        (torch.zeros(4, 3, 5).transpose(0, 1), (Lanes(1), 4, 5), (5, Lanes(5), 1)),
        (torch.zeros(3, 1, 5), (Lanes(1), 1, 5), (5, 5, 1)),
        (torch.zeros(1, 5).expand(4, 5), (4, 5), (0, 1)),
        (torch.zeros(()), (), ()),
        (torch.zeros(3, 8)[:, ::2], (Lanes(1), 4), None),
        (torch.zeros(6, 4), (Lanes(2), 4), None),
    ],
)
def test_the_layout_of_a_tensor_for_any_number_of_lanes(tensor, shape, strides):
    like = compiled._like(shape, tensor)
    assert (like and like.strides) == strides
    if like is not None and math.prod(tensor.shape) == tensor.untyped_storage().nbytes() // 4:
        assert like.empty(3).shape == tensor.shape
