"""Plug-ins as people write them: each is trained as plain torch does, or refused with a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from helpers.gallery import BATCH, EXACT, PIECES, REFUSED, difference, train_plainly

from normbench import api, plugins
from normbench.engine.state import initial_model
from normbench.errors import PlanError
from normbench.fidelity.check import candidates
from normbench.models.init import Init
from normbench.nn.torch_private import traceable
from normbench.planning.plan import Plan

pytestmark = pytest.mark.filterwarnings("ignore")  # what the plug-ins use may be deprecated

TOLERANCE = 1e-9  # relative, of losses, parameters and buffers after 12 steps in float64
SWEPT = {"model_without_norm": {"model.norm": ["none", "batchnorm"]}}  # a model has to be swept to ignore it


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    with plugins.unchanged():
        yield


def planned(name: str, tmp_path) -> tuple[Plan, str]:
    """Return the plan of a plug-in, and what it registers."""
    piece = PIECES[name]
    kind = piece.registered()
    config = tmp_path / "c.yaml"
    config.write_text(piece.config(kind, **SWEPT.get(name, {})))
    return api.plan(config, plugins=[piece.path], device="cpu"), kind


def test_the_gallery_is_large():
    assert len(PIECES) >= 60
    assert len(EXACT) >= 40
    assert len(REFUSED) >= 40
    assert {PIECES[name].exact for name in EXACT} == {"vectorized", "looped", "eager"}


@pytest.mark.parametrize("name", EXACT)
def test_a_right_plugin_is_trained_exactly(name, tmp_path):
    """Alone and beside other runs, in each executor that the check does not rule out."""
    plan, kind = planned(name, tmp_path)
    chosen = PIECES[name].exact
    assert {stack.executor for stack in plan.stacks} == {chosen}
    assert bool(plan.notes) == (
        chosen == "eager" or (chosen == "looped" and "net" not in PIECES[name].options)
    )
    runs = PIECES[name].runs(kind)
    assert len(runs) == 4
    with traceable():  # a function under torch.compile is what it says; compiling it takes half a minute
        plain = {run.run_id: train_plainly(run) for run in runs}
    settings = runs[0].settings
    slower = candidates(settings, "cpu", "auto")
    for executor in slower[slower.index(chosen) :]:
        assert difference(runs, executor, plain) < TOLERANCE
        if executor == "vectorized" or executor == chosen:  # the others run one at a time anyway
            assert difference(runs[3:], executor, plain) < TOLERANCE


@pytest.mark.parametrize("name", [name for name in EXACT if name.startswith(("parametrized", "hooked"))])
def test_the_initial_weights_of_a_config_reach_what_wrap_returns(name):
    """Guards against a sweep over `model.init` that trains the same net in all cells."""
    piece = PIECES[name]
    run, *_ = piece.runs(piece.registered())
    images = torch.zeros(BATCH, 1, 8, 8)
    nets = []
    for scheme in ("he", "default"):
        model = run.settings.model.model_copy(update={"init": Init(scheme=scheme)})
        changed = replace(run, settings=run.settings.model_copy(update={"model": model}))
        net = initial_model(changed, (1, 8, 8), 10, images).eval()
        net(images)  # hooks compute weights
        nets.append([module.weight for module in net.modules() if isinstance(module, torch.nn.Linear)])
    assert len(nets[0]) == 2
    assert not any(torch.equal(one, other) for one, other in zip(*nets, strict=True))


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_plugin_is_refused_with_file_and_line(name, tmp_path):
    piece = PIECES[name]
    with pytest.raises(PlanError) as caught:
        planned(name, tmp_path)
    sentence = str(caught.value)
    assert piece.refused in sentence
    assert "Traceback" not in sentence
    assert len(sentence) < 900
    if name not in SWEPT:  # of equal cells, no line is at fault
        lines = re.findall(rf"{re.escape(piece.path.name)}:(\d+): ", sentence)
        assert lines == [str(piece.line)]
