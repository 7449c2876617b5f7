"""Every architecture learns digits with every normalization it takes, and as in a plain loop.

Each run of a stack is compared with the same net in a plain loop of autograd and torch.optim, in float64.
tests/models compares the nets with their formulas. The suite trains some pairs, `make pairs` trains all.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import pytest
import torch
import yaml
from helpers.engine import batches_of, data_of
from torch.nn import functional as F

from normbench.config import parse_config
from normbench.data import Dataset, Split
from normbench.engine import trace
from normbench.engine.events import Evaluation
from normbench.engine.loop import StackTrainer
from normbench.engine.state import initial_model
from normbench.models import MODELS
from normbench.nn.layers import noise
from normbench.norms import NORMS
from normbench.planning.runs import RunSpec
from normbench.planning.stacks import choose_executor, stack_key

EVERY = 8  # steps between evaluations
COMPARED = 24  # steps; later, Adam has amplified the rounding of small gradients too much
SMALL = {
    "resnet": {"depth": 8, "width": 4},
    "highway": {"depth": 3, "width": 24, "gate_bias": -1.0},
    "deep_linear": {"depth": 4, "width": 24, "init": {"scheme": "xavier"}},
    "allconv": {"width": 8, "pool_dropout": 0.0, "init": {"scheme": "he"}},
    "lstm": {"width": 24, "pooling": 2, "forget_bias": 1.0, "recurrent_init": "identity", "norm_gain": 0.5},
    "rnn": {"width": 24, "pooling": 2, "recurrent_init": "orthogonal", "norm_gain": 0.5},
}
LR = {"lstm": 0.04, "rnn": 0.04, "allconv": 0.005}
PAIRS = [
    (model, norm)
    for model in SMALL
    for norm in NORMS
    if MODELS[model]
    .model_validate({"name": model, "norm": norm, **SMALL[model]})
    .resolve()
    .refuses((1, 12, 12), 20)
    is None
]
IN_SUITE = {
    "resnet": {"none", "batchnorm", "weightnorm", "fixup", "scaled_weight_standardization"},
    "highway": {"none", "batchnorm", "layernorm", "mean_only_batchnorm", "whitening"},
    "deep_linear": {"batchnorm"},
    "allconv": {"weightnorm_mean_only_batchnorm"},
    "lstm": {"none", "batchnorm", "layernorm", "weightnorm"},
    "rnn": {"none", "batchnorm"},
}


def dataset_of(run) -> Dataset:
    """Return the digits, with a border if the architecture needs larger images."""
    dataset = data_of(run)
    if run.settings.model.name != "allconv":
        return dataset

    def bordered(part: Split) -> Split:
        return Split(F.pad(part.x, (2, 2, 2, 2)), part.y)

    return replace(dataset, train=bordered(dataset.train), test=bordered(dataset.test))


OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}


def check(
    model, norm, lr, steps, executor=None, optimizer="adam", falls_to=0.7, dtype="float64", rel=1e-6, **fields
):
    """Train a stack of two seeds, then each run in a plain loop: the losses agree, and fall by 30 %."""
    config = {
        "name": "test",
        "data": {"name": "digits", "train_size": 300, "test_size": 20, "batch_size": 20},
        "model": {"name": model, "norm": norm, **SMALL[model], **fields},
        "optimizer": {"name": optimizer, "lr": lr},
        "train": {"steps": steps, "eval_every": EVERY, "dtype": dtype},
    }
    settings = parse_config(yaml.safe_dump(config)).settings  # no plan, because the images get a border
    runs = [RunSpec(f"{seed}", seed, settings, {}) for seed in (0, 1)]
    dataset = dataset_of(runs[0])
    chosen = executor or choose_executor(settings, "cpu")
    trainer = StackTrainer(runs, dataset, chosen, stack_key(settings))
    rows: dict[str, list[Evaluation]] = {run.run_id: [] for run in runs}
    for event in trainer.events():
        if isinstance(event, Evaluation):
            rows[event.run_id].append(event)
    for run in runs:
        batch, mine = batches_of(run, dataset), rows[run.run_id]
        net = initial_model(run, dataset.input_shape, dataset.classes, batch(0)[0])
        updates = OPTIMIZERS[optimizer](net.parameters(), lr=lr)
        losses = []
        for step in range(COMPARED):
            images, labels = batch(step)
            updates.zero_grad()
            with noise(trainer.sampler.numbers(run.seed, step)):
                loss = F.cross_entropy(net.train()(images), labels)
            loss.backward()
            updates.step()
            losses.append(loss.item())
            if (step + 1) % EVERY == 0:
                row = mine[(step + 1) // EVERY]
                with torch.no_grad():
                    test = F.cross_entropy(net.eval()(dataset.test.x), dataset.test.y).item()
                assert row.train_loss == pytest.approx(sum(losses[-EVERY:]) / EVERY, rel=rel)
                assert row.test_loss == pytest.approx(test, rel=rel)
        last = mine[-1].train_loss
        assert last <= falls_to * losses[0], f"the loss only goes from {losses[0]} to {last}"


def learns(model, norm):
    steps = {"highway": COMPARED, "deep_linear": COMPARED, "allconv": 96}.get(model, 56)
    if model == "lstm" and norm in ("dynamic_tanh", "weight_standardization"):
        steps = 120  # these learn more slowly at first
    check(model, norm, LR.get(model, 0.02), steps)


def test_the_pairs_of_the_suite_are_there():
    assert {(model, norm) for model, norms in IN_SUITE.items() for norm in norms} <= set(PAIRS)


@pytest.mark.parametrize(("model", "norm"), [pair for pair in PAIRS if pair[1] in IN_SUITE[pair[0]]])
def test_pairs_learn_as_in_a_plain_loop(model, norm):
    learns(model, norm)


@pytest.mark.pairs
@pytest.mark.parametrize(("model", "norm"), [pair for pair in PAIRS if pair[1] not in IN_SUITE[pair[0]]])
def test_the_other_pairs_learn_as_in_a_plain_loop(model, norm):
    learns(model, norm)


@pytest.mark.parametrize("where", ["input", "between_layers"])
@pytest.mark.parametrize("model", ["lstm", "rnn"])
def test_the_other_forms_of_batch_normalization_in_a_recurrent_net(model, where):
    check(model, "batchnorm", lr=0.04, steps=56, recurrent_norm=where, depth=2, width=12)


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("lstm", {"statistics": "shared", "norm": "batchnorm", "state_noise": 0.1, "extra_test_steps": 2}),
        ("rnn", {"sequence": "permuted_pixels", "pooling": 4}),
        ("resnet", {"residual": False, "norm": "batchnorm"}),
        ("highway", {"gates": False, "norm": "batchnorm"}),
        ("allconv", {"pool_dropout": 0.1, "norm": "batchnorm"}),
    ],
)
def test_other_options(model, fields):
    dropout = {"rate": 0.05, "placement": "after_activation"}
    norm = fields.get("norm", "none")
    fields = {key: value for key, value in fields.items() if key != "norm"}
    check(model, norm, lr=0.02, steps=80, dropout=dropout, **fields)


@pytest.mark.parametrize(
    ("model", "executor"), [("lstm", "vectorized"), ("rnn", "looped"), ("resnet", "vectorized")]
)
def test_the_executor_that_a_plan_does_not_choose(model, executor):
    check(model, "none", lr=0.04 if model != "resnet" else 0.02, steps=56, executor=executor)


@pytest.mark.parametrize(
    ("model", "norm", "executor"),
    [
        ("lstm", "batchnorm", "vectorized"),
        ("lstm", "none", "looped"),
        ("rnn", "none", "vectorized"),
        ("highway", "none", "vectorized"),
        ("resnet", "fixup", "looped"),
    ],
)
def test_updates_by_plain_sgd(model, norm, executor):
    """Plain SGD fuses gradients into the weights, except where a weight has several gradients in a step."""
    check(model, norm, lr=0.05, steps=COMPARED, executor=executor, optimizer="sgd", falls_to=1.0)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
def test_torchs_lstm_kernel_in_a_traced_step(monkeypatch):
    """Its backward pass needs tensors that it keeps only while gradients are enabled, also in a replay."""
    monkeypatch.setattr(trace, "_cache", OrderedDict())
    check("lstm", "none", lr=0.04, steps=56, executor="looped", dtype="float32", rel=1e-4)
    code = [
        getattr(program.run, "__wrapped__", program.run).__self__.code for program in trace._cache.values()
    ]
    assert any("mkldnn_rnn_layer" in one for one in code)
