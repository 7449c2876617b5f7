"""A card that is trained in seconds, and plug-ins that a card must tell apart."""

from __future__ import annotations

from normbench.cards import setups

PLUGIN = '''
from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Same(Normalization):
    """Does nothing: y = x."""

    name: Literal["identity"] = "identity"

    def module(self, features):
        return nn.Identity()


@NORMS.add
class WrongAxis(Normalization):
    """Statistics of the wrong axis: each unit gets the image's mean over all units, none its own value."""

    name: Literal["wrong_axis"] = "wrong_axis"

    def module(self, features):
        return Mean()


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(1, keepdim=True).expand_as(x)


@NORMS.add
class Tiny(Normalization):
    """A constant that kills the signal: y = 1e-6 x."""

    name: Literal["tiny"] = "tiny"

    def module(self, features):
        return Shrink()


class Shrink(nn.Module):
    def forward(self, x):
        return 1e-6 * x
'''
SETUP = setups.Setup(
    "digits",
    {
        "data": {"name": "digits", "train_size": 400, "test_size": 120, "val_size": 100, "batch_size": 32},
        "model": {"name": "mlp", "width": 16, "activation": "relu", "depth": 2, "init": {"gain": 1}},
        "optimizer": {"name": "sgd", "lr": 0.1},
        "train": {"steps": 80, "eval_every": 10},
    },
    target=0.7,
    depths=(2, 4, 6),
)
BUDGET = 8.0  # seconds: each section once, with its fewest seeds
TIMES = ("step_seconds", "seconds")  # rows that differ from one training to the next


def use_tiny(patch):
    """Let cards on digits use the tiny setup."""
    patch.setattr(setups, "SETUPS", {"digits": SETUP})


def plugin_file(folder):
    path = folder / "odd_norms.py"
    path.write_text(PLUGIN, encoding="utf-8")
    return path
