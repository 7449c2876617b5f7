"""Parameters, FLOPs and estimates of a plan, against counts by hand."""

import pytest

from normbench.config import parse_config
from normbench.planning.estimate import estimate
from normbench.planning.plan import make_plan

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
    costs = estimate(plan)
    products = 784 * 100 + 2 * 100 * 100 + 100 * 10
    for run in plan.runs:
        assert costs.cost(run.settings).forward_flops == 2 * products
        # forward, gradient of the weights, gradient of the inputs but the first layer's: 26.4 MFLOP
        assert costs.step_flops(run.settings) == 60 * 2 * (3 * products - 784 * 100) == 26_376_000


def test_more_runs_cost_more_time_but_a_stack_keeps_its_memory():
    few, many = estimate(planned()), estimate(planned(TEXT.replace("seeds: 2", "seeds: 200")))
    assert many.flops == pytest.approx(100 * few.flops)
    assert many.seconds > 10 * few.seconds
    assert many.memory_bytes < 3 * few.memory_bytes
    stack = few.stacks[0]
    # 11 evaluations, and as many training images once
    assert stack.flops == stack.runs * (1000 * 26_376_000 + 12 * 10_000 * 2 * 99_400)


@pytest.mark.parametrize(
    ("depth", "norm", "measured"),
    [(1, "none", 0.6), (5, "none", 1.5), (5, "batchnorm", 2.4), (10, "batchnorm", 4.0)],
)
def test_the_time_of_small_nets_is_that_of_their_fixed_costs(depth, norm, measured):
    """4 runs, 1,020 steps, on one core; without the start of the program."""
    found = planned(
        f"""
name: a
seeds: 4
data: {{name: digits, train_size: 1000, test_size: 300, batch_size: 20}}
model: {{name: mlp, depth: {depth}, width: 9, norm: {norm}}}
train: {{steps: 1020, eval_every: 1020}}
"""
    )
    (stack,) = estimate(found).stacks
    assert measured / 2 < stack.seconds < measured * 2
    assert estimate(found).seconds > stack.seconds


def test_workers_get_the_longest_stacks_first():
    plan = planned(TEXT.replace("model.norm: [none, batchnorm]", "model.depth: [1, 8, 3]"))
    found = estimate(plan).longest_first(plan.stacks)
    depths = [stack.runs[0].settings.model.depth for stack in found]
    assert depths == sorted(depths, reverse=True)
    assert set(depths) == {8, 3, 1}
    assert {stack.stack_id for stack in found} == {stack.stack_id for stack in plan.stacks}
