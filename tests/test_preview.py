"""Parameters, FLOPs and estimates of a plan, against counts by hand."""

import pytest
import torch

from normbench import preview as module
from normbench.config import parse_config
from normbench.plan import make_plan
from normbench.preview import measure, preview

TEXT = """
name: a
seeds: 2
data: {name: mnist, batch_size: 60}
model: {name: mlp, depth: 3, width: 100, activation: sigmoid}
sweep:
  model.norm: [none, batchnorm]
  optimizer.lr: [0.1, 1]
"""


def planned(text=TEXT, **options):
    return make_plan(parse_config(text), device="cpu", **options)


def test_flops_of_the_designs_mlp():
    plan = planned()
    costs = preview(plan)
    products = 784 * 100 + 2 * 100 * 100 + 100 * 10
    for run in plan.runs:
        cost = costs.cost(run.settings)
        assert cost.forward_flops == 2 * products
        # forward, gradient of the weights, gradient of the inputs but the first layer's: 26.4 MFLOP
        assert cost.step_flops == 60 * 2 * (3 * products - 784 * 100) == 26_376_000


def test_flops_of_a_convolutional_net():
    text = TEXT.replace(
        "name: mlp, depth: 3, width: 100, activation: sigmoid", "name: cnn, depth: 2, width: 4"
    )
    cost = preview(planned(text)).cost(planned(text).runs[0].settings)
    places = 28 * 28
    first, second, head = 9 * 1 * 4 * places, 9 * 4 * 4 * places, 4 * 10  # pooling follows the second
    assert cost.forward_flops == 2 * (first + second + head)
    assert cost.step_flops == 60 * 2 * (2 * first + 3 * second + 3 * head)


@pytest.mark.parametrize("norm", ["none", "batchnorm"])
def test_flops_of_a_recurrent_net(norm):
    text = TEXT.replace("name: mlp, depth: 3, width: 100, activation: sigmoid", "name: lstm, width: 20")
    plan = planned(text.replace("[none, batchnorm]", f"[{norm}]"))
    cost = preview(plan).cost(plan.runs[0].settings)
    inputs, recurrent, head = 28 * 28 * 80, 28 * 20 * 80, 20 * 10
    assert cost.forward_flops == 2 * (inputs + recurrent + head)
    # no gradient in the images, nor in the first state
    assert cost.step_flops == 60 * 2 * (2 * inputs + 3 * recurrent - 20 * 80 + 3 * head)


@pytest.mark.parametrize(
    "norm", ["none", "batchnorm", "layernorm", "weightnorm", "mean_only_batchnorm", "selu"]
)
@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_parameters_are_those_of_the_built_net(name, norm):
    text = TEXT.replace("name: mlp, depth: 3, width: 100", f"name: {name}, depth: 2, width: 6")
    text = text.replace("[none, batchnorm]", f"[{norm}]")
    plan = planned(text)
    model = plan.runs[0].settings.model
    net = model.build((1, 28, 28), 10)
    cost = preview(plan).cost(plan.runs[0].settings)
    assert cost.parameters == sum(p.numel() for p in net.parameters())
    seen = []
    for layer in net.modules():
        if not list(layer.children()):
            layer.register_forward_hook(lambda layer, inputs, output: seen.append(output.numel()))
    net(torch.zeros(60, 1, 28, 28))
    assert cost.activations == sum(seen) // 60


def test_dropout_is_measured_without_numbers_of_the_engine():
    text = TEXT.replace("activation: sigmoid", "dropout: {rate: 0.5, placement: after_activation}")
    assert preview(planned(text)).cost(planned(text).runs[0].settings).step_flops == 26_376_000


def test_equal_architectures_are_built_once(monkeypatch):
    built = []
    monkeypatch.setattr(module, "measure", lambda *args: built.append(args) or measure(*args))
    text = TEXT.replace(
        "model.norm: [none, batchnorm]", "model.norm: [{name: batchnorm, eps: 1e-3}, batchnorm]"
    )
    text += "  model.init.gain: [0.5, 1, 2]\n  model.depth: [2, 3]\n"
    plan = planned(text)
    costs = preview(plan)
    assert len({costs.cost(run.settings).parameters for run in plan.runs}) == 2
    assert len(costs.stacks) == len(plan.stacks)
    assert len(built) == 2  # one for each depth


def test_more_runs_cost_more_time_but_a_stack_keeps_its_memory():
    few, many = preview(planned()), preview(planned(TEXT.replace("seeds: 2", "seeds: 200")))
    assert many.flops == pytest.approx(100 * few.flops)
    assert many.seconds > 10 * few.seconds
    assert many.memory_bytes < 3 * few.memory_bytes
    stack = few.stacks[0]
    assert stack.flops == stack.runs * (1000 * 26_376_000 + 11 * 10_000 * 2 * 99_400)
