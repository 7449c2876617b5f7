"""Set-ups of a card from configs: what it takes of them, what it leaves out, and what it refuses."""

import pytest
import torch
import yaml
from helpers.cells import execute
from helpers.cli import good
from torch.utils.data import TensorDataset

import normbench
from normbench import plugins
from normbench.cards.sections import SECTIONS, config_of, lacking, rungs, sections_of
from normbench.cards.setups import SETUPS, setup_of
from normbench.config import parse_config
from normbench.errors import NormbenchError

BASE = {
    "name": "small",
    "data": {"name": "digits", "train_size": 400, "test_size": 120, "val_size": 100, "batch_size": 32},
    "model": {"name": "mlp", "width": 16, "depth": 2},
    "optimizer": {"name": "sgd", "lr": 0.2},
    "train": {"steps": 60, "eval_every": 10},
}
SWEEP = {"model.depth": [4, 2], "optimizer.lr": [0.03, 0.3, 3]}


def changed(**changes):
    return {**BASE, **changes}


def test_depths_and_rates_are_those_of_the_sweep():
    setup = setup_of(changed(sweep=SWEEP), target=0.7)
    assert (setup.name, setup.target, setup.depths) == ("small", 0.7, (4, 2))
    assert setup.rates == (0.03, 0.3, 3)
    assert setup.searched == (0.003, 30)
    assert setup.get("model.depth") == 4
    assert setup.get("optimizer.lr") == 0.2
    assert set(sections_of(setup)) == set(SECTIONS)
    assert lacking(setup) == []
    config = config_of(SECTIONS["rates"], setup, ["none"], rungs(setup)[0].size)
    assert config["sweep"]["model.depth"] == [4]
    assert config["sweep"]["optimizer.lr"]["edge"] == {"from": 0.003, "to": 30, "precision": 1.5}


def test_without_a_sweep_the_rates_follow_from_the_one_of_the_config():
    setup = setup_of(BASE)
    assert setup.depths == (2,)
    assert setup.rates == (0.02, 0.2, 2, 20)
    assert [rung.adds for rung in rungs(setup) if "depth" in rung.adds] == [
        "learning rates at depth 2, 3 seeds"
    ]
    assert lacking(setup) == ["steps and seconds to a target: no target accuracy is given (--target)"]
    readings = {one.name for one in sections_of(setup)["rates"].readings}
    assert {one.name for one in SECTIONS["rates"].readings} - readings == {"steps", "seconds"}


def test_the_normalization_of_a_config_is_not_used():
    setup = setup_of(changed(model={"name": "mlp", "depth": 2, "norm": "batchnorm"}))
    assert "norm" not in setup.base["model"]


def test_a_target_can_replace_the_built_in_one():
    assert setup_of("digits", 0.5).target == 0.5
    assert setup_of("digits") is SETUPS["digits"]


@pytest.mark.parametrize(
    "model",
    [
        {"name": "rnn", "width": 8},
        {"name": "mlp", "depth": 3, "init": {"gain": 0.5}},
        {"name": "cnn", "depth": 3, "width": 4},
    ],
    ids=lambda model: model["name"],
)
@pytest.mark.parametrize("batch", [2, 8, 32])
def test_each_rung_is_a_valid_config_and_only_adds(model, batch):
    data = {**BASE["data"], "batch_size": batch}
    setup = setup_of(changed(model=model, data=data))
    sections, sizes = sections_of(setup), {}
    for rung in rungs(setup):
        text = yaml.safe_dump(config_of(sections[rung.section], setup, ["none"], rung.size), sort_keys=False)
        assert parse_config(text).cells
        before = sizes.get(rung.section)
        assert before is None or (
            set(before.values) <= set(rung.size.values)
            and (before.seeds, -before.precision) <= (rung.size.seeds, -rung.size.precision)
            and before != rung.size
        )
        sizes[rung.section] = rung.size
    assert set(sizes) == set(sections)
    values = sizes["initialization"].values
    gain = model.get("init", {}).get("gain", 1)
    assert values == pytest.approx([gain * factor for factor in (0.1, 0.25, 1, 4, 10)])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "digits"}, "config: name: 'digits' is that of a built-in set-up"),
        ({"sweep": {"data.batch_size": [8, 32]}}, "config: sweep.data.batch_size: a card sweeps of a config"),
        (
            {"sweep": {"optimizer.lr": {"edge": {"from": 0.01, "to": 1, "precision": 1.5}}}},
            "config: sweep.optimizer.lr: a card searches the largest rate itself",
        ),
        ({"data": {"name": "digits"}}, "config: data.val_size: missing; a card chooses learning rates on"),
        ({"model": {"name": "mlpp"}}, "config: model: 'mlpp' is unknown; did you mean 'mlp'?"),
    ],
)
def test_refusals(changes, said):
    with pytest.raises(NormbenchError) as error:
        setup_of(changed(**changes))
    assert str(error.value).startswith(said)


def test_a_file_is_named_in_a_refusal(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(changed(data={"name": "digits"})), encoding="utf-8")
    with pytest.raises(NormbenchError, match=r"mine\.yaml: data\.val_size: missing"):
        setup_of(str(path))


def test_the_command_makes_a_card_of_a_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train = {**BASE["train"], "trains_below": 0.8}
    config = changed(sweep=SWEEP, train=train)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    asked = ("scorecard", "layernorm", "--data", "mine.yaml", "--against", "none", "--budget", "8s")
    found = good(*asked)
    folder = tmp_path / "results" / "scorecard_layernorm_small"
    assert "left out: steps and seconds to a target: no target accuracy" in found.stderr
    page = (folder / "scorecard.md").read_text(encoding="utf-8")
    assert "# Scorecard of layernorm on small" in page
    assert "small (digits), mlp of width 16 and depth 4 with relu, sgd, batches of 32, 60 steps" in page
    assert "steps to the target" not in page
    assert "60 steps, unless a row says otherwise; a run trains below 0.8 of the label entropy" in page
    again = good(*asked, "--target", "0.6")  # judges the same runs
    assert "trained 0 runs" in again.stderr
    assert "depth 4: steps to the target" in again.stdout


NET = '''
from typing import Literal

from torch import nn

from normbench.models import Model
from normbench.nn.layers import Linear


class OwnNet(Model):
    """One hidden layer."""

    name: Literal["own_net"] = "own_net"

    def assemble(self, input_shape, classes):
        hidden = self.norm.wrap(Linear(input_shape[-1], 12))
        norm = self.norm_layer(12) or nn.Identity()
        return nn.Sequential(nn.Flatten(), hidden, norm, self.activate(), Linear(12, classes))
'''


def data_set(count, seed):
    draws = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % 3
    return TensorDataset(torch.randn(count, 6, generator=draws) + 2 * torch.eye(6)[y], y)


@pytest.mark.thorough
def test_own_model_and_data_from_python(tmp_path, monkeypatch):
    monkeypatch.setenv("NORMBENCH_DATA", str(tmp_path / "data"))
    with plugins.unchanged():
        book = execute([NET], "a_net", monkeypatch)
        config = changed(
            data={"name": (data_set(300, 0), data_set(90, 1)), "val_size": 60, "batch_size": 16},
            model={"name": book.OwnNet},
        )
        card = normbench.scorecard("layernorm", "none", budget=6, data=config, target=0.5, results=tmp_path)
    assert card.folder.name == "scorecard_layernorm_small"
    assert set(card.numbers["setting"]) <= {"", "batch size 1", "batch size 8", "batch size 16"} | {
        f"initial weights x {gain}" for gain in ("0.25", "1", "4")
    }
    rows = card.numbers.set_index(["name", "norm"])
    assert rows.loc[("accuracy", "layernorm"), "estimate"].max() > 0.5
    assert "Learning rates, speed and accuracy, by depth: small has no model.depth" in card.markdown
