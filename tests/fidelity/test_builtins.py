"""What is built in passes the check that plug-ins have to pass, so that the check refuses nothing right."""

from __future__ import annotations

import pytest
from helpers.engine import CNN, MLP, norm_of, plan_of, takes

from normbench.fidelity.case import Case
from normbench.fidelity.check import candidates, judge
from normbench.optimizers import OPTIMIZERS
from normbench.planning.shapes import data_shape

MODELS = {
    "mlp": {**MLP, "depth": 1, "width": 8},
    "cnn": {**CNN, "depth": 1, "width": 4},
    "lstm": {"name": "lstm", "width": 4, "pooling": 2},
}
PAIRS = [(model, norm) for model, options in MODELS.items() for norm in takes(options)]


def verdict(model: dict, optimizer: dict | None = None):
    (run, *_) = plan_of(model=model, optimizer=optimizer, train={"steps": 3}).runs
    case = Case(run.settings, data_shape(run.settings.data, None))
    first, *_ = candidates(run.settings, "cpu", "auto")
    return judge(case, [first])


@pytest.mark.parametrize(("model", "norm"), PAIRS, ids=lambda part: part)
def test_a_normalization_is_trained_as_plain_torch_does(model, norm):
    found = verdict({**MODELS[model], "norm": norm_of(norm)})
    assert found.executor is not None, found.reason


@pytest.mark.parametrize("clip_norm", [None, 0.5])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_is_trained_as_plain_torch_does(name, clip_norm):
    momentum = {"momentum": 0.9} if "momentum" in OPTIMIZERS[name].model_fields else {}
    options = {"name": name, "weight_decay": 0.01, "clip_norm": clip_norm, "schedule": "cosine", **momentum}
    found = verdict(MODELS["mlp"], options)
    assert found.executor == "vectorized", found.reason


@pytest.mark.parametrize(
    "placement", ["input", "before_norm", "after_norm", "after_activation", "classifier"]
)
def test_dropout_is_trained_as_plain_torch_does(placement):
    """The two runs of the check have different rates of dropout."""
    dropout = {"rate": 0.3, "placement": placement}
    found = verdict({**MODELS["mlp"], "norm": {"name": "batchnorm"}, "dropout": dropout})
    assert found.executor == "vectorized", found.reason
