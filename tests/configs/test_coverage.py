"""Each normalization with each of its options, and each model, is used by at least one shipped config."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from normbench.config import load_config
from normbench.models import MODELS
from normbench.models.base import Model
from normbench.norms import NORMS
from normbench.registry import Named, Options

CONFIGS = Path(__file__).parents[2] / "configs"
MEND = "add each to a config's sweep, or set it in one: "


@pytest.fixture(scope="module")
def nets() -> set[Model]:
    """Return the models of all cells of all configs, each resolved, with its normalization."""
    paths = sorted(CONFIGS.rglob("*.yaml"))
    assert paths
    return {cell.settings.model for path in paths for cell in load_config(path).cells}


def options_left_out(cls: type[Named], used: set[Options]) -> Iterator[str]:
    """Yield the options of a class that no used section sets to another value than the default."""
    for name, field in cls.model_fields.items():
        usual = field.get_default(call_default_factory=True)
        if name != "name" and not any(type(one) is cls and getattr(one, name) != usual for one in used):
            yield f"{cls.key()}.{name} (only {usual})"


def test_options_that_keep_their_default_are_found():
    cls = NORMS["layernorm"]
    eps, affine = "layernorm.eps (only 1e-05)", "layernorm.affine (only True)"
    assert list(options_left_out(cls, set())) == [eps, affine]
    other = NORMS["rmsnorm"](name="rmsnorm", eps=1.0)
    assert list(options_left_out(cls, {cls(name="layernorm"), other})) == [eps, affine]
    assert list(options_left_out(cls, {cls(name="layernorm", eps=1.0)})) == [affine]


def test_each_model_is_used(nets):
    missing = set(MODELS) - {net.name for net in nets}
    assert not missing, MEND + ", ".join(sorted(missing))


def test_each_normalization_is_used(nets):
    missing = set(NORMS) - {net.norm.name for net in nets}
    assert not missing, MEND + ", ".join(sorted(missing))


def test_each_option_of_a_normalization_is_used(nets):
    norms: set[Options] = {net.norm for net in nets}
    missing = [text for cls in NORMS.classes() for text in options_left_out(cls, norms)]
    assert not missing, MEND + ", ".join(missing)
