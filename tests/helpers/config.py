# ruff: noqa: E501  (tables with one case in a line)
"""A small config that is right, for tests to change."""

import pytest

from normbench.config import parse_config
from normbench.errors import ConfigError

BASE = """\
name: test
seeds: 3
data: {name: digits, batch_size: 20}
model: {name: mlp, depth: 2, width: 8, activation: relu}
optimizer: {name: sgd, lr: 0.1}
train: {steps: 20, eval_every: 10}
"""

CLAIM = """\
claims:
  - id: C2
    statement: Batch normalization allows larger learning rates.
    source: Ioffe & Szegedy 2015, section 3.3
    measure: max_stable_lr
    of: {model.norm: batchnorm}
    against: {model.norm: none}
    for_each: [model.depth]
    expect: {ratio_at_least: 3}
    control: [of, against, {model.norm: selu}]
    control_at_least: 0.9
  - {id: C3, statement: Deeper is slower., measure: {name: steps_to_target, target: 0.9}, over: model.depth, expect: {increases: true}}
"""

CLAIM_SWEEP = (  # what the claims above are about
    "sweep: {model.norm: [none, batchnorm, selu], model.depth: [1, 2], optimizer.lr: [0.1, 1, 10]}"
)

SWEEPS = [
    "",
    "sweep: {optimizer.lr: {logspace: {from: 1e-3, to: 100, num: 11}}, model.norm: [none, batchnorm, selu]}",
    "sweep: {model.norm: [batchnorm, layernorm, {name: batchnorm, eps: 1e-3}, weightnorm], model.norm.eps: [1e-5, 1]}",
    "sweep: {optimizer.name: [sgd, adam, rmsprop], model.norm.momentum: [0.5], model.norm: [none, batchnorm]}",
    "sweep: {model: [mlp, cnn], exclude: [{model: cnn}], include: [{model.norm: selu, model.depth: [3, 4]}]}",
    "sweep: {zip: [{optimizer.schedule: [constant, {name: cosine, warmup: 2}], train.eval_every: [[1, 2], {log: 3}]}]}",
    "sweep: {model.dropout: [{rate: 0.1, placement: input}, {rate: 0.2, placement: classifier}], data.batch_size: [5]}",
]  # fmt: skip


def experiment(more="", overrides=(), base=BASE):
    return parse_config(base + more, "a.yaml", overrides)


def complaint(more="", overrides=(), base=BASE):
    with pytest.raises(ConfigError) as caught:
        experiment(more, overrides, base)
    return str(caught.value)


def column(result, key):
    return [cell.values[key] for cell in result.cells]
